"""Databases and roles that a test makes for itself."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from taskward.storage.quoting import quote_identifier
from taskward.storage.roles import RoleNames
from tests.citus import CITUS_URL
from tests.clusters import Cluster
from tests.databases import execute


class Place:
    """Databases and roles of one test in a cluster, all dropped after it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._databases: list[str] = []
        self._roles: list[str] = []

    async def database(self, name: str | None = None, *, owner: str = "taskward", options: str = "") -> str:
        """Make a database; the URL is its owner's."""
        name = name or f"place_{secrets.token_hex(4)}"
        await execute(
            self.cluster.superuser,
            f"CREATE DATABASE {quote_identifier(name)} OWNER {quote_identifier(owner)} {options}",
        )
        self.expect(name)
        return self.url(name, owner)

    def expect(self, name: str) -> str:
        """Drop a database of this name and its roles at the end, if they are there then."""
        self._databases.append(name)
        self._roles += RoleNames.of(name).requests, RoleNames.of(name).probe
        return name

    async def role(self, attributes: str = "", *, member_of: str | None = None, name: str | None = None) -> str:
        """Make a role that may log in."""
        name = name or f"role_{secrets.token_hex(4)}"
        login = f"CREATE ROLE {quote_identifier(name)} LOGIN PASSWORD 'secret' {attributes}"
        grants = [f"GRANT {quote_identifier(member_of)} TO {quote_identifier(name)}"] if member_of else []
        await execute(self.cluster.superuser, login, *grants)
        self._roles.append(name)
        return name

    def url(self, database: str, role: str, *, superuser: bool = False) -> str:
        parts = urlsplit(self.cluster.superuser if superuser else self.cluster.owner)
        credentials = parts.netloc if superuser or role == "taskward" else f"{quote(role)}:secret@"
        return urlunsplit(parts._replace(netloc=credentials, path=f"/{quote(database, safe='')}"))

    async def clear(self) -> None:
        databases = [f"DROP DATABASE IF EXISTS {quote_identifier(name)} WITH (FORCE)" for name in self._databases]
        roles = [f"DROP ROLE IF EXISTS {quote_identifier(name)}" for name in reversed(self._roles)]
        await execute(self.cluster.superuser, *databases, *roles)


@pytest.fixture(name="place")
async def place_fixture(either_cluster: Cluster) -> AsyncIterator[Place]:
    """Where a test makes databases and roles of its own, on the newest PostgreSQL and on the oldest."""
    if CITUS_URL:
        pytest.skip("its databases and roles are of one machine")
    place = Place(either_cluster)
    yield place
    await place.clear()

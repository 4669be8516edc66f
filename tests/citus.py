"""A Citus cluster that somebody else runs, in place of a server of our own: `TASKWARD_TEST_CITUS_URL` names it.

The URL is a superuser's, on the coordinator, and nodes are those that its database knows. A database is made on each
for the session, and dropped after it. Two more variables say how such a database is:

- `TASKWARD_TEST_CITUS_COORDINATOR=shards`: the coordinator has shards, too.
- `TASKWARD_TEST_CITUS_LOCAL_EXECUTION=off`: a node asks its own shards over a connection, as it does others. Only where
  the coordinator has shards it matters.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

# By its slices it is known which tables there are.
import taskward.app  # noqa: F401
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from tests.clusters import Cluster

CITUS_URL = os.environ.get("TASKWARD_TEST_CITUS_URL")
COORDINATOR = os.environ.get("TASKWARD_TEST_CITUS_COORDINATOR", "none")
LOCAL_EXECUTION = os.environ.get("TASKWARD_TEST_CITUS_LOCAL_EXECUTION", "on")
SHARDS = 8


def on_one_machine(reason: str) -> pytest.MarkDecorator:
    """Marks a test that says nothing of a cluster.

    Args:
        reason: Why.
    """
    return pytest.mark.skipif(bool(CITUS_URL), reason=reason)


def at(url: str, host: str, port: int, database: str) -> str:
    """The URL of another node's database, for the same login."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}:{port}", path=f"/{database}"))


async def nodes_of(url: str) -> list[tuple[str, int]]:
    """The hosts and ports of all nodes, the coordinator first."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT nodename, nodeport FROM pg_dist_node WHERE isactive ORDER BY groupid")
    finally:
        await connection.close()
    return [(row[0], row[1]) for row in rows]


@contextmanager
def citus_cluster(url: str) -> Iterator[Cluster]:
    """A cluster, whose role of requests is that of a database of the session's own."""
    name, nodes = _new_name(), asyncio.run(nodes_of(url))
    try:
        yield Cluster(url, asyncio.run(_make(url, nodes, name)))
    finally:
        asyncio.run(_drop(url, nodes, name))


@asynccontextmanager
async def citus_database(
    url: str, nodes: list[tuple[str, int]] | None = None, *, shards: int | None = SHARDS
) -> AsyncIterator[str]:
    """A new database on every node, with its tables distributed; yields the URL for requests.

    Args:
        url: Of a superuser, on the coordinator.
        nodes: Where they shall reach each other, the coordinator first; None for the hosts and ports that they know.
        shards: As `migrate` has it: without them, the tables are there, and not distributed.
    """
    async with empty_citus_database(url, nodes) as requests:
        await migrate(parse_address(owners(requests)), parse_address(requests), shards=shards)
        yield requests


@asynccontextmanager
async def empty_citus_database(
    url: str, nodes: list[tuple[str, int]] | None = None, *, with_workers: bool = True, roles_first: bool = False
) -> AsyncIterator[str]:
    """A new database on every node, which `citus_database` migrates.

    Args:
        url: Of a superuser, on the coordinator.
        nodes: As `citus_database` has them.
        with_workers: Whether its coordinator knows them.
        roles_first: Whether roles are made before Citus is there, which so knows of none.
    """
    name, nodes = _new_name(), nodes or await nodes_of(url)
    try:
        yield await _create(url, nodes, name, with_workers=with_workers, roles_first=roles_first)
    finally:
        await _drop(url, nodes, name)


def owners(url: str) -> str:
    """The URL of the owner of the tables, for the one for requests."""
    return url.replace("_requests:", "_owner:", 1)


def superusers(cluster: str, url: str) -> str:
    """The URL of a superuser for the database of a URL for requests, on the same node."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return at(cluster, parts.hostname, parts.port, parts.path[1:])


def _new_name() -> str:
    return f"taskward_{secrets.token_hex(4)}"


async def _make(url: str, nodes: list[tuple[str, int]], name: str) -> str:
    requests = await _create(url, nodes, name)
    await migrate(parse_address(owners(requests)), parse_address(requests), shards=SHARDS)
    return requests


async def _create(
    url: str, nodes: list[tuple[str, int]], name: str, *, with_workers: bool = True, roles_first: bool = False
) -> str:
    (host, port), *workers = nodes
    coordinator = at(url, host, port, name)
    password = secrets.token_hex(16)
    roles = (
        f"CREATE ROLE {name}_owner LOGIN CREATEROLE PASSWORD '{password}'",
        f"CREATE ROLE {name}_requests LOGIN PASSWORD '{password}'",
        f"GRANT CREATE ON DATABASE {name} TO {name}_owner",
    )
    for node, at_port in nodes:
        await _execute(
            at(url, node, at_port, "postgres"),
            f"CREATE DATABASE {name}",
            f"ALTER DATABASE {name} SET citus.enable_local_execution TO {LOCAL_EXECUTION}",
        )
    if roles_first:
        await _execute(coordinator, *roles)
    for node, at_port in nodes:
        await _execute(at(url, node, at_port, name), "CREATE EXTENSION citus")
    if with_workers:
        added = (f"SELECT citus_add_node('{worker}', {at_port})" for worker, at_port in workers)
        await _execute(
            coordinator,
            f"SELECT citus_set_coordinator_host('{host}', {port})",
            *added,
            f"SELECT citus_set_node_property('{host}', {port}, 'shouldhaveshards', {COORDINATOR == 'shards'})",
        )
    if not roles_first:
        await _execute(coordinator, *roles)
    return _as(coordinator, f"{name}_requests", password)


def _as(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))


async def _drop(url: str, nodes: list[tuple[str, int]], name: str) -> None:
    for host, port in nodes:
        # The other nodes' maintenance connects again and again.
        for patience in range(9, -1, -1):
            try:
                await _execute(at(url, host, port, "postgres"), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            except asyncpg.ObjectInUseError:
                if not patience:
                    raise
                await asyncio.sleep(0.5)
            else:
                break
    roles = (f"{name}_requests", f"taskward_requests_{name}", f"taskward_probe_{name}", f"{name}_owner")
    for host, port in nodes:
        await _execute(at(url, host, port, "postgres"), *(f"DROP ROLE IF EXISTS {role}" for role in roles))


async def _execute(url: str, *statements: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [await connection.execute(statement) for statement in statements]
    finally:
        await connection.close()

"""A database per contender on the common server: made, seeded, brought back to the seed between rounds, dropped.

Everything here connects as a superuser, which alone passes forced row-level security.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bench.contenders import Contender
from bench.data import Dataset
from bench.processes import BenchError

_SECONDS = 120  # per statement


@dataclass(frozen=True)
class Database:
    """An empty database, owned by a login role of the same name that is not superuser but may create roles."""

    name: str
    admin_dsn: str
    login: str
    """`user:password@host:port/database` of the owner."""

    def seed(self, contender: Contender, dataset: Dataset) -> None:
        """Fill the contender's tables."""

        async def fill(connection: asyncpg.Connection[Any]) -> None:
            for seeded in contender.seeded:
                rows: Sequence[object] = dataset.tasks if seeded.rows == "tasks" else dataset.users
                await connection.copy_records_to_table(
                    seeded.table,
                    schema_name=seeded.schema,
                    columns=seeded.columns,
                    records=map(attrgetter(*seeded.columns), rows),
                    timeout=_SECONDS,
                )
                await connection.execute(f"VACUUM (FREEZE, ANALYZE) {seeded.name}", timeout=_SECONDS)

        self._run(fill)

    def reset(self, contender: Contender, dataset: Dataset) -> None:
        """Delete what was created since the seed, vacuum, and write a checkpoint."""

        async def clean(connection: asyncpg.Connection[Any]) -> None:
            for seeded in contender.seeded:
                if seeded.rows == "tasks":
                    created = f"DELETE FROM {seeded.name} WHERE created_at > $1"
                    await connection.execute(created, dataset.seeded_until, timeout=_SECONDS)
                await connection.execute(f"VACUUM {seeded.name}", timeout=_SECONDS)
            # Every round starts at the same distance from the next checkpoint.
            await connection.execute("CHECKPOINT", timeout=_SECONDS)

        self._run(clean)

    def empty(self, contender: Contender) -> None:
        """Delete all that was seeded and written."""

        async def clean(connection: asyncpg.Connection[Any]) -> None:
            for seeded in contender.seeded:
                await connection.execute(f"DELETE FROM {seeded.name}", timeout=_SECONDS)

        self._run(clean)

    def try_out(self, statements: Mapping[str, str]) -> None:
        """Run each in a transaction that is rolled back.

        Raises:
            BenchError: One of them finds nothing.
        """

        async def run(connection: asyncpg.Connection[Any]) -> None:
            for name, sql in statements.items():
                transaction = connection.transaction()
                await transaction.start()
                if not await connection.fetch(sql, timeout=_SECONDS):
                    raise BenchError(f"The statement of {name} finds nothing.")
                await transaction.rollback()

        self._run(run)

    def _run(self, work: Callable[[asyncpg.Connection[Any]], Awaitable[None]]) -> None:
        _with_connection(_other_database(self.admin_dsn, self.name), work)


@contextmanager
def created(admin_dsn: str, contender: Contender) -> Iterator[Database]:
    """A new database for a contender, dropped with its roles when the block is left."""
    name = f"bench_{contender.name}_{secrets.token_hex(4)}"
    password = secrets.token_hex(16)
    parts = urlsplit(admin_dsn)

    async def make(connection: asyncpg.Connection[Any]) -> None:
        await connection.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{password}'")
        await connection.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")

    async def drop(connection: asyncpg.Connection[Any]) -> None:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        # Contenders name the roles that they make after the database. The login role goes last: it cannot be dropped
        # while a membership that it granted stands.
        made = "SELECT rolname FROM pg_roles WHERE strpos(rolname, $1) > 0 ORDER BY rolname = $1"
        for role in await connection.fetch(made, name):
            await connection.execute(f'DROP ROLE "{role["rolname"]}"')

    try:
        _with_connection(admin_dsn, make)
        host = f"{parts.hostname}:{parts.port or 5432}"
        yield Database(name, admin_dsn, f"{name}:{password}@{host}/{name}")
    finally:
        with suppress(OSError, asyncpg.PostgresError):
            _with_connection(admin_dsn, drop)


def server_facts(admin_dsn: str) -> dict[str, str]:
    """Version and durability of the server.

    Raises:
        BenchError: The role is not superuser, or commits are not durable.
    """
    facts: dict[str, str] = {}

    async def ask(connection: asyncpg.Connection[Any]) -> None:
        for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers", "autovacuum", "is_superuser"):
            facts[name] = str(await connection.fetchval(f"SHOW {name}"))

    _with_connection(admin_dsn, ask)
    if facts.pop("is_superuser") != "on":
        raise BenchError("The database URL must be a superuser's: seeding passes row-level security.")
    if facts["fsync"] != "on" or facts["synchronous_commit"] == "off":
        raise BenchError("The server does not keep commits durable (fsync, synchronous_commit).")
    return facts


def _other_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def _with_connection(dsn: str, work: Callable[[asyncpg.Connection[Any]], Awaitable[None]]) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            await work(connection)
        finally:
            await connection.close(timeout=10)

    asyncio.run(run())

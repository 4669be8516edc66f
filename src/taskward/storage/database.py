"""The database as the service sees it: opened once per process, asked for one session per request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from taskward.errors import Unavailable
from taskward.storage import citus, migrate
from taskward.storage.dsn import Address
from taskward.storage.failures import LOST
from taskward.storage.pool import Connection, Pool, connect
from taskward.storage.pooler import refuse_hidden_pooler
from taskward.storage.quoting import SCHEMA, quote_identifier
from taskward.storage.roles import UnsafeRoleError, choose_requests_role, foreign_encoding
from taskward.storage.session import AfterWrite, Session

if TYPE_CHECKING:
    from taskward.identity import Owner
    from taskward.runtime.timeouts import Timeout


CHECK_TIMEOUT = 5.0
"""Seconds in which the database must say whether requests can be served."""


class SchemaBehindError(Exception):
    """The schema is not at the version that this code needs; the message says which and what to do."""


class Database:
    """A pool of connections on which every transaction belongs to one owner.

    Args:
        address: Where the database is.
        pool_size: The most connections that are open at once.
    """

    def __init__(self, address: Address, *, pool_size: int) -> None:
        self._address = address
        self._pool_size = pool_size
        self._pool: Pool | None = None
        self._is_distributed = False
        self._check: asyncio.Task[str | None] | None = None

    async def open(self) -> None:
        """Check the schema and the role before the first request.

        Raises:
            SchemaBehindError: The database has not been migrated to this version.
            UnsafeRoleError: Requests could get around row-level security.
            AddressError: A transaction pooler answers, and the address was not taken for one's.
            Exception: What asyncpg raised when it cannot connect.
        """
        await refuse_hidden_pooler(self._address)
        connection = await connect(self._address, timeout=10)
        try:
            # One transaction: behind a pooler, only that keeps several statements on one server connection.
            async with connection.transaction(isolation="read_committed"):
                await _check_there(connection)
                self._is_distributed = await citus.is_distributed(connection)
                role = await choose_requests_role(connection, distributed=self._is_distributed)
                await check_schema(connection, role)
                if self._is_distributed:
                    await _check_nodes(connection)
        finally:
            await connection.close()
        self._pool = Pool(self._address, self._pool_size, role, is_distributed=self._is_distributed)

    @property
    def pool(self) -> Pool:
        """The connections, whose transactions take the role that was found safe.

        Raises:
            Unavailable: `open` has not looked for one yet, so nothing may run.
        """
        if self._pool is None:
            why = "the service has not been started: the app's lifespan was not entered"
            raise Unavailable(f"{why[0].upper()}{why[1:]}.", reason=why)
        return self._pool

    def session(
        self,
        owner: Owner,
        *,
        read_only: bool = False,
        limit: Timeout | None = None,
        after: tuple[AfterWrite, ...] = (),
    ) -> Session:
        """A session as `owner`; see `Session`.

        Args:
            read_only: Whether PostgreSQL shall refuse to write.
            limit: What ends the wait for it. Without one, nothing is committed before the end.
            after: Told of what was written, when it is committed.

        Raises:
            Unavailable: As `pool`.
        """
        return Session(self.pool, owner, read_only=read_only, limit=limit, after=after)

    async def problem(self) -> str | None:
        """What keeps the database from serving requests now, in a few words for an operator, or None.

        It connects anew, and anybody may ask. However many do so at once, one connection answers them all.
        """
        if self._check is None:
            self._check = asyncio.create_task(self._look_for_problem())
            self._check.add_done_callback(self._forget_check)
        return await asyncio.shield(self._check)

    def _forget_check(self, _done: asyncio.Task[str | None]) -> None:
        self._check = None

    async def _look_for_problem(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                connection = await connect(self._address)
                try:
                    await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                    # One may have been silent at the start, or added since.
                    if self._is_distributed:
                        await _check_nodes(connection)
                    await check_schema(connection, self.pool.role)
                    await connection.execute("COMMIT")
                    await connection.close()
                finally:
                    connection.terminate()
        except SchemaBehindError as error:
            return str(error)
        except UnsafeRoleError:
            # Which node, role and table it is, is not for anybody.
            return "requests cannot run safely on a node; see: taskward doctor"
        except LOST:
            return "the database cannot be reached"
        except asyncpg.PostgresError:
            return "the database refuses"
        return None

    async def close(self) -> None:
        """Wait for running requests, then close every connection."""
        if self._pool is not None:
            await self._pool.close()


async def _check_nodes(connection: Connection) -> None:
    for node in await citus.check_nodes(connection):
        if node.danger:
            raise UnsafeRoleError(f"Requests cannot run safely on node {node.name}: {node.danger}")


async def _check_there(connection: Connection) -> None:
    if reason := await foreign_encoding(connection):
        raise UnsafeRoleError(reason)
    if await connection.fetchval("SELECT to_regnamespace($1) IS NULL", SCHEMA):
        raise SchemaBehindError("The schema is not there; run: taskward migrate")


async def check_schema(connection: Connection, role: str | None) -> None:
    """Check that the schema is at this code's version, within a transaction of the caller's.

    Args:
        role: The role that reads it, or None for the connection's own.

    Raises:
        SchemaBehindError: It is not.
    """
    if role is not None:
        await connection.execute(f"SET LOCAL ROLE {quote_identifier(role)}")
    found, needed = await migrate.current(connection), migrate.head()
    if found != needed:
        state = f"at version {found}, and {needed} is needed" if found else "not there"
        raise SchemaBehindError(f"The schema is {state}; run: taskward migrate")


__all__ = ["Database", "SchemaBehindError", "UnsafeRoleError", "check_schema"]

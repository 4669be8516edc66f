"""A session: one transaction on one connection, on behalf of one owner.

Its opening message begins the transaction, takes the role that row-level security binds, and names the owner whose
rows that role sees. All three last until the transaction ends (`SET LOCAL`), so nothing leaks to whoever uses the
connection next, a transaction pooler's other clients included.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import asyncpg

from taskward.database.connections import ENDING_TIMEOUT, LOST, Connection, Lease, Pool, kind_of
from taskward.database.quoting import quote_literal
from taskward.errors import OutcomeUnknown, Unavailable

if TYPE_CHECKING:
    from taskward.database.statements import Statement
    from taskward.identity import Owner

_READ_ONLY = asyncpg.ReadOnlySQLTransactionError


class Session:
    """Runs compiled statements as one owner, inside the transaction that `Transaction` opened.

    Attributes:
        trashed_at: `Account.trashed_at`, where a write has met it.
    """

    __slots__ = ("_connection", "_user_id", "trashed_at")

    def __init__(self, connection: Connection, owner: Owner) -> None:
        self._connection = connection
        self._user_id = owner.user_id
        self.trashed_at: datetime | None = None

    async def fetch(self, statement: Statement, **parameters: Any) -> list[asyncpg.Record]:
        """Run a statement.

        Raises:
            asyncpg.PostgresError: A constraint does not hold; stores turn the ones they know into facts.
        """
        return await self._connection.fetch(statement.sql, *statement.arguments(self._user_id, parameters))

    async def fetch_one(self, statement: Statement, **parameters: Any) -> asyncpg.Record | None:
        """Run a statement that yields at most one row.

        Raises:
            RuntimeError: It has yielded more, one of which may be somebody else's.
        """
        rows = await self.fetch(statement, **parameters)
        if len(rows) > 1:
            raise RuntimeError("a statement for one row has yielded several")
        return rows[0] if rows else None

    @asynccontextmanager
    async def waiting_at_most(self, seconds: float) -> AsyncIterator[None]:
        """Wait no longer for what another transaction holds; PostgreSQL refuses then with `LockNotAvailableError`."""
        await self._connection.execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}")
        yield
        await self._connection.execute("SET LOCAL lock_timeout TO DEFAULT")


class Transaction:
    """An async context manager: a transaction as one owner, committed at the end, rolled back on any error.

    Args:
        pool: Where the connection comes from.
        owner: Whose rows the transaction sees.
        role: The role to take, as a quoted identifier, or None where the connection's own is already a safe one.
        read_only: Whether PostgreSQL shall refuse to write. There is nothing to commit then, so the transaction's end
            is left to the opening message of the connection's next one, which saves one round trip of three.

    Raises:
        Unavailable: The database cannot be reached.
        OutcomeUnknown: The connection was lost while the transaction was being committed.
    """

    __slots__ = ("_lease", "_owner", "_pool", "_read_only", "_role")
    _lease: Lease

    def __init__(self, pool: Pool, owner: Owner, role: str | None, *, read_only: bool = False) -> None:
        self._pool = pool
        self._owner = owner
        self._role = role
        self._read_only = read_only

    async def __aenter__(self) -> Session:
        user_id = self._owner.user_id
        if not self._pool.shares.enter(user_id):
            await self._pool.shares.wait(user_id)
        try:
            self._lease = await _begin(self._pool, _opening(self._owner, self._role, read_only=self._read_only))
        except BaseException:
            self._pool.shares.leave(user_id)
            raise
        return Session(self._lease.connection, self._owner)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            await self._end(error)
        finally:
            self._pool.shares.leave(self._owner.user_id)

    async def _end(self, error: BaseException | None) -> None:
        if error is None:
            if self._read_only and self._pool.may_linger:
                self._pool.release(self._lease, lingering=True)
            else:
                await _commit(self._pool, self._lease)
        elif isinstance(error, Exception):
            await _roll_back(self._pool, self._lease)
            # A standby refuses to write; so does a reading transaction, and then the fault is ours.
            if isinstance(error, LOST) and not (self._read_only and isinstance(error, _READ_ONLY)):
                raise Unavailable(reason=f"the database failed: {kind_of(error)}") from error
        else:
            # Cancelled in the middle of something: what the connection is doing is not known.
            self._pool.discard(self._lease)


def _opening(owner: Owner, role: str | None, *, read_only: bool) -> str:
    access = " READ ONLY" if read_only else ""
    take_role = f"SET LOCAL ROLE {role};" if role else ""
    return (
        f"BEGIN ISOLATION LEVEL READ COMMITTED{access};{take_role}"
        f"SELECT pg_catalog.set_config('taskward.user_id',{quote_literal(owner.user_id)},true)"
    )


async def _begin(pool: Pool, opening: str) -> Lease:
    for attempt in (1, 2):
        lease = await pool.acquire()
        try:
            await lease.connection.execute(f"COMMIT;{opening}" if lease.lingering else opening)
        except LOST as error:
            # An idle connection dies unnoticed when the server restarts. Nothing has run yet, so try afresh, once.
            pool.discard(lease)
            pool.discard_idle()
            if attempt == 2:  # noqa: PLR2004
                raise Unavailable(reason=f"the database failed: {kind_of(error)}") from error
        except BaseException:
            pool.discard(lease)
            raise
        else:
            lease.lingering = False
            return lease
    raise Unavailable


async def _commit(pool: Pool, lease: Lease) -> None:
    try:
        tag = await lease.connection.execute("COMMIT", timeout=ENDING_TIMEOUT)
    except BaseException as error:
        pool.discard(lease)
        if isinstance(error, LOST):
            raise OutcomeUnknown(reason=f"the database failed while it committed: {kind_of(error)}") from error
        raise
    pool.release(lease)
    if tag != "COMMIT":
        # PostgreSQL answers ROLLBACK when a statement had failed and somebody swallowed it.
        raise RuntimeError(f"the transaction ended with {tag}")


async def _roll_back(pool: Pool, lease: Lease) -> None:
    try:
        await lease.connection.execute("ROLLBACK", timeout=ENDING_TIMEOUT)
    except BaseException as error:
        pool.discard(lease)
        if not isinstance(error, LOST):
            raise
    else:
        pool.release(lease)

"""A session: what one owner asks of one connection, in one transaction where it writes; see `leases` for how that
begins.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import asyncpg

from taskward.errors import OutcomeUnknown, Unavailable
from taskward.storage import wire
from taskward.storage.failures import GONE, LOST, MAYBE_GONE, is_of_node, kind_of, lacks_rights
from taskward.storage.pool import ENDING_TIMEOUT, Connection, Pool
from taskward.storage.wire import Unanswered

if TYPE_CHECKING:
    from taskward.identity import Owner
    from taskward.runtime.timeouts import Timeout
    from taskward.storage.compiling import Statement
    from taskward.storage.leases import Lease
    from taskward.storage.row_json import Row

_MARGIN = 0.5
"""Seconds by which PostgreSQL gives a change up before nobody waits for its answer any more."""

_READ_ONLY = asyncpg.ReadOnlySQLTransactionError


_LAST_NAME = re.compile(r'.*"(.+)"', re.DOTALL)
_OF_SHARD = re.compile(r"_\d+$")


def constraint_of(error: asyncpg.PostgresError) -> str | None:
    """The name of the constraint that does not hold, as the migration gave it. On a Citus cluster it has the number of
    the shard that the row is in behind it, and of what another node refuses the coordinator tells only the message.
    """
    name: str | None = getattr(error, "constraint_name", None)
    # Not by the DETAIL, which may quote a row.
    if name is None and (found := _LAST_NAME.match(error.message or "")):
        name = found[1]
    return name and _OF_SHARD.sub("", name)


class AfterWrite(Protocol):
    """What a slice does beside the requests after an owner's write, where the account says that it is time."""

    def consider(self, account: Row, owner: Owner) -> None:
        """Look whether there is something to do.

        Args:
            account: What the write was told of the owner's account; see `Session.account`.
        """

    async def close(self) -> None:
        """Stop, and leave the rest to the next start."""


class Session:
    """Runs compiled statements as one owner. An async context manager: what was written is committed at the end, or
    rolled back on any error, but for what `change` has committed.

    Args:
        pool: Where the connection comes from.
        owner: Whose rows the statements see.
        read_only: Whether PostgreSQL shall refuse to write. Each statement may be a transaction of its own then, which
            differs in nothing that it sees: each of one transaction, too, sees what was committed before it.
        limit: What ends the wait for it. Without one, nothing is committed before the end.
        after: Told of what was written, when it is committed.

    Attributes:
        owner: Whose rows the statements see.
        account: What a write has met of the owner's account, by the labels of the `AccountColumn`s that are told of;
            None where there was no write.

    Raises:
        Unavailable: The database cannot be reached.
        OutcomeUnknown: The connection was lost while the transaction was being committed, or a change was sent that was
            not answered, and it could not be found out what became of it.
    """

    __slots__ = ("_after", "_lease", "_limit", "_pool", "_read_only", "_user_id", "account", "owner")

    def __init__(
        self,
        pool: Pool,
        owner: Owner,
        *,
        read_only: bool = False,
        limit: Timeout | None = None,
        after: tuple[AfterWrite, ...] = (),
    ) -> None:
        self._pool = pool
        self.owner = owner
        self._user_id = owner.user_id
        self._read_only = read_only
        self._limit = limit
        self._lease: Lease | None = None
        self._after = after
        self.account: Row | None = None

    async def __aenter__(self) -> Self:
        shares = self._pool.shares
        if not shares.enter(self._user_id):
            await shares.wait(self._user_id)
        try:
            self._lease = await self._pool.acquire()
        except BaseException:
            shares.leave(self._user_id)
            raise
        return self

    @property
    def user_id(self) -> str:
        """Whose rows the statements see."""
        return self._user_id

    async def fetch(self, statement: Statement, **parameters: Any) -> list[asyncpg.Record]:
        """Run a statement.

        Raises:
            asyncpg.PostgresError: A constraint does not hold; stores turn the ones they know into facts.
        """
        user_id = self._user_id
        arguments = statement.arguments(user_id, parameters)
        lease = self._leased
        if lease.has_begun():
            return await lease.next(statement.sql, arguments)
        try:
            return await lease.first(user_id, statement.sql, arguments, read_only=self._read_only)
        except MAYBE_GONE as error:
            lease = await self._renew(error)
            return await lease.first(user_id, statement.sql, arguments, read_only=self._read_only)

    async def fetch_one(self, statement: Statement, **parameters: Any) -> asyncpg.Record | None:
        """Run a statement that yields at most one row.

        Raises:
            RuntimeError: It has yielded more, one of which may be somebody else's.
        """
        return _only(await self.fetch(statement, **parameters))

    async def change(self, statement: Statement, **parameters: Any) -> asyncpg.Record | None:
        """Run a statement that yields at most one row. Where no transaction has begun, it is one of its own: what it
        changes is committed with it.

        Raises:
            OutcomeUnknown: The connection was lost, and it may have been committed.
            RuntimeError: As `fetch_one`.
        """
        if statement.apart is not None and self._pool.has_nodes:
            return await self._change_apart(*statement.apart, parameters)
        limit = self._limit
        run = None if limit is None or self._read_only else self._leased.whole(statement.sql)
        if run is None or limit is None:
            return await self.fetch_one(statement, **parameters)
        arguments = statement.arguments(self._user_id, parameters)
        seconds = limit.left
        limit.in_doubt = True
        try:
            rows = await run(self._user_id, arguments, seconds=seconds - min(_MARGIN, seconds / 4))
        except Unanswered as error:
            raise OutcomeUnknown(reason=f"the database failed while it wrote: {kind_of(error)}") from error
        except GONE:
            limit.in_doubt = False
            await self.start_over()
            return await self.fetch_one(statement, **parameters)
        except Exception:
            limit.in_doubt = False
            raise
        limit.in_doubt = False
        return _only(rows)

    async def _change_apart(
        self, first: Statement, second: Statement, parameters: dict[str, Any]
    ) -> asyncpg.Record | None:
        has_begun = self._leased.has_begun()
        try:
            return await self._both(first, second, parameters)
        except MAYBE_GONE as error:
            if has_begun or not is_of_node(error):
                raise
            await self.roll_back()
            return await self._both(first, second, parameters)

    async def _both(self, first: Statement, second: Statement, parameters: dict[str, Any]) -> asyncpg.Record | None:
        row = await self.fetch_one(first, **parameters)
        if row is not None:
            await self.fetch(second, **parameters, **row)
        return row

    @asynccontextmanager
    async def waiting_at_most(self, seconds: float) -> AsyncIterator[None]:
        """Wait no longer for what another transaction holds; PostgreSQL refuses then with `LockNotAvailableError`."""
        connection = await self._begun()
        await connection.execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}")
        yield
        await connection.execute("SET LOCAL lock_timeout TO DEFAULT")

    async def _begun(self) -> Connection:
        """The connection, in a transaction that lasts until the session's end."""
        lease = self._leased
        if lease.has_begun():
            return lease.connection
        try:
            await lease.begin(self._user_id, read_only=self._read_only)
        except MAYBE_GONE as error:
            lease = await self._renew(error)
            await lease.begin(self._user_id, read_only=self._read_only)
        return lease.connection

    async def roll_back(self) -> None:
        """Undo what has not been committed. The next statement begins another transaction."""
        lease = self._leased
        if lease.has_begun():
            try:
                await lease.connection.execute("ROLLBACK", timeout=ENDING_TIMEOUT)
            except GONE:
                await self.start_over()

    async def _renew(self, error: BaseException) -> Lease:
        """Make ready to try once more what was tried first, on another connection where it is this one that failed."""
        if self._pool.has_nodes and is_of_node(error):
            # A coordinator keeps connections to its nodes, and notices by their use that a node was started anew.
            await self.roll_back()
            return self._leased
        if not isinstance(error, GONE):
            raise error
        return await self.start_over()

    async def start_over(self) -> Lease:
        """Take another connection, without what has not been committed. An idle one dies unnoticed when the server
        restarts, and the others with it; what was tried first on it is tried once more.
        """
        lease, self._lease = self._leased, None
        self._pool.discard(lease)
        self._pool.discard_idle()
        self._lease = await self._pool.acquire()
        return self._lease

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        lease, self._lease = self._lease, None
        try:
            # None where another connection was not to be had.
            if lease is not None:
                await self._end(lease, error)
        finally:
            self._pool.shares.leave(self._user_id)
        in_doubt = self._limit is not None and self._limit.in_doubt
        if in_doubt and isinstance(error, (*LOST, Unavailable)) and not isinstance(error, OutcomeUnknown):
            raise OutcomeUnknown(reason=f"the database failed after a change was sent: {kind_of(error)}") from error
        if error is not None and self._is_unavailable(error):
            raise Unavailable(reason=f"the database failed: {kind_of(error)}") from error
        if error is not None and lacks_rights(error):
            raise Unavailable(reason="the role of DATABASE_URL has no rights any more; see taskward doctor") from error
        if error is None and self.account is not None:
            for one in self._after:
                one.consider(self.account, self.owner)

    def _is_unavailable(self, error: BaseException) -> bool:
        if self._read_only and isinstance(error, _READ_ONLY):
            # A standby refuses to write. A reading transaction does so as well, and then the fault is ours.
            return False
        return isinstance(error, LOST) or (self._pool.has_nodes and is_of_node(error))

    async def _end(self, lease: Lease, error: BaseException | None) -> None:
        if (error is not None and not isinstance(error, Exception)) or wire.is_cancelling(lease.connection):
            # Cancelled in the middle of something: what the connection is doing is not known.
            self._pool.discard(lease)
            if error is None:
                raise RuntimeError("a session has ended in the middle of a statement")
        elif not lease.has_begun():
            self._pool.release(lease)
        elif error is None and not self._read_only:
            await _commit(self._pool, lease)
        else:
            await _roll_back(self._pool, lease)

    @property
    def _leased(self) -> Lease:
        if self._lease is None:
            raise RuntimeError("the session is not open")
        return self._lease


def _only(rows: list[asyncpg.Record]) -> asyncpg.Record | None:
    if len(rows) > 1:
        raise RuntimeError("a statement for one row has yielded several")
    return rows[0] if rows else None


async def _commit(pool: Pool, lease: Lease) -> None:
    try:
        tag = await lease.connection.execute("COMMIT", timeout=ENDING_TIMEOUT)
    except BaseException as error:
        pool.discard(lease)
        if isinstance(error, LOST) or (pool.has_nodes and is_of_node(error)):
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

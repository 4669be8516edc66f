"""Connections to PostgreSQL: how one is made, and a pool of them that hands out the connections themselves.

asyncpg's own pool wraps each connection in a proxy and resets it with a round trip after each use. Here a session
is one transaction, which leaves nothing behind, so a plain stack of connections does, at half the cost of a request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

import asyncpg

from taskward.database import wire
from taskward.database.dsn import Address
from taskward.database.opening import Begun, Lease, OneMessage
from taskward.database.shares import Shares
from taskward.deadlines import Deadlines
from taskward.errors import PoolExhausted, ShuttingDown, Unavailable
from taskward.log import get_logger

Connection = wire.Connection

_log = get_logger(__name__)

CONNECT_TIMEOUT = 2.0
"""Seconds for each of several hosts; asyncpg would spend one timeout over all of them."""
ACQUIRE_TIMEOUT = 5.0
"""Seconds that a request waits for a connection, which may be a new one to the only host."""
ENDING_TIMEOUT = 10.0
"""Seconds that COMMIT or ROLLBACK may take."""

# What says that a connection is gone, or knows of tables as they were; another one may well work.
GONE = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server has said that it ends the connection, which is not closed yet
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidCachedStatementError,
    wire.Unanswered,
    OSError,
)
# What says the same of the server.
LOST = (
    *GONE,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.TransactionRollbackError,
    TimeoutError,
)


def kind_of(error: BaseException) -> str:
    """What went wrong, without its message, which may quote a row."""
    if isinstance(error, wire.Unanswered) and error.__cause__ is not None:
        error = error.__cause__
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} ({state})" if state else type(error).__name__


async def connect(address: Address, *, timeout: float | None = None) -> Connection:  # noqa: ASYNC109 - per host
    """Connect to the first host that accepts writes.

    Args:
        address: Where the database is.
        timeout: Seconds for each host, where they are not the usual ones.

    Raises:
        Exception: What asyncpg raised for the last host.
    """
    if timeout is None:
        timeout = CONNECT_TIMEOUT if len(address.dsns) > 1 else ACQUIRE_TIMEOUT
    failure: BaseException | None = None
    for dsn in address.dsns:
        try:
            return await _connect_one(dsn, address, timeout)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
            failure = error
    assert failure is not None, "an address has at least one host"  # noqa: S101
    raise failure


async def _connect_one(dsn: str, address: Address, timeout: float) -> Connection:  # noqa: ASYNC109 - per host
    several = len(address.dsns) > 1
    if address.pooled:
        # A pooler hands each transaction to another server connection: nothing may be kept on one.
        connection: Connection = await asyncpg.connect(dsn, timeout=timeout, statement_cache_size=0)
    else:
        connection = await wire.connect(
            dsn,
            timeout=timeout,
            max_cached_statement_lifetime=0,
            server_settings={"application_name": "taskward", "jit": "off"},
        )
    if several and await connection.fetchval("SELECT pg_is_in_recovery()"):
        await connection.close(timeout=timeout)
        raise asyncpg.ReadOnlySQLTransactionError("this host is a standby")
    return connection


class Pool:
    """A bounded stack of connections.

    Args:
        address: Where the database is.
        size: The most connections that are open at once.
        role: The role that transactions take, or None where the connection's own is already a safe one.
    """

    def __init__(self, address: Address, size: int, role: str | None) -> None:
        self._address = address
        self._size = size
        self.role = role
        self.shares = Shares((size + 1) // 2, ACQUIRE_TIMEOUT)
        """How many connections each owner may use at once."""
        self._open = 0
        self._idle: list[Lease] = []
        self._waiting: deque[asyncio.Future[Lease | None]] = deque()
        self._patience = Deadlines(ACQUIRE_TIMEOUT)
        self._closing = False
        self._all_returned = asyncio.Event()
        self._all_returned.set()
        self._in_use = 0
        self.acquired = 0
        """How many times a connection was taken since the start."""

    async def acquire(self) -> Lease:
        """Take a connection; it must be given back with `release` or `discard`.

        Raises:
            PoolExhausted: None came free in time.
            ShuttingDown: The pool is closing.
            Unavailable: The database cannot be reached.
        """
        if self._closing:
            raise ShuttingDown
        self.acquired += 1
        self._in_use += 1
        self._all_returned.clear()
        try:
            return await self._take()
        except BaseException:
            self._returned()
            raise

    async def _take(self) -> Lease:
        while self._idle:
            lease = self._idle.pop()
            # One in a transaction is somebody's; none is given back so.
            if not lease.connection.is_closed() and not lease.connection.is_in_transaction():
                return lease
            lease.connection.terminate()
            self._open -= 1
        if self._open < self._size:
            return await self._make()
        waiter: asyncio.Future[Lease | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        patience = self._patience.start(partial(_give_up, waiter, self._size))
        try:
            handed_over = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            raise
        finally:
            patience.end()
        # Nothing is handed over when a connection was discarded: the place of it is.
        return handed_over or await self._make(counted=True)

    async def _make(self, *, counted: bool = False) -> Lease:
        if not counted:
            self._open += 1
        try:
            return await self._lease(await connect(self._address))
        except BaseException as error:
            self._pass_on(None)
            if isinstance(error, Exception):
                raise Unavailable(reason=f"cannot connect to the database: {_reason(error)}") from error
            raise

    async def _lease(self, connection: Connection) -> Lease:
        lease = (Begun if self._address.pooled else OneMessage)(connection, self.role)
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT):
                await lease.prove()
        except BaseException:
            connection.terminate()
            raise
        return lease

    def release(self, lease: Lease) -> None:
        """Give a connection back."""
        self._returned()
        self._pass_on(None if lease.connection.is_closed() else lease)

    def discard(self, lease: Lease) -> None:
        """Give a connection back whose state is not known, to be closed at once."""
        self._returned()
        lease.connection.terminate()
        self._pass_on(None)

    def discard_idle(self) -> None:
        """Close what is idle, after one of them turned out to be lost: the others were lost with it."""
        while self._idle:
            self._idle.pop().connection.terminate()
            self._open -= 1

    def _returned(self) -> None:
        self._in_use -= 1
        if not self._in_use:
            self._all_returned.set()

    def _pass_on(self, lease: Lease | None) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(lease)
                return
        if lease is None:
            self._open -= 1
            return
        if self._closing:
            self._open -= 1
            lease.connection.terminate()
            return
        self._idle.append(lease)

    async def close(self, *, timeout: float = 10) -> None:  # noqa: ASYNC109 - what is open then is cut
        """Wait for connections in use, then close all.

        Args:
            timeout: Seconds to wait for requests that are still running.
        """
        self._closing = True
        try:
            async with asyncio.timeout(timeout):
                await self._all_returned.wait()
        except TimeoutError:
            _log.warning("requests were still running at shutdown", count=self._in_use)
        while self._idle:
            connection = self._idle.pop().connection
            try:
                await connection.close(timeout=2)
            except LOST:
                connection.terminate()


def _give_up(waiter: asyncio.Future[Lease | None], size: int) -> None:
    if not waiter.done():
        waiter.set_exception(
            PoolExhausted(reason=f"all {size} connections of this worker were busy for {ACQUIRE_TIMEOUT:g} s")
        )


def _reason(error: BaseException) -> str:
    # The message of an authentication failure or of a socket names role and path, never the password.
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".strip(": ")

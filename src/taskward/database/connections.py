"""Connections to PostgreSQL: how one is made, and a pool of them that hands out the connections themselves.

asyncpg's own pool wraps each connection in a proxy and resets it with a round trip after each use. Here a session
is one transaction, which leaves nothing behind, so a plain stack of connections does, at half the cost of a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

import asyncpg

from taskward.database.dsn import Address
from taskward.deadlines import Deadlines
from taskward.errors import PoolExhausted, ShuttingDown, Unavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 2.0
"""Seconds for one host; asyncpg would spend one timeout over all of them."""
ACQUIRE_TIMEOUT = 5.0
"""Seconds that a request waits for a connection."""

# What says that a connection, or its server, is gone or of no use; another one may well work.
LOST = (
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.TransactionRollbackError,
    OSError,
    TimeoutError,
)


async def connect(address: Address, *, timeout: float = CONNECT_TIMEOUT) -> Connection:  # noqa: ASYNC109 - per host
    """Connect to the first host that accepts writes.

    Args:
        address: Where the database is.
        timeout: Seconds for each host.

    Raises:
        Exception: What asyncpg raised for the last host.
    """
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
        connection = await asyncpg.connect(dsn, timeout=timeout, statement_cache_size=0)
    else:
        connection = await asyncpg.connect(
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
    """

    def __init__(self, address: Address, size: int) -> None:
        self._address = address
        self._size = size
        self._open = 0
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._patience = Deadlines(ACQUIRE_TIMEOUT)
        self._closing = False
        self._all_returned = asyncio.Event()
        self._all_returned.set()
        self._in_use = 0
        self.acquired = 0
        """How many times a connection was taken since the start."""

    async def acquire(self) -> Connection:
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

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._open -= 1
        if self._open < self._size:
            return await self._make()
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        patience = self._patience.start(lambda: waiter.done() or waiter.set_exception(PoolExhausted()))
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

    async def _make(self, *, counted: bool = False) -> Connection:
        if not counted:
            self._open += 1
        try:
            return await connect(self._address)
        except BaseException as error:
            self._pass_on(None)
            if isinstance(error, Exception):
                _log.warning("Cannot connect to the database: %s", _reason(error))
                raise Unavailable from error
            raise

    def release(self, connection: Connection) -> None:
        """Give a connection back that is in no transaction."""
        self._returned()
        self._pass_on(None if connection.is_closed() else connection)

    def discard(self, connection: Connection) -> None:
        """Give a connection back whose state is not known, to be closed at once."""
        self._returned()
        connection.terminate()
        self._pass_on(None)

    def discard_idle(self) -> None:
        """Close what is idle, after one of them turned out to be lost: the others were lost with it."""
        while self._idle:
            self._idle.pop().terminate()
            self._open -= 1

    def _returned(self) -> None:
        self._in_use -= 1
        if not self._in_use:
            self._all_returned.set()

    def _pass_on(self, connection: Connection | None) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is None:
            self._open -= 1
        elif self._closing:
            connection.terminate()
        else:
            self._idle.append(connection)

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
            _log.warning("%d requests were still running at shutdown", self._in_use)
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.close(timeout=2)
            except LOST:
                connection.terminate()


def _reason(error: BaseException) -> str:
    # The message of an authentication failure or of a socket names role and path, never the password.
    return f"{type(error).__name__}: {error}".strip(": ")

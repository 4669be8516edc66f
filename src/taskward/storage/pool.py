"""Connections to PostgreSQL: how one is made, and a pool of them that hands out the connections themselves.

asyncpg's own pool wraps each connection in a proxy and resets it with a round trip after each use. Here a session
is one transaction, which leaves nothing behind, so a plain stack of connections does, at half the cost of a request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

import asyncpg

from taskward.errors import PoolExhausted, ShuttingDown, Unavailable
from taskward.runtime.log import get_logger
from taskward.runtime.timeouts import Timeouts
from taskward.storage import wire
from taskward.storage.dsn import Address
from taskward.storage.failures import LOST
from taskward.storage.leases import CitusLease, Lease, OneMessageLease, PooledCitusLease
from taskward.storage.owner_limiter import OwnerLimiter

Connection = wire.Connection

_log = get_logger(__name__)

CONNECT_TIMEOUT = 2.0
"""Seconds for each of several hosts; asyncpg would spend one timeout over all of them."""
ACQUIRE_TIMEOUT = 5.0
"""Seconds that a request waits for a connection, which may be a new one to the only host."""
ENDING_TIMEOUT = 10.0
"""Seconds that COMMIT or ROLLBACK may take."""


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
    if address.pooled:
        # A pooler hands each transaction to another server connection: nothing may be kept on one.
        connection: Connection = await asyncpg.connect(dsn, timeout=timeout, statement_cache_size=0)
    else:
        settings = {"application_name": "taskward", "jit": "off"}
        connection = await wire.connect_wired(
            dsn, timeout=timeout, max_cached_statement_lifetime=0, server_settings=settings
        )
    try:
        await _settle(connection, address, timeout)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _settle(connection: Connection, address: Address, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's
    if not address.pooled:
        # Some poolers that keep a session on its connection refuse this among the settings at the start.
        await connection.execute("SET default_transaction_isolation TO 'read committed'", timeout=timeout)
    if len(address.dsns) > 1 and await connection.fetchval("SELECT pg_is_in_recovery()"):
        raise asyncpg.ReadOnlySQLTransactionError("this host is a standby")


class Pool:
    """A bounded number of connections.

    Args:
        address: Where the database is.
        size: The most connections that are open at once.
        role: The role that transactions take, or None where the connection's own is already a safe one.
        is_distributed: Whether a Citus coordinator is there.
        kind: How transactions begin, where the address does not decide it.
    """

    def __init__(
        self,
        address: Address,
        size: int,
        role: str | None,
        kind: type[Lease] | None = None,
        *,
        is_distributed: bool = False,
    ) -> None:
        self._address = address
        self._size = size
        self.role = role
        self._kind = kind or kind_for(address, is_distributed=is_distributed)
        self.shares = OwnerLimiter((size + 1) // 2, ACQUIRE_TIMEOUT)
        """How many connections each owner may use at once."""
        # Nobody's, those with an open connection last: they are taken first.
        self._places: list[Lease | None] = [None] * size
        self._waiting: deque[asyncio.Future[Lease | None]] = deque()
        self._patience = Timeouts(ACQUIRE_TIMEOUT)
        self._all_returned: asyncio.Event | None = None
        self._is_proven = False
        self.acquired = 0
        """How many times a connection was taken since the start."""

    @property
    def has_nodes(self) -> bool:
        """Whether a Citus coordinator answers, which asks its nodes."""
        return self._kind.has_nodes

    @property
    def in_use(self) -> int:
        """How many connections somebody has, or makes."""
        return self._size - len(self._places)

    @property
    def idle(self) -> list[Lease]:
        """The open connections that nobody has."""
        return [lease for lease in self._places if lease is not None]

    async def acquire(self) -> Lease:
        """Take a connection; it must be given back with `release` or `discard`.

        Raises:
            PoolExhausted: None came free in time.
            ShuttingDown: The pool is closing.
            Unavailable: The database cannot be reached.
        """
        if self._all_returned is not None:
            raise ShuttingDown
        self.acquired += 1
        lease = self._places.pop() if self._places else await self._wait()
        while lease is not None:
            # One in a transaction is somebody's; none is given back so.
            if not lease.connection.is_closed() and not lease.has_begun():
                return lease
            lease.connection.terminate()
            self._places.insert(0, None)
            lease = self._places.pop()
        try:
            return await self._make()
        except BaseException as error:
            self._put(None)
            if isinstance(error, Exception):
                raise Unavailable(reason=f"cannot connect to the database: {_reason(error)}") from error
            raise

    async def _wait(self) -> Lease | None:
        waiter: asyncio.Future[Lease | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        patience = self._patience.start(partial(_give_up, waiter, self._size))
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._put(waiter.result())
            raise
        finally:
            patience.end()

    async def _make(self) -> Lease:
        connection = await connect(self._address)
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT):
                lease = self._kind(connection, self.role)
                is_proven = await lease.prove(on_node=not self._is_proven)
        except BaseException:
            connection.terminate()
            raise
        self._is_proven = self._is_proven or is_proven
        return lease

    def release(self, lease: Lease) -> None:
        """Give a connection back."""
        self._put(None if lease.connection.is_closed() else lease)

    def discard(self, lease: Lease) -> None:
        """Give a connection back whose state is not known, to be closed at once."""
        lease.connection.terminate()
        self._put(None)

    def discard_idle(self) -> None:
        """Close what is idle, after one of them turned out to be lost: the others were lost with it."""
        for lease in self.idle:
            lease.connection.terminate()
        self._places = [None] * len(self._places)

    def _put(self, place: Lease | None) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(place)
                return
        if self._all_returned is not None and place is not None:
            place.connection.terminate()
            place = None
        if place is None:
            self._places.insert(0, None)
        else:
            self._places.append(place)
        if self._all_returned is not None and not self.in_use:
            self._all_returned.set()

    async def close(self, *, timeout: float = 10) -> None:  # noqa: ASYNC109 - what is open then is cut
        """Wait for connections in use, then close all.

        Args:
            timeout: Seconds to wait for requests that are still running.
        """
        self._all_returned = asyncio.Event()
        if self.in_use:
            try:
                async with asyncio.timeout(timeout):
                    await self._all_returned.wait()
            except TimeoutError:
                _log.warning("requests were still running at shutdown", count=self.in_use)
        for lease in self.idle:
            try:
                await lease.connection.close(timeout=2)
            except LOST:
                lease.connection.terminate()
        self._places = [None] * len(self._places)


def kind_for(address: Address, *, is_distributed: bool = False) -> type[Lease]:
    """How transactions begin at an address.

    Args:
        is_distributed: Whether a Citus coordinator is there, which hands them on to its nodes.
    """
    if is_distributed:
        return PooledCitusLease if address.pooled else CitusLease
    return Lease if address.pooled else OneMessageLease


def _give_up(waiter: asyncio.Future[Lease | None], size: int) -> None:
    if not waiter.done():
        waiter.set_exception(
            PoolExhausted(reason=f"all {size} connections of this worker were busy for {ACQUIRE_TIMEOUT:g} s")
        )


def _reason(error: BaseException) -> str:
    # The message of an authentication failure or of a socket names role and path, never the password.
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".strip(": ")

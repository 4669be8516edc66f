"""Beyond asyncpg's interface: one message that opens a transaction and runs a statement in it.

asyncpg sends a prepared statement as Bind, Execute and Sync, by one write. PostgreSQL takes all up to the Sync for one
transaction, so that a Bind and an Execute before them can name its owner. asyncpg has no call for that. The transport
is wrapped when asyncpg connects, and refuses a message that is built in another way.

Source: PostgreSQL's documentation, *Frontend/Backend Protocol*, on pipelining.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

_int32, _int16 = Struct("!i").pack, Struct("!h").pack
_BIND = ord("B")
# Close of a statement, Sync and Terminate run nothing.
_IDLE = frozenset(b"CSX")
_SYNC = b"S" + _int32(4)
# The unnamed portal, all rows.
_EXECUTE = b"E" + _int32(9) + b"\0" + _int32(0)


class WireError(Exception):
    """Something was about to run in no owner's transaction. Its connection is closed then."""


class Unanswered(Exception):
    """A message was sent, and its connection ended before the answer. It may have been carried out."""


class Wire:
    """A transport that joins an opening to the Bind that follows it, and puts a closing in front of its Sync.

    Attributes:
        inner: The transport itself.
        opening: What goes before the next message, which must be a Bind that begins a transaction; empty for nothing.
        closing: What goes before the Sync of that message; empty for nothing.
    """

    __slots__ = ("_is_in_transaction", "_write", "closing", "inner", "opening")

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.opening = self.closing = b""
        self._write = inner.write
        self._is_in_transaction: Callable[[], bool] | None = None

    def guard(self, protocol: Any) -> None:
        """Refuse from now on what is in no owner's transaction."""
        self._is_in_transaction = protocol.is_in_transaction

    def write(self, data: bytes | memoryview) -> None:
        opening, self.opening = self.opening, b""
        if self._is_in_transaction is not None:
            begun, kind = self._is_in_transaction(), data[0]
            if (begun or kind != _BIND) if opening else not (begun or kind in _IDLE):
                self._refuse()
        if opening and self.closing:
            if data[-len(_SYNC) :] != _SYNC:
                self._refuse()
            self._write(b"".join((opening, data[: -len(_SYNC)], self.closing, _SYNC)))
        else:
            self._write(b"".join((opening, data)) if opening else data)

    def writelines(self, parts: Sequence[bytes | memoryview]) -> None:
        if self._is_in_transaction is not None:
            self._refuse()
        self.inner.writelines(parts)

    def _refuse(self) -> None:
        self.inner.abort()
        raise WireError("a statement was not in its owner's transaction")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _WiringLoop:
    """The running event loop, whose connections have wrapped transports: over TCP, TLS and a socket's file."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], Any], *arguments: Any, **options: Any) -> tuple[Wire, Any]:
        transport, _ = await self._loop.create_connection(asyncio.Protocol, *arguments, **options)
        return _join(transport, factory())

    async def create_unix_connection(self, factory: Callable[[], Any], *arguments: Any) -> tuple[Wire, Any]:
        transport, _ = await self._loop.create_unix_connection(asyncio.Protocol, *arguments)
        return _join(transport, factory())

    async def start_tls(self, wire: Wire, protocol: Any, *arguments: Any, **options: Any) -> Wire | None:
        transport = await self._loop.start_tls(wire.inner, protocol, *arguments, **options)
        return None if transport is None else Wire(transport)


def _join(transport: Any, protocol: Any) -> tuple[Wire, Any]:
    # A server says nothing before it is spoken to.
    wire = Wire(transport)
    transport.set_protocol(protocol)
    protocol.connection_made(wire)
    return wire, protocol


async def connect_wired(dsn: str, **options: Any) -> Any:
    """`asyncpg.connect`, through a wrapped transport.

    Raises:
        WireError: asyncpg writes past it.
    """
    loop: Any = _WiringLoop()
    connection: Any = await asyncpg.connect(dsn, loop=loop, **options)
    if not isinstance(connection._transport, Wire):
        connection.terminate()
        raise WireError("asyncpg does not write through the transport that it was given")
    # The connection asks its loop for the current task, and only the real loop knows it.
    connection._loop = asyncio.get_running_loop()
    return connection


def guard(connection: Any) -> None:
    """Refuse from now on what is in no owner's transaction."""
    connection._transport.guard(connection._protocol)


async def prepare(connection: Any, sql: str, name: str) -> Any:
    """Prepare a statement under a name, for as long as the connection lasts."""
    return await connection._get_statement(sql, None, named=name, use_cache=False)


def prepared_statement(connection: Any, sql: str) -> Any:
    """What asyncpg has prepared of a statement on this connection, or None."""
    return connection._stmt_cache.get((sql, connection._protocol.get_record_class(), False))


def transaction_state(connection: Any) -> Callable[[], bool]:
    """Make a function that tells whether a transaction has begun, by the server's last message."""
    state: Callable[[], bool] = connection._protocol.is_in_transaction
    return state


def is_cancelling(connection: Any) -> bool:
    """Whether somebody has stopped waiting for an answer, so that the state of the connection is not known."""
    protocol = connection._protocol
    return protocol is None or protocol._is_cancelling()


class Opening:
    """A statement without rows, which is prepared under a name, and takes texts.

    Args:
        parameters: How many.
    """

    __slots__ = ("_head", "name")

    def __init__(self, name: str, parameters: int = 0) -> None:
        self.name = name
        self._head = b"\0" + name.encode() + b"\0" + _int16(0) + _int16(parameters)

    def bound(self, *values: str) -> bytes:
        """Its Bind to values of its parameters, and its Execute.

        Raises:
            ValueError: One has a NUL, which PostgreSQL cannot store.
        """
        body = self._head
        for value in values:
            text = value.encode()
            if b"\0" in text:
                raise ValueError("a string for PostgreSQL cannot have a NUL")
            body += _int32(len(text)) + text
        body += _int16(0)
        return b"B" + _int32(len(body) + 4) + body + _EXECUTE


_UNNAMED = Opening("").bound()


def unprepared(sql: str) -> bytes:
    """An opening that is a statement without rows and parameters, and is prepared for this once.

    Raises:
        ValueError: It has a NUL.
    """
    text = sql.encode()
    if b"\0" in text:
        raise ValueError("a string for PostgreSQL cannot have a NUL")
    body = b"\0" + text + b"\0" + _int16(0)
    return b"P" + _int32(len(body) + 4) + body + _UNNAMED


async def run_prepared(
    connection: Any,
    opening: bytes,
    statement: Any,
    arguments: Sequence[Any],
    *,
    closing: bytes = b"",
    commits: bool = False,
) -> list[asyncpg.Record]:
    """Run a prepared statement behind an opening, in one message.

    Args:
        closing: What is carried out after it, in the same message; it follows an opening.
        commits: Whether what was sent is committed although nobody can read the answer.

    Raises:
        asyncpg.DataError: An argument is not of its type; nothing was sent.
        Unanswered: The connection ended before the answer; or the answer to a statement that `commits` is no error and
            cannot be read.
    """
    wire = connection._transport
    wire.opening, wire.closing = opening, closing
    try:
        rows: list[asyncpg.Record] = await connection._protocol.bind_execute(statement, arguments, "", 0, False, None)
    except Exception as error:
        is_unread = commits and not isinstance(error, asyncpg.PostgresError)
        if not wire.opening and (connection.is_closed() or is_unread) and not isinstance(error, WireError):
            raise Unanswered from error
        raise
    finally:
        wire.opening = wire.closing = b""
    return rows

"""How a transaction begins as its owner's, and how statements run in it.

An opening takes the role that row-level security binds, and names the owner whose rows that role sees. Both last until
the transaction ends, so that nothing leaks to whoever uses the connection next. A pool has one kind of connection;
stores know of none.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from taskward.storage import wire
from taskward.storage.quoting import quote_identifier, quote_literal
from taskward.storage.wire import Connection

if TYPE_CHECKING:
    import asyncpg

    Change = Callable[..., Awaitable[list[asyncpg.Record]]]

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_SEEN = """
SELECT pg_catalog.current_setting('taskward.user_id', true) AS owner, current_user::text AS role,
  pg_catalog.current_setting('transaction_read_only') AS read_only,
  pg_catalog.current_setting('transaction_isolation') AS isolation
"""
_TIMEOUT = "SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'"


class Lease:
    """A pooled connection, on which one owner's transaction after another runs.

    Here each begins by a message of its own, as behind a transaction pooler, where nothing may be prepared for the
    next one.

    Args:
        role: The role to take, or None where the connection's own is already a safe one.

    Attributes:
        has_begun: Whether a transaction has, which lasts until COMMIT or ROLLBACK.
    """

    __slots__ = ("_role", "connection", "has_begun")
    _OWNER: ClassVar = "SELECT pg_catalog.set_config('taskward.user_id',{},true)"

    def __init__(self, connection: Connection, role: str | None) -> None:
        self.connection = connection
        self.has_begun: Callable[[], bool] = wire.transaction_state(connection)
        self._role = role

    async def prove(self) -> None:
        """Make a new connection ready.

        Raises:
            WireError: Statements on it would not be their owner's.
        """

    async def begin(self, user_id: str, *, read_only: bool) -> None:
        """Open a transaction, where none has begun.

        Raises:
            ValueError: The id has a NUL.
        """
        access = " READ ONLY" if read_only else ""
        role = "" if self._role is None else f"SET LOCAL ROLE {quote_identifier(self._role)};"
        await self.connection.execute(f"{_BEGIN}{access};{role}{self._OWNER.format(quote_literal(user_id))}")

    async def first(self, user_id: str, sql: str, arguments: Sequence[Any], *, read_only: bool) -> list[asyncpg.Record]:
        """Run a statement in a transaction that begins with it and, where it only reads, may end with it."""
        await self.begin(user_id, read_only=read_only)
        return await self.next(sql, arguments)

    async def next(self, sql: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        """Run a statement in the transaction that has begun."""
        return await self.connection.fetch(sql, *arguments)

    def whole(self, sql: str) -> Change | None:  # noqa: ARG002 - nothing is prepared
        """Make a function that runs a statement as a whole transaction in one message; None where none can."""
        return None


class LiteralLease(Lease):
    """A lease whose settings are literals within BEGIN. A Citus coordinator hands no others on to its nodes."""

    __slots__ = ()
    _OWNER: ClassVar = "SET LOCAL taskward.user_id TO {}"


class OneMessageLease(Lease):
    """A lease whose openings travel in front of a statement; see `wire`."""

    __slots__ = ("_longest", "_seen")

    def __init__(self, connection: Connection, role: str | None) -> None:
        super().__init__(connection, role)
        self._seen: Any = None
        self._longest = 0

    async def prove(self) -> None:
        settings = [_set("taskward.user_id", "$1")]
        if self._role is not None:
            settings.insert(0, _set("role", quote_literal(self._role)))
        changing = [*settings, _set("statement_timeout", "$2")]
        reading = [*settings, _set("transaction_read_only", quote_literal("on"))]
        # None of them is null, so there is no row, and each is asked.
        for opening, sql in (
            (_BEGINNING, _BEGIN),
            # `transaction_read_only` is never set to off: a server that takes no writes would refuse that alone.
            (_WRITING, f"SELECT WHERE {' OR '.join(settings)}"),
            (_CHANGING, f"SELECT WHERE {' OR '.join(changing)}"),
            (_READING, f"SELECT WHERE {' OR '.join(reading)}"),
        ):
            await wire.prepare(self.connection, sql, opening.name)
        self._seen = await wire.prepare(self.connection, _SEEN, "tw_seen")
        before = await self.connection.fetchrow(_SEEN)
        # One that the server sets stays, where it is the shorter one.
        self._longest = await self.connection.fetchval(_TIMEOUT) or 2**31 - 1
        somebody = secrets.token_hex(8)
        seen = await wire.run_prepared(self.connection, _READING.bound(somebody), self._seen, ())
        after = await self.connection.fetchrow(_SEEN)
        assert before is not None and after is not None, "each is a row"  # noqa: S101, PT018
        if [tuple(row) for row in seen] != [(somebody, self._role or before["role"], "on", "read committed")]:
            raise wire.WireError("what opens a transaction does not hold in it")
        if (after["owner"] or "", after["role"]) != (before["owner"] or "", before["role"]):
            raise wire.WireError("what opens a transaction lasts longer than it")
        wire.guard(self.connection)

    async def begin(self, user_id: str, *, read_only: bool) -> None:
        opening = _BEGUN + (_READING if read_only else _WRITING).bound(user_id)
        await wire.run_prepared(self.connection, opening, self._seen, ())

    async def first(self, user_id: str, sql: str, arguments: Sequence[Any], *, read_only: bool) -> list[asyncpg.Record]:
        prepared = wire.prepared_statement(self.connection, sql)
        if prepared is None:
            # It is prepared as the owner, too: the connection's own role may not be allowed to.
            return await super().first(user_id, sql, arguments, read_only=read_only)
        opening = _READING.bound(user_id) if read_only else _BEGUN + _WRITING.bound(user_id)
        return await wire.run_prepared(self.connection, opening, prepared, arguments)

    def whole(self, sql: str) -> Change | None:
        prepared = None if self.has_begun() else wire.prepared_statement(self.connection, sql)
        return None if prepared is None else partial(self._change, prepared)

    async def _change(
        self, prepared: Any, user_id: str, arguments: Sequence[Any], *, seconds: float
    ) -> list[asyncpg.Record]:
        """Run and commit what is prepared.

        Args:
            seconds: How long it may take; what takes longer has changed nothing.

        Raises:
            Unanswered: The connection ended before the answer.
        """
        milliseconds = min(max(1, int(seconds * 1000)), self._longest)
        opening = _CHANGING.bound(user_id, str(milliseconds))
        return await wire.run_prepared(self.connection, opening, prepared, arguments, commits=True)


def _set(name: str, value: str) -> str:
    return f"pg_catalog.set_config({quote_literal(name)},{value},true) IS NULL"


_BEGINNING, _WRITING = wire.Opening("tw_begin"), wire.Opening("tw_write", 1)
_CHANGING, _READING = wire.Opening("tw_change", 2), wire.Opening("tw_read", 1)
_BEGUN = _BEGINNING.bound()

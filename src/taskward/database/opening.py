"""How a transaction begins as its owner's, and how statements run in it.

An opening takes the role that row-level security binds, and names the owner whose rows that role sees. Both last until
the transaction ends, so that nothing leaks to whoever uses the connection next. A pool has one of two kinds of
connection; stores know of neither.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from taskward.database import wire
from taskward.database.quoting import quote_identifier, quote_literal
from taskward.database.wire import Connection

if TYPE_CHECKING:
    import asyncpg

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_SEEN = """
SELECT pg_catalog.current_setting('taskward.user_id', true) AS owner, current_user::text AS role,
  pg_catalog.current_setting('transaction_read_only') AS read_only,
  pg_catalog.current_setting('transaction_isolation') AS isolation
"""
_TIMEOUT = "SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'"


class Lease(Protocol):
    """A pooled connection, on which one owner's transaction after another runs."""

    connection: Connection

    async def prove(self) -> None:
        """Make a new connection ready.

        Raises:
            WireError: Statements on it would not be their owner's.
        """

    async def begin(self, user_id: str, *, read_only: bool) -> None:
        """Open a transaction that lasts until COMMIT or ROLLBACK, unless one has begun.

        Raises:
            ValueError: The id has a NUL.
        """

    def ready(self, sql: str) -> Any:
        """What can be run behind an opening of its own, where no transaction has begun; else None."""

    async def change(
        self, user_id: str, ready: Any, arguments: Sequence[Any], *, seconds: float
    ) -> list[asyncpg.Record]:
        """Run what is `ready`, and commit.

        Args:
            seconds: How long it may take; what takes longer has changed nothing.

        Raises:
            Unanswered: The connection ended before the answer.
        """

    async def fetch(self, user_id: str, sql: str, arguments: Sequence[Any], *, read_only: bool) -> list[asyncpg.Record]:
        """Run a statement in the transaction that has begun; or else in one that begins with it and, where it only
        reads, may end with it.
        """


class OneMessage:
    """A lease whose openings travel in front of a statement; see `wire`.

    Args:
        role: The role to take, or None where the connection's own is already a safe one.
    """

    __slots__ = ("_milliseconds", "_role", "_seen", "connection")

    def __init__(self, connection: Connection, role: str | None) -> None:
        self.connection = connection
        self._role = role
        self._seen: Any = None
        self._milliseconds = 0

    async def prove(self) -> None:
        # As BEGIN says it for the others. Poolers that keep a session on its connection refuse it at the start.
        await self.connection.execute("SET default_transaction_isolation TO 'read committed'")
        settings = [_set("taskward.user_id", "$1")]
        if self._role is not None:
            settings.insert(0, _set("role", quote_literal(self._role)))
        changing = [*settings, _set("statement_timeout", "$2")]
        reading = [*settings, _set("transaction_read_only", quote_literal("on"))]
        # None of them is null, so there is no row, and each is asked.
        for name, sql in (
            ("tw_begin", _BEGIN),
            # That it may write is not said: where the server takes no writes, that alone would be refused.
            ("tw_write", f"SELECT WHERE {' OR '.join(settings)}"),
            ("tw_change", f"SELECT WHERE {' OR '.join(changing)}"),
            ("tw_read", f"SELECT WHERE {' OR '.join(reading)}"),
        ):
            await wire.prepare(self.connection, sql, name)
        self._seen = await wire.prepare(self.connection, _SEEN, "tw_seen")
        before = await self.connection.fetchrow(_SEEN)
        # One that the server sets stays, where it is the shorter one.
        self._milliseconds = await self.connection.fetchval(_TIMEOUT)
        somebody = secrets.token_hex(8)
        seen = await wire.run(self.connection, wire.bound("tw_read", somebody), self._seen, ())
        after = await self.connection.fetchrow(_SEEN)
        assert before is not None and after is not None, "each is a row"  # noqa: S101, PT018
        if [tuple(row) for row in seen] != [(somebody, self._role or before["role"], "on", "read committed")]:
            raise wire.WireError("what opens a transaction does not hold in it")
        if (after["owner"] or "", after["role"]) != (before["owner"] or "", before["role"]):
            raise wire.WireError("what opens a transaction lasts longer than it")
        wire.guard(self.connection)

    async def begin(self, user_id: str, *, read_only: bool) -> None:
        if self.connection.is_in_transaction():
            return
        opening = _BEGUN + wire.bound("tw_read" if read_only else "tw_write", user_id)
        await wire.run(self.connection, opening, self._seen, ())

    def ready(self, sql: str) -> Any:
        return None if self.connection.is_in_transaction() else wire.prepared(self.connection, sql)

    async def change(
        self, user_id: str, ready: Any, arguments: Sequence[Any], *, seconds: float
    ) -> list[asyncpg.Record]:
        milliseconds = max(1, int(seconds * 1000))
        if 0 < self._milliseconds < milliseconds:
            milliseconds = self._milliseconds
        return await wire.run(self.connection, wire.bound("tw_change", user_id, str(milliseconds)), ready, arguments)

    async def fetch(self, user_id: str, sql: str, arguments: Sequence[Any], *, read_only: bool) -> list[asyncpg.Record]:
        connection = self.connection
        if (ready := self.ready(sql)) is not None:
            opening = wire.bound("tw_read", user_id) if read_only else _BEGUN + wire.bound("tw_write", user_id)
            return await wire.run(connection, opening, ready, arguments)
        # It is prepared as the owner, too: the connection's own role may not be allowed to.
        await self.begin(user_id, read_only=read_only)
        return await connection.fetch(sql, *arguments)


class Begun:
    """A lease whose transactions each begin by a message of their own, as behind a transaction pooler, where nothing
    may be prepared for the next one.

    Args:
        role: As for `OneMessage`.
    """

    __slots__ = ("_take_role", "connection")

    def __init__(self, connection: Connection, role: str | None) -> None:
        self.connection = connection
        self._take_role = "" if role is None else f"SET LOCAL ROLE {quote_identifier(role)};"

    async def prove(self) -> None:
        pass

    async def begin(self, user_id: str, *, read_only: bool) -> None:
        if self.connection.is_in_transaction():
            return
        access = " READ ONLY" if read_only else ""
        owner = f"SELECT pg_catalog.set_config('taskward.user_id',{quote_literal(user_id)},true)"
        await self.connection.execute(f"{_BEGIN}{access};{self._take_role}{owner}")

    def ready(self, sql: str) -> Any:  # noqa: ARG002 - nothing is
        return None

    async def change(
        self,
        *_asked: Any,
        seconds: float,  # noqa: ARG002 - nothing is ready
    ) -> list[asyncpg.Record]:
        raise RuntimeError("behind a pooler nothing is ready")

    async def fetch(self, user_id: str, sql: str, arguments: Sequence[Any], *, read_only: bool) -> list[asyncpg.Record]:
        await self.begin(user_id, read_only=read_only)
        return await self.connection.fetch(sql, *arguments)


_BEGUN = wire.bound("tw_begin")


def _set(name: str, value: str) -> str:
    return f"pg_catalog.set_config({quote_literal(name)},{value},true) IS NULL"

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

import asyncpg

from taskward.storage import wire
from taskward.storage.failures import is_of_node
from taskward.storage.quoting import SCHEMA, quote_identifier, quote_literal
from taskward.storage.wire import Connection

if TYPE_CHECKING:
    Change = Callable[..., Awaitable[list[asyncpg.Record]]]

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_SET_OWNER = "SELECT pg_catalog.set_config('taskward.user_id',{},true)"
_SEEN = """
SELECT pg_catalog.current_setting('taskward.user_id', true) AS owner, current_user::text AS role,
  pg_catalog.current_setting('transaction_read_only') AS read_only,
  pg_catalog.current_setting('transaction_isolation') AS isolation
"""
_SEEN_ON_NODE = f"""
SELECT pg_catalog.current_setting('taskward.user_id', true) AS owner, current_user::text AS role,
  pg_catalog.current_setting('transaction_read_only') AS read_only,
  pg_catalog.current_setting('transaction_isolation') AS isolation, count(*)
FROM {SCHEMA}.account WHERE user_id = $1
"""  # noqa: S608 - a name of ours
_HAND_ON = "SET {}citus.propagate_set_commands TO 'local'"
# Milliseconds that a coordinator waits for a new connection to a node, while somebody else's request may need this one.
_PATIENCE = "SET {}citus.node_connection_timeout TO 2000"
# What asks every shard asks those of a node one after the other: connections for it alone would be opened each time.
_ONE_BY_ONE = "SET {}citus.max_adaptive_executor_pool_size TO 1"
# A coordinator writes dates out for its nodes, which would take day and month by a setting of their own.
_DATES = "SET {}DateStyle TO 'ISO'"
_SETTINGS = (_PATIENCE, _ONE_BY_ONE, _DATES, _HAND_ON)
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
    has_nodes: ClassVar = False
    """Whether a Citus coordinator answers, which asks a node."""

    def __init__(self, connection: Connection, role: str | None) -> None:
        self.connection = connection
        self.has_begun: Callable[[], bool] = wire.transaction_state(connection)
        self._role = role

    async def prove(self, *, on_node: bool = True) -> bool:  # noqa: ARG002 - there is none here
        """Make a new connection ready.

        Args:
            on_node: Whether to ask a node of a cluster as well, which may be slow to fail.

        Returns:
            Whether a node need not be asked any more.

        Raises:
            WireError: Statements on it would not be their owner's.
        """
        return True

    async def begin(self, user_id: str, *, read_only: bool) -> None:
        """Open a transaction, where none has begun.

        Raises:
            ValueError: The id has a NUL.
        """
        access = " READ ONLY" if read_only else ""
        role = "" if self._role is None else f"{_role_literal(self._role)};"
        await self.connection.execute(f"{_BEGIN}{access};{role}{_SET_OWNER.format(quote_literal(user_id))}")

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


class PooledCitusLease(Lease):
    """A lease behind a transaction pooler and a Citus coordinator, which hands only literal settings on to its nodes.
    It hands on the whole text that it gets, so the one that names the owner is a message of its own.
    """

    __slots__ = ()
    has_nodes = True

    async def begin(self, user_id: str, *, read_only: bool) -> None:
        access = " READ ONLY" if read_only else ""
        settings = ";".join(setting.format("LOCAL ") for setting in _SETTINGS)
        await self.connection.execute(f"{_BEGIN}{access};{settings}")
        if self._role is not None:
            await self.connection.execute(_role_literal(self._role))
        await self.connection.execute(_owner_literal(user_id))


class OneMessageLease(Lease):
    """A lease whose openings travel in front of a statement; see `wire`."""

    __slots__ = ("_longest", "_seen")

    def __init__(self, connection: Connection, role: str | None) -> None:
        super().__init__(connection, role)
        self._seen: Any = None
        self._longest = 0

    async def prove(self, *, on_node: bool = True) -> bool:  # noqa: ARG002 - there is none here
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
        return True

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


class CitusLease(Lease):
    """A lease whose openings travel in front of a statement, to a Citus coordinator: as `OneMessageLease`, but within
    BEGIN and with a literal, since the coordinator hands no other setting on to its nodes. A change is committed by a
    message of its own, so that a node which fails before is told from one that fails in it.
    """

    __slots__ = ("_reading", "_seen", "_writing")
    has_nodes = True

    def __init__(self, connection: Connection, role: str | None) -> None:
        super().__init__(connection, role)
        self._seen: Any = None
        as_role = b"" if role is None else wire.unprepared(_role_literal(role))
        self._writing = _BEGUN + as_role
        self._reading = _BEGUN_TO_READ + as_role

    async def prove(self, *, on_node: bool = True) -> bool:
        for setting in _SETTINGS:
            await self.connection.execute(setting.format(""))
        await wire.prepare(self.connection, _BEGIN, _BEGINNING.name)
        await wire.prepare(self.connection, f"{_BEGIN} READ ONLY", _BEGINNING_TO_READ.name)
        await wire.prepare(self.connection, "COMMIT", _COMMITTING.name)
        self._seen = await wire.prepare(self.connection, _SEEN, "tw_seen")
        somebody = secrets.token_hex(8)
        before = await self.connection.fetchrow(_SEEN)
        seen = await self._tried(somebody, _SEEN) + await self._tried(somebody, _SEEN)
        of_node = await self._ask_node(somebody) if on_node else []
        after = await self.connection.fetchrow(_SEEN)
        assert before is not None and after is not None, "each is a row"  # noqa: S101, PT018
        if {tuple(row)[:4] for row in (*seen, *of_node)} != {
            (somebody, self._role or before["role"], "on", "read committed")
        }:
            raise wire.WireError("what opens a transaction does not hold in it, or not on the nodes")
        if (after["owner"] or "", after["role"]) != (before["owner"] or "", before["role"]):
            raise wire.WireError("what opens a transaction lasts longer than it")
        wire.guard(self.connection)
        return bool(of_node)

    async def _ask_node(self, somebody: str) -> list[asyncpg.Record]:
        try:
            return await self._tried(somebody, _SEEN_ON_NODE, somebody)
        except asyncpg.PostgresError as error:
            # The other nodes' users are served, and this one shows nothing to whom it has not been told of.
            if not is_of_node(error):
                raise
            return []

    async def _tried(self, somebody: str, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """What a statement yields in a transaction that begins and ends with it; it is prepared by the first time."""
        try:
            return await self.first(somebody, sql, arguments, read_only=True)
        finally:
            if self.has_begun():
                await self.connection.execute("ROLLBACK")

    async def begin(self, user_id: str, *, read_only: bool) -> None:
        opening = (self._reading if read_only else self._writing) + _literal_opening(user_id)
        await wire.run_prepared(self.connection, opening, self._seen, ())

    async def first(self, user_id: str, sql: str, arguments: Sequence[Any], *, read_only: bool) -> list[asyncpg.Record]:
        prepared = wire.prepared_statement(self.connection, sql)
        if prepared is None:
            return await super().first(user_id, sql, arguments, read_only=read_only)
        owner = _literal_opening(user_id)
        if read_only:
            opening = self._reading + owner
            return await wire.run_prepared(self.connection, opening, prepared, arguments, closing=_COMMITTED)
        return await wire.run_prepared(self.connection, self._writing + owner, prepared, arguments)


def _role_literal(role: str) -> str:
    return f"SET LOCAL ROLE {quote_identifier(role)}"


def _owner_literal(user_id: str) -> str:
    return f"SET LOCAL taskward.user_id TO {quote_literal(user_id)}"


def _literal_opening(user_id: str) -> bytes:
    return wire.unprepared(_owner_literal(user_id))


def _set(name: str, value: str) -> str:
    return f"pg_catalog.set_config({quote_literal(name)},{value},true) IS NULL"


_BEGINNING, _WRITING = wire.Opening("tw_begin"), wire.Opening("tw_write", 1)
_CHANGING, _READING = wire.Opening("tw_change", 2), wire.Opening("tw_read", 1)
_BEGINNING_TO_READ, _COMMITTING = wire.Opening("tw_begin_read"), wire.Opening("tw_commit")
_BEGUN, _BEGUN_TO_READ, _COMMITTED = _BEGINNING.bound(), _BEGINNING_TO_READ.bound(), _COMMITTING.bound()

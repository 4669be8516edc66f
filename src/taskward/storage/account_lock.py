"""A turn to write: while one request of an owner changes several rows, the owner's other writes wait.

The account's row is locked, as by every write, so what is read meanwhile stays true until the transaction ends, and
versions and times rise in commit order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, BigInteger, DateTime, Text, Uuid, bindparam, column, delete, func, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import select

from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import Account, Tombstone, columns, in_utc, next_change_at


class AccountLock:
    """The owner's turn, from `begin` until the transaction ends.

    Attributes:
        now: The time of the first change, by the database's clock; no earlier change of the owner's has it.
        trashed_at: No task of those in the trash went there before; whoever puts some there says so here.
        tasks, lists: How many there are, those in the trash included; whoever makes or erases some says so here.
    """

    __slots__ = ("_before", "_is_first", "_session", "_version", "lists", "now", "tasks", "trashed_at")

    def __init__(self, session: Session, account: asyncpg.Record) -> None:
        self._session = session
        self._version: int = account["clock"]
        self.now: datetime = account["now"]
        self.trashed_at: datetime | None = account["trashed_at"]
        self.tasks: int = account["tasks"]
        self.lists: int = account["lists"]
        self._before = self._state()
        self._is_first = False

    def _state(self) -> tuple[int, datetime | None, int, int]:
        return self._version, self.trashed_at, self.tasks, self.lists

    @classmethod
    async def acquire(cls, session: Session) -> AccountLock:
        """Wait for the owner's turn; the account is made at the first."""
        is_first = False
        while (row := await session.fetch_one(_lock())) is None:
            # Nothing comes of it where another request begins the account at the same moment; that one may end it, too.
            is_first = await session.fetch_one(_open_account()) is not None
        lock = cls(session, row)
        session.trashed_at = lock.trashed_at
        lock._is_first = is_first
        return lock

    @property
    def version(self) -> int:
        """The last version that was given out."""
        return self._version

    @property
    def time(self) -> datetime:
        """When the row changed that has the last version."""
        before, *_ = self._before
        return self.now + timedelta(microseconds=self._version - before - 1)

    def note_trash(self, since: datetime) -> None:
        """Note that a task is in the trash since then."""
        self.trashed_at = since if self.trashed_at is None else min(since, self.trashed_at)

    def next_version(self, count: int = 1) -> int:
        """The version of one more row that changes; of `count` more, the last one's."""
        self._version += count
        return self._version

    async def add_tombstones(self, kind: str, versions: Mapping[UUID, int]) -> None:
        """Leave a tombstone for each row that was erased.

        Args:
            kind: The table that they were in.
            versions: By id, the version of the erasure.
        """
        if versions:
            ids, numbers = list(versions), list(versions.values())
            await self._session.fetch(_add_tombstones(), kind=kind, ids=ids, versions=numbers)

    async def save(self) -> None:
        """Write down the clock and the counts, where they changed. Whoever has written nothing has no account."""
        if self._state() == self._before:
            if self._is_first:
                await self._session.fetch(_close_account())
            return
        state = {"new_trashed_at": self.trashed_at, "new_tasks": self.tasks, "new_lists": self.lists}
        await self._session.fetch(_advance(), clock=self._version, time=self.time, **state)


async def wait_for_lock(session: Session) -> bool:
    """Wait for the owner's turn, and say whether there is an account."""
    return await session.fetch_one(_lock()) is not None


async def ensure_account(session: Session) -> None:
    """Make the owner's account, unless there is one. Nobody ends it before this transaction does."""
    while await session.fetch_one(_open_account()) is None:
        if await wait_for_lock(session):
            return


@cache
def _open_account() -> Statement:
    account = columns(Account)
    made = upsert(Account).values(user_id=OWNER, clock=0).on_conflict_do_nothing()
    return compile_statement(made.returning(account.user_id))


@cache
def _close_account() -> Statement:
    return compile_statement(delete(Account).where(columns(Account).user_id == OWNER))


@cache
def _lock() -> Statement:
    account = columns(Account)
    lock = update(Account).where(account.user_id == OWNER).values(clock=account.clock)
    # Not written yet: whoever changes nothing leaves no trace.
    now, trashed_at = in_utc(next_change_at()).label("now"), in_utc(account.trashed_at).label("trashed_at")
    return compile_statement(lock.returning(account.clock, account.tasks, account.lists, now, trashed_at))


@cache
def _advance() -> Statement:
    account = columns(Account)
    counts = {name: bindparam(f"new_{name}", type_=BigInteger()) for name in ("tasks", "lists")}
    advanced = {
        "clock": bindparam("clock", type_=BigInteger()),
        "changed_at": in_utc(bindparam("time", type_=DateTime(timezone=True))),
        "trashed_at": in_utc(bindparam("new_trashed_at", type_=DateTime(timezone=True))),
    }
    return compile_statement(update(Account).where(account.user_id == OWNER).values(**advanced, **counts))


@cache
def _add_tombstones() -> Statement:
    ids, versions = bindparam("ids", type_=ARRAY(Uuid())), bindparam("versions", type_=ARRAY(BigInteger()))
    both = func.unnest(ids, versions).table_valued(column("id", Uuid()), column("version", BigInteger()))
    gone = both.render_derived(name="gone")
    kind = bindparam("kind", type_=Text())
    row = select(OWNER.label("user_id"), kind.label("kind"), gone.c.id, gone.c.version)
    stone = upsert(Tombstone).from_select(["user_id", "kind", "id", "version"], row)
    return compile_statement(
        stone.on_conflict_do_update(index_elements=["user_id", "kind", "id"], set_={"version": stone.excluded.version})
    )

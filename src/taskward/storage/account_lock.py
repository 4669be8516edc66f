"""A turn to write: while one request of an owner changes several rows, the owner's other writes wait.

The account's row is locked, as by every write, so what is read meanwhile stays true until the transaction ends, and
versions and times rise in commit order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, BigInteger, DateTime, Text, Uuid, bindparam, column, delete, func, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import SQLModel, select

from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import (
    Account,
    AccountColumn,
    Tombstone,
    account_columns,
    columns,
    in_utc,
    next_change_at,
    table_of,
)

_Kept = TypeVar("_Kept")


class AccountLock:
    """The owner's turn, from `begin` until the transaction ends. What slices keep in the account is an item of it, by
    its declaration: whoever makes or erases what is counted there says so here.

    Attributes:
        now: The time of the first change, by the database's clock; no earlier change of the owner's has it.
    """

    __slots__ = ("_account", "_is_first", "_kept", "_session", "_version", "now")

    def __init__(self, session: Session, account: asyncpg.Record) -> None:
        self._session = session
        self._account = account
        self._kept: dict[str, Any] = dict(account)
        self._version: int = account["clock"]
        self.now: datetime = account["now"]
        self._is_first = False

    def __getitem__(self, column: AccountColumn[_Kept]) -> _Kept:
        kept: _Kept = self._kept[column.label]
        return kept

    def __setitem__(self, column: AccountColumn[_Kept], kept: _Kept) -> None:
        self._kept[column.label] = kept

    @classmethod
    async def acquire(cls, session: Session) -> AccountLock:
        """Wait for the owner's turn; the account is made at the first."""
        is_first = False
        while (row := await session.fetch_one(_lock())) is None:
            # Nothing comes of it where another request begins the account at the same moment; that one may end it, too.
            is_first = await session.fetch_one(_open_account()) is not None
        lock = cls(session, row)
        session.account = row
        lock._is_first = is_first
        return lock

    @property
    def version(self) -> int:
        """The last version that was given out."""
        return self._version

    @property
    def time(self) -> datetime:
        """When the row changed that has the last version."""
        return self.now + timedelta(microseconds=self._version - self._account["clock"] - 1)

    def next_version(self, count: int = 1) -> int:
        """The version of one more row that changes; of `count` more, the last one's."""
        self._version += count
        return self._version

    async def add_tombstones(self, model: type[SQLModel], versions: Mapping[UUID, int]) -> None:
        """Leave a tombstone for each row that was erased.

        Args:
            model: The class of the table that they were in.
            versions: By id, the version of the erasure.
        """
        if versions:
            ids, numbers = list(versions), list(versions.values())
            await self._session.fetch(_add_tombstones(), kind=table_of(model).name, ids=ids, versions=numbers)

    async def save(self) -> None:
        """Write down the clock and what slices keep, where it changed. Whoever has written nothing has no account."""
        if self._version == self._account["clock"] and self._kept == dict(self._account):
            if self._is_first:
                await self._session.fetch(_close_account())
            return
        await self._session.fetch(_advance(), **(self._kept | {"clock": self._version}), time=self.time)


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
    # Not written yet: whoever changes nothing leaves no trace.
    now = in_utc(next_change_at()).label("now")
    mine = select(account.clock, now, *(one.read() for one in account_columns())).where(account.user_id == OWNER)
    return compile_statement(mine.with_for_update(key_share=True))


@cache
def _advance() -> Statement:
    table = table_of(Account)
    account = table.c
    advanced = {
        "clock": bindparam("clock", type_=BigInteger()),
        "changed_at": in_utc(bindparam("time", type_=DateTime(timezone=True))),
    }
    kept = {one.column.name: one.written() for one in account_columns()}
    return compile_statement(update(table).where(account.user_id == OWNER).values(**advanced, **kept))


@cache
def _add_tombstones() -> Statement:
    ids, versions = bindparam("ids", type_=ARRAY(Uuid())), bindparam("versions", type_=ARRAY(BigInteger()))
    both = func.unnest(ids, versions).table_valued(column("id", Uuid()), column("version", BigInteger()))
    gone = both.render_derived(name="gone")
    kind = bindparam("kind", type_=Text())
    # By the column, a Citus coordinator finds the node; by the parameter alone it would read the rows, and copy them.
    account = columns(Account)
    row = select(account.user_id, kind.label("kind"), gone.c.id, gone.c.version).where(account.user_id == OWNER)
    stone = upsert(Tombstone).from_select(["user_id", "kind", "id", "version"], row)
    return compile_statement(
        stone.on_conflict_do_update(index_elements=["user_id", "kind", "id"], set_={"version": stone.excluded.version})
    )

"""The lists of one owner: every statement that reads or writes them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import (
    BigInteger,
    DateTime,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    update,
)
from sqlmodel import select

from taskward.errors import FieldError, Invalid, StaleVersion
from taskward.kit.limits import LimitReached, Limits
from taskward.kit.ordering import reorder
from taskward.lists import removal
from taskward.lists.errors import ListForbidden, ListIdTaken, ListNotFound
from taskward.lists.limits import LISTS
from taskward.lists.list_json import JSON_COLUMNS, export_of, json_of
from taskward.lists.schemas import ListCreate, WithTasks
from taskward.lists.table import LIST_COUNT, TaskList
from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.export_lines import page_by_id
from taskward.storage.probing import is_anothers
from taskward.storage.scoping import OWNER, Constant
from taskward.storage.session import Session, constraint_of
from taskward.storage.stored_responses import StoredResponses
from taskward.storage.tables import Account, columns, position_of, table_of
from taskward.tasks.table import Task, note_trash

_list = columns(TaskList)
_task = columns(Task)
_ID = bindparam("id", type_=Uuid())
_MINE = (_list.user_id == OWNER, _list.id == _ID)
_VERSION = bindparam("new_version", type_=BigInteger())
_TIME = bindparam("new_time", type_=DateTime(timezone=True))

# Named here, because inside the class `list` is a method.
Rows = list[asyncpg.Record]
Versions = list[int] | None


class ListStore:
    """The lists of the session's owner. Where a method returns a row, it has `list_json.JSON_COLUMNS`."""

    def __init__(self, session: Session, limits: Limits | None = None) -> None:
        self._session = session
        self._limits = limits or Limits()

    async def add(self, new: ListCreate) -> asyncpg.Record:
        """Write a new list.

        Raises:
            ListIdTaken: The owner has a list with this id.
            LimitReached: The owner has as many as one may have.
        """
        lock = await AccountLock.acquire(self._session)
        if lock[LIST_COUNT] >= self._limits[LISTS]:
            raise LimitReached(LISTS, self._limits[LISTS])
        lock[LIST_COUNT] += 1
        try:
            row = await self._session.fetch_one(_add(), **vars(new), position=None, **_next_change(lock))
        except asyncpg.UniqueViolationError as error:
            if constraint_of(error) != "list_pkey":
                raise
            raise ListIdTaken from None
        await lock.save()
        assert row is not None, "an insert returns its row"  # noqa: S101
        return row

    async def insert_exported(self, lock: AccountLock, lists: Iterable[dict[str, Any]]) -> int:
        """Make lists as they were exported, but for those whose ids the owner has.

        Args:
            lock: The owner's turn, which ends with what else is imported.
            lists: With `id`, `name`, `color` and `position`.

        Returns:
            How many were made.

        Raises:
            LimitReached: The owner would have more than one may have.
        """
        known = {row["id"] for row in await self._session.fetch(_ids())}
        made = 0
        async for one in cooperatively(lists):
            if one["id"] in known:
                continue
            if lock[LIST_COUNT] >= self._limits[LISTS]:
                raise LimitReached(LISTS, self._limits[LISTS])
            await self._session.fetch(_add(), **one, **_next_change(lock))
            known.add(one["id"])
            lock[LIST_COUNT] += 1
            made += 1
        return made

    async def account(self) -> asyncpg.Record | None:
        """The account's epoch and clock; None before the first write."""
        return await self._session.fetch_one(_account())

    async def list(self) -> Rows:
        """All lists in their order, each as `list`, JSON with the counts of its tasks, and each row with the account's
        epoch and clock; one row without a list's id where there is none, and no row where the account does not exist.
        """
        return await self._session.fetch(_all())

    async def get(self, list_id: UUID) -> asyncpg.Record:
        """Read a list.

        Raises:
            ListNotFound: The owner has no such list, and nobody else has one.
            ListForbidden: It is someone else's.
        """
        row = await self._session.fetch_one(_get(), id=list_id)
        if row is None:
            raise ListForbidden if await is_anothers(self._session, TaskList, list_id) else ListNotFound
        return row

    async def update(self, list_id: UUID, changes: dict[str, Any], versions: Versions) -> asyncpg.Record:
        """Change the members in `changes`; without changes it is only read.

        Args:
            versions: The versions that the list may have, or None for any.

        Raises:
            ListNotFound, ListForbidden: As for `get`.
            StaleVersion: It has another version.
        """
        lock, row = await self._begin(list_id, versions)
        if not changes:
            return row
        values = {f"new_{name}": value for name, value in changes.items()}
        statement = _update(tuple(sorted(changes)))
        changed = await self._session.fetch_one(statement, id=list_id, **_next_change(lock), **values)
        await lock.save()
        assert changed is not None, "it is the owner's turn"  # noqa: S101
        return changed

    async def move(self, list_id: UUID, after: UUID | None, versions: Versions) -> asyncpg.Record:
        """Put a list after another one, or first.

        Raises:
            Invalid: `after` is not another list of the owner's. Else as `update`.
        """
        lock, _ = await self._begin(list_id, versions)
        others = [(row["id"], row["position"]) for row in await self._session.fetch(_positions(), id=list_id)]
        try:
            moves = reorder(others, list_id, after)
        except LookupError:
            raise Invalid([FieldError("body", "/after", "This must be another list of yours.")]) from None
        moved = None
        # In the order of ids, as the tasks of one request are.
        for one, new_position in sorted(moves.items()):
            values = {"id": one, "new_position": new_position, **_next_change(lock)}
            row = await self._session.fetch_one(_update(("position",)), **values)
            moved = row if one == list_id else moved
        await lock.save()
        assert moved is not None, "it is among them"  # noqa: S101
        return moved

    async def remove(self, list_id: UUID, tasks: WithTasks | None, versions: Versions) -> None:
        """Remove a list for good.

        Args:
            tasks: What becomes of its live tasks: they go to the trash, with those below them, or stay in no list.

        Raises:
            Invalid: It has live tasks, and `tasks` does not say. Else as `update`.
        """
        lock, _ = await self._begin(list_id, versions)
        if tasks is None and await self._session.fetch_one(removal.any_task(), id=list_id):
            raise Invalid([FieldError("query", "/tasks", "This list has tasks: say trash or keep.")])
        statement = removal.trash_tasks() if tasks == "trash" else removal.release_tasks()
        row = await self._session.fetch_one(statement, last_version=lock.version, last_time=lock.time, id=list_id)
        lock.next_version(row["count"] if row else 0)
        if tasks == "trash":
            note_trash(lock, lock.now)
        await self._session.fetch(_delete(), id=list_id)
        lock[LIST_COUNT] -= 1
        await lock.add_tombstones(TaskList, {list_id: lock.next_version()})
        await StoredResponses(self._session).forget([list_id])
        await lock.save()

    async def _begin(self, list_id: UUID, versions: Versions) -> tuple[AccountLock, asyncpg.Record]:
        """Wait for the owner's turn, and read the list."""
        lock = await AccountLock.acquire(self._session)
        row = await self.get(list_id)
        if versions is not None and row["version"] not in versions:
            raise StaleVersion(row["version"])
        return lock, row


def _next_change(lock: AccountLock) -> dict[str, Any]:
    """The version and the time of one more list that changes."""
    return {"new_version": lock.next_version(), "new_time": lock.time}


@cache
def export_lists() -> Statement:
    """A page of lists for `flat_reader`."""
    return page_by_id(TaskList, export_of)


@cache
def _add() -> Statement:
    members = (*ListCreate.model_fields, "position")
    values: dict[str, Any] = {name: bindparam(name, type_=_list[name].type) for name in members}
    values |= {"version": _VERSION, "created_at": _TIME, "updated_at": _TIME}
    return compile_statement(insert(TaskList).values(user_id=OWNER, **values).returning(*JSON_COLUMNS))


@cache
def _account() -> Statement:
    account = columns(Account)
    return compile_statement(
        select(cast(account.epoch, Text).label("epoch"), account.clock).where(account.user_id == OWNER)
    )


@cache
def _all() -> Statement:
    account = columns(Account)
    mine = select(*_list).where(_list.user_id == OWNER).subquery("mine")
    inside = (_task.user_id == OWNER, _task.deleted_at.is_(None), _task.list_id.is_not(None))
    counted = (
        select(
            _task.user_id,
            _task.list_id,
            func.count(case((~_task.completed, Constant(1)))).label("open_tasks"),
            func.count(case((_task.completed, Constant(1)))).label("done_tasks"),
        )
        .where(*inside)
        .group_by(_task.user_id, _task.list_id)
        .subquery("counted")
    )
    counts = {name: func.coalesce(counted.c[name], Constant(0)) for name in ("open_tasks", "done_tasks")}
    statement = select(
        cast(account.epoch, Text).label("epoch"), account.clock, mine.c.id, json_of(mine.c, **counts).label("list")
    )
    joined = statement.select_from(
        table_of(Account)
        .outerjoin(mine, mine.c.user_id == account.user_id)
        .outerjoin(counted, and_(counted.c.user_id == mine.c.user_id, counted.c.list_id == mine.c.id))
    )
    return compile_statement(joined.where(account.user_id == OWNER).order_by(position_of(mine.c), mine.c.id))


@cache
def _get() -> Statement:
    return compile_statement(select(*JSON_COLUMNS).where(*_MINE))


@cache
def _positions() -> Statement:
    position = position_of(_list).label("position")
    others = select(_list.id, position).where(_list.user_id == OWNER, _list.id != _ID)
    return compile_statement(others.order_by(position, _list.id))


@cache
def _ids() -> Statement:
    return compile_statement(select(_list.id).where(_list.user_id == OWNER))


@cache
def _update(members: tuple[str, ...]) -> Statement:
    values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=_list[name].type) for name in members}
    values |= {"version": _VERSION, "updated_at": _TIME}
    return compile_statement(update(TaskList).where(*_MINE).values(**values).returning(*JSON_COLUMNS))


@cache
def _delete() -> Statement:
    return compile_statement(delete(TaskList).where(*_MINE))

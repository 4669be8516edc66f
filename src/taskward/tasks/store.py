"""The tasks of one owner: every statement that reads or writes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    null,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import select

from taskward.database.session import Session
from taskward.database.statements import OWNER, Statement, compile_statement
from taskward.database.tables import Account, columns, open_account, tick
from taskward.errors import StaleVersion, TaskForbidden, TaskIdTaken, TaskNotFound
from taskward.tasks.models import Task, TaskCreate, Tombstone
from taskward.tasks.query import Listing, read_from

_task = columns(Task)

_ID = bindparam("id", type_=Uuid())
_VERSIONS = bindparam("versions", type_=ARRAY(BigInteger()))
_READ = read_from(_task)
_MINE = (_task.user_id == OWNER, _task.id == _ID)

# Named here, because inside the class `list` is a method.
Rows = list[asyncpg.Record]
Versions = list[int] | None


class TaskStore:
    """The tasks of the session's owner. Where a method returns a row, it is one of `read_from`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, task: TaskCreate) -> asyncpg.Record:
        """Write a new task.

        Raises:
            TaskIdTaken: The owner has a task with this id.
        """
        try:
            row = await self._session.fetch_one(_add(), **vars(task))
            if row is None:
                # The owner's first write.
                await self._session.fetch(_open_account())
                row = await self._session.fetch_one(_add(), **vars(task))
        except asyncpg.UniqueViolationError:
            raise TaskIdTaken from None
        assert row is not None, "there is an account now"  # noqa: S101
        return row

    async def get(self, task_id: UUID) -> asyncpg.Record:
        """Read a live task.

        Raises:
            TaskNotFound: The owner has no such live task, and nobody else has one.
            TaskForbidden: It is someone else's.
        """
        row = await self._session.fetch_one(_get(conditional=False), id=task_id)
        if row is None:
            await self._miss(task_id)
        return row

    async def list(self, listing: Listing) -> Rows:
        """Run a listing; see `Listing.statement` for its rows."""
        return await self._session.fetch(listing.statement, **listing.parameters)

    async def account(self) -> asyncpg.Record | None:
        """The owner's epoch and clock, or None before the first write."""
        return await self._session.fetch_one(_account())

    async def update(self, task_id: UUID, changes: dict[str, Any], versions: Versions) -> asyncpg.Record:
        """Change the members in `changes` of a live task; without changes it is only read.

        Args:
            versions: The versions that the task may have, or None for any.

        Raises:
            TaskNotFound, TaskForbidden: As for `get`.
            StaleVersion: It has another version.
        """
        conditional = versions is not None
        statement = _update(tuple(sorted(changes)), conditional) if changes else _get(conditional)
        values = {f"new_{name}": value for name, value in changes.items()}
        return await self._first([statement], task_id, versions, **values)

    async def toggle(self, task_id: UUID, versions: Versions) -> asyncpg.Record:
        """Complete an open task, or reopen a completed one; raises as `update`."""
        return await self._first([_toggle(versions is not None)], task_id, versions)

    async def trash(self, task_id: UUID, versions: Versions) -> asyncpg.Record:
        """Move a live task to the trash; raises as `update`."""
        return await self._first([_trash(versions is not None)], task_id, versions)

    async def restore(self, task_id: UUID, versions: Versions) -> asyncpg.Record:
        """Take a task out of the trash; a live one is left as it is. Raises as `update`."""
        conditional = versions is not None
        return await self._first([_restore(conditional), _get(conditional)], task_id, versions, trashed=True)

    async def erase(self, task_id: UUID, versions: Versions) -> None:
        """Remove a task, live or in the trash, for good, leaving a tombstone; raises as `update`."""
        await self._first([_erase(versions is not None)], task_id, versions, trashed=True)

    async def _first(
        self,
        statements: Sequence[Statement],
        task_id: UUID,
        versions: Versions,
        *,
        trashed: bool = False,
        **values: Any,
    ) -> asyncpg.Record:
        """The row of the first statement that finds the task; raises as `update`.

        Args:
            trashed: Whether they find it in the trash as well.
        """
        for _ in range(2):
            for statement in statements:
                row = await self._session.fetch_one(statement, id=task_id, versions=versions, **values)
                if row is not None:
                    return row
            try:
                # The clock that a statement took is given back when this rolls the transaction back.
                await self._miss(task_id, trashed=trashed)
            except StaleVersion:
                if versions is not None:
                    raise
                # No version was asked for, so it was trashed or restored since the statement looked.
        raise TaskNotFound

    async def _miss(self, task_id: UUID, *, trashed: bool = False) -> NoReturn:
        row = await self._session.fetch_one(_probe(), id=task_id)
        assert row is not None, "the probe always has a row"  # noqa: S101
        if row["version"] is not None:
            if row["deleted_at"] is None or trashed:
                raise StaleVersion(row["version"])
            raise TaskNotFound
        raise TaskForbidden if row["exists"] else TaskNotFound


@cache
def _open_account() -> Statement:
    return compile_statement(open_account())


@cache
def _add() -> Statement:
    clock = tick()
    sent = {name: bindparam(name, type_=_task[name].type) for name in TaskCreate.model_fields}
    completed_at = case((sent["completed"], func.now()))
    values: dict[str, Any] = {"user_id": OWNER, **sent, "completed_at": completed_at, "version": clock.c.clock}
    row = select(*(value.label(name) for name, value in values.items()))
    return compile_statement(insert(Task).from_select(list(values), row).returning(*_READ))


@cache
def _get(conditional: bool) -> Statement:  # noqa: FBT001
    return compile_statement(select(*_READ).where(*_MINE, _task.deleted_at.is_(None), *_precondition(conditional)))


@cache
def _account() -> Statement:
    account = columns(Account)
    return compile_statement(
        select(cast(account.epoch, Text).label("epoch"), account.clock).where(account.user_id == OWNER)
    )


def _precondition(conditional: bool) -> tuple[ColumnElement[bool], ...]:  # noqa: FBT001
    return (_task.version == any_(_VERSIONS),) if conditional else ()


def _change(values: dict[str, Any], *, conditional: bool, live: bool = True) -> Statement:
    state = _task.deleted_at.is_(None) if live else _task.deleted_at.is_not(None)
    # A live task is restored by leaving it alone, and that commits: no clock for it. One that another request restores
    # in between may take one for nothing; a gap says nothing wrong.
    clock = tick() if live else tick(*_MINE, state)
    statement = update(Task).where(*_MINE, state, *_precondition(conditional)).values(**values, version=clock.c.clock)
    return compile_statement(statement.returning(*_READ))


@cache
def _update(members: tuple[str, ...], conditional: bool) -> Statement:  # noqa: FBT001
    # The parameter may not be named as the column: SQLAlchemy keeps those names for itself.
    values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=_task[name].type) for name in members}
    if "completed" in values:
        values["completed_at"] = case((values["completed"], func.coalesce(_task.completed_at, func.now())))
    return _change(values, conditional=conditional)


@cache
def _toggle(conditional: bool) -> Statement:  # noqa: FBT001
    completed_at = case((~_task.completed, func.now()))
    return _change({"completed": ~_task.completed, "completed_at": completed_at}, conditional=conditional)


@cache
def _trash(conditional: bool) -> Statement:  # noqa: FBT001
    return _change({"deleted_at": func.now()}, conditional=conditional)


@cache
def _restore(conditional: bool) -> Statement:  # noqa: FBT001
    return _change({"deleted_at": null()}, conditional=conditional, live=False)


@cache
def _erase(conditional: bool) -> Statement:  # noqa: FBT001
    clock = tick()
    # The row comes out of the clock's, so the account is locked before the task, as by every other write.
    mine = delete(Task).where(*_MINE, *_precondition(conditional), clock.c.clock > 0)
    gone = mine.returning(_task.id, clock.c.clock).cte("gone")
    row = select(OWNER.label("user_id"), gone.c.id, gone.c.clock)
    tombstone = upsert(Tombstone).from_select(["user_id", "id", "version"], row)
    replace = tombstone.on_conflict_do_update(
        index_elements=["user_id", "id"], set_={"version": tombstone.excluded.version}
    )
    return compile_statement(replace.returning(columns(Tombstone).id))


@cache
def _probe() -> Statement:
    mine = select(_task.version, _task.deleted_at).where(*_MINE).subquery("mine")
    anyones = select(func.taskward.task_exists(_ID).label("exists")).subquery("anyones")
    row = select(mine.c.version, mine.c.deleted_at, anyones.c.exists)
    return compile_statement(row.select_from(anyones.outerjoin(mine, OWNER.is_not(None))))

"""The tasks of one owner: what routes ask for, by the shortest statement that can do it.

What touches one task and nothing else is one statement. Everything else is a unit of work, which also says why a
statement did not find its task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    DateTime,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlmodel import select

from taskward.errors import FieldError, Invalid, OutcomeUnknown
from taskward.kit.declaration import members_of
from taskward.kit.limits import LimitReached, Limits
from taskward.storage.account_lock import ensure_account
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.probing import ids_in_use, is_anothers
from taskward.storage.row_json import Row
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session, constraint_of
from taskward.storage.tables import Account, advance_clock, columns, next_version, told_by
from taskward.tasks import statements
from taskward.tasks.batch import Batch, Outcome, apply
from taskward.tasks.changes import Complete, Create, Erase, Move, OfOne, Restore, Subtasks, Trash, Update, Versions
from taskward.tasks.errors import TaskForbidden, TaskIdTaken, TaskNotFound
from taskward.tasks.fields import TaskMembers
from taskward.tasks.limits import TASKS
from taskward.tasks.pages import ANY_SIZE, Page, read_page
from taskward.tasks.query import Listing
from taskward.tasks.row import FOLDED, columns_of, new_columns
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.table import TASK_COUNT, Task
from taskward.tasks.task_json import JSON_COLUMNS
from taskward.tasks.unit_of_work import UnitOfWork

_task = columns(Task)

_ID = bindparam("id", type_=Uuid())
_VERSIONS = bindparam("versions", type_=ARRAY(BigInteger()))
_MINE = (_task.user_id == OWNER, _task.id == _ID)
# Of no series, nor has it left one that goes on.
_ORDINARY = (_task.series_id.is_(None), _task.next_id.is_(None))
_ALWAYS = ("id", "title", "description", "completed")
# Members of a new task that are left to the table's defaults where they have those.
_DEFAULTS: dict[str, Any] = {
    name: member.get_default(call_default_factory=True)
    for name, member in TaskCreate.model_fields.items()
    if name not in {*_ALWAYS, "parent_id", "tags", "completed_at"}
} | {"metadata": "{}"}
# A new task, by the columns of `JSON_COLUMNS` in their order, by which its JSON is written.
_NEW: dict[str, Any] = {str(column.key): None for column in JSON_COLUMNS} | _DEFAULTS | {"tags": ()}
# What one statement can change without a look at anything else.
_SIMPLE = frozenset(name for name, member in members_of(TaskMembers).items() if member.alone)


class Written(NamedTuple):
    """What a write has left.

    Attributes:
        row: The task, with `task_json.JSON_COLUMNS`.
        next_id: The task that follows it in its series, where the write has completed it.
    """

    row: Row
    next_id: UUID | None = None


class TaskStore:
    """The tasks of the session's owner. Where a method returns a row, it has `task_json.JSON_COLUMNS`."""

    def __init__(self, session: Session, limits: Limits | None = None) -> None:
        self._session = session
        self._limits = limits or Limits()

    async def add(self, task: TaskCreate) -> Row:
        """Write a new task.

        Raises:
            TaskIdTaken: The owner has a task with this id.
            Invalid: Its members do not go together, or name a list or a parent that the owner does not have.
            LimitReached: The owner has as many as one may have.
        """
        if task.parent_id is not None or task.tags or task.completed_at is not None:
            return (await self._carry_out(Create(task))).row
        sent = task.model_fields_set
        names = [] if sent.isdisjoint(_DEFAULTS) else [name for name in _DEFAULTS if name in sent]
        values = new_columns(task, (*_ALWAYS, *names))
        extra = tuple([name for name in names if values[name] != _DEFAULTS[name]])
        if "series_id" in values:
            extra += ("series_id",)
        return await self._insert(_add(extra), values, is_clients_id="id" in sent)

    async def _insert(self, statement: Statement, values: dict[str, Any], *, is_clients_id: bool) -> Row:
        try:
            try:
                stamp = await self._session.change(statement, **values, most=self._limits[TASKS])
                row = self._made(values, stamp)
            except OutcomeUnknown:
                if is_clients_id:
                    raise
                row = await self._insert_again(statement, values)
            if row is None:
                # The owner's first write, or one too many.
                await ensure_account(self._session)
                stamp = await self._session.change(statement, **values, most=self._limits[TASKS])
                row = self._made(values, stamp)
        except asyncpg.UniqueViolationError as error:
            if constraint_of(error) != "task_pkey":
                raise
            raise TaskIdTaken from None
        except asyncpg.ForeignKeyViolationError:
            raise Invalid([FieldError("body", "/list_id", "You have no such list.")]) from None
        if row is None:
            raise LimitReached(TASKS, self._limits[TASKS])
        return row

    def _made(self, values: dict[str, Any], stamp: asyncpg.Record | None) -> Row | None:
        """What a create has left; PostgreSQL says of it only what it has decided.

        Args:
            values: What was written; all else of a new task has its default.
            stamp: Of `_add`; None where nothing was written.
        """
        if stamp is None:
            return None
        self._session.account = stamp
        at = stamp["at"]
        decided = {"version": stamp["clock"], "created_at": at, "updated_at": at}
        row = {**_NEW, **values, "user_id": self._session.user_id, **decided}
        if row["completed"]:
            row["completed_at"] = at
        return row

    async def _insert_again(self, statement: Statement, values: dict[str, Any]) -> Row | None:
        """Write a task of which it is not known whether it was written. Nobody has been told its id.

        Raises:
            OutcomeUnknown: It was, and is not live any more.
        """
        await self._session.start_over()
        try:
            stamp = await self._session.fetch_one(statement, **values, most=self._limits[TASKS])
        except asyncpg.UniqueViolationError:
            await self._session.start_over()
            row = await self._session.fetch_one(_get(), id=values["id"])
            if row is None:
                raise OutcomeUnknown(reason="what was written is not live any more") from None
            return row
        # Where it was the last one within the limit, there is no room for it again.
        return self._made(values, stamp) or await self._session.fetch_one(_get(), id=values["id"])

    async def get(self, task_id: UUID) -> asyncpg.Record:
        """Read a live task.

        Raises:
            TaskNotFound: The owner has no such live task, and nobody else has one.
            TaskForbidden: It is someone else's.
        """
        row = await self._session.fetch_one(_get(), id=task_id)
        if row is None:
            raise TaskForbidden if await is_anothers(self._session, Task, task_id) else TaskNotFound
        return row

    async def list(self, listing: Listing, most: int = ANY_SIZE, most_each: int = ANY_SIZE) -> Page:
        """Run a listing; see `read_page`."""
        return await read_page(self._session, listing, most, most_each)

    async def count(self, listing: Listing) -> int | None:
        """How many tasks a listing has on all pages, or None where nobody asks."""
        if listing.counting is None:
            return None
        row = await self._session.fetch_one(listing.counting, **listing.parameters)
        assert row is not None, "a count is a row"  # noqa: S101
        return int(row["count"])

    async def account(self) -> asyncpg.Record | None:
        """The owner's epoch, clock and number of tasks, or None before the first write."""
        return await self._session.fetch_one(_account())

    async def are_there(self, *, list_id: UUID | None, parent_id: UUID | None) -> bool:
        """Whether the owner has this list, and this task in any state; None is always there."""
        if list_id is not None and not await self._session.fetch(statements.existing_lists(), ids=[list_id]):
            return False
        if parent_id is None:
            return True
        rows = await self._session.fetch(statements.load_ancestors(), ids=[parent_id])
        return any(row["id"] == parent_id for row in rows)

    async def update(
        self,
        task_id: UUID,
        changes: dict[str, Any],
        versions: Versions,
        *,
        replaces: bool = False,
        subtasks: Subtasks = "copy",
    ) -> Written:
        """Change the members in `changes` of a live task; without changes it is only read.

        Args:
            versions: The versions that the task may have, or None for any.
            replaces: Whether `metadata` is all of it, rather than a merge patch.
            subtasks: See `changes.Update`.

        Raises:
            TaskNotFound, TaskForbidden: As for `get`.
            StaleVersion: It has another version.
            Invalid, LimitReached: As for `add`.
            Cycle: It would become a part of itself.
        """
        if changes and changes.keys() <= _SIMPLE:
            values = {f"new_{name}": value for name, value in columns_of(dict(changes)).items()}
            statement = _update(tuple(sorted(changes)), versions is not None)
            row = await self._session.change(statement, id=task_id, versions=versions, **values)
            if row is not None:
                self._session.account = row
                return Written(row)
        return await self._carry_out(Update(task_id, changes, versions, replaces, subtasks))

    async def toggle(self, task_id: UUID, versions: Versions) -> Written:
        """Complete an open task, or reopen a completed one; raises as `update`."""
        row = await self._session.change(_toggle(versions is not None), id=task_id, versions=versions)
        if row is not None:
            self._session.account = row
            return Written(row)
        return await self._carry_out(Complete(task_id, versions))

    async def trash(self, task_id: UUID, versions: Versions) -> Row:
        """Move a live task to the trash, with those below it; raises as `update`."""
        return (await self._carry_out(Trash(task_id, versions))).row

    async def restore(self, task_id: UUID, versions: Versions) -> Row:
        """Take a task out of the trash, with those that went there with it; a live one is left as it is. Raises as
        `update`.
        """
        return (await self._carry_out(Restore(task_id, versions))).row

    async def erase(self, task_id: UUID, versions: Versions) -> None:
        """Remove a task, live or in the trash, for good, with those below it, leaving tombstones; raises as
        `update`.
        """
        async with self._telling_whose():
            work = await UnitOfWork.begin(self._session, self._limits)
            await work.load([change := Erase(task_id, versions)])
            await work.make(change)
            await work.flush(())

    async def move(self, task_id: UUID, changes: dict[str, Any], after: UUID | None, versions: Versions) -> Row:
        """Put a live task after another one, or first, in a list or under a task. Raises as `update`, and Invalid where
        `after` is none of the live tasks there.
        """
        return (await self._carry_out(Move(task_id, changes, after, versions))).row

    async def apply(
        self, batch: Batch, others: Collection[UUID] = ()
    ) -> tuple[Sequence[Outcome], Mapping[UUID, asyncpg.Record]]:
        """Make the changes of a batch; see `batch.apply`."""
        async with self._telling_whose():
            return await apply(await UnitOfWork.begin(self._session, self._limits), batch, others)

    async def others(self, batch: Batch) -> frozenset[UUID]:
        """Which of the ids in a batch are somebody else's, while the session has written nothing. What is left of one
        of which a part is refused is written, so they must be known before; of an atomic one they need not be.
        """
        ids = frozenset[UUID]() if batch.atomic else batch.named()
        own = await self._session.fetch(statements.existing_tasks(), ids=list(ids)) if ids else []
        missing = set(ids).difference(row["id"] for row in own)
        return await ids_in_use(self._session, Task, missing) if missing else frozenset()

    async def _carry_out(self, change: OfOne) -> Written:
        async with self._telling_whose():
            work = await UnitOfWork.begin(self._session, self._limits)
            await work.load([change])
            next_id = await work.make(change)
            return Written((await work.flush([change.task_id]))[change.task_id], next_id)

    @asynccontextmanager
    async def _telling_whose(self) -> AsyncIterator[None]:
        """Find out of a task that was not found whether it is somebody else's.

        Raises:
            TaskForbidden: It is.
        """
        try:
            yield
        except TaskNotFound as error:
            if error.sought is None or not await is_anothers(self._session, Task, error.sought):
                raise
            forbidden = TaskForbidden()
            forbidden.index = error.index
            raise forbidden from None


@cache
def _add(extra: tuple[str, ...]) -> Statement:
    clock = _one_more().cte("clock")
    values = _new_row(extra, clock.c.clock, clock.c.at)
    row = select(*(value.label(name) for name, value in values.items()))
    made = insert(Task).from_select(list(values), row).cte("made")
    # PostgreSQL carries out a write that nothing reads. Where the clock has a row, so has this, or all is refused: by a
    # constraint, or by row-level security, which refuses what is not the owner's. Only a trigger or a rule could drop a
    # row without a word, and there is none.
    apart = (_count_one(), _add_row(extra))
    return compile_statement(select(clock.c.clock, clock.c.at, *told_by(clock)).add_cte(made), apart=apart)


@cache
def _count_one() -> Statement:
    return compile_statement(_one_more())


@cache
def _add_row(extra: tuple[str, ...]) -> Statement:
    clock, at = bindparam("clock", type_=BigInteger()), bindparam("at", type_=DateTime(timezone=True))
    return compile_statement(insert(Task).values(**_new_row(extra, clock, at)))


def _one_more() -> ReturningUpdate[Any]:
    return advance_clock(TASK_COUNT.column < bindparam("most", type_=BigInteger()), changes={TASK_COUNT: 1})


def _new_row(extra: tuple[str, ...], clock: ColumnElement[int], at: ColumnElement[datetime]) -> dict[str, Any]:
    sent = {name: bindparam(name, type_=_task[name].type) for name in (*_ALWAYS, *FOLDED.values(), *extra)}
    times = {"completed_at": case((sent["completed"], at)), "created_at": at, "updated_at": at}
    return {"user_id": OWNER, **sent, **times, "version": clock}


@cache
def _get() -> Statement:
    return compile_statement(select(*JSON_COLUMNS).where(*_MINE, _task.deleted_at.is_(None)))


@cache
def _account() -> Statement:
    account = columns(Account)
    return compile_statement(
        select(cast(account.epoch, Text).label("epoch"), account.clock, TASK_COUNT.column).where(
            account.user_id == OWNER
        )
    )


def _meant(*where: ColumnElement[bool], conditional: bool) -> tuple[ColumnElement[bool], ...]:
    """The conditions by which one statement alone changes a task."""
    return (*_MINE, _task.deleted_at.is_(None), *where, *((_task.version == any_(_VERSIONS),) if conditional else ()))


def _change(meant: tuple[ColumnElement[bool], ...], values: Callable[[CTE], dict[str, Any]]) -> Statement:
    # Where there is no such task the clock stands still, so that nothing comes of a change of nothing.
    clock = next_version(exists(select(_task.id).where(*meant)))
    changed = update(Task).where(*meant).values(**values(clock), version=clock.c.clock, updated_at=clock.c.at)
    return compile_statement(changed.returning(*JSON_COLUMNS, *told_by(clock)))


@cache
def _update(members: tuple[str, ...], conditional: bool) -> Statement:  # noqa: FBT001
    written = [*members, *(FOLDED[name] for name in members if name in FOLDED)]
    # The parameter may not be named as the column: SQLAlchemy keeps those names for itself.
    new: dict[str, Any] = {name: bindparam(f"new_{name}", type_=_task[name].type) for name in written}
    if "completed" not in new:
        return _change(_meant(conditional=conditional), lambda _: new)
    done = new["completed"]
    return _change(
        _meant(*_ORDINARY, conditional=conditional),
        lambda clock: {**new, "completed_at": case((done, func.coalesce(_task.completed_at, clock.c.at)))},
    )


@cache
def _toggle(conditional: bool) -> Statement:  # noqa: FBT001
    return _change(
        _meant(*_ORDINARY, conditional=conditional),
        lambda clock: {"completed": ~_task.completed, "completed_at": case((~_task.completed, clock.c.at))},
    )

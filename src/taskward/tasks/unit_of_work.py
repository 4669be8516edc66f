"""A unit of work: any number of changes to tasks of one owner, decided in memory and written at once.

Tasks are loaded with all that hangs on them while it is the owner's turn to write, changed here, and written by a
number of statements that does not depend on how many there are. Only this module says what a change does to a tree or
to a limit, and only `series` what it does to a series. `store` has shorter ways for changes that touch none of these.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from taskward.errors import FieldError, Invalid
from taskward.kit.limits import Limits
from taskward.kit.ordering import between, reorder
from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.session import Session
from taskward.tasks import statements, writing
from taskward.tasks.changes import Change, Complete, Create, Erase, Move, OfOne, Restore, Trash, Update
from taskward.tasks.entries import Entry
from taskward.tasks.errors import TaskIdTaken
from taskward.tasks.loading import Loaded
from taskward.tasks.metadata import merge
from taskward.tasks.row import TaskRow, check_changed, columns_of, completed_since, new_columns, series_for
from taskward.tasks.schedule.consistency import check_schedule, completion_time, shows_otherwise
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.series import Step


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a change will do to a task, after all rules were checked.

    Attributes:
        row: Its columns, as they will be but for its completion; None where they stay as they are.
        step: What becomes of its completion and of its series.
    """

    entry: Entry
    row: TaskRow | None
    step: Step


class UnitOfWork:
    """Changes of one owner's tasks. First `load` for them, then make them, then `flush`.

    A change that raises has changed nothing.

    Attributes:
        lock: The owner's turn to write.
    """

    def __init__(self, session: Session, lock: AccountLock, limits: Limits) -> None:
        self.lock = lock
        self._session = session
        self._loaded = Loaded(session, lock, limits)
        self._entries = self._loaded.entries
        self._series = self._loaded.series
        # What `create` has made and `relieve` has not written.
        self._new: list[Entry] = []
        self._new_text = 0

    @classmethod
    async def begin(cls, session: Session, limits: Limits) -> UnitOfWork:
        """Wait for the owner's turn to write."""
        return cls(session, await AccountLock.acquire(session), limits)

    async def load(self, changes: Iterable[Change]) -> None:
        """Load what changes need; once, for all that will be made."""
        await self._loaded.load(changes)

    async def make(self, change: OfOne) -> UUID | None:
        """Make a change.

        Returns:
            The task that follows in its series the one that this has completed.

        Raises:
            TaskIdTaken: A new task has an id that the owner has used.
            TaskNotFound, TaskForbidden, StaleVersion: See `errors`.
            Invalid: Members do not go together, or name a list, a parent or a task to come after that the owner does
                not have there.
            Cycle: A task would become a part of itself.
            LimitReached: The owner has as many as one may have.
        """
        match change:
            case Create(task):
                self.create(task)
            case Update():
                return await self._carry_out(await self._planned(change))
            case Complete():
                return await self._carry_out(await self._completion(change))
            case Trash():
                self._trash(change)
            case Restore():
                self._restore(change)
            case Erase():
                self._erase(change)
            case Move():
                await self._move(change)
        return None

    def create(self, task: TaskCreate, *, completed_at: datetime | None = None) -> None:
        """Make a task; raises as `make`.

        Args:
            completed_at: When it was completed, whatever the task says of it.
        """
        if self.has(task.id):
            raise TaskIdTaken
        now = self.lock.now
        row = TaskRow(**new_columns(task, TaskCreate.model_fields, now=now))
        self._loaded.check_list(task.list_id)
        if task.parent_id is not None:
            self._loaded.check_parent(task.parent_id, height=1)
            if "list_id" not in task.model_fields_set:
                row.list_id = self._loaded.list_of(task.parent_id)
        said = completed_at or completion_time(task.completed, task.completed_at, now=now)
        row.completed_at = completed_since(task.completed, said, None, now)
        self._entries.check_room(1)
        self._loaded.check_tags(task.tags)
        self._loaded.use_tags(task.tags)
        self._new.append(self._entries.insert(row))
        self._new_text += len(task.description or "")

    def put_back(self, row: TaskRow, *, is_in_list: bool) -> None:
        """Make a task as it was exported; raises as `make`.

        Args:
            is_in_list: Whether its list is said; else it is in its parent's.
        """
        if self.has(row.id):
            raise TaskIdTaken
        check_schedule(row, now=self.lock.now)
        self._loaded.check_list(row.list_id)
        if row.parent_id is not None:
            self._loaded.check_parent(row.parent_id, height=1, of=row.id, live=row.deleted_at is None)
            if not is_in_list:
                row.list_id = self._loaded.list_of(row.parent_id)
        self._entries.check_room(1)
        self._loaded.check_tags(row.tags)
        self._loaded.use_tags(row.tags)
        # Zones change, and the due is what everybody has read.
        if not shows_otherwise(row):
            row.meant_at = None
        row.series_id = series_for(row.recurrence, row.series_id)
        self._series.join(self._entries.insert(row), keeps_rule=True)

    def has(self, task_id: UUID) -> bool:
        """Whether a task that was loaded or made has an id, in any state. A task that is erased here keeps its id until
        all is written.
        """
        return task_id in self._entries

    def is_live(self, task_id: UUID) -> bool:
        """Whether a task that was loaded or made is there, and not in the trash."""
        return self._loaded.is_live(task_id)

    def is_done(self, task_id: UUID) -> bool:
        """Whether a task is live, and completed with all that is live below it."""
        return self.is_live(task_id) and not any(one.is_open for one in self._entries.with_parts(task_id))

    async def relieve(self) -> None:
        """Write new tasks and forget them, once they fill a statement. Later tasks may be made below them, and no other
        change can name them. This is for a unit of work that only makes tasks, in the order of their ids, more than
        memory should hold.
        """
        if len(self._new) == writing.AT_ONCE or self._new_text > writing.MOST_TEXT:
            await writing.stamp(self.lock, self._new)
            await writing.write(self._session, self._new, ())
            self._entries.let_go(self._new)
            self._new.clear()
            self._new_text = 0

    async def write(self, wanted: Collection[UUID]) -> dict[UUID, asyncpg.Record]:
        """Write all changes, whose versions and times are in the order of ids. The owner's turn goes on.

        Returns:
            Those of the `wanted` tasks that are there, each with `task_json.JSON_COLUMNS`.
        """
        changed, erased = list[Entry](), list[UUID]()
        # After an import there are many that nobody has changed.
        async for entry in cooperatively(tuple(self._entries.values())):
            if entry.is_erased:
                if entry.version is not None:
                    erased.append(entry.id)
            elif entry.is_changed:
                changed.append(entry)
        await writing.stamp(self.lock, changed)
        self._series.note_versions()
        found = await writing.write(self._session, changed, wanted)
        await writing.erase(self._session, self.lock, erased)
        if unread := [task_id for task_id in wanted if task_id not in found]:
            found |= {row["id"]: row for row in await self._session.fetch(statements.read_rows(), ids=unread)}
        return found

    async def flush(self, wanted: Collection[UUID]) -> dict[UUID, asyncpg.Record]:
        """End the owner's turn: write all changes; as `write`."""
        found = await self.write(wanted)
        await self.lock.save()
        return found

    async def _planned(self, change: Update) -> _Plan:
        """What an update will do."""
        loaded, now = self._loaded, self.lock.now
        entry = loaded.find_live(change.task_id, change.versions)
        members = dict(change.members)
        completed = members.pop("completed", None)
        at = completion_time(completed, members.pop("completed_at", None), now=now)
        row = entry.row.having(_columns(entry.row, members, replaces=change.replaces))
        known = check_changed(row, members, now=now)
        if row.list_id != entry.row.list_id:
            loaded.check_list(row.list_id)
        if row.parent_id is not None and row.parent_id != entry.row.parent_id:
            height = self._entries.tree.height(change.task_id)
            loaded.check_parent(row.parent_id, height=height, of=change.task_id)
        _change_along(row, entry.row)
        step = await self._series.plan(entry, row, completed, at, subtasks=change.subtasks, known=known)
        if "tags" in members:
            loaded.check_tags(row.tags)
        return _Plan(entry, row if members else None, step)

    async def _completion(self, change: Complete) -> _Plan:
        """What completing or reopening a task will do."""
        entry = self._loaded.find_live(change.task_id, change.versions)
        at = completion_time(change.completed, change.completed_at, now=self.lock.now)
        completed = not entry.row.completed if change.completed is None else change.completed
        return _Plan(entry, None, await self._series.plan(entry, entry.row, completed, at, subtasks=change.subtasks))

    async def _carry_out(self, plan: _Plan) -> UUID | None:
        """Do what was planned; nothing is wrong with it."""
        entry, row = plan.entry, plan.row
        is_renewed = row is not None and row.recurrence != entry.row.recurrence
        if row is not None:
            self._loaded.use_tags(row.tags)
            if row.list_id != entry.row.list_id:
                self._take_along(entry, row.list_id)
            self._entries.replace(entry, row)
        return await self._series.take(entry, plan.step, is_renewed=is_renewed)

    def _take_along(self, entry: Entry, list_id: UUID | None) -> None:
        """Put the parts of a task that are in its list into the one where it will be."""
        for part in self._entries.with_parts(entry.id)[1:]:
            if part.row.list_id == entry.row.list_id:
                self._entries.edit(part).list_id = list_id

    def _trash(self, change: Trash) -> None:
        self._loaded.find_live(change.task_id, change.versions)
        for entry in self._entries.with_parts(change.task_id):
            if entry.is_live:
                row = self._entries.edit(entry)
                row.deleted_at, row.deleted_with = self.lock.now, change.task_id

    def _restore(self, change: Restore) -> None:
        entry = self._loaded.find(change.task_id, change.versions)
        if entry.is_live:
            return
        root, parent_id = entry.row.deleted_with, entry.row.parent_id
        for one in self._entries.with_parts(change.task_id):
            if one.row.deleted_with == root and (one is entry or self._is_below_live(one)):
                row = self._entries.edit(one)
                row.deleted_at = row.deleted_with = None
                self._series.join(one)
        if parent_id is not None and not self._is_below_live(entry):
            self._entries.hang(entry, None)
            entry.row.position = None

    def _is_below_live(self, entry: Entry) -> bool:
        parent_id = entry.row.parent_id
        return parent_id is not None and self._loaded.is_live_parent(parent_id)

    def _erase(self, change: Erase) -> None:
        self._loaded.find(change.task_id, change.versions)
        for entry in reversed(self._entries.with_parts(change.task_id)):
            self._entries.erase(entry)

    async def _move(self, change: Move) -> None:
        plan = await self._planned(Update(change.task_id, change.members, change.versions))
        positions = await self._positions(plan.row or plan.entry.row, change.after)
        await self._loaded.load_trees(positions)
        await self._carry_out(plan)
        for sibling, position in positions.items():
            self._entries.edit(self._entries[sibling]).position = position

    async def _positions(self, row: TaskRow, after: UUID | None) -> dict[UUID, str]:
        """The new positions, by id, where a task comes after another one of where it will be, or first.

        Raises:
            Invalid: `after` is none of those.
        """
        kind = (row.list_id is not None, row.parent_id is not None)
        there: dict[str, Any] = {"ids": [row.id], "parent_id": row.parent_id, "list_id": row.list_id}
        near = await self._session.fetch(statements.load_near(*kind, after is not None), **there, after=after)
        if after is not None and not (near and near[0]["id"] == after and near[0]["deleted_at"] is None):
            raise Invalid([FieldError("body", "/after", "This must be another live task of that list or parent.")])
        around = [near_row["position"] for near_row in near]
        before = around.pop(0) if after is not None else None
        position = between(before, around[0] if around else None)
        if position is not None:
            return {row.id: position}
        rows = await self._session.fetch(statements.load_siblings(*kind), **there)
        return reorder([(sibling["id"], sibling["position"]) for sibling in rows], row.id, after)


def _columns(row: TaskRow, members: dict[str, Any], *, replaces: bool) -> dict[str, Any]:
    """The columns for members that a client changes of a task.

    Raises:
        Invalid: Its metadata would be as they may not be.
    """
    if "metadata" in members and not replaces:
        members = {**members, "metadata": merge(json.loads(row.metadata), members["metadata"])}
    try:
        return columns_of(dict(members))
    except ValueError as error:
        raise Invalid([FieldError("body", "/metadata", str(error))]) from None


def _change_along(row: TaskRow, before: TaskRow) -> None:
    """Change what hangs on other columns of a task, where a client has changed these."""
    row.series_id = series_for(row.recurrence, row.series_id)
    # The due that a client writes is the one that is meant.
    if (row.due_at, row.time_zone) != (before.due_at, before.time_zone):
        row.meant_at = None
    if row.parent_id != before.parent_id:
        row.moved_from = None
    if (row.list_id, row.parent_id) != (before.list_id, before.parent_id):
        row.position = None

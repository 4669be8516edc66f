"""A unit of work: any number of changes to tasks of one owner, decided in memory and written at once.

Tasks are loaded with all that hangs on them while it is the owner's turn to write, changed here, and written by a
number of statements that does not depend on how many there are. What a change does to a tree, to a series or to a
limit is said here and nowhere else; `store` has shorter ways for changes that touch none of these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from taskward.errors import (
    FieldError,
    Invalid,
    TaskIdTaken,
)
from taskward.kit.limits import Limits
from taskward.kit.ordering import between, reorder
from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.scoping import Statement
from taskward.storage.session import Session
from taskward.storage.stored_responses import StoredResponses
from taskward.tasks import statements
from taskward.tasks.entries import Entry, Values
from taskward.tasks.loading import Loaded, Versions
from taskward.tasks.metadata import dump_metadata, merge
from taskward.tasks.schedule.consistency import SCHEDULE, check_schedule, completion_time, shows_otherwise
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.series import Series, Step, Subtasks

# Rows that one statement writes, and characters of text in them.
_AT_ONCE = 250
_MOST_TEXT = 500_000


class UnitOfWork(Loaded):
    """Changes of one owner's tasks. First `load` what they name, then make them, then `flush`.

    A change that raises has changed nothing, except `move`.

    Attributes:
        turn: The owner's turn to write.
    """

    def __init__(self, session: Session, lock: AccountLock, limits: Limits) -> None:
        super().__init__(session, lock, limits)
        self._series = Series(self._entries)
        # What `create` has made and `relieve` has not written.
        self._new: list[Entry] = []
        self._new_text = 0

    @classmethod
    async def begin(cls, session: Session, limits: Limits) -> UnitOfWork:
        """Wait for the owner's turn to write."""
        return cls(session, await AccountLock.acquire(session), limits)

    def create(self, task: TaskCreate, *, completed_at: datetime | None = None) -> None:
        """Make a task.

        Args:
            completed_at: When it was completed, whatever the task says of it.

        Raises:
            TaskIdTaken: The owner has one with this id.
            Invalid: Its members do not go together, or name a list or a parent that the owner does not have.
            LimitReached: The owner has as many as one may have.
        """
        # One that is erased here is there until everything is written.
        if task.id in self._entries:
            raise TaskIdTaken
        values = {name: getattr(task, name) for name in TaskCreate.model_fields}
        values["metadata"] = dump_metadata(task.metadata)
        check_schedule(values, now=self.lock.now)
        self._check_list(task.list_id)
        if task.parent_id is not None:
            self._check_parent(task.parent_id, height=1)
            if "list_id" not in task.model_fields_set:
                values["list_id"] = self._list_of(task.parent_id)
        at = completed_at or completion_time(task.completed, task.completed_at, now=self.lock.now)
        self._entries.check_room(1)
        self._use_tags(task.tags)
        entry = self._entries.insert({**values, "completed_at": (at or self.lock.now) if task.completed else None})
        self._new.append(entry)
        self._new_text += len(task.description or "")

    def insert_exported(self, task: Values) -> bool:
        """Make a task as it was exported, unless the owner has one with its id.

        Args:
            task: Its columns, but for those that only the database and the search have. One without `list_id` is in
                its parent's.

        Returns:
            Whether it was made.

        Raises:
            Invalid, LimitReached: As for `create`.
            Cycle: It would become a part of itself.
        """
        if task["id"] in self._entries:
            return False
        check_schedule(task, now=self.lock.now)
        self._check_list(task.get("list_id"))
        if task["parent_id"] is not None:
            self._check_parent(task["parent_id"], height=1, of=task["id"], live=task["deleted_at"] is None)
            task = {"list_id": self._list_of(task["parent_id"]), **task}
        self._entries.check_room(1)
        self._use_tags(task["tags"])
        # Zones change, and the due is what everybody has read.
        if task["meant_at"] is not None and not shows_otherwise(task):
            task = {**task, "meant_at": None}
        self._series.join(self._entries.insert(task), keeps_rule=True)
        return True

    async def update(
        self,
        task_id: UUID,
        changes: Values,
        versions: Versions,
        *,
        replaces: bool = False,
        subtasks: Subtasks = "copy",
    ) -> UUID | None:
        """Change the members in `changes` of a live task.

        Args:
            versions: The versions that it may have, or None for any.
            replaces: Whether `metadata` is all of it, rather than a merge patch.
            subtasks: Whether the next task of its series has copies of its parts, or they are left where they are.

        Returns:
            The task that follows it in its series, where this has completed it.

        Raises:
            TaskNotFound, TaskForbidden, StaleVersion: See `errors`.
            Invalid, LimitReached: As for `create`.
            Cycle: It would become a part of itself.
        """
        entry = self._live(task_id, versions)
        values = dict(changes)
        completed = values.pop("completed", None)
        at = completion_time(completed, values.pop("completed_at", None), now=self.lock.now)
        if "metadata" in values:
            values["metadata"] = self._merged(entry, values["metadata"], replaces=replaces)
        if values.keys() & set(SCHEDULE):
            check_schedule({**entry.values, **values}, now=self.lock.now)
        if "list_id" in values and values["list_id"] != entry.values["list_id"]:
            self._check_list(values["list_id"])
        if values.get("parent_id") is not None and values["parent_id"] != entry.values["parent_id"]:
            self._check_parent(values["parent_id"], height=self._tree.height(task_id), of=task_id)
        values |= self._also_changed(entry, values)
        step = await self._series.step(entry, {**entry.values, **values}, subtasks, at) if completed else Step()
        if "tags" in values:
            self._use_tags(values["tags"])
        is_renewed = self._differs(entry, values, "recurrence")
        if self._differs(entry, values, "list_id"):
            self._take_along(entry, values["list_id"])
        if values:
            self._entries.set(entry, values)
        if completed is None:
            return None
        return await self._complete(entry, step, at, completed=completed, is_renewed=is_renewed)

    async def complete(
        self,
        task_id: UUID,
        versions: Versions,
        *,
        completed: bool | None = None,
        completed_at: datetime | None = None,
        subtasks: Subtasks = "copy",
    ) -> UUID | None:
        """Complete or reopen a live task; without `completed`, whichever it is not. Returns and raises as `update`."""
        entry = self._live(task_id, versions)
        at = completion_time(completed, completed_at, now=self.lock.now)
        completed = not entry.values["completed"] if completed is None else completed
        step = await self._series.step(entry, entry.values, subtasks, at) if completed else Step()
        return await self._complete(entry, step, at, completed=completed)

    def is_done(self, task_id: UUID) -> bool:
        """Whether a task is live, and completed with all that is live below it."""
        return self.is_live(task_id) and not any(one.is_open for one in self._entries.with_parts(task_id))

    def trash(self, task_id: UUID, versions: Versions) -> None:
        """Move a live task to the trash, with the live ones below it. Raises as `update`."""
        self._live(task_id, versions)
        for entry in self._entries.with_parts(task_id):
            if entry.is_live:
                self._entries.set(entry, {"deleted_at": self.lock.now, "deleted_with": task_id})

    def restore(self, task_id: UUID, versions: Versions) -> None:
        """Take a task out of the trash, with those below it that went there with it; a live one is left as it is.
        Raises as `update`.
        """
        entry = self._mine(task_id, versions)
        if entry.is_live:
            return
        root = entry.values["deleted_with"]
        parent_id = entry.values["parent_id"]
        for one in self._entries.with_parts(task_id):
            went_along = one.values["deleted_with"] == root
            if went_along and (one is entry or self._is_live_parent(one.values["parent_id"])):
                self._entries.set(one, {"deleted_at": None, "deleted_with": None})
                self._series.join(one)
        if parent_id is not None and not self._is_live_parent(parent_id):
            self._entries.set(entry, {"parent_id": None, "moved_from": None, "position": None})

    def erase(self, task_id: UUID, versions: Versions) -> None:
        """Remove a task for good, live or in the trash, with all below it. Raises as `update`."""
        self._mine(task_id, versions)
        for entry in reversed(self._entries.with_parts(task_id)):
            self._entries.erase(entry)

    async def move(self, task_id: UUID, changes: Values, after: UUID | None, versions: Versions) -> None:
        """Put a live task into a list or under another, after one of those that are there, or first.

        Raises:
            Invalid: `after` is not one of those. Else as `update`.
        """
        await self.update(task_id, changes, versions)
        entry = self._entries[task_id]
        parent_id, list_id = entry.values["parent_id"], entry.values["list_id"]
        kind = (list_id is not None, parent_id is not None)
        there = {"ids": [task_id], "parent_id": parent_id, "list_id": list_id}
        near = await self._session.fetch(statements.load_near(*kind, after is not None), **there, after=after)
        if after is not None and not (near and near[0]["id"] == after and near[0]["deleted_at"] is None):
            raise Invalid([FieldError("body", "/after", "This must be another live task of that list or parent.")])
        around = [row["position"] for row in near]
        before = around.pop(0) if after is not None else None
        position = between(before, around[0] if around else None)
        if position is not None:
            self._entries.set(entry, {"position": position})
            return
        rows = await self._session.fetch(statements.load_siblings(*kind), **there)
        positions = reorder([(row["id"], row["position"]) for row in rows], task_id, after)
        await self._load_trees(positions)
        for sibling, position in positions.items():
            self._entries.set(self._entries[sibling], {"position": position})

    async def relieve(self) -> None:
        """Once new tasks are as many as one statement writes, write them and let go of them: others may be made below
        them, and no other change can name them. For a unit of work that makes more than memory should hold, in the
        order of their ids, and does nothing else.
        """
        if len(self._new) == _AT_ONCE or self._new_text > _MOST_TEXT:
            await self._stamp(self._new)
            await self._write(statements.insert_rows, self._new, ())
            self._entries.let_go(self._new)
            self._new.clear()
            self._new_text = 0

    async def flush(self, wanted: Collection[UUID]) -> dict[UUID, asyncpg.Record]:
        """Write all changes, whose versions and times are in the order of ids.

        Returns:
            Those of the `wanted` tasks that are there, each with `documents.JSON_COLUMNS`.
        """
        written, erased = list[Entry](), list[UUID]()
        # After an import there are many that nobody has changed.
        async for entry in cooperatively(tuple(self._entries.values())):
            if entry.is_erased:
                if entry.version is not None:
                    erased.append(entry.id)
            elif entry.is_changed:
                written.append(entry)
        await self._stamp(written)
        self._series.note_versions()
        new = [entry for entry in written if entry.version is None]
        old = [entry for entry in written if entry.version is not None]
        found: dict[UUID, asyncpg.Record] = {}
        for build, entries in ((statements.insert_rows, new), (statements.update_rows, old)):
            found |= await self._write(build, entries, wanted)
        await self._delete_erased(erased)
        if unchanged := [task_id for task_id in wanted if task_id not in found]:
            found |= {row["id"]: row for row in await self._session.fetch(statements.read_rows(), ids=unchanged)}
        await self.lock.save()
        return found

    async def _stamp(self, entries: Iterable[Entry]) -> None:
        """Give changed tasks their versions and times."""
        async for entry in cooperatively(sorted(entries, key=_id)):
            entry.values["version"] = self.lock.next_version()
            # What happened in this turn, and in no earlier one, happened when the row changed.
            for name in ("completed_at", "deleted_at"):
                if entry.values[name] == self.lock.now:
                    entry.values[name] = self.lock.time
            entry.values["updated_at"] = self.lock.time
            if entry.values["deleted_at"] is not None:
                self.lock.note_trash(entry.values["deleted_at"])

    async def _write(
        self, build: Callable[[bool], Statement], entries: Iterable[Entry], wanted: Collection[UUID]
    ) -> dict[UUID, asyncpg.Record]:
        """Write tasks that have their versions; returns those of the `wanted`."""
        found: dict[UUID, asyncpg.Record] = {}
        statement = build(bool(wanted))
        # An import may have so many that others would wait.
        async for some in cooperatively(_pieces(entries)):
            rows = await self._session.fetch(statement, rows=_as_json(some))
            found |= {row["id"]: row for row in rows if row["id"] in wanted}
        return found

    async def _delete_erased(self, erased: list[UUID]) -> None:
        if erased:
            await self._session.fetch(statements.delete_rows(), ids=erased)
            await self._session.fetch(statements.forget_next(), ids=erased)
            await self.lock.add_tombstones("task", {task_id: self.lock.next_version() for task_id in erased})
            await StoredResponses(self._session).forget(erased)

    async def _complete(
        self, entry: Entry, step: Step, said: datetime | None, *, completed: bool, is_renewed: bool = False
    ) -> UUID | None:
        was_completed = entry.values["completed"]
        at = (said or entry.values["completed_at"] or self.lock.now) if completed else None
        self._entries.set(entry, {"completed": completed, "completed_at": at})
        if completed:
            await self._series.complete(entry, step)
        elif was_completed:
            self._series.reopen(entry, is_renewed=is_renewed)
        return self._series.link(entry)

    def _take_along(self, entry: Entry, list_id: UUID | None) -> None:
        """Put the parts of a task that are in its list into the one where it will be."""
        for part in self._entries.with_parts(entry.id)[1:]:
            if part.values["list_id"] == entry.values["list_id"]:
                self._entries.set(part, {"list_id": list_id})

    def _merged(self, entry: Entry, patch: Values, *, replaces: bool) -> str:
        whole = patch if replaces else merge(json.loads(entry.values["metadata"]), patch)
        try:
            return dump_metadata(whole)
        except ValueError as error:
            raise Invalid([FieldError("body", "/metadata", str(error))]) from None

    def _also_changed(self, entry: Entry, values: Values) -> Values:
        """What else is written anew where members change."""
        also: Values = {}
        # The due that a client writes is the one that is meant.
        if self._differs(entry, values, "due_at", "time_zone"):
            also["meant_at"] = None
        if self._differs(entry, values, "parent_id"):
            also["moved_from"] = None
        if self._differs(entry, values, "list_id", "parent_id"):
            also["position"] = None
        return also

    def _differs(self, entry: Entry, values: Values, *names: str) -> bool:
        return any(name in values and values[name] != entry.values[name] for name in names)


def _id(entry: Entry) -> int:
    return entry.id.int


def _pieces(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """As many entries as are written at once."""
    piece: list[Entry] = []
    length = 0
    for entry in entries:
        piece.append(entry)
        length += len(entry.values["description"] or "")
        if len(piece) == _AT_ONCE or length > _MOST_TEXT:
            yield piece
            piece, length = [], 0
    if piece:
        yield piece


def _as_json(entries: Iterable[Entry]) -> str:
    # asyncpg's UUIDs are of a class of its own, which orjson does not know.
    return orjson.dumps([_row(entry.values) for entry in entries], default=str).decode()


def _row(values: Values) -> Values:
    row = {name: values[name] for name in statements.WRITTEN}
    row["metadata"] = orjson.Fragment(values["metadata"])
    return row

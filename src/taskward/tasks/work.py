"""A unit of work: any number of changes to tasks of one owner, decided in memory and written at once.

Tasks are loaded with all that hangs on them while it is the owner's turn to write, changed here, and written by a
number of statements that does not depend on how many there are. What a change does to a tree, to a series or to a
limit is said here and nowhere else; `store` has shorter ways for changes that touch none of these.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from taskward.database.answers import AnswerStore
from taskward.database.session import Session
from taskward.database.turns import Turn
from taskward.errors import (
    FieldError,
    Invalid,
    LimitReached,
    StaleVersion,
    TaskForbidden,
    TaskIdTaken,
    TaskNotFound,
)
from taskward.fairness import fairly
from taskward.limits import Limits
from taskward.ordering import reorder
from taskward.tasks import statements
from taskward.tasks.metadata import dump_metadata, merge
from taskward.tasks.models import TaskCreate, TaskUpdate
from taskward.tasks.plan import PLAN, check_plan, following
from taskward.tasks.recurrence import Occurrence
from taskward.tasks.search import searchable
from taskward.tasks.tree import Tree

# What the next task of a series takes over.
_COPIED = tuple(name for name in TaskUpdate.model_fields if name != "completed")

# Rows that one statement writes; a batch has fewer.
_AT_ONCE = 1000

Versions = list[int] | None
Values = dict[str, Any]


@dataclass(slots=True)
class _Entry:
    """A task in memory.

    Attributes:
        values: Its columns.
        version: As it was loaded; None for a new one.
    """

    values: Values
    version: int | None
    is_changed: bool = False
    is_erased: bool = False

    @property
    def is_live(self) -> bool:
        return not self.is_erased and self.values["deleted_at"] is None


class UnitOfWork:
    """Changes of one owner's tasks. First `load` what they name, then make them, then `flush`.

    A change that raises has changed nothing, except `move`.

    Attributes:
        turn: The owner's turn to write.
    """

    def __init__(self, session: Session, turn: Turn, limits: Limits) -> None:
        self._session = session
        self.turn = turn
        self._limits = limits
        self._entries: dict[UUID, _Entry] = {}
        self._tree = Tree()
        self._strangers: frozenset[UUID] = frozenset()
        self._trashed_parents: frozenset[UUID] = frozenset()
        self._lists: frozenset[UUID] = frozenset()
        self._tags: set[str] | None = None
        # Tasks of series, and those that follow them and are made here.
        self._continued: list[tuple[_Entry, _Entry]] = []

    @classmethod
    async def begin(cls, session: Session, limits: Limits) -> UnitOfWork:
        """Wait for the owner's turn to write."""
        return cls(session, await Turn.begin(session), limits)

    async def load(
        self,
        ids: Collection[UUID],
        *,
        parents: Collection[UUID] = (),
        lists: Collection[UUID] = (),
        tags: bool = False,
    ) -> None:
        """Load what the changes name.

        Args:
            ids: The tasks that they change, or that they create under an id of the client's.
            parents: Those that tasks shall become parts of.
            lists: Those that tasks shall be in.
            tags: Whether they write tags.
        """
        if ids:
            await self._load_trees(ids)
            followers = (self._entries[task_id].values["next_id"] for task_id in ids if task_id in self._entries)
            await self._load_trees({task_id for task_id in followers if task_id is not None})
            missing = [task_id for task_id in ids if task_id not in self._entries]
            if missing:
                rows = await self._session.fetch(statements.strangers(), ids=missing)
                self._strangers = frozenset(row["id"] for row in rows)
        above = {entry.values["parent_id"] for entry in self._entries.values()} | set(parents)
        if wanted := [task_id for task_id in above if task_id is not None and task_id not in self._entries]:
            rows = await self._session.fetch(statements.load_ancestors(), ids=wanted)
            for row in rows:
                self._tree.put(row["id"], row["parent_id"])
            self._trashed_parents = frozenset(row["id"] for row in rows if row["deleted_at"] is not None)
        if lists:
            rows = await self._session.fetch(statements.existing_lists(), ids=list(lists))
            self._lists = frozenset(row["id"] for row in rows)
        if tags:
            rows = await self._session.fetch(statements.tags_in_use())
            self._tags = {row["tag"] for row in rows}

    async def _load_trees(self, ids: Collection[UUID]) -> None:
        wanted = [task_id for task_id in ids if task_id not in self._entries]
        if not wanted:
            return
        for row in await self._session.fetch(statements.load_with_subtasks(), ids=wanted):
            if row["id"] not in self._entries:
                self._put(_Entry(dict(row), row["version"]))

    def _put(self, entry: _Entry) -> None:
        self._entries[entry.values["id"]] = entry
        self._tree.put(entry.values["id"], entry.values["parent_id"])

    def is_live(self, task_id: UUID) -> bool:
        """Whether a task that was loaded or made is there, and not in the trash."""
        entry = self._entries.get(task_id)
        return entry is not None and entry.is_live

    def create(self, task: TaskCreate, *, completed_at: datetime | None = None) -> None:
        """Make a task.

        Args:
            completed_at: When it was completed, if it is; else now.

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
        check_plan(values, now=self.turn.now)
        self._check_list(task.list_id)
        if task.parent_id is not None:
            self._check_parent(task.parent_id, height=1)
        self._check_room(1)
        self._use_tags(task.tags)
        self._insert({**values, "completed_at": (completed_at or self.turn.now) if task.completed else None})

    def put_back(self, task: Values) -> bool:
        """Make a task as it was exported, unless the owner has one with its id.

        Args:
            task: The members of a new task, and `completed_at`, `position`, `series_id`, `next_id`,
                `deleted_at`, `deleted_with`.

        Returns:
            Whether it was made.

        Raises:
            Invalid, LimitReached: As for `create`.
            Cycle: It would become a part of itself.
        """
        if task["id"] in self._entries:
            return False
        check_plan(task, now=self.turn.now)
        self._check_list(task["list_id"])
        if task["parent_id"] is not None:
            self._check_parent(task["parent_id"], height=1, of=task["id"], live=task["deleted_at"] is None)
        self._check_room(1)
        self._use_tags(task["tags"])
        self._insert(task)
        return True

    def update(self, task_id: UUID, changes: Values, versions: Versions, *, replaces: bool = False) -> UUID | None:
        """Change the members in `changes` of a live task.

        Args:
            versions: The versions that it may have, or None for any.
            replaces: Whether `metadata` is all of it, rather than a merge patch.

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
        if "metadata" in values:
            values["metadata"] = self._merged(entry, values["metadata"], replaces=replaces)
        if values.keys() & set(PLAN):
            check_plan({**entry.values, **values}, now=self.turn.now)
        if "list_id" in values and values["list_id"] != entry.values["list_id"]:
            self._check_list(values["list_id"])
        if values.get("parent_id") is not None and values["parent_id"] != entry.values["parent_id"]:
            self._check_parent(values["parent_id"], height=self._tree.height(task_id), of=task_id)
        if completed and self._next({**entry.values, **values}) is not None:
            self._check_room(1)
        if "tags" in values:
            self._use_tags(values["tags"])
        if values.keys() & {"list_id", "parent_id"} and self._changes_place(entry, values):
            values["position"] = None
        if values:
            self._set(entry, values)
        return None if completed is None else self._complete(entry, completed=completed)

    def complete(self, task_id: UUID, versions: Versions, *, completed: bool | None = None) -> UUID | None:
        """Complete or reopen a live task; without `completed`, whichever it is not. Returns and raises as `update`."""
        entry = self._live(task_id, versions)
        return self._complete(entry, completed=not entry.values["completed"] if completed is None else completed)

    def trash(self, task_id: UUID, versions: Versions) -> None:
        """Move a live task to the trash, with the live ones below it. Raises as `update`."""
        self._live(task_id, versions)
        for entry in self._with_parts(task_id):
            if entry.is_live:
                self._set(entry, {"deleted_at": self.turn.now, "deleted_with": task_id})

    def restore(self, task_id: UUID, versions: Versions) -> None:
        """Take a task out of the trash, with those below it that went there with it; a live one is left as it is.
        Raises as `update`.
        """
        entry = self._mine(task_id, versions)
        if entry.is_live:
            return
        root = entry.values["deleted_with"]
        parent_id = entry.values["parent_id"]
        for one in self._with_parts(task_id):
            went_along = one.values["deleted_with"] == root
            if went_along and (one is entry or self._is_live_parent(one.values["parent_id"])):
                self._set(one, {"deleted_at": None, "deleted_with": None})
        if parent_id is not None and not self._is_live_parent(parent_id):
            self._set(entry, {"parent_id": None, "position": None})

    def erase(self, task_id: UUID, versions: Versions) -> None:
        """Remove a task for good, live or in the trash, with all below it. Raises as `update`."""
        self._mine(task_id, versions)
        for entry in reversed(self._with_parts(task_id)):
            self._erase(entry)

    async def move(self, task_id: UUID, changes: Values, after: UUID | None, versions: Versions) -> None:
        """Put a live task into a list or under another, after one of those that are there, or first.

        Raises:
            Invalid: `after` is not one of those. Else as `update`.
        """
        self.update(task_id, changes, versions)
        entry = self._entries[task_id]
        parent_id, list_id = entry.values["parent_id"], entry.values["list_id"]
        statement = statements.load_siblings(list_id is not None, parent_id is not None)
        rows = await self._session.fetch(statement, ids=[task_id], parent_id=parent_id, list_id=list_id)
        if after is not None and not any(row["id"] == after and row["deleted_at"] is None for row in rows):
            raise Invalid([FieldError("body", "/after", "This must be another live task of that list or parent.")])
        positions = reorder([(row["id"], row["position"]) for row in rows], task_id, after)
        await self._load_trees(positions)
        for sibling, position in positions.items():
            self._set(self._entries[sibling], {"position": position})

    async def flush(self, wanted: Collection[UUID]) -> dict[UUID, asyncpg.Record]:
        """Write all changes, whose versions and times are in the order of ids.

        Returns:
            Those of the `wanted` tasks that are there, as `query.read_from` reads them.
        """
        written = [entry for entry in self._entries.values() if entry.is_changed and not entry.is_erased]
        async for entry in fairly(sorted(written, key=_id)):
            entry.values["version"] = self.turn.next_version()
            # What happened in this turn, and in no earlier one, happened when the row changed.
            for name in ("completed_at", "deleted_at"):
                if entry.values[name] == self.turn.now:
                    entry.values[name] = self.turn.time
            entry.values["updated_at"] = self.turn.time
        for entry, successor in self._continued:
            entry.values["next_version"] = successor.values["version"]
        new = [entry for entry in written if entry.version is None]
        old = [entry for entry in written if entry.version is not None]
        found: dict[UUID, asyncpg.Record] = {}
        for statement, entries in ((statements.insert_rows(), new), (statements.update_rows(), old)):
            # An import may have so many that others would wait.
            async for start in fairly(range(0, len(entries), _AT_ONCE)):
                rows = await self._session.fetch(statement, rows=_as_json(entries[start : start + _AT_ONCE]))
                found |= {row["id"]: row for row in rows if row["id"] in wanted}
        await self._bury()
        if unchanged := [task_id for task_id in wanted if task_id not in found]:
            found |= {row["id"]: row for row in await self._session.fetch(statements.read_rows(), ids=unchanged)}
        await self.turn.end()
        return found

    async def _bury(self) -> None:
        erased = [i for i, entry in self._entries.items() if entry.is_erased and entry.version is not None]
        if erased:
            await self._session.fetch(statements.delete_rows(), ids=erased)
            await self._session.fetch(statements.forget_next(), ids=erased)
            await self.turn.bury("task", {task_id: self.turn.next_version() for task_id in erased})
            await AnswerStore(self._session).forget(erased)

    def _mine(self, task_id: UUID, versions: Versions) -> _Entry:
        entry = self._entries.get(task_id)
        if entry is None or entry.is_erased:
            raise TaskForbidden if task_id in self._strangers else TaskNotFound
        if versions is not None and entry.version not in versions:
            raise StaleVersion(entry.version or self.turn.version)
        return entry

    def _live(self, task_id: UUID, versions: Versions) -> _Entry:
        entry = self._mine(task_id, None)
        if not entry.is_live:
            raise TaskNotFound
        return self._mine(task_id, versions)

    def _insert(self, values: Values) -> None:
        whole = {**dict.fromkeys(statements.WRITTEN), **values}
        whole["folded_title"] = searchable(whole["title"])
        whole["folded_description"] = None if whole["description"] is None else searchable(whole["description"])
        if whole["recurrence"] is not None and whole["series_id"] is None:
            whole["series_id"] = uuid7()
        self._put(_Entry(whole, None, is_changed=True))
        self.turn.tasks += 1

    def _set(self, entry: _Entry, values: Values) -> None:
        for name in ("title", "description"):
            if name in values:
                text = values[name]
                values = {**values, f"folded_{name}": None if text is None else searchable(text)}
        if values.get("recurrence") is not None and entry.values["series_id"] is None:
            values = {**values, "series_id": uuid7()}
        entry.values.update(values)
        entry.is_changed = True
        if "parent_id" in values:
            self._tree.put(entry.values["id"], values["parent_id"])

    def _erase(self, entry: _Entry) -> None:
        if not entry.is_erased:
            entry.is_erased = True
            self._tree.remove(entry.values["id"])
            self.turn.tasks -= 1

    def _complete(self, entry: _Entry, *, completed: bool) -> UUID | None:
        values = entry.values
        recurs = values["recurrence"] is not None and completed != values["completed"]
        occurrence = self._next(values) if completed else None
        if occurrence is not None:
            self._check_room(1)
        successor = self._successor(values) if recurs else None
        self._set(entry, {"completed": completed})
        values["completed_at"] = (values["completed_at"] or self.turn.now) if completed else None
        if successor is not None and not completed and self._is_untouched(values["next_version"], successor):
            self._erase(successor)
            values["next_id"] = None
        if recurs and successor is None:
            values["next_id"] = None if occurrence is None else self._continue(entry, occurrence)
        linked = self._successor(values) if completed and values["recurrence"] is not None else None
        return values["next_id"] if linked is not None and linked.is_live else None

    def _next(self, values: Values) -> Occurrence | None:
        """What is to be made when a task with these values is completed."""
        if values["completed"] or values["recurrence"] is None or self._successor(values) is not None:
            return None
        return following(values, now=self.turn.now)

    def _successor(self, values: Values) -> _Entry | None:
        """The task that was made when this one was completed before, if it is there."""
        found = None if values["next_id"] is None else self._entries.get(values["next_id"])
        return None if found is None or found.is_erased else found

    def _continue(self, entry: _Entry, occurrence: Occurrence) -> UUID:
        """Make the next task of a series."""
        due = "due_at" if isinstance(occurrence.due, datetime) else "due_date"
        next_id = uuid7()
        copied = {name: entry.values[name] for name in (*_COPIED, "series_id")}
        self._insert({**copied, "id": next_id, "completed": False, due: occurrence.due, "recurrence": occurrence.rule})
        self._continued.append((entry, self._entries[next_id]))
        return next_id

    def _is_untouched(self, version: int | None, entry: _Entry) -> bool:
        """Whether nobody has changed a task since it was made for a series, nor put anything below it.

        Args:
            version: As which it was made.
        """
        if self._tree.has_parts(entry.values["id"]):
            return False
        # One that was made here has an id that no client can have named yet.
        return entry.version is None or (entry.version == version and not entry.is_changed)

    def _merged(self, entry: _Entry, patch: Values, *, replaces: bool) -> str:
        whole = patch if replaces else merge(json.loads(entry.values["metadata"]), patch)
        try:
            return dump_metadata(whole)
        except ValueError as error:
            raise Invalid([FieldError("body", "/metadata", str(error))]) from None

    def _check_list(self, list_id: UUID | None) -> None:
        if list_id is not None and list_id not in self._lists:
            raise Invalid([FieldError("body", "/list_id", "You have no such list.")])

    def _check_parent(self, parent_id: UUID, *, height: int, of: UUID | None = None, live: bool = True) -> None:
        """Check that a tree of so many levels can be put below a task.

        Args:
            of: The task at its top, if it is there already.
            live: Whether it takes a live task.
        """
        is_there = self._is_live_parent(parent_id) if live else parent_id in self._tree
        if not is_there:
            raise Invalid([FieldError("body", "/parent_id", "You have no such task.")])
        self._tree.check(parent_id, height=height, of=of)

    def _is_live_parent(self, task_id: UUID) -> bool:
        if task_id in self._entries:
            return self.is_live(task_id)
        return task_id in self._tree and task_id not in self._trashed_parents

    def _with_parts(self, task_id: UUID) -> list[_Entry]:
        """A task and every one below it, in any state."""
        return [self._entries[one] for one in (task_id, *self._tree.below(task_id))]

    def _changes_place(self, entry: _Entry, values: Values) -> bool:
        return any(name in values and values[name] != entry.values[name] for name in ("list_id", "parent_id"))

    def _check_room(self, count: int) -> None:
        if self.turn.tasks + count > self._limits.tasks:
            raise LimitReached("tasks", self._limits.tasks)

    def _use_tags(self, tags: list[str]) -> None:
        if self._tags is None:
            return
        used = self._tags | set(tags)
        if len(used) > max(self._limits.tags, len(self._tags)):
            raise LimitReached("tags", self._limits.tags, "/tags")
        self._tags = used


def _id(entry: _Entry) -> int:
    number: int = entry.values["id"].int
    return number


def _as_json(entries: Iterable[_Entry]) -> str:
    # asyncpg's UUIDs are of a class of its own, which orjson does not know.
    return orjson.dumps([_row(entry.values) for entry in entries], default=str).decode()


def _row(values: Values) -> Values:
    row = {name: values[name] for name in statements.WRITTEN}
    row["metadata"] = orjson.Fragment(values["metadata"])
    return row

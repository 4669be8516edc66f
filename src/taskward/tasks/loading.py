"""What a unit of work loads of an owner's, and whether changes may name it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from taskward.errors import FieldError, Invalid, StaleVersion
from taskward.kit.limits import LimitReached, Limits
from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.session import Session
from taskward.tasks import statements
from taskward.tasks.changes import Change, Complete, Create, CreateMany, Move, PutBack, Restore, Update, Versions
from taskward.tasks.entries import Entries, Entry
from taskward.tasks.errors import TaskNotFound
from taskward.tasks.limits import TAGS
from taskward.tasks.row import TaskRow
from taskward.tasks.series import Series

# Tasks that one statement reads with what is below them.
_AT_ONCE = 250


@dataclass(slots=True)
class _Needs:
    """What changes ask for.

    Attributes:
        named: The tasks that they change.
        new: The ids that clients have chosen for new ones; nobody has one that is made here.
        completed: Those that they may complete or reopen.
        reopened: Those that they may reopen.
        restores: Whether they restore any.
        parents, lists, series: The parents, the lists and the series that tasks shall have.
        has_tags: Whether they write tags.
    """

    named: set[UUID] = field(default_factory=set)
    new: set[UUID] = field(default_factory=set)
    completed: set[UUID] = field(default_factory=set)
    reopened: set[UUID] = field(default_factory=set)
    restores: bool = False
    parents: set[UUID | None] = field(default_factory=set)
    lists: set[UUID | None] = field(default_factory=set)
    series: set[UUID | None] = field(default_factory=set)
    has_tags: bool = False

    def add(self, change: Change) -> None:
        match change:
            case Create(task):
                if "id" in task.model_fields_set:
                    self.new.add(task.id)
                self._add_places(task.parent_id, task.list_id, task.tags)
                return
            case PutBack(line):
                self.new.add(line.id)
                self.series.add(line.series_id)
                self._add_places(line.parent_id, line.list_id, line.tags)
                return
            case CreateMany(lists, has_tags):
                self.lists.update(lists)
                self.has_tags = self.has_tags or has_tags
                return
            case Update(task_id, members) | Move(task_id, members):
                self._add_completion(task_id, members.get("completed", ...))
                self._add_places(members.get("parent_id"), members.get("list_id"), members.get("tags", ()))
            case Complete(task_id, completed=completed):
                self._add_completion(task_id, completed)
            case Restore():
                self.restores = True
        self.named.add(change.task_id)

    def _add_places(self, parent_id: UUID | None, list_id: UUID | None, tags: Collection[str]) -> None:
        self.parents.add(parent_id)
        self.lists.add(list_id)
        self.has_tags = self.has_tags or bool(tags)

    def _add_completion(self, task_id: UUID, completed: Any) -> None:
        """Note what a change says about completion: `...` for nothing, and None for a toggle."""
        if completed is not ...:
            self.completed.add(task_id)
            if not completed:
                self.reopened.add(task_id)


class Loaded:
    """Tasks of one owner with all that hangs on them, while it is the owner's turn to write.

    Attributes:
        lock: That turn.
        entries: The tasks.
        series: Their series.
    """

    def __init__(self, session: Session, lock: AccountLock, limits: Limits) -> None:
        self._session = session
        self.lock = lock
        self._limits = limits
        self.entries = Entries(lock, limits)
        self.series = Series(self.entries)
        # Of the tasks above the entries that are none of them: which are in the trash, and their lists.
        self._trashed_parents: frozenset[UUID] = frozenset()
        self._lists_above: dict[UUID, UUID | None] = {}
        self._lists: frozenset[UUID] = frozenset()
        self._tags: set[str] | None = None

    async def load(self, changes: Iterable[Change]) -> None:
        """Load what changes ask for: what they name, all that is below it and what is above it, what follows it in its
        series where they complete it, and the lists, tags and series that they mention.
        """
        needs = _Needs()
        async for change in cooperatively(changes):
            needs.add(change)
        await self._load_named(needs)
        await self._load_above(needs.parents)
        if lists := _given(needs.lists):
            rows = await self._session.fetch(statements.existing_lists(), ids=lists)
            self._lists = frozenset(row["id"] for row in rows)
        if needs.has_tags:
            rows = await self._session.fetch(statements.tags_in_use())
            self._tags = {row["tag"] for row in rows}
        await self._load_series(needs)

    async def load_trees(self, ids: Iterable[UUID]) -> None:
        """Load the tasks with these ids that are not here, and all that is below them."""
        all_ids = tuple(ids)
        async for start in cooperatively(range(0, len(all_ids), _AT_ONCE)):
            wanted = [task_id for task_id in all_ids[start : start + _AT_ONCE] if task_id not in self.entries]
            rows = await self._session.fetch(statements.load_with_subtasks(), ids=wanted) if wanted else ()
            async for row in cooperatively(rows):
                if row["id"] not in self.entries:
                    self.entries.put(Entry(TaskRow.of(row), row["version"]))

    async def _load_named(self, needs: _Needs) -> None:
        await self.load_trees(needs.named | needs.new)
        followers = set[UUID]()
        async for task_id in cooperatively(needs.named):
            entry = self.entries.get(task_id)
            if entry is not None and entry.row.next_id is not None and task_id in needs.completed:
                followers.add(entry.row.next_id)
        await self.load_trees(followers)

    async def _load_above(self, parents: set[UUID | None]) -> None:
        above = set(parents)
        async for entry in cooperatively(tuple(self.entries.values())):
            above.add(entry.row.parent_id)
        if wanted := [task_id for task_id in _given(above) if task_id not in self.entries]:
            rows = await self._session.fetch(statements.load_ancestors(), ids=wanted)
            for row in rows:
                self.entries.tree.put(row["id"], row["parent_id"])
            self._trashed_parents = frozenset(row["id"] for row in rows if row["deleted_at"] is not None)
            self._lists_above = {row["id"]: row["list_id"] for row in rows}

    async def _load_series(self, needs: _Needs) -> None:
        series = set(needs.series)
        if needs.reopened or needs.restores:
            # Of one that is open now no other is open.
            for entry in self.entries.values():
                is_restored = needs.restores and not entry.is_live
                if is_restored or (entry.row.completed and entry.id in needs.reopened):
                    series.add(entry.row.series_id)
        if found := _given(series):
            for row in await self._session.fetch(statements.open_of_series(), ids=found):
                self.series.note_open(row["series_id"], row["id"], has_rule=row["has_rule"])

    def is_live(self, task_id: UUID) -> bool:
        """Whether a task that was loaded or made is there, and not in the trash."""
        entry = self.entries.get(task_id)
        return entry is not None and entry.is_live

    def find(self, task_id: UUID, versions: Versions) -> Entry:
        """A task in any state.

        Raises:
            TaskNotFound, StaleVersion: See `errors`.
        """
        entry = self.entries.get(task_id)
        if entry is None or entry.is_erased:
            error = TaskNotFound()
            error.sought = task_id if entry is None else None
            raise error
        if versions is not None and entry.version not in versions:
            raise StaleVersion(entry.version or self.lock.version)
        return entry

    def find_live(self, task_id: UUID, versions: Versions) -> Entry:
        """A live task; raises as `find`."""
        entry = self.find(task_id, None)
        if not entry.is_live:
            raise TaskNotFound
        return self.find(task_id, versions)

    def check_list(self, list_id: UUID | None) -> None:
        """Check that tasks may be in a list.

        Raises:
            Invalid: The owner has no such list.
        """
        if list_id is not None and list_id not in self._lists:
            raise Invalid([FieldError("body", "/list_id", "You have no such list.")])

    def check_parent(self, parent_id: UUID, *, height: int, of: UUID | None = None, live: bool = True) -> None:
        """Check that a tree of so many levels can be put below a task.

        Args:
            of: The task at its top, if it is there already.
            live: Whether it takes a live task.

        Raises:
            Invalid: The owner has no such task, or the tree would be too deep.
            Cycle: It would become a part of itself.
        """
        is_there = self.is_live_parent(parent_id) if live else parent_id in self.entries.tree
        if not is_there:
            raise Invalid([FieldError("body", "/parent_id", "You have no such task.")])
        self.entries.tree.check(parent_id, height=height, of=of)

    def is_live_parent(self, task_id: UUID) -> bool:
        """Whether live tasks may be parts of a task."""
        if task_id in self.entries:
            return self.is_live(task_id)
        return task_id in self.entries.tree and task_id not in self._trashed_parents

    def list_of(self, task_id: UUID) -> UUID | None:
        """In which list a task is, which may be one of those above others."""
        entry = self.entries.get(task_id)
        return self._lists_above.get(task_id) if entry is None else entry.row.list_id

    def check_tags(self, tags: Collection[str]) -> None:
        """Check that a task may have tags.

        Raises:
            LimitReached: With these, the owner would have more than one may have.
            RuntimeError: The owner's tags were not loaded, because `load` was told of no change that writes tags.
        """
        if not tags:
            return
        if self._tags is None:
            raise RuntimeError("tags are to be written, and those in use were not loaded")
        new = [tag for tag in tags if tag not in self._tags]
        if new and len(self._tags) + len(new) > self._limits[TAGS]:
            raise LimitReached(TAGS, self._limits[TAGS], "/tags")

    def use_tags(self, tags: Collection[str]) -> None:
        """Note that a task has tags, which were checked."""
        if self._tags is not None:
            self._tags.update(tags)


def _given(ids: Iterable[UUID | None]) -> list[UUID]:
    return [one for one in ids if one is not None]

"""What a unit of work loads of an owner's, and whether changes may name it."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from taskward.errors import FieldError, Invalid, LimitReached, StaleVersion, TaskForbidden, TaskNotFound
from taskward.kit.limits import Limits
from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.session import Session
from taskward.tasks import statements
from taskward.tasks.entries import Entries, Entry

# Tasks that one statement reads with what is below them.
_AT_ONCE = 250

Versions = list[int] | None


class Loaded:
    """Tasks of one owner with all that hangs on them, while it is the owner's turn to write.

    Attributes:
        turn: That turn.
    """

    def __init__(self, session: Session, lock: AccountLock, limits: Limits) -> None:
        self._session = session
        self.lock = lock
        self._limits = limits
        self._entries = Entries(lock, limits)
        self._tree = self._entries.tree
        self._ids_in_use: frozenset[UUID] = frozenset()
        # Of those that others hang below and that are not among the entries: who is in the trash, and their lists.
        self._trashed_parents: frozenset[UUID] = frozenset()
        self._lists_above: dict[UUID, UUID | None] = {}
        self._lists: frozenset[UUID] = frozenset()
        self._tags: set[str] | None = None

    async def load(
        self,
        ids: Collection[UUID],
        *,
        parents: Collection[UUID] = (),
        lists: Collection[UUID] = (),
        tags: bool = False,
        reopens: bool = False,
        series: Collection[UUID] = (),
    ) -> None:
        """Load what the changes name.

        Args:
            ids: The tasks that they change, or that they create under an id of the client's.
            parents: Those that tasks shall become parts of.
            lists: Those that tasks shall be in.
            tags: Whether they write tags.
            reopens: Whether they may reopen or restore a task.
            series: Those that tasks which they make may be in.
        """
        if ids:
            await self._load_named(ids)
        await self._load_above(parents)
        if lists:
            rows = await self._session.fetch(statements.existing_lists(), ids=list(lists))
            self._lists = frozenset(row["id"] for row in rows)
        if tags:
            rows = await self._session.fetch(statements.tags_in_use())
            self._tags = {row["tag"] for row in rows}
        if reopens:
            series = {
                entry.values["series_id"]
                for entry in self._entries.values()
                if not entry.is_open and (entry.id in ids or not entry.is_live)
            }
        if found := [series_id for series_id in series if series_id is not None]:
            for row in await self._session.fetch(statements.open_of_series(), ids=found):
                self._entries.note_open(row["series_id"], row["id"], has_rule=row["has_rule"])

    async def _load_named(self, ids: Collection[UUID]) -> None:
        await self._load_trees(ids)
        missing, followers = list[UUID](), set[UUID]()
        async for task_id in cooperatively(ids):
            entry = self._entries.get(task_id)
            if entry is None:
                missing.append(task_id)
            elif entry.values["next_id"] is not None:
                followers.add(entry.values["next_id"])
        await self._load_trees(followers)
        if missing:
            rows = await self._session.fetch(statements.ids_in_use(), ids=missing)
            self._ids_in_use = frozenset(row["id"] for row in rows)

    async def _load_above(self, parents: Collection[UUID]) -> None:
        above = set(parents)
        async for entry in cooperatively(tuple(self._entries.values())):
            if entry.values["parent_id"] is not None:
                above.add(entry.values["parent_id"])
        if wanted := [task_id for task_id in above if task_id not in self._entries]:
            rows = await self._session.fetch(statements.load_ancestors(), ids=wanted)
            for row in rows:
                self._tree.put(row["id"], row["parent_id"])
            self._trashed_parents = frozenset(row["id"] for row in rows if row["deleted_at"] is not None)
            self._lists_above = {row["id"]: row["list_id"] for row in rows}

    async def _load_trees(self, ids: Collection[UUID]) -> None:
        all_ids = tuple(ids)
        async for start in cooperatively(range(0, len(all_ids), _AT_ONCE)):
            wanted = [task_id for task_id in all_ids[start : start + _AT_ONCE] if task_id not in self._entries]
            rows = await self._session.fetch(statements.load_with_subtasks(), ids=wanted) if wanted else ()
            async for row in cooperatively(rows):
                if row["id"] not in self._entries:
                    self._entries.put(Entry(dict(row), row["version"]))

    def is_live(self, task_id: UUID) -> bool:
        """Whether a task that was loaded or made is there, and not in the trash."""
        entry = self._entries.get(task_id)
        return entry is not None and entry.is_live

    def _mine(self, task_id: UUID, versions: Versions) -> Entry:
        entry = self._entries.get(task_id)
        if entry is None or entry.is_erased:
            raise TaskForbidden if task_id in self._ids_in_use else TaskNotFound
        if versions is not None and entry.version not in versions:
            raise StaleVersion(entry.version or self.lock.version)
        return entry

    def _live(self, task_id: UUID, versions: Versions) -> Entry:
        entry = self._mine(task_id, None)
        if not entry.is_live:
            raise TaskNotFound
        return self._mine(task_id, versions)

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

    def _list_of(self, task_id: UUID) -> UUID | None:
        entry = self._entries.get(task_id)
        return self._lists_above.get(task_id) if entry is None else entry.values["list_id"]

    def _use_tags(self, tags: list[str]) -> None:
        if self._tags is None:
            return
        used = self._tags | set(tags)
        if len(used) > max(self._limits.tags, len(self._tags)):
            raise LimitReached("tags", self._limits.tags, "/tags")
        self._tags = used

"""Tasks of one owner in memory, while it is the owner's turn to write: as they were loaded, and what has changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from taskward.kit.limits import LimitReached, Limits
from taskward.storage.account_lock import AccountLock
from taskward.tasks.limits import TASKS, most_with_next
from taskward.tasks.row import TaskRow
from taskward.tasks.table import TASK_COUNT
from taskward.tasks.tree import Tree


@dataclass(slots=True)
class Entry:
    """A task in memory.

    Attributes:
        row: Its columns.
        version: As it was loaded; None for a new one.
    """

    row: TaskRow
    version: int | None
    is_changed: bool = False
    is_erased: bool = False

    @property
    def id(self) -> UUID:
        return self.row.id

    @property
    def is_live(self) -> bool:
        return not self.is_erased and self.row.deleted_at is None

    @property
    def is_open(self) -> bool:
        return self.is_live and not self.row.completed


class Entries(dict[UUID, Entry]):
    """Tasks by their ids; one that is erased stays, marked, until everything is written.

    Attributes:
        lock: The owner's turn to write, which counts the tasks.
        tree: Which task is a part of which, with the tasks above these that are not here.
    """

    def __init__(self, lock: AccountLock, limits: Limits) -> None:
        super().__init__()
        self.lock = lock
        self.tree: Tree[UUID] = Tree()
        self._limits = limits
        self._of_series: defaultdict[UUID, list[Entry]] = defaultdict(list)

    def put(self, entry: Entry) -> None:
        """Take a task in."""
        self[entry.id] = entry
        self.tree.put(entry.id, entry.row.parent_id)
        self._note_series(entry)

    def insert(self, row: TaskRow) -> Entry:
        """Make a task."""
        entry = Entry(row, None, is_changed=True)
        self.put(entry)
        self.lock[TASK_COUNT] += 1
        return entry

    def edit(self, entry: Entry) -> TaskRow:
        """The row of a task, to be changed. Its parent and its series have methods of their own."""
        entry.is_changed = True
        return entry.row

    def hang(self, entry: Entry, parent_id: UUID | None, *, moved_from: UUID | None = None) -> None:
        """Let a task be a part of another, or of none.

        Args:
            moved_from: The task of which it was a part until a next one took it over.
        """
        row = self.edit(entry)
        row.parent_id, row.moved_from = parent_id, moved_from
        self.tree.put(entry.id, parent_id)

    def let_join(self, entry: Entry, series_id: UUID) -> None:
        """Let a task be of another series."""
        self.edit(entry).series_id = series_id
        self._note_series(entry)

    def replace(self, entry: Entry, row: TaskRow) -> None:
        """Change a task to what a row says."""
        before, entry.row = entry.row, row
        entry.is_changed = True
        if row.parent_id != before.parent_id:
            self.tree.put(entry.id, row.parent_id)
        if row.series_id != before.series_id:
            self._note_series(entry)

    def erase(self, entry: Entry) -> None:
        """Remove a task for good, below which there is nothing."""
        if not entry.is_erased:
            entry.is_erased = True
            self.tree.remove(entry.id)
            self.lock[TASK_COUNT] -= 1

    def let_go(self, entries: Iterable[Entry]) -> None:
        """Forget tasks that are written, but not what they are parts of. None of their series has others here."""
        for entry in entries:
            del self[entry.id]
            if entry.row.series_id is not None:
                self._of_series.pop(entry.row.series_id, None)

    def with_parts(self, task_id: UUID) -> list[Entry]:
        """A task and every one below it, in any state."""
        return [self[one] for one in (task_id, *self.tree.below(task_id))]

    def parts_of(self, entry: Entry) -> list[Entry]:
        """The tasks right below one, in any state, in their order."""
        return sorted((self[one] for one in self.tree.children(entry.id)), key=lambda one: (one.row.place, one.id))

    def of_series(self, series_id: UUID) -> list[Entry]:
        """The tasks of a series that are here, in any state."""
        return [one for one in self._of_series.get(series_id, ()) if one.row.series_id == series_id]

    def check_room(self, count: int, *, of_series: bool = False) -> None:
        """Check that so many more tasks may be made.

        Args:
            of_series: Whether they follow one that is completed.

        Raises:
            LimitReached: The owner has as many as one may have.
        """
        most = most_with_next(self._limits) if of_series else self._limits[TASKS]
        if self.lock[TASK_COUNT] + count > most:
            raise LimitReached(TASKS, most)

    def _note_series(self, entry: Entry) -> None:
        if entry.row.series_id is not None:
            self._of_series[entry.row.series_id].append(entry)

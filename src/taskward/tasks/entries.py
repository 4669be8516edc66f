"""Tasks of one owner in memory, while it is the owner's turn to write: as they were loaded, and what has changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from taskward.errors import LimitReached
from taskward.kit.limits import Limits
from taskward.storage.account_lock import AccountLock
from taskward.tasks import statements
from taskward.tasks.search import searchable
from taskward.tasks.tree import Tree

Values = dict[str, Any]


@dataclass(slots=True)
class Entry:
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
    def id(self) -> UUID:
        return self.values["id"]  # type: ignore[no-any-return]

    @property
    def is_live(self) -> bool:
        return not self.is_erased and self.values["deleted_at"] is None

    @property
    def is_open(self) -> bool:
        return self.is_live and not self.values["completed"]

    @property
    def position(self) -> str:
        return self.values["position"] or str(self.id)


class Entries(dict[UUID, Entry]):
    """Tasks by their ids; one that is erased stays, marked, until everything is written.

    Attributes:
        turn: The owner's turn to write, which counts the tasks.
        tree: Where they hang, and those above them that are not here.
    """

    def __init__(self, lock: AccountLock, limits: Limits) -> None:
        super().__init__()
        self.lock = lock
        self.tree = Tree()
        self._limits = limits
        self._of_series: defaultdict[UUID, list[Entry]] = defaultdict(list)
        self._open_elsewhere: defaultdict[UUID, dict[UUID, bool]] = defaultdict(dict)

    def put(self, entry: Entry) -> None:
        """Take a task in."""
        self[entry.id] = entry
        self.tree.put(entry.id, entry.values["parent_id"])
        self._note_series(entry)

    def insert(self, values: Values) -> Entry:
        """Make a task; columns that are not named are NULL."""
        whole = {**dict.fromkeys(statements.WRITTEN), **values}
        whole["folded_title"] = searchable(whole["title"])
        whole["folded_description"] = None if whole["description"] is None else searchable(whole["description"])
        if whole["recurrence"] is not None and whole["series_id"] is None:
            whole["series_id"] = uuid7()
        entry = Entry(whole, None, is_changed=True)
        self.put(entry)
        self.lock.tasks += 1
        return entry

    def set(self, entry: Entry, values: Values) -> None:
        """Change columns of a task, and those that hang on them."""
        values = dict(values)
        for name in {"title", "description"} & values.keys():
            values[f"folded_{name}"] = None if values[name] is None else searchable(values[name])
        if values.get("recurrence") is not None and values.get("series_id", entry.values["series_id"]) is None:
            values["series_id"] = uuid7()
        entry.values.update(values)
        entry.is_changed = True
        if "parent_id" in values:
            self.tree.put(entry.id, values["parent_id"])
        if "series_id" in values:
            self._note_series(entry)

    def erase(self, entry: Entry) -> None:
        """Remove a task for good, below which there is nothing."""
        if not entry.is_erased:
            entry.is_erased = True
            self.tree.remove(entry.id)
            self.lock.tasks -= 1

    def let_go(self, entries: Iterable[Entry]) -> None:
        """Forget tasks that are written, but for where they hang. None of their series has others here."""
        for entry in entries:
            del self[entry.id]
            self._of_series.pop(entry.values["series_id"], None)

    def with_parts(self, task_id: UUID) -> list[Entry]:
        """A task and every one below it, in any state."""
        return [self[one] for one in (task_id, *self.tree.below(task_id))]

    def parts_of(self, entry: Entry) -> list[Entry]:
        """The tasks right below one, in any state, in their order."""
        return sorted((self[one] for one in self.tree.children(entry.id)), key=lambda one: (one.position, one.id))

    def note_open(self, series_id: UUID, task_id: UUID, *, has_rule: bool) -> None:
        """Note that a series has an open task, which need not be here."""
        self._open_elsewhere[series_id][task_id] = has_rule

    def open_of(self, series_id: UUID, besides: Entry) -> bool | None:
        """Whether the open task that a series has besides one has a rule; None where it has no other open one."""
        elsewhere = self._open_elsewhere.get(series_id, {})
        found = [has_rule for task_id, has_rule in elsewhere.items() if task_id not in self]
        members = [one for one in self._of_series.get(series_id, ()) if one.values["series_id"] == series_id]
        found += [one.values["recurrence"] is not None for one in members if one.is_open and one is not besides]
        return any(found) if found else None

    def _note_series(self, entry: Entry) -> None:
        if entry.values["series_id"] is not None:
            self._of_series[entry.values["series_id"]].append(entry)

    def check_room(self, count: int, *, of_series: bool = False) -> None:
        """Check that so many more tasks may be made.

        Args:
            of_series: Whether they follow one that is completed.

        Raises:
            LimitReached: The owner has as many as one may have.
        """
        most = self._limits.tasks_with_next if of_series else self._limits.tasks
        if self.lock.tasks + count > most:
            raise LimitReached("tasks", most)

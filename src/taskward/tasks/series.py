"""Series: what a recurring task that is completed leaves behind, and what becomes of that when it is reopened.

The occurrences of one series have one `series_id`, and one of them at most is open. Whichever would be a second one
leaves the series: it becomes an ordinary task, without a rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from uuid_utils.compat import uuid7

from taskward.errors import Invalid
from taskward.kit.declaration import members_of
from taskward.runtime.fairness import cooperatively
from taskward.tasks.changes import Subtasks
from taskward.tasks.entries import Entries, Entry
from taskward.tasks.errors import Cycle
from taskward.tasks.fields import TaskMembers
from taskward.tasks.row import TaskRow, completed_since
from taskward.tasks.schedule.consistency import Next, Search, distance, following, moved

# What the next task of a series takes over, and what a copy of a part does.
_COPIED = tuple(name for name, member in members_of(TaskMembers).items() if member.copied != "never")
_COPIED_PART = tuple(name for name, member in members_of(TaskMembers).items() if member.copied == "always")


@dataclass(frozen=True, slots=True)
class Step:
    """What completing or reopening a task will make.

    Attributes:
        completed: Whether it will be completed; None where that stays as it is.
        at: When it was completed, where the client says so.
        following: In what the next task differs from the completed one; None where there is no next.
        parts: The parts of which it will have copies, each after the one that it is a part of.
        moving: The parts that recur by themselves, which will be its own.
    """

    completed: bool | None
    at: datetime | None = None
    following: Next | None = None
    parts: tuple[Entry, ...] = ()
    moving: tuple[Entry, ...] = ()


class Series:
    """The series of the tasks in memory.

    Attributes:
        continued: Tasks that were completed, each with what followed it and with the copies of its parts.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._open_elsewhere: defaultdict[UUID, dict[UUID, bool]] = defaultdict(dict)
        self.continued: list[tuple[Entry, list[Entry]]] = []

    def note_open(self, series_id: UUID, task_id: UUID, *, has_rule: bool) -> None:
        """Note that a series has an open task, which need not be among the entries."""
        self._open_elsewhere[series_id][task_id] = has_rule

    async def plan(
        self,
        entry: Entry,
        row: TaskRow,
        completed: bool | None,  # noqa: FBT001
        at: datetime | None,
        *,
        subtasks: Subtasks,
        known: Search | None = None,
    ) -> Step:
        """What completing or reopening a task will make, which changes nothing yet.

        Args:
            row: The task's, as it will be, but for the completion.
            completed: Whether it will be completed; None where that stays as it is.
            at: When it was completed, where the client says so; else now.
            known: See `following`.

        Raises:
            LimitReached: There would be more tasks than the owner may have.
        """
        if not completed or row.completed or row.recurrence is None:
            return Step(completed, at)
        follower = self._follower(row)
        if follower is not None and follower.is_live:
            return Step(completed, at)
        found = following(row, now=at or self._entries.lock.now, known=known)
        if found is None:
            return Step(completed, at)
        parts: list[Entry] = []
        moving: list[Entry] = []
        if subtasks == "copy":
            async for part in cooperatively(self._parts_to_take(entry)):
                (parts if part.row.recurrence is None else moving).append(part)
        self._entries.check_room(1 + len(parts), of_series=True)
        return Step(completed, at, found, tuple(parts), tuple(moving))

    async def take(self, entry: Entry, step: Step, *, is_renewed: bool) -> UUID | None:
        """Complete or reopen a task, as `plan` has said, and make what follows.

        Args:
            is_renewed: Whether the task was given a new rule with this.

        Returns:
            What follows a task that is completed now, if it is there and open.
        """
        if step.completed is None:
            return None
        was_completed = entry.row.completed
        row = self._entries.edit(entry)
        row.completed = step.completed
        row.completed_at = completed_since(step.completed, step.at, row.completed_at, self._entries.lock.now)
        if step.completed:
            await self._complete(entry, step)
        elif was_completed:
            self._reopen(entry, is_renewed=is_renewed)
        return self._link(entry)

    def _parts_to_take(self, entry: Entry) -> Iterator[Entry]:
        """The live parts at every depth. Of those that recur by themselves the open ones, which take theirs along."""
        for part in self._entries.parts_of(entry):
            if part.is_live and part.row.recurrence is None:
                yield part
                yield from self._parts_to_take(part)
            elif part.is_open:
                yield part

    async def _complete(self, entry: Entry, step: Step) -> None:
        """Make what follows a task that has just been completed."""
        if step.following is None:
            self._rejoin(entry)
            return
        # Where the done one stands: of equals, the older comes first.
        row = entry.row.anew((*_COPIED, "series_id", "moved_from"))
        (row.due_date, row.due_at, row.meant_at), row.recurrence = step.following
        successor = self._entries.insert(row)
        days = distance(entry.row, row)
        copies = {entry.id: successor}
        async for part in cooperatively(step.parts):
            above = _parent_of(part)
            copies[part.id] = self._copy(part, copies[above], days)
        for part in step.moving:
            above = _parent_of(part)
            self._entries.hang(part, copies[above].id, moved_from=above)
        done = self._entries.edit(entry)
        done.next_id, done.next_parts = successor.id, len(step.parts)
        self.continued.append((entry, list(copies.values())))

    def _copy(self, part: Entry, parent: Entry, days: timedelta) -> Entry:
        row = part.row.anew(_COPIED_PART)
        row.due_date, row.due_at, row.meant_at = moved(part.row, days)
        row.parent_id = parent.id
        return self._entries.insert(row)

    def _reopen(self, entry: Entry, *, is_renewed: bool) -> None:
        """Take back what followed a task that has just been reopened, where nobody has touched it. Otherwise, if the
        series has gone on, the task leaves it.

        Args:
            is_renewed: Whether the task was given a new rule with this, which begins another series where it leaves
                the one that it was in.
        """
        if entry.row.series_id is None:
            return
        follower = self._follower(entry.row)
        if follower is not None and self._take_back(entry, follower):
            row = self._entries.edit(entry)
            row.next_id = row.next_version = row.next_parts = None
        elif follower is not None and follower.is_live:
            self._leave(entry, is_renewed=is_renewed)
        else:
            self.join(entry, keeps_rule=is_renewed)

    def join(self, entry: Entry, *, keeps_rule: bool = False) -> None:
        """Let a task leave its series where the series has another open task by now. The task was just reopened,
        restored or imported.

        Args:
            keeps_rule: Whether it then begins a series of its own. It also does where the other task has no rule, since
                the rule would be lost.
        """
        other_has_rule = self._has_other(entry) if entry.is_open else None
        if other_has_rule is not None:
            self._leave(entry, is_renewed=keeps_rule or not other_has_rule)

    def note_versions(self) -> None:
        """Note as which versions followers and copies were made, once they have them."""
        for entry, made in self.continued:
            if entry.row.next_id == made[0].id:
                entry.row.next_version = max(one.row.version for one in made)

    def _link(self, entry: Entry) -> UUID | None:
        """What follows a completed task, if it is there and open."""
        found = self._next(entry.row) if entry.row.completed else None
        return found.id if found is not None and found.is_open else None

    def _has_other(self, entry: Entry) -> bool | None:
        """Whether the other open task of a task's series has a rule; None where there is no other open one."""
        series_id = entry.row.series_id
        if series_id is None:
            return None
        elsewhere = self._open_elsewhere.get(series_id, {})
        found = [has_rule for task_id, has_rule in elsewhere.items() if task_id not in self._entries]
        members = [one for one in self._entries.of_series(series_id) if one.is_open and one is not entry]
        found += [one.row.recurrence is not None for one in members]
        return any(found) if found else None

    def _rejoin(self, entry: Entry) -> None:
        """Put a task that left its series when it was reopened back among the past tasks of the series."""
        found = self._next(entry.row)
        if entry.row.series_id is None and found is not None and found.row.series_id is not None:
            self._entries.let_join(entry, found.row.series_id)

    def _leave(self, entry: Entry, *, is_renewed: bool) -> None:
        if is_renewed and entry.row.recurrence is not None:
            self._entries.let_join(entry, uuid7())
        else:
            row = self._entries.edit(entry)
            row.recurrence = row.series_id = None

    def _next(self, row: TaskRow) -> Entry | None:
        """The task that was made when this one was completed before, unless it is erased."""
        found = None if row.next_id is None else self._entries.get(row.next_id)
        return None if found is None or found.is_erased else found

    def _follower(self, row: TaskRow) -> Entry | None:
        """The task of the same series that was made when this one was completed before, live or in the trash."""
        found = self._next(row)
        if found is None or row.series_id is None:
            return None
        return found if found.row.series_id == row.series_id else None

    def _take_back(self, entry: Entry, follower: Entry) -> bool:
        """Remove the follower of a task with the copies of parts, and give back the parts that were moved to it, unless
        somebody has touched one of these.

        Returns:
            Whether that was done; otherwise nothing was.
        """
        made, back = self._made_with(follower)
        if len(made) - 1 != (entry.row.next_parts or 0) or not all(
            self._is_untouched(one, entry.row.next_version) for one in made
        ):
            return False
        places = [(part, self._place_before(part, entry)) for part in back]
        if any(place is None for _, place in places):
            return False
        for part, place in places:
            self._entries.hang(part, place)
        for one in reversed(made):
            self._entries.erase(one)
        return True

    def _made_with(self, follower: Entry) -> tuple[list[Entry], list[Entry]]:
        """A follower with the parts that were made with it, and the parts that were moved to it."""
        made, moved_over = [follower], list[Entry]()
        for one in made:
            for part in self._entries.parts_of(one):
                (made if part.row.moved_from is None else moved_over).append(part)
        return made, moved_over

    def _is_untouched(self, entry: Entry, last_version: int | None) -> bool:
        """Whether nobody has changed a task since it was made for a series.

        Args:
            last_version: The version of the last task that was made together with it.
        """
        if not entry.is_open:
            return False
        if entry.version is None:
            # It was made here: no client can have named its id yet.
            return True
        return not entry.is_changed and last_version is not None and entry.version <= last_version

    def _place_before(self, part: Entry, entry: Entry) -> UUID | None:
        """The former parent of a moved part, or the reopened task where that parent is gone; None where neither can
        take the part.
        """
        tree = self._entries.tree
        height = tree.height(part.id)
        before = part.row.moved_from
        known = {entry.id, *(one.id for one in self._entries.with_parts(entry.id) if one.is_live)}
        for place in (before, entry.id):
            if place is not None and place in known:
                try:
                    tree.check(place, height=height, of=part.id)
                except (Cycle, Invalid):
                    continue
                return place
        return None


def _parent_of(part: Entry) -> UUID:
    return cast("UUID", part.row.parent_id)

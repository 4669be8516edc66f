"""Series: what a recurring task that is completed leaves behind, and what becomes of that when it is reopened.

The occurrences of one series have one `series_id`, and one of them at most is open. Whichever would be a second one
leaves the series: it becomes an ordinary task, without a rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from taskward.errors import Cycle, Invalid
from taskward.kit.declaration import members_of
from taskward.runtime.fairness import cooperatively
from taskward.tasks.entries import Entries, Entry, Values
from taskward.tasks.fields import TaskMembers
from taskward.tasks.schedule.consistency import distance, following, moved

Subtasks = Literal["copy", "leave"]

# What the next task of a series takes over, and what a copy of a part does.
_COPIED = tuple(name for name, member in members_of(TaskMembers).items() if member.copied != "never")
_COPIED_PART = tuple(name for name, member in members_of(TaskMembers).items() if member.copied == "always")


@dataclass(frozen=True, slots=True)
class Step:
    """What completing a task will make.

    Attributes:
        members: Those of the next task in which it differs from the completed one; None where there is no next.
        parts: The parts of which it will have copies, each after the one that it is a part of.
        moving: The parts that recur by themselves, which will be its own.
    """

    members: Values | None = None
    parts: tuple[Entry, ...] = ()
    moving: tuple[Entry, ...] = ()


class Series:
    """The series of the tasks in memory.

    Attributes:
        continued: Tasks that were completed, each with what followed it and with the copies of its parts.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self.continued: list[tuple[Entry, list[Entry]]] = []

    async def step(self, entry: Entry, values: Values, subtasks: Subtasks, at: datetime | None) -> Step:
        """What completing a task will make, which changes nothing yet.

        Args:
            values: The task's, as they will be.
            at: When it was completed, where the client says so; else now.

        Raises:
            LimitReached: There would be more tasks than the owner may have.
        """
        if values["completed"] or values["recurrence"] is None:
            return Step()
        follower = self._follower(values)
        if follower is not None and follower.is_live:
            return Step()
        members = following(values, now=at or self._entries.lock.now)
        if members is None:
            return Step()
        parts: list[Entry] = []
        moving: list[Entry] = []
        if subtasks == "copy":
            async for part in cooperatively(self._parts_to_take(entry)):
                (parts if part.values["recurrence"] is None else moving).append(part)
        self._entries.check_room(1 + len(parts), of_series=True)
        return Step(members, tuple(parts), tuple(moving))

    def _parts_to_take(self, entry: Entry) -> Iterator[Entry]:
        """The live parts at every depth. Of those that recur by themselves the open ones, which take theirs along."""
        for part in self._entries.parts_of(entry):
            if part.is_live and part.values["recurrence"] is None:
                yield part
                yield from self._parts_to_take(part)
            elif part.is_open:
                yield part

    async def complete(self, entry: Entry, step: Step) -> None:
        """Make what follows a task that has just been completed, as `step` has said."""
        values = entry.values
        if step.members is None:
            self._rejoin(entry)
            return
        copied = {name: values[name] for name in (*_COPIED, "series_id", "moved_from")}
        # Where the done one stands: of equals, the older comes first.
        made = {"id": uuid7(), "completed": False, "position": entry.position, **step.members}
        successor = self._entries.insert({**copied, **made})
        days = distance(values, successor.values)
        copies = {entry.id: successor}
        async for part in cooperatively(step.parts):
            copies[part.id] = self._copy(part, copies[part.values["parent_id"]], days)
        for part in step.moving:
            above = part.values["parent_id"]
            self._entries.set(part, {"parent_id": copies[above].id, "moved_from": above})
        self._entries.set(entry, {"next_id": successor.id, "next_parts": len(step.parts)})
        self.continued.append((entry, list(copies.values())))

    def _copy(self, part: Entry, parent: Entry, days: timedelta) -> Entry:
        copied = {name: part.values[name] for name in (*_COPIED_PART, "meant_at")}
        place = {"id": uuid7(), "parent_id": parent.id, "position": part.position}
        return self._entries.insert({**copied, **place, "completed": False, **moved(part.values, days)})

    def reopen(self, entry: Entry, *, is_renewed: bool) -> None:
        """Take back what followed a task that has just been reopened, where nobody has touched it. Otherwise, if the
        series has gone on, the task leaves it.

        Args:
            is_renewed: Whether the task was given a new rule with this, which begins another series where it leaves
                the one that it was in.
        """
        values = entry.values
        if values["series_id"] is None:
            return
        follower = self._follower(values)
        if follower is not None and self._take_back(entry, follower):
            self._entries.set(entry, {"next_id": None, "next_version": None, "next_parts": None})
        elif follower is not None and follower.is_live:
            self._leave(entry, is_renewed=is_renewed)
        else:
            self.join(entry, keeps_rule=is_renewed)

    def join(self, entry: Entry, *, keeps_rule: bool = False) -> None:
        """Let a task that has just been reopened, or come out of the trash or of an import, leave its series, where
        that has another open one by now.

        Args:
            keeps_rule: Whether it begins a series of its own then. So it does where the other one has no rule, which
                would be lost else.
        """
        other_has_rule = self._has_other(entry) if entry.is_open else None
        if other_has_rule is not None:
            self._leave(entry, is_renewed=keeps_rule or not other_has_rule)

    def link(self, entry: Entry) -> UUID | None:
        """What follows a completed task, if it is there and open."""
        found = self._entries.get(entry.values["next_id"]) if entry.values["completed"] else None
        return found.id if found is not None and found.is_open else None

    def note_versions(self) -> None:
        """Note as which versions followers and copies were made, once they have them."""
        for entry, made in self.continued:
            if entry.values["next_id"] == made[0].id:
                entry.values["next_version"] = max(one.values["version"] for one in made)

    def _has_other(self, entry: Entry) -> bool | None:
        series_id = entry.values["series_id"]
        return None if series_id is None else self._entries.open_of(series_id, entry)

    def _rejoin(self, entry: Entry) -> None:
        """Let a task that left its series when it was reopened be one of its past ones again."""
        found = self._entries.get(entry.values["next_id"])
        if entry.values["series_id"] is None and found is not None and not found.is_erased:
            self._entries.set(entry, {"series_id": found.values["series_id"]})

    def _leave(self, entry: Entry, *, is_renewed: bool) -> None:
        if is_renewed and entry.values["recurrence"] is not None:
            self._entries.set(entry, {"series_id": uuid7()})
        else:
            self._entries.set(entry, {"recurrence": None, "series_id": None})

    def _follower(self, values: Values) -> Entry | None:
        """The task of the same series that was made when this one was completed before, live or in the trash."""
        found = None if values["next_id"] is None else self._entries.get(values["next_id"])
        if found is None or found.is_erased or values["series_id"] is None:
            return None
        return found if found.values["series_id"] == values["series_id"] else None

    def _take_back(self, entry: Entry, follower: Entry) -> bool:
        """Remove what followed a task together with its copies, unless somebody has touched one of them, and give parts
        that were moved over back.

        Returns:
            Whether that was done; otherwise nothing was.
        """
        made, back = self._made_with(follower)
        if len(made) - 1 != (entry.values["next_parts"] or 0) or not all(
            self._is_untouched(one, entry.values["next_version"]) for one in made
        ):
            return False
        places = [(part, self._place_before(part, entry)) for part in back]
        if any(place is None for _, place in places):
            return False
        for part, place in places:
            self._entries.set(part, {"parent_id": place, "moved_from": None})
        for one in reversed(made):
            self._entries.erase(one)
        return True

    def _made_with(self, follower: Entry) -> tuple[list[Entry], list[Entry]]:
        """A task and what is below it: what must have been made with it, and the parts that were moved over."""
        made, moved_over = [follower], list[Entry]()
        for one in made:
            for part in self._entries.parts_of(one):
                (made if part.values["moved_from"] is None else moved_over).append(part)
        return made, moved_over

    def _is_untouched(self, entry: Entry, last_version: int | None) -> bool:
        """Whether nobody has changed a task since it was made for a series.

        Args:
            last_version: As which the last one was made of those that were made with it.
        """
        if not entry.is_open:
            return False
        if entry.version is None:
            # It was made here: no client can have named its id yet.
            return True
        return not entry.is_changed and last_version is not None and entry.version <= last_version

    def _place_before(self, part: Entry, entry: Entry) -> UUID | None:
        """The task of which a moved part was a part before, or the reopened one where that one is not there any more;
        None where neither can have it.
        """
        tree = self._entries.tree
        height = tree.height(part.id)
        before = part.values["moved_from"]
        known = {entry.id, *(one.id for one in self._entries.with_parts(entry.id) if one.is_live)}
        for place in (before, entry.id):
            if place in known:
                try:
                    tree.check(place, height=height, of=part.id)
                except (Cycle, Invalid):
                    continue
                return place
        return None

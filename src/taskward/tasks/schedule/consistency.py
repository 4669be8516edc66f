"""The rules about a task's due, its zone and its recurrence together, and what follows when it is completed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple, Protocol, TypeVar, cast
from zoneinfo import ZoneInfo

from taskward.errors import FieldError, Invalid
from taskward.tasks.schedule.local_time import is_meant, kept_for, meant_by, moment_of
from taskward.tasks.schedule.recurrence import NeverFires, Occurrence, find_next
from taskward.tasks.schedule.rrule import parse_rule
from taskward.tasks.types import FIRST_YEAR, LAST_YEAR

SCHEDULE = ("due_date", "due_at", "time_zone", "recurrence", "recurs_from")
"""The members that the rules are about."""

_UNTIL = re.compile("UNTIL=[0-9TZ]+")
_BASIC = str.maketrans("", "", "-:")
# By how much a client's clock may be ahead.
_CLOCKS_DIFFER = timedelta(minutes=1)
_D = TypeVar("_D", date, datetime)


class Scheduled(Protocol):
    """What has the members that the rules are about: a task, or what a client sends of one."""

    @property
    def due_date(self) -> date | None: ...
    @property
    def due_at(self) -> datetime | None: ...
    @property
    def time_zone(self) -> str | None: ...
    @property
    def recurrence(self) -> str | None: ...
    @property
    def recurs_from(self) -> str: ...


class Meaning(Scheduled, Protocol):
    """What has, besides, the local time that its due means, see `local_time.kept_for`."""

    @property
    def meant_at(self) -> str | None: ...


class Due(NamedTuple):
    """When a task is due: on a day, at a moment, or not at all.

    Attributes:
        meant_at: The local time that a moment means, where it does not show it.
    """

    due_date: date | None
    due_at: datetime | None
    meant_at: str | None


class Next(NamedTuple):
    """The members in which the next task of a series differs from the completed one."""

    due: Due
    recurrence: str


@dataclass(frozen=True, slots=True)
class Search:
    """What was found when a rule was searched, so that it need not be searched again.

    Attributes:
        now, meant: For when it was searched, and for which local time of the due; see `find_next`.
        found: What follows then; None where the rule has ended.
    """

    now: datetime
    meant: datetime | None
    found: tuple[Occurrence, date] | None


def check_schedule(task: Scheduled, *, now: datetime) -> Search | None:
    """Check the rules.

    Returns:
        The search for what follows, of a task that recurs.

    Raises:
        Invalid: One is broken.
    """
    errors = []
    has_due = task.due_date is not None or task.due_at is not None
    if task.due_date is not None and task.due_at is not None:
        errors.append(_error("due_date", "This excludes due_at; set one of them to null."))
    if task.time_zone is None and task.due_at is not None:
        errors.append(_error("time_zone", "This is required with due_at."))
    elif task.time_zone is None and task.recurrence is not None:
        errors.append(_error("time_zone", "This is required with recurrence."))
    if task.recurrence is not None and not has_due:
        errors.append(_error("recurrence", "This needs a due_date or a due_at."))
    if errors:
        raise Invalid(errors)
    if task.recurrence is None:
        return None
    try:
        return _search(task, now, None)
    except NeverFires as error:
        raise Invalid([_error("recurrence", str(error))]) from None


def following(task: Meaning, *, now: datetime, known: Search | None = None) -> Next | None:
    """How the next task differs from a recurring one that is completed now. None where the rule has ended, or has no
    other day within the bounds of the search.

    Args:
        known: What `check_schedule` has found for this task, if it was asked.
    """
    zone = _zone(task)
    meant = None if task.due_at is None else meant_by(task.due_at, zone, task.meant_at)
    shown = None if task.meant_at is None else meant
    if known is None or (known.now, known.meant) != (now, shown):
        try:
            known = _search(task, now, meant)
        except NeverFires:
            return None
    # A series also ends before a due that no client could write.
    if known.found is None or known.found[0].due.year > LAST_YEAR:
        return None
    (due, rule), day = known.found
    if not isinstance(due, datetime) or meant is None:
        return Next(Due(due, None, None), rule)
    return Next(Due(None, due, kept_for(due, zone, datetime.combine(day, meant.time()))), rule)


def completion_time(completed: bool | None, at: datetime | None, *, now: datetime) -> datetime | None:  # noqa: FBT001
    """When a task was completed, where a client says so; never after `now`.

    Args:
        completed: Whether the client completes it.
        at: What it says.

    Raises:
        Invalid: It is in the future, by more than clocks differ, or the task is not completed.
    """
    if at is None:
        return None
    if not completed:
        raise Invalid([_error("completed_at", "This goes with completed: true only.")])
    if at > now + _CLOCKS_DIFFER:
        raise Invalid([_error("completed_at", "This must not be in the future.")])
    return min(at, now)


def distance(task: Meaning, later: Meaning) -> timedelta:
    """The days from the due of a task to that of one that follows it."""
    return _day(later) - _day(task)


def moved(task: Meaning, days: timedelta) -> Due:
    """The due of a task, so many days later at the local time that it means; none where the calendar ends before."""
    try:
        if task.due_date is not None:
            return Due(_written(task.due_date + days), None, task.meant_at)
        if task.due_at is None:
            return Due(None, None, task.meant_at)
        zone = _zone(task)
        meant = meant_by(task.due_at, zone, task.meant_at)
        local = meant + days
    except OverflowError:
        return Due(None, None, None)
    local = local.replace(fold=meant.fold)
    moment = _written(moment_of(local.date(), local.time(), zone))
    return Due(None, moment, None if moment is None else kept_for(moment, zone, local))


def shows_otherwise(task: Meaning) -> bool:
    """Whether the due of a task is what the zone makes of the local time that it is said to mean."""
    if task.due_at is None or task.meant_at is None:
        return False
    return is_meant(task.due_at, _zone(task), task.meant_at)


def rule_for_others(rule: str, due_at: datetime | None, zone: str | None) -> str:
    """A rule with an UNTIL of the same type as the due, a day or a moment, as RFC 5545 asks.

    Args:
        due_at: The due where it is a moment; else it is a day.
    """
    until = parse_rule(rule).until
    if until is None or isinstance(until, datetime) == (due_at is not None):
        return rule
    if isinstance(until, datetime):
        text = until.date().isoformat()
    elif (end := moment_of(until, time(23, 59, 59), ZoneInfo(zone or "UTC"))) is not None:
        text = f"{end.replace(tzinfo=None).isoformat()}Z"
    else:
        return rule
    return _UNTIL.sub(f"UNTIL={text.translate(_BASIC)}", rule)


def _written(due: _D | None) -> _D | None:
    """What a client could have written, or None."""
    return due if due is not None and FIRST_YEAR <= due.year <= LAST_YEAR else None


def _day(task: Meaning) -> date:
    if task.due_at is not None:
        return meant_by(task.due_at, _zone(task), task.meant_at).date()
    return cast("date", task.due_date)


def _zone(task: Scheduled) -> ZoneInfo:
    """The zone of a task that was checked, and is due at a moment or recurs."""
    return ZoneInfo(cast("str", task.time_zone))


def _search(task: Scheduled, now: datetime, meant: datetime | None) -> Search:
    """Search the rule of a task that was checked.

    Raises:
        NeverFires: See `find_next`.
    """
    rule, due = parse_rule(cast("str", task.recurrence)), cast("date", task.due_at or task.due_date)
    from_completion = task.recurs_from == "completion"
    return Search(now, meant, find_next(rule, due, _zone(task), now=now, from_completion=from_completion, meant=meant))


def _error(member: str, sentence: str) -> FieldError:
    return FieldError("body", f"/{member}", sentence)

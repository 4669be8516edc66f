"""The rules about a task's due, its zone and its recurrence together, and what follows when it is completed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from taskward.errors import FieldError, Invalid
from taskward.tasks.schedule.local_time import is_meant, kept_for, meant_by, moment_of
from taskward.tasks.schedule.recurrence import NeverFires, find_next, next_occurrence
from taskward.tasks.schedule.rrule import parse_rule
from taskward.tasks.types import FIRST_YEAR, LAST_YEAR

SCHEDULE = ("due_date", "due_at", "time_zone", "recurrence", "recurs_from")
"""The members that the rules are about."""

_UNTIL = re.compile("UNTIL=[0-9TZ]+")
_BASIC = str.maketrans("", "", "-:")
# By how much a client's clock may be ahead.
_CLOCKS_DIFFER = timedelta(minutes=1)


def check_schedule(task: Mapping[str, Any], *, now: datetime) -> None:
    """Check the rules.

    Args:
        task: At least the members in `SCHEDULE`.

    Raises:
        Invalid: One is broken.
    """
    errors = []
    has_due = task["due_date"] is not None or task["due_at"] is not None
    if task["due_date"] is not None and task["due_at"] is not None:
        errors.append(_error("due_date", "This excludes due_at; set one of them to null."))
    if task["time_zone"] is None and task["due_at"] is not None:
        errors.append(_error("time_zone", "This is required with due_at."))
    elif task["time_zone"] is None and task["recurrence"] is not None:
        errors.append(_error("time_zone", "This is required with recurrence."))
    if task["recurrence"] is not None and not has_due:
        errors.append(_error("recurrence", "This needs a due_date or a due_at."))
    if errors:
        raise Invalid(errors)
    if task["recurrence"] is not None:
        try:
            next_occurrence(
                parse_rule(task["recurrence"]), _due(task), ZoneInfo(task["time_zone"]), now=now, **_start(task)
            )
        except NeverFires as error:
            raise Invalid([_error("recurrence", str(error))]) from None


def following(task: Mapping[str, Any], *, now: datetime) -> dict[str, Any] | None:
    """The members of the task that follows a recurring one, completed now, in which it differs, or None where its rule
    has ended, or does not come true as far as that is looked for.

    Args:
        task: Besides the members in `SCHEDULE`, `meant_at`.
    """
    due, zone = _due(task), ZoneInfo(task["time_zone"])
    meant = meant_by(due, zone, task["meant_at"]) if isinstance(due, datetime) else None
    try:
        found = find_next(parse_rule(task["recurrence"]), due, zone, now=now, meant=meant, **_start(task))
    except NeverFires:
        return None
    # What could not be written by a client is beyond the end, too.
    if found is None or found[0].due.year > LAST_YEAR:
        return None
    (next_due, rule), day = found
    if not isinstance(next_due, datetime) or meant is None:
        return {"due_date": next_due, "meant_at": None, "recurrence": rule}
    local = datetime.combine(day, meant.time())
    return {"due_at": next_due, "meant_at": kept_for(next_due, zone, local), "recurrence": rule}


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


def distance(task: Mapping[str, Any], later: Mapping[str, Any]) -> timedelta:
    """The days from the due of a task to that of one that follows it."""
    return _day(later) - _day(task)


def moved(task: Mapping[str, Any], days: timedelta) -> dict[str, Any]:
    """The due of a task, so many days later at the local time that it means; none where the calendar ends before."""
    due = _due(task)
    if due is None:
        return {}
    try:
        if not isinstance(due, datetime):
            return {"due_date": _written(due + days)}
        zone = ZoneInfo(task["time_zone"])
        local = meant_by(due, zone, task["meant_at"]) + days
    except OverflowError:
        return {"due_date": None, "due_at": None, "meant_at": None}
    local = local.replace(fold=meant_by(due, zone, task["meant_at"]).fold)
    moment = _written(moment_of(local.date(), local.time(), zone))
    return {"due_at": moment, "meant_at": None if moment is None else kept_for(moment, zone, local)}


def shows_otherwise(task: Mapping[str, Any]) -> bool:
    """Whether the due of a task is what the zone makes of the local time that it is said to mean."""
    due, zone = task["due_at"], task["time_zone"]
    return due is not None and is_meant(due, ZoneInfo(zone), task["meant_at"])


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


def _written(due: Any) -> Any:
    """What a client could have written, or None."""
    return due if due is not None and FIRST_YEAR <= due.year <= LAST_YEAR else None


def _day(task: Mapping[str, Any]) -> date:
    due: date | datetime = _due(task)
    if isinstance(due, datetime):
        return meant_by(due, ZoneInfo(task["time_zone"]), task["meant_at"]).date()
    return due


def _due(task: Mapping[str, Any]) -> Any:
    return task["due_at"] if task["due_at"] is not None else task["due_date"]


def _start(task: Mapping[str, Any]) -> dict[str, bool]:
    return {"from_completion": task["recurs_from"] == "completion"}


def _error(member: str, sentence: str) -> FieldError:
    return FieldError("body", f"/{member}", sentence)

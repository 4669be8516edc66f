"""What members of a task must be together, and what follows one that is completed: few rules, counted by hand."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.reference_world import Row

SCHEDULE = ("due_date", "due_at", "time_zone", "recurrence", "recurs_from")
RULES: dict[str, tuple[int, date | None]] = {
    "FREQ=DAILY": (1, None),
    "freq=daily;interval=3": (3, None),
    "FREQ=DAILY;INTERVAL=2;COUNT=2": (2, None),
    "FREQ=DAILY;COUNT=1": (1, None),
    "FREQ=WEEKLY": (7, None),
    "FREQ=WEEKLY;INTERVAL=2;UNTIL=20200401": (14, date(2020, 4, 1)),
}
"""Each rule with the days from one due to the next, and its last day."""
NEVER = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"
_OF: dict[str, tuple[int, date | None]] = {re.sub(r"COUNT=\d+", "", rule.upper()): of for rule, of in RULES.items()}


def instant(moment: datetime) -> str:
    """A time as clients read it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def broken(task: Row) -> list[str]:
    """The members that do not go with the others, in the order in which they are told."""
    has_due = task["due_date"] is not None or task["due_at"] is not None
    wrong = {
        "/due_date": task["due_date"] is not None and task["due_at"] is not None,
        "/time_zone": task["time_zone"] is None and (task["due_at"] is not None or task["recurrence"] is not None),
        "/recurrence": task["recurrence"] is not None and not has_due,
    }
    found = [pointer for pointer, is_wrong in wrong.items() if is_wrong]
    return found or ["/recurrence"] * (task["recurrence"] == NEVER)


def following(task: Row, now: str) -> Row | None:
    """The due and the rule of what follows a recurring task that is completed, or None where its series has ended.

    Args:
        now: When it is completed, as clients read it.
    """
    rule = task["recurrence"]
    step, until = _OF[re.sub(r"COUNT=\d+", "", rule)]
    count = re.search(r"(?<=COUNT=)\d+", rule)
    if count and count[0] == "1":
        return None
    zone, present = ZoneInfo(task["time_zone"]), datetime.fromisoformat(now)
    today = present.astimezone(zone).date()
    from_completion = task["recurs_from"] == "completion"
    at = None if task["due_at"] is None else datetime.fromisoformat(task["due_at"]).astimezone(zone)
    due = date.fromisoformat(task["due_date"]) if at is None else at.date()
    day = today if from_completion else due
    while True:
        day += timedelta(days=step)
        # A day counts as its end.
        is_after_now = day >= today if at is None else datetime.combine(day, at.time(), zone) > present
        if day > due and is_after_now:
            break
    if until is not None and day > until:
        return None
    shorter = rule if count is None else rule.replace(f"COUNT={count[0]}", f"COUNT={int(count[0]) - 1}")
    if at is None:
        return {"due_date": day.isoformat(), "recurrence": shorter}
    return {"due_at": instant(datetime.combine(day, at.time(), zone)), "recurrence": shorter}


def merged(target: Any, patch: Any) -> Any:
    """A JSON Merge Patch (RFC 7396), applied."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(target) if isinstance(target, dict) else {}
    kept.update({name: merged(kept.get(name), value) for name, value in patch.items()})
    return {name: value for name, value in kept.items() if patch.get(name, ...) is not None}

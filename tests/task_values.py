"""What each member of a task, and each filter of a listing, may and must not be. A new one needs a row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from taskward.kit.declaration import members_of
from taskward.tasks.fields import TaskMembers
from taskward.tasks.filters import TaskFilters

DECLARED = members_of(TaskMembers)
DEFAULTS: dict[str, Any] = {name: one.default for name, one in DECLARED.items() if name != "title"}
"""What a member of a new task is that is not sent."""


def as_sent(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Values:
    """What one of them may be, as JSON or as a parameter has it.

    Attributes:
        good: Some that it may be, and answers have as they are. Where it is none, more than a row is needed.
        bad: Some that it must not be.
        kept: What is answered of what was sent.
    """

    good: tuple[Any, ...]
    bad: tuple[Any, ...]
    kept: Callable[[Any], Any] = as_sent


MEMBERS: dict[str, Values] = {
    "title": Values(("Other", "Plan"), (None, "", " ", "a\nb", "x" * 256, 1), str.strip),
    "description": Values(("Else", "About it", None), ("a\0b", "x" * 10_001, 1)),
    "completed": Values((False, True), (None, "true", 1)),
    "completed_at": Values((), ("x", 1, "2026-02-30T00:00:00Z")),
    "priority": Values(("none", "low", "medium", "high", "urgent"), (None, "highest", 3)),
    "due_date": Values((), ("2026-02-30", "2026-01-01T00:00:00Z", "tomorrow", 20260101)),
    "due_at": Values((), ("2026-01-01", "2026-01-01T00:00:00", 1767225600)),
    "time_zone": Values((), ("Mars/Olympus", "europe/berlin", "+01:00", 1)),
    "recurrence": Values(
        (),
        (
            "",
            "FREQ=HOURLY",
            "RRULE:FREQ=DAILY",
            "FREQ=DAILY;COUNT=2;UNTIL=20300101",
            "FREQ=DAILY;BYHOUR=9",
            1,
        ),
        str.upper,
    ),
    "recurs_from": Values((), (None, "start")),
    "list_id": Values((), ("x", "none", 1, "0" * 32), str.lower),
    "parent_id": Values((), ("x", "none", 1, "0" * 32), str.lower),
    "tags": Values(
        (), (None, "home", ["a", "a"], ["a", " a"], [""], ["x" * 51], [str(n) for n in range(21)], ["."], [1])
    ),
    "metadata": Values((), (None, [], "x", {"x": "x" * 8192})),
}
_TWO_IDS = (str(uuid4()), str(uuid4()))
_TWO_DAYS = ("2026-01-10", "2027-01-10")
FILTERS: dict[str, Values] = {
    "completed": Values(("true", "false"), ("yes", "1")),
    "priority": Values(("high,urgent", "low"), ("", "highest", "low,")),
    "tag": Values(("home", "garden"), (("",), ("x" * 51,))),
    "tag_any": Values(("home", "garden"), (("",), ("home", "x" * 51))),
    "list_id": Values(_TWO_IDS, ("", "x")),
    "parent_id": Values(_TWO_IDS, ("", "x")),
    "series": Values(_TWO_IDS, ("", "x", "none")),
    "due": Values(("none",), ("", "2026-01-10", "any")),
    "due_on": Values(_TWO_DAYS, ("", "today", "2026-02-30")),
    "due_before": Values(_TWO_DAYS, ("", "tomorrow", "2026-02-30", "0001-01-01")),
    "due_after": Values(("2026-01-10T09:30:00Z", "2027-01-10"), ("2026",)),
    "updated_since": Values(_TWO_DAYS, ("yesterday",)),
    "created_since": Values(_TWO_DAYS, ("0",)),
    "completed_since": Values(_TWO_DAYS, ("never",)),
    "completed_before": Values(_TWO_DAYS, ("",)),
    "overdue": Values(("true", "false"), ("maybe",)),
    "tz": Values(("Europe/Berlin", "Asia/Kathmandu"), ("", "Mars/Olympus")),
    "q": Values(("milk", "bread"), ("a\0b", "x" * 501, " ".join(map(str, range(33))))),
    "deleted": Values(("true", "false"), ("all",)),
    "sort": Values(("due,-title", "-due,title"), ("", "name", "id,id", "id,-id", "--id")),
    "limit": Values((), ("0", "201", "1.0", "x")),
    "cursor": Values((), ("", "x", "A" * 32)),
    "count": Values((), ("yes",)),
}


def _in_a_query(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Texts, and whole numbers as a query has them."""
    return tuple(str(value) for value in values if isinstance(value, str) or type(value) is int)


def _of_member(name: str) -> Values:
    good, bad = MEMBERS[name].good, MEMBERS[name].bad
    numbers = [value for value in good if type(value) is int]
    # Pydantic would take these for numbers.
    others = [form for number in numbers for form in (f"+{number}", f"{number}.0", f" {number}")]
    # The text "3" is no number in JSON, and is one in a query.
    not_even_there = tuple(value for value in bad if not (numbers and isinstance(value, str) and value.isdigit()))
    return Values(_in_a_query(good), (*_in_a_query(not_even_there), *others))


OF_MEMBERS = sorted(TaskFilters.model_fields.keys() - FILTERS.keys())
"""The filters that have no row: each by a member of its own name, and tried with what that may and must not be."""
FILTERS |= {name: _of_member(name) for name in OF_MEMBERS}

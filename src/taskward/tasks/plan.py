"""The rules about a task's due, its zone and its recurrence together, and what follows when it is completed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from taskward.errors import FieldError, Invalid
from taskward.tasks.members import LAST_YEAR
from taskward.tasks.recurrence import NeverFires, Occurrence, next_occurrence
from taskward.tasks.rules import parse_rule

PLAN = ("due_date", "due_at", "time_zone", "recurrence", "recurs_from")
"""The members that the rules are about."""


def check_plan(task: Mapping[str, Any], *, now: datetime) -> None:
    """Check the rules.

    Args:
        task: At least the members in `PLAN`.

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
            _next(task, now=now)
        except NeverFires as error:
            raise Invalid([_error("recurrence", str(error))]) from None


def following(task: Mapping[str, Any], *, now: datetime) -> Occurrence | None:
    """What follows a recurring task that is completed now, or None where its rule has ended, or does not come true
    within ten years.
    """
    try:
        found = _next(task, now=now)
    except NeverFires:
        return None
    # What could not be written by a client is beyond the end, too.
    return found if found is not None and found.due.year <= LAST_YEAR else None


def _next(task: Mapping[str, Any], *, now: datetime) -> Occurrence | None:
    due = task["due_at"] if task["due_at"] is not None else task["due_date"]
    from_completion = task["recurs_from"] == "completion"
    rule, zone = parse_rule(task["recurrence"]), ZoneInfo(task["time_zone"])
    return next_occurrence(rule, due, zone, now=now, from_completion=from_completion)


def _error(member: str, sentence: str) -> FieldError:
    return FieldError("body", f"/{member}", sentence)

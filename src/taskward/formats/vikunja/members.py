"""The members of what Vikunja exported, each of the type that it should have; what is of another type is a loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeGuard, TypeVar

from taskward.transfer.records import Subject, Thing, kept_text, one_line, quoted

_T = TypeVar("_T")
NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: there is none."""


def is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def number_of(value: object) -> float:
    """A position; 0 where there is none."""
    if isinstance(value, float) or is_whole(value):
        return float(value) if math.isfinite(value) else 0.0
    return 0.0


def text_of(subject: Subject, raw: dict[str, Any], member: str, what: Thing = "description") -> str:
    return typed(subject, raw, member, str, what) or ""


def typed(subject: Subject, raw: dict[str, Any], member: str, kind: type[_T], what: Thing) -> _T | None:
    """The member; None if it is missing, null or of another type, which is a loss."""
    value = raw.get(member)
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    subject.lose(what, f"Its {quoted(member)} is of an unknown type and was left out.")
    return None


def items_of(subject: Subject, raw: dict[str, Any], member: str, what: Thing) -> Iterator[dict[str, Any]]:
    """The objects in an array; what else is in it is a loss."""
    broken = 0
    for item in typed(subject, raw, member, list, what) or []:
        if isinstance(item, dict):
            yield item
        else:
            broken += 1
    if broken:
        subject.lose(what, f"Of its {quoted(member)}, {broken} are of an unknown type and were left out.", broken)


def user_name(raw: object) -> str:
    """How a user is called."""
    if not isinstance(raw, dict):
        return ""
    names = (raw.get("name"), raw.get("username"))
    return next((kept_text(one_line(name)) for name in names if isinstance(name, str) and name.strip()), "")

"""What the members of a task may be: a type for each, with its rule and with the JSON schema that tells clients of it.

Rules about several members together are in `schedule.consistency`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic.json_schema import WithJsonSchema

from taskward.kit.types import UUID_SCHEMA, line_schema, parse_uuid, without_controls
from taskward.tasks.errors import TaskNotFound
from taskward.tasks.metadata import dump_metadata
from taskward.tasks.schedule.rrule import parse_rule

EXAMPLE_ID = "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c"
"""Of the task that the documentation shows."""
LONGEST_TAG = 50
MOST_TAGS = 20
LONGEST_DESCRIPTION = 10_000
# So that no zone leads out of the calendar, whose first and last day stand for infinity to the database's driver.
FIRST_YEAR, LAST_YEAR = 2, 9998
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
# What a system's collection of zones has besides those of the IANA.
_NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})

PRIORITIES = ("none", "low", "medium", "high", "urgent")
"""The least urgent first."""
Priority = Literal["none", "low", "medium", "high", "urgent"]
RecursFrom = Literal["due", "completion"]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("This must not have the character NUL.")
    return text


def _task_id(value: object) -> UUID:
    found = parse_uuid(value)
    if found is None:
        raise TaskNotFound
    return found


def read_date(text: str) -> date | None:
    """A day as `YYYY-MM-DD`, or None where that is not one."""
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def read_instant(text: str) -> datetime | None:
    """An instant of RFC 3339 in UTC, or None where that is not one. Digits below a microsecond are cut."""
    text = text.upper()
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if _INSTANT.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def _day(value: object) -> object:
    found = read_date(value) if isinstance(value, str) else value if type(value) is date else None
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(f"This must be a day as YYYY-MM-DD, of the years {FIRST_YEAR} to {LAST_YEAR}.")
    return found


def _instant(value: object) -> object:
    found = read_instant(value) if isinstance(value, str) else value if isinstance(value, datetime) else None
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError("This must be a time of RFC 3339 with an offset, such as 2026-01-10T09:30:00Z.")
    return found


@cache
def zones() -> frozenset[str]:
    """The names of the zones of the IANA."""
    return frozenset(available_timezones()) - _NO_ZONES


@cache
def _zones_in_small_letters() -> dict[str, str]:
    """By its whole name and by that of its place."""
    places = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zones(), reverse=True)}
    return places | {zone.lower(): zone for zone in zones()}


def _zone(name: str) -> str:
    if name not in zones():
        close = _zones_in_small_letters().get(name.replace(" ", "_").lower())
        meant = "" if close is None else f" Did you mean {close}?"
        raise ValueError(f"This must be the name of an IANA time zone, such as Europe/Berlin.{meant}")
    return name


def _rule(text: str) -> str:
    return parse_rule(text).text


def _tag(text: str) -> str:
    if text in {".", ".."}:
        raise ValueError("This must not be . or .. alone, which no URL can name.")
    return without_controls(text)


def _distinct(tags: list[str]) -> list[str]:
    if len(set(tags)) < len(tags):
        raise ValueError("This must not have the same tag twice.")
    return tags


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    dump_metadata(value)
    return value


TAG_SCHEMA = line_schema(LONGEST_TAG, without_dots=True)
_RULE_PATTERN = (
    "^(?:[A-Za-z]+=[^;=\\s]+;)*[Ff][Rr][Ee][Qq]="
    "(?:[Dd][Aa][Ii][Ll]|(?:[Ww][Ee][Ee][Kk]|[Mm][Oo][Nn][Tt][Hh]|[Yy][Ee][Aa][Rr])[Ll])[Yy](?:;[A-Za-z]+=[^;=\\s]+)*$"
)

Description = Annotated[
    str,
    StringConstraints(max_length=LONGEST_DESCRIPTION),
    AfterValidator(_without_nul),
    WithJsonSchema({"type": "string", "maxLength": LONGEST_DESCRIPTION, "pattern": r"^[^\u0000]*$"}),
]
DueDate = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
DueAt = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
# Names of zones are too many to list, and a rule of parts in any order is beyond a pattern; but none is empty.
TimeZone = Annotated[
    str,
    AfterValidator(_zone),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*$"}),
]
Recurrence = Annotated[
    str,
    StringConstraints(max_length=500),
    AfterValidator(_rule),
    WithJsonSchema({"type": "string", "maxLength": 500, "pattern": _RULE_PATTERN}),
]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TAG),
    AfterValidator(_tag),
    WithJsonSchema(TAG_SCHEMA),
]
DistinctTags = Annotated[list[Tag], AfterValidator(_distinct)]
Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]
TaskId = Annotated[UUID, BeforeValidator(_task_id), WithJsonSchema({**UUID_SCHEMA, "examples": [EXAMPLE_ID]})]
"""An id in a path. What is not a UUID is the id of no task: 404, not 422."""

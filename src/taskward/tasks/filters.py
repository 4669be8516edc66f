"""What a listing may be asked: its filters, its order and its page. No SQL lives here."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter
from pydantic.json_schema import WithJsonSchema
from sqlmodel import Field, SQLModel

from taskward.http.suggestions import sort_suggestion, word_suggestion
from taskward.kit.types import Reference
from taskward.tasks.search import parse_query
from taskward.tasks.types import (
    FIRST_YEAR,
    LAST_YEAR,
    MOST_TAGS,
    PRIORITIES,
    TAG_SCHEMA,
    Tag,
    TimeZone,
    read_date,
    read_instant,
)

SORTS = ("id", "created_at", "updated_at", "due", "priority", "title", "position", "completed_at")
"""What a listing may be sorted by."""
NONE = "none"
"""Stands for what a task does not have: a list, a task that it is a part of, a tag, a due."""
_MOMENT_FORM = "This must be a day as YYYY-MM-DD or a time of RFC 3339, such as 2026-01-10T09:30:00Z."
_reference: TypeAdapter[UUID] = TypeAdapter(Reference)

Moment = date | datetime
Order = tuple[tuple[str, bool], ...]
"""Names out of `SORTS`, each with whether it goes down."""


def _boolean_word(value: object) -> object:
    if value in {"true", "false"}:
        return value == "true"
    raise ValueError("This must be true or false.")


def _digits(value: object) -> object:
    # Pydantic also reads 1.0, 1_0, +1 and spaces around a number.
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("This must be a whole number.")
    return value


def _moment(value: object) -> object:
    # In a URL, a plus sign that nobody encoded is a space.
    text = str(value).replace(" ", "+")
    found = read_date(text) or read_instant(text)
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(_MOMENT_FORM)
    return found


def _priorities(value: object) -> object:
    names = tuple(dict.fromkeys(str(value).split(",")))
    if not set(names) <= set(PRIORITIES):
        meant = next(filter(None, (word_suggestion(one, PRIORITIES) for one in names if one not in PRIORITIES)), "")
        raise ValueError(f"This must be some of {', '.join(PRIORITIES)}, with commas between them.{meant}")
    return names


def _reference_or_none(value: object) -> object:
    return NONE if value == NONE else _reference.validate_python(value)


@lru_cache(maxsize=256)
def _order(value: str) -> Order:
    order: dict[str, bool] = {}
    for part in value.split(","):
        name = part.removeprefix("-")
        if name not in SORTS:
            meant = sort_suggestion(part, SORTS)
            raise ValueError(f"This must be some of {', '.join(SORTS)}, each with - before it or not.{meant}")
        if name in order:
            raise ValueError("This must not name the same thing twice.")
        order[name] = part.startswith("-")
    return tuple(order.items())


def _query(text: str) -> str:
    if "\0" in text:
        raise ValueError("This must not have the character NUL.")
    parse_query(text)
    return text


def _parameter(schema: dict[str, Any]) -> WithJsonSchema:
    # One that is left out is None, which cannot be sent.
    return WithJsonSchema(schema)


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


_MOMENT_SCHEMA = {
    "anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}],
}
_REFERENCE_SCHEMA = {"anyOf": [{"type": "string", "format": "uuid"}, {"const": NONE}]}
_QUERY_SCHEMA = {"type": "string", "maxLength": 500, "pattern": r"^[^\u0000]*$"}
_CURSOR_SCHEMA = {"type": "string", "maxLength": 4000, "pattern": "^[A-Za-z0-9_-]+$"}

_ONE_PRIORITY = f"(?:{'|'.join(PRIORITIES)})"
_ONE_SORT = f"-?(?:{'|'.join(SORTS)})"

QueryBoolean = Annotated[bool, BeforeValidator(_boolean_word)]
_Boolean = Annotated[QueryBoolean | None, _parameter({"type": "boolean"})]
_Moment = Annotated[Moment | None, BeforeValidator(_moment), _parameter(_MOMENT_SCHEMA)]
QueryReference = Annotated[
    UUID | Literal["none"] | None, BeforeValidator(_reference_or_none), _parameter(_REFERENCE_SCHEMA)
]
_Uuid = Annotated[
    UUID | None, BeforeValidator(_reference.validate_python), _parameter({"type": "string", "format": "uuid"})
]


class TaskFilters(SQLModel):
    """Which tasks a listing shows, in which order.

    Attributes:
        dear: What a query string has that makes the database look at every task of the caller's, or that asks for many.
            Encoded names may be any.
    """

    # Requests that ask for nothing in particular share one.
    model_config = ConfigDict(frozen=True)  # type: ignore[assignment] # SQLModel declares its own, which is no other

    dear: ClassVar[re.Pattern[bytes]] = re.compile(rb"%|\b(?:q|sort|count)=|\blimit=0*[1-9]\d\d")

    completed: _Boolean = Field(default=None, description="Only those that are done, or only those not.")
    priority: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(_priorities),
        _parameter({"type": "string", "pattern": f"^{_ONE_PRIORITY}(,{_ONE_PRIORITY})*$", "examples": ["high,urgent"]}),
    ] = Field(default=None, description=f"Only these, with commas between them: {_named(PRIORITIES)}.")
    tag: Annotated[list[Tag], _parameter({"type": "array", "items": TAG_SCHEMA, "maxItems": MOST_TAGS})] = Field(
        default_factory=list,
        max_length=MOST_TAGS,
        description="Only those with this tag; given several times, with all; `none`: without any.",
    )
    tag_any: Annotated[list[Tag], _parameter({"type": "array", "items": TAG_SCHEMA, "maxItems": MOST_TAGS})] = Field(
        default_factory=list,
        max_length=MOST_TAGS,
        description="Only those with this tag; given several times, with one of them at least.",
    )
    list_id: QueryReference = Field(default=None, description="Only those in this list; `none`: in no list.")
    parent_id: QueryReference = Field(
        default=None, description="Only the parts of this task; `none`: of no other task."
    )
    series: _Uuid = Field(default=None, description="Only the occurrences of this series, see `series_id`.")
    due: Annotated[Literal["none"] | None, _parameter({"const": NONE, "type": "string"})] = Field(
        default=None, description="`none`: only those without a due."
    )
    due_on: _Moment = Field(default=None, description="Only those due on this day, or on the day of this time.")
    due_before: _Moment = Field(default=None, description="Only those due before this day or time.")
    due_after: _Moment = Field(default=None, description="Only those due after this day or time.")
    updated_since: _Moment = Field(default=None, description="Only those changed from this day or time on.")
    created_since: _Moment = Field(default=None, description="Only those created from this day or time on.")
    completed_since: _Moment = Field(default=None, description="Only those done from this day or time on.")
    completed_before: _Moment = Field(default=None, description="Only those done before this day or time.")
    overdue: _Boolean = Field(default=None, description="Only open tasks whose due has passed, or only the others.")
    tz: TimeZone = Field(default="UTC", description="The IANA zone that says when a day begins and ends.")
    q: Annotated[
        str | None,
        AfterValidator(lambda text: text and _query(text)),
        _parameter(_QUERY_SCHEMA),
    ] = Field(
        default=None,
        max_length=500,
        description='Only those with these words in title or description: words, "phrases", -without, one or another.',
    )
    deleted: QueryBoolean = Field(default=False, description="The trash instead of the live tasks.")
    sort: Annotated[
        Order, BeforeValidator(_order), _parameter({"type": "string", "pattern": f"^{_ONE_SORT}(,{_ONE_SORT})*$"})
    ] = Field(
        # As clients write it, for it is told to them.
        default="-id",
        description=f"By what, with commas between, the first first; `-` before one for descending: {_named(SORTS)}.",
        schema_extra={"validate_default": True},
    )
    limit: Annotated[int, BeforeValidator(_digits)] = Field(
        default=50, ge=1, le=200, description="The most tasks in one answer."
    )
    cursor: Annotated[str | None, _parameter(_CURSOR_SCHEMA)] = Field(
        default=None,
        max_length=4000,
        description="Where to go on; take the whole URL from the Link header instead.",
    )
    count: QueryBoolean = Field(default=False, description="Say in X-Total-Count how many there are on all pages.")


def bounds_on(moment: Moment, zone: str) -> tuple[datetime, datetime, date]:
    """What is due on the day of a moment: instants from the first to before the second, and the day itself."""
    day = _day_of(moment, zone)
    return start_of(day, zone), start_of(day + timedelta(days=1), zone), day


def bounds_before(moment: Moment, zone: str) -> tuple[datetime, date]:
    """What is due before a moment: instants before the first, days before the second."""
    return (start_of(moment, zone), _day_of(moment, zone))


def bounds_after(moment: Moment, zone: str) -> tuple[datetime, date]:
    """What is due after a moment: instants after the first, and the second day and all later ones.

    A day counts as its end.
    """
    if isinstance(moment, datetime):
        return moment, _day_of(moment, zone)
    following = moment + timedelta(days=1)
    return start_of(following, zone) - timedelta(microseconds=1), following


def start_of(moment: Moment, zone: str) -> datetime:
    """An instant; of a day the one at which it begins in a zone."""
    if isinstance(moment, datetime):
        return moment
    return datetime(moment.year, moment.month, moment.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _day_of(moment: Moment, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date() if isinstance(moment, datetime) else moment

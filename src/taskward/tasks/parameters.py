"""What the parameters of a listing may be: a type for each, with its rule and the schema that tells clients of it."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, TypeAdapter
from pydantic.json_schema import WithJsonSchema

from taskward.kit.suggestions import sort_suggestion, word_suggestion
from taskward.kit.types import Reference
from taskward.tasks.search import Query, parse_query
from taskward.tasks.types import (
    FIRST_YEAR,
    LAST_YEAR,
    MOST_TAGS,
    PRIORITIES,
    TAG_SCHEMA,
    Tag,
    read_date,
    read_instant,
)

SORTS = ("id", "created_at", "updated_at", "due", "priority", "title", "position", "completed_at")
"""What a listing may be sorted by."""
NONE = "none"
"""Stands for what a task does not have: a list, a task that it is a part of, a tag, a due."""
_LONGEST_QUERY = 500
_MOMENT_FORM = "This must be a day as YYYY-MM-DD or a time of RFC 3339, such as 2026-01-10T09:30:00Z."
_reference: TypeAdapter[UUID] = TypeAdapter(Reference)

Moment = date | datetime
Order = tuple[tuple[str, bool], ...]
"""Names out of `SORTS`, each with whether it goes down."""


def _boolean_word(value: object) -> object:
    if value in {"true", "false"}:
        return value == "true"
    raise ValueError("This must be true or false.")


def digits(value: object) -> object:
    """Let nothing but digits be a whole number; for a `BeforeValidator`.

    Raises:
        ValueError: There is something else.
    """
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


def _query(value: object) -> Query:
    if not isinstance(value, str) or len(value) > _LONGEST_QUERY:
        raise ValueError(f"This must have at most {_LONGEST_QUERY} characters.")
    if "\0" in value:
        raise ValueError("This must not have the character NUL.")
    return parse_query(value)


def parameter(schema: dict[str, Any]) -> WithJsonSchema:
    # A parameter that is left out is None, and a client cannot send None.
    return WithJsonSchema(schema)


def sent_as(kind: Any) -> WithJsonSchema:
    """The schema of a parameter that may be left out. None stands for that, and a client cannot send it."""
    return parameter(TypeAdapter(kind).json_schema())


def named(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


_MOMENT_SCHEMA = {
    "anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}],
}
_REFERENCE_SCHEMA = {"anyOf": [{"type": "string", "format": "uuid"}, {"const": NONE}]}
_QUERY_SCHEMA = {"type": "string", "maxLength": _LONGEST_QUERY, "pattern": r"^[^\u0000]*$"}
_CURSOR_SCHEMA = {"type": "string", "maxLength": 4000, "pattern": "^[A-Za-z0-9_-]+$"}

_ONE_PRIORITY = f"(?:{'|'.join(PRIORITIES)})"
_ONE_SORT = f"-?(?:{'|'.join(SORTS)})"

QueryBoolean = Annotated[bool, BeforeValidator(_boolean_word)]
Boolean = Annotated[QueryBoolean | None, parameter({"type": "boolean"})]
MomentParameter = Annotated[Moment | None, BeforeValidator(_moment), parameter(_MOMENT_SCHEMA)]
QueryReference = Annotated[
    UUID | Literal["none"] | None, BeforeValidator(_reference_or_none), parameter(_REFERENCE_SCHEMA)
]
Uuid = Annotated[
    UUID | None, BeforeValidator(_reference.validate_python), parameter({"type": "string", "format": "uuid"})
]
Priorities = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_priorities),
    parameter({"type": "string", "pattern": f"^{_ONE_PRIORITY}(,{_ONE_PRIORITY})*$", "examples": ["high,urgent"]}),
]
SomeTags = Annotated[list[Tag], parameter({"type": "array", "items": TAG_SCHEMA, "maxItems": MOST_TAGS})]
OnlyNone = Annotated[Literal["none"] | None, parameter({"const": NONE, "type": "string"})]
Words = Annotated[Query | None, BeforeValidator(_query), parameter(_QUERY_SCHEMA)]
SortOrder = Annotated[
    Order, BeforeValidator(_order), parameter({"type": "string", "pattern": f"^{_ONE_SORT}(,{_ONE_SORT})*$"})
]
WholeNumber = Annotated[int, BeforeValidator(digits)]
Cursor = Annotated[str | None, parameter(_CURSOR_SCHEMA)]

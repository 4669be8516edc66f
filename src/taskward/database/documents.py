"""Rows as the JSON that clients read, written by PostgreSQL.

In a listing, rows that become Python objects first, and JSON then, cost the worker more than all else that it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.operators import concat_op

from taskward.database.statements import Constant

# What else there is may be written as the database is set; a time without a zone says nothing about an instant.
_KINDS = (Boolean, Date, DateTime, Integer, JSON, Text, Uuid)
# In double quotes stands what is written as it is.
_INSTANT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
_UTC = Constant(timedelta())
_QUOTED_INSTANT = rf'"\""{_INSTANT}"\""'


@dataclass(frozen=True, slots=True)
class Plain:
    """Text that is never NULL, and that needs no escaping between quotes."""

    text: ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Usual:
    """A column that mostly has one value.

    Attributes:
        condition: Whether it has.
        json: That value.
    """

    column: ColumnElement[Any]
    condition: ColumnElement[bool]
    json: str


Member = ColumnElement[Any] | Plain | Usual


def json_object(members: Mapping[str, Member]) -> ColumnElement[str]:
    """An expression for the text of a JSON object.

    Args:
        members: The columns, by the names of the members, in their order. Instants become RFC 3339 in UTC with six
            digits of fraction and `Z`; NULL becomes `null`. Where a column is NULL that never should be, as on the
            missing side of an outer join, so is the whole text. Neighbours that are `Usual` are written at once where
            all have their usual values.

    Raises:
        TypeError: There is no form for a column's type.
    """
    parts: list[ColumnElement[Any] | str] = ["{"]
    for usual, group in groupby(members.items(), lambda member: isinstance(member[1], Usual)):
        neighbours = dict(group)
        parts += _usual(neighbours) if usual else _each(neighbours)
    parts[-1] = str(parts[-1]).removesuffix(",") + "}"
    return _concatenated(parts)


def within(lines: Select[Any], order: str) -> Select[Any]:
    """The first of some lines, as many as have at most `most` bytes together, and one in any case.

    Args:
        lines: Among whatever else, the `line` of each.
        order: The column by which they are ordered.
    """
    # With an offset it is no part of the query around it, which would write each line once to measure it and once more.
    written = lines.offset(Constant(0)).subquery("written")
    size = func.pg_catalog.octet_length(written.c.line) + Constant(1)
    up_to = func.pg_catalog.sum(size).over(order_by=written.c[order])
    cut = select(written, up_to.label("up_to"), (up_to - size).label("before")).subquery("cut")
    fits = or_(cut.c.up_to <= bindparam("most", type_=BigInteger()), cut.c.before == Constant(0))
    return select(*(cut.c[column.key] for column in written.c)).where(fits).order_by(cut.c[order])


def _usual(members: Mapping[str, Any]) -> list[ColumnElement[Any] | str]:
    usual = ",".join(f'"{name}":{member.json}' for name, member in members.items())
    condition = and_(*(member.condition for member in members.values()))
    # PostgreSQL prepares both ways for every statement, so the other one is a single call.
    named: list[ColumnElement[Any]] = []
    for name, member in members.items():
        named += [Constant(f'{"," if named else ""}"{name}":'), _built(member.column)]
    return ["", case((condition, Constant(usual)), else_=func.pg_catalog.concat(*named)), ","]


def _each(members: Mapping[str, Any]) -> list[ColumnElement[Any] | str]:
    """Constants and expressions in turn, a constant first and last."""
    parts: list[ColumnElement[Any] | str] = [""]
    for name, member in members.items():
        before, value, after = _value(member)
        parts[-1] = f'{parts[-1]}"{name}":{before}'
        parts += [value, f"{after},"]
    return parts


def _concatenated(parts: list[ColumnElement[Any] | str]) -> ColumnElement[Any]:
    merged: list[ColumnElement[Any] | str] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    elements = [
        Constant(part) if isinstance(part, str) else part for part in merged if not isinstance(part, str) or part
    ]
    return _joined(elements)


def _joined(elements: list[ColumnElement[Any]]) -> ColumnElement[Any]:
    # Halves of halves: one after another, each would copy all that came before it.
    if len(elements) == 1:
        return elements[0]
    middle = len(elements) // 2
    return Grouping(concat_op(_joined(elements[:middle]), _joined(elements[middle:])))


def _value(member: ColumnElement[Any] | Plain) -> tuple[str, ColumnElement[Any], str]:
    """An expression for text that is not NULL, and what stands before and after it."""
    if isinstance(member, Plain):
        return '"', member.text, '"'
    kind = _kind(member)
    if getattr(member, "nullable", True):
        text = _instant(member, _QUOTED_INSTANT) if isinstance(kind, DateTime) else _json(member)
        return "", func.coalesce(text, Constant("null")), ""
    if isinstance(kind, DateTime):
        return '"', _instant(member, _INSTANT), '"'
    if isinstance(kind, Uuid):
        return '"', cast(member, Text), '"'
    return "", cast(member, Text) if isinstance(kind, Integer | Boolean | JSON) else _json(member), ""


def _built(column: ColumnElement[Any]) -> ColumnElement[Any]:
    value = _instant(column, _INSTANT) if isinstance(_kind(column), DateTime) else column
    written = func.pg_catalog.to_json(value)
    return func.coalesce(written, Constant("null")) if getattr(column, "nullable", True) else written


def _kind(column: ColumnElement[Any]) -> Any:
    kind = column.type
    is_known = isinstance(kind, _KINDS) or (isinstance(kind, ARRAY) and isinstance(kind.item_type, Text))
    if not is_known or (isinstance(kind, DateTime) and not kind.timezone):
        raise TypeError(f"{column}: {kind!r} has no form as JSON here")
    return kind


def _instant(column: ColumnElement[Any], form: str) -> ColumnElement[Any]:
    # By its offset: a name would be looked up for every value.
    return func.pg_catalog.to_char(func.pg_catalog.timezone(_UTC, column), Constant(form))


def _json(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.pg_catalog.to_json(column), Text)

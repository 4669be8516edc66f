"""Rows as the JSON that clients read, written by PostgreSQL.

In a listing, rows that become Python objects first, and JSON then, cost the worker more than all else that it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from sqlalchemy import Boolean, ColumnElement, DateTime, Integer, Text, Uuid, cast, func
from sqlalchemy.sql.operators import concat_op

from taskward.database.statements import Constant

# What else there is may be written as the database is set; a time without a zone says nothing about an instant.
_KINDS = (Boolean, DateTime, Integer, Text, Uuid)
# In double quotes stands what is written as it is.
_INSTANT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
_QUOTED_INSTANT = rf'"\""{_INSTANT}"\""'


def json_object(members: Mapping[str, ColumnElement[Any]]) -> ColumnElement[str]:
    """An expression for the text of a JSON object.

    Args:
        members: The columns, by the names of the members, in their order. Instants become RFC 3339 in UTC with six
            digits of fraction and `Z`; NULL becomes `null`. Where a column is NULL that never should be, as on the
            missing side of an outer join, so is the whole text.

    Raises:
        TypeError: There is no form for a column's type.
    """
    parts: list[ColumnElement[Any]] = []
    text = "{"
    for name, column in members.items():
        before, value, after = _value(column)
        parts += [Constant(f'{text}"{name}":{before}'), value]
        text = f"{after},"
    parts.append(Constant(text.removesuffix(",") + "}"))
    return reduce(concat_op, parts)


def _value(column: ColumnElement[Any]) -> tuple[str, ColumnElement[Any], str]:
    """An expression for text that is not NULL, and what stands before and after it."""
    kind = column.type
    if not isinstance(kind, _KINDS) or (isinstance(kind, DateTime) and not kind.timezone):
        raise TypeError(f"{column}: {kind!r} has no form as JSON here")
    if getattr(column, "nullable", True):
        text = _instant(column, _QUOTED_INSTANT) if isinstance(kind, DateTime) else _json(column)
        return "", func.coalesce(text, Constant("null")), ""
    if isinstance(kind, DateTime):
        return '"', _instant(column, _INSTANT), '"'
    if isinstance(kind, Uuid):
        return '"', cast(column, Text), '"'
    return "", cast(column, Text) if isinstance(kind, Integer | Boolean) else _json(column), ""


def _instant(column: ColumnElement[Any], form: str) -> ColumnElement[Any]:
    return func.pg_catalog.to_char(func.pg_catalog.timezone(Constant("UTC"), column), Constant(form))


def _json(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.pg_catalog.to_json(column), Text)

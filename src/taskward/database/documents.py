"""Rows as the JSON that clients read, written by PostgreSQL.

A row that became Python objects first, and then JSON, would cost the worker more than the whole rest of its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, ColumnElement, DateTime, Integer, Text, cast, func

from taskward.database.statements import Constant

# In double quotes stands what is written as it is; the first and the last of it is a double quote.
_INSTANT = r'"\""YYYY-MM-DD"T"HH24:MI:SS.US"Z\""'


def json_object(members: Mapping[str, ColumnElement[Any]]) -> ColumnElement[str]:
    """An expression for the text of a JSON object.

    Args:
        members: The columns, by the names of the members, in their order. Instants become RFC 3339 in UTC with six
            digits of fraction and `Z`; NULL becomes `null`.
    """
    parts: list[ColumnElement[Any]] = []
    before = "{"
    for name, column in members.items():
        parts += [Constant(f'{before}"{name}":'), _value(column)]
        before = ","
    return func.pg_catalog.concat(*parts, Constant("}"), type_=Text())


def _value(column: ColumnElement[Any]) -> ColumnElement[Any]:
    kind = column.type
    nullable = getattr(column, "nullable", True)
    text: ColumnElement[Any]
    if isinstance(kind, DateTime):
        text = func.pg_catalog.to_char(func.pg_catalog.timezone(Constant("UTC"), column), Constant(_INSTANT))
    elif isinstance(kind, Integer) and not nullable:
        text = column  # its own text, as concat writes it
    elif isinstance(kind, Integer | Boolean):
        text = cast(column, Text)
    else:
        text = cast(func.pg_catalog.to_json(column), Text)
    return func.coalesce(text, Constant("null")) if nullable else text

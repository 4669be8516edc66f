"""Rows as the JSON that clients read, from one declaration of its members in two ways that agree byte by byte.

PostgreSQL writes the JSON of many rows: in a listing, rows that become Python objects first, and JSON then, cost the
worker more than all else that it does. The worker writes the JSON of a single row, which costs PostgreSQL more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from json.encoder import encode_basestring
from typing import Any, Protocol

import orjson
from pydantic import BaseModel
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

from taskward.kit.declaration import members_of
from taskward.storage.scoping import Constant

# PostgreSQL writes other types by the database's settings, and a time without a zone names no instant.
_KINDS = (Boolean, Date, DateTime, Integer, JSON, Text, Uuid)
# `to_char` copies what is in double quotes.
_INSTANT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
_UTC = Constant(timedelta())
_QUOTED_INSTANT = rf'"\""{_INSTANT}"\""'


class Row(Protocol):
    """A row that was read, or a dict with its columns in their order."""

    def __getitem__(self, name: str, /) -> Any: ...

    def values(self) -> Iterable[Any]: ...


class Plain:
    """Text that is never NULL, and that needs no escaping between quotes.

    Args:
        sources: Texts and ids. The first of them that is not NULL is it; the last one never is.
    """

    __slots__ = ("sources",)

    def __init__(self, *sources: ColumnElement[Any]) -> None:
        self.sources = sources


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


JsonMember = ColumnElement[Any] | Plain | Usual


def members_from(read: type[BaseModel], source: Any) -> dict[str, JsonMember]:
    """The members that clients read, by the columns of the same names of a table or a sub-query.

    Args:
        read: Their schema, which says which of them most rows have the default of.
    """
    declared, found = members_of(read), dict[str, JsonMember]()
    for name in read.model_fields:
        column, member = source[name], declared.get(name)
        # JSON is longer to write than to leave as it is.
        found[name] = _usually(column, member.default) if member is not None and member.usual else column
    return found


def _usually(column: ColumnElement[Any], default: Any) -> Usual:
    if default is None:
        return Usual(column, column.is_(None), "null")
    if default is False:
        return Usual(column, ~column, "false")
    text = "{}" if default in ([], {}) else str(default)
    value = cast(column, Text) if isinstance(column.type, JSON) else column
    return Usual(column, value == Constant(text), orjson.dumps(default).decode())


def json_object(members: Mapping[str, JsonMember]) -> ColumnElement[str]:
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


def json_columns(members: Mapping[str, JsonMember]) -> tuple[ColumnElement[Any], ...]:
    """The columns of which `json_writer` makes the same text."""
    sources = [source for member in members.values() for source in _sources(member) if not isinstance(source, Constant)]
    return tuple({_key(source): source for source in sources}.values())


def json_writer(members: Mapping[str, JsonMember]) -> Callable[[Row], str]:
    """Make the function that writes a row as the same text as `json_object`. It is compiled from a source, since almost
    every request runs it.

    Args:
        members: Of a table, whose columns say what is never NULL. A row has them first, as `json_columns` has them;
            instants are in UTC.

    Raises:
        TypeError: There is no form for a column's type.
    """
    columns = json_columns(members)
    names = {_key(column): f"column_{number}" for number, column in enumerate(columns)}
    # An id may be needed twice.
    ids = [names[_key(one)] for one in columns if isinstance(one.type, Uuid) and not _may_be_null(one)]
    text = "{{" + ",".join([f'"{name}":{_written(member, names)}' for name, member in members.items()]) + "}}"
    lines = [
        "def write(row):",
        f"    {', '.join(names.values())}, *_ = row.values()",
        *(f"    {one} = str({one})" for one in ids),
        # No expression has a quote or a backslash, so all of them fit into a literal.
        f"    return f{text!r}",
    ]
    known = {"dumps": orjson.dumps, "utc": orjson.OPT_UTC_Z, "escaped": encode_basestring}
    known |= {"instant": _whole_second, "quoted": _quoted}
    known |= {"null": "null", "true": "true", "false": "false", "empty": "[]"}
    exec("\n".join(lines), known)  # noqa: S102 - of names and types that are this code's own
    return known["write"]  # type: ignore[return-value]


def within_bytes(lines: Select[Any], order: str) -> Select[Any]:
    """The first lines that have at most `most` bytes together, and the first one in any case.

    Args:
        lines: Among whatever else, the `line` of each.
        order: The column by which they are ordered.
    """
    # OFFSET keeps PostgreSQL from merging this into the query around it, which would write each line twice: once to
    # measure it.
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
        texts = [one if isinstance(one.type, Text) else cast(one, Text) for one in member.sources]
        return '"', func.coalesce(*texts) if texts[1:] else texts[0], '"'
    kind = _kind(member)
    if _may_be_null(member):
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
    return func.coalesce(written, Constant("null")) if _may_be_null(column) else written


def _may_be_null(column: ColumnElement[Any]) -> bool:
    return getattr(column, "nullable", True)


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


def _key(column: ColumnElement[Any]) -> str:
    return str(column.key)


def _sources(member: JsonMember) -> tuple[ColumnElement[Any], ...]:
    if isinstance(member, Plain):
        return member.sources
    return (member.column if isinstance(member, Usual) else member,)


def _written(member: JsonMember, names: Mapping[str, str]) -> str:
    """A member's value, as part of an f-string."""
    if isinstance(member, Plain):
        if isinstance(member.sources[0], Constant):
            return f'"{member.sources[0].value}"'.replace("{", "{{").replace("}", "}}")
        *others, last = (names[_key(source)] for source in member.sources)
        return f'"{{{"".join([f"{one} if {one} is not None else " for one in others])}{last}}}"'
    (column,) = _sources(member)
    name, kind = names[_key(column)], _kind(column)
    if isinstance(kind, Uuid) and not _may_be_null(column):
        return f'"{{{name}}}"'
    written = _expression(kind, name)
    return f"{{null if {name} is None else {written}}}" if _may_be_null(column) else f"{{{written}}}"


def _expression(kind: Any, name: str) -> str:
    if isinstance(kind, Boolean):
        return f"true if {name} else false"
    if isinstance(kind, Date | Uuid):
        return f"quoted({name})"
    if isinstance(kind, DateTime):
        # Six times as fast as `isoformat`.
        return f"dumps({name}, None, utc).decode() if {name}.microsecond else instant({name})"
    if isinstance(kind, Integer | JSON):
        return name
    if isinstance(kind, Text):
        # orjson makes room for a thousand bytes first, and most texts are short.
        return f"escaped({name})"
    if isinstance(kind, ARRAY):
        return f"dumps({name}).decode() if {name} else empty"
    raise TypeError(f"{kind!r} has no form as JSON here")


def _quoted(value: object) -> str:
    return f'"{value}"'


def _whole_second(instant: datetime) -> str:
    # orjson writes no fraction where it is zero.
    return f'{orjson.dumps(instant, None, orjson.OPT_UTC_Z).decode()[:-2]}.000000Z"'

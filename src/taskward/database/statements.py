"""Statements that cannot forget whose rows they are about.

A statement is written with SQLModel's `select`, `insert`, `update` and `delete`, and compiled once, here, for
asyncpg. Compilation refuses any statement that reads or writes a table with a `user_id` without binding that
column to `OWNER`. The session that runs a compiled statement fills `OWNER` in; a caller cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import CTE, Alias, Delete, Insert, Join, Select, Subquery, Table, Text, TextClause, Update, bindparam
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.dialects.postgresql.dml import OnConflictDoUpdate
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ColumnClause,
    ColumnElement,
    Label,
)
from sqlalchemy.sql.expression import Executable, FromClause
from sqlalchemy.sql.selectable import FromGrouping, SelectBase

OWNER: BindParameter[str] = bindparam("taskward_owner", type_=Text())
"""The session's owner. Every table with a `user_id` must be bound to it in every statement."""

_DIALECT = asyncpg_dialect()  # type: ignore[no-untyped-call]
_OWNER_COLUMN = "user_id"
_TABLE_REFERENCE = re.compile(r"(?:\bFROM|\bJOIN|\bINTO|\bUPDATE|\bUSING|,)\s+(?:ONLY\s+)?((?:\w+\.)?\w+)(?![\w.(])")


class UnscopedStatementError(Exception):
    """A statement does not bind a table's `user_id` to `OWNER`. It is a defect and is found when it is compiled."""


class Statement:
    """SQL for asyncpg and the order of its arguments."""

    __slots__ = ("_constants", "_names", "sql")

    def __init__(self, sql: str, names: tuple[str, ...], constants: Mapping[str, Any]) -> None:
        self.sql = sql
        self._names = names
        self._constants = constants

    def arguments(self, owner: str, parameters: Mapping[str, Any]) -> list[Any]:
        """The values of `$1`, `$2`, … in order.

        Raises:
            KeyError: A parameter of the statement has no value.
        """
        constants = self._constants
        owner_name = OWNER.key
        return [
            owner if name == owner_name else constants[name] if name in constants else parameters[name]
            for name in self._names
        ]


def compile_statement(statement: Executable) -> Statement:
    """Compile for asyncpg, once per statement or per shape of a filter.

    Raises:
        UnscopedStatementError: It touches rows without saying whose, or holds textual SQL that cannot be checked.
    """
    compiled: Any = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
    sql = str(compiled)
    units = _Units(statement)
    checked = sum(_check_unit(unit) for unit in units)
    # The walk above must have seen every reference that the SQL has; a shape it does not know is refused.
    scoped = units.scoped_names
    written = sum(name in scoped for name in _TABLE_REFERENCE.findall(sql))
    if written != checked:
        raise UnscopedStatementError(f"{written} references to owned tables, {checked} of them understood: {sql}")
    names = tuple(compiled.positiontup or ())
    if OWNER.key not in names:
        raise UnscopedStatementError(f"the owner is not bound: {sql}")
    values = compiled.params
    constants = {name: values[name] for name in names if not compiled.binds[name].required}
    return Statement(sql, names, constants)


class _Units:
    """The selects and writes of a statement, sub-queries and CTEs included, each once."""

    def __init__(self, statement: Executable) -> None:
        self._found: dict[int, Any] = {}
        self.scoped_names: set[str] = set()
        self._visit(statement)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._found.values())

    def _visit(self, root: Any) -> None:
        for element in visitors.iterate(root):
            if isinstance(element, TextClause) or (isinstance(element, ColumnClause) and element.is_literal):
                raise UnscopedStatementError("textual SQL cannot be checked for its owner")
            if isinstance(element, Select | Insert | Update | Delete) and id(element) not in self._found:
                self._found[id(element)] = element
                for source in _sources(element):
                    self._follow(source)
                if isinstance(element, Insert) and element.select is not None:
                    self._visit(element.select)
            elif isinstance(element, ColumnClause) and element.table is not None:
                self._follow(element.table)
            elif isinstance(element, FromClause):
                self._follow(element)

    def _follow(self, source: Any) -> None:
        if isinstance(source, Table):
            if _OWNER_COLUMN in source.c:
                self.scoped_names.add(source.fullname)
        elif isinstance(source, CTE | Subquery | Alias) and id(source) not in self._found:
            inner = source.element
            if isinstance(inner, Table):
                self._follow(inner)
            elif isinstance(inner, SelectBase | Insert | Update | Delete) and id(inner) not in self._found:
                self._visit(inner)


def _sources(unit: Any) -> Iterator[FromClause]:
    """What a select or a write reads from, joins flattened."""
    pending: list[Any]
    if isinstance(unit, Select):
        pending = list(unit.get_final_froms())
    elif isinstance(unit, Update | Delete):
        columns = (e for e in visitors.iterate(unit) if isinstance(e, ColumnClause) and e.table is not None)
        pending = [
            unit.table,
            *{id(c.table): c.table for c in columns if not _same(c.table, unit.table)}.values(),
        ]
    else:
        pending = [unit.table]
    while pending:
        source = pending.pop()
        if isinstance(source, Join):
            pending += [source.left, source.right]
        elif isinstance(source, FromGrouping):
            pending.append(source.element)
        else:
            yield source


def _check_unit(unit: Any) -> int:
    """Check one select or write.

    Returns:
        How many owned tables it reads or writes.
    """
    owned = [source for source in _sources(unit) if _is_owned(source)]
    if isinstance(unit, Insert):
        if owned:
            _check_insert(unit)
        return len(owned)
    conditions = list(_conditions(unit))
    for source in owned:
        if not any(_binds_owner(condition, source) for condition in conditions):
            raise UnscopedStatementError(f"{source} is not limited to the owner in: {unit}")
    if isinstance(unit, Update) and owned and any(_name(column) == _OWNER_COLUMN for column in unit._values or ()):  # noqa: SLF001
        raise UnscopedStatementError(f"{unit.table} must not change its owner")
    return len(owned)


def _check_insert(insert: Insert) -> None:
    if insert.select is not None:
        names = [_name(column) for column in insert._select_names or ()]  # noqa: SLF001 - no public accessor
        chosen = list(insert.select.selected_columns)
        value = chosen[names.index(_OWNER_COLUMN)] if _OWNER_COLUMN in names else None
    else:
        values: Any = insert._values or {}  # noqa: SLF001 - no public accessor
        value = next((v for column, v in values.items() if _name(column) == _OWNER_COLUMN), None)
    if insert._multi_values or not _is_owner(value):  # noqa: SLF001 - no public accessor
        raise UnscopedStatementError(f"rows inserted into {insert.table} are not the owner's")
    conflict = getattr(insert, "_post_values_clause", None)
    if isinstance(conflict, OnConflictDoUpdate):
        targets = [_name(target) for target in conflict.inferred_target_elements or ()]
        changed = [_name(column) for column in conflict.update_values_to_set]
        if _OWNER_COLUMN not in targets or _OWNER_COLUMN in changed:
            raise UnscopedStatementError(f"a conflict in {insert.table} may change a row that is not the owner's")


def _conditions(unit: Any) -> Iterator[ColumnElement[Any]]:
    """The conditions that must all hold: the conjuncts of WHERE, and of ON in inner joins."""
    pending: list[Any] = [unit.whereclause] if unit.whereclause is not None else []
    if isinstance(unit, Select):
        joins = [source for source in unit.get_final_froms() if isinstance(source, Join)]
        while joins:
            join = joins.pop()
            # An outer join keeps rows for which its condition does not hold, so that condition limits nothing.
            if not (join.isouter or join.full):
                pending.append(join.onclause)
                joins += [side for side in (join.left, join.right) if isinstance(side, Join)]
    while pending:
        condition = pending.pop()
        if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
            pending += condition.clauses
        else:
            yield condition


def _binds_owner(condition: Any, source: FromClause) -> bool:
    if not isinstance(condition, BinaryExpression) or condition.operator is not operators.eq:
        return False
    for column, value in ((condition.left, condition.right), (condition.right, condition.left)):
        if _is_owner(value) and isinstance(column, ColumnClause) and _name(column) == _OWNER_COLUMN:
            return _same(column.table, source)
    return False


def _is_owned(source: Any) -> bool:
    table = source.element if isinstance(source, Alias) else source
    return isinstance(table, Table) and _OWNER_COLUMN in table.c


def _is_owner(value: Any) -> bool:
    inner = value.element if isinstance(value, Label) else value
    return isinstance(inner, BindParameter) and inner.key == OWNER.key and not inner.unique


def _same(one: Any, other: Any) -> bool:
    # SQLModel's columns carry annotated copies of their table, which are equal by hash and not by identity.
    return one is other or (type(one).__hash__ is not None and hash(one) == hash(other))


def _name(column: Any) -> str:
    return str(getattr(column, "name", column))

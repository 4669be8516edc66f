"""The check that a statement says whose rows it is about.

It refuses any statement that reads or writes a table with a `user_id` without binding that column to `OWNER`, and any
that has a part that it does not know. Every statement passes it when it is compiled, see `compiling`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    Alias,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Delete,
    Exists,
    Insert,
    Integer,
    Interval,
    Join,
    Select,
    Subquery,
    Table,
    Text,
    Update,
    Uuid,
    bindparam,
)
from sqlalchemy.dialects.postgresql.dml import OnConflictClause, OnConflictDoUpdate
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import elements, operators, visitors
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ColumnClause,
    ColumnElement,
    Label,
)
from sqlalchemy.sql.expression import Executable, FromClause
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.selectable import (
    CompoundSelect,
    ForUpdateArg,
    FromGrouping,
    ScalarSelect,
    SelectBase,
    SelectStatementGrouping,
    TableValuedAlias,
)
from sqlalchemy.types import NullType

from taskward.storage.quoting import SCHEMA, quote_literal

OWNER: BindParameter[str] = bindparam("taskward_owner", type_=Text())
"""The session's owner. Every table with a `user_id` must be bound to it in every statement."""

_OWNER_COLUMN = "user_id"

# Functions that tell which ids anybody uses, and nothing else.
_PROBE = re.compile(rf"{SCHEMA}\.[a-z_]+_ids_in_use")

_CONSTANT_TYPES: dict[type, Any] = {str: Text(), int: Integer(), timedelta: Interval()}


class Constant(ColumnElement[Any]):
    """A string, a number or a duration of this code, written into the SQL. A parameter would be sent each time."""

    __visit_name__ = "taskward_constant"
    inherit_cache = False

    def __init__(self, value: str | int | timedelta) -> None:
        self.value = value
        self.type = _CONSTANT_TYPES[type(value)]


@compiles(Constant)
def _constant(element: Constant, _compiler: Any, **_options: Any) -> str:
    value = element.value
    if isinstance(value, timedelta):
        return f"INTERVAL '{value // timedelta(microseconds=1)} microseconds'"
    return quote_literal(value) if isinstance(value, str) else str(value)


# What a statement may be made of. Anything else is refused until somebody has thought about how it is checked:
# textual SQL, hints, prefixes, casts to types of one's own, samples of a table, tables that this code does not own.
_KNOWN: tuple[type, ...] = (
    Constant, Select, CompoundSelect, Insert, Update, Delete, OnConflictClause,
    Table, Alias, Subquery, CTE, Join, FromGrouping, SelectStatementGrouping, ScalarSelect, Exists,
    ColumnClause, BindParameter, BinaryExpression, BooleanClauseList, Label, FunctionElement,
    elements.ClauseList, elements.ExpressionClauseList, elements.UnaryExpression, elements.Grouping, elements.Case,
    elements.Null, elements.True_, elements.False_, elements.Cast, elements.TypeClause, elements.CollectionAggregate,
    elements.Over, elements.AggregateOrderBy, elements._label_reference,  # noqa: SLF001 - of ORDER BY
    ForUpdateArg,
)  # fmt: skip
_KNOWN_CLAUSES = frozenset(
    {
        "_raw_columns", "_from_obj", "_setup_joins", "_where_criteria", "_having_criteria", "_group_by_clauses",
        "_order_by_clauses", "_limit_clause", "_offset_clause", "_distinct", "_label_style", "_inline",
        "selects", "keyword", "table", "select", "_select_names", "_values", "_multi_values", "_post_values_clause",
        "_maintain_values_ordering", "include_insert_from_select_defaults", "_extra_froms", "_returning",
        "element", "name", "_cte_alias", "_restates", "recursive", "nesting",
        "_independent_ctes", "_independent_ctes_opts",
        "_annotations", "_propagate_attrs", "dialect_options", "_for_update_arg",
    }
)  # fmt: skip
# A type writes its own name into the SQL.
_KNOWN_TYPES = frozenset({BigInteger, Boolean, Date, DateTime, Integer, JSON, NullType, Text, Uuid})
# A function can hide a statement in its arguments (query_to_xml), or change who the owner is (set_config).
_KNOWN_FUNCTIONS = frozenset(
    {
        "now",
        "coalesce",
        "greatest",
        "count",
        "cardinality",
        "unnest",
        "row_number",
    }
    | {
        f"pg_catalog.{name}"
        for name in (
            "to_char",
            "to_json",
            "concat",
            "timezone",
            "strpos",
            "left",
            "json_to_recordset",
            "array_replace",
            "array_remove",
            "octet_length",
            "sum",
            "array_agg",
        )
    }
)


class UnscopedStatementError(Exception):
    """A statement does not bind a table's `user_id` to `OWNER`. It is a defect and is found when it is compiled."""


def check_statement(statement: Executable) -> Counter[str]:
    """Check that a statement touches nothing but rows of the owner.

    Returns:
        The full names of the tables that it refers to, each as often as it does.

    Raises:
        UnscopedStatementError: It touches rows without saying whose, or holds what this check does not know.
    """
    return Counter(name for unit in _Units(statement) for name in _check_unit(unit))


class _Units:
    """The selects and writes of a statement, sub-queries and CTEs included, each once.

    Raises:
        UnscopedStatementError: There is an element or a clause that this check does not know.
    """

    def __init__(self, statement: Executable) -> None:
        self._units: list[Any] = []
        self._seen: dict[int, Any] = {}
        self._visit(statement)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._units)

    def _visit(self, root: Any) -> None:
        for element in visitors.iterate(root):
            if id(element) in self._seen:
                continue
            self._seen[id(element)] = element
            _check_element(element)
            if isinstance(element, Select | Insert | Update | Delete):
                self._units.append(element)
                for source in _sources(element):
                    self._visit(source)
                if isinstance(element, Insert) and element.select is not None:
                    self._visit(element.select)
            elif isinstance(element, ColumnClause) and element.table is not None:
                self._visit(element.table)


def _check_element(element: Any) -> None:
    if not isinstance(element, _KNOWN) or (isinstance(element, ColumnClause) and element.is_literal):
        raise UnscopedStatementError(f"{type(element).__name__} cannot be checked for its owner")
    # What a function yields, whose name is checked where it is met.
    of_function = isinstance(element, TableValuedAlias) and isinstance(element.element, FunctionElement)
    if isinstance(element, Alias) and not (isinstance(element.element, Table) or of_function):
        raise UnscopedStatementError(f"an alias of {type(element.element).__name__} cannot be checked for its owner")
    for yielded in element.c if isinstance(element, TableValuedAlias) else ():
        _check_yielded(yielded)
    if isinstance(element, elements.Cast) and type(element.type) is not Text:
        raise UnscopedStatementError(f"a cast to {element.type!r} is not known to be harmless")
    if isinstance(element, SelectBase | CTE | Insert | Update | Delete):
        for clause, _ in element._traverse_internals:  # noqa: SLF001 - all it can say
            if clause not in _KNOWN_CLAUSES and getattr(element, clause, None):
                raise UnscopedStatementError(f"the clause {clause} cannot be checked for its owner")
    if any(isinstance(getattr(element, part, None), custom_op) for part in ("operator", "modifier")):
        raise UnscopedStatementError("an operator's text cannot be checked for its owner")
    _check_name(element)


def _check_yielded(yielded: Any) -> None:
    """Check a column that a function yields. Its name and its type are in the SQL even where nothing reads it."""
    kind = yielded.type.item_type if type(yielded.type) is ARRAY else yielded.type
    if type(kind) not in _KNOWN_TYPES or getattr(kind, "collation", None) not in {None, "C"}:
        raise UnscopedStatementError(f"a column of {kind!r} is not known to be harmless")
    _check_name(yielded)


def _check_name(element: Any) -> None:
    if isinstance(element, Table) and (element.schema != SCHEMA or _OWNER_COLUMN not in element.c):
        raise UnscopedStatementError(f"{element.fullname} is not a table with an owner")
    if isinstance(element, FunctionElement):
        name = ".".join([*getattr(element, "packagenames", ()), str(getattr(element, "name", ""))])
        if name not in _KNOWN_FUNCTIONS and not _PROBE.fullmatch(name):
            raise UnscopedStatementError(f"the function {name} is not known to be harmless")
    if isinstance(element, BindParameter) and element.key == OWNER.key and not _same(element, OWNER):
        raise UnscopedStatementError(f"{OWNER.key} is the name of the session's owner")
    if getattr(getattr(element, "name", None), "quote", None) is False:
        raise UnscopedStatementError("a name that is not quoted cannot be checked for its owner")


def _sources(unit: Any) -> Iterator[FromClause]:
    """What a select or a write reads from, joins flattened."""
    if isinstance(unit, Select):
        pending = list(unit.get_final_froms())
    elif isinstance(unit, Update | Delete):
        columns = (e for e in _outside_selects(unit) if isinstance(e, ColumnClause) and e.table is not None)
        others: dict[int, Any] = {id(c.table): c.table for c in columns if not _same(c.table, unit.table)}
        pending = [unit.table, *others.values()]
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


def _outside_selects(unit: Any) -> Iterator[Any]:
    """The elements of a write, without those of its selects, which are units of their own."""
    pending = [unit]
    while pending:
        element = pending.pop()
        yield element
        pending += [child for child in element.get_children() if not isinstance(child, Select)]


def _check_unit(unit: Any) -> list[str]:
    """Check one select or write.

    Returns:
        The full names of the tables that it reads or writes.
    """
    owned = [source for source in _sources(unit) if isinstance(_table(source), Table)]
    names = [_table(source).fullname for source in owned]
    if isinstance(unit, Insert):
        _check_insert(unit)
        return names
    conditions = list(_conditions(unit))
    for source in owned:
        if not any(_binds_owner(condition, source) for condition in conditions):
            raise UnscopedStatementError(f"{source} is not limited to the owner in: {unit}")
    if isinstance(unit, Update) and any(_name(column) == _OWNER_COLUMN for column in unit._values or ()):  # noqa: SLF001
        raise UnscopedStatementError(f"{unit.table} must not change its owner")
    return names


def _check_insert(insert: Insert) -> None:
    if insert.select is not None:
        if not isinstance(insert.select, Select):
            raise UnscopedStatementError(f"rows of several selects are inserted into {insert.table}")
        names = [_name(column) for column in insert._select_names or ()]  # noqa: SLF001 - no public accessor
        chosen = list(insert.select.selected_columns)
        value = chosen[names.index(_OWNER_COLUMN)] if _OWNER_COLUMN in names else None
    else:
        values: Mapping[Any, Any] = insert._values or {}  # noqa: SLF001 - no public accessor
        value = next((v for column, v in values.items() if _name(column) == _OWNER_COLUMN), None)
    is_theirs = _is_owner(value) or (insert.select is not None and _is_read_of_owner(value, insert.select))
    if insert._multi_values or not is_theirs:  # noqa: SLF001 - no public accessor
        raise UnscopedStatementError(f"rows inserted into {insert.table} are not the owner's")
    conflict = getattr(insert, "_post_values_clause", None)
    if isinstance(conflict, OnConflictDoUpdate):
        targets = [_name(target) for target in conflict.inferred_target_elements or ()]
        changed = [_name(column) for column in conflict.update_values_to_set]
        if _OWNER_COLUMN not in targets or _OWNER_COLUMN in changed:
            raise UnscopedStatementError(f"a conflict in {insert.table} may change a row that is not the owner's")


def _is_read_of_owner(value: Any, select: Any) -> bool:
    """Whether a value is the owner's column of a table of the select, which is limited to the owner's rows of it."""
    column = value.element if isinstance(value, Label) else value
    if not isinstance(column, ColumnClause) or _name(column) != _OWNER_COLUMN:
        return False
    return any(isinstance(_table(source), Table) and _same(column.table, source) for source in _sources(select))


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


def _table(source: Any) -> Any:
    return source.element if isinstance(source, Alias) else source


def _is_owner(value: Any) -> bool:
    return _same(value.element if isinstance(value, Label) else value, OWNER)


def _same(one: Any, other: Any) -> bool:
    # SQLModel's columns carry annotated copies of their table, which are equal by hash and not by identity.
    return one is other or (type(one).__hash__ is not None and hash(one) == hash(other))


def _name(column: Any) -> str:
    return str(getattr(column, "name", column))

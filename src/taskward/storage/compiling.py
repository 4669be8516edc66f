"""Statements, compiled once for asyncpg.

A statement is written with SQLModel's `select`, `insert`, `update` and `delete`. Compilation refuses one that forgets
whose rows it is about, see `scoping`. The session that runs a compiled statement fills `OWNER` in; a caller cannot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.sql.expression import Executable

from taskward.storage.quoting import SCHEMA
from taskward.storage.scoping import OWNER, UnscopedStatementError, check_statement

Apart = tuple["Statement", "Statement"] | None
_DIALECT: Dialect = asyncpg_dialect()  # type: ignore[no-untyped-call]
_TABLE_REFERENCE = re.compile(rf"\b({SCHEMA}\.\w+)(?![\w.(])")


class Statement:
    """SQL for asyncpg, and the names of its parameters in order.

    Attributes:
        apart: Two statements that do the same, of which the first yields what this one does, and the second, where
            there is a row, takes that besides; None where this one is all.
    """

    __slots__ = ("_constants", "_in_order", "apart", "names", "sql")

    def __init__(self, sql: str, names: tuple[str, ...], constants: Mapping[str, Any], apart: Apart = None) -> None:
        self.sql = sql
        self.names = names
        self.apart = apart
        self._constants = constants
        # Of fewer than two names it would not make a tuple.
        self._in_order = itemgetter(*names) if names[1:] else lambda values: tuple([values[name] for name in names])

    def arguments(self, owner: str, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of `$1`, `$2`, … in order.

        Raises:
            KeyError: A parameter of the statement has no value.
        """
        # Whatever a caller names, the owner is the session's.
        return self._in_order({**parameters, **self._constants, OWNER.key: owner})


def compile_statement(statement: Executable, *, apart: Apart = None) -> Statement:
    """Compile for asyncpg, once per statement or per shape of a filter.

    Args:
        apart: As `Statement.apart`, for a Citus coordinator, which would ask every node where a statement inserts by
            what another part of it has changed.

    Raises:
        UnscopedStatementError: It touches rows without saying whose, or holds textual SQL that cannot be checked.
    """
    checked = check_statement(statement)
    compiled: Any = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
    sql = str(compiled)
    # The check must have seen every reference that the SQL has, however it got there.
    written = Counter(_TABLE_REFERENCE.findall(sql))
    if written != checked:
        raise UnscopedStatementError(f"it refers to {dict(written)}, of which {dict(checked)} were understood: {sql}")
    if "[POSTCOMPILE_" in sql:
        raise UnscopedStatementError(f"it is not complete until it runs; use = ANY instead of IN: {sql}")
    names = tuple(compiled.positiontup or ())
    if OWNER.key not in names:
        raise UnscopedStatementError(f"the owner is not bound: {sql}")
    values = compiled.params
    constants = {name: values[name] for name in names if not compiled.binds[name].required}
    return Statement(sql, names, constants, apart)

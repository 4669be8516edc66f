"""What `storage/scoping.py` and `compiling.py` need of SQLAlchemy beyond its documents.

A test that fails here says what has moved.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import CTE, Delete, Insert, Integer, MetaData, Select, Table, Update, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.dialects.postgresql.dml import OnConflictDoUpdate
from sqlalchemy.schema import Column
from sqlalchemy.sql import elements, visitors
from sqlalchemy.sql.elements import ClauseElement

from taskward.storage import scoping

TABLE = Table("numbers", MetaData(), Column("id", Integer), Column("n", Integer))
ONE: Any = bindparam("one", type_=Integer())


def test_a_statement_says_what_its_clauses_are():
    for kind in (Select, Insert, Update, Delete, CTE):
        internals = getattr(kind, "_traverse_internals", None)
        assert internals, f"SQLAlchemy's {kind.__name__} no longer says in _traverse_internals what its clauses are"
        assert all(isinstance(name, str) for name, _ in internals), "a clause is no longer listed by its name"


@pytest.mark.parametrize(
    ("statement", "clause"),
    [
        (select(TABLE.c.id), "_raw_columns"),
        (select(TABLE.c.id).select_from(TABLE), "_from_obj"),
        (select(TABLE.c.id).where(TABLE.c.id == ONE), "_where_criteria"),
        (select(func.count()).group_by(TABLE.c.id).having(func.count() > ONE), "_having_criteria"),
        (select(func.count()).group_by(TABLE.c.id), "_group_by_clauses"),
        (select(TABLE.c.id).order_by(TABLE.c.id), "_order_by_clauses"),
        (select(TABLE.c.id).limit(1), "_limit_clause"),
        (select(TABLE.c.id).distinct(), "_distinct"),
        (select(TABLE.c.id).with_for_update(), "_for_update_arg"),
        (select(TABLE.c.id).prefix_with("X"), "_prefixes"),
        (select(TABLE.c.id).with_hint(TABLE, "X"), "_hints"),
        (TABLE.update().values(n=1), "_values"),
        (TABLE.update().where(TABLE.c.id == ONE), "_where_criteria"),
        (TABLE.update().returning(TABLE.c.id), "_returning"),
        (TABLE.insert().from_select(["n"], select(TABLE.c.id)), "_select_names"),
        (TABLE.insert().values([{"n": 1}, {"n": 2}]), "_multi_values"),
        (upsert(TABLE).on_conflict_do_nothing(), "_post_values_clause"),
    ],
)
def test_a_clause_is_kept_where_it_is_looked_for(statement: Any, clause: str):
    found = getattr(statement, clause, None)
    is_there = found is not None and (isinstance(found, ClauseElement) or bool(found))
    assert is_there, f"SQLAlchemy keeps what should be in {clause} somewhere else"
    named = [name for name, _ in statement._traverse_internals]
    assert clause in named, f"SQLAlchemy no longer lists {clause} among a statement's clauses"


def test_the_values_of_a_write_are_by_column():
    for write in (TABLE.update().values(n=ONE), TABLE.insert().values(n=ONE)):
        values: Any = write._values
        assert [getattr(one, "name", one) for one in values] == ["n"], "the values of a write are not by column"
        assert list(values.values()) == [ONE], "the value of a write is no longer what was given"


def test_an_insert_from_a_select_says_its_columns_and_its_select():
    inner = select(TABLE.c.id)
    insert = TABLE.insert().from_select(["n"], inner)
    assert insert.select is inner, "an insert no longer keeps its select as `select`"
    assert [getattr(one, "name", one) for one in insert._select_names or ()] == ["n"]
    assert TABLE.insert().values(n=1).select is None, "an insert of values has a select"


def test_a_conflict_says_what_it_is_about_and_what_it_changes():
    clause: Any = upsert(TABLE).on_conflict_do_update(index_elements=["id"], set_={"n": 1})._post_values_clause
    assert isinstance(clause, OnConflictDoUpdate), "a conflict's clause is of another type"
    targets = [getattr(one, "name", one) for one in clause.inferred_target_elements or ()]
    assert targets == ["id"], "the columns of a conflict are somewhere else than in inferred_target_elements"
    changed = [getattr(one, "name", one) for one in clause.update_values_to_set]
    assert changed == ["n"], "what a conflict changes is somewhere else than in update_values_to_set"


def test_a_label_of_order_by_is_an_element_that_is_known():
    label: Any = column("n").label("m")
    found = {type(one) for one in visitors.iterate(select(label).order_by(label))}
    assert elements._label_reference in found, "ORDER BY refers to a label by another element"
    assert elements._label_reference in scoping._KNOWN


def test_a_compiled_statement_says_its_parameters():
    compiled: Any = select(TABLE.c.id).where(TABLE.c.id == ONE, TABLE.c.n == 7).compile(dialect=dialect())
    assert "one" in compiled.positiontup, "the order of parameters is somewhere else than in positiontup"
    (constant,) = (name for name in compiled.positiontup if name != "one")
    assert compiled.binds["one"].required, "a parameter without a value is no longer required"
    assert not compiled.binds[constant].required, "a parameter with a value is required"
    assert compiled.params[constant] == 7, "the value of a constant is somewhere else than in params"


def test_what_is_complete_only_when_it_runs_is_marked():
    compiled = select(TABLE.c.id).where(TABLE.c.id.in_([1, 2])).compile(dialect=dialect())
    assert "[POSTCOMPILE_" in str(compiled), "SQLAlchemy marks otherwise what it expands when a statement runs"

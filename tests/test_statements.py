"""What `compile_statement` refuses, because it could reach a row of somebody else, and what it accepts."""

from __future__ import annotations  # noqa: I001 - one table of imports reads best

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import (
    Column, Integer, MetaData, Table, Text, and_, any_, bindparam, case, cast, column, delete, exists, false, func,
    insert, literal, literal_column, not_, null, or_, select, table, tablesample, text, true, union_all, update,
    values,
)  # fmt: skip
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql import quoted_name
from sqlmodel import select as select_model

import taskward
from taskward.database import statements, tables
from taskward.database.statements import OWNER, Statement, UnscopedStatementError, compile_statement
from taskward.database.tables import Account, columns, table_of, tick
from taskward.tasks import query, store
from taskward.tasks.models import Task, Tombstone

task, account, tombstone = columns(Task), columns(Account), columns(Tombstone)
TASK = table_of(Task)
other = TASK.alias("other")
MINE = task.user_id == OWNER
ANYONE = bindparam("anyone", type_=Text())
ID: Any = bindparam("task_id")
everyones = select(other.c.title).limit(1)
my_ids = select(task.id).where(MINE)
row = {"user_id": OWNER, "id": ID, "version": 1}
NAMES = list(row)


def _conflict(**clauses: Any) -> Any:
    return upsert(Tombstone).values(**row).on_conflict_do_update(**{"index_elements": ["user_id", "id"], **clauses})


def _recursive() -> Any:
    found = select(task.id).where(MINE).cte("found", recursive=True)
    return select(found.union_all(select(other.c.id)).c.id)


def _sampled_beside_a_row_counted_twice() -> Any:
    sample = tablesample(TASK, 100, name="sample")
    counted_twice = exists(select(literal(1)).where(MINE).correlate(TASK))
    return select(sample.c.title).select_from(TASK).where(MINE, counted_twice)


def _alias_of_an_alias_beside_a_row_counted_twice() -> Any:
    everyones_row = TASK.alias("one").alias("two")
    # Its task is the outer one, which SQLAlchemy leaves out of the inner FROM.
    counted_twice = select(literal(1)).where(MINE, account.user_id == OWNER).exists()
    return select(everyones_row.c.title).select_from(everyones_row, TASK).where(MINE, counted_twice)


UNSCOPED: dict[str, Callable[[], Any]] = {
    # conditions that do not limit
    "no where": lambda: select(task.title),
    "no where beside the bound owner": lambda: select(task.title, OWNER),
    "a model without where": lambda: select_model(Task),
    "update without where": lambda: update(Task).values(title=OWNER),
    "delete without where": lambda: delete(Task),
    "or": lambda: select(task.title).where(or_(MINE, task.completed)),
    "or true": lambda: select(task.title).where(or_(MINE, literal(True))),
    "not": lambda: select(task.title).where(~MINE),
    "not and": lambda: select(task.title).where(not_(and_(MINE, task.completed))),
    "not equal": lambda: select(task.title).where(task.user_id != OWNER),
    "at least": lambda: select(task.title).where(task.user_id >= OWNER),
    "in": lambda: select(task.title).where(task.user_id.in_([OWNER, ANYONE])),
    "in a list with the owner": lambda: select(task.title).where(MINE, task.id.in_([uuid4()])),
    "any": lambda: select(task.title).where(any_(ANYONE) == task.user_id),
    "like": lambda: select(task.title).where(task.user_id.like(OWNER)),
    "is not distinct": lambda: select(task.title).where(task.user_id.is_not_distinct_from(OWNER)),
    "case": lambda: select(task.title).where(case((MINE, true()), else_=true())),
    "compared with true": lambda: select(task.title).where(false() == MINE),
    "coalesce": lambda: select(task.title).where(func.coalesce(task.user_id, OWNER) == OWNER),
    "another column": lambda: select(task.title).where(task.title == OWNER),
    "the owner equals itself": lambda: select(task.title).where(OWNER == OWNER),  # noqa: PLR0124
    "another parameter": lambda: select(task.title).where(task.user_id == ANYONE),
    "a constant": lambda: select(task.title).where(task.user_id == "bob"),
    "only having": lambda: select(task.user_id).group_by(task.user_id).having(MINE),
    # a parameter of the owner's name
    "its name": lambda: select(task.title).where(task.user_id == bindparam("taskward_owner")),
    "its name and a value": lambda: select(task.title).where(task.user_id == bindparam("taskward_owner", "bob")),
    "its name, unique": lambda: select(task.title).where(task.user_id == bindparam("taskward_owner", "b", unique=True)),
    "its name, beside it": lambda: select(task.title, bindparam("taskward_owner", type_=Integer())).where(MINE),
    "set by params": lambda: select(task.title).where(MINE).params(taskward_owner="bob"),
    # several tables
    "the other alias": lambda: select(task.title, other.c.title).where(MINE),
    "an alias, and the condition on its table": lambda: select(other.c.title).where(MINE),
    "joined to a bound row": lambda: select(other.c.title).where(MINE, other.c.user_id == task.user_id),
    "join on": lambda: select_model(Task).join(Account, account.user_id == task.user_id).where(MINE),
    "outer join on": lambda: (
        select(other.c.title).select_from(TASK.outerjoin(other, other.c.user_id == OWNER)).where(MINE)
    ),
    "left of an outer join on": lambda: select(task.title).select_from(TASK.outerjoin(other, MINE)),
    "full join on": lambda: select(task.title).select_from(
        TASK.join(other, and_(MINE, other.c.user_id == OWNER), full=True)
    ),
    "inner join inside an outer one": lambda: (
        select(task.title)
        .select_from(table_of(Account).outerjoin(TASK.join(other, and_(MINE, other.c.user_id == OWNER)), true()))
        .where(account.user_id == OWNER)
    ),
    "update from": lambda: update(Task).where(MINE, other.c.id == task.id).values(title=other.c.title),
    "update set from": lambda: update(Task).where(MINE).values(title=other.c.title),
    "delete using": lambda: delete(Task).where(MINE, task.id == tombstone.id),
    "lateral": lambda: select(everyones.lateral("l").c.title, OWNER),
    "a sample": lambda: select(tablesample(TASK, 100).c.title, OWNER),
    "a sample beside a row counted twice": _sampled_beside_a_row_counted_twice,
    "an alias of an alias beside a row counted twice": _alias_of_an_alias_beside_a_row_counted_twice,
    # statements inside statements
    "subquery": lambda: select(everyones.subquery().c.title, OWNER),
    "subquery of a subquery": lambda: select(select(everyones.subquery().c.title).subquery().c.title, OWNER),
    "scalar subquery": lambda: select(everyones.scalar_subquery(), OWNER),
    "exists": lambda: select(task.title).where(MINE, exists().where(other.c.title == task.title)),
    "correlated to the owner's row": lambda: select(task.title).where(
        MINE, exists(select(other.c.id).where(other.c.user_id == task.user_id))
    ),
    "correlated condition": lambda: select(task.title).where(MINE, exists(select(other.c.id).where(MINE))),
    "in a subquery": lambda: select(task.title).where(MINE, task.title.in_(everyones)),
    "order by a subquery": lambda: select(task.title).where(MINE).order_by(everyones.scalar_subquery()),
    "limit by a subquery": lambda: select(task.title).where(MINE).limit(select(other.c.version).scalar_subquery()),
    "cte": lambda: select(everyones.cte("c").c.title, OWNER),
    "recursive cte": _recursive,
    "a deleting cte": lambda: select(delete(Task).returning(task.id).cte("c").c.id, OWNER),
    "a cte that nothing reads": lambda: select(OWNER.label("me")).add_cte(delete(Task).cte("c")),
    "union": lambda: union_all(select(task.title).where(MINE), everyones),
    "returning a subquery": lambda: delete(Task).where(MINE).returning(everyones.scalar_subquery()),
    "set a subquery": lambda: update(Task).where(MINE).values(title=everyones.scalar_subquery()),
    # writes
    "insert without an owner": lambda: insert(Tombstone).values(id=ID, version=1),
    "insert without values": lambda: insert(Tombstone),
    "insert another's": lambda: insert(Tombstone).values(**row | {"user_id": ANYONE}),
    "insert several": lambda: insert(Tombstone).values([row, row]),
    "insert from select": lambda: insert(Tombstone).from_select(
        NAMES, select(ANYONE, task.id, task.version).where(MINE)
    ),
    "insert from a column": lambda: insert(Tombstone).from_select(
        NAMES, select(task.user_id, task.id, task.version).where(MINE)
    ),
    "insert from swapped columns": lambda: insert(Tombstone).from_select(
        ["id", "user_id", "version"], select(OWNER, ANYONE, task.version).where(MINE)
    ),
    "insert from a union": lambda: insert(Tombstone).from_select(
        NAMES, union_all(select(OWNER, ID, task.version).where(MINE), select(ANYONE, ID, task.version).where(MINE))
    ),
    "insert from everyone's": lambda: insert(Tombstone).from_select(NAMES, select(OWNER, other.c.id, other.c.version)),
    "the owner set": lambda: update(Task).where(MINE).values(user_id=ANYONE),
    "the owner set, by attribute": lambda: update(Task).where(MINE).values({Task.user_id: ANYONE}),
    "the owner set, in order": lambda: update(Task).where(MINE).ordered_values((task.user_id, ANYONE)),
    "the owner set to the owner": lambda: update(Task).where(MINE).values(user_id=OWNER),
    "conflict on the id": lambda: _conflict(index_elements=["id"], set_={"version": 2}),
    "conflict on a constraint": lambda: _conflict(index_elements=None, constraint="task_pkey", set_={"version": 2}),
    "conflict sets the owner": lambda: _conflict(set_={"user_id": ANYONE}),
    "conflict sets a subquery": lambda: _conflict(set_={"version": select(other.c.version).scalar_subquery()}),
    "conflict where": lambda: _conflict(set_={"version": 2}, where=exists(everyones)),
    "conflict sets text": lambda: _conflict(set_={"version": text("2")}),
    "conflict index where text": lambda: _conflict(set_={"version": 2}, index_where=text("true")),
    # what cannot be read
    "text": lambda: text("select title from taskward.task"),
    "text columns": lambda: text("select title from taskward.task").columns(column("title")),
    "text in where": lambda: select(task.title).where(MINE, text("true or true")),
    "literal column": lambda: select(literal_column("(select 1)"), task.title).where(MINE),
    "an operator's text": lambda: select(task.title).where(MINE, task.title.op("='' or true or ''=", precedence=9)("")),
    "a prefix": lambda: select(task.title).where(MINE).prefix_with("(select title from taskward.task),"),
    "a suffix": lambda: select(task.title).where(MINE).suffix_with("union all select title from taskward.task"),
    "a hint": lambda: select(task.title).where(MINE).with_statement_hint("or true"),
    "a table hint": lambda: select(task.title).where(MINE).with_hint(TASK, "ONLY"),
    "a name as written": lambda: select(task.title.label(quoted_name("t, (select 1)", quote=False))).where(MINE),
    "a table by its name": lambda: select(table("task", column("title"), schema="taskward").c.title, OWNER),
    "a table without its owner": lambda: select(
        Table("task", MetaData(schema="taskward"), Column("title", Text)).c.title, OWNER
    ),
    "a table of another schema": lambda: select(Table("users", MetaData(), Column("user_id", Text)).c.user_id, OWNER),
    "a catalogue": lambda: select(Table("pg_stats", MetaData(), Column("user_id", Text)).c.user_id == OWNER),
    "values": lambda: select(values(column("x"), name="v").data([(1,)]).c.x, OWNER),
    "a cast to a type that is looked up": lambda: select(cast(task.title, postgresql.REGCLASS)).where(MINE),
    "a function that runs SQL": lambda: select(func.query_to_xml("select 1", OWNER)),
    "a function that changes the owner": lambda: select(func.set_config("taskward.user_id", "bob", OWNER)),
    "nothing of an owner": lambda: select(func.now()),
}  # fmt: skip


@pytest.mark.parametrize("shape", UNSCOPED)
def test_a_statement_that_could_reach_anothers_row_is_refused(shape: str):
    statement = UNSCOPED[shape]()
    with pytest.raises(UnscopedStatementError):
        compile_statement(statement)


SCOPED: dict[str, Callable[[], Any]] = {
    "select": lambda: select(task.title).where(MINE),
    "turned around": lambda: select(task.title).where(OWNER == task.user_id),  # noqa: SIM300
    "a model": lambda: select_model(Task).where(Task.user_id == OWNER, Task.id == ID),
    "nested and": lambda: select(task.title).where(and_(task.completed, and_(MINE, task.id == ID))),
    "or within the owner's": lambda: select(task.title).where(MINE, or_(task.completed, task.deleted_at.is_(None))),
    "self-join": lambda: select(task.title, other.c.title).where(MINE, other.c.user_id == OWNER),
    "inner join on": lambda: select(task.title).join_from(TASK, other, and_(MINE, other.c.user_id == OWNER)),
    "outer join of the owner's": lambda: (
        select(account.clock).select_from(table_of(Account).outerjoin(my_ids.subquery("mine"), true()))
        .where(account.user_id == OWNER)
    ),
    "exists": lambda: select(task.id).where(MINE, exists(select(other.c.id).where(other.c.user_id == OWNER))),
    "union": lambda: union_all(my_ids, select(other.c.id).where(other.c.user_id == OWNER)),
    "cte": lambda: select(my_ids.cte("mine").c.id),
    "the clock": lambda: update(Task).where(MINE).values(version=tick().c.clock, deleted_at=null()),
    "insert": lambda: insert(Tombstone).values(**row),
    "upsert": lambda: _conflict(set_={"version": upsert(Tombstone).excluded.version}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SCOPED)
def test_a_statement_about_the_owners_rows_is_compiled(shape: str):
    compiled = compile_statement(SCOPED[shape]())
    assert compiled.arguments("alice", {"task_id": 1}).count("alice") >= 1


# Every statement that the store makes: its builders are cached functions, which is how they are found.
_CACHED = type(store._get)
BUILDERS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "_add": (store._add, ()),
    "_open_account": (store._open_account, ()),
    "_get": (store._get, (True,)),
    "_account": (store._account, ()),
    "_update": (store._update, (("completed", "description", "title"), True)),
    "_toggle": (store._toggle, (True,)),
    "_trash": (store._trash, (True,)),
    "_restore": (store._restore, (True,)),
    "_erase": (store._erase, (True,)),
    "_probe": (store._probe, ()),
    "_list_statement": (query._list_statement, (True, False, True)),
}


def test_every_statement_of_the_store_is_known_here():
    found = {name for module in (store, query) for name, value in vars(module).items() if isinstance(value, _CACHED)}
    assert found == set(BUILDERS)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_statement_of_the_store_is_compiled(name: str):
    builder, arguments = BUILDERS[name]
    statement = builder.__wrapped__(*arguments)
    assert isinstance(statement, Statement)
    assert "taskward_owner" in statement._names


@pytest.mark.parametrize("name", BUILDERS)
def test_a_statement_of_the_store_for_anybody_is_refused(name: str, monkeypatch: pytest.MonkeyPatch):
    builder, arguments = BUILDERS[name]
    for module in (store, query, tables):
        monkeypatch.setattr(module, "OWNER", ANYONE)
    monkeypatch.setattr(store, "_MINE", (task.user_id == ANYONE, task.id == store._ID))
    with pytest.raises(UnscopedStatementError):
        builder.__wrapped__(*arguments)


@pytest.mark.parametrize("name", ["_get", "_update", "_toggle", "_trash", "_restore", "_erase", "_probe"])
def test_a_statement_of_the_store_without_its_owner_predicate_is_refused(name: str, monkeypatch: pytest.MonkeyPatch):
    builder, arguments = BUILDERS[name]
    monkeypatch.setattr(store, "_MINE", (task.id == store._ID,))
    with pytest.raises(UnscopedStatementError):
        builder.__wrapped__(*arguments)


def test_a_caller_cannot_pass_the_owner():
    statement = compile_statement(select(task.title).where(MINE, task.id == ID))
    assert statement.arguments("alice", {"task_id": 1, "taskward_owner": "bob", "user_id": "bob"}) == ["alice", 1]


def test_a_table_that_the_check_overlooked_is_found_in_the_sql(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(statements, "_sources", lambda _: iter(()))
    with pytest.raises(UnscopedStatementError, match=r"taskward\.task': 1"):
        compile_statement(select(task.title, OWNER))


def test_a_missing_parameter_is_an_error():
    with pytest.raises(KeyError, match="task_id"):
        compile_statement(select(task.title).where(MINE, task.id == ID)).arguments("alice", {})


def test_statements_are_made_by_compilation_only():
    makers = [
        file.name
        for file in Path(taskward.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Statement"
    ]
    assert makers == ["statements.py"]

"""What `compile_statement` refuses, because it could reach a row of somebody else, and what it accepts."""

from __future__ import annotations  # noqa: I001 - one table of imports reads best

import ast
import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import (
    ARRAY, JSON, Column, Integer, MetaData, Table, Text, Uuid, and_, any_, bindparam, case, cast, column, delete,
    exists, false, func, insert, literal, literal_column, not_, null, or_, select, table, tablesample, text, true,
    union_all, update, values,
)  # fmt: skip
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql import quoted_name
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.types import UserDefinedType
from sqlmodel import select as select_model

import taskward
from taskward.account.store import erased_tables
from taskward.storage import compiling, scoping
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER, UnscopedStatementError
from taskward.storage.tables import Account, Tombstone, columns, table_of, next_version
from taskward.tasks import query, store
from taskward.tasks.filters import FILTERS
from taskward.tasks.query import Conditions
from taskward.tasks.task_json import JSON_COLUMNS
from taskward.tasks.tree import DEEPEST_TREE
from taskward.tasks.table import Task
from taskward.lists.table import TaskList

task, account, tombstone = columns(Task), columns(Account), columns(Tombstone)
TASK = table_of(Task)
other = TASK.alias("other")
MINE = task.user_id == OWNER
ANYONE = bindparam("anyone", type_=Text())
ID: Any = bindparam("task_id")
everyones = select(other.c.title).limit(1)
my_ids = select(task.id).where(MINE)
KIND = bindparam("kind", type_=Text())
row = {"user_id": OWNER, "kind": KIND, "id": ID, "version": 1}
NAMES = list(row)
ANYONES = row | {"user_id": ANYONE}
PACKAGE = Path(taskward.__file__).parent


def _conflict(**clauses: Any) -> Any:
    return (
        upsert(Tombstone)
        .values(**row)
        .on_conflict_do_update(**{"index_elements": ["user_id", "kind", "id"], **clauses})
    )


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


class _Smuggler(UserDefinedType[str]):
    """A type whose name is more than a name."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "text), pg_catalog.pg_stats AS (y text"


IDS = bindparam("ids", type_=ARRAY(Text()))
BESIDE = OWNER.is_not(None)  # what binds the owner, and limits nothing


def unquoted(name: str) -> Any:
    return quoted_name(name, quote=False)


def unnested(*names: Any, function: Any = func.unnest, **options: Any) -> Any:
    return function(IDS).table_valued(*names, **options).render_derived(name="given")


def recorded(**kinds: Any) -> Any:
    """A table that is made of JSON, with these columns."""
    rows = func.pg_catalog.json_to_recordset(bindparam("rows", type_=JSON()))
    typed = [column(name, kind) for name, kind in kinds.items()]
    return rows.table_valued(*typed).render_derived(name="written", with_types=True)


STONES = recorded(user_id=Text(), kind=Text(), id=Uuid(), version=Integer())
TASKS = recorded(user_id=Text(), id=Uuid(), title=Text())


def _below(condition: Callable[[Any], Any]) -> Any:
    """The owner's tasks, and those that are found below them by a condition."""
    tree = select(task.id, task.user_id).where(MINE).cte("tree", recursive=True)
    return select(tree.union(select(other.c.id, other.c.user_id).where(condition(tree))).c.id)


def _beginning_anywhere() -> Any:
    tree = select(task.id).cte("tree", recursive=True)
    return select(tree.union(select(other.c.id).where(other.c.user_id == OWNER, other.c.parent_id == tree.c.id)).c.id)


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
    "exists in an update": lambda: update(Task).where(MINE, exists(everyones)).values(version=2),
    "exists in an update, of another table": lambda: (
        update(Account)
        .where(columns(Account).user_id == OWNER, exists(select(task.id).where(task.version == 1)))
        .values(clock=2)
    ),
    "an update bound inside of exists alone": lambda: (
        update(Account).where(exists(select(task.id).where(MINE))).values(clock=2)
    ),
    "correlated to the owner's row": lambda: select(task.title).where(
        MINE, exists(select(other.c.id).where(other.c.user_id == task.user_id))
    ),
    "correlated condition": lambda: select(task.title).where(MINE, exists(select(other.c.id).where(MINE))),
    "in a subquery": lambda: select(task.title).where(MINE, task.title.in_(everyones)),
    "order by a subquery": lambda: select(task.title).where(MINE).order_by(everyones.scalar_subquery()),
    "an aggregate of everyone's": lambda: select(func.pg_catalog.array_agg(other.c.title).aggregate_order_by(task.id)),
    "an aggregate ordered by a subquery": lambda: (
        select(func.pg_catalog.array_agg(task.title).aggregate_order_by(everyones.scalar_subquery())).where(MINE)
    ),
    "an aggregate ordered by text": lambda: (
        select(func.pg_catalog.array_agg(task.title).aggregate_order_by(text("1"))).where(MINE)
    ),
    "limit by a subquery": lambda: select(task.title).where(MINE).limit(select(other.c.version).scalar_subquery()),
    "cte": lambda: select(everyones.cte("c").c.title, OWNER),
    "recursive cte": _recursive,
    "a deleting cte": lambda: select(delete(Task).returning(task.id).cte("c").c.id, OWNER),
    "a cte that nothing reads": lambda: select(OWNER.label("me")).add_cte(delete(Task).cte("c")),
    "an insert that nothing reads": lambda: my_ids.add_cte(insert(Tombstone).values(**ANYONES).cte("c")),
    "an insert from everyone's that nothing reads": lambda: my_ids.add_cte(
        insert(Tombstone).from_select(NAMES, select(OWNER, KIND, other.c.id, other.c.version)).cte("c")
    ),
    "an update that nothing reads": lambda: my_ids.add_cte(update(Task).values(version=1).cte("c")),
    "a select that nothing reads": lambda: my_ids.add_cte(everyones.cte("c")),
    "text that nothing reads": lambda: my_ids.add_cte(text("DELETE FROM taskward.task").columns().cte("c")),
    "a cte that nothing reads, within what it is in": lambda: my_ids.add_cte(delete(Task).cte("c"), nest_here=True),
    "a cte that nothing reads, beside an insert": lambda: (
        insert(Tombstone).values(**row).add_cte(delete(Task).cte("c"))
    ),
    "a cte that nothing reads, beside an update": lambda: (
        update(Task).where(MINE).values(version=2).add_cte(delete(Task).cte("c"))
    ),
    "a cte that nothing reads, beside a deletion": lambda: delete(Task).where(MINE).add_cte(delete(Task).cte("c")),
    "a cte that nothing reads, beside a union": lambda: union_all(my_ids, my_ids).add_cte(delete(Task).cte("c")),
    "a cte that nothing reads, in a cte that nothing reads": lambda: my_ids.add_cte(
        select(task.id).where(MINE).add_cte(delete(Task).cte("inner")).cte("outer")
    ),
    "a cte that nothing reads, in a sub-query": lambda: select(my_ids.add_cte(delete(Task).cte("c")).subquery().c.id),
    "recursive cte by the parent alone": lambda: _below(lambda tree: other.c.parent_id == tree.c.id),
    "recursive cte by an owner that is carried along": lambda: _below(lambda tree: other.c.user_id == tree.c.user_id),
    "recursive cte that begins anywhere": _beginning_anywhere,
    "update from a cte of the owner's": lambda: (
        update(Task).where(task.id == my_ids.cte("mine").c.id).values(title=OWNER)
    ),
    "union": lambda: union_all(select(task.title).where(MINE), everyones),
    "returning a subquery": lambda: delete(Task).where(MINE).returning(everyones.scalar_subquery()),
    "set a subquery": lambda: update(Task).where(MINE).values(title=everyones.scalar_subquery()),
    # writes
    "insert without an owner": lambda: insert(Tombstone).values(kind=KIND, id=ID, version=1),
    "insert without values": lambda: insert(Tombstone),
    "insert another's": lambda: insert(Tombstone).values(**ANYONES),
    "insert several": lambda: insert(Tombstone).values([row, row]),
    "insert from select": lambda: insert(Tombstone).from_select(
        NAMES, select(ANYONE, KIND, task.id, task.version).where(MINE)
    ),
    "insert from another column": lambda: insert(Tombstone).from_select(
        NAMES, select(task.title, KIND, task.id, task.version).where(MINE)
    ),
    "insert from a column of everyone's": lambda: insert(Tombstone).from_select(
        NAMES, select(other.c.user_id, KIND, other.c.id, other.c.version)
    ),
    "insert from a column of everyone's beside the owner's": lambda: insert(Tombstone).from_select(
        NAMES, select(other.c.user_id, KIND, task.id, task.version).where(MINE)
    ),
    "insert from swapped columns": lambda: insert(Tombstone).from_select(
        ["id", "user_id", "kind", "version"], select(OWNER, ANYONE, KIND, task.version).where(MINE)
    ),
    "insert from a union": lambda: insert(Tombstone).from_select(
        NAMES,
        union_all(
            select(OWNER, KIND, ID, task.version).where(MINE), select(ANYONE, KIND, ID, task.version).where(MINE)
        ),
    ),
    "insert from everyone's": lambda: insert(Tombstone).from_select(
        NAMES, select(OWNER, KIND, other.c.id, other.c.version)
    ),
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
    "insert an owner out of JSON": lambda: insert(Tombstone).from_select(
        NAMES, select(*(STONES.c[name] for name in NAMES)).where(BESIDE)
    ),
    "insert an owner out of JSON that is the owner": lambda: insert(Tombstone).from_select(
        NAMES, select(*(STONES.c[name] for name in NAMES)).where(STONES.c.user_id == OWNER)
    ),
    "the owner set out of JSON": lambda: (
        update(Task).where(MINE, task.id == TASKS.c.id).values(user_id=TASKS.c.user_id)
    ),
    "update by an owner out of JSON": lambda: (
        update(Task).where(task.id == TASKS.c.id, TASKS.c.user_id == OWNER).values(title=TASKS.c.title)
    ),
    "delete by ids out of JSON": lambda: delete(Task).where(task.id == TASKS.c.id, TASKS.c.user_id == OWNER),
    # what functions yield
    "a table of a function that runs SQL": lambda: select(
        unnested("x", function=func.query_to_xml).c.x
    ).where(BESIDE),
    "a table of a function that nobody knows": lambda: select(
        unnested("x", function=func.generate_series).c.x
    ).where(BESIDE),
    "a table of a function of another schema": lambda: select(
        unnested("x", function=func.public.unnest).c.x
    ).where(BESIDE),
    "a table of everyone's": lambda: select(
        func.unnest(everyones.scalar_subquery()).table_valued("x").c.x
    ).where(BESIDE),
    "a table of a column of everyone's": lambda: select(
        func.unnest(other.c.tags).table_valued("x").c.x
    ).select_from(other).where(BESIDE),
    "a table of a function, joined by its owner": lambda: select(task.title).select_from(
        TASK.join(TASKS, TASKS.c.user_id == OWNER)
    ),
    "an alias of what a function yields": lambda: select(unnested("x").alias("task").c.x).where(BESIDE),
    "what a function yields, lateral": lambda: select(unnested("x").lateral("l").c.x).where(BESIDE),
    "what a function yields, as a column": lambda: select(func.unnest(IDS).column_valued("x")).where(BESIDE),
    "what a function yields, by a name as written": lambda: select(
        func.unnest(IDS).table_valued("x").render_derived(name=unquoted("g, pg_stats")).c.x
    ).where(BESIDE),
    "a column that nobody reads, by a name as written": lambda: select(
        unnested("x", column(unquoted("y), pg_stats AS s(z"))).c.x
    ).where(BESIDE),
    "an ordinality by a name as written": lambda: select(
        unnested("x", with_ordinality=unquoted("o), pg_stats AS s(z")).c.x
    ).where(BESIDE),
    "a column of a type that says more": lambda: select(recorded(x=_Smuggler()).c.x).where(BESIDE),
    "a column that nobody reads of a type that says more": lambda: select(
        recorded(id=Uuid(), x=_Smuggler()).c.id
    ).where(BESIDE),
    "a column of many of a type that says more": lambda: select(recorded(x=ARRAY(_Smuggler())).c.x).where(BESIDE),
    "a column of a type that is looked up": lambda: select(recorded(x=postgresql.REGCLASS()).c.x).where(BESIDE),
    "a column of a collation as written": lambda: select(
        recorded(x=Text(collation=unquoted("C, y text), pg_stats AS s(z"))).c.x
    ).where(BESIDE),
    # windows
    "a window over everyone's": lambda: select(func.row_number().over(order_by=other.c.id), OWNER),
    "a window parted by everyone's": lambda: select(
        func.row_number().over(partition_by=everyones.scalar_subquery())
    ).where(MINE),
    "a window ordered by text": lambda: select(func.row_number().over(order_by=text("1"))).where(MINE),
    "a window with a frame": lambda: select(func.count(task.id).over(order_by=task.id, rows=(None, 0))).where(MINE),
    "a window of a function that nobody knows": lambda: select(func.nth_value(task.title, 1).over()).where(MINE),
    "a count of those that a subquery has": lambda: select(func.count(task.id).filter(exists(everyones))).where(MINE),
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
    "a function as it is found on the way": lambda: select(func.left(task.title, 3)).where(MINE),
    "a function of another schema": lambda: select(func.public.count(task.id)).where(MINE),
    "nothing of an owner": lambda: select(func.now()),
    "nothing of an owner, out of a parameter": lambda: select(unnested("x").c.x),
}  # fmt: skip


# SQLAlchemy's own way to say it is of PostgreSQL alone now, and refused as a clause that is not known.
@pytest.mark.filterwarnings("ignore:Passing expression to ``distinct``:DeprecationWarning")
def test_distinct_on_is_refused_whatever_it_is_on():
    for on in (task.id, everyones.scalar_subquery(), text("1")):
        with pytest.raises(UnscopedStatementError):
            compile_statement(select(task.title).where(MINE).distinct(on))


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
    "exists in an update": lambda: (
        update(Account).where(columns(Account).user_id == OWNER, exists(select(task.id).where(MINE))).values(clock=2)
    ),
    "union": lambda: union_all(my_ids, select(other.c.id).where(other.c.user_id == OWNER)),
    "cte": lambda: select(my_ids.cte("mine").c.id),
    "the clock": lambda: update(Task).where(MINE).values(version=next_version().c.clock, deleted_at=null()),
    "recursive cte": lambda: _below(lambda tree: and_(other.c.user_id == OWNER, other.c.parent_id == tree.c.id)),
    "what a function yields": lambda: select(task.title).where(MINE, task.id == unnested(column("id", Uuid())).c.id),
    "update out of JSON": lambda: update(Task).where(MINE, task.id == TASKS.c.id).values(title=TASKS.c.title),
    "an aggregate in order": lambda: (
        select(func.pg_catalog.array_agg(task.title).aggregate_order_by(task.due_at.desc().nulls_last())).where(MINE)
    ),
    "a window": lambda: select(func.row_number().over(partition_by=task.list_id, order_by=task.id)).where(MINE),
    "insert out of JSON": lambda: insert(Tombstone).from_select(
        NAMES, select(OWNER.label("user_id"), STONES.c.kind, STONES.c.id, STONES.c.version)
    ),
    "insert from the owner's column": lambda: insert(Tombstone).from_select(
        NAMES, select(task.user_id, KIND, task.id, task.version).where(MINE)
    ),
    "insert": lambda: insert(Tombstone).values(**row),
    "an insert that nothing reads": lambda: my_ids.add_cte(insert(Tombstone).values(**row).cte("made")),
    "a deletion that nothing reads": lambda: my_ids.add_cte(delete(Task).where(MINE).cte("gone")),
    "upsert": lambda: _conflict(set_={"version": upsert(Tombstone).excluded.version}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SCOPED)
def test_a_statement_about_the_owners_rows_is_compiled(shape: str):
    compiled = compile_statement(SCOPED[shape]())
    assert compiled.arguments("alice", {"task_id": 1, "kind": "task", "ids": [], "rows": "[]"}).count("alice") >= 1


# Every statement that the service makes, found by what makes it: cached functions that return one. Each is tried with
# the arguments here, which together have all that a statement can consist of.
_CACHED = type(store._get)
# Each filter by itself as well: what it may be asked, of which no part is a value.
_SHAPES: dict[str, tuple[Any, ...]] = {
    "completed": (True, False),
    "tag": ((2, True), (0, True)),
    "tag_any": (2,),
    "list_id": (True, False),
    "parent_id": (True, False),
    "overdue": (True, False),
    "q": (((False, True), (False,)),),
}
_ALL = Conditions(deleted=True, asked=tuple((name, _SHAPES.get(name, (True,))[0]) for name in FILTERS))
_NO = Conditions(deleted=False, asked=())
_NONE = Conditions(deleted=False, asked=tuple((name, _SHAPES.get(name, (True,))[-1]) for name in FILTERS))
_EVERY_SORT = tuple((name, name in {"due", "title"}) for name in (*query._SORTS, "id"))
_MEMBERS = tuple(sorted(store._SIMPLE))
ARGUMENTS: dict[str, list[tuple[Any, ...]]] = {
    "storage.probing._mine": [(Task,), (TaskList,)],
    "storage.probing._probe": [(Task,), (TaskList,)],
    "account.store._erase": [(table,) for table in erased_tables()],
    "lists.store._update": [(("color", "name"),), (("position",),)],
    "tasks.query._count_statement": [(_NO,), (_NONE,), (_ALL,)],
    "tasks.query._list_statement": [
        (_NO, (("id", True),), None, 51),
        (_NO, (("id", False),), (), 2),
        (_NONE, _EVERY_SORT, (False,) * len(query._SORTS), 201),
        (_ALL, _EVERY_SORT, tuple(sort.nullable for sort in query._SORTS.values()), 201),
    ],
    "tasks.statements.done_page": [(None,), (True,), (False,)],
    "tasks.statements.export_page": [(level,) for level in range(DEEPEST_TREE)],
    "tasks.statements.load_near": [(True, False, True), (False, False, False), (None, True, True), (None, True, False)],
    "tasks.statements.load_siblings": [(True, False), (False, False), (None, True)],
    "tasks.statements.update_rows": [(True,), (False,)],
    "tasks.store._add": [((),), (tuple(store._DEFAULTS),)],
    "tasks.store._add_row": [((),), (tuple(store._DEFAULTS),)],
    "tasks.store._toggle": [(False,), (True,)],
    "tasks.store._update": [(("title",), False), (_MEMBERS, True)],
}
"""Of the statements that are made with arguments, those by which each is tried."""


def _named(value: Any) -> str:
    """The name of a case; a table's own text has addresses of objects in it."""
    return value if isinstance(value, str) else ", ".join(map(str, value))


def _modules() -> dict[str, Any]:
    """The modules in which statements are made or begun."""
    texts = {file.relative_to(PACKAGE).with_suffix(""): file.read_text("utf-8") for file in PACKAGE.rglob("*.py")}
    names = [".".join(path.parts) for path, text in texts.items() if "OWNER" in text and "storage.scoping" in text]
    return {name: import_module(f"taskward.{name}") for name in sorted(names)}


MODULES = _modules()
_FOUND = {
    f"{name}.{attribute}": value.__wrapped__
    for name, module in MODULES.items()
    for attribute, value in vars(module).items()
    if isinstance(value, _CACHED) and value.__module__ == module.__name__
}
BUILDERS = {name: ARGUMENTS.get(name, [()]) for name in _FOUND}
CASES = [(name, arguments) for name, cases in BUILDERS.items() for arguments in cases]


def _built(name: str, arguments: tuple[Any, ...]) -> Any:
    return _FOUND[name](*arguments)


@cache
def _as_it_is(name: str, arguments: tuple[Any, ...]) -> Statement:
    """A statement of the service, of which nothing was changed."""
    found: Statement = _built(name, arguments)
    return found


def _groups() -> list[tuple[Any, str, tuple[Any, ...]]]:
    """Conditions that a module has by a name, because several of its statements use them."""
    return [
        (module, name, value)
        for module in MODULES.values()
        for name, value in vars(module).items()
        if isinstance(value, tuple) and any(_is_owners(one) for one in value)
    ]


def _is_owners(condition: Any) -> bool:
    return isinstance(condition, BinaryExpression) and scoping._is_owner(condition.right)


def test_the_arguments_of_every_statement_are_known_here():
    assert {name for name, builder in _FOUND.items() if inspect.signature(builder).parameters} == ARGUMENTS.keys()
    assert len(_FOUND) > 50


def test_statements_are_made_only_by_what_is_known_here():
    # A function that returns one is cached, and so found above, or helps one that is.
    helpers = {
        "storage.export_lines.page_by_id", "storage.compiling.compile_statement", "tasks.statements.change_many",
        "tasks.store._change",
    }  # fmt: skip
    makers = set()
    for file in PACKAGE.rglob("*.py"):
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "compile_statement(" in ast.unparse(node):
                makers.add(f"{module}.{node.name}")
    assert makers <= BUILDERS.keys() | helpers


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=_named)
def test_every_statement_of_the_store_is_compiled(name: str, arguments: tuple[Any, ...]):
    statement = _as_it_is(name, arguments)
    assert isinstance(statement, Statement)
    assert "taskward_owner" in statement.names


def test_the_columns_of_which_the_worker_writes_json_come_first():
    # It takes values by their order.
    read = ", ".join([f"taskward.task.{column.key}" for column in JSON_COLUMNS])
    found = [
        (name, sql.partition(read)[0]) for name, sql in ((n, _as_it_is(n, a).sql) for n, a in CASES) if read in sql
    ]
    assert {name for name, _ in found} == {
        *("tasks.store._get", "tasks.store._update", "tasks.store._toggle"),
        *("tasks.statements.update_rows", "tasks.statements.read_rows"),
    }
    for _, before in found:
        assert before.endswith(("SELECT ", "RETURNING "))


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=_named)
def test_a_statement_of_the_store_for_anybody_is_refused(
    name: str, arguments: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
):
    for module, group_name, group in _groups():
        anyones = tuple(one.left == ANYONE if _is_owners(one) else one for one in group)
        monkeypatch.setattr(module, group_name, anyones)
    for module in MODULES.values():
        if module is not compiling:
            monkeypatch.setattr(module, "OWNER", ANYONE)
    with pytest.raises(UnscopedStatementError):
        _built(name, arguments)


USES_OF_GROUPS = [
    "storage.stored_responses._get", "storage.stored_responses._store",
    "lists.store._delete", "lists.store._get", "lists.store._update",
    "tags.store._get", "tags.store._remove", "tags.store._rename",
    "tasks.statements.delete_rows", "tasks.statements.load_ancestors", "tasks.statements.load_with_subtasks",
    "tasks.statements.read_rows",
    "tasks.store._get", "tasks.store._toggle", "tasks.store._update",
]  # fmt: skip


def test_the_groups_of_conditions_are_found():
    assert {f"{module.__name__}.{name}" for module, name, _ in _groups()} >= {
        "taskward.storage.stored_responses._MINE",
        "taskward.lists.store._MINE",
        "taskward.tags.store._TAGGED",
        "taskward.tasks.statements._MINE",
        "taskward.tasks.store._MINE",
    }


@pytest.mark.parametrize("name", USES_OF_GROUPS)
def test_a_statement_of_the_store_without_its_owner_predicate_is_refused(name: str, monkeypatch: pytest.MonkeyPatch):
    for module, group_name, group in _groups():
        monkeypatch.setattr(module, group_name, tuple(one for one in group if not _is_owners(one)))
    with pytest.raises(UnscopedStatementError):
        _built(name, BUILDERS[name][0])


def test_a_caller_cannot_pass_the_owner():
    statement = compile_statement(select(task.title).where(MINE, task.id == ID))
    assert statement.arguments("alice", {"task_id": 1, "taskward_owner": "bob", "user_id": "bob"}) == ("alice", 1)


def test_a_table_that_the_check_overlooked_is_found_in_the_sql(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scoping, "_sources", lambda _: iter(()))
    with pytest.raises(UnscopedStatementError, match=r"taskward\.task': 1"):
        compile_statement(select(task.title, OWNER))


def test_a_missing_parameter_is_an_error():
    with pytest.raises(KeyError, match="task_id"):
        compile_statement(select(task.title).where(MINE, task.id == ID)).arguments("alice", {})


def test_statements_are_made_by_compilation_only():
    makers = [
        file.name
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Statement"
    ]
    assert makers == ["compiling.py"]

"""The statements of a unit of work: each reads or writes any number of tasks of the owner at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    Uuid,
    any_,
    bindparam,
    column,
    delete,
    func,
    insert,
    null,
    tuple_,
    update,
)
from sqlmodel import select

from taskward.lists.table import TaskList
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.row_json import within_bytes
from taskward.storage.scoping import OWNER, Constant
from taskward.storage.tables import MICROSECOND, Account, columns, in_utc, position_of, table_of
from taskward.tasks.table import VERSIONS_OF_BLOCK, Task
from taskward.tasks.task_json import EXPORTED, JSON_COLUMNS, export_from, size_of

_task = columns(Task)
_IDS = bindparam("ids", type_=ARRAY(Uuid()))
_MINE = (_task.user_id == OWNER, _task.id == any_(_IDS))
# Who owns a task never changes, nor when it was made. PostgreSQL computes what block its version is in.
_NEVER_WRITTEN = frozenset({"user_id", "created_at", "version_block"})
WRITTEN = tuple(str(name) for name in _task.keys() if name not in _NEVER_WRITTEN)  # noqa: SIM118 - not a dict
"""The columns that a unit of work writes."""


@cache
def load_with_subtasks() -> Statement:
    """The tasks with `ids` and all that is below them, in any state."""
    tree = select(_task.id).where(*_MINE).cte("tree", recursive=True)
    child = table_of(Task).alias("child")
    below = select(child.c.id).where(child.c.user_id == OWNER, child.c.parent_id == tree.c.id)
    tree = tree.union(below)
    chosen = [_task[name] for name in WRITTEN]
    return compile_statement(select(*chosen).where(_task.user_id == OWNER, _task.id == tree.c.id))


@cache
def load_ancestors() -> Statement:
    """The tasks with `ids` and all that they are parts of: their ids, their parents' and their lists'."""
    names = ("id", "parent_id", "list_id", "deleted_at")
    up = select(*(_task[name] for name in names)).where(*_MINE).cte("up", recursive=True)
    parent = table_of(Task).alias("parent")
    above = select(*(parent.c[name] for name in names))
    up = up.union(above.where(parent.c.user_id == OWNER, parent.c.id == up.c.parent_id))
    return compile_statement(select(*(up.c[name] for name in names)).where(OWNER.is_not(None)))


@cache
def open_of_series() -> Statement:
    """The open tasks of the series with `ids`, and whether they have a rule."""
    is_open = (~_task.completed, _task.deleted_at.is_(None))
    found = select(_task.id, _task.series_id, _task.recurrence.is_not(None).label("has_rule"))
    return compile_statement(found.where(_task.user_id == OWNER, _task.series_id == any_(_IDS), *is_open))


@cache
def load_siblings(of_list: bool | None, of_parent: bool) -> Statement:  # noqa: FBT001
    """The tasks of one list or under one parent, but for `ids`, with their positions in order. Those in the trash keep
    their places.

    Args:
        of_list: Whether they are in a list, `list_id`, or in none; not asked for those under a parent.
    """
    return compile_statement(_siblings(of_list, of_parent))


@cache
def load_near(of_list: bool | None, of_parent: bool, after: bool) -> Statement:  # noqa: FBT001
    """Two of the tasks of `load_siblings`: the one with the id `after`, and the next one. Without `after`, the first
    one.

    Args:
        after: Whether there is an `after`. Where it is none of the siblings, the first row is another task.
    """
    siblings = _siblings(of_list, of_parent)
    if not after:
        return compile_statement(siblings.limit(Constant(1)))
    mine = (_task.user_id == OWNER, _task.id == bindparam("after", type_=Uuid()))
    one = select(position_of(_task).label("position"), _task.id).where(*mine).subquery("one")
    not_before = tuple_(position_of(_task), _task.id) >= tuple_(one.c.position, one.c.id)
    return compile_statement(siblings.where(not_before).limit(Constant(2)))


def _siblings(of_list: bool | None, of_parent: bool) -> Any:  # noqa: FBT001
    where = [_task.user_id == OWNER, ~(_task.id == any_(_IDS))]
    if of_parent:
        where.append(_task.parent_id == bindparam("parent_id", type_=Uuid()))
    else:
        where.append(_task.parent_id.is_(None))
        is_there = _task.list_id == bindparam("list_id", type_=Uuid())
        where.append(is_there if of_list else _task.list_id.is_(None))
    position = position_of(_task).label("position")
    return select(_task.id, position, _task.deleted_at).where(*where).order_by(position, _task.id)


def _rows() -> Any:
    typed = [column(name, _task[name].type) for name in WRITTEN]
    rows = func.pg_catalog.json_to_recordset(bindparam("rows", type_=JSON()))
    return rows.table_valued(*typed).render_derived(name="written", with_types=True)


@cache
def insert_rows() -> Statement:
    """Write new tasks, made when they were changed: `rows` is a JSON array of objects with the members `WRITTEN`.

    It yields nothing: a Citus coordinator, which finds the node by the account's column, cannot return what is written
    beside what is read.
    """
    rows = _rows()
    account = columns(Account)
    values: dict[str, Any] = {"user_id": account.user_id, **{name: rows.c[name] for name in WRITTEN}}
    values["created_at"] = rows.c.updated_at
    made = insert(Task).from_select(list(values), select(*values.values()).where(account.user_id == OWNER))
    return compile_statement(made)


@cache
def update_rows(reads: bool) -> Statement:  # noqa: FBT001
    """Write tasks that are there; as `insert_rows`.

    Args:
        reads: Whether it yields what was written.
    """
    rows = _rows()
    values = {name: rows.c[name] for name in WRITTEN if name != "id"}
    changed = update(Task).where(_task.user_id == OWNER, _task.id == rows.c.id).values(values)
    return compile_statement(changed.returning(*JSON_COLUMNS) if reads else changed)


@cache
def existing_tasks() -> Statement:
    """Which of `ids` are the owner's, live or in the trash."""
    return compile_statement(select(_task.id).where(*_MINE))


@cache
def read_rows() -> Statement:
    """The tasks with `ids` as they are."""
    return compile_statement(select(*JSON_COLUMNS).where(*_MINE))


@cache
def delete_rows() -> Statement:
    return compile_statement(delete(Task).where(*_MINE))


@cache
def forget_next() -> Statement:
    """Let no task have an erased one as its next: a new task may get the same id. No client sees `next_id`, so the
    version and the time stay.
    """
    mine = (_task.user_id == OWNER, _task.next_id == any_(_IDS))
    return compile_statement(update(Task).where(*mine).values(next_id=null(), updated_at=_task.updated_at))


def time_of(numbered: Any) -> ColumnElement[Any]:
    """The time of each change of `change_many`: `number` microseconds after `last_time`."""
    last = in_utc(bindparam("last_time", type_=DateTime(timezone=True)))
    return in_utc(last + numbered.c.number * MICROSECOND)


def change_many(numbered: Any, values: Mapping[str, Any]) -> Statement:
    """Change any number of tasks in one statement, which yields their `count`.

    Args:
        numbered: A CTE of their `id` and a `number` from 1 on: each takes the version that comes so many after
            `last_version`, and `time_of` it.
    """
    stamp = {
        "version": bindparam("last_version", type_=BigInteger()) + numbered.c.number,
        "updated_at": time_of(numbered),
    }
    change = update(Task).where(_task.user_id == OWNER, _task.id == numbered.c.id).values(**values, **stamp)
    changed = change.returning(_task.id).cte("changed")
    return compile_statement(select(func.count(changed.c.id).label("count")).where(OWNER.is_not(None)))


@cache
def export_page(level: int) -> Statement:
    """A page of tasks, of those on one level of their trees, after the id `after`: parents come before their parts.

    Args:
        level: 0 for those that are part of no other.
    """
    where = [_task.user_id == OWNER, _task.id > bindparam("after", type_=Uuid())]
    if level:
        where.append(_task.parent_id.is_not(None))
    source: Any = table_of(Task)
    parent_id: Any = _task.parent_id
    for number in range(level):
        row = table_of(Task).alias(f"row_{number}").c
        known = select(row.id, row.parent_id, Constant(1).label("known"))
        above = known.where(row.user_id == OWNER).subquery(f"above_{number}")
        # PostgreSQL would reorder inner joins, and outer ones that it can see to be inner. For users without
        # statistics, it then built every pair of tasks, and every three.
        source = source.outerjoin(above, above.c.id == parent_id)
        where.append(func.coalesce(above.c.known, Constant(0)) == Constant(1))
        parent_id = above.c.parent_id
    where.append(parent_id.is_(None))
    return compile_statement(_export(source, where, "id"))


@cache
def export_changed() -> Statement:
    """A page of tasks, of those that have changed since the version `after`, in the order of their last changes."""
    after = bindparam("after", type_=BigInteger())
    # The index knows only blocks: PostgreSQL reads one, sorts it, and goes on to the next if it needs more. It does so
    # because the limit is a parameter. With a limit in the SQL it may expect fewer rows than that, and sort all of
    # them.
    later = _task.version_block >= after // Constant(VERSIONS_OF_BLOCK)
    # Every block is one from 0. The index has only these, so that nothing goes by it that does not ask for them.
    any_block = _task.version_block >= Constant(0)
    changed = (_task.user_id == OWNER, any_block, later, _task.version > after)
    return compile_statement(_export(table_of(Task), changed, "version_block", "version"))


def _export(source: Any, where: Iterable[ColumnElement[bool]], *by: str) -> Any:
    """The first `rows` tasks, or as many of them as have `most` bytes together; `found` says how many there were.

    Args:
        by: The columns by which they are ordered. The last of them gives the same order by itself.
    """
    chosen, order = [_task[name] for name in EXPORTED], by[-1]
    rows = bindparam("rows", type_=BigInteger())
    ordered = select(*chosen).select_from(source).where(*where).order_by(*(_task[name] for name in by))
    page = ordered.limit(rows).subquery("page")
    # JSON makes up to six bytes of one. Only writing it shows how many, so no more lines are written than may be
    # needed.
    size = size_of(page.c)
    before = func.pg_catalog.sum(size).over(order_by=page.c[order]) - size
    found = func.count(page.c.id).over()
    measured = select(page, before.label("before"), found.label("found")).subquery("measured")
    read: tuple[Any, ...] = (*export_from(measured.c), measured.c.found)
    few = select(*read)
    few = few.where(measured.c.before < bindparam("most", type_=BigInteger()), OWNER.is_not(None))
    return within_bytes(few, order)


@cache
def trash_page() -> Statement:
    """A page of what went to the trash up to the time `until` and has no parts, of ids before `before`, the last
    first.
    """
    child = table_of(Task).alias("child")
    parts = select(child.c.parent_id).where(child.c.user_id == OWNER, child.c.parent_id.is_not(None)).subquery("parts")
    where = (
        _task.user_id == OWNER,
        _task.deleted_at <= bindparam("until", type_=DateTime(timezone=True)),
        _task.id < bindparam("before", type_=Uuid()),
        parts.c.parent_id.is_(None),
    )
    joined = table_of(Task).outerjoin(parts, parts.c.parent_id == _task.id)
    page = select(_task.id, _task.parent_id).select_from(joined).where(*where).order_by(_task.id.desc())
    return compile_statement(page.limit(bindparam("rows", type_=BigInteger())))


@cache
def done_page(of_list: bool | None) -> Statement:  # noqa: FBT001
    """A page of the live tasks that were completed up to the time `until`, after the id `after`.

    Args:
        of_list: Whether they are in a list, `list_id`, or in none; None where that does not matter.
    """
    where = [_task.user_id == OWNER, _task.id > bindparam("after", type_=Uuid())]
    where += [_task.completed, _task.deleted_at.is_(None)]
    where.append(_task.completed_at <= bindparam("until", type_=DateTime(timezone=True)))
    if of_list is not None:
        is_there = _task.list_id == bindparam("list_id", type_=Uuid())
        where.append(is_there if of_list else _task.list_id.is_(None))
    page = select(_task.id).where(*where).order_by(_task.id)
    return compile_statement(page.limit(bindparam("rows", type_=BigInteger())))


@cache
def oldest_trash() -> Statement:
    """When the task went to the trash that has been there for longest; no row where the trash is empty."""
    oldest = select(_task.deleted_at).where(_task.user_id == OWNER, _task.deleted_at.is_not(None))
    return compile_statement(oldest.order_by(_task.deleted_at).limit(Constant(1)))


@cache
def existing_lists() -> Statement:
    """Which of `ids` are lists of the owner's."""
    row = columns(TaskList)
    return compile_statement(select(row.id).where(row.user_id == OWNER, row.id == any_(_IDS)))


@cache
def tags_in_use() -> Statement:
    """Each tag that some task has, in any state, once."""
    tag = func.unnest(_task.tags).label("tag")
    return compile_statement(select(tag).where(_task.user_id == OWNER, func.cardinality(_task.tags) > 0).distinct())

"""The statements by which the removal of a list asks about and changes the tasks that are in it."""

from __future__ import annotations

from functools import cache

from sqlalchemy import BigInteger, Uuid, and_, bindparam, case, func, null
from sqlmodel import select

from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER, Constant
from taskward.storage.tables import columns, table_of
from taskward.tasks.statements import change_many, time_of
from taskward.tasks.table import Task

_task = columns(Task)
_ID = bindparam("id", type_=Uuid())
_DEPTH = bindparam("depth", 0, type_=BigInteger()).label("depth")


@cache
def any_task() -> Statement:
    """A live task of the list; no row where it has none."""
    live = select(_task.id).where(_task.user_id == OWNER, _task.list_id == _ID, _task.deleted_at.is_(None))
    return compile_statement(live.limit(bindparam("one", 1, type_=BigInteger())))


@cache
def trash_tasks() -> Statement:
    """Move the list's live tasks to the trash with those below them, each with the uppermost that is above it, and take
    the list's tasks out of it, those in the trash as well.
    """
    in_list = (_task.user_id == OWNER, _task.list_id == _ID, _task.deleted_at.is_(None))
    # Looked for by its key alone: for an owner without statistics, PostgreSQL would as soon look through the list.
    parent = table_of(Task).alias("parent").c
    is_in_list = case((and_(parent.list_id == _ID, parent.deleted_at.is_(None)), Constant(1)), else_=Constant(0))
    above = select(parent.id, is_in_list.label("is_in_list")).where(parent.user_id == OWNER).subquery("above")
    joined = table_of(Task).outerjoin(above, above.c.id == _task.parent_id)
    is_top = func.coalesce(above.c.is_in_list, Constant(0)) == Constant(0)
    tops = select(_task.id, _task.id.label("top"), _DEPTH).select_from(joined).where(*in_list, is_top)
    tree = tops.cte("tree", recursive=True)
    child = table_of(Task).alias("child")
    below = select(child.c.id, tree.c.top, (tree.c.depth + 1).label("depth")).where(
        child.c.user_id == OWNER, child.c.parent_id == tree.c.id, child.c.deleted_at.is_(None)
    )
    tree = tree.union(below)
    # A tree may hang in another one's by tasks that are in no list. Then the upper one is all of it.
    place = func.row_number().over(partition_by=tree.c.id, order_by=tree.c.depth.desc()).label("place")
    placed = select(tree.c.id, tree.c.top, place).cte("placed")
    once = select(placed.c.id, placed.c.top).where(placed.c.place == 1)
    trashed = (_task.user_id == OWNER, _task.list_id == _ID, _task.deleted_at.is_not(None))
    both = once.union_all(select(_task.id, null().label("top")).where(*trashed)).cte("both")
    number = func.row_number().over(order_by=both.c.id).label("number")
    numbered = select(both.c.id, both.c.top, number).cte("numbered")
    is_live, is_outside = _task.deleted_at.is_(None), _task.list_id.is_distinct_from(_ID)
    values = {
        "deleted_at": case((is_live, time_of(numbered)), else_=_task.deleted_at),
        "deleted_with": case((is_live, numbered.c.top), else_=_task.deleted_with),
        "list_id": case((is_outside, _task.list_id)),
        "position": case((is_outside, _task.position)),
    }
    return change_many(numbered, values)


@cache
def release_tasks() -> Statement:
    """Take the list's tasks out of it, those in the trash as well."""
    number = func.row_number().over(order_by=_task.id).label("number")
    numbered = select(_task.id, number).where(_task.user_id == OWNER, _task.list_id == _ID).cte("numbered")
    return change_many(numbered, {"list_id": null(), "position": null()})

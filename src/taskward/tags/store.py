"""The tags of one owner: every statement that counts or changes them on all tasks at once."""

from __future__ import annotations

from functools import cache
from typing import Any

import asyncpg
from sqlalchemy import ARRAY, ColumnElement, Text, any_, bindparam, case, cast, func
from sqlmodel import select

from taskward.storage.account_lock import AccountLock
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.row_json import json_object
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import Account, columns, table_of
from taskward.tags.errors import TagNotFound
from taskward.tasks.statements import change_many
from taskward.tasks.table import Task

_task = columns(Task)
_TAG = bindparam("tag", type_=Text())
_NEW = bindparam("new_tag", type_=Text())
_TAGGED = (_task.user_id == OWNER, any_(_task.tags) == _TAG)

# Named here, because inside the class `list` is a method.
Rows = list[asyncpg.Record]


class TagStore:
    """The tags of the session's owner's tasks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def list(self) -> Rows:
        """Every tag that a live task has, by name. Each row has the JSON `tag` and the account's epoch and clock. Where
        there is no tag, one row has no `name`; where there is no account, there is no row.
        """
        return await self._session.fetch(_all())

    async def rename(self, tag: str, new: str) -> asyncpg.Record:
        """Rename a tag on every task, those in the trash as well. A task that has both has the new one once.

        Returns:
            The new one, as the JSON `tag`.

        Raises:
            TagNotFound: No task has the tag.
        """
        if tag != new:
            await self._change(_rename(), tag=tag, new_tag=new)
        row = await self._session.fetch_one(_get(), tag=new)
        if row is None or (tag == new and not row["used"]):
            raise TagNotFound
        return row

    async def remove(self, tag: str) -> None:
        """Take a tag from every task, those in the trash as well.

        Raises:
            TagNotFound: No task has it.
        """
        await self._change(_remove(), tag=tag)

    async def _change(self, statement: Statement, **values: Any) -> None:
        lock = await AccountLock.acquire(self._session)
        row = await self._session.fetch_one(statement, last_version=lock.version, last_time=lock.time, **values)
        if row is None or row["count"] == 0:
            raise TagNotFound
        lock.next_version(row["count"])
        await lock.save()


def _json(tag: Any, live: Any) -> ColumnElement[str]:
    return json_object({"name": tag, "tasks": live})


@cache
def _all() -> Statement:
    account = columns(Account)
    each = select(_task.user_id, func.unnest(_task.tags, type_=Text()).label("tag"))
    used = each.where(_task.user_id == OWNER, _task.deleted_at.is_(None)).subquery("used")
    number = func.count(used.c.tag).label("tasks")
    counted = select(used.c.user_id, used.c.tag, number).group_by(used.c.user_id, used.c.tag).subquery("counted")
    # Where there is none, this would be JSON of nulls.
    found = case((counted.c.tag.is_not(None), _json(counted.c.tag, counted.c.tasks))).label("tag")
    statement = select(cast(account.epoch, Text).label("epoch"), account.clock, found).select_from(
        table_of(Account).outerjoin(counted, counted.c.user_id == account.user_id)
    )
    return compile_statement(statement.where(account.user_id == OWNER).order_by(counted.c.tag))


@cache
def _get() -> Statement:
    live = func.count(case((_task.deleted_at.is_(None), _task.id))).label("tasks")
    counted = select(live, func.count(_task.id).label("used")).where(*_TAGGED).subquery("counted")
    return compile_statement(
        select(_json(_TAG, counted.c.tasks).label("tag"), (counted.c.used > 0).label("used")).where(OWNER.is_not(None))
    )


@cache
def _rename() -> Statement:
    has_both = any_(_task.tags) == _NEW
    renamed = func.pg_catalog.array_replace(_task.tags, _TAG, _NEW, type_=ARRAY(Text()))
    return _many(case((has_both, _without(_TAG)), else_=renamed))


@cache
def _remove() -> Statement:
    return _many(_without(_TAG))


def _without(tag: Any) -> ColumnElement[Any]:
    return func.pg_catalog.array_remove(_task.tags, tag, type_=ARRAY(Text()))


def _many(tags: ColumnElement[Any]) -> Statement:
    """Change every task that has the tag."""
    number = func.row_number().over(order_by=_task.id).label("number")
    numbered = select(_task.id, number).where(*_TAGGED).cte("numbered")
    return change_many(numbered, {"tags": tags})

"""The account of one owner: what it counts, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    LargeBinary,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    delete,
    func,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import select

from taskward.lists.table import TaskList
from taskward.storage.account_lock import AccountLock
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import Account, ImportedFile, OwnedTable, columns, table_of
from taskward.tasks.table import Task
from taskward.transfer.errors import AlreadyImported

_task = columns(Task)
_DIGEST = bindparam("digest", type_=LargeBinary())
_IDS = bindparam("ids", type_=ARRAY(Uuid()))
_ONE = bindparam("one", 1, type_=BigInteger())


class AccountStore:
    """The account of the session's owner."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def counts(self) -> dict[str, int]:
        """How many tasks there are, by their state, and how many lists and tags."""
        counts: dict[str, int] = {}
        for statement in (_count_tasks(), _count_lists(), _count_tags()):
            row = await self._session.fetch_one(statement)
            assert row is not None, "a count is a row"  # noqa: S101
            counts |= dict(row)
        return counts

    async def check_import(self, digest: bytes) -> None:
        """Check that a file may be imported.

        Args:
            digest: Of its content and of how it is read.

        Raises:
            AlreadyImported: It was before, and a list or a task that it brought is there, not in the trash.
        """
        row = await self._session.fetch_one(_remembered(), digest=digest)
        if row is None:
            return
        for statement in (_any_list_left(), _any_task_left()):
            if await self._session.fetch_one(statement, ids=row["ids"]) is not None:
                raise AlreadyImported

    async def remember_import(self, digest: bytes, ids: Sequence[UUID]) -> None:
        """Note that a file was imported.

        Args:
            digest: As for `check_import`.
            ids: Of the lists and tasks that it brought.
        """
        await self._session.fetch(_remember(), digest=digest, ids=ids)

    async def erase(self) -> None:
        """Remove every row of the owner's."""
        # Whoever has written nothing gets an account for it, since only a row makes the first writes of others wait.
        await AccountLock.acquire(self._session)
        for table in erased_tables():
            await self._session.fetch(_erase(table))


def erased_tables() -> list[Table]:
    """Every table with rows of an owner, those first that refer to others, the account last."""
    account = table_of(Account)
    return [*(table for table in reversed(OwnedTable.metadata.sorted_tables) if table is not account), account]


@cache
def _count_tasks() -> Statement:
    live = _task.deleted_at.is_(None)

    def counted(condition: ColumnElement[bool], name: str) -> Any:
        return func.count(case((condition, _task.id))).label(name)

    return compile_statement(
        select(
            counted(live, "tasks"),
            counted(and_(live, ~_task.completed), "open"),
            counted(and_(live, _task.completed), "completed"),
            counted(~live, "trash"),
        ).where(_task.user_id == OWNER)
    )


@cache
def _count_lists() -> Statement:
    row = columns(TaskList)
    return compile_statement(select(func.count(row.id).label("lists")).where(row.user_id == OWNER))


@cache
def _count_tags() -> Statement:
    each = select(func.unnest(_task.tags, type_=Text()).label("tag")).where(_task.user_id == OWNER)
    used = each.distinct().subquery("used")
    return compile_statement(select(func.count(used.c.tag).label("tags")).where(OWNER.is_not(None)))


@cache
def _remembered() -> Statement:
    row = columns(ImportedFile)
    return compile_statement(select(row.ids).where(row.user_id == OWNER, row.digest == _DIGEST))


@cache
def _any_list_left() -> Statement:
    row = columns(TaskList)
    return compile_statement(select(row.id).where(row.user_id == OWNER, row.id == any_(_IDS)).limit(_ONE))


@cache
def _any_task_left() -> Statement:
    live = (_task.user_id == OWNER, _task.deleted_at.is_(None))
    return compile_statement(select(_task.id).where(*live, _task.id == any_(_IDS)).limit(_ONE))


@cache
def _remember() -> Statement:
    new = upsert(ImportedFile).values(user_id=OWNER, digest=_DIGEST, ids=_IDS)
    # Nothing of what it brought before is left.
    again = new.on_conflict_do_update(index_elements=["user_id", "digest"], set_={"ids": new.excluded.ids})
    return compile_statement(again)


@cache
def _erase(table: Table) -> Statement:
    return compile_statement(delete(table).where(table.c.user_id == OWNER))

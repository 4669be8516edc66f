"""The account of one owner: what it counts, and its end."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Table, Text, and_, bindparam, case, delete, func
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import select

from taskward.database.session import Session
from taskward.database.statements import OWNER, Statement, compile_statement
from taskward.database.tables import Account, ImportedFile, OwnedTable, columns, table_of
from taskward.database.turns import Turn
from taskward.errors import AlreadyImported
from taskward.lists.table import TaskList
from taskward.tasks.table import Task

_task = columns(Task)


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

    async def remember_import(self, digest: bytes) -> None:
        """Note that a file was imported.

        Args:
            digest: Of its content.

        Raises:
            AlreadyImported: It was noted before.
        """
        if await self._session.fetch_one(_remember(), digest=digest) is None:
            raise AlreadyImported

    async def erase(self) -> None:
        """Remove every row of the owner's."""
        # Whoever has written nothing gets an account for it, since only a row makes the first writes of others wait.
        await Turn.begin(self._session)
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
def _remember() -> Statement:
    digest = bindparam("digest", type_=LargeBinary())
    row = upsert(ImportedFile).values(user_id=OWNER, digest=digest).on_conflict_do_nothing()
    return compile_statement(row.returning(columns(ImportedFile).digest))


@cache
def _erase(table: Table) -> Statement:
    return compile_statement(delete(table).where(table.c.user_id == OWNER))

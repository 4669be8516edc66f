"""Which files of other services one owner has imported, and whether what they brought is there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, LargeBinary, Uuid, any_, bindparam
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import select

from taskward.lists.table import TaskList
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import columns
from taskward.tasks.table import Task
from taskward.transfer.errors import AlreadyImported
from taskward.transfer.table import ImportedFile

_DIGEST = bindparam("digest", type_=LargeBinary())
_IDS = bindparam("ids", type_=ARRAY(Uuid()))
_ONE = bindparam("one", 1, type_=BigInteger())


class ImportedFiles:
    """The files that the session's owner has imported."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def check(self, digest: bytes) -> None:
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

    async def remember(self, digest: bytes, ids: Sequence[UUID]) -> None:
        """Note that a file was imported.

        Args:
            digest: As for `check`.
            ids: Of the lists and tasks that it brought.
        """
        await self._session.fetch(_remember(), digest=digest, ids=ids)


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
    row = columns(Task)
    live = (row.user_id == OWNER, row.deleted_at.is_(None))
    return compile_statement(select(row.id).where(*live, row.id == any_(_IDS)).limit(_ONE))


@cache
def _remember() -> Statement:
    new = upsert(ImportedFile).values(user_id=OWNER, digest=_DIGEST, ids=_IDS)
    # Nothing of what it brought before is left.
    again = new.on_conflict_do_update(index_elements=["user_id", "digest"], set_={"ids": new.excluded.ids})
    return compile_statement(again)

"""Tells what somebody else has from what nobody has, of the tables whose ids are in paths."""

from __future__ import annotations

from functools import cache
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func
from sqlmodel import select

from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import OwnedTable, columns, table_of


async def is_anothers(session: Session, table: type[OwnedTable], row_id: UUID) -> bool:
    """Whether somebody else has the row that the owner was found not to have.

    Args:
        table: One with `table_args(probed=True)`.
    """
    row = await session.fetch_one(_probe(table), id=row_id)
    assert row is not None, "the probe always has a row"  # noqa: S101
    # It may have become the owner's since it was looked for.
    return row["exists"] and row["mine"] is None


@cache
def _probe(table: type[OwnedTable]) -> Statement:
    own, row_id = columns(table), bindparam("id", type_=Uuid())
    exists = getattr(func.taskward, f"{table_of(table).name}_exists")
    mine = select(own.id).where(own.user_id == OWNER, own.id == row_id).subquery("mine")
    anyones = select(exists(row_id).label("exists")).subquery("anyones")
    row = select(mine.c.id.label("mine"), anyones.c.exists)
    return compile_statement(row.select_from(anyones.outerjoin(mine, OWNER.is_not(None))))

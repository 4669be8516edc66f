"""Tells what somebody else has from what nobody has, of the tables whose ids are in paths."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func
from sqlmodel import select

from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import OwnedTable, columns, table_of


async def is_anothers(session: Session, table: type[OwnedTable], row_id: UUID) -> bool:
    """Whether somebody else has the row that the owner was found not to have. What the session has written is undone,
    for the request has failed.

    Args:
        table: One with `table_args(probed=True)`.
    """
    # A Citus coordinator asks no node as the probe role where this transaction has changed something on it.
    await session.roll_back()
    in_use = await ids_in_use(session, table, [row_id])
    # It may have become the owner's since it was looked for. What is asked does not depend on whether it is in use.
    mine = await session.fetch_one(_mine(table), id=row_id)
    return row_id in in_use and mine is None


async def ids_in_use(session: Session, table: type[OwnedTable], ids: Collection[UUID]) -> frozenset[UUID]:
    """Which of these ids anybody's rows have, while the session has written nothing."""
    row = await session.fetch_one(_probe(table), ids=list(ids))
    assert row is not None, "the probe always has a row"  # noqa: S101
    return frozenset(row["ids"] or ())


@cache
def _probe(table: type[OwnedTable]) -> Statement:
    # Of no table: what reads the owner's rows runs on the owner's node, which has not everybody's.
    in_use = getattr(func.taskward, f"{table_of(table).name}_ids_in_use")
    ids = in_use(bindparam("ids", type_=ARRAY(Uuid()))).label("ids")
    return compile_statement(select(ids).where(OWNER.is_not(None)))


@cache
def _mine(table: type[OwnedTable]) -> Statement:
    own = columns(table)
    return compile_statement(select(own.id).where(own.user_id == OWNER, own.id == bindparam("id", type_=Uuid())))

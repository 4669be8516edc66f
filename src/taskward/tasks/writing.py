"""How a unit of work writes what has changed in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.compiling import Statement
from taskward.storage.session import Session
from taskward.storage.stored_responses import StoredResponses
from taskward.tasks import statements
from taskward.tasks.entries import Entry
from taskward.tasks.row import TaskRow
from taskward.tasks.table import Task, note_trash

# Rows that one statement writes, and characters of text in them.
AT_ONCE = 250
MOST_TEXT = 500_000


async def stamp(lock: AccountLock, entries: Iterable[Entry]) -> None:
    """Give changed tasks their versions and times, in the order of ids."""
    async for entry in cooperatively(sorted(entries, key=_id)):
        row = entry.row
        row.version = lock.next_version()
        row.updated_at = lock.time
        row.completed_at = _changed_at(lock, row.completed_at)
        row.deleted_at = _changed_at(lock, row.deleted_at)
        if row.deleted_at is not None:
            note_trash(lock, row.deleted_at)


async def write(session: Session, entries: Collection[Entry], wanted: Collection[UUID]) -> dict[UUID, asyncpg.Record]:
    """Write tasks that have their versions; returns those of the `wanted` that were there before, each with
    `task_json.JSON_COLUMNS`.
    """
    new = [entry for entry in entries if entry.version is None]
    old = [entry for entry in entries if entry.version is not None]
    await _write(session, statements.insert_rows(), new, ())
    return await _write(session, statements.update_rows(bool(wanted)), old, wanted)


async def erase(session: Session, lock: AccountLock, ids: Collection[UUID]) -> None:
    """Remove tasks for good, and leave tombstones."""
    if ids:
        await session.fetch(statements.delete_rows(), ids=ids)
        await session.fetch(statements.forget_next(), ids=ids)
        await lock.add_tombstones(Task, {task_id: lock.next_version() for task_id in ids})
        await StoredResponses(session).forget(list(ids))


def _id(entry: Entry) -> int:
    return entry.id.int


def _changed_at(lock: AccountLock, moment: datetime | None) -> datetime | None:
    """The time of an event of a task: of one in this turn, the time at which its row changed."""
    return lock.time if moment == lock.now else moment


async def _write(
    session: Session, statement: Statement, entries: Iterable[Entry], wanted: Collection[UUID]
) -> dict[UUID, asyncpg.Record]:
    found: dict[UUID, asyncpg.Record] = {}
    # An import may have so many that others would wait.
    async for some in cooperatively(_pieces(entries)):
        rows = await session.fetch(statement, rows=_as_json(some))
        found |= {row["id"]: row for row in rows if row["id"] in wanted}
    return found


def _pieces(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """As many entries as are written at once."""
    piece: list[Entry] = []
    length = 0
    for entry in entries:
        piece.append(entry)
        length += len(entry.row.description or "")
        if len(piece) == AT_ONCE or length > MOST_TEXT:
            yield piece
            piece, length = [], 0
    if piece:
        yield piece


def _as_json(entries: Iterable[Entry]) -> str:
    # asyncpg's UUIDs are of a class of its own, which orjson does not know.
    return orjson.dumps([_columns(entry.row) for entry in entries], default=str).decode()


def _columns(row: TaskRow) -> dict[str, Any]:
    columns = row.written()
    columns["metadata"] = orjson.Fragment(row.metadata)
    return columns

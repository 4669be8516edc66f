"""Exports: everything of an owner's as lines of JSON, a page at a time, so that size does not matter."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from struct import Struct
from typing import NamedTuple
from uuid import UUID

import asyncpg

from taskward.database.session import Session, Transaction
from taskward.database.statements import Statement
from taskward.lists.store import export_lists
from taskward.tasks import statements
from taskward.tasks.plan import rule_for_others
from taskward.tasks.store import TaskStore
from taskward.tasks.tree import DEEPEST

PAGE_BYTES = 256 * 1024
"""Bytes at which a page ends."""
_PAGE = 200
_BEFORE_ALL = UUID(int=0)
_ID = Struct("16s")
_RULE = re.compile('"recurrence":"[^"]*"')


async def export(begin: Callable[[], Transaction]) -> AsyncGenerator[bytes]:
    """Lines of JSON: lists, then tasks, each after the one that it is a part of, then how many there were.

    A page ends at 200 tasks or `PAGE_BYTES`, and is a transaction of its own, so nobody who reads slowly holds a
    connection. What is written meanwhile may be in it or not; what is not, is there as it is. A task that is put
    elsewhere meanwhile comes after all others where its new place had been read already.

    Args:
        begin: Makes a transaction as the owner.
    """
    async with begin() as session:
        account = await TaskStore(session).account()
        since = 0 if account is None else account["clock"]
        lists, lines = await _read_lists(session, set())
    # The first page has both kinds, so that a database that cannot give them is told of by a status.
    exported = _Exported(since)
    for level in range(DEEPEST):
        after, is_last = _BEFORE_ALL, False
        while not is_last:
            async with begin() as session:
                page = await _read_page(session, statements.export_page(level), after, exported)
            after, is_last = page.last_id or after, page.is_last
            # No row is kept while the client takes its time.
            text, lines, page = lines + page.lines, b"", _NO_PAGE
            if text:
                yield text
    version, is_last = since, False
    while not is_last:
        async with begin() as session:
            page = await _read_page(session, statements.export_changed(), version, exported)
        version, is_last = page.last_version or version, page.is_last
        if page.lines:
            yield page.lines
    # Tasks may be in lists that were made meanwhile.
    async with begin() as session:
        later, lines = await _read_lists(session, lists)
    if lines:
        yield lines
    yield f'{{"type":"end","lists":{len(lists) + len(later)},"tasks":{len(exported)}}}\n'.encode()


class _Page(NamedTuple):
    lines: bytes
    last_id: UUID | None
    last_version: int | None
    is_last: bool


_NO_PAGE = _Page(b"", None, None, is_last=True)


async def _read_page(session: Session, statement: Statement, after: UUID | int, exported: _Exported) -> _Page:
    rows = await session.fetch(statement, after=after, rows=_PAGE, most=PAGE_BYTES)
    if not rows:
        return _NO_PAGE
    last = rows[-1]
    is_last = len(rows) < _PAGE and last["up_to"] < PAGE_BYTES
    return _Page(_text(exported.add(rows)), last["id"], last["version"], is_last)


async def _read_lists(session: Session, known: set[UUID]) -> tuple[set[UUID], bytes]:
    """The ids and the lines of lists that are not known yet."""
    rows = [row for row in await session.fetch(export_lists()) if row["id"] not in known]
    return {row["id"] for row in rows}, _text([row["line"] for row in rows])


class _Exported:
    """The tasks that were exported, by their ids, in as little memory as those take.

    Args:
        since: The owner's clock at the beginning. Only what has changed since can be met twice.
    """

    def __init__(self, since: int) -> None:
        self._since = since
        self._ids = bytearray()

    def __len__(self) -> int:
        return len(self._ids) // _ID.size

    def add(self, rows: Sequence[asyncpg.Record]) -> list[str]:
        """Note tasks, and give the lines of those that are new."""
        changed = {row["id"].bytes for row in rows if row["version"] > self._since}
        known = {found for (found,) in _ID.iter_unpack(self._ids) if found in changed} if changed else ()
        new = [row for row in rows if row["id"].bytes not in known]
        for row in new:
            self._ids += row["id"].bytes
        return [_line(row) for row in new]


def _line(row: asyncpg.Record) -> str:
    """The line of a task, its rule in the form that others expect."""
    line, rule = str(row["line"]), row["recurrence"]
    if rule is None or "UNTIL=" not in rule:
        return line
    # The first of that name is the task's own: before it there are no objects, and in texts quotes are escaped.
    return _RULE.sub(f'"recurrence":"{rule_for_others(rule, row["due_at"], row["time_zone"])}"', line, count=1)


def _text(lines: list[str]) -> bytes:
    return b"".join([f"{line}\n".encode() for line in lines])

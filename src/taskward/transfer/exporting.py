"""Exports: everything of an owner's as lines of JSON, a page at a time, so that size does not matter."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from struct import Struct
from typing import NamedTuple
from uuid import UUID

import asyncpg

from taskward.lists.store import export_lists
from taskward.runtime.unsent import TIGHT, NeedsRoom
from taskward.storage.compiling import Statement
from taskward.storage.session import Session
from taskward.tasks import statements
from taskward.tasks.schedule.consistency import rule_for_others
from taskward.tasks.store import TaskStore
from taskward.tasks.tree import DEEPEST_TREE

PAGE_BYTES = 256 * 1024
"""Bytes at which a page ends."""
_PAGE = 200
# Whatever lists there are, the first page has room for a task.
_LIST_BYTES = PAGE_BYTES // 2
_BEFORE_ALL = UUID(int=0)
_ID = Struct("16s")
_RULE = re.compile('"recurrence":"[^"]*"')


async def export(begin: Callable[[], Session], most: int) -> AsyncGenerator[bytes]:
    """Lines of JSON: lists, then tasks, each after the one that it is a part of, then how many there were.

    A page ends at 200 tasks or `PAGE_BYTES`, and is a transaction of its own, so nobody who reads slowly holds a
    connection. What is written meanwhile may be in it or not; what is not, is there as it is. A task that is put
    elsewhere meanwhile comes after all others where its new place had been read already.

    Args:
        begin: Makes a transaction as the owner.
        most: Bytes that there is room for.

    Raises:
        NeedsRoom: A page, and what the ids of all tasks have beyond what is never counted, have more. Nothing was read.
    """
    async with begin() as session:
        account = await TaskStore(session).account()
        since, tasks = (0, 0) if account is None else (account["clock"], account["tasks"])
        if (size := PAGE_BYTES + max(0, _ID.size * tasks - TIGHT)) > most:
            raise NeedsRoom(size)
    lists: set[UUID] = set()
    lines = b""
    async with aclosing(_lists(begin, lists)) as pages:
        async for page_of_lists in pages:
            if lines:
                yield lines
            lines = page_of_lists
    # The first page has both kinds, so that a database that cannot give them is told of by a status.
    exported = _Exported(since)
    for level in range(DEEPEST_TREE):
        after, is_last = _BEFORE_ALL, False
        while not is_last:
            async with begin() as session:
                statement, room = statements.export_page(level), PAGE_BYTES - len(lines)
                page = await _read_page(session, statement, after, room, exported)
            after, is_last = page.last_id or after, page.is_last
            # No row is kept while the client takes its time.
            text, lines, page = lines + page.lines, b"", _NO_PAGE
            if text:
                yield text
    version, is_last = since, False
    while not is_last:
        async with begin() as session:
            page = await _read_page(session, statements.export_changed(), version, PAGE_BYTES, exported)
        version, is_last = page.last_version or version, page.is_last
        if page.lines:
            yield page.lines
    # Tasks may be in lists that were made meanwhile.
    async with aclosing(_lists(begin, lists)) as pages:
        async for lines in pages:
            yield lines
    yield f'{{"type":"end","lists":{len(lists)},"tasks":{len(exported)}}}\n'.encode()


class _Page(NamedTuple):
    lines: bytes
    last_id: UUID | None
    last_version: int | None
    is_last: bool


_NO_PAGE = _Page(b"", None, None, is_last=True)


async def _read_page(
    session: Session, statement: Statement, after: UUID | int, most: int, exported: _Exported
) -> _Page:
    rows = await session.fetch(statement, after=after, rows=_PAGE, most=most)
    if not rows:
        return _NO_PAGE
    last = rows[-1]
    return _Page(_text(exported.add(rows)), last["id"], last["version"], _is_last(rows))


async def _lists(begin: Callable[[], Session], known: set[UUID]) -> AsyncGenerator[bytes]:
    """Pages of the lists that are not known yet, which then are."""
    after, is_last = _BEFORE_ALL, False
    while not is_last:
        async with begin() as session:
            rows = await session.fetch(export_lists(), after=after, rows=_PAGE, most=_LIST_BYTES)
        is_last = _is_last(rows)
        after = rows[-1]["id"] if rows else after
        lines = _text([row["line"] for row in rows if row["id"] not in known])
        known.update(row["id"] for row in rows)
        rows.clear()
        if lines:
            yield lines


def _is_last(rows: Sequence[asyncpg.Record]) -> bool:
    return not rows or len(rows) == rows[0]["found"] < _PAGE


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

"""Exports: everything of an owner's as lines of JSON, a page at a time, so that size does not matter."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from struct import Struct
from uuid import UUID

import asyncpg

from taskward.database.session import Transaction
from taskward.lists.store import export_lists
from taskward.tasks import statements
from taskward.tasks.plan import rule_for_others
from taskward.tasks.store import TaskStore
from taskward.tasks.tree import DEEPEST

_PAGE = 200
_BEFORE_ALL = UUID(int=0)
_ID = Struct("16s")
_RULE = re.compile('"recurrence":"[^"]*"')


async def export(begin: Callable[[], Transaction]) -> AsyncIterator[bytes]:
    """Lines of JSON: lists, then tasks, each after the one that it is a part of, then how many there were.

    A page is a transaction of its own, so nobody who reads slowly holds a connection. What is written meanwhile may be
    in it or not; what is not, is there as it is. A task that is put elsewhere meanwhile comes after all others where
    its new place had been read already.

    Args:
        begin: Makes a transaction as the owner.
    """
    async with begin() as session:
        account = await TaskStore(session).account()
        version = 0 if account is None else account["clock"]
        lists = {row["id"]: row["line"] for row in await session.fetch(export_lists())}
    # The first answer has both kinds, so that a database that cannot give them is told of by a status.
    lines, exported = list(lists.values()), _Exported(version)
    for level in range(DEEPEST):
        after, is_last = _BEFORE_ALL, False
        while not is_last:
            async with begin() as session:
                rows = await session.fetch(statements.export_page(level), after=after, rows=_PAGE)
            is_last = len(rows) < _PAGE
            after = rows[-1]["id"] if rows else after
            if lines := [*lines, *exported.add(rows)]:
                yield _text(lines)
            lines = []
    is_last = False
    while not is_last:
        async with begin() as session:
            rows = await session.fetch(statements.export_changed(), after=version, rows=_PAGE)
        is_last = len(rows) < _PAGE
        version = rows[-1]["version"] if rows else version
        if lines := exported.add(rows):
            yield _text(lines)
    # Tasks may be in lists that were made meanwhile.
    async with begin() as session:
        later = {row["id"]: row["line"] for row in await session.fetch(export_lists())}
    if lines := [line for list_id, line in later.items() if list_id not in lists]:
        yield _text(lines)
    lists |= later
    yield f'{{"type":"end","lists":{len(lists)},"tasks":{len(exported)}}}\n'.encode()


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
    return "".join(f"{line}\n" for line in lines).encode()

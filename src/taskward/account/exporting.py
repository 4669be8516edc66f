"""Exports: everything of an owner's as lines of JSON, a page at a time, so that size does not matter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import UUID

from taskward.database.session import Session, Transaction
from taskward.lists.store import export_lists
from taskward.tasks import statements
from taskward.tasks.tree import DEEPEST

_PAGE = 200
_BEFORE_ALL = UUID(int=0)


async def export(begin: Callable[[], Transaction]) -> AsyncIterator[bytes]:
    """Lines of JSON: lists, then tasks, each after the one that it is a part of, then how many there were.

    A page is a transaction of its own, so nobody who reads slowly holds a connection. What is written meanwhile may be
    in it or not; what is not, is there as it is.

    Args:
        begin: Makes a transaction as the owner.
    """
    async with begin() as session:
        lists = [row["line"] for row in await session.fetch(export_lists())]
    # The first answer has both kinds, so that a database that cannot give them is told of by a status.
    lines, tasks = lists, 0
    for level in range(DEEPEST):
        after, is_last = _BEFORE_ALL, False
        while not is_last:
            async with begin() as session:
                found, after = await _page(session, level, after)
            is_last = len(found) < _PAGE
            tasks += len(found)
            if lines := [*lines, *found]:
                yield _text(lines)
            lines = []
    yield f'{{"type":"end","lists":{len(lists)},"tasks":{tasks}}}\n'.encode()


async def _page(session: Session, level: int, after: UUID) -> tuple[list[str], UUID]:
    rows = await session.fetch(statements.export_page(level), after=after, rows=_PAGE)
    return [row["line"] for row in rows], rows[-1]["id"] if rows else after


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()

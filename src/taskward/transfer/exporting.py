"""Exports: everything of an owner's as lines of JSON, a page at a time, so that size does not matter."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

from taskward.runtime.unsent import TIGHT, NeedsRoom
from taskward.storage.export_lines import ExportLines
from taskward.storage.session import Session

PAGE_BYTES = 256 * 1024
"""Bytes at which a page ends."""
# Whatever there is of other kinds, the first page has room for one of the last.
_BEFORE_LAST = PAGE_BYTES // 2


async def export(begin: Callable[[], Session], most: int, kinds: Sequence[ExportLines]) -> AsyncGenerator[bytes]:
    """Lines of JSON, of one kind after the other, then how many there were.

    A page ends at 200 rows or `PAGE_BYTES`, and is a transaction of its own, so nobody who reads slowly holds a
    connection. What is written meanwhile may be in it or not; what is not, is there as it is. What is put elsewhere
    meanwhile comes after all others where its new place had been read already.

    Args:
        begin: Makes a transaction as the owner.
        most: Bytes that there is room for.
        kinds: In an order in which each comes after those that it refers to.

    Raises:
        NeedsRoom: A page, and what is kept beyond what is never counted, have more. Nothing was read.
    """
    readers = [one.reader() for one in kinds]
    async with begin() as session:
        kept = sum([await reader.begin(session) for reader in readers])
    if (size := PAGE_BYTES + max(0, kept - TIGHT)) > most:
        raise NeedsRoom(size)
    *others, last = readers
    waiting = b""
    # The first page has all kinds where they fit, so that a database that cannot give them is told of by a status.
    for reader in others:
        ends = False
        while not ends:
            async with begin() as session:
                lines, ends = await reader.read(session, _BEFORE_LAST)
            if waiting and len(waiting) + len(lines) > _BEFORE_LAST:
                yield waiting
                waiting = b""
            waiting += lines
    ends = False
    while not ends:
        async with begin() as session:
            lines, ends = await last.read(session, max(1, PAGE_BYTES - len(waiting)))
        lines, waiting = waiting + lines, b""
        if lines:
            yield lines
    # What was made meanwhile may refer to what was made meanwhile of the kinds before.
    for reader in reversed(readers):
        ends = False
        while not ends:
            async with begin() as session:
                lines, ends = await reader.read_again(session, PAGE_BYTES)
            if lines:
                yield lines
    counted = "".join([f',"{one.plural}":{len(reader)}' for one, reader in zip(kinds, readers, strict=True)])
    yield f'{{"type":"end"{counted}}}\n'.encode()

"""Pages of a listing, as PostgreSQL writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson

from taskward.errors import FieldError, Invalid
from taskward.runtime.unsent import NeedsRoom
from taskward.storage.session import Session
from taskward.tasks.query import Listing

ANY_SIZE = 2**62
"""Bytes."""


class Page(NamedTuple):
    """A page of a listing.

    Attributes:
        account: The owner's epoch and clock; None before the first write.
        tasks: The JSON of each. Nothing else holds them.
        next_cursor: Of the page after this one; None where this is the last.
    """

    account: tuple[str, int] | None
    tasks: list[str]
    next_cursor: str | None


async def read_page(session: Session, listing: Listing, most: int, most_each: int) -> Page:
    """Run a listing.

    Args:
        most: Bytes that its tasks may have.
        most_each: Bytes that one may have and is read.

    Raises:
        NeedsRoom: They have more.
        Invalid: The database does not know the zone.
    """
    try:
        row = await session.fetch_one(listing.statement, **listing.parameters, most_each=most_each)
    except asyncpg.InvalidParameterValueError:
        if "tz" not in listing.parameters:
            raise
        raise Invalid([FieldError("query", "/tz", "The database does not know this zone.")]) from None
    if row is None:
        return Page(None, [], None)
    tasks = row["tasks"] or []
    size, is_whole = _bytes_of(tasks)
    if size > most or not is_whole:
        raise NeedsRoom(size)
    cursor = None
    if len(tasks) > listing.limit:
        del tasks[listing.limit :]
        keys = [row[f"key_{index}"][listing.limit - 1] for index in range(listing.keys)]
        cursor = listing.next_cursor(UUID(orjson.loads(tasks[-1])["id"]), keys)
    return Page((row["epoch"], row["clock"]), tasks, cursor)


def _bytes_of(texts: Sequence[str]) -> tuple[int, bool]:
    """How many bytes the JSON of tasks has, and whether all of it was read."""
    is_ascii = all(map(str.isascii, texts))
    size = sum(map(len, texts)) if is_ascii else sum([len(text.encode()) for text in texts])
    # In place of one that is too large its size was read, and digits come before braces.
    if not texts or min(texts) >= "{":
        return size, True
    return size + sum([int(text) for text in texts if text < "{"]), False

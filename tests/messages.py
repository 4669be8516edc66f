"""What is written to PostgreSQL, message by message."""

from __future__ import annotations

from typing import Any

from taskward.database.database import Database
from taskward.identity import Owner
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.store import TaskStore


def kinds(data: bytes) -> str:
    """The first letter of each message."""
    found = ""
    while data:
        found += chr(data[0])
        data = data[1 + int.from_bytes(data[1:5], "big") :]
    return found


async def read(database: Database, owner: Owner) -> list[Any]:
    """The ids of an owner's tasks, read as a GET reads them."""
    async with database.session(owner, read_only=True) as session:
        return [row["id"] for row in await TaskStore(session).list(listing(TaskFilters())) if row["id"]]

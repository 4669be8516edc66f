"""Many tasks at once: what is completed goes to the trash, and the trash is emptied, on request and by itself of what
has been in it for long.

Each changes a few tasks in a transaction, by the rules of every erasure, and lets other requests get in before the
next, the owner's own among them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal
from uuid import UUID

import asyncpg

from taskward.identity import Owner
from taskward.kit.limits import Limits
from taskward.runtime.log import get_logger
from taskward.storage.database import Database
from taskward.storage.row_json import Row
from taskward.storage.session import Session
from taskward.tasks import statements
from taskward.tasks.changes import Erase, Trash
from taskward.tasks.table import TRASHED_AT
from taskward.tasks.unit_of_work import UnitOfWork

_AT_ONCE = 100
_BEFORE_ALL = UUID(int=0)
_AFTER_ALL = UUID(int=2**128 - 1)
# What comes into the trash little by little is not purged one by one.
_PAUSE = timedelta(hours=1)
_MOST_WAITING = 1000
# Seconds: for an owner's turn, which others wait for behind this one; until those are tried again who were writing; and
# for a few tasks in all, where the database says nothing any more.
_PATIENCE = 0.2
_LATER = 5.0
_LONGEST = 60.0

_log = get_logger("taskward.tasks")

Begin = Callable[[], Session]


async def empty_trash(begin: Begin, limits: Limits) -> None:
    """Erase every task that is in the trash now. What was erased stays erased, if this is ended before all is.

    Args:
        begin: Makes a transaction as the owner.
    """
    until: datetime | None = None
    is_last = False
    while not is_last:
        # Only what has no parts any more can be erased by itself, so a tree goes level by level.
        before, is_last, has_parents = _AFTER_ALL, False, False
        while not is_last:
            async with begin() as session:
                work = await UnitOfWork.begin(session, limits)
                until = until or work.lock.now
                rows = await session.fetch(statements.trash_page(), before=before, until=until, rows=_AT_ONCE)
                await _erase(work, [row["id"] for row in rows])
            is_last = len(rows) < _AT_ONCE
            before = rows[-1]["id"] if rows else before
            has_parents = has_parents or any(row["parent_id"] is not None for row in rows)
        is_last = not has_parents


async def clear_completed(begin: Begin, limits: Limits, list_id: UUID | Literal["none"] | None) -> None:
    """Move every task that is completed now to the trash, with its parts; one with an open part stays.

    Args:
        begin: Makes a transaction as the owner.
        list_id: Only those of this list, or of none.
    """
    statement = statements.done_page(None if list_id is None else list_id != "none")
    of_list = {"list_id": list_id} if isinstance(list_id, UUID) else {}
    until: datetime | None = None
    after, is_last = _BEFORE_ALL, False
    while not is_last:
        async with begin() as session:
            work = await UnitOfWork.begin(session, limits)
            until = until or work.lock.now
            rows = await session.fetch(statement, after=after, until=until, rows=_AT_ONCE, **of_list)
            changes = [Trash(row["id"]) for row in rows]
            await work.load(changes)
            for change in changes:
                # One above it may have taken it along.
                if work.is_done(change.task_id):
                    await work.make(change)
            await work.flush(())
        is_last = len(rows) < _AT_ONCE
        after = rows[-1]["id"] if rows else after


async def purge(begin: Begin, limits: Limits, keep: timedelta) -> bool:
    """Erase a few tasks that have been in the trash for long.

    Args:
        begin: Makes a transaction as the owner.
        keep: How long a task stays there.

    Returns:
        Whether there may be more of them.

    Raises:
        asyncpg.LockNotAvailableError: The owner is writing, for longer than others shall wait. Nothing was erased.
    """
    async with begin() as session, session.waiting_at_most(_PATIENCE):
        work = await UnitOfWork.begin(session, limits)
        until = work.lock.now - keep
        rows = await session.fetch(statements.trash_page(), before=_AFTER_ALL, until=until, rows=_AT_ONCE)
        if not rows:
            oldest = await session.fetch_one(statements.oldest_trash())
            since = None if oldest is None else oldest["deleted_at"]
            # One that is older still has a part that is not; it is looked at again.
            work.lock[TRASHED_AT] = None if since is None else max(since, until + _PAUSE)
        await _erase(work, [row["id"] for row in rows])
    return bool(rows)


async def _erase(work: UnitOfWork, ids: list[UUID]) -> None:
    changes = [Erase(task_id) for task_id in ids]
    await work.load(changes)
    for change in changes:
        await work.make(change)
    await work.flush(())


class Purges:
    """What is due to be erased from the trash, one owner's after another's, beside the requests.

    Args:
        days: How many days a task stays in the trash; 0 for ever.
    """

    def __init__(self, database: Database, limits: Limits, days: int) -> None:
        self._database = database
        self._limits = limits
        self._keep = timedelta(days=days)
        self._waiting: dict[str, Owner] = {}
        self._news = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def consider(self, account: Row, owner: Owner) -> None:
        """Purge an owner's trash soon, if anything in it is due.

        Args:
            account: With `TRASHED_AT`, as a write was told of it.
        """
        trashed_at: datetime | None = account[TRASHED_AT.label]
        if trashed_at is None:
            return
        # This clock only says whether to look; what is due goes by the database's.
        if not self._keep or trashed_at + self._keep > datetime.now(UTC) or len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting[owner.user_id] = owner
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End after what is being erased."""
        self._closing = True
        self._news.set()
        if self._task is not None:
            await self._task
        self._waiting.clear()
        self._closing = False

    async def _run(self) -> None:
        in_vain = 0
        while self._waiting and not self._closing:
            user_id, owner = next(iter(self._waiting.items()))
            del self._waiting[user_id]
            try:
                async with asyncio.timeout(_LONGEST):
                    has_more = await purge(partial(self._database.session, owner), self._limits, self._keep)
            except asyncpg.LockNotAvailableError:
                in_vain += 1
                self._waiting[user_id] = owner
                if in_vain >= len(self._waiting):
                    in_vain = 0
                    await self._wait_for_news()
            except Exception as error:  # noqa: BLE001 - the owner's next write is the next attempt
                _log.warning("trash not purged", reason=type(error).__name__)
            else:
                in_vain = 0
                if has_more:
                    self._waiting[user_id] = owner

    async def _wait_for_news(self) -> None:
        """Wait a while, but not when somebody comes whose turn is free."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LATER):
                await self._news.wait()

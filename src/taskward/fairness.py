"""Long work in between which other requests are served.

A thread would not do: the libraries that parse and validate hold the interpreter's lock for a whole call, and Python
itself for milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from time import monotonic
from typing import TypeVar

_T = TypeVar("_T")
_SLICE = 0.001
"""Seconds for which others wait at most, but for what one item takes. An answer to them takes several steps, each of
which may meet a slice."""


async def fairly(items: Iterable[_T]) -> AsyncIterator[_T]:
    """Items one by one; whenever they have taken their time, others run first."""
    since = monotonic()
    for item in items:
        yield item
        if monotonic() - since > _SLICE:
            await asyncio.sleep(0)
            since = monotonic()


class LongWork:
    """Long work of each user, one piece at a time: however many requests one user sends, others wait for one slice."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, user_id: str) -> AsyncIterator[None]:
        """Wait until no other work of this user is under way, and then for what is ready to run."""
        if user_id in self._waiting:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[user_id].append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave(user_id)
                raise
        else:
            self._waiting[user_id] = deque()
        try:
            await asyncio.sleep(0)
            yield
        finally:
            self._leave(user_id)

    def _leave(self, user_id: str) -> None:
        waiting = self._waiting[user_id]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[user_id]

"""Long work in between which other requests are served.

For bodies a thread would not do: the libraries that parse and validate hold the interpreter's lock for a whole call.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, TypeVar

_T = TypeVar("_T")
_SLICE = 0.001
"""Seconds for which others wait at most, but for what one item takes. An answer to them takes several steps, each of
which may meet a slice."""
_PATIENCE = 5.0
"""How many times as long as its last slice long work waits for short requests to end, so that it takes a sixth of a
worker's time from them at most, also where the worker itself is kept waiting."""

_SECONDS_TO_SWITCH = 0.0005
"""For how long whoever works in the interpreter keeps other threads waiting while there is long work: the event loop
when a thread works, and the server's threads, which bring requests, when the loop does. Always so, it would cost every
write a tenth."""

_work: ContextVar[LongWork | None] = ContextVar("long_work", default=None)
_lock = threading.Lock()
_usual, _under_way = sys.getswitchinterval(), 0


async def in_thread(function: Callable[..., _T], *arguments: Any) -> _T:
    """Call what takes milliseconds in one piece, and yet runs as Python, where others go on."""
    return await asyncio.to_thread(_giving_way, function, *arguments)


def _giving_way(function: Callable[..., _T], *arguments: Any) -> _T:
    _count(1)
    try:
        return function(*arguments)
    finally:
        _count(-1)


def _count(change: int) -> None:
    """Count what long work is under way."""
    global _under_way  # noqa: PLW0603 - the interval is the process's
    with _lock:
        _under_way += change
        sys.setswitchinterval(_SECONDS_TO_SWITCH if _under_way else _usual)


async def cooperatively(items: Iterable[_T]) -> AsyncIterator[_T]:
    """Items one by one; whenever they have taken their time, others run first."""
    since = monotonic()
    for item in items:
        yield item
        elapsed = monotonic() - since
        if elapsed > _SLICE:
            await give_way(elapsed)
            since = monotonic()


async def give_way(elapsed: float = _SLICE) -> None:
    """Let others run: whatever is ready, and in a long request the short ones that are under way, for a while.

    Args:
        elapsed: Seconds that the last slice took.
    """
    work = _work.get()
    await (asyncio.sleep(0) if work is None else work.give_way(elapsed))


class LongWork:
    """Long work of each user, one piece at a time: however many requests one user sends, others wait for one slice.

    Attributes:
        short: How many requests are under way that are not long. Whoever takes one away calls `ended`.
    """

    def __init__(self) -> None:
        self.short = 0
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._giving_way: list[asyncio.Future[None]] = []

    def ended(self) -> None:
        """A short request has ended, or has turned out to be long."""
        self.short -= 1
        if not self.short and self._giving_way:
            for waiter in self._giving_way:
                if not waiter.done():
                    waiter.set_result(None)
            self._giving_way.clear()

    async def give_way(self, elapsed: float = _SLICE) -> None:
        """Let short requests go first, but not for ever."""
        await asyncio.sleep(0)
        if not self.short:
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._giving_way.append(waiter)
        timer = loop.call_later(_PATIENCE * elapsed, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            if waiter in self._giving_way:
                self._giving_way.remove(waiter)

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
        token = _work.set(self)
        _count(1)
        try:
            await self.give_way()
            yield
        finally:
            _count(-1)
            _work.reset(token)
            self._leave(user_id)

    def _leave(self, user_id: str) -> None:
        waiting = self._waiting[user_id]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[user_id]


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)

"""Long work in slices, between which the event loop serves other requests.

A thread would not do for bodies: the libraries that parse and validate hold the interpreter's lock for a whole call.
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
"""Seconds after which a slice ends, once the item that is under way is done. A request that is served in between takes
several steps, and each step may wait for a slice.
"""
_PATIENCE = 5.0
"""How many times as long as its last slice long work waits, at most, for short requests to end. So it takes a sixth of
a worker's time from them at most, even where the worker itself is kept waiting.
"""

_SECONDS_TO_SWITCH = 0.0005
"""The interpreter's switch interval while there is long work. For so long one thread keeps the others waiting: a thread
that works keeps the event loop waiting, and the loop keeps the server's threads waiting, which bring requests. If the
interval were always this short, every write would take a tenth longer.
"""

_work: ContextVar[LongWork | None] = ContextVar("long_work", default=None)
_lock = threading.Lock()
_usual, _under_way = sys.getswitchinterval(), 0


async def in_thread(function: Callable[..., _T], *arguments: Any) -> _T:
    """Call in a thread a function that takes milliseconds. It must run as Python, between whose steps others go on."""
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
    """Yield items one by one, and let others run after each slice."""
    since = monotonic()
    for item in items:
        yield item
        elapsed = monotonic() - since
        if elapsed > _SLICE:
            await give_way(elapsed)
            since = monotonic()


async def give_way(elapsed: float = _SLICE) -> None:
    """Let the event loop run whatever is ready. A long request also waits for a while until short ones have ended.

    Args:
        elapsed: Seconds that the last slice took.
    """
    work = _work.get()
    await (asyncio.sleep(0) if work is None else work.give_way(elapsed))


class LongWork:
    """Lets each user do one piece of long work at a time, so that others wait for one slice, however many requests
    that user sends.

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

"""Time limits that cost next to nothing unless they run out.

`asyncio.timeout` starts a timer of the event loop for each limit. All limits of one `Timeouts` are equally long, so
they end in the order in which they began, and one timer serves them all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

LIMIT_KEY = "taskward.limit"
"""Where an ASGI scope has the `Timeout` of its request."""


class Expired(Exception):
    """A limit ran out before the work that it bounds was done."""


class Timeout:
    """One limit. As a context manager it bounds the task that enters it, see `Timeouts.limit`.

    Attributes:
        at: When it ends, by the event loop's clock.
        expired: Whether it ran out.
        in_doubt: Whether something may be carried out although the limit has ended the wait for it, such as a COMMIT.
    """

    __slots__ = ("_on_expiry", "at", "expired", "in_doubt")

    def __init__(self, at: float, on_expiry: Callable[[], object]) -> None:
        self.at = at
        self._on_expiry: Callable[[], object] | None = on_expiry
        self.expired = False
        self.in_doubt = False

    @property
    def left(self) -> float:
        """Seconds until it ends."""
        return self.at - asyncio.get_running_loop().time()

    @property
    def is_over(self) -> bool:
        return self._on_expiry is None

    def end(self) -> None:
        """Say that the work is done."""
        self._on_expiry = None

    def expire(self) -> None:
        action, self._on_expiry = self._on_expiry, None
        if action is not None:
            self.expired = True
            action()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._on_expiry = None
        if self.expired and isinstance(error, asyncio.CancelledError):
            cast("asyncio.Task[object]", asyncio.current_task()).uncancel()
            raise Expired from None


class Timeouts:
    """Limits of one length, on the event loop that the first of them starts on.

    Args:
        seconds: How long each limit is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: deque[Timeout] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, on_expiry: Callable[[], object]) -> Timeout:
        """Begin a limit; call its `end` in time, or `on_expiry` is called."""
        loop = asyncio.get_running_loop()
        running = self._running
        while running and running[0].is_over:
            running.popleft()
        deadline = Timeout(loop.time() + self.seconds, on_expiry)
        running.append(deadline)
        if self._timer is None:
            self._timer = loop.call_at(deadline.at, self._sweep, loop)
        return deadline

    def limit(self) -> Timeout:
        """Begin a limit of the current task, a context manager. The task is cancelled when it takes too long.

        Raises:
            Expired: In place of the cancellation, where the context is left.
        """
        task: Any = asyncio.current_task()
        return self.start(task.cancel)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._running and (self._running[0].is_over or self._running[0].at <= now):
            self._running.popleft().expire()
        if self._running:
            self._timer = loop.call_at(self._running[0].at, self._sweep, loop)

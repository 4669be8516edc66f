"""Shares: how many transactions each owner may have at once, so that others find a free connection.

Writes of one owner wait for each other in the database, each on a connection of its own. Without a share, a crowd of
them would leave none to anybody else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

from taskward.errors import PoolExhausted
from taskward.runtime.timeouts import Timeouts


class OwnerLimiter:
    """The places that owners take, each at most `most` at once.

    Args:
        most: Of one owner's.
        patience: Seconds for which one waits for a place.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._patience = Timeouts(patience)
        self._reason = f"the user has had all {most} connections of one user's for {patience:g} s"

    def enter(self, user_id: str) -> bool:
        """Take a place, and say whether there was one; it must be given back with `leave`."""
        taken = self._taken.get(user_id, 0)
        if taken >= self._most:
            return False
        self._taken[user_id] = taken + 1
        return True

    async def wait(self, user_id: str) -> None:
        """Wait for a place, which must be given back with `leave`.

        Raises:
            PoolExhausted: None came free in time.
        """
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(place)
        patience = self._patience.start(partial(_give_up, place, self._reason))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave(user_id)
            raise
        finally:
            patience.end()

    def leave(self, user_id: str) -> None:
        """Give a place back, to whoever waits for one of this owner's."""
        waiting = self._waiting.get(user_id)
        while waiting:
            place = waiting.popleft()
            if not waiting:
                del self._waiting[user_id]
            if not place.done():
                place.set_result(None)
                return
        taken = self._taken[user_id] - 1
        if taken:
            self._taken[user_id] = taken
        else:
            del self._taken[user_id]


def _give_up(place: asyncio.Future[None], reason: str) -> None:
    if not place.done():
        place.set_exception(PoolExhausted(reason=reason))

"""How much memory answers may take while they wait to be sent: each user's, and everybody's in this process.

Whoever asks for more waits until earlier answers have been taken, before any row is read for him.
"""

from __future__ import annotations

import asyncio
from functools import partial

from taskward.errors import AnswersUntaken
from taskward.runtime.timeouts import Timeouts


class NeedsRoom(Exception):
    """An answer has more bytes than may be read yet, and was not read.

    Attributes:
        size: About how many bytes it has.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__()


class Unsent:
    """The account of the bytes that wait.

    Args:
        of_one: Bytes of one user's.
        of_all: Bytes of everybody's.
        patience: Seconds for which somebody waits for room.
    """

    def __init__(self, of_one: int, of_all: int, patience: float) -> None:
        self._of_one = of_one
        self._of_all = of_all
        self._patience = Timeouts(patience)
        self._held: dict[str, int] = {}
        self._waiting: list[_Waiting] = []
        self.total = 0
        """Bytes that wait, or that room is kept for."""

    def of(self, user_id: str) -> int:
        """Bytes of one user's that wait."""
        return self._held.get(user_id, 0)

    def is_over(self, user_id: str) -> bool:
        """Whether nothing more may be read for a user.

        That is so when the user's waiting bytes leave no room for a small answer. Where everybody's together are as
        many as may be, it is so for each user who has more waiting than a small answer.
        """
        mine = self.of(user_id)
        return mine + SMALL_ANSWER > self._of_one or (mine > SMALL_ANSWER and self.total >= self._of_all)

    def has_room(self, user_id: str, size: int) -> bool:
        """Whether a user may have so many bytes more, as far as it depends on what is there already."""
        mine = self.of(user_id)
        return not (mine and mine + size > self._of_one) and not (self.total and self.total + size > self._of_all)

    async def take(self, user_id: str, size: int) -> None:
        """Wait for room, which must be given back with `give`.

        One answer that is larger than all may be goes alone.

        Raises:
            AnswersUntaken: There was none in time.
        """
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(user_id, size, room))
        self._grant()
        if room.done():
            return
        patience = self._patience.start(partial(_give_up, room))
        try:
            await room
        except asyncio.CancelledError:
            if room.done() and not room.cancelled() and room.exception() is None:
                self.give(user_id, size)
            raise
        finally:
            patience.end()
            others = [one for one in self._waiting if one.room is not room]
            if len(others) < len(self._waiting):
                # It has left without any. Others may have room now that could not pass it by.
                self._waiting = others
                self._grant()

    def add(self, user_id: str, size: int) -> None:
        """Count what is there already."""
        self._held[user_id] = self.of(user_id) + size
        self.total += size

    def give(self, user_id: str, size: int) -> None:
        """Give room back."""
        self.total -= size
        left = self._held[user_id] - size
        if left:
            self._held[user_id] = left
        else:
            del self._held[user_id]
        if self._waiting:
            self._grant()

    def _grant(self) -> None:
        # Those first who have least; among them, those who have waited longest.
        for one in sorted(self._waiting, key=lambda one: self.of(one.user_id)):
            mine = self.of(one.user_id)
            if one.room.done() or (mine and mine + one.size > self._of_one):
                continue
            if self.total and self.total + one.size > self._of_all:
                # Those who ask for less may not pass by for ever.
                break
            self.add(one.user_id, one.size)
            one.room.set_result(None)
        self._waiting = [one for one in self._waiting if not one.room.done()]


class _Waiting:
    __slots__ = ("room", "size", "user_id")

    def __init__(self, user_id: str, size: int, room: asyncio.Future[None]) -> None:
        self.user_id = user_id
        self.size = size
        self.room = room


class Room:
    """The room of one answer.

    Args:
        unsent: The account that it is in.
        user_id: Whose answer it is.
    """

    __slots__ = ("_asked", "_held", "_unsent", "_user_id")

    def __init__(self, unsent: Unsent, user_id: str) -> None:
        self._unsent = unsent
        self._user_id = user_id
        self._held = 0
        self._asked: int | None = None

    @property
    def most(self) -> int:
        """Bytes that may be read without asking, as it is now: many requests may have come before the first answer."""
        if self._asked is not None:
            return self._asked
        return TIGHT if self._unsent.is_over(self._user_id) else SMALL_ANSWER

    def most_each(self, count: int) -> int:
        """Bytes up to which each of `count` rows is read before the size of all is known. As few rows are large, it is
        several times an equal part.
        """
        return self._asked or _PARTS * self.most // count

    async def ask(self, size: int) -> None:
        """Wait for what it takes to read and keep `size` bytes; raises as `Unsent.take`."""
        self.give_back()
        await self._unsent.take(self._user_id, size * _WHILE_READ)
        self._held = size * _WHILE_READ
        # Tasks may grow in the meantime.
        self._asked = size + size // 4

    def check(self) -> None:
        """Go on unless the user is over and has not waited for room.

        Raises:
            NeedsRoom: He is.
        """
        if self._asked is None and self._unsent.is_over(self._user_id):
            raise NeedsRoom(SMALL_ANSWER)

    def settle(self, size: int, *, may_wait: bool = False) -> None:
        """The answer is there and has so many bytes.

        Args:
            may_wait: Whether it can be thrown away and read once more when there is room.

        Raises:
            NeedsRoom: It has to be.
        """
        self.give_back()
        if may_wait and size > self.most and not self._unsent.has_room(self._user_id, size):
            raise NeedsRoom(size)
        if size > TIGHT:
            self._unsent.add(self._user_id, size)
            self._held = size

    def give_back(self) -> None:
        """The answer was sent, or nobody wants it any more."""
        if self._held:
            held, self._held = self._held, 0
            self._unsent.give(self._user_id, held)


SMALL_ANSWER = 128 * 1024
"""Bytes of an answer that is read without asking, unless its user is over."""
TIGHT = 64 * 1024
"""Bytes of an answer that is always read, and not counted."""
_PARTS = 8
# Rows are text first, and bytes beside it then.
_WHILE_READ = 2


def _give_up(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_exception(AnswersUntaken())

"""Positions: strings that order siblings bytewise, with room between any two (fractional indexing).

A position is a fraction in base 37 whose digits are `-`, `0`–`9` and `a`–`z`, which is their bytewise order. The
position of a row that nobody has moved is its id, a UUIDv7. So a new row comes last, and nobody has to look at the
others. The end of the order is before every id that is not seen yet: one that is made later, or of a request that is
still under way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints

_DIGITS = "-0123456789abcdefghijklmnopqrstuvwxyz"
_BASE = len(_DIGITS)
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
# A level is this many digits. Where a level is full, the next one is begun.
_LEVEL = 3
# Places that stay free on each side of a row that is put between others, for later ones.
_STEP = 16
# Milliseconds, twice the default of `request_timeout`: an older id that the server made is committed, or its request
# has been given up.
_UNDER_WAY = 60_000
# Characters of an id.
_ID = 36
LONGEST_POSITION = 48
"""Characters. Where a position would be longer, the siblings are spaced anew."""
Position = Annotated[str, StringConstraints(pattern=f"^[-0-9a-z]{{1,{LONGEST_POSITION}}}$")]
"""A position in an export."""


def written_position(position: str | None, row_id: UUID) -> str | None:
    """What is kept of a position: nothing, where a row stands where it was made."""
    return None if position == str(row_id) else position


def between(before: str | None, after: str | None) -> str | None:
    """A position between two.

    Args:
        before: What comes before it, or None for the beginning.
        after: What comes after it, or None for the end.

    Returns:
        None where there is no room, because they are equal or in the wrong order, or the position would be too long.
    """
    low = before or ""
    high = _end(low) if after is None else after
    if low >= high:
        return None
    digits = _common(low, high)
    while digits <= LONGEST_POSITION:
        lowest = _number(low, digits) + 1
        # A longer one comes after its own beginning.
        highest = _number(high, digits) - (0 if len(high) > digits else 1)
        if lowest <= highest:
            return _text(_choose(lowest, highest, digits), digits)
        digits += _LEVEL
    return None


def reorder(others: Sequence[tuple[UUID, str]], moved: UUID, after: UUID | None) -> dict[UUID, str]:
    """The new positions, by id, where one is put among others: its own alone, as long as there is room.

    Args:
        others: The ids and positions of the others, in their order.
        after: Which of them it comes after; None for the first place.

    Raises:
        LookupError: `after` is none of them.
    """
    order = [other for other, _ in others]
    if after is not None and after not in order:
        raise LookupError(after)
    place = 0 if after is None else order.index(after) + 1
    beyond = others[place][1] if place < len(others) else None
    position = between(others[place - 1][1] if place else None, beyond)
    if position is not None:
        return {moved: position}
    order.insert(place, moved)
    return dict(zip(order, spread(len(order)), strict=True))


def spread(count: int) -> list[str]:
    """As many positions in order, evenly spaced, before all that will be new."""
    end = _end("")
    digits = _LEVEL
    while _number(end, digits) < 4 * _STEP * (count + 1):
        digits += _LEVEL
    step = _number(end, digits) // (count + 1)
    return [_text(step * (index + 1), digits) for index in range(count)]


def _end(low: str) -> str:
    moment = f"{time.time_ns() // 1_000_000 - _UNDER_WAY:012x}"
    committed = f"{moment[:8]}-{moment[8:]}"
    # What begins as an id does comes before every later id.
    return committed if low < committed else f"{low[:_ID]}z"


def _common(low: str, high: str) -> int:
    """The digits of the first level on which they may differ."""
    shared = 0
    while shared < min(len(low), len(high)) and low[shared] == high[shared]:
        shared += 1
    return shared - shared % _LEVEL + _LEVEL


def _choose(lowest: int, highest: int, digits: int) -> int:
    # A client that puts rows always at the same place narrows the room from one side only. The sides take turns by
    # level, so on every other level most of the room is left on that side.
    if highest - lowest < 2 * _STEP:
        return (lowest + highest) // 2
    return highest - _STEP if digits // _LEVEL % 2 else lowest + _STEP


def _number(text: str, digits: int) -> int:
    number = 0
    for digit in text[:digits].ljust(digits, "-"):
        number = number * _BASE + _VALUES[digit]
    return number


def _text(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, _BASE)
        text = _DIGITS[digit] + text
    # At the end, the lowest digit adds nothing to the number and would leave no room before the position.
    return text.rstrip("-")

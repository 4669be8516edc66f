"""What a JSON text costs, seen before it is parsed.

To parse a text and to validate it takes time by the number of its values, and nobody else is served meanwhile. A text
of 256 KiB may have 130,000 of them. The largest resource that a client may mean has less than 4,300.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_VALUES = 10_000
"""Values that a text may have: members of objects and items of arrays on all levels, and the whole."""
DEEPEST = 64
"""Levels of objects and arrays. An object of the client's own goes 50 deep, and lies some levels deep itself."""

MOST_QUOTES = 4 * MOST_VALUES
"""Quotation marks around so many values and their names."""
TOO_MANY_VALUES = f"This must have at most {MOST_VALUES:,} values: members of objects and items of arrays."
TOO_MANY_LEVELS = f"This must not be nested more than {DEEPEST} levels deep."

_NO_STRUCTURE = bytes(set(range(256)) - set(b",[{"))
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SPACE = b" \t\r\n"
_SQUARE = bytes.maketrans(b"{}", b"[]")
_EMPTY = frozenset({b"[]", b"{}"})
_BACKSLASHES = re.compile(rb"\\*")

_PIECE = 32 * 1024
"""Bytes that are looked at in one go, which takes half a millisecond at most, but for a longer row of backslashes."""


class TooMuchJson(ValueError):
    """The text has more values or levels than are read; the message is the sentence for whoever has sent it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How much there is in a text.

    Attributes:
        values: All values, on all levels.
        depth: How many objects and arrays lie in each other, and one more than `DEEPEST` where there are more.
    """

    values: int
    depth: int


def may_be_much(text: bytes) -> bool:
    """Whether a text could have more values or levels than are read. Strings count like structure, so long texts could
    as well.
    """
    # Each value but the first comes after a comma or an opening bracket, and no levels are without brackets.
    kept = text.translate(None, _NO_STRUCTURE)
    return len(kept) >= MOST_VALUES or len(kept) - kept.count(b",") > DEEPEST


class Tally:
    """Counts what a text has outside of its strings, a piece at a time.

    Attributes:
        values: All values so far, on all levels; one more than `MOST_VALUES` where they are not counted to their end.
    """

    def __init__(self) -> None:
        self.values = 1
        self._quotes = 0
        self._last = b""
        self._brackets: list[bytes] = []

    def read(self, text: bytes) -> Iterator[int]:
        """Count a text, and say after each piece where it ends. There is an early end where there is too much."""
        start = 0
        while start < len(text) and self.values <= MOST_VALUES:
            end = start + _PIECE
            if text[end - 1 : end] == b"\\":
                # No piece ends between a backslash and the character that it escapes.
                found = _BACKSLASHES.match(text, end)
                end = (end if found is None else found.end()) + 1
            self._take(text[start:end])
            start = min(end, len(text))
            yield start

    def _take(self, piece: bytes) -> None:
        if b"\\" in piece:
            # Escapes of backslashes go first, from the left; then those of quotation marks.
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        between = piece.split(b'"')
        is_inside = self._quotes % 2
        self._quotes += len(between) - 1
        # A quotation mark stands for each string, in the piece where it begins.
        ends = [b""] if self._quotes % 2 else []
        outside = b'"'.join(between[is_inside::2] + ends).translate(None, _SPACE)
        brackets = outside.translate(_SQUARE, _NO_BRACKETS)
        empty = outside.count(b"[]") + outside.count(b"{}") + (self._last + outside[:1] in _EMPTY)
        self.values += outside.count(b",") + brackets.count(b"[") - empty
        self._last = outside[-1:] or self._last
        self._brackets.append(brackets)
        if self._quotes > MOST_QUOTES:
            self.values = MOST_VALUES + 1

    @property
    def depth(self) -> int:
        """As `Shape.depth`; 0 of what has too many values, or is not JSON."""
        brackets = b"".join(self._brackets)
        if self.values > MOST_VALUES or 2 * brackets.count(b"[") != len(brackets):
            return 0
        depth = 0
        while depth <= DEEPEST and b"[]" in brackets:
            brackets = brackets.replace(b"[]", b"")
            depth += 1
        return depth


def shape(text: bytes) -> Shape:
    """What a text has outside of its strings. Of one that is not JSON the numbers say nothing."""
    tally = Tally()
    for _ in tally.read(text):
        pass
    return Shape(tally.values, tally.depth)


def check_bounds(text: bytes) -> Iterator[None]:
    """Refuse a text that would take others' time; between the steps, others may run.

    Raises:
        TooMuchJson: It has more than `MOST_VALUES` values, or more than `DEEPEST` levels.
    """
    if not may_be_much(text):
        return
    tally = Tally()
    for _ in tally.read(text):
        yield
    if tally.values > MOST_VALUES:
        raise TooMuchJson(TOO_MANY_VALUES)
    if tally.depth > DEEPEST:
        raise TooMuchJson(TOO_MANY_LEVELS)

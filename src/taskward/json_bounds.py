"""What a JSON text costs, seen before it is parsed.

To parse a text and to validate it takes time by the number of its values, and nobody else is served meanwhile. A text
of 256 KiB may have 130,000 of them; a task with all that it may have has not 4,300.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_VALUES = 10_000
"""Values that a text may have: members of objects and items of arrays on all levels, and the whole."""
DEEPEST = 64
"""Levels of objects and arrays. Metadata go 50 deep, and lie in the task of an operation of a batch."""

MOST_QUOTES = 4 * MOST_VALUES
"""Quotation marks around so many values and their names."""
TOO_MANY_VALUES = f"This must have at most {MOST_VALUES:,} values: members of objects and items of arrays."
TOO_DEEP = f"This must not be nested more than {DEEPEST} levels deep."

_NO_STRUCTURE = bytes(set(range(256)) - set(b",[{"))
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SPACE = b" \t\r\n"
_SQUARE = bytes.maketrans(b"{}", b"[]")


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
    """Whether a text could be more than is read. Strings are not told from structure, so much text may be as well."""
    # Each value but the first comes after a comma or an opening bracket, and no levels are without brackets.
    kept = text.translate(None, _NO_STRUCTURE)
    return len(kept) >= MOST_VALUES or len(kept) - kept.count(b",") > DEEPEST


def shape(text: bytes) -> Shape:
    """What a text has outside of its strings. Of one that is not JSON the numbers say nothing."""
    outside = _without_strings(text)
    if outside is None:
        return Shape(MOST_VALUES + 1, 1)
    if len(outside.translate(None, _NO_STRUCTURE)) > 2 * MOST_VALUES:
        # Even where every second one of them opens something empty.
        return Shape(MOST_VALUES + 1, 1)
    outside = outside.translate(None, _SPACE)
    brackets = outside.translate(_SQUARE, _NO_BRACKETS)
    opening = brackets.count(b"[")
    empty = outside.count(b"[]") + outside.count(b"{}")
    values = 1 + outside.count(b",") + opening - empty
    depth = 0
    # Without as many that close it is not JSON, and the rounds would be for nothing.
    rounds = DEEPEST + 1 if values <= MOST_VALUES and 2 * opening == len(brackets) else 0
    while depth < rounds and b"[]" in brackets:
        brackets = brackets.replace(b"[]", b"")
        depth += 1
    return Shape(values, depth)


def _without_strings(text: bytes) -> bytes | None:
    """The text with a quotation mark for each string, or None where there are more strings than values and names."""
    if b"\\" in text:
        # A backslash speaks for what follows it, so first go those that speak for another one, from the left.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') > MOST_QUOTES:
        return None
    return b'"'.join(text.split(b'"')[::2])


def check_bounds(text: bytes) -> None:
    """Refuse a text that would take others' time.

    Raises:
        TooMuchJson: It has more than `MOST_VALUES` values, or more than `DEEPEST` levels.
    """
    if not may_be_much(text):
        return
    found = shape(text)
    if found.values > MOST_VALUES:
        raise TooMuchJson(TOO_MANY_VALUES)
    if found.depth > DEEPEST:
        raise TooMuchJson(TOO_DEEP)

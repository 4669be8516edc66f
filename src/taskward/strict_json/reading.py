"""JSON as strangers send it: to the letter of RFC 8259, bounded before it is parsed, and if it is long, in parts.

Pydantic's parser also takes NaN, and refuses a lone surrogate, which the grammar allows. It parses a whole text in one
call, and so does orjson; neither lets another thread run meanwhile.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from taskward.strict_json.bounds import (
    MOST_VALUES,
    TOO_MANY_VALUES,
    Tally,
    TooMuchJson,
    check_bounds,
    may_be_much,
)
from taskward.strict_json.mistakes import COLON, COMMA, END, NAME, TOO_DEEP, VALUE, NotJson, mistake, not_utf8

LARGEST_PART = 256 * 1024
"""Bytes of a text that is parsed as a whole, and characters of an item of a long array."""

_LONGEST_INTEGER = 1000
# Whatever so many characters are, to parse them takes about a millisecond.
_SHORT = 32 * 1024
_TOO_LONG = f"This must have at most {LARGEST_PART:,} characters as JSON."
_SPACE = re.compile(r"[ \t\r\n]*")


def _no_constant(_name: str) -> float:
    raise ValueError


def _parse_int(digits: str) -> float:
    # JSON has no largest number; Python refuses to read a very long one.
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.inf


_plain = json.JSONDecoder(parse_constant=_no_constant)
# The hook costs each number a call.
_careful = json.JSONDecoder(parse_constant=_no_constant, parse_int=_parse_int)


def parse(text: bytes) -> Any:
    """What a text says; of members with one name, the last.

    Raises:
        NotJson: It is not JSON, or nested too deeply for any reader.
        TooMuchJson: It is longer than `LARGEST_PART`; or see `check_bounds`.
    """
    value = None
    for step in steps(text):
        value = step
    return value


def steps(text: bytes) -> Iterator[Any]:
    """As `parse`: the last that is yielded is the value. Between the steps, others may run."""
    if len(text) > LARGEST_PART:
        raise TooMuchJson(_TOO_LONG)
    for _ in check_bounds(text):
        yield PAUSE
    yield _decode(_text(text))


@dataclass(frozen=True, slots=True)
class ObjectMember:
    """A member of an object. Its value is `ITEMS` where its items were yielded one by one. Without a name, it is the
    value of a text that is not an object.
    """

    name: str | None
    value: Any


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the long array."""

    index: int
    value: Any


class Pause:
    """No part of the text: a place for others to run, after a step that may have taken long."""


ITEMS, PAUSE = object(), Pause()


def parts(text: bytes, long: str) -> Iterator[ObjectMember | Item | Pause]:
    """An object, a piece at a time, each of which is small: whoever takes them may let others run in between.

    Args:
        long: The name of the member that is yielded item by item, where it is an array.

    Yields:
        The members in their order; before the long one its items. It is read in this way the first time only. And
            pauses, for who counts the time.

    Raises:
        NotJson: It is not a JSON text. What came before may be of no meaning.
        TooMuchJson: A piece is larger than is read.
    """
    reader = _Reader(_text(text))
    if not reader.takes("{"):
        value = yield from reader.value()
        reader.end()
        yield ObjectMember(None, value)
        return
    names: set[str] = set()
    while not reader.takes("}"):
        if names:
            reader.expect(",", COMMA)
        name = yield from reader.name()
        is_long = name == long and name not in names
        names.add(name)
        if not is_long or not reader.takes("["):
            yield ObjectMember(name, (yield from reader.value()))
            continue
        index = 0
        while not reader.takes("]"):
            if index:
                reader.expect(",", COMMA)
            yield Item(index, (yield from reader.value()))
            index += 1
        yield ObjectMember(name, ITEMS)
    reader.end()


class _Reader:
    """Reads a text from its beginning on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def _next(self) -> str:
        self._at = _skip(self._text, self._at)
        return self._text[self._at : self._at + 1]

    def takes(self, character: str) -> bool:
        """Step over what may come next, if it does."""
        is_next = self._next() == character
        self._at += is_next
        return is_next

    def expect(self, character: str, expected: str) -> None:
        if not self.takes(character):
            raise NotJson(expected, self._text, self._at)

    def end(self) -> None:
        if self._next():
            raise NotJson(END, self._text, self._at)

    def name(self) -> Generator[Pause, None, str]:
        if self._next() != '"':
            raise NotJson(NAME, self._text, self._at)
        name: str = yield from self.value()
        self.expect(":", COLON)
        return name

    def value(self) -> Generator[Pause, None, Any]:
        """The next value, looked for in windows that are small, or have not much in them."""
        self._next()
        for size in (_SHORT, LARGEST_PART):
            window = self._text[self._at : self._at + size]
            if size == LARGEST_PART:
                yield PAUSE
                window = yield from _within_bounds(window)
            try:
                return self._scan(window)
            except NotJson as error:
                if self._at + len(window) == len(self._text) or not error.may_go_on:
                    raise error.of_window(self._text, self._at) from None
            yield PAUSE
        raise TooMuchJson(TOO_MANY_VALUES if len(window) < LARGEST_PART else _TOO_LONG)

    def _scan(self, window: str) -> Any:
        value, length = _scan(window, 0)
        if length == len(window) and self._at + length < len(self._text):
            # A number may go on.
            raise NotJson(COMMA, window, length)
        self._at += length
        return value


def _text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(text, error) from None


def _decode(text: str) -> Any:
    value, end = _scan(text, _skip(text, 0))
    end = _skip(text, end)
    if end < len(text):
        raise NotJson(END, text, end)
    return value


def _skip(text: str, start: int) -> int:
    """Where the space ends that may begin at `start`."""
    found = _SPACE.match(text, start)
    return start if found is None else found.end()


def _scan(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start`, and where it ends."""
    try:
        try:
            return _plain.raw_decode(text, start)
        except json.JSONDecodeError:
            raise
        except ValueError:
            return _careful.raw_decode(text, start)
    except RecursionError:
        raise NotJson(TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise mistake(error) from None
    except ValueError:
        raise _constant(text, start) from None


def _constant(text: str, start: int) -> NotJson:
    """Where a number is named that JSON does not have. The decoder does not say."""
    for name in ("NaN", "Infinity"):
        text = text.replace(name, "!" * len(name))
    try:
        _careful.raw_decode(text, start)
    except json.JSONDecodeError as error:
        return mistake(error)
    return NotJson(VALUE)


def _within_bounds(text: str) -> Generator[Pause, None, str]:
    """The text, cut soon after the most values that are read."""
    encoded = text.encode()
    if not may_be_much(encoded):
        return text
    tally = Tally()
    for end in tally.read(encoded):
        yield PAUSE
        if tally.values > MOST_VALUES:
            return encoded[:end].decode(errors="ignore")
    return text

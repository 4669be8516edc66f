"""JSON of any size, read in pieces. The caller reads the structure, and small values are read whole.

A value is found by its brackets and quotes and only then parsed. So values that nobody asks for cost little, and no
single piece takes long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from io import BytesIO
from typing import IO, Any

from taskward.transfer.records import UnreadableExport

_PIECE = 16 * 1024
_LONGEST_VALUE = 8 * 1024 * 1024
"""Bytes of a value that is kept until it is parsed in parts."""
_LONGEST_AT_ONCE = 2 * 1024 * 1024
_MOST_AT_ONCE = 20_000
"""Bytes and commas of what is parsed at once, which takes some milliseconds then."""
_SMALL = 64 * 1024
_MOST_BRIEF = 5_000
_SPACE = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"
_NOTHING = re.compile(b"")
# Up to the quote that ends it. Possessive, since there is nothing to come back to.
_TEXT = re.compile(rb'(?:[^"\\]++|\\[\s\S])*+')
# Up to the next bracket, or the next text that does not end here.
_NO_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\[\s\S])*+")*+')
_AFTER_LITERAL = re.compile(rb"[,:{}\[\]\s]")
_NO_JSON = "The file is not JSON, as the data.json of an export is."

Steps = Generator[None, None, None]
Raw = Generator[None, None, bytes]


class JsonText:
    """A text of JSON, from its beginning to its end.

    Methods that read raise `UnreadableExport` where it is not JSON.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._buffer = file.read(_PIECE).removeprefix(_MARK)
        self._at = 0

    def peek(self) -> bytes:
        """The next character that is no space; nothing at the end."""
        while True:
            while self._at < len(self._buffer):
                character = self._buffer[self._at : self._at + 1]
                if character not in _SPACE:
                    return character
                self._at += 1
            if not self._fill():
                return b""

    def take(self, character: bytes) -> bool:
        """Go on after a character, if it is the next."""
        if self.peek() != character:
            return False
        self._at += 1
        return True

    def expect(self, character: bytes) -> None:
        if not self.take(character):
            raise UnreadableExport(_NO_JSON)

    def next_of(self, closing: bytes, *, is_first: bool) -> bool:
        """Whether there is another element or member in what is open; else go on after its end."""
        if self.take(closing):
            return False
        if not is_first:
            self.expect(b",")
        return True

    def value(self) -> Raw:
        """The bytes of the next value."""
        first = self.peek()
        if first and first in b'"{[':
            return (yield from self._nested())
        parts: list[bytes] = []
        while True:
            found = _AFTER_LITERAL.search(self._buffer, self._at)
            end = found.start() if found else len(self._buffer)
            parts.append(self._buffer[self._at : end])
            self._at = end
            if found or sum(map(len, parts)) > _LONGEST_VALUE or not self._fill():
                return b"".join(parts)
            yield

    def _nested(self) -> Raw:
        parts: list[bytes] = []
        size = depth = 0
        start = at = self._at
        in_text = False
        while True:
            found = (_TEXT if in_text else _NO_BRACKETS if depth else _NOTHING).match(self._buffer, at)
            at = found.end() if found else at
            character = self._buffer[at : at + 1]
            if character == b'"':
                in_text = not in_text
            elif character and not in_text:
                depth += 1 if character in b"{[" else -1
            else:
                # A character after a backslash may be the first of the next piece.
                over = len(self._buffer) - at
                parts.append(self._buffer[start:])
                size += len(parts[-1])
                if size > _LONGEST_VALUE:
                    raise UnreadableExport(f"A value of the file is longer than {_LONGEST_VALUE} bytes.")
                if not self._fill():
                    raise UnreadableExport(_NO_JSON)
                start, at = 0, over
                yield
                continue
            at += 1
            if depth == 0 and not in_text:
                parts.append(self._buffer[start:at])
                self._at = at
                return b"".join(parts)

    def _fill(self) -> bool:
        self._buffer, self._at = self._file.read(_PIECE), 0
        return bool(self._buffer)


def parsed(raw: bytes) -> Any:
    """What a small text says.

    Raises:
        UnreadableExport: It is not JSON in UTF-8.
    """
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise UnreadableExport("The file is not UTF-8, as the export is.") from None
    except RecursionError:
        raise UnreadableExport("The file is nested too deeply to be such an export.") from None
    except ValueError:
        raise UnreadableExport(_NO_JSON) from None


def name_in(text: JsonText) -> Generator[None, None, str]:
    """The name of the next member, up to its value."""
    if text.peek() != b'"':
        raise UnreadableExport(_NO_JSON)
    name = parsed((yield from text.value()))
    text.expect(b":")
    assert isinstance(name, str), "it begins with a quote"  # noqa: S101
    return name


def parse_in_parts(raw: bytes, brief: str) -> Generator[None, None, tuple[Any, bool]]:
    """A value, and whether there was more of it than was parsed.

    Args:
        brief: A member of whose arrays each object is kept as its `id` alone.
    """
    if len(raw) <= _SMALL or not raw.startswith(b"{"):
        return (parsed(raw), False) if _is_moderate(raw) else (None, True)
    text = JsonText(BytesIO(raw))
    text.expect(b"{")
    whole: dict[str, Any] = {}
    is_cut = False
    while text.next_of(b"}", is_first=not whole):
        name = yield from name_in(text)
        if name == brief and text.peek() == b"{":
            whole[name], is_more = yield from _brief(text)
            is_cut |= is_more
            continue
        value = yield from text.value()
        yield
        whole[name] = parsed(value) if _is_moderate(value) else None
        is_cut |= not _is_moderate(value)
    return whole, is_cut


def _is_moderate(raw: bytes) -> bool:
    return len(raw) <= _LONGEST_AT_ONCE and raw.count(b",") + raw.count(b"[") <= _MOST_AT_ONCE


def _brief(text: JsonText) -> Generator[None, None, tuple[dict[str, Any], bool]]:
    text.expect(b"{")
    is_cut = False
    kinds: dict[str, Any] = {}
    while text.next_of(b"}", is_first=not kinds):
        kind = yield from name_in(text)
        if not text.take(b"["):
            kinds[kind] = parsed((yield from text.value()))
            continue
        found: list[Any] = []
        kinds[kind] = found
        while text.next_of(b"]", is_first=not found):
            element, _ = yield from parse_in_parts((yield from text.value()), "")
            if len(found) < _MOST_BRIEF:
                found.append({"id": element.get("id")} if isinstance(element, dict) else None)
            else:
                is_cut = True
            yield
    return kinds, is_cut

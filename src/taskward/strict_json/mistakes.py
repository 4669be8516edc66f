"""Where a text stops being JSON and what is expected there. Nothing here repeats what stands there instead."""

from __future__ import annotations

import json

EMPTY = "it is empty"
_BYTE_ORDER_MARK = "it begins with a byte order mark, which JSON does not have"
TOO_DEEP = "it is nested too deeply"
END = "nothing more is expected"
VALUE = "a value is expected"
NAME = "a name in double quotation marks is expected"
COLON = "a colon is expected"
COMMA = "a comma is expected, or the end of the object or array"
NOT_UTF8 = "a byte is not UTF-8"
_OPEN_STRING = "a string begins that does not end"

# By how the messages of the standard library begin, in any version.
_EXPECTED = {
    "Expecting value": VALUE,
    "Expecting property name": NAME,
    "Expecting ':'": COLON,
    "Expecting ','": COMMA,
    "Illegal trailing comma": "a comma has nothing after it",
    "Unterminated string": _OPEN_STRING,
    "Invalid control character": "a string has a line break or another control character that is not escaped",
    "Invalid \\": "a backslash begins no escape that JSON has",
}
_SPACE = " \t\r\n"
# A number, a literal or an escape that goes on after the end of a window is seen no earlier than this.
_CUT = 16


class NotJson(ValueError):
    """It is no JSON text in UTF-8. The message says where it ceases to be one, and nothing of what is in it.

    Args:
        expected: What should be there, as a clause.
        text: All of it.
        at: The place in it, counted in characters from 0; None where none is to be told.
    """

    def __init__(self, expected: str, text: str = "", at: int | None = None) -> None:
        self._expected = expected
        self._text = text
        self._at = at
        super().__init__()

    def of_window(self, text: str, start: int) -> NotJson:
        """The same mistake, found in a window of a text that begins at `start`."""
        return self if self._at is None else NotJson(self._expected, text, start + self._at)

    @property
    def may_go_on(self) -> bool:
        """Whether what was read may become right with more text after it."""
        return self._at is None or self._expected == _OPEN_STRING or self._at > len(self._text) - _CUT

    @property
    def in_line(self) -> str:
        """As the message, for a text that is one line of others."""
        return self._told("")

    def __str__(self) -> str:
        return self._told("" if self._at is None else f"line {self._text.count(chr(10), 0, self._at) + 1}, ")

    def _told(self, line: str) -> str:
        if self._at is None:
            return self._expected
        if not self._text.strip(_SPACE):
            return EMPTY
        if self._at == 0 and self._text[0] == "\ufeff":
            return _BYTE_ORDER_MARK
        column = self._at - self._text.rfind("\n", 0, self._at)
        ends = ", and the text ends" if self._at >= len(self._text.rstrip(_SPACE)) else ""
        return f"at {line}column {column} {self._expected}{ends}"


def mistake(error: json.JSONDecodeError) -> NotJson:
    """What the standard library's decoder has found."""
    expected = next((ours for theirs, ours in _EXPECTED.items() if error.msg.startswith(theirs)), VALUE)
    return NotJson(expected, error.doc, error.pos)


def not_utf8(text: bytes, error: UnicodeDecodeError) -> NotJson:
    """Where the bytes stop being UTF-8."""
    before = text[: error.start].decode()
    # Something is there: it is not the end of the text.
    return NotJson(NOT_UTF8, f"{before}?", len(before))

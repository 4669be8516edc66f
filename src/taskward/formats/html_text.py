"""HTML as plain text: what is left of a description that was written in an editor."""

from __future__ import annotations

import re
from collections.abc import Generator
from html.parser import HTMLParser
from typing import Any

# HTML as editors serialize it. Any other `<` is text; html.parser would look for its end over and over, or drop it.
_TAG = r"""/?[a-zA-Z][a-zA-Z0-9-]*(?:[\s/][^<>"']*(?:"[^"<>]*"[^<>"']*|'[^'<>]*'[^<>"']*)*)?>"""


_A_TAG = re.compile(f"<{_TAG}")


_NO_TAG = re.compile(f"<(?!{_TAG})")


_BLOCKS = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre", "table", "ul", "ol"}


_LINES = {"div", "tr"}

_PIECE = 4_000


def plain_text(html: str) -> Generator[None, None, tuple[str, bool]]:
    """The text of HTML, and whether it has everything but the formatting; text without tags stays as it is.

    The addresses of links and pictures are in parentheses after them. A picture that is part of the text itself is not.

    Yields:
        Nothing, wherever others may have their turn.
    """
    if not _A_TAG.search(html):
        return html, True
    reader = _PlainText()
    escaped = _NO_TAG.sub("&lt;", html)
    start = 0
    while start < len(escaped):
        # Between tags, so that white space is in one piece.
        end = escaped.find("<", start + _PIECE)
        reader.feed(escaped[start:end] if end > 0 else escaped[start:])
        start = end if end > 0 else len(escaped)
        yield
    reader.close()
    text = "\n".join(line.rstrip() for line in "".join(reader.parts).split("\n")).strip()
    return text, reader.complete


class _PlainText(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.complete = True
        self._gap = 0
        self._items = 0
        self._verbatim = 0
        self._after_bullet = True
        self._link: tuple[str, int] | None = None

    def set_cdata_mode(self, elem: str, **_: Any) -> None:
        """Scripts and the like are text as well: nothing is dropped, and nothing is searched for twice."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._break(tag)
        if tag == "li":
            self._items += 1
            box = {"true": "[x] ", "false": "[ ] "}.get(values.get("data-checked") or "", "")
            self._write(f"- {box}")
            self._after_bullet = True
        elif tag == "br":
            self._gap = min(self._gap + 1, 2)
        elif tag == "pre":
            self._verbatim += 1
        elif tag == "a":
            self._end_link()
            self._link = (values.get("href") or "", len(self.parts))
        elif tag == "img" or values.get("src"):
            self._show(values.get("alt") or tag, values.get("src") or "")
        elif tag == "mention-user" and values.get("data-id"):
            self._write(f"@{values['data-id']}")

    def handle_endtag(self, tag: str) -> None:
        self._break(tag)
        if tag == "a":
            self._end_link()
        elif tag == "li":
            self._items = max(self._items - 1, 0)
            self._after_bullet = False
            self._gap = max(self._gap, 1)
        elif tag == "pre":
            self._verbatim = max(self._verbatim - 1, 0)

    def handle_data(self, data: str) -> None:
        text = data if self._verbatim else re.sub(r"\s+", " ", data)
        if not self._verbatim and (self._gap or self._after_bullet):
            text = text.lstrip()
        if text:
            self._write(text)

    def close(self) -> None:
        super().close()
        self._end_link()

    def _break(self, tag: str) -> None:
        if not self._after_bullet:
            blank = tag in _BLOCKS and not self._items
            line = tag in _BLOCKS or tag in _LINES or tag == "li"
            self._gap = max(self._gap, 2 if blank else int(line))

    def _write(self, text: str) -> None:
        self.parts.append("\n" * self._gap + text)
        self._gap = 0
        self._after_bullet = False

    def _end_link(self) -> None:
        if self._link is None:
            return
        address, start = self._link
        self._link = None
        text = "".join(self.parts[start:]).strip()
        if address and address != text:
            self._write(f" ({address})" if text else address)

    def _show(self, text: str, address: str) -> None:
        embedded = address.startswith("data:")
        self.complete &= not embedded
        self._write(text if embedded or not address else f"{text} ({address})")

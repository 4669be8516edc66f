"""Base64url and JSON as JOSE has them (RFC 7515, section 2; RFC 7519, section 4): one spelling, no second meaning."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
# What the last character may be when its bits do not fill a byte; anything else is a second spelling of the same
# bytes, by which one token would have many digests.
_CANONICAL_END = {0: None, 2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}


def is_base64url(text: str) -> bool:
    """Tell whether `text` is canonical base64url of at least one byte, without padding."""
    if _BASE64URL.fullmatch(text) is None:
        return False
    allowed = _CANONICAL_END.get(len(text) % 4, frozenset())
    return allowed is None or text[-1] in allowed


def decode_base64url(text: str) -> bytes:
    """The bytes of canonical base64url.

    Raises:
        ValueError: It is not canonical.
    """
    if not is_base64url(text):
        raise ValueError("not canonical base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8, in which no member comes twice and every number is one.

    Raises:
        Exception: It is anything else; crafted input raises ValueError, TypeError, RecursionError and more.
    """
    value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise TypeError
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two parsers that disagree on which duplicate counts would disagree on who the user is.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _no_constant(_name: str) -> float:
    raise ValueError

"""Cursors: where a page of a listing ends, in a form that goes into a URL.

A cursor is not secret and not signed. Whatever it says, the owner's predicate holds; it only must be of the listing
that it is used for, or pages would make no sense.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

_DIGEST_BYTES = 8
_ID_BYTES = 16
_LARGEST_NUMBER = 2**31 - 1


def write_cursor(shape: str, last_id: UUID, keys: Sequence[Any]) -> str:
    """The cursor after a row.

    Args:
        shape: Says which listing it is of.
        keys: The row's values of what the listing is sorted by, before its id: texts, numbers, instants or None.
    """
    values = orjson.dumps(list(keys)) if keys else b""
    return urlsafe_b64encode(_digest(shape) + last_id.bytes + values).rstrip(b"=").decode("ascii")


def read_cursor(cursor: str, shape: str, kinds: Sequence[type]) -> tuple[UUID, list[Any]]:
    """The id and the keys of the row that a cursor goes on after.

    Args:
        kinds: What each key must be, if it is not None: `str`, `int` or `datetime`.

    Raises:
        ValueError: It is malformed, or of another listing; the message is a sentence for the client.
    """
    try:
        data = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        canonical = urlsafe_b64encode(data).rstrip(b"=").decode("ascii") == cursor
    except (binascii.Error, ValueError):
        canonical, data = False, b""
    head = _DIGEST_BYTES + _ID_BYTES
    if not canonical or len(data) < head:
        raise ValueError("This is not a cursor; take the URL from the Link header.")
    if data[:_DIGEST_BYTES] != _digest(shape):
        raise ValueError("This cursor is of a listing with other filters or another order; begin again without it.")
    return UUID(bytes=data[_DIGEST_BYTES:head]), _keys(data[head:], kinds)


def _keys(data: bytes, kinds: Sequence[type]) -> list[Any]:
    try:
        values = orjson.loads(data) if data else []
        if not isinstance(values, list) or len(values) != len(kinds):
            raise ValueError  # noqa: TRY301 - one sentence for all that is wrong
        return [_key(value, kind) for value, kind in zip(values, kinds, strict=True)]
    except (ValueError, OverflowError):
        raise ValueError("This is not a cursor; take the URL from the Link header.") from None


def _key(value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is datetime and isinstance(value, str):
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    if kind is int and type(value) is int and abs(value) <= _LARGEST_NUMBER:
        return value
    if kind is str and isinstance(value, str) and "\0" not in value:
        return value
    raise ValueError


def _digest(shape: str) -> bytes:
    return blake2b(shape.encode(), digest_size=_DIGEST_BYTES).digest()

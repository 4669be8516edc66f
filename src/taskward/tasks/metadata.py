"""Metadata: an app's own JSON object beside a task, as it is stored and as it is patched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

LARGEST_METADATA = 8 * 1024
"""Bytes that the metadata of a task may have as JSON in UTF-8, without spaces."""
_DEEPEST_METADATA = 50
_TOO_DEEP = f"This must not be nested more than {_DEEPEST_METADATA} levels deep."


def dump_metadata(value: dict[str, Any]) -> str:
    """Metadata as they are stored and sent.

    Raises:
        ValueError: They are too large, too deep, or have a number or a character that cannot be kept.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("This must be text that UTF-8 can carry, without lone surrogates.") from None
    except ValueError:
        raise ValueError("This must not have numbers that are too large for JSON's readers.") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if size > LARGEST_METADATA:
        raise ValueError(f"This must have at most {LARGEST_METADATA} bytes as JSON.")
    # To look at each part takes longer than all else, and few objects have anything that could be wrong.
    if text.count("[") + text.count("{") >= _DEEPEST_METADATA or "\\u0000" in text:
        _check_parts(value)
    return text


def _check_parts(value: dict[str, Any]) -> None:
    for part, depth in _parts(value):
        if depth > _DEEPEST_METADATA:
            raise ValueError(_TOO_DEEP)
        if isinstance(part, str) and "\0" in part:
            # PostgreSQL's JSON can hold it, and no function of it can read it.
            raise ValueError("This must not have the character NUL.")


def _parts(root: Any) -> Iterator[tuple[Any, int]]:
    """Everything in a JSON value, names of members too, with its depth."""
    pending = [(root, 1)]
    while pending:
        value, depth = pending.pop()
        yield value, depth
        if isinstance(value, dict):
            pending += [(part, depth + 1) for member in value.items() for part in member]
        elif isinstance(value, list):
            pending += [(part, depth + 1) for part in value]


def merge(target: Any, patch: Any) -> Any:
    """A JSON Merge Patch (RFC 7396), applied."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged

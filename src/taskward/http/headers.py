"""The headers of a request, by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.types import Scope

_KEY = "taskward.headers"


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """Headers by their names in lower case, looked through once for all that are asked for.

    Several lines of one header are one list (RFC 9110, section 5.3).
    """
    lines: list[tuple[bytes, bytes]] = scope["headers"]
    known: tuple[object, dict[bytes, bytes]] | None = scope.get(_KEY)
    # Whoever stands in between may have put others in their place.
    if known is not None and known[0] is lines:
        return known[1]
    found = dict(lines)
    if len(found) < len(lines):
        found = _joined(lines)
    scope[_KEY] = (lines, found)
    return found


def _joined(lines: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in lines:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(several) for name, several in values.items()}

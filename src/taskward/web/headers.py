"""The headers of a request, by their names."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

_KEY = "taskward.headers"


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """Headers by their names in lower case, looked through once for all that are asked for.

    Several lines of one header are one list (RFC 9110, section 5.3).
    """
    found: dict[bytes, bytes] | None = scope.get(_KEY)
    if found is None:
        lines = scope["headers"]
        found = dict(lines)
        if len(found) < len(lines):
            found = {}
            for name, value in lines:
                found[name] = b"%b, %b" % (found[name], value) if name in found else value
        scope[_KEY] = found
    return found

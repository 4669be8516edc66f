"""The query of a request: its pairs of a name and a value, and the query of the next page."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode

from starlette.types import Scope

_KEY = "taskward.query"
# What `urlencode` would write in the same way: each other byte as %XX in capitals, and a space as +.
_ENCODED = rb"(?:[\w.~+-]++|%(?:[01][0-9A-F]|2[1-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-DF]|[89A-F][0-9A-F]))"
_PAIR = rb"%b++=%b*+" % (_ENCODED, _ENCODED)
_AS_WRITTEN_HERE = re.compile(rb"%b(?:&%b)*+" % (_PAIR, _PAIR))


def pairs_of(scope: Scope) -> list[tuple[str, str]]:
    """The names and values of a query in their order, parsed once for all that ask.

    Raises:
        ValueError: It is not UTF-8 in percent-encoding.
    """
    query: bytes = scope["query_string"]
    known: tuple[bytes, list[tuple[str, str]]] | None = scope.get(_KEY)
    # Whoever stands in between may have put another one in its place.
    if known is not None and known[0] is query:
        return known[1]
    pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    scope[_KEY] = (query, pairs)
    return pairs


def with_cursor(scope: Scope, cursor: str) -> str:
    """The query of a request with a cursor at its end, in place of the one that it has.

    Args:
        cursor: Of letters that need no encoding.
    """
    query: bytes = scope["query_string"]
    if not query:
        return f"cursor={cursor}"
    if _AS_WRITTEN_HERE.fullmatch(query):
        # What was encoded need not be encoded anew, which costs several times as much.
        kept = [pair for pair in query.decode("ascii").split("&") if not pair.startswith("cursor=")]
        return "&".join([*kept, f"cursor={cursor}"])
    kept_pairs = [(name, value) for name, value in pairs_of(scope) if name != "cursor"]
    return urlencode([*kept_pairs, ("cursor", cursor)])

"""What routes declare for the OpenAPI document: their names, their answers, and the headers of these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi.routing import APIRoute

from taskward.errors import Problem

Header = tuple[str, dict[str, Any]]

PROBLEMS = "x-problems"
"""In an answer that a route declares: the slugs of its problems. `document` writes what they look like."""
_TAG_SCHEMA = {"type": "string", "examples": ['"42"']}
ETAG: Header = ("ETag", {"description": "For If-Match and If-None-Match.", "schema": _TAG_SCHEMA})
LOCATION: Header = (
    "Location",
    {"description": "The path of what is new.", "schema": {"type": "string", "format": "uri-reference"}},
)
PREFERENCE_APPLIED: Header = (
    "Preference-Applied",
    {"description": "The preference that this answer follows (RFC 7240).", "schema": {"type": "string"}},
)
TOTAL: Header = (
    "X-Total-Count",
    {"description": "With `count=true`: how many there are on all pages.", "schema": {"type": "integer"}},
)
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Unchanged since the ETag in If-None-Match.", "headers": dict([ETAG])}
}


def next_page(path: str) -> Header:
    """The header of a page of a listing, which says where the next page is.

    Args:
        path: Of the listing.
    """
    description = 'The next page, as `<…>; rel="next"`; absent on the last.'
    return "Link", {
        "description": description,
        "schema": {"type": "string", "examples": [f'<{path}?cursor=…>; rel="next"']},
    }


def operation_id(route: APIRoute) -> str:
    """The name of the endpoint, for which generated clients name their methods."""
    return route.name


def answers(
    status: int, description: str, *headers: Header, problems: Iterable[type[Problem]] = ()
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: its success, with headers, and the problems of its own."""
    declared: dict[int | str, dict[str, Any]] = {status: {"description": description}}
    if headers:
        declared[status]["headers"] = dict(headers)
    for kind in problems:
        declared.setdefault(kind.status, {"description": kind.title, PROBLEMS: []})[PROBLEMS].append(kind.slug)
    return declared

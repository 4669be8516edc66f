"""The OpenAPI document: what the routes declare, and what holds for all of them, said once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from taskward.errors import (
    BodyTimeout,
    BodyTooLarge,
    InsufficientScope,
    Invalid,
    InvalidToken,
    MalformedBody,
    NotAcceptable,
    Problem,
    Unavailable,
    UnsupportedMediaType,
)
from taskward.web.middleware import BASE_PATH

Header = tuple[str, dict[str, Any]]

_PROBLEM = "Problem"
_TAG_SCHEMA = {"type": "string", "examples": ['"42"']}
ETAG: Header = ("ETag", {"description": "For If-Match and If-None-Match.", "schema": _TAG_SCHEMA})
LOCATION: Header = (
    "Location",
    {"description": "The path of what is new.", "schema": {"type": "string", "format": "uri-reference"}},
)
LINK: Header = (
    "Link",
    {
        "description": 'The next page, as `<…>; rel="next"`; absent on the last.',
        "schema": {"type": "string", "examples": ['</api/v1/tasks?cursor=…>; rel="next"']},
    },
)
TOTAL: Header = (
    "X-Total-Count",
    {"description": "With `count=true`: how many there are on all pages.", "schema": {"type": "integer"}},
)
NEXT_OCCURRENCE: Header = (
    "Link",
    {
        "description": 'The task that follows in the series, as `<…>; rel="next-occurrence"`; absent if none was made.',
        "schema": {"type": "string", "examples": ['</api/v1/tasks/…>; rel="next-occurrence"']},
    },
)
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Unchanged since the ETag in If-None-Match.", "headers": dict([ETAG])}
}

_ALWAYS: tuple[type[Problem], ...] = (InvalidToken, InsufficientScope, NotAcceptable, Invalid, Unavailable)
_WITH_BODY: tuple[type[Problem], ...] = (MalformedBody, BodyTimeout, BodyTooLarge, UnsupportedMediaType)
_COMMON_HEADERS = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The page that explains this error."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do."},
        "instance": {"type": "string", "description": "The path of the request."},
        "request_id": {"type": "string", "description": "As in X-Request-Id and in the log of failures."},
        "version": {"type": "integer", "description": "On 412: the current version."},
        "index": {
            "type": "integer",
            "description": "Which operation of a batch was refused, from 0, or which line of an import, from 1.",
        },
        "limit": {"type": "string", "description": "On 422 for a limit: which."},
        "scope": {"type": "string", "description": "On 403 for want of a scope: that scope."},
        "errors": {
            "type": "array",
            "description": "On 422: what breaks which rule.",
            "items": {
                "type": "object",
                "required": ["in", "pointer", "detail"],
                "properties": {
                    "in": {"type": "string", "enum": ["body", "query", "path", "header"]},
                    "pointer": {"type": "string", "description": "A JSON pointer (RFC 6901)."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def operation_id(route: APIRoute) -> str:
    """The name of the endpoint, for which generated clients name their methods."""
    return route.name


def answers(
    status: int, description: str, *headers: Header, problems: Iterable[type[Problem]] = ()
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: its success, with headers, and the problems of its own."""
    success: dict[str, Any] = {"description": description}
    if headers:
        success["headers"] = dict(headers)
    return {status: success, **_problems(problems)}


def _problems(kinds: Iterable[type[Problem]]) -> dict[int | str, dict[str, Any]]:
    return {kind.status: _problem(kind) for kind in kinds}


def _problem(kind: type[Problem]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": kind.title,
        "content": {
            "application/problem+json": {
                "schema": {"$ref": f"#/components/schemas/{_PROBLEM}"},
                "example": _example(kind),
            }
        },
    }
    if kind.status in {InvalidToken.status, InsufficientScope.status}:
        about = "What was wrong with the token; on 403 only where it lacks a scope (RFC 6750)."
        response["headers"] = {"WWW-Authenticate": {"description": about, "schema": {"type": "string"}}}
    if kind.status == Unavailable.status:
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return response


def _example(kind: type[Problem]) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail,
        "instance": f"{BASE_PATH}/tasks",
        "request_id": "4b1f0c2d9e8a7f65",
    }
    if kind is Invalid:
        example["errors"] = [{"in": "body", "pointer": "/title", "detail": "This is required."}]
    if kind.slug == "precondition-failed":
        example["version"] = 43
    return example


def install(app: FastAPI) -> None:
    """Make `app.openapi()` describe what holds for every route besides what each declares."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        license_info=app.license_info,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, guarded=path.startswith(BASE_PATH), patches=method == "patch")
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for schema in schemas.values():
        _restore_nulls(schema)
    schemas[_PROBLEM] = _PROBLEM_SCHEMA
    components["headers"] = {
        "X-Request-Id": {
            "description": "The request's id; your own, if you sent a proper one.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
        }
    }
    return document


def _restore_nulls(schema: dict[str, Any]) -> None:
    """Put back into a schema's examples what is null: FastAPI leaves that out of the whole document."""
    for example in schema.get("examples", ()):
        names = [name for name in schema["properties"] if name in example or name in schema.get("required", ())]
        members = {name: example.get(name) for name in names}
        example.clear()
        example.update(members)


def _complete(operation: dict[str, Any], *, guarded: bool, patches: bool) -> None:
    responses: dict[str, Any] = operation["responses"]
    if guarded:
        common = _ALWAYS + (_WITH_BODY if "requestBody" in operation else ())
        responses.pop(str(Invalid.status), None)  # the framework's own
        for kind in common:
            responses.setdefault(str(kind.status), _problem(kind))
    for response in responses.values():
        response["headers"] = {**response.get("headers", {}), **_COMMON_HEADERS}
    operation["responses"] = dict(sorted(responses.items()))
    body = operation.get("requestBody")
    if body is not None and patches:
        body["content"]["application/merge-patch+json"] = body["content"]["application/json"]

"""The OpenAPI document: what the routes declare, and what holds for all of them, said once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from taskward.errors import (
    BodyTimeout,
    BodyTooLarge,
    InsufficientScope,
    Invalid,
    InvalidToken,
    KeyReused,
    MalformedBody,
    NotAcceptable,
    NotAuthenticated,
    Problem,
    RequestRunning,
    StaleVersion,
    Unavailable,
    UnsupportedMediaType,
    every_problem,
)
from taskward.http import problem_schema
from taskward.http.middleware import BASE_PATH
from taskward.http.openapi import PROBLEMS
from taskward.http.slices import Slice

_HEALTH = {"name": "health", "description": "For those who run the service. No token is needed."}
CONTACT = {"name": "Whoever runs this service for you"}

_ALWAYS: tuple[type[Problem], ...] = (
    NotAuthenticated, InvalidToken, InsufficientScope, NotAcceptable, Invalid, Unavailable,
)  # fmt: skip
_WITH_BODY: tuple[type[Problem], ...] = (MalformedBody, BodyTimeout, BodyTooLarge, UnsupportedMediaType)
_WITH_KEY: tuple[type[Problem], ...] = (RequestRunning, KeyReused)
_LARGEST_INTEGER = 2**63 - 1
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request's id; your own, if you sent a proper one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    },
    "WWW-Authenticate": {
        "description": "What was wrong with the token; on 403 only where it lacks a scope (RFC 6750).",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}},
}


def install(app: FastAPI, slices: Iterable[Slice]) -> None:
    """Make `app.openapi()` describe what holds for every route besides what each declares.

    Args:
        slices: In the order of the document.
    """
    tags = [{"name": one.name, "description": one.description} for one in slices if one.description]

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, [*tags, _HEALTH])
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, tags: list[dict[str, str]]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        license_info=app.license_info,
        contact=CONTACT,
        servers=[{"url": "/"}],
        routes=app.routes,
        tags=tags,
    )
    components = document["components"]
    refusals = _Refusals(instance=next(iter(document["paths"])))
    components["headers"], components["responses"] = _HEADERS, refusals.answers
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, refusals, guarded=path.startswith(BASE_PATH), patches=method == "patch")
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for name, examples in _examples(app.routes).items():
        # FastAPI leaves out of them what is null, and Pydantic their order.
        schema = components["schemas"][name]
        schema["examples"] = [_ordered(example, schema["properties"]) for example in examples]
    for schema in _sent(document):
        _tell_defaults(schema)
    for schema in _every_schema(document):
        _discriminate(schema, components["schemas"])
        _round(schema)
    return document


class _Refusals:
    """The answers with problems. Operations refer to them.

    Args:
        instance: The path that examples name.

    Attributes:
        answers: By the names that references use.
    """

    def __init__(self, instance: str) -> None:
        self.answers: dict[str, Any] = {}
        self._instance = instance
        self._kinds = {kind.slug: kind for kind in every_problem()}

    def refer(self, slugs: list[str]) -> dict[str, Any]:
        """A reference to the answer of one of several problems of one status."""
        kinds = [self._kinds[slug] for slug in slugs]
        name = "Or".join(kind.__name__ for kind in kinds)
        self.answers.setdefault(name, self._answer(kinds))
        return {"$ref": f"#/components/responses/{name}"}

    def _answer(self, kinds: list[type[Problem]]) -> dict[str, Any]:
        headers = ["X-Request-Id"]
        if kinds[0].status in {InvalidToken.status, InsufficientScope.status}:
            headers.append("WWW-Authenticate")
        if kinds[0].status == Unavailable.status:
            headers.append("Retry-After")
        return {
            "description": "\n\n".join(f"{kind.title}. {kind.detail}" for kind in kinds),
            "headers": _references(*headers),
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": f"#/components/schemas/{problem_schema.Problem.__name__}"},
                    "examples": {kind.slug: {"summary": kind.title, "value": self._example(kind)} for kind in kinds},
                }
            },
        }

    def _example(self, kind: type[Problem]) -> dict[str, Any]:
        example: dict[str, Any] = {
            "type": f"/problems/{kind.slug}",
            "title": kind.title,
            "status": kind.status,
            "detail": kind.detail,
            "instance": self._instance,
            "request_id": "4b1f0c2d9e8a7f65",
        }
        if kind is Invalid:
            example["errors"] = [{"in": "query", "pointer": "/limit", "detail": "This must be at least 1."}]
        if kind is KeyReused:
            example |= KeyReused().members
        if kind is StaleVersion:
            example |= StaleVersion(43).members
        return example


def _complete(operation: dict[str, Any], refusals: _Refusals, *, guarded: bool, patches: bool) -> None:
    """Describe what an operation answers and takes.

    Args:
        refusals: Those that this operation needs are added.
    """
    responses: dict[str, Any] = operation["responses"]
    parameters = operation.get("parameters", ())
    if guarded:
        if PROBLEMS not in responses.get(str(Invalid.status), {}):
            responses.pop(str(Invalid.status), None)  # the framework's own
        has_key = any(parameter["name"] == "Idempotency-Key" for parameter in parameters)
        common = _ALWAYS + (_WITH_BODY if "requestBody" in operation else ()) + (_WITH_KEY if has_key else ())
        for kind in common:
            responses.setdefault(str(kind.status), {}).setdefault(PROBLEMS, []).append(kind.slug)
    for status, response in responses.items():
        if PROBLEMS in response:
            responses[status] = refusals.refer(response[PROBLEMS])
        else:
            response["headers"] = {**response.get("headers", {}), **_references("X-Request-Id")}
    operation["responses"] = dict(sorted(responses.items()))
    operation.setdefault("security", [])
    for parameter in parameters:
        _without_null(parameter["schema"])
        # The documentation page fills in a required parameter with this.
        schema = parameter["schema"]
        only = [schema["const"]] if "const" in schema else schema.get("enum", [])
        shown = schema.get("examples", only if len(only) == 1 else [])
        if parameter["required"] and shown:
            parameter["example"] = shown[0]
    body = operation.get("requestBody")
    if body is not None and patches:
        body["content"]["application/merge-patch+json"] = body["content"]["application/json"]


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that is left out is null to the route, and null cannot be sent."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])


def _references(*headers: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _examples(routes: Iterable[object]) -> dict[str, list[dict[str, Any]]]:
    """The examples of every schema that routes take or give, by its name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for route in routes:
        if not (isinstance(route, APIRoute) and route.include_in_schema):
            continue
        for field in (route.body_field, route.response_field):
            if field is None:
                continue
            annotation: Any = field.field_info.annotation
            schema = TypeAdapter(annotation).json_schema()
            named = {schema.get("title", ""): schema, **schema.get("$defs", {})}
            found.update({name: one["examples"] for name, one in named.items() if "examples" in one})
    return found


def _ordered(example: dict[str, Any], properties: Iterable[str]) -> dict[str, Any]:
    return {name: example[name] for name in properties if name in example}


def _sent(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas by name of what clients send in bodies."""
    named = document["components"]["schemas"]
    found: dict[str, dict[str, Any]] = {}
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    waiting: list[Any] = [operation.get("requestBody", {}) for operation in operations]
    while waiting:
        for one in _every_schema(waiting.pop()):
            name = str(one.get("$ref", "")).rpartition("/")[2]
            if name in named and name not in found:
                found[name] = named[name]
                waiting.append(named[name])
    return list(found.values())


def _tell_defaults(schema: dict[str, Any]) -> None:
    """Say in words what becomes of a member that is left out: one with a `default` must be sent, to some generators."""
    for member in schema.get("properties", {}).values():
        if "default" in member:
            told = f"Default: `{json.dumps(member.pop('default'))}`."
            member["description"] = f"{member['description']} {told}" if "description" in member else told


def _every_schema(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a part of the document, but for what is an example."""
    if isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key not in {"example", "examples", "default"}:
                yield from _every_schema(value)
    elif isinstance(node, list):
        for value in node:
            yield from _every_schema(value)


def _discriminate(schema: dict[str, Any], named: dict[str, Any]) -> None:
    """Say by which member the choices of a union are told apart, where each has a constant of its own there."""
    choices = schema.get("oneOf")
    if not isinstance(choices, list) or not all("$ref" in choice for choice in choices):
        return
    kinds = {choice["$ref"]: named[choice["$ref"].rpartition("/")[2]].get("properties", {}) for choice in choices}
    shared = set.intersection(*({name for name, m in found.items() if "const" in m} for found in kinds.values()))
    for name in shared:
        mapping = {found[name]["const"]: reference for reference, found in kinds.items()}
        if len(mapping) == len(kinds):
            schema["discriminator"] = {"propertyName": name, "mapping": mapping}


def _round(schema: dict[str, Any]) -> None:
    """Write the bounds of a whole number as whole numbers: FastAPI makes floats of them, which may lie beyond."""
    for bound in ("minimum", "maximum"):
        if schema.get("type") == "integer" and isinstance(schema.get(bound), float):
            schema[bound] = min(int(schema[bound]), _LARGEST_INTEGER)

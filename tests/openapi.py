"""The OpenAPI document as the service sends it, and ways into it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest


@pytest.fixture(name="document")
async def document_fixture(nobody: httpx2.AsyncClient) -> dict[str, Any]:
    response = await nobody.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    return response.json()  # type: ignore[no-any-return]


def resolved(document: dict[str, Any], part: Any) -> Any:
    """A part of the document, or what it refers to."""
    while "$ref" in part:
        _, kind, name = part["$ref"].removeprefix("#/").split("/")
        part = document["components"][kind][name]
    return part


def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def integers_in(schema: Any, document: dict[str, Any], seen: set[str]) -> Iterator[dict[str, Any]]:
    """Every schema of an integer below a schema."""
    if isinstance(schema, list):
        for one in schema:
            yield from integers_in(one, document, seen)
    elif isinstance(schema, dict):
        reference = schema.get("$ref", "")
        if reference and reference not in seen:
            seen.add(reference)
            yield from integers_in(resolved(document, schema), document, seen)
        if schema.get("type") == "integer":
            yield schema
        yield from integers_in(
            [value for key, value in schema.items() if key not in {"example", "examples"}], document, seen
        )

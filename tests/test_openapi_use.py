"""The OpenAPI document is valid, and tools and people can use what it shows as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.openapi import document_fixture, integers_in, operations, resolved  # noqa: F401


def named_schemas(part: Any) -> set[str]:
    """The names of the schemas that a part of the document refers to."""
    return set(re.findall(r"'#/components/schemas/(\w+)'", str(part)))


async def test_the_document_says_where_it_holds_and_whom_to_ask(document: dict[str, Any]):
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert document["servers"] == [{"url": "/"}]
    assert document["info"]["contact"]
    declared = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(declared.values())
    assert {tag for _, _, operation in operations(document).values() for tag in operation["tags"]} == set(declared)
    problem = document["components"]["schemas"]["BatchResult"]["properties"]["problem"]
    assert {"$ref": "#/components/schemas/Problem"} in problem["anyOf"]


async def test_a_batch_is_told_apart_by_op(document: dict[str, Any]):
    operation = document["components"]["schemas"]["Batch"]["properties"]["operations"]["items"]
    mapping = operation["discriminator"]["mapping"]
    assert operation["discriminator"]["propertyName"] == "op"
    assert {one["$ref"] for one in operation["oneOf"]} == set(mapping.values())
    for op, reference in mapping.items():
        schema = resolved(document, {"$ref": reference})
        assert schema["properties"]["op"]["const"] == op
        assert "op" in schema["required"]
        assert reference.rpartition("/")[2].startswith("Batch")


async def test_what_is_sent_needs_no_more_than_what_has_no_default(document: dict[str, Any]):
    sent: set[str] = set()
    waiting = [
        operation["requestBody"] for _, _, operation in operations(document).values() if "requestBody" in operation
    ]
    while waiting:
        for name in named_schemas(waiting.pop()) - sent:
            sent.add(name)
            waiting.append(document["components"]["schemas"][name])
    assert sent >= {"TaskCreate", "TaskUpdate", "BatchCreate", "TaskCompletion", "ListCreate"}
    for name in sent:
        found = [m for m, one in document["components"]["schemas"][name]["properties"].items() if "default" in one]
        assert not found, f"{name}: a generator makes {found} required, since they have a default"
    priority = document["components"]["schemas"]["TaskCreate"]["properties"]["priority"]
    assert '`"none"`' in priority["description"]


def described(node: Any, place: str = "") -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Every default and example of a part of the document: its place, itself and its schema."""
    if isinstance(node, list):
        for number, value in enumerate(node):
            yield from described(value, f"{place}/{number}")
    if not isinstance(node, dict):
        return
    # A header, a parameter or a content names its schema; all else that has examples is a schema.
    schema = node.get("schema", node)
    if "default" in node:
        yield f"{place}/default", node["default"], schema
    if "example" in node:
        yield f"{place}/example", node["example"], schema
    examples = node.get("examples", ())
    for example in examples.values() if isinstance(examples, dict) else examples:
        yield f"{place}/examples", example["value"] if isinstance(examples, dict) else example, schema
    for key, value in node.items():
        if key not in {"default", "example", "examples"}:
            yield from described(value, f"{place}/{key}")


async def test_every_default_and_example_is_valid_by_its_own_schema(document: dict[str, Any]):
    tried = 0
    for place, value, schema in described(document):
        # References are looked up in the components.
        whole = {**schema, "components": document["components"]}
        errors = [
            error.message
            for error in OAS31Validator(whole, format_checker=OAS31Validator.FORMAT_CHECKER).iter_errors(value)
        ]
        assert errors == [], f"{place}: {value!r}: {errors}"
        tried += 1
    assert tried >= 60


async def test_every_operation_can_be_tried_with_what_it_shows(document: dict[str, Any]):
    for name, (_, _, operation) in operations(document).items():
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                assert "example" in parameter, f"{name}: the path's {parameter['name']} has no example"
            if parameter["in"] == "header" or parameter["name"] in {"cursor", "confirm"}:
                assert not {"example", "examples"} & set(parameter), f"{name}: {parameter['name']} would be filled in"
                assert "default" not in parameter["schema"], f"{name}: {parameter['name']} would be filled in"
            # Null cannot be sent.
            assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), (name, parameter["name"])
        for media_type, content in operation.get("requestBody", {"content": {}})["content"].items():
            if media_type in {"application/json", "application/merge-patch+json"} and "$ref" in content["schema"]:
                assert resolved(document, content["schema"]).get("examples"), f"{name}: the body has no whole example"


async def test_bounds_of_whole_numbers_are_whole_and_can_be_sent(document: dict[str, Any]):
    for schema in integers_in(document["paths"], document, set()):
        for bound in {"minimum", "maximum"} & schema.keys():
            assert type(schema[bound]) is int
            assert schema[bound] < 2**63

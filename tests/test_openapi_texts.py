"""No short text that the OpenAPI document permits is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from jsonschema import FormatChecker
from openapi_schema_validator import OAS31Validator

from taskward.tasks.types import zones
from tests.openapi import document_fixture, operations, resolved  # noqa: F401 - a fixture
from tests.users import User

TEXTS = ["", " ", ".", "..", " . ", "...", ".a", "a.", "-", "a", "0", "\t", "none"]
# Which of these there are, no pattern can say: zones, a listing's cursors, one's own id; and parts of a rule.
BEYOND_PATTERNS = {"tz", "time_zone", "cursor", "confirm", "recurrence"}
# What else a member needs.
BESIDE = {
    "due_at": {"time_zone": "UTC"},
    "time_zone": {"due_at": "2027-01-01T00:00:00Z"},
    "recurrence": {"due_date": "2027-01-01", "time_zone": "UTC"},
}

FORMATS = FormatChecker()
FORMATS.checkers = {**FORMATS.checkers, **OAS31Validator.FORMAT_CHECKER.checkers}


def is_instant(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


FORMATS.checks("date-time", raises=ValueError)(is_instant)


def permitted(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    validator = OAS31Validator({**schema, "components": document["components"]}, format_checker=FORMATS)
    yield from (text for text in TEXTS if validator.is_valid(text))


def may_be_refused(name: str, text: str) -> bool:
    return name in BEYOND_PATTERNS and text != ""


async def test_no_parameter_is_refused_that_is_permitted(alice: User, document: dict[str, Any]):
    tried = 0
    for name, (method, path, operation) in operations(document).items():
        of_query = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
        needed = {parameter["name"]: parameter["example"] for parameter in of_query if "example" in parameter}
        for parameter in of_query:
            many = parameter["schema"].get("type") == "array"
            for text in permitted(document, parameter["schema"]["items"] if many else parameter["schema"]):
                if may_be_refused(parameter["name"], text):
                    continue
                place = path
                for one in operation["parameters"]:
                    if one["in"] == "path":
                        place = place.replace(f"{{{one['name']}}}", one["example"])
                answer = await alice.http.request(method, place, params={**needed, parameter["name"]: text})
                found = answer.json().get("errors", []) if answer.status_code == 422 else []
                wrong = [error for error in found if error["pointer"].startswith(f"/{parameter['name']}")]
                # That it goes with another parameter only is no matter of the text.
                wrong = [error for error in wrong if "This goes with" not in error["detail"]]
                assert wrong == [], (name, parameter["name"], text, wrong)
                tried += 1
    assert tried >= 20


async def test_no_member_is_refused_that_is_permitted(alice: User, document: dict[str, Any]):
    tried = 0
    task = await alice.create()
    for path, method, schema_name, needed in (
        ("/api/v1/tasks", "POST", "TaskCreate", {"title": "x"}),
        (f"/api/v1/tasks/{task['id']}", "PATCH", "TaskUpdate", {}),
        ("/api/v1/lists", "POST", "ListCreate", {"name": "x"}),
        ("/api/v1/tags/nothing", "PATCH", "TagRename", {"name": "x"}),
    ):
        for member, described in document["components"]["schemas"][schema_name]["properties"].items():
            schema = resolved(document, described)
            many = schema.get("type") == "array"
            for text in permitted(document, schema["items"] if many else schema):
                if may_be_refused(member, text):
                    continue
                body = {**needed, **BESIDE.get(member, {}), member: [text] if many else text}
                answer = await alice.http.request(method, path, json=body)
                found = answer.json().get("errors", []) if answer.status_code == 422 else []
                wrong = [error for error in found if error["pointer"].startswith(f"/{member}")]
                assert wrong == [], (schema_name, member, text, wrong)
                tried += 1
    assert tried >= 20


async def test_what_a_pattern_refuses_is_refused(alice: User, document: dict[str, Any]):
    members = document["components"]["schemas"]["TaskCreate"]["properties"]
    tag, rule, zone = members["tags"]["items"], members["recurrence"]["anyOf"][0], members["time_zone"]["anyOf"][0]
    for text, fits in {
        ".": False, "..": False, " .. ": False, "...": True, ".a": True, "a.": True, "..a": True, ".a.": True,
        "a": True, "a" * 50: True, "." * 50: True, "a" * 51: False, "." * 51: False, "": False,
    }.items():  # fmt: skip
        assert OAS31Validator(tag).is_valid(text) == fits, text
        answer = await alice.http.post("/api/v1/tasks", json={"title": "x", "tags": [text]})
        assert answer.status_code == (201 if fits else 422), text
    due = {"title": "x", "due_date": "2027-01-01", "time_zone": "UTC"}
    for text, fits in {
        "FREQ=DAILY": True, "freq=weekly;byday=mo": True, "INTERVAL=2;FREQ=MONTHLY": True, "FREQ=YEARLY;COUNT=2": True,
        "": False, "DAILY": False, "FREQ=": False, "FREQ=HOURLY": False, "INTERVAL=2": False, "FREQ=DAILY;": False,
    }.items():  # fmt: skip
        assert OAS31Validator(rule).is_valid(text) == fits, text
        answer = await alice.http.post("/api/v1/tasks", json={**due, "recurrence": text})
        assert answer.status_code == (201 if fits else 422), text
    for name in sorted(zones()):
        assert OAS31Validator(zone).is_valid(name), name

"""JSON is answered in one spelling, without white space between its parts, and each answer is a line."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest

from tests.openapi import document_fixture, operations, resolved  # noqa: F401 - a fixture
from tests.users import User

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
# What a careless writer of white space would change, too.
TEXT = 'a "quoted" : text, with , commas : and\ttabs'
UNUSUAL: dict[str, Any] = {
    "title": TEXT.replace("\t", " "), "description": TEXT, "priority": "high", "completed": True,
    "tags": ["a , b", "c : d"], "due_at": "2027-01-10T09:30:00Z", "time_zone": "Europe/Berlin",
    "metadata": {"a": [1, {"b : c": TEXT}], "e": {}},
}  # fmt: skip


def check(answer: httpx2.Response) -> None:
    """It is JSON, or lines of it, as this service writes it."""
    body = answer.text
    assert body.endswith("\n"), body
    assert "\n\n" not in body, body
    assert not re.search(r"\s", _STRING.sub("", body.replace("\n", ""))), body
    if "content-length" in answer.headers:
        assert int(answer.headers["content-length"]) == len(answer.content)


def request_of(document: dict[str, Any], name: str) -> tuple[str, str, dict[str, Any]]:
    """A request of an operation, of what the document shows: its method, its path and its body."""
    method, path, operation = operations(document)[name]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    if "requestBody" not in operation:
        return method, path, {}
    media_type, content = next(iter(operation["requestBody"]["content"].items()))
    if media_type == "application/json":
        return method, path, {"json": resolved(document, content["schema"])["examples"][0]}
    return method, path, {"content": content["example"], "headers": {"Content-Type": media_type}}


async def test_every_operation_answers_a_line_of_compact_json(alice: User, document: dict[str, Any]):
    method, path, body = request_of(document, "import_me")
    assert (await alice.http.request(method, path, **body)).status_code == 200
    await alice.create(**UNUSUAL)
    shown = set()
    # What is read must be there still.
    for name, (_, _, operation) in sorted(operations(document).items(), key=lambda one: one[1][0].upper() == "DELETE"):
        method, path, body = request_of(document, name)
        if name == "get_task":
            await alice.http.patch(path, json={**UNUSUAL, "completed": False})
        answer = await alice.http.request(method, path, **body)
        if answer.content:
            shown.add((name, answer.status_code))
            assert "json" in answer.headers["content-type"], name
            check(answer)
        else:
            assert answer.status_code == 204, (name, answer.status_code)
        # Not a problem that the same request without a token has.
        if operation["security"]:
            refused = await alice.http.request(method, path, **{**body, "headers": {"Authorization": "Bearer x"}})
            assert refused.status_code == 401
            check(refused)
    assert {name for name, status in shown if status < 300} >= {
        "list_tasks", "get_task", "create_task", "update_task", "change_tasks", "move_task", "list_lists", "get_me",
        "export_me", "import_me", "healthz",
    }  # fmt: skip


async def test_members_that_are_unusual_are_written_as_those_that_are_usual(alice: User):
    task = await alice.create(**UNUSUAL)
    path = f"/api/v1/tasks/{task['id']}"
    for answer in (
        await alice.http.get(path),
        await alice.http.get("/api/v1/tasks"),
        await alice.http.patch(path, json={"metadata": {"x": {"y": [1, 2]}}}),
        await alice.http.get("/api/v1/me/export"),
    ):
        assert answer.status_code == 200
        check(answer)
    found = (await alice.http.get(path)).text
    assert '"completed_at":"' in found
    assert '"priority":"high","due_date":null,"due_at":"2027-01-10T09:30:00.000000Z"' in found


async def test_problems_are_lines_as_well(alice: User, nobody: httpx2.AsyncClient):
    tasks = "/api/v1/tasks"
    answers = {
        401: await nobody.get(tasks),
        400: await alice.http.post(tasks, content=b"{", headers={"Content-Type": "application/json"}),
        404: await alice.http.get("/nothing"),
        405: await alice.http.delete("/healthz"),
        406: await alice.http.get(tasks, headers={"Accept": "text/html"}),
        415: await alice.http.post(tasks, content=b"{}", headers={"Content-Type": "text/plain"}),
        422: await alice.http.post(tasks, json={"title": "", "nothing": 1}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        check(answer)
    batch = {"atomic": False, "operations": [{"op": "create", "task": UNUSUAL}, {"op": "delete", "id": NOBODYS}]}
    answer = await alice.http.post(f"{tasks}/batch", json=batch)
    assert [one["status"] for one in answer.json()["results"]] == [201, 404]
    check(answer)


NOBODYS = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/api/v1/tasks/batch"])
async def test_an_answer_is_replayed_byte_by_byte(alice: User, path: str):
    body = UNUSUAL if path.endswith("tasks") else {"operations": [{"op": "create", "task": UNUSUAL}]}
    first, second = [await alice.http.post(path, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert second.headers["idempotency-replayed"] == "true"
    assert second.content == first.content
    check(second)


async def test_head_and_304_tell_of_the_line_and_do_not_send_it(alice: User):
    task = await alice.create()
    path = f"/api/v1/tasks/{task['id']}"
    got, head = await alice.http.get(path), await alice.http.head(path)
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))
    assert head.content == b""
    same = await alice.http.get(path, headers={"If-None-Match": got.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == got.headers["etag"] == f'"{task["version"]}"'

"""The account, its export and its import, and a batch, which is another way to ask for what is judged elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2

from tests.reference_request import BASE, Ask, Route
from tests.reference_world import User

ME = f"{BASE}/me"
BATCH = f"{BASE}/tasks/batch"
NOTHING = {"type": "end", "lists": 0, "tasks": 0}
"""An export of an empty account."""


def me(user: User, ask: Ask, answer: httpx2.Response) -> None:
    assert answer.status_code == 200
    if ask.method == "HEAD":
        return
    told = answer.json()
    assert told["user_id"] == user.id
    tasks = list(user.tasks.values())
    live = [task for task in tasks if task["deleted_at"] is None]
    completed = sum(task["completed"] for task in live)
    assert told["counts"] == {
        "tasks": len(live), "open": len(live) - completed, "completed": completed, "trash": len(tasks) - len(live),
        "lists": len(user.lists), "tags": len({tag for task in tasks for tag in task["tags"]}),
    }  # fmt: skip


def export(user: User, ask: Ask, answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    if ask.method == "HEAD":
        return
    *rows, end = [json.loads(line) for line in answer.text.splitlines()]
    assert end == {"type": "end", "lists": len(user.lists), "tasks": len(user.tasks)}
    assert {row["user_id"] for row in rows} <= {user.id}
    for kind, shelf in (("list", user.lists), ("task", user.tasks)):
        found = {row["id"]: row["version"] for row in rows if row["type"] == kind}
        assert found.keys() == set(shelf)


def import_nothing(user: User, _ask: Ask, answer: httpx2.Response) -> None:
    assert answer.status_code == 200, (user.id, answer.text)
    assert answer.json() == {
        "lists": 0, "tasks": 0, "unchanged": 0, "whole": True, "counts": {}, "losses": [], "losses_left_out": 0,
    }  # fmt: skip


def erasure_of_another(user: User, ask: Ask, answer: httpx2.Response) -> None:
    user.invalid(ask, answer, "/confirm")


def batch(user: User, ask: Ask, answer: httpx2.Response, checks: dict[Route, Callable[..., None]]) -> None:
    """Judge the one operation as the request by itself would be judged."""
    inner = ask.inner
    assert inner is not None
    if answer.status_code == 200:
        (result,) = answer.json()["results"]
        assert not (ask.body["atomic"] and "problem" in result)
        status, told = result["status"], result.get("task", result.get("problem"))
    else:
        assert ask.body["atomic"]
        status, told = answer.status_code, answer.json()
    checks[inner.route](user, inner, _alone(status, told))


def _alone(status: int, told: Any) -> httpx2.Response:
    headers = {"content-type": "application/json"}
    if status >= 400:
        headers["content-type"] = "application/problem+json"
        told = dict(told)
        assert told.pop("index") == 0
        for error in told.get("errors", ()):
            error["pointer"] = error["pointer"].removeprefix("/operations/0/task")
    elif told is not None:
        headers |= {"etag": f'"{told["version"]}"', "cache-control": "private, no-cache"}
        headers |= {"location": f"{BASE}/tasks/{told['id']}"} if status == 201 else {}
    return httpx2.Response(status, headers=headers, content=b"" if told is None else json.dumps(told).encode())


def as_batch(inner: Ask, *, atomic: bool) -> Ask:
    """A batch of the one operation that a request stands for: to create, to trash, to erase or to restore a task."""
    inner = replace(inner, headers={})
    operation: dict[str, Any] = {"op": "create", "task": inner.body}
    if inner.body is None:
        operation = {"op": "delete" if inner.method == "DELETE" else "restore", "id": inner.target}
    if "permanent" in inner.params:
        operation["permanent"] = inner.params["permanent"] == "true"
    return Ask("POST", BATCH, body={"operations": [operation], "atomic": atomic}, inner=inner)

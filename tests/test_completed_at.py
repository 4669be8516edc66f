"""When a task was done, as clients say that were offline then: beside `completed: true`, and never in the future."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from tests.test_task_members import pointers
from tests.users import User

TASKS = "/api/v1/tasks"
THEN = "2026-01-10T09:30:00.25Z"


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def _create(user: User, body: dict[str, Any]) -> httpx2.Response:
    return await user.http.post(TASKS, json={"title": "x", **body})


async def _patch(user: User, body: dict[str, Any]) -> httpx2.Response:
    return await user.http.patch(f"{TASKS}/{(await user.create())['id']}", json=body)


async def _put(user: User, body: dict[str, Any]) -> httpx2.Response:
    task = await user.create()
    return await user.http.put(f"{TASKS}/{task['id']}", json={**task, **body})


async def _complete(user: User, body: dict[str, Any]) -> httpx2.Response:
    return await user.http.patch(f"{TASKS}/{(await user.create())['id']}/complete", json=body)


def _batch(op: str) -> Callable[[User, dict[str, Any]], Awaitable[httpx2.Response]]:
    async def send(user: User, body: dict[str, Any]) -> httpx2.Response:
        if op == "create":
            operation = {"op": op, "task": {"title": "x", **body}}
        else:
            operation = {"op": op, "id": (await user.create())["id"], "task": body}
        answer = await user.http.post(f"{TASKS}/batch", json={"operations": [operation], "atomic": True})
        if answer.status_code != 200:
            return answer
        (result,) = answer.json()["results"]
        return httpx2.Response(200, json=result["task"])

    return send


WAYS: dict[str, Callable[[User, dict[str, Any]], Awaitable[httpx2.Response]]] = {
    "create": _create, "patch": _patch, "put": _put, "complete": _complete,
    **{f"batch {op}": _batch(op) for op in ("create", "update", "complete")},
}  # fmt: skip
EVERY_WAY = pytest.mark.parametrize("way", WAYS)


@EVERY_WAY
async def test_a_client_may_say_when(alice: User, way: str):
    answer = await WAYS[way](alice, {"completed": True, "completed_at": THEN})
    assert answer.status_code in {200, 201}, answer.text
    task = answer.json()
    assert (task["completed"], moment(task["completed_at"])) == (True, moment(THEN))
    assert moment(task["updated_at"]) > moment("2026-01-11T00:00:00Z"), "the row's own times are the database's"
    assert (await alice.http.get(f"{TASKS}/{task['id']}")).json() == task


@EVERY_WAY
async def test_null_is_now(alice: User, way: str):
    task = (await WAYS[way](alice, {"completed": True, "completed_at": None})).json()
    assert task["completed_at"] == task["updated_at"]


@EVERY_WAY
async def test_a_time_to_come_is_refused_and_a_clock_that_is_a_little_ahead_means_now(alice: User, way: str):
    refused = await WAYS[way](alice, {"completed": True, "completed_at": in_seconds(90)})
    assert pointers(refused)[0].endswith("/completed_at")
    assert refused.json()["errors"][0]["detail"] == "This must not be in the future."
    task = (await WAYS[way](alice, {"completed": True, "completed_at": in_seconds(20)})).json()
    assert task["completed_at"] == task["updated_at"]


@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"put"}))
@pytest.mark.parametrize("body", [{"completed": False, "completed_at": THEN}, {"completed_at": THEN}], ids=str)
async def test_it_goes_with_completed_only(alice: User, way: str, body: dict[str, Any]):
    refused = await WAYS[way](alice, body)
    assert {pointer.rpartition("/")[2] for pointer in pointers(refused)} <= {"completed_at", "completed"}


@EVERY_WAY
@pytest.mark.parametrize(
    "value", ["x", 1, "2026-02-30T00:00:00Z", "2026-01-10", "2026-01-10T09:30:00", "0001-01-01T00:00:00Z"]
)
async def test_what_is_no_time_is_refused(alice: User, way: str, value: Any):
    refused = await WAYS[way](alice, {"completed": True, "completed_at": value})
    assert pointers(refused)[0].endswith("/completed_at")


async def test_what_was_read_can_be_put_back_in_any_state(alice: User):
    task = await alice.create(completed=True, completed_at=THEN)
    path = f"{TASKS}/{task['id']}"
    assert moment((await alice.http.put(path, json=task)).json()["completed_at"]) == moment(THEN)
    reopened = (await alice.http.put(path, json={**task, "completed": False})).json()
    assert (reopened["completed"], reopened["completed_at"]) == (False, None)
    done = (await alice.http.put(path, json={**reopened, "completed": True})).json()
    assert done["completed_at"] == done["updated_at"]
    kept = (await alice.http.put(path, json={"title": "y", "completed_at": THEN})).json()
    assert kept["completed_at"] == done["completed_at"]


async def test_what_is_done_already_may_have_its_time_corrected(alice: User):
    task = await alice.create(completed=True)
    path = f"{TASKS}/{task['id']}"
    again = (await alice.http.patch(f"{path}/complete", json={"completed": True})).json()
    assert again["completed_at"] == task["completed_at"]
    corrected = (await alice.http.patch(path, json={"completed": True, "completed_at": THEN})).json()
    assert moment(corrected["completed_at"]) == moment(THEN)


async def test_a_series_goes_on_as_if_it_had_been_done_then(alice: User):
    day = datetime.now(UTC).date() - timedelta(days=30)
    done = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(days=10)
    # Of a day the end counts, so by the due the next one is the day on which it was done.
    for counted_from, step in (("due", 10), ("completion", 11)):
        task = await alice.create(due_date=str(day), time_zone="UTC", recurrence="FREQ=DAILY", recurs_from=counted_from)
        body = {"completed": True, "completed_at": done.isoformat().replace("+00:00", "Z")}
        answer = await alice.http.patch(f"{TASKS}/{task['id']}/complete", json=body)
        following = (await alice.http.get(answer.links["next-occurrence"]["url"])).json()
        assert following["due_date"] == str(day + timedelta(days=step)), counted_from
        assert (following["completed"], following["completed_at"]) == (False, None)


async def test_an_import_keeps_it_and_brings_none_of_the_future(alice: User, bob: User):
    for title, at in (("past", THEN), ("future", in_seconds(3600))):
        line = {"type": "task", "id": str(uuid7()), "title": title, "completed": True, "completed_at": at}
        body = f"{json.dumps(line)}\n"
        headers = {"Content-Type": "application/x-ndjson"}
        assert (await alice.http.post("/api/v1/me/import", content=body, headers=headers)).status_code == 200
    found = {task["title"]: task for task in (await alice.http.get(TASKS)).json()}
    assert moment(found["past"]["completed_at"]) == moment(THEN)
    assert moment(found["future"]["completed_at"]) <= datetime.now(UTC) + timedelta(seconds=1)
    assert (await bob.http.get(TASKS)).json() == []

"""What a user can do with tasks of their own: every verb, completion and the clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from taskward.tasks.schemas import TaskRead
from tests.databases import Superuser
from tests.task_values import DEFAULTS
from tests.users import User

TASKS = "/api/v1/tasks"
MEMBERS = list(TaskRead.model_fields)
# What the server decides of a new task, besides what is declared.
OF_THE_SERVER = {"series_id": None, "deleted_at": None}


async def read(user: User, task_id: str) -> dict[str, Any]:
    response = await user.http.get(f"{TASKS}/{task_id}")
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


async def clock_of(superuser: Superuser, user: User) -> int | None:
    clock: int | None = await superuser.fetchval("SELECT clock FROM taskward.account WHERE user_id = $1", user.id)
    return clock


async def test_a_created_task_is_answered_whole_with_its_location_and_etag(alice: User):
    response = await alice.http.post(TASKS, json={"title": "  Buy milk  ", "description": "Blue cap"})
    task = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{TASKS}/{task['id']}"
    assert response.headers["etag"] == f'"{task["version"]}"'
    assert response.headers["content-type"] == "application/json"
    assert list(task) == MEMBERS
    assert task["title"] == "Buy milk"
    assert task["user_id"] == alice.id
    assert {name: task[name] for name in DEFAULTS | OF_THE_SERVER} == {
        **DEFAULTS,
        **OF_THE_SERVER,
        "description": "Blue cap",
    }
    assert task["position"] == task["id"]
    assert (await alice.http.get(response.headers["location"])).json() == task


async def test_a_task_may_be_created_completed(alice: User):
    task = await alice.create(completed=True)
    assert task["completed"] is True
    assert task["completed_at"] == task["created_at"]


async def test_head_answers_as_get_without_a_body(alice: User):
    task = await alice.create()
    for path in (TASKS, f"{TASKS}/{task['id']}"):
        got, head = await alice.http.get(path), await alice.http.head(path)
        assert head.status_code == got.status_code == 200
        assert head.content == b""
        names = ("etag", "content-type", "content-length", "cache-control", "vary")
        assert [head.headers.get(n) for n in names] == [got.headers.get(n) for n in names]


async def test_timestamps_are_the_databases_and_only_updated_at_moves(alice: User, superuser: Superuser):
    before = await superuser.fetchval("SELECT clock_timestamp()")
    task = await alice.create()
    changed = (await alice.http.patch(f"{TASKS}/{task['id']}", json={"title": "Buy oat milk"})).json()
    after = await superuser.fetchval("SELECT clock_timestamp()")
    created, updated = (datetime.fromisoformat(changed[name]) for name in ("created_at", "updated_at"))
    assert before <= created < updated <= after
    assert changed["created_at"] == task["created_at"] == task["updated_at"]
    assert task["created_at"].endswith("Z")
    assert created.tzinfo == UTC
    row = await superuser.fetchrow("SELECT created_at, updated_at FROM taskward.task WHERE user_id = $1", alice.id)
    assert row is not None
    assert (row["created_at"], row["updated_at"]) == (created, updated)


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
async def test_an_empty_change_changes_nothing_and_takes_no_version(alice: User, superuser: Superuser, verb: str):
    task = await alice.create(description="Blue cap", completed=True)
    clock = await clock_of(superuser, alice)
    response = await alice.http.request(verb, f"{TASKS}/{task['id']}", json={})
    assert response.status_code == 200
    assert response.json() == task
    assert await clock_of(superuser, alice) == clock


async def test_a_read_task_can_be_put_back_whole_and_what_only_the_server_writes_is_ignored(alice: User):
    task = await alice.create(description="Blue cap", completed=True)
    lies = {
        "id": str(uuid7()), "user_id": "mallory", "version": -1, "created_at": 0,
        "updated_at": [], "deleted_at": {"a": 1}, "position": 0,
    }  # fmt: skip
    for put in (task, {**task, **lies, "completed_at": task["completed_at"]}):
        answer = (await alice.http.put(f"{TASKS}/{task['id']}", json=put)).json()
        assert answer["version"] > task["version"]
        moved = {"version", "updated_at"}
        assert {k: v for k, v in answer.items() if k not in moved} == {k: v for k, v in task.items() if k not in moved}


async def test_complete_without_a_body_toggles(alice: User):
    task = await alice.create()
    path = f"{TASKS}/{task['id']}/complete"
    done = (await alice.http.patch(path)).json()
    assert (done["completed"], done["completed_at"]) == (True, done["updated_at"])
    reopened = (await alice.http.patch(path)).json()
    assert (reopened["completed"], reopened["completed_at"]) == (False, None)


async def test_complete_with_a_body_sets_and_keeps_the_first_time_of_completion(alice: User):
    task = await alice.create()
    path = f"{TASKS}/{task['id']}/complete"
    first = (await alice.http.patch(path, json={"completed": True})).json()
    second = (await alice.http.patch(path, json={"completed": True})).json()
    assert second["completed_at"] == first["completed_at"]
    assert (await alice.http.patch(path, json={"completed": False})).json()["completed_at"] is None
    assert (await alice.http.patch(path, json={"completed": False})).json()["completed"] is False


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
async def test_completed_and_completed_at_move_together(alice: User, verb: str):
    task = await alice.create()
    done = (await alice.http.request(verb, f"{TASKS}/{task['id']}", json={"completed": True})).json()
    assert done["completed_at"] == done["updated_at"]
    renamed = (await alice.http.request(verb, f"{TASKS}/{task['id']}", json={"title": "Other"})).json()
    assert renamed["completed_at"] == done["completed_at"]
    reopened = (await alice.http.request(verb, f"{TASKS}/{task['id']}", json={"completed": False})).json()
    assert reopened["completed_at"] is None


async def test_two_toggles_at_once_both_count(alice: User):
    task = await alice.create()
    answers = await asyncio.gather(*(alice.http.patch(f"{TASKS}/{task['id']}/complete") for _ in range(10)))
    assert sorted(a.json()["completed"] for a in answers) == [False] * 5 + [True] * 5
    assert (await read(alice, task["id"]))["completed"] is False


async def test_a_row_that_has_no_json_is_no_empty_page(alice: User, superuser: Superuser):
    await alice.create()
    await superuser.execute("UPDATE taskward.task SET created_at = 'infinity' WHERE user_id = $1", alice.id)
    assert (await alice.http.get(TASKS)).status_code == 500


async def test_versions_rise_with_every_write_and_stay_apart_per_user(alice: User, bob: User):
    first = await alice.create()
    await bob.create()
    await bob.create()
    second = await alice.create()
    changed = (await alice.http.patch(f"{TASKS}/{first['id']}", json={"title": "Other"})).json()
    assert [first["version"], second["version"], changed["version"]] == [1, 2, 3]


async def test_versions_are_unique_under_fifty_writes_at_once(alice: User, superuser: Superuser):
    tasks = [await alice.create(f"Task {n}") for n in range(5)]
    creates = [alice.http.post(TASKS, json={"title": f"New {n}"}) for n in range(25)]
    changes = [alice.http.patch(f"{TASKS}/{tasks[n % 5]['id']}", json={"title": f"Changed {n}"}) for n in range(25)]
    answers = await asyncio.gather(*creates, *changes)
    assert {a.status_code for a in answers} == {200, 201}
    versions = [a.json()["version"] for a in answers]
    assert sorted(versions) == list(range(6, 56))
    assert await clock_of(superuser, alice) == 55


async def test_first_writes_at_once_make_one_account_and_count_from_one(alice: User, superuser: Superuser):
    answers = await asyncio.gather(*(alice.http.post(TASKS, json={"title": f"New {n}"}) for n in range(10)))
    assert sorted(a.json()["version"] for a in answers) == list(range(1, 11))
    assert await clock_of(superuser, alice) == 10


async def test_a_miss_takes_no_clock_and_makes_no_account(alice: User, bob: User, superuser: Superuser):
    task = await alice.create()
    for user in (alice, bob):
        clock = await clock_of(superuser, user)
        for task_id, status in [(str(uuid7()), 404)] + ([(task["id"], 403)] if user is bob else []):
            path = f"{TASKS}/{task_id}"
            for verb, sub in [("PATCH", ""), ("PUT", ""), ("PATCH", "/complete"), ("POST", "/restore"),
                              ("POST", "/move"), ("DELETE", ""), ("DELETE", "?permanent=true")]:  # fmt: skip
                body = {"title": "x"} if not sub and verb[0] == "P" else {"after": None} if sub == "/move" else None
                missed = await user.http.request(verb, path + sub, json=body)
                assert missed.status_code == status, (verb, sub)
        assert await clock_of(superuser, user) == clock
    assert await clock_of(superuser, bob) is None
    assert not await superuser.fetch("SELECT FROM taskward.tombstone WHERE user_id = $1", bob.id)


async def test_me_says_who_the_token_is_and_until_when(alice: User):
    response = await alice.http.get("/api/v1/me")
    me = response.json()
    assert response.status_code == 200
    assert me["user_id"] == alice.id
    left = datetime.fromisoformat(me["expires_at"]) - datetime.now(UTC)
    assert 3500 < left.total_seconds() <= 3600


async def test_a_completion_without_completed_is_refused_and_no_body_toggles(alice: User):
    path = f"{TASKS}/{(await alice.create())['id']}/complete"
    for body in ({}, {"completed": None}):
        refused = await alice.http.patch(path, json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/completed")
    assert [(await alice.http.patch(path)).json()["completed"] for _ in range(3)] == [True, False, True]

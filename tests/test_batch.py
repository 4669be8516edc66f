"""Several changes in one request: all or none, or each by itself, in a number of statements that does not grow."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from taskward.storage.session import Session
from tests.databases import Superuser
from tests.users import User

TASKS = "/api/v1/tasks"


async def send(user: User, *operations: Any, **more: Any) -> httpx2.Response:
    return await user.http.post(f"{TASKS}/batch", json={"operations": operations, **more})


def results(response: httpx2.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    return response.json()["results"]  # type: ignore[no-any-return]


async def listed(user: User) -> dict[str, Any]:
    return {task["id"]: task for task in (await user.http.get(TASKS, params={"limit": 200})).json()}


async def test_each_kind_of_change_is_made_in_its_place(alice: User):
    one, two, three = [await alice.create(title) for title in ("One", "Two", "Three")]
    await alice.trash(three["id"])
    found = results(
        await send(
            alice,
            {"op": "create", "task": {"title": "Four", "tags": ["x"]}},
            {"op": "update", "id": one["id"], "task": {"title": "Uno", "metadata": {"a": 1}}},
            {"op": "complete", "id": one["id"]},
            {"op": "delete", "id": two["id"]},
            {"op": "restore", "id": three["id"]},
            {"op": "complete", "id": three["id"], "task": {"completed": False}},
        )
    )
    assert [result["status"] for result in found] == [201, 200, 200, 204, 200, 200]
    tasks = await listed(alice)
    assert {task["title"] for task in tasks.values()} == {"Uno", "Three", "Four"}
    for result in found:
        if result["task"] is not None:
            assert result["task"] == tasks[result["task"]["id"]]
    assert found[1]["task"] == found[2]["task"]
    assert (found[1]["task"]["completed"], found[3]["task"]) == (True, None)
    trash = (await alice.http.get(TASKS, params={"deleted": "true"})).json()
    assert [task["id"] for task in trash] == [two["id"]]


async def test_versions_are_unique_and_rise_in_the_order_of_the_rows(alice: User):
    before = await alice.create()
    found = results(await send(alice, *({"op": "create", "task": {"title": f"Task {n}"}} for n in range(20))))
    versions = [result["task"]["version"] for result in found]
    assert versions == list(range(before["version"] + 1, before["version"] + 21))
    assert (await alice.create())["version"] == versions[-1] + 1


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_of_an_atomic_batch_the_first_failure_is_the_answer_and_nothing_is_written(alice: User, place: int):
    task = await alice.create()
    tag = (await alice.http.get(TASKS)).headers["etag"]
    operations: list[Any] = [
        {"op": "create", "task": {"title": "Other"}},
        {"op": "update", "id": task["id"], "task": {"title": "Changed"}},
    ]
    operations.insert(place, {"op": "complete", "id": str(uuid7())})
    response = await send(alice, *operations, {"op": "complete", "id": task["id"], "if_match": 99})
    assert response.status_code == 404
    assert (response.json()["type"], response.json()["index"]) == ("/problems/task-not-found", place)
    again = await alice.http.get(TASKS)
    assert again.json() == [task]
    assert again.headers["etag"] == tag


async def test_with_a_key_the_ids_of_others_are_told_from_nobodys(alice: User, bob: User):
    mine, theirs = await alice.create("Mine"), await bob.create("Theirs")
    ids = [theirs["id"], str(uuid7()), mine["id"]]
    body = {"operations": [{"op": "complete", "id": one} for one in ids], "atomic": False}
    for _ in range(2):
        response = await alice.http.post(f"{TASKS}/batch", json=body, headers={"Idempotency-Key": "a-key"})
        assert [result["status"] for result in results(response)] == [403, 404, 200]
    assert response.headers["idempotency-replayed"] == "true"


async def test_without_atomic_each_stands_for_itself(alice: User, bob: User):
    task, his = await alice.create(), await bob.create("Secret")
    found = results(
        await send(
            alice,
            {"op": "update", "id": task["id"], "task": {"title": "Changed"}, "if_match": 99},
            {"op": "complete", "id": his["id"]},
            {"op": "delete", "id": str(uuid7())},
            {"op": "create", "task": {"title": "x", "list_id": str(uuid7())}},
            {"op": "create", "id": task["id"], "task": {"title": "x"}},
            {"op": "create", "task": {"title": "Made"}},
            atomic=False,
        )
    )
    assert [result["status"] for result in found] == [412, 403, 404, 422, 409, 201]
    kinds = ["precondition-failed", "forbidden", "task-not-found", "invalid", "task-id-taken"]
    assert [result["problem"]["type"] for result in found[:5]] == [f"/problems/{kind}" for kind in kinds]
    assert [result["problem"]["index"] for result in found[:5]] == list(range(5))
    assert found[0]["problem"]["version"] == task["version"]
    assert found[3]["problem"]["errors"][0]["pointer"] == "/operations/3/task/list_id"
    assert "Secret" not in str(found)
    assert {one["title"] for one in (await listed(alice)).values()} == {"Buy milk", "Made"}
    assert (await bob.http.get(f"{TASKS}/{his['id']}")).json() == his


async def test_a_refused_change_leaves_no_part_of_itself(alice: User):
    parent = await alice.create("Parent")
    child = await alice.create("Child", parent_id=parent["id"])
    found = results(
        await send(
            alice,
            {"op": "update", "id": parent["id"], "task": {"title": "Changed", "parent_id": child["id"]}},
            {"op": "update", "id": child["id"], "task": {"tags": ["x"], "due_at": "2026-12-01T00:00:00Z"}},
            atomic=False,
        )
    )
    assert [result["status"] for result in found] == [409, 422]
    assert await listed(alice) == {parent["id"]: parent, child["id"]: child}


async def test_a_parent_and_its_parts_may_be_made_together(alice: User):
    top, below = str(uuid7()), str(uuid7())
    found = results(
        await send(
            alice,
            {"op": "create", "id": top, "task": {"title": "Top"}},
            {"op": "create", "id": below, "task": {"title": "Below", "parent_id": top}},
            {"op": "create", "task": {"title": "Lowest", "parent_id": below}},
        )
    )
    assert [result["task"]["parent_id"] for result in found] == [None, top, below]
    response = await send(alice, {"op": "delete", "id": top}, {"op": "restore", "id": below})
    assert results(response)[1]["task"]["parent_id"] is None
    assert set(await listed(alice)) == {below, found[2]["task"]["id"]}


@pytest.mark.parametrize("tag", [None, '"{}"', 'W/"{}"', '"{}-gzip"', 'W/"{}--br"'])
async def test_a_precondition_is_a_version_or_an_etag(alice: User, tag: str | None):
    task = await alice.create()
    version = task["version"]
    if_match: Any = version if tag is None else tag.format(version)
    assert results(await send(alice, {"op": "complete", "id": task["id"], "if_match": if_match}))[0]["status"] == 200
    stale = await send(alice, {"op": "complete", "id": task["id"], "if_match": if_match})
    assert (stale.status_code, stale.json()["version"]) == (412, version + 1)


ID = "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c"


@pytest.mark.parametrize(
    ("operation", "pointer"),
    [
        ({"op": "zap", "id": ID}, ""),
        ({"id": ID}, ""),
        ({"op": ["create"]}, ""),
        (5, ""),
        (None, ""),
        ({"op": "create"}, "/task"),
        ({"op": "create", "task": {"title": ""}}, "/task/title"),
        ({"op": "create", "task": {"title": "x", "user_id": "x"}}, "/task/user_id"),
        ({"op": "create", "task": {"title": "x"}, "if_match": 1}, "/if_match"),
        ({"op": "create", "id": "x", "task": {"title": "x"}}, "/id"),
        ({"op": "create", "id": ID, "task": {"title": "x", "id": ID[:-1] + "d"}}, ""),
        ({"op": "update", "task": {"title": "x"}}, "/id"),
        ({"op": "update", "id": ID}, "/task"),
        ({"op": "complete", "id": ID, "task": {"completed": True, "title": "x"}}, "/task/title"),
        ({"op": "complete", "id": ID, "task": {}}, "/task/completed"),
        ({"op": "delete", "id": ID, "task": {}}, "/task"),
        ({"op": "delete", "id": "x"}, "/id"),
        ({"op": "restore", "id": ID, "if_match": "x"}, "/if_match"),
        ({"op": "restore", "id": ID, "if_match": 0}, "/if_match"),
        ({"op": "restore", "id": ID, "if_match": 2**63}, "/if_match"),
        ({"op": "restore", "id": ID, "user_id": "bob"}, "/user_id"),
    ],
)
async def test_what_does_not_fit_is_named_by_its_index(alice: User, operation: Any, pointer: str):
    response = await send(alice, {"op": "create", "task": {"title": "x"}}, operation, atomic=False)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/operations/1{pointer}"]
    assert await listed(alice) == {}


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_one_to_a_hundred_operations(alice: User, count: int):
    response = await send(alice, *({"op": "create", "task": {"title": "x"}} for _ in range(count)))
    assert [error["pointer"] for error in response.json()["errors"]] == ["/operations"]
    assert response.status_code == 422


async def test_a_batch_may_have_a_mebibyte(alice: User):
    task = {"title": "x", "description": "x" * 10_000}
    operations = [{"op": "create", "task": task}] * 100
    assert len(results(await send(alice, *operations))) == 100
    wide = [{"op": "create", "task": {**task, "description": "\N{SNOWMAN}" * 10_000}}] * 40
    response = await send(alice, *wide)
    assert (response.status_code, response.json()["type"]) == (413, "/problems/content-too-large")


async def test_a_hundred_take_as_many_statements_as_two(alice: User, monkeypatch: pytest.MonkeyPatch):
    counts: list[int] = []
    fetch = Session.fetch

    async def counting(self: Session, *arguments: Any, **values: Any) -> Any:
        counts[-1] += 1
        return await fetch(self, *arguments, **values)

    async def batch(size: int) -> None:
        tasks = [await alice.create() for _ in range(size)]
        counts.append(0)
        monkeypatch.setattr(Session, "fetch", counting)
        one = [{"op": "create", "task": {"title": "x", "tags": ["a"]}}]
        kinds: list[dict[str, Any]] = [
            {"op": "update", "task": {"title": "y", "metadata": {"a": 1}}},
            {"op": "complete"},
            {"op": "delete"},
        ]
        changes = [{**kinds[n % 3], "id": task["id"]} for n, task in enumerate(tasks)]
        results(await send(alice, *(one * size), *changes))
        monkeypatch.setattr(Session, "fetch", fetch)

    await batch(3)
    await batch(50)
    assert counts[0] == counts[1]
    assert counts[1] <= 12


async def test_batches_in_opposite_orders_do_not_block_each_other(alice: User):
    tasks = [await alice.create() for _ in range(10)]
    change = [{"op": "complete", "id": task["id"]} for task in tasks]
    answers = await asyncio.gather(*(send(alice, *(change if n % 2 else change[::-1])) for n in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert not any(task["completed"] for task in (await listed(alice)).values())


async def test_a_series_goes_on_within_a_batch(alice: User):
    task = await alice.create(due_date="2026-01-10", time_zone="UTC", recurrence="FREQ=DAILY")
    (result,) = results(await send(alice, {"op": "complete", "id": task["id"]}))
    (following,) = [one for one in (await listed(alice)).values() if one["id"] != task["id"]]
    assert (following["recurrence"], following["completed"]) == ("FREQ=DAILY", False)
    assert result["next_id"] == following["id"]
    # Reopened, and completed again: the one that nobody has touched is gone, and there is another.
    found = results(await send(alice, {"op": "complete", "id": task["id"]}, {"op": "complete", "id": task["id"]}))
    tasks = await listed(alice)
    assert following["id"] not in tasks
    assert sorted(one["completed"] for one in tasks.values()) == [False, True]
    assert "next_id" not in found[0]
    assert not tasks[found[1]["next_id"]]["completed"]


async def test_a_result_names_no_next_that_the_batch_took_away_again(alice: User):
    task = await alice.create(due_date="2026-01-10", time_zone="UTC", recurrence="FREQ=DAILY")
    update = {"op": "update", "id": task["id"], "task": {"completed": True}}
    found = results(await send(alice, update, {"op": "complete", "id": task["id"]}))
    (left,) = (await listed(alice)).values()
    assert found == [{"status": 200, "task": left}] * 2
    assert "next_id" in results(await send(alice, update))[0]


async def test_a_batch_of_which_nothing_is_carried_out_leaves_nothing_at_all(alice: User, superuser: Superuser):
    found = results(await send(alice, {"op": "complete", "id": str(uuid7())}, atomic=False))
    assert [result["status"] for result in found] == [404]
    assert await superuser.fetchval("SELECT count(*) FROM taskward.account WHERE user_id = $1", alice.id) == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_the_batchs_path_is_no_tasks_id(alice: User, method: str):
    response = await alice.http.request(method, f"{TASKS}/batch", json={"title": "x"})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_an_id_that_a_batch_has_erased_is_taken_until_it_is_written(alice: User):
    task = await alice.create(due_date="2026-01-10", time_zone="UTC", recurrence="FREQ=DAILY")
    next_id = results(await send(alice, {"op": "complete", "id": task["id"]}))[0]["task"]
    (following,) = [one for one in await listed(alice) if one != task["id"]]
    reopen = {"op": "complete", "id": task["id"], "task": {"completed": False}}
    found = results(
        await send(alice, reopen, {"op": "create", "task": {"title": "Mine", "id": following}}, atomic=False)
    )
    assert [result["status"] for result in found] == [200, 409]
    assert next_id is not None
    assert set(await listed(alice)) == {task["id"]}

"""Parts of a recurring task: what goes on with the next one, what comes back, and which list parts are in."""

from __future__ import annotations

import json
import secrets
from datetime import date
from typing import Any

import pytest

from taskward.identity import Owner
from taskward.storage.database import Database
from taskward.storage.session import Session
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from tests.test_recurring_tasks import complete, count, following, reopen
from tests.test_task_members import make_list, pointers
from tests.users import NewUser, User

TASKS = "/api/v1/tasks"
WEEKLY: dict[str, Any] = {"due_date": "2030-01-01", "time_zone": "Europe/Berlin", "recurrence": "FREQ=WEEKLY"}


async def parts(user: User, task_id: str) -> dict[str, dict[str, Any]]:
    found = await user.http.get(TASKS, params={"parent_id": task_id, "sort": "position", "limit": "200"})
    return {task["title"]: task for task in found.json()}


async def read(user: User, task: dict[str, Any]) -> Any:
    response = await user.http.get(f"{TASKS}/{task['id']}")
    return response.json() if response.status_code == 200 else None


async def house(user: User) -> dict[str, dict[str, Any]]:
    """A recurring task with parts of every kind."""
    made = {"top": await user.create("top", **WEEKLY, list_id=await make_list(user))}

    async def part(title: str, above: str, **members: Any) -> None:
        made[title] = await user.create(title, parent_id=made[above]["id"], **members)

    await part("day", "top", due_date="2029-12-30", description="a", tags=["x"], metadata={"n": 1}, priority="low")
    await part("done", "top", completed=True, due_at="2030-01-01T01:30:00Z", time_zone="America/New_York")
    await part("deep", "done", list_id=None)
    await part("deeper", "deep", completed=True)
    await part("daily", "done", **{**WEEKLY, "recurrence": "FREQ=DAILY"})
    await part("of daily", "daily")
    await part("thrown away", "top")
    await user.trash(made["thrown away"]["id"])
    made["daily now"] = await following(user, await complete(user, made["daily"]))
    await user.http.post(f"{TASKS}/{made['done']['id']}/move", json={"after": None})
    return made


async def test_the_next_one_has_copies_of_the_parts_and_those_that_recur_themselves(alice: User):
    made = await house(alice)
    before = {title: await read(alice, task) for title, task in made.items()}
    position = before["top"]["position"]
    top = await following(alice, await complete(alice, made["top"]))
    assert (top["position"], top["due_date"]) == (position, "2030-01-08")
    first = await parts(alice, top["id"])
    assert list(first) == ["done", "day"]
    same = ("title", "description", "tags", "metadata", "priority", "list_id", "time_zone")
    for title in first:
        assert {name: first[title][name] for name in same} == {name: before[title][name] for name in same}
        assert (first[title]["completed"], first[title]["series_id"]) == (False, None)
    assert first["day"]["due_date"] == "2030-01-06"
    assert first["done"]["due_at"] == "2030-01-08T01:30:00.000000Z"
    second = await parts(alice, first["done"]["id"])
    assert (list(second), second["deep"]["list_id"]) == (["deep", "daily"], None)
    # It recurs by itself, and is the one that it was.
    assert second["daily"]["id"] == made["daily now"]["id"]
    assert list(await parts(alice, second["daily"]["id"])) == ["of daily"]
    assert {one["completed"] for one in (await parts(alice, second["deep"]["id"])).values()} == {False}
    # The others stay with the done one as they were.
    for title in ("day", "done", "deep", "deeper", "daily", "of daily"):
        assert await read(alice, made[title]) == before[title]


@pytest.mark.parametrize("way", ["request", "batch"])
async def test_parts_can_be_left(alice: User, way: str):
    made = await house(alice)
    body = {"completed": True, "subtasks": "leave"}
    if way == "request":
        answer = await alice.http.patch(f"{TASKS}/{made['top']['id']}/complete", json=body)
        next_id = answer.headers["link"].partition(">")[0].rpartition("/")[2]
    else:
        operation = {"op": "complete", "id": made["top"]["id"], "task": body}
        answer = await alice.http.post(f"{TASKS}/batch", json={"operations": [operation]})
        next_id = answer.json()["results"][0]["next_id"]
    assert answer.status_code == 200
    assert await parts(alice, next_id) == {}
    assert (await read(alice, made["daily now"]))["parent_id"] == made["done"]["id"]


@pytest.mark.parametrize("wrong", ["x", None, True])
async def test_what_becomes_of_parts_is_copy_or_leave(alice: User, wrong: Any):
    task = await alice.create(**WEEKLY)
    body = {"completed": True, "subtasks": wrong}
    assert pointers(await alice.http.patch(f"{TASKS}/{task['id']}/complete", json=body)) == ["/subtasks"]
    assert pointers(await alice.http.patch(f"{TASKS}/{task['id']}", json=body)) == ["/subtasks"]


async def test_reopening_removes_the_copies_and_gives_back_what_was_moved(alice: User):
    made = await house(alice)
    before = {title: await read(alice, task) for title, task in made.items()}
    number = await count(alice)
    for _ in range(2):
        top = await following(alice, await complete(alice, made["top"]))
        copies = await parts(alice, top["id"])
        await reopen(alice, made["top"])
        assert await read(alice, top) is None
        assert [await read(alice, one) for one in copies.values()] == [None, None]
        assert await count(alice) == number
    assert {title: (await read(alice, task) or {}).get("parent_id") for title, task in made.items()} == {
        title: (task or {}).get("parent_id") for title, task in before.items()
    }


async def test_a_moved_part_goes_back_as_it_is_by_then(alice: User):
    made = await house(alice)
    await complete(alice, made["top"])
    await alice.http.patch(f"{TASKS}/{made['daily now']['id']}", json={"title": "Renamed"})
    later = await following(alice, await complete(alice, made["daily now"]))
    await reopen(alice, made["top"])
    assert (await read(alice, made["daily now"]))["title"] == "Renamed"
    for one in (made["daily now"], later):
        assert (await read(alice, one))["parent_id"] == made["done"]["id"]


TOUCHES: dict[str, tuple[str, str, Any]] = {
    "changed": ("PATCH", "", {"priority": "urgent"}),
    "completed": ("PATCH", "/complete", None),
    "moved away": ("PATCH", "", {"parent_id": None}),
    "trashed": ("DELETE", "", None),
    "erased": ("DELETE", "?permanent=true", None),
}


@pytest.mark.parametrize("touch", [*TOUCHES, "added to"])
async def test_a_copy_that_was_touched_keeps_the_next_one(alice: User, touch: str):
    made = await house(alice)
    top = await following(alice, await complete(alice, made["top"]))
    copy = (await parts(alice, top["id"]))["day"]
    if touch == "added to":
        await alice.create("mine", parent_id=copy["id"])
    else:
        method, sub, body = TOUCHES[touch]
        await alice.http.request(method, f"{TASKS}/{copy['id']}{sub}", json=body)
    number = await count(alice)
    reopened = (await reopen(alice, made["top"])).json()
    assert (reopened["recurrence"], reopened["series_id"]) == (None, None)
    assert await count(alice) == number
    assert (await read(alice, top))["series_id"] == made["top"]["series_id"]
    assert (await read(alice, made["daily now"]))["parent_id"] != made["done"]["id"]


async def test_a_part_is_not_given_back_into_itself(alice: User):
    made = await house(alice)
    top = await following(alice, await complete(alice, made["top"]))
    put = await alice.http.patch(f"{TASKS}/{made['top']['id']}", json={"parent_id": made["daily now"]["id"]})
    assert put.status_code == 200
    await reopen(alice, made["top"])
    assert await read(alice, top) is not None
    assert (await read(alice, made["top"]))["parent_id"] == made["daily now"]["id"]


async def test_a_part_that_is_made_without_a_list_is_in_its_parents(alice: User):
    home, other = await make_list(alice), await make_list(alice)
    top = await alice.create("top", list_id=home)
    below = await alice.create("below", parent_id=top["id"])
    deep = await alice.create("deep", parent_id=below["id"])
    assert (below["list_id"], deep["list_id"]) == (home, home)
    for sent in (None, other):
        assert (await alice.create("sent", parent_id=top["id"], list_id=sent))["list_id"] == sent
    operations = [
        {"op": "create", "task": {"title": "new", "id": "01940000-0077-7000-8000-000000000001", "list_id": other}},
        {"op": "create", "task": {"title": "its", "parent_id": "01940000-0077-7000-8000-000000000001"}},
        {"op": "create", "task": {"title": "in none", "parent_id": top["id"], "list_id": None}},
    ]
    results = (await alice.http.post(f"{TASKS}/batch", json={"operations": operations})).json()["results"]
    assert [result["task"]["list_id"] for result in results] == [other, other, None]


async def test_an_imported_part_without_a_list_is_in_its_parents(alice: User):
    home = await make_list(alice)
    top = "01940000-0077-7000-8000-000000000002"
    lines: list[dict[str, Any]] = [
        {"type": "task", "id": "01940000-0077-7000-8000-000000000003", "title": "below", "parent_id": top},
        {"type": "task", "id": "01940000-0077-7000-8000-000000000004", "title": "in none", "parent_id": top}
        | {"list_id": None},
        {"type": "task", "id": top, "title": "top", "list_id": home},
    ]
    headers = {"Content-Type": "application/x-ndjson"}
    body = "\n".join(map(json.dumps, lines))
    assert (await alice.http.post("/api/v1/me/import", content=body, headers=headers)).status_code == 200
    assert {title: one["list_id"] for title, one in (await parts(alice, top)).items()} == {
        "below": home,
        "in none": None,
    }


@pytest.mark.parametrize("way", ["PATCH", "PUT", "move", "batch"])
async def test_parts_go_along_to_another_list(alice: User, way: str):
    home, new, other = [await make_list(alice) for _ in range(3)]
    top = await alice.create("top", list_id=home)
    below = await alice.create("below", parent_id=top["id"])
    deep = await alice.create("deep", parent_id=below["id"])
    thrown = await alice.create("thrown away", parent_id=deep["id"])
    await alice.trash(thrown["id"])
    elsewhere = [await alice.create("elsewhere", parent_id=below["id"], list_id=one) for one in (other, None)]
    path, changes = f"{TASKS}/{top['id']}", {"list_id": new}
    if way == "move":
        answer = await alice.http.post(f"{path}/move", json={**changes, "after": None})
    elif way == "batch":
        operation = {"op": "update", "id": top["id"], "task": changes}
        answer = await alice.http.post(f"{TASKS}/batch", json={"operations": [operation]})
    else:
        answer = await alice.http.request(way, path, json=changes)
    assert answer.status_code == 200
    assert [(await read(alice, one))["list_id"] for one in (top, below, deep)] == [new] * 3
    assert [(await read(alice, one))["list_id"] for one in elsewhere] == [other, None]
    assert (await alice.http.post(f"{TASKS}/{thrown['id']}/restore")).json()["list_id"] == new
    # Out of it again, and into one from none.
    for list_id in (None, home):
        assert (await alice.http.patch(path, json={"list_id": list_id})).status_code == 200
        assert [(await read(alice, one))["list_id"] for one in (top, below, deep)] == [list_id] * 3


async def test_an_export_has_what_was_moved_and_an_import_takes_it(alice: User, new_user: NewUser):
    made = await house(alice)
    await complete(alice, made["top"])
    export = (await alice.http.get("/api/v1/me/export")).content
    moved = {line["title"]: line["moved_from"] for line in map(json.loads, export.splitlines()) if "title" in line}
    assert moved["daily"] == made["done"]["id"]
    carol = await new_user("carol")
    headers = {"Content-Type": "application/x-ndjson"}
    assert (await carol.http.post("/api/v1/me/import", content=export, headers=headers)).status_code == 200
    again = (await carol.http.get("/api/v1/me/export")).content
    told = ("id", "series_id", "next_id", "moved_from", "parent_id", "position")
    assert [[json.loads(line).get(name) for name in told] for line in again.splitlines()] == [
        [json.loads(line).get(name) for name in told] for line in export.splitlines()
    ]


@pytest.mark.parametrize("number_of_parts", [0, 1, 40])
async def test_completing_takes_as_many_statements_whatever_the_number_of_parts(
    database: Database, monkeypatch: pytest.MonkeyPatch, number_of_parts: int
):
    statements: list[str] = []
    fetch = Session.fetch

    async def counted(self: Session, statement: Any, **values: Any) -> Any:
        statements.append(str(statement))
        return await fetch(self, statement, **values)

    owner = Owner(f"erin-{secrets.token_hex(4)}")
    task = TaskCreate(title="top", due_date=date(2030, 1, 1), time_zone="UTC", recurrence="FREQ=DAILY")
    async with database.session(owner) as session:
        await TaskStore(session).add(task)
        for number in range(number_of_parts):
            await TaskStore(session).add(TaskCreate(title=f"{number}", parent_id=task.id))
    monkeypatch.setattr(Session, "fetch", counted)
    async with database.session(owner) as session:
        await TaskStore(session).toggle(task.id, None)
    # The one that would do for an ordinary task, the turn, what is below, new rows, old ones, the turn's end.
    assert len(statements) == 6

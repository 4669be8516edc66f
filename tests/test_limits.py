"""Limits: how much one user may have, which nobody exceeds, however many write at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from taskward.app import create_app
from tests.clusters import Cluster
from tests.databases import Superuser
from tests.serving import NO_TLS, make_settings, make_token, serving
from tests.users import User

LISTS, TAGS, TASKS = "/api/v1/lists", "/api/v1/tags", "/api/v1/tasks"
MOST_TASKS, MOST_LISTS, MOST_TAGS = 5, 3, 4


@pytest.fixture(scope="module")
def small_url(cluster: Cluster, template: str) -> Iterator[str]:
    """A service of its own, in which one may have little."""
    settings = make_settings(
        cluster.url(template), max_tasks=MOST_TASKS, max_lists=MOST_LISTS, max_tags=MOST_TAGS, pool_size=8
    )
    with serving(create_app(settings)) as url:
        yield url


NewUser = Callable[[str], Awaitable[User]]


@pytest.fixture
async def new_small(small_url: str) -> AsyncIterator[NewUser]:
    clients: list[httpx2.AsyncClient] = []

    async def make(name: str) -> User:
        user_id = f"{name}-{secrets.token_hex(4)}"
        token = make_token(user_id)
        headers = {"Authorization": f"Bearer {token}"}
        clients.append(httpx2.AsyncClient(base_url=small_url, headers=headers, timeout=30, verify=NO_TLS))
        return User(user_id, token, clients[-1])

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def sam(new_small: NewUser) -> User:
    return await new_small("sam")


def assert_reached(response: httpx2.Response, limit: str, most: int, pointer: str = "") -> None:
    problem = response.json()
    assert (response.status_code, problem["type"], problem["limit"]) == (422, "/problems/limit-reached", limit)
    assert problem["errors"] == [
        {"in": "body", "pointer": pointer, "detail": f"One user may have at most {most} {limit}."}
    ]
    assert response.headers["content-type"] == "application/problem+json"


async def post_task(user: User, **members: Any) -> httpx2.Response:
    return await user.http.post(TASKS, json={"title": "x", **members})


async def fill(user: User) -> list[dict[str, Any]]:
    return [await user.create(f"{n}") for n in range(MOST_TASKS)]


async def counts(superuser: Superuser, user: User) -> tuple[int, int]:
    """What is counted, once it is what there is."""
    row = await superuser.fetchrow(
        "SELECT tasks, lists, (SELECT count(*) FROM taskward.task WHERE user_id = $1) AS real_tasks,"
        " (SELECT count(*) FROM taskward.list WHERE user_id = $1) AS real_lists"
        " FROM taskward.account WHERE user_id = $1",
        user.id,
    )
    assert row is not None
    assert (row["tasks"], row["lists"]) == (row["real_tasks"], row["real_lists"])
    return row["tasks"], row["lists"]


async def test_one_task_too_many_is_refused_by_every_way_to_make_one(sam: User, superuser: Superuser):
    made = await fill(sam)
    listed = (await sam.http.get(TASKS)).json()
    for members in ({}, {"tags": ["a"]}, {"parent_id": made[0]["id"]}, {"due_date": "2026-01-10"}):
        assert_reached(await post_task(sam, **members), "tasks", MOST_TASKS)
    assert (await sam.http.get(TASKS)).json() == listed
    assert await counts(superuser, sam) == (MOST_TASKS, 0)
    # What is there already may be changed.
    assert (await sam.http.patch(f"{TASKS}/{made[0]['id']}", json={"title": "y", "tags": ["a"]})).status_code == 200


async def test_an_id_that_is_taken_is_said_before_the_limit_or_after_but_never_written(sam: User):
    made = await fill(sam)
    assert (await post_task(sam, id=made[0]["id"])).status_code in {409, 422}
    assert len((await sam.http.get(TASKS)).json()) == MOST_TASKS


async def test_the_trash_counts_and_erasing_makes_room(sam: User, superuser: Superuser):
    made = await fill(sam)
    await sam.trash(made[0]["id"])
    assert_reached(await post_task(sam), "tasks", MOST_TASKS)
    assert_reached(await post_task(sam, tags=["a"]), "tasks", MOST_TASKS)
    for task in made[:2]:
        assert (await sam.http.delete(f"{TASKS}/{task['id']}?permanent=true")).status_code == 204
    assert await counts(superuser, sam) == (MOST_TASKS - 2, 0)
    assert [(await post_task(sam)).status_code, (await post_task(sam, tags=["a"])).status_code] == [201, 201]
    assert_reached(await post_task(sam), "tasks", MOST_TASKS)


async def test_erasing_a_tree_makes_room_for_all_of_it(sam: User, superuser: Superuser):
    top = await sam.create()
    for _ in range(MOST_TASKS - 1):
        await sam.create(parent_id=top["id"])
    assert_reached(await post_task(sam), "tasks", MOST_TASKS)
    assert (await sam.http.delete(f"{TASKS}/{top['id']}?permanent=true")).status_code == 204
    assert await counts(superuser, sam) == (0, 0)
    await fill(sam)


async def test_a_series_goes_on_at_the_limit_of_tasks_but_not_without_end(sam: User, superuser: Superuser):
    day = str(datetime.now(UTC).date())
    rule = {"due_date": day, "time_zone": "UTC"}
    task = await sam.create(recurrence="FREQ=DAILY", **rule)
    last = await sam.create(recurrence="FREQ=DAILY;COUNT=1", **rule)
    for _ in range(MOST_TASKS - 2):
        await sam.create()
    path = f"{TASKS}/{task['id']}"
    next_path = ""
    ways: list[tuple[str, str, Any]] = [
        ("PATCH", "", {"completed": True, "title": "y"}), ("PUT", "", {"completed": True}),
        ("PATCH", "/complete", None), ("PATCH", "/complete", {"completed": True}),
    ]  # fmt: skip
    for verb, sub, body in ways:
        assert (await sam.http.patch(f"{path}/complete", json={"completed": False})).status_code == 200
        done = await sam.http.request(verb, path + sub, json=body)
        assert done.status_code == 200, done.text
        next_path = done.headers["link"].partition(">")[0].removeprefix("<")
        assert await counts(superuser, sam) == (MOST_TASKS + 1, 0)
    # There is no room for anything else, nor for more of them than a tenth of the limit.
    assert_reached(await post_task(sam), "tasks", MOST_TASKS)
    before = (await sam.http.get(TASKS)).json()
    for verb, sub, body in ways:
        assert_reached(await sam.http.request(verb, next_path + sub, json=body), "tasks", MOST_TASKS + 1)
    operations = [{"op": "complete", "id": next_path.rpartition("/")[2]}]
    refused = await sam.http.post(f"{TASKS}/batch", json={"operations": operations})
    assert (refused.status_code, refused.json()["limit"]) == (422, "tasks")
    assert (await sam.http.get(TASKS)).json() == before
    # What makes no other task needs no room.
    for body in ({"completed": True}, {"completed": True}):
        assert (await sam.http.patch(f"{TASKS}/{last['id']}", json=body)).status_code == 200
    assert (await sam.http.patch(next_path, json={"recurrence": None, "completed": True})).status_code == 200
    assert await counts(superuser, sam) == (MOST_TASKS + 1, 0)


async def test_what_is_completed_already_can_be_completed_again_at_the_limit(sam: User, superuser: Superuser):
    rule = {"due_date": str(datetime.now(UTC).date()), "time_zone": "UTC", "recurrence": "FREQ=DAILY"}
    task = await sam.create(**rule)
    path = f"{TASKS}/{task['id']}/complete"
    assert "link" in (await sam.http.patch(path)).headers
    for _ in range(MOST_TASKS - 2):
        await sam.create()
    assert (await sam.http.patch(path, json={"completed": True})).status_code == 200
    # Reopening takes the next back, which makes room, for it as well.
    assert (await sam.http.patch(path, json={"completed": False})).status_code == 200
    assert await counts(superuser, sam) == (MOST_TASKS - 1, 0)
    assert (await sam.http.patch(path, json={"completed": True})).status_code == 200
    assert await counts(superuser, sam) == (MOST_TASKS, 0)


async def test_a_repeated_completion_needs_no_room_where_the_next_was_erased(sam: User, superuser: Superuser):
    rule = {"due_date": str(datetime.now(UTC).date()), "time_zone": "UTC", "recurrence": "FREQ=DAILY"}
    task = await sam.create(**rule)
    path = f"{TASKS}/{task['id']}/complete"
    link = (await sam.http.patch(path)).headers["link"]
    assert (await sam.http.delete(f"{link[1 : link.index('>')]}?permanent=true")).status_code == 204
    for _ in range(MOST_TASKS - 1):
        await sam.create()
    again = await sam.http.patch(path, json={"completed": True})
    assert (again.status_code, again.headers.get("link")) == (200, None)
    assert await counts(superuser, sam) == (MOST_TASKS, 0)


async def test_a_next_one_whose_copies_of_parts_do_not_fit_is_refused_whole(sam: User, superuser: Superuser):
    rule = {"due_date": "2030-01-10", "time_zone": "UTC", "recurrence": "FREQ=DAILY"}
    task = await sam.create(**rule)
    made = [task, *[await sam.create(parent_id=task["id"]) for _ in range(3)]]
    path = f"{TASKS}/{task['id']}"
    before = (await sam.http.get(TASKS)).json()
    for sub, body in (("/complete", None), ("/complete", {"completed": True}), ("", {"completed": True, "title": "x"})):
        assert_reached(await sam.http.patch(f"{path}{sub}", json=body), "tasks", MOST_TASKS + 1)
        assert (await sam.http.get(TASKS)).json() == before
    left = await sam.http.patch(f"{path}/complete", json={"completed": True, "subtasks": "leave"})
    assert left.status_code == 200
    assert await counts(superuser, sam) == (len(made) + 1, 0)


async def test_one_list_too_many_is_refused_until_one_is_deleted(sam: User, superuser: Superuser):
    made = [(await sam.http.post(LISTS, json={"name": f"{n}"})).json() for n in range(MOST_LISTS)]
    assert_reached(await sam.http.post(LISTS, json={"name": "x"}), "lists", MOST_LISTS)
    assert await counts(superuser, sam) == (0, MOST_LISTS)
    assert (await sam.http.patch(f"{LISTS}/{made[0]['id']}", json={"name": "y"})).status_code == 200
    assert (await sam.http.delete(f"{LISTS}/{made[0]['id']}")).status_code == 204
    assert (await sam.http.post(LISTS, json={"name": "x"})).status_code == 201
    assert_reached(await sam.http.post(LISTS, json={"name": "x"}), "lists", MOST_LISTS)


async def test_one_tag_too_many_is_refused_on_every_write(sam: User):
    tags = [f"t{n}" for n in range(MOST_TAGS)]
    task = await sam.create(tags=tags)
    path = f"{TASKS}/{task['id']}"
    other = await sam.create(tags=tags[:1])
    for verb, url, body in [
        ("POST", TASKS, {"title": "x", "tags": ["new"]}), ("POST", TASKS, {"title": "x", "tags": [*tags, "new"]}),
        ("PATCH", f"{TASKS}/{other['id']}", {"title": "y", "tags": ["t0", "new"]}),
        ("PUT", path, {"tags": [*tags, "new"]}),
    ]:  # fmt: skip
        assert_reached(await sam.http.request(verb, url, json=body), "tags", MOST_TAGS, "/tags")
    assert (await sam.http.get(TASKS)).json() == [other, task]
    # Those in use may be used, and a tag that is renamed is none more.
    assert (await sam.http.patch(f"{TASKS}/{other['id']}", json={"tags": tags[::-1]})).status_code == 200
    assert (await sam.http.patch(f"{TAGS}/t0", json={"name": "new"})).status_code == 200
    assert (await sam.http.delete(f"{TAGS}/t1")).status_code == 204
    assert (await sam.http.patch(path, json={"tags": ["another"]})).status_code == 200


async def test_tags_of_a_create_that_a_batch_refused_take_no_room(sam: User):
    refused = {"title": "x", "tags": [f"t{n}" for n in range(MOST_TAGS)], "completed_at": "2026-01-10T09:30:00Z"}
    operations = [{"op": "create", "task": refused}, {"op": "create", "task": {"title": "y", "tags": ["new"]}}]
    answer = await sam.http.post(f"{TASKS}/batch", json={"operations": operations, "atomic": False})
    assert [result["status"] for result in answer.json()["results"]] == [422, 201]


async def test_tags_of_tasks_in_the_trash_count_until_those_are_erased(sam: User):
    task = await sam.create(tags=[f"t{n}" for n in range(MOST_TAGS)])
    await sam.trash(task["id"])
    assert_reached(await post_task(sam, tags=["new"]), "tags", MOST_TAGS, "/tags")
    assert (await sam.http.delete(f"{TASKS}/{task['id']}?permanent=true")).status_code == 204
    assert (await post_task(sam, tags=["new"])).status_code == 201


async def test_more_tags_than_the_limit_in_one_task_are_refused(sam: User):
    assert_reached(await post_task(sam, tags=[f"t{n}" for n in range(MOST_TAGS + 1)]), "tags", MOST_TAGS, "/tags")


@pytest.mark.parametrize("plain", [True, False])
async def test_creates_at_once_do_not_exceed_the_limit(new_small: NewUser, superuser: Superuser, plain: bool):
    for _ in range(5):
        user = await new_small("racer")
        members = {} if plain else {"tags": ["a"]}
        answers = await asyncio.gather(*(post_task(user, **members) for _ in range(MOST_TASKS + 5)))
        assert sorted(answer.status_code for answer in answers) == [201] * MOST_TASKS + [422] * 5
        assert await counts(superuser, user) == (MOST_TASKS, 0)


async def test_creates_of_every_kind_and_erasures_at_once_keep_the_counts(sam: User, superuser: Superuser):
    made = await fill(sam)
    erase = [sam.http.delete(f"{TASKS}/{task['id']}?permanent=true") for task in made[:3]]
    create = [post_task(sam, **members) for members in ({}, {"tags": ["a"]}, {"parent_id": made[4]["id"]}) * 3]
    lists = [sam.http.post(LISTS, json={"name": "x"}) for _ in range(MOST_LISTS + 3)]
    answers = await asyncio.gather(*erase, *create, *lists)
    assert {answer.status_code for answer in answers} <= {201, 204, 422}
    assert sorted(answer.status_code for answer in answers[-len(lists) :]) == [201] * MOST_LISTS + [422] * 3
    tasks, _ = await counts(superuser, sam)
    assert tasks <= MOST_TASKS


async def test_different_tags_at_once_do_not_exceed_the_limit(sam: User):
    made = [await sam.create() for _ in range(MOST_TASKS)]
    sent = [
        sam.http.patch(f"{TASKS}/{made[n % MOST_TASKS]['id']}", json={"tags": [f"t{n}"]}) for n in range(MOST_TAGS + 4)
    ]
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {200, 422}
    assert len((await sam.http.get(TAGS)).json()) <= MOST_TAGS


async def test_the_limits_of_one_user_are_no_others(sam: User, new_small: NewUser):
    made = await fill(sam)
    for number in range(MOST_TASKS):
        await sam.http.patch(f"{TASKS}/{made[number]['id']}", json={"tags": [f"t{number % MOST_TAGS}"]})
    for _ in range(MOST_LISTS):
        assert (await sam.http.post(LISTS, json={"name": "x"})).status_code == 201
    other = await new_small("other")
    assert (await post_task(other)).status_code == 201
    assert (await post_task(other, tags=["of the other"])).status_code == 201
    assert (await other.http.post(LISTS, json={"name": "x"})).status_code == 201

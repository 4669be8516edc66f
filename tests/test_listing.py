"""Listings: which tasks, in which order, and the pages that each task is on exactly once."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.users import User

TASKS = "/api/v1/tasks"


async def ids(user: User, **params: Any) -> list[str]:
    response = await user.http.get(TASKS, params=params)
    assert response.status_code == 200, response.text
    return [task["id"] for task in response.json()]


def next_link(response: httpx2.Response) -> str | None:
    link: str | None = response.headers.get("link")
    if link is None:
        return None
    assert link.startswith("</api/v1/tasks?")
    assert link.endswith('>; rel="next"')
    return link[1 : link.index(">")]


async def walk(user: User, url: str | None) -> list[list[str]]:
    pages = []
    while url is not None:
        response = await user.http.get(url)
        assert response.status_code == 200, response.text
        pages.append([task["id"] for task in response.json()])
        url = next_link(response)
    return pages


async def test_tasks_are_listed_newest_first_as_they_are_read(alice: User):
    tasks = [await alice.create(f"Task {n}", completed=n % 2 == 0) for n in range(4)]
    listed = await alice.http.get(TASKS)
    assert listed.json() == tasks[::-1]
    assert listed.headers["content-type"] == "application/json"
    assert "link" not in listed.headers


async def test_an_id_chosen_earlier_is_listed_where_its_time_puts_it(alice: User):
    new = await alice.create()
    old = await alice.create(id="01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c")
    assert await ids(alice) == [new["id"], old["id"]]


async def test_an_account_that_never_wrote_has_an_empty_list(alice: User):
    for params in ({}, {"deleted": "true"}, {"completed": "true", "limit": "1"}):
        response = await alice.http.get(TASKS, params=params)
        assert (response.status_code, response.json()) == (200, [])
        assert response.headers["etag"]
        assert "link" not in response.headers


async def test_filters_select_by_completion_and_trash(alice: User):
    made = {}
    for name, completed, trashed in [("open", 0, 0), ("done", 1, 0), ("open trash", 0, 1), ("done trash", 1, 1)]:
        made[name] = (await alice.create(name, completed=bool(completed)))["id"]
        if trashed:
            await alice.trash(made[name])
    for params, names in [
        ({}, ["done", "open"]),
        ({"deleted": "false"}, ["done", "open"]),
        ({"completed": "true"}, ["done"]),
        ({"completed": "false"}, ["open"]),
        ({"deleted": "true"}, ["done trash", "open trash"]),
        ({"deleted": "true", "completed": "true"}, ["done trash"]),
        ({"deleted": "true", "completed": "false"}, ["open trash"]),
    ]:
        assert await ids(alice, **params) == [made[name] for name in names], params


async def test_a_listing_shows_only_the_callers_tasks(alice: User, bob: User):
    await bob.create()
    task = await alice.create()
    trashed = await bob.create()
    await bob.trash(trashed["id"])
    assert await ids(alice) == [task["id"]]
    assert await ids(alice, deleted="true") == []


async def test_limit_is_50_unless_given_and_at_most_200(alice: User):
    await asyncio.gather(*(alice.create(f"Task {n}") for n in range(201)))
    assert len(await ids(alice)) == 50
    assert len(await ids(alice, limit=200)) == 200
    assert len(await ids(alice, limit=1)) == 1
    pages = await walk(alice, TASKS + "?limit=200")
    assert [len(page) for page in pages] == [200, 1]


@pytest.mark.parametrize("count", [5, 6, 7])
async def test_the_last_page_has_no_link_however_full_it_is(alice: User, count: int):
    made = [(await alice.create())["id"] for _ in range(count)]
    pages = await walk(alice, f"{TASKS}?limit=3")
    assert [task_id for page in pages for task_id in page] == made[::-1]
    assert [len(page) for page in pages] == [3, 2, 0][:1] * (count // 3) + ([count % 3] if count % 3 else [])


async def test_a_link_keeps_the_given_filters_and_adds_no_others(alice: User):
    for _ in range(3):
        await alice.create(completed=True)
    response = await alice.http.get(TASKS, params={"limit": "1", "completed": "true", "deleted": "false"})
    link = next_link(response)
    assert link is not None
    given = parse_qs(urlsplit(link).query)
    assert given.pop("cursor")
    assert given == {"limit": ["1"], "completed": ["true"], "deleted": ["false"]}
    second = next_link(await alice.http.get(link))
    assert second is not None
    assert parse_qs(urlsplit(second).query).keys() == {"limit", "completed", "deleted", "cursor"}


async def test_the_trash_is_walked_like_a_list(alice: User):
    made = [(await alice.create())["id"] for _ in range(5)]
    for task_id in made[1:]:
        await alice.trash(task_id)
    pages = await walk(alice, f"{TASKS}?deleted=true&limit=3")
    assert pages == [made[:1:-1], [made[1]]]


async def test_a_walk_sees_each_task_exactly_once_while_others_are_written(alice: User, bob: User):
    made = [(await alice.create(f"Task {n}"))["id"] for n in range(40)]
    kept = [task_id for n, task_id in enumerate(made) if n % 4]
    stop = asyncio.Event()

    async def disturb() -> None:
        doomed = [task_id for n, task_id in enumerate(made) if n % 4 == 0]
        while not stop.is_set():
            await alice.create("New")
            await bob.create("His")
            if doomed:
                await alice.trash(doomed.pop())
            await alice.http.patch(f"{TASKS}/{kept[0]}", json={"title": "Changed meanwhile"})

    disturber = asyncio.create_task(disturb())
    try:
        seen = [task_id for page in await walk(alice, f"{TASKS}?limit=3") for task_id in page]
    finally:
        stop.set()
        await disturber
    assert len(seen) == len(set(seen))
    assert [task_id for task_id in seen if task_id in kept] == kept[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=201", "limit=x", "limit=", "limit=1.5", "limit=1.0", "limit=1_0", "limit=%201",
        "limit=%2B1", "limit=99999999999999999999999", "limit=%D9%A1", "limit=NaN", "limit=0x10", "limit=true",
    ],
)  # fmt: skip
async def test_a_limit_that_is_not_a_whole_number_within_bounds_is_refused(alice: User, query: str):
    response = await alice.http.get(f"{TASKS}?{query}")
    assert response.status_code == 422
    assert [(e["in"], e["pointer"]) for e in response.json()["errors"]] == [("query", "/limit")]


@pytest.mark.parametrize("name", ["completed", "deleted"])
@pytest.mark.parametrize("value", ["", "1", "0", "yes", "True", "TRUE", "null", "true ", "%00", "true,false"])
async def test_a_filter_is_true_or_false_and_nothing_like_it(alice: User, name: str, value: str):
    response = await alice.http.get(f"{TASKS}?{name}={value}")
    assert response.status_code == 422
    assert [e["pointer"] for e in response.json()["errors"]] == [f"/{name}"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("nonsense=1", "/nonsense"), ("Limit=1", "/Limit"), ("nonsense2=high", "/nonsense2"), ("user_id=x", "/user_id"),
        ("limit=1&limit=1", "/limit"), ("completed=true&completed=false", "/completed"), ("=1", "/"), ("x", "/x"),
        ("a%2Fb~=1", "/a~1b~0"), ("%C3%28=1", ""), ("completed=%FF", ""),
    ],
)  # fmt: skip
async def test_a_parameter_that_is_unknown_doubled_or_not_utf_8_is_refused(alice: User, query: str, pointer: str):
    response = await alice.http.get(f"{TASKS}?{query}")
    assert response.status_code == 422
    assert [(e["in"], e["pointer"]) for e in response.json()["errors"]] == [("query", pointer)]


async def test_too_many_parameters_are_told_so(alice: User):
    assert (await alice.http.get(f"{TASKS}?{'&'.join(['tag=x'] * 20)}")).status_code == 200
    response = await alice.http.get(f"{TASKS}?{'&'.join(['tag=x'] * 101)}")
    assert response.status_code == 422
    detail = "This must have at most 100 parameters."
    assert response.json()["errors"] == [{"in": "query", "pointer": "", "detail": detail}]


async def test_no_route_takes_a_parameter_it_does_not_know(alice: User):
    task = await alice.create()
    for verb, path in [
        ("GET", f"/{task['id']}"), ("PATCH", f"/{task['id']}"), ("PUT", f"/{task['id']}"), ("POST", ""),
        ("PATCH", f"/{task['id']}/complete"), ("POST", f"/{task['id']}/restore"), ("DELETE", f"/{task['id']}"),
    ]:  # fmt: skip
        body = {"title": "x"} if verb[0] == "P" and not path.endswith(("complete", "restore")) else None
        response = await alice.http.request(verb, TASKS + path, params={"user_id": "x"}, json=body)
        assert response.status_code == 422, (verb, path)
    assert (await alice.http.get("/api/v1/me?user_id=x")).status_code == 422
    assert (await alice.http.get(TASKS)).json() == [task]


def _cursor(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "!!!!", "A" * 32, "A" * 201, _cursor(b"\0" * 23), _cursor(b"\xff" * 24), "%00", "%F0%9F%98%80", "a=b",
        "null", "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c",
    ],
)  # fmt: skip
async def test_a_malformed_cursor_is_refused(alice: User, cursor: str):
    response = await alice.http.get(f"{TASKS}?cursor={cursor}")
    assert response.status_code == 422
    assert [e["pointer"] for e in response.json()["errors"]] == ["/cursor"]


async def test_a_cursor_has_one_spelling(alice: User):
    await alice.create()
    await alice.create()
    link = next_link(await alice.http.get(f"{TASKS}?limit=1"))
    assert link is not None
    cursor = parse_qs(urlsplit(link).query)["cursor"][0]
    for other in (cursor + "=", cursor + "%3D%3D", cursor[:8] + "%0A" + cursor[8:], cursor + "!", cursor[:-1]):
        assert (await alice.http.get(f"{TASKS}?limit=1&cursor={other}")).status_code == 422
    assert (await alice.http.get(f"{TASKS}?limit=2&cursor={cursor}")).status_code == 200


@pytest.mark.parametrize("other", ["completed=true", "deleted=true", "completed=false&deleted=true"])
async def test_a_cursor_of_a_listing_with_other_filters_is_refused(alice: User, other: str):
    for _ in range(2):
        await alice.create()
    link = next_link(await alice.http.get(f"{TASKS}?limit=1"))
    assert link is not None
    response = await alice.http.get(f"{link}&{other}")
    assert response.status_code == 422
    assert "other filters" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("character", ["x", '"', "\x7f", "é", "\ufdfa"])
async def test_a_page_with_a_large_task_among_small_ones_is_whole(alice: User, character: str):
    small = [{"op": "create", "task": {"title": f"{n}"}} for n in range(30)]
    large = {"op": "create", "task": {"title": "large", "description": character * 10_000}}
    operations = [*small[:15], large, *small[15:]]
    assert (await alice.http.post(f"{TASKS}/batch", json={"operations": operations})).status_code == 200
    for limit in (200, 31, 16):
        tasks = (await alice.http.get(TASKS, params={"limit": limit})).json()
        assert len(tasks) == min(limit, 31)
        assert tasks[15]["description"] == character * 10_000
        assert {task["title"] for task in tasks} <= {*(f"{n}" for n in range(30)), "large"}

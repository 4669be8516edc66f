"""ETags, If-Match and If-None-Match (RFC 9110, section 13): nothing stale is written over, nothing known sent twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.databases import Superuser
from tests.route_table import LISTS, TAGGED, TAGS
from tests.users import User

TASKS = "/api/v1/tasks"
Write = Callable[[User, str, dict[str, str]], Awaitable[httpx2.Response]]


def write(verb: str, sub: str = "", body: Any = None) -> Write:
    async def send(user: User, task_id: str, headers: dict[str, str]) -> httpx2.Response:
        return await user.http.request(verb, f"{TASKS}/{task_id}{sub}", headers=headers, json=body)

    return send


WRITES: dict[str, Write] = {
    "PATCH": write("PATCH", body={"title": "Other"}),
    "PATCH nothing": write("PATCH", body={}),
    "PUT": write("PUT", body={"title": "Other"}),
    "toggle": write("PATCH", "/complete"),
    "complete": write("PATCH", "/complete", {"completed": True}),
    "trash": write("DELETE"),
    "erase": write("DELETE", "?permanent=true"),
    "restore a live one": write("POST", "/restore"),
    "move": write("POST", "/move", {"after": None}),
    "PATCH many members": write("PATCH", body={"tags": ["a"], "metadata": {"a": 1}, "due_date": "2026-01-10"}),
}


async def snapshot(superuser: Superuser, user: User) -> list[Any]:
    rows = []
    for table in ("account", "task", "tombstone"):
        rows += await superuser.fetch(f"SELECT x::text FROM taskward.{table} x WHERE user_id = $1 ORDER BY 1", user.id)
    return rows


@pytest.mark.parametrize("name", WRITES)
async def test_a_stale_if_match_writes_nothing_and_is_told_the_version(alice: User, superuser: Superuser, name: str):
    task = await alice.create()
    await alice.http.patch(f"{TASKS}/{task['id']}", json={"description": "Meanwhile"})
    before = await snapshot(superuser, alice)
    beyond = ('"9223372036854775808"', f'"{"9" * 99}"')
    for stale in (
        '"1"',
        '"3"',
        'W/"1"',
        '"1-gzip"',
        '"2-other"',
        '"gzip"',
        '"1", "3"',
        '"x"',
        '""',
        '"02"',
        '"-2"',
        *beyond,
    ):
        response = await WRITES[name](alice, task["id"], {"If-Match": stale})
        assert response.status_code == 412, stale
        assert response.json()["version"] == 2
        assert response.headers["content-type"] == "application/problem+json"
        assert "etag" not in response.headers
    assert await snapshot(superuser, alice) == before


@pytest.mark.parametrize(
    "tag",
    [
        '"1"', "*", '"0", "1"', '"1","0"', 'W/"0", "1"', '"a,b" , "1"',
        # As proxies that compress write it.
        'W/"1"', '"1-gzip"', 'W/"1-gzip"', '"1-br"', '"1--gzip"', '"1-zstd"', '"0", W/"1-deflate"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", WRITES)
async def test_a_current_if_match_is_written(alice: User, name: str, tag: str):
    task = await alice.create()
    response = await WRITES[name](alice, task["id"], {"If-Match": tag})
    assert response.status_code in {200, 204}


@pytest.mark.parametrize(
    "tag", ["1", '"1', '1"', "'1'", "", '"1" "2"', 'w/"1"', '*, "1"', '"a"b"', "**", 'W/ "1"', '"2 "']
)
@pytest.mark.parametrize("name", WRITES)
async def test_a_malformed_if_match_is_422_and_writes_nothing(alice: User, superuser: Superuser, name: str, tag: str):
    task = await alice.create()
    before = await snapshot(superuser, alice)
    response = await WRITES[name](alice, task["id"], {"If-Match": tag})
    assert response.status_code == 422
    assert [(e["in"], e["pointer"]) for e in response.json()["errors"]] == [("header", "/If-Match")]
    assert await snapshot(superuser, alice) == before


@pytest.mark.parametrize("name", WRITES)
async def test_if_match_never_turns_a_miss_into_412(alice: User, bob: User, name: str):
    theirs = await bob.create()
    assert (await WRITES[name](alice, theirs["id"], {"If-Match": '"1"'})).status_code == 403
    assert (await WRITES[name](alice, theirs["id"], {"If-Match": "*"})).status_code == 403
    mine = await alice.create()
    await alice.http.delete(f"{TASKS}/{mine['id']}?permanent=true")
    assert (await WRITES[name](alice, mine["id"], {"If-Match": "*"})).status_code == 404


async def test_a_stale_if_match_on_a_trashed_task_is_412_where_it_could_be_written_and_404_elsewhere(alice: User):
    task = await alice.create()
    await alice.trash(task["id"])
    for name, send in WRITES.items():
        response = await send(alice, task["id"], {"If-Match": '"1"'})
        assert response.status_code == (412 if name in {"erase", "restore a live one"} else 404), name
    (trashed,) = (await alice.http.get(TASKS, params={"deleted": "true"})).json()
    assert trashed["version"] == 2
    restored = await WRITES["restore a live one"](alice, task["id"], {"If-Match": '"2"'})
    assert (restored.status_code, restored.headers["etag"]) == (200, '"3"')


async def test_of_two_writers_with_the_same_tag_one_wins(alice: User):
    task = await alice.create()
    writes = [
        alice.http.patch(f"{TASKS}/{task['id']}", json={"title": f"Mine {n}"}, headers={"If-Match": '"1"'})
        for n in range(10)
    ]
    answers = await asyncio.gather(*writes)
    assert sorted(a.status_code for a in answers) == [200] + [412] * 9
    assert {a.json()["version"] for a in answers} == {2}


async def test_every_answer_with_a_task_has_its_etag(alice: User):
    task = await alice.create()
    for name, send in WRITES.items():
        if name in {"trash", "erase"}:
            continue
        response = await send(alice, task["id"], {})
        assert response.headers["etag"] == f'"{response.json()["version"]}"', name
        assert response.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', "*", '"0", W/"1"', '"1-gzip"', 'W/"1-br"'])
@pytest.mark.parametrize("verb", ["GET", "HEAD"])
async def test_a_known_task_is_304_without_a_body(alice: User, tag: str, verb: str):
    task = await alice.create()
    response = await alice.http.request(verb, f"{TASKS}/{task['id']}", headers={"If-None-Match": tag})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == '"1"'
    assert response.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in response.headers["vary"]
    assert "content-type" not in response.headers


@pytest.mark.parametrize("tag", ['"2"', 'W/"0"', '"11"', '""', '"01"'])
async def test_a_task_with_another_tag_is_sent(alice: User, tag: str):
    task = await alice.create()
    assert (await alice.http.get(f"{TASKS}/{task['id']}", headers={"If-None-Match": tag})).json() == task


@pytest.mark.parametrize("path", ["", "/{id}"])
@pytest.mark.parametrize("tag", ["1", '"1', '*, "1"', ""])
async def test_a_malformed_if_none_match_is_422(alice: User, path: str, tag: str):
    task = await alice.create()
    response = await alice.http.get(TASKS + path.format(**task), headers={"If-None-Match": tag})
    assert response.status_code == 422
    assert [e["pointer"] for e in response.json()["errors"]] == ["/If-None-Match"]


async def test_if_none_match_of_someone_elses_task_is_403(alice: User, bob: User):
    task = await alice.create()
    for tag in ('"1"', "*"):
        assert (await bob.http.get(f"{TASKS}/{task['id']}", headers={"If-None-Match": tag})).status_code == 403


async def list_tag(user: User, query: str = "") -> str:
    return str((await user.http.get(TASKS + query)).headers["etag"])


async def test_an_unchanged_listing_is_304_until_any_write_of_its_owner(alice: User, bob: User):
    task = await alice.create()
    tag = await list_tag(alice)
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    assert await list_tag(alice) == tag
    await bob.create()
    await alice.http.patch(f"{TASKS}/{task['id']}", json={})
    for known in (tag, f"W/{tag}", "*", f'"x", {tag}'):
        response = await alice.http.get(TASKS, headers={"If-None-Match": known})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)
    await alice.http.patch(f"{TASKS}/{task['id']}", json={"title": "Other"})
    changed = await alice.http.get(TASKS, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()[0]["title"]) == (200, "Other")


@pytest.mark.parametrize("path", TAGGED)
async def test_a_collections_tag_goes_with_its_owners_clock_and_no_others(alice: User, bob: User, path: str):
    """Where nothing is in it, too."""
    assert {TASKS, LISTS, TAGS} <= set(TAGGED)

    async def status(user: User, tag: str) -> int:
        return (await user.http.get(path, headers={"If-None-Match": tag})).status_code

    for user in (bob, alice):
        await user.trash((await user.create())["id"])
        tag = (await user.http.get(path)).headers["etag"]
        other = bob if user is alice else alice
        await other.trash((await other.create("Other", tags=["other"]))["id"])
        assert await status(user, tag) == 304
        await user.trash((await user.create())["id"])
        assert await status(user, tag) == 200


async def test_each_query_has_a_tag_of_its_own(alice: User):
    for _ in range(3):
        await alice.create()
    link = (await alice.http.get(f"{TASKS}?limit=1")).headers["link"]
    page = link[len(TASKS) + 1 : link.index(">")]
    queries = ["", "?completed=true", "?completed=false", "?deleted=true", "?limit=1", "?limit=2", page]
    tags = [await list_tag(alice, query) for query in queries]
    assert len(set(tags)) == len(queries)
    assert await list_tag(alice, "?deleted=false&limit=50") == tags[0]


async def test_a_tag_and_a_cursor_of_one_user_give_another_no_304_and_no_row(alice: User, bob: User):
    for user in (alice, bob):
        for n in range(3):
            await user.create(f"{user.id} {n}")
    first = await alice.http.get(f"{TASKS}?limit=1")
    assert await list_tag(bob, "?limit=1") != first.headers["etag"]
    response = await bob.http.get(f"{TASKS}?limit=1", headers={"If-None-Match": first.headers["etag"]})
    assert (response.status_code, response.json()[0]["user_id"]) == (200, bob.id)
    link = first.headers["link"]
    rows = (await bob.http.get(link[1 : link.index(">")])).json()
    assert {row["user_id"] for row in rows} <= {bob.id}
    listed = await bob.http.get(link[1 : link.index(">")], headers={"If-None-Match": first.headers["etag"]})
    assert listed.status_code == 200


async def test_users_without_an_account_have_tags_of_their_own(alice: User, bob: User):
    tag = await list_tag(alice)
    assert (await alice.http.get(TASKS, headers={"If-None-Match": tag})).status_code == 304
    assert (await bob.http.get(TASKS, headers={"If-None-Match": tag})).status_code == 200
    await alice.create()
    assert (await alice.http.get(TASKS, headers={"If-None-Match": tag})).status_code == 200


async def test_a_tag_of_an_earlier_life_of_the_account_is_never_current(alice: User, superuser: Superuser):
    await alice.create("Before")
    tag = await list_tag(alice)
    for table in ("task", "tombstone", "account"):
        await superuser.execute(f"DELETE FROM taskward.{table} WHERE user_id = $1", alice.id)
    assert (await alice.http.get(TASKS, headers={"If-None-Match": tag})).status_code == 200
    assert (await alice.create("After"))["version"] == 1
    response = await alice.http.get(TASKS, headers={"If-None-Match": tag})
    assert (response.status_code, response.json()[0]["title"]) == (200, "After")

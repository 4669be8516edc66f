"""Tags: which are in use, and that one is renamed or removed on every task that has it and on no other."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from taskward.app import create_app
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from tests.databases import Superuser, connected
from tests.places import Place, place_fixture  # noqa: F401 - a fixture
from tests.serving import PLAIN, make_settings, make_token, serving
from tests.test_task_members import pointers
from tests.users import User

TAGS, TASKS = "/api/v1/tags", "/api/v1/tasks"
ODD = [
    "a/b", "/", "//", "a/", "/a", "a/../b", "./x", "%", "%2F", "100%", "a%20b", "a b", "+", "a+b", "?", "#", "&=;", '"',
    "'", "\\", "`", "<b>", "{tag}", "$1", "ü", "e\u0301", "日本", "👩‍👩‍👧", "\u202e", "...", "~", "null", "NULL",
    "move", "\u00ad", "'; DROP TABLE task; --", "x" * 50, "😀" * 50,
]  # fmt: skip


def path_of(tag: str) -> str:
    return f"{TAGS}/{quote(tag, safe='')}"


async def tags(user: User) -> dict[str, int]:
    listed = (await user.http.get(TAGS)).json()
    names = [one["name"] for one in listed]
    # By the order of their characters, as bytes; each once.
    assert names == sorted(set(names), key=str.encode)
    return {one["name"]: one["tasks"] for one in listed}


async def tags_of(user: User, task: dict[str, Any]) -> list[str]:
    return (await user.http.get(f"{TASKS}/{task['id']}")).json()["tags"]  # type: ignore[no-any-return]


async def rename(user: User, tag: str, name: Any) -> httpx2.Response:
    return await user.http.patch(path_of(tag), json={"name": name})


async def test_tags_in_use_are_counted_on_live_tasks_of_the_caller(alice: User, bob: User):
    assert await tags(alice) == {}
    plain = await alice.create()
    assert await tags(alice) == {}
    await bob.create(tags=["home", "his"])
    await alice.create(tags=["home", "Garden"], completed=True)
    trashed = await alice.create(tags=["home", "gone"])
    assert await tags(alice) == {"Garden": 1, "gone": 1, "home": 2}
    await alice.trash(trashed["id"])
    assert await tags(alice) == {"Garden": 1, "home": 1}
    await alice.http.patch(f"{TASKS}/{plain['id']}", json={"tags": ["home"]})
    assert await tags(alice) == {"Garden": 1, "home": 2}
    await alice.http.post(f"{TASKS}/{trashed['id']}/restore")
    assert await tags(alice) == {"Garden": 1, "gone": 1, "home": 3}


async def test_known_tags_are_304_until_a_write(alice: User, bob: User):
    await alice.create(tags=["home"])
    tag = (await alice.http.get(TAGS)).headers["etag"]
    for verb in ("GET", "HEAD"):
        known = await alice.http.request(verb, TAGS, headers={"If-None-Match": tag})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert (await bob.http.get(TAGS, headers={"If-None-Match": tag})).status_code == 200
    lists = await alice.http.get("/api/v1/lists", headers={"If-None-Match": tag})
    assert lists.status_code == 200
    await rename(alice, "home", "garden")
    changed = await alice.http.get(TAGS, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()) == (200, [{"name": "garden", "tasks": 1}])


async def test_a_rename_changes_the_tag_everywhere_at_its_place_and_nothing_else(alice: User, bob: User):
    theirs = await bob.create(tags=["b"])
    one, done, trashed = [
        await alice.create(tags=t, completed=len(t) == 1) for t in (["a", "b", "c"], ["b"], ["c", "b"])
    ]
    other = await alice.create(tags=["bb", "B"])
    await alice.trash(trashed["id"])
    answer = await rename(alice, "b", "  x ")
    assert (answer.status_code, answer.json()) == (200, {"name": "x", "tasks": 2})
    assert await tags_of(alice, one) == ["a", "x", "c"]
    now = (await alice.http.get(f"{TASKS}/{done['id']}")).json()
    moved = ("version", "updated_at")
    assert now == {**done, "tags": ["x"], **{name: now[name] for name in moved}}
    restored = (await alice.http.post(f"{TASKS}/{trashed['id']}/restore")).json()
    assert restored["tags"] == ["c", "x"]
    assert (await alice.http.get(f"{TASKS}/{other['id']}")).json() == other
    assert (await bob.http.get(f"{TASKS}/{theirs['id']}")).json() == theirs
    versions = [task["version"] for task in (await alice.http.get(TASKS)).json()]
    assert len(set(versions)) == 4


async def test_a_rename_to_a_tag_that_there_is_merges_both(alice: User):
    both, first, second = [await alice.create(tags=found) for found in (["a", "x", "b"], ["a"], ["b", "x"])]
    reverse = await alice.create(tags=["b", "y", "a"])
    answer = await rename(alice, "a", "b")
    assert answer.json() == {"name": "b", "tasks": 4}
    assert [await tags_of(alice, task) for task in (both, first, second, reverse)] == [
        ["x", "b"], ["b"], ["b", "x"], ["b", "y"]
    ]  # fmt: skip
    assert (await alice.http.get(f"{TASKS}/{second['id']}")).json() == second
    assert await tags(alice) == {"b": 4, "x": 2, "y": 1}


async def test_a_rename_to_itself_writes_nothing(alice: User):
    task = await alice.create(tags=["a"])
    answer = await rename(alice, "a", " a ")
    assert (answer.status_code, answer.json()) == (200, {"name": "a", "tasks": 1})
    assert (await alice.http.get(f"{TASKS}/{task['id']}")).json() == task
    assert (await rename(alice, "b", "b")).status_code == 404


async def test_removal_takes_the_tag_from_every_task(alice: User, bob: User):
    theirs = await bob.create(tags=["a"])
    one, trashed, other = [await alice.create(tags=found) for found in (["x", "a"], ["a"], ["aa"])]
    await alice.trash(trashed["id"])
    answer = await alice.http.delete(path_of("a"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert await tags_of(alice, one) == ["x"]
    assert (await alice.http.post(f"{TASKS}/{trashed['id']}/restore")).json()["tags"] == []
    assert (await alice.http.get(f"{TASKS}/{other['id']}")).json() == other
    assert await tags_of(bob, theirs) == ["a"]
    assert (await alice.http.delete(path_of("a"))).status_code == 404


@pytest.mark.parametrize("tag", ODD)
async def test_a_tag_of_any_characters_is_named_in_the_path(alice: User, tag: str):
    task, other = await alice.create(tags=["x", tag]), await alice.create(tags=["other"])
    assert await tags(alice) == {"x": 1, tag: 1, "other": 1}
    assert (await alice.http.get(TASKS, params={"tag": tag})).json() == [task]
    assert (await rename(alice, tag, "plain")).json() == {"name": "plain", "tasks": 1}
    assert await tags_of(alice, task) == ["x", "plain"]
    assert (await rename(alice, "plain", tag)).json() == {"name": tag, "tasks": 1}
    assert await tags_of(alice, task) == ["x", tag]
    assert (await alice.http.delete(path_of(tag))).status_code == 204
    assert await tags_of(alice, task) == ["x"]
    assert (await alice.http.get(f"{TASKS}/{other['id']}")).json() == other


@pytest.mark.parametrize("raw", ["%ff", "%00", "a%0Ab", "%20", "x" * 51, "%ED%A0%80", "%2E", "%2e%2e", "nobodys"])
async def test_what_is_no_tag_or_nobodys_is_404(alice: User, bob: User, raw: str, superuser: Superuser):
    await bob.create(tags=["nobodys"])
    for verb, body in [("PATCH", {"name": "x"}), ("DELETE", None)]:
        answer = await alice.http.request(verb, f"{TAGS}/{raw}", json=body)
        assert answer.status_code == 404, answer.text
        assert answer.json()["type"] in {"/problems/tag-not-found", "/problems/not-found"}
    assert await superuser.fetchval("SELECT clock FROM taskward.account WHERE user_id = $1", alice.id) is None
    assert await tags(bob) == {"nobodys": 1}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "/name"), ({"name": "x" * 51}, "/name"), ({"name": "a\nb"}, "/name"), ({"name": None}, "/name"),
        ({"name": ".."}, "/name"), ({"name": 1}, "/name"), ({}, "/name"), ({"name": "x", "tasks": 1}, "/tasks"),
    ],
    ids=str,
)  # fmt: skip
async def test_a_name_that_breaks_a_rule_is_refused(alice: User, body: Any, pointer: str):
    await alice.create(tags=["a"])
    assert pointers(await alice.http.patch(path_of("a"), json=body)) == [pointer]
    assert await tags(alice) == {"a": 1}


async def test_no_other_method_and_no_filter_is_known(alice: User):
    await alice.create(tags=["a"])
    for verb, path in [("POST", TAGS), ("GET", path_of("a")), ("PUT", path_of("a")), ("DELETE", TAGS)]:
        answer = await alice.http.request(verb, path, json={} if verb[0] == "P" else None)
        assert answer.status_code == 405, (verb, path)
    assert pointers(await alice.http.get(TAGS, params={"limit": "1"})) == ["/limit"]


async def test_filters_take_tasks_that_have_all_tags(alice: User):
    some = {"ab": ["a", "b"], "a": ["a"], "b": ["b"], "abc": ["c", "b", "a"], "-": [], "A": ["A"]}
    made = {name: await alice.create(name, tags=found) for name, found in some.items()}
    for wanted, found in [
        (["a"], ["abc", "a", "ab"]), (["a", "b"], ["abc", "ab"]), (["c", "a", "b"], ["abc"]), (["d"], []),
        (["a", "a"], ["abc", "a", "ab"]), ([" a "], ["abc", "a", "ab"]),
    ]:  # fmt: skip
        listed = (await alice.http.get(TASKS, params={"tag": wanted})).json()
        assert listed == [made[name] for name in found], wanted
    for wrong in ("", " ", "x" * 51, "a\nb", ".."):
        assert pointers(await alice.http.get(TASKS, params={"tag": wrong})) == ["/tag/0"]


async def test_renames_and_writes_at_once_lose_nothing(alice: User):
    made = [await alice.create(tags=["a", f"own{n}"]) for n in range(12)]
    patches = [alice.http.patch(f"{TASKS}/{task['id']}", json={"title": "x"}) for task in made]
    answers = await asyncio.gather(
        rename(alice, "a", "b"), *patches, rename(alice, "own3", "b"), rename(alice, "own4", "a")
    )
    assert {answer.status_code for answer in answers} == {200}
    found = await tags(alice)
    assert found["b"] == 12
    assert found.keys() == {"b", *(f"own{n}" for n in range(12) if n not in {3, 4})} | (found.keys() & {"a"})
    listed = (await alice.http.get(TASKS)).json()
    assert {task["title"] for task in listed} == {"x"}
    assert len({task["version"] for task in listed}) == 12


@pytest.mark.parametrize("either_cluster", ["15"], indirect=True)
async def test_tags_come_by_their_characters_whatever_order_the_database_has(place: Place):
    options = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LC_COLLATE 'C' LC_CTYPE 'C'"
    url = await place.database(options=options)
    names = ["b", "A", "a", "Z", "\u00e4", "1", "-"]
    async with connected(url) as connection:
        order = await connection.fetchval("SELECT array_agg(name ORDER BY name) FROM unnest($1::text[]) AS name", names)
    assert order != sorted(names)
    await migrate(parse_address(url))
    headers = {"Authorization": f"Bearer {make_token('alice')}"}
    with serving(create_app(make_settings(url))) as base_url:
        async with httpx2.AsyncClient(base_url=base_url, headers=headers, **PLAIN) as client:
            assert (await client.post(TASKS, json={"title": "x", "tags": names})).status_code == 201
            listed = (await client.get(TAGS)).json()
    assert [one["name"] for one in listed] == sorted(names)

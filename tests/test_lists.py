"""Lists: what a user sorts tasks into, from their first to their last, and what becomes of the tasks."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from tests.databases import Superuser
from tests.test_task_ids import REFUSED_IDS
from tests.test_task_members import pointers
from tests.users import User

LISTS, TASKS = "/api/v1/lists", "/api/v1/tasks"


def without_counts(answer: httpx2.Response) -> list[dict[str, Any]]:
    """All lists as each is read by itself."""
    return [{name: one[name] for name in one if name not in {"open_tasks", "done_tasks"}} for one in answer.json()]


MEMBERS = ["id", "user_id", "name", "color", "position", "version", "created_at", "updated_at"]


async def make(user: User, name: str = "Home", **members: Any) -> dict[str, Any]:
    response = await user.http.post(LISTS, json={"name": name, **members})
    assert response.status_code == 201, response.text
    return response.json()  # type: ignore[no-any-return]


async def names(user: User) -> str:
    listed = (await user.http.get(LISTS)).json()
    positions = [one["position"].encode() for one in listed]
    assert positions == sorted(set(positions))
    assert all(len(position) <= 48 for position in positions)
    return "".join(one["name"] for one in listed)


async def test_a_created_list_is_answered_whole_with_its_location_and_etag(alice: User):
    response = await alice.http.post(LISTS, json={"name": "  Household ", "color": "#2F855A"})
    made = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{LISTS}/{made['id']}"
    assert response.headers["etag"] == f'"{made["version"]}"'
    assert list(made) == MEMBERS
    assert (made["name"], made["color"], made["user_id"]) == ("Household", "#2f855a", alice.id)
    assert made["position"] == made["id"]
    assert (await alice.http.get(response.headers["location"])).json() == made
    assert (await make(alice))["color"] is None
    assert [one["version"] for one in (await alice.http.get(LISTS)).json()] == [1, 2]


async def test_lists_are_in_their_order_and_only_the_callers(alice: User, bob: User):
    assert (await alice.http.get(LISTS)).json() == []
    await make(bob, "x")
    made = [await make(alice, name) for name in "abc"]
    assert without_counts(await alice.http.get(LISTS)) == made
    await alice.create()
    assert await names(alice) == "abc"


@pytest.mark.parametrize("sub", ["", "/{id}"])
async def test_what_is_known_is_304_until_it_changes(alice: User, bob: User, sub: str):
    made = await make(alice)
    path = LISTS + sub.format(**made)
    for verb in ("GET", "HEAD"):
        first = await alice.http.request(verb, path)
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        assert "Authorization" in first.headers["vary"]
        known = await alice.http.request(verb, path, headers={"If-None-Match": f'"x", W/{tag}'})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    theirs = await bob.http.get(path, headers={"If-None-Match": tag})
    assert theirs.status_code == (403 if sub else 200)
    await alice.http.patch(f"{LISTS}/{made['id']}", json={})
    assert (await alice.http.get(path, headers={"If-None-Match": tag})).status_code == 304
    await alice.http.patch(f"{LISTS}/{made['id']}", json={"name": "Else"})
    changed = await alice.http.get(path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)
    for malformed in ("x", '*, "1"'):
        assert pointers(await alice.http.get(path, headers={"If-None-Match": malformed})) == ["/If-None-Match"]


async def test_a_change_leaves_what_is_not_sent_and_null_clears_the_color(alice: User):
    made = await make(alice, color="#123456")
    path = f"{LISTS}/{made['id']}"
    moved = ("version", "updated_at")
    for body in ({"name": "Else"}, {"color": "#ABCDEF"}, {"color": None}, {"name": "x", "color": "#000000"}):
        before = (await alice.http.get(path)).json()
        response = await alice.http.patch(path, json=body)
        after = response.json()
        sent = {name: value and value.lower() if name == "color" else value for name, value in body.items()}
        assert after == {**before, **sent, **{name: after[name] for name in moved}}
        assert after["version"] == before["version"] + 1
        assert after["updated_at"] > before["updated_at"]
        assert response.headers["etag"] == f'"{after["version"]}"'
        assert (await alice.http.get(path)).json() == after
    assert (await alice.http.patch(path, json={})).json() == after


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "/name"), ({"name": " "}, "/name"), ({"name": "x" * 256}, "/name"), ({"name": "a\nb"}, "/name"),
    ({"name": None}, "/name"), ({"name": 1}, "/name"), ({"color": "red"}, "/color"), ({"color": "#fff"}, "/color"),
    ({"color": "#2f855g"}, "/color"), ({"color": "#2f855a\n"}, "/color"), ({"color": "2f855a"}, "/color"),
    ({"color": "#2f855a00"}, "/color"), ({"color": 0}, "/color"), ({"color": ""}, "/color"),
    ({"position": "a"}, "/position"), ({"user_id": "x"}, "/user_id"), ({"version": 1}, "/version"),
    ({"created_at": None}, "/created_at"), ({"x": 1}, "/x"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "pointer"), BAD, ids=str)
async def test_what_breaks_a_rule_is_named_and_not_written(alice: User, members: dict[str, Any], pointer: str):
    made = await make(alice)
    assert pointers(await alice.http.post(LISTS, json={"name": "x", **members})) == [pointer]
    assert pointers(await alice.http.patch(f"{LISTS}/{made['id']}", json=members)) == [pointer]
    assert without_counts(await alice.http.get(LISTS)) == [made]


async def test_an_id_may_be_chosen_once(alice: User, bob: User):
    chosen = str(uuid7())
    made = await make(alice, id=chosen.upper())
    assert made["id"] == chosen
    again = await alice.http.post(LISTS, json={"name": "Other", "id": chosen})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/list-id-taken")
    assert (await make(bob, id=chosen))["id"] == chosen
    assert without_counts(await alice.http.get(LISTS)) == [made]
    assert pointers(await alice.http.patch(f"{LISTS}/{chosen}", json={"id": chosen})) == ["/id"]
    for kind in REFUSED_IDS.values():
        assert pointers(await alice.http.post(LISTS, json={"name": "x", "id": kind()})) == ["/id"]


def writes(list_id: str) -> list[tuple[str, str, Any]]:
    path = f"{LISTS}/{list_id}"
    return [
        ("PATCH", path, {"name": "x"}), ("PATCH", path, {}), ("POST", f"{path}/move", {"after": None}),
        ("DELETE", path, None), ("DELETE", f"{path}?tasks=trash", None), ("DELETE", f"{path}?tasks=keep", None),
    ]  # fmt: skip


async def test_a_list_that_is_not_there_is_404_and_anothers_403(alice: User, bob: User, superuser: Superuser):
    theirs = await make(bob)
    for list_id, status, slug in [
        (str(uuid7()), 404, "list-not-found"), ("x", 404, "list-not-found"), (theirs["id"], 403, "list-forbidden")
    ]:  # fmt: skip
        for verb, path, body in [("GET", f"{LISTS}/{list_id}", None), *writes(list_id)]:
            for headers in ({}, {"If-Match": '"99"'} if verb != "GET" else {}):
                answer = await alice.http.request(verb, path, json=body, headers=headers)
                assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), (verb, path)
    assert without_counts(await bob.http.get(LISTS)) == [theirs]
    assert await superuser.fetchval("SELECT clock FROM taskward.account WHERE user_id = $1", alice.id) is None


async def test_if_match_holds_for_every_write(alice: User):
    made = await make(alice)
    await alice.http.patch(f"{LISTS}/{made['id']}", json={"name": "Meanwhile"})
    before = (await alice.http.get(LISTS)).json()
    for verb, path, body in writes(made["id"]):
        for stale in ('"1"', 'W/"1"', '"x"'):
            answer = await alice.http.request(verb, path, json=body, headers={"If-Match": stale})
            assert (answer.status_code, answer.json()["version"]) == (412, 2), (verb, path)
        answer = await alice.http.request(verb, path, json=body, headers={"If-Match": "2"})
        assert pointers(answer) == ["/If-Match"]
    assert (await alice.http.get(LISTS)).json() == before
    for verb, path, body in writes(made["id"]):
        tag = (await alice.http.get(f"{LISTS}/{made['id']}")).headers.get("etag")
        if tag is None:
            await make(alice, id=made["id"])
            tag = "*"
        answer = await alice.http.request(verb, path, json=body, headers={"If-Match": tag})
        assert answer.status_code in {200, 204}


async def test_of_two_writers_with_the_same_tag_one_wins(alice: User):
    made = await make(alice)
    path = f"{LISTS}/{made['id']}"
    sent = [alice.http.patch(path, json={"name": f"{n}"}, headers={"If-Match": '"1"'}) for n in range(6)]
    assert sorted(answer.status_code for answer in await asyncio.gather(*sent)) == [200] + [412] * 5


async def test_moves_put_a_list_first_last_and_between(alice: User, bob: User):
    made = {name: (await make(alice, name))["id"] for name in "abcd"}
    theirs = await make(bob)
    for name, after, order in [("c", None, "cabd"), ("c", "d", "abdc"), ("a", "b", "badc"), ("d", "b", "bdac")]:
        response = await alice.http.post(f"{LISTS}/{made[name]}/move", json={"after": after and made[after]})
        assert (response.status_code, response.headers["etag"]) == (200, f'"{response.json()["version"]}"')
        assert await names(alice) == order
    for wrong in (made["a"], theirs["id"], str(uuid7())):
        answer = await alice.http.post(f"{LISTS}/{made['a']}/move", json={"after": wrong})
        assert pointers(answer) == ["/after"]
    for body in ({"after": 1}, {"after": None, "name": "x"}):
        assert len(pointers(await alice.http.post(f"{LISTS}/{made['a']}/move", json=body))) == 1
    for number in range(300):
        await alice.http.post(f"{LISTS}/{made['abd'[number % 3]]}/move", json={"after": made["c"]})
    assert await names(alice) == "cdba"
    await make(alice, "e")
    assert await names(alice) == "cdbae"


async def delete(user: User, list_id: str, **params: str) -> httpx2.Response:
    return await user.http.delete(f"{LISTS}/{list_id}", params=params)


async def test_an_empty_list_is_deleted_and_leaves_a_tombstone(alice: User, superuser: Superuser):
    for params in ({}, {"tasks": "keep"}, {"tasks": "trash"}):
        made = await make(alice)
        assert ((await delete(alice, made["id"], **params)).status_code) == 204
        assert (await alice.http.get(f"{LISTS}/{made['id']}")).status_code == 404
        stone = await superuser.fetchrow("SELECT * FROM taskward.tombstone WHERE id = $1", made["id"])
        assert stone is not None
        assert (stone["kind"], stone["version"]) == ("list", made["version"] + 1)
    assert await superuser.fetchval("SELECT lists FROM taskward.account WHERE user_id = $1", alice.id) == 0


async def test_a_list_with_tasks_is_deleted_only_when_it_is_said_what_becomes_of_them(alice: User):
    made = await make(alice)
    await alice.create(list_id=made["id"])
    assert pointers(await delete(alice, made["id"])) == ["/tasks"]
    for wrong in ("", "erase", "Keep", "true"):
        assert pointers(await delete(alice, made["id"], tasks=wrong)) == ["/tasks"]
    assert len((await alice.http.get(TASKS, params={"list_id": made["id"]})).json()) == 1


async def test_keep_leaves_the_tasks_in_no_list(alice: User):
    made, other = await make(alice), await make(alice)
    tasks = [await alice.create(f"{n}", list_id=made["id"], completed=n == 1) for n in range(3)]
    elsewhere = await alice.create(list_id=other["id"])
    await alice.trash(tasks[2]["id"])
    assert (await delete(alice, made["id"], tasks="keep")).status_code == 204
    listed = (await alice.http.get(TASKS, params={"list_id": "none", "sort": "id"})).json()
    moved = ("list_id", "version", "updated_at")
    assert listed == [{**task, **{n: now[n] for n in moved}} for task, now in zip(tasks[:2], listed, strict=True)]
    assert {task["list_id"] for task in listed} == {None}
    assert len({task["version"] for task in listed}) == 2
    assert (await alice.http.get(f"{TASKS}/{elsewhere['id']}")).json() == elsewhere
    restored = (await alice.http.post(f"{TASKS}/{tasks[2]['id']}/restore")).json()
    assert (restored["list_id"], restored["deleted_at"]) == (None, None)


async def test_a_list_with_nothing_but_trash_counts_as_empty(alice: User):
    made = await make(alice)
    task = await alice.create(list_id=made["id"])
    await alice.trash(task["id"])
    assert (await delete(alice, made["id"])).status_code == 204
    assert (await alice.http.post(f"{TASKS}/{task['id']}/restore")).json()["list_id"] is None


async def test_trash_takes_the_tasks_with_their_subtasks_each_tree_by_itself(alice: User):
    made = await make(alice)
    old = await alice.create("old", list_id=made["id"])
    tree = await alice.create("tree", list_id=made["id"])
    part = await alice.create("part", parent_id=tree["id"])
    # The older one hangs in the other's tree by a task of no list, and comes back with it.
    await alice.http.patch(f"{TASKS}/{old['id']}", json={"parent_id": part["id"]})
    lone = await alice.create("lone", list_id=made["id"])
    earlier = await alice.create("earlier", parent_id=tree["id"])
    await alice.trash(earlier["id"])
    free = await alice.create("free")
    assert (await delete(alice, made["id"], tasks="trash")).status_code == 204
    assert [task["id"] for task in (await alice.http.get(TASKS)).json()] == [free["id"]]
    trash = (await alice.http.get(TASKS, params={"deleted": "true"})).json()
    assert {task["title"] for task in trash} == {"old", "tree", "part", "lone", "earlier"}
    assert len({task["version"] for task in trash}) == 5
    assert {task["list_id"] for task in trash} == {None}
    assert (await alice.http.post(f"{TASKS}/{tree['id']}/restore")).status_code == 200
    live = {task["title"]: task["parent_id"] for task in (await alice.http.get(TASKS)).json()}
    assert live == {"free": None, "tree": None, "part": tree["id"], "old": part["id"]}
    assert (await alice.http.post(f"{TASKS}/{lone['id']}/restore")).status_code == 200


async def test_a_task_that_comes_into_a_list_while_it_is_deleted_is_refused_or_taken_care_of(alice: User):
    for _ in range(15):
        made = await make(alice)
        created, deleted = await asyncio.gather(
            alice.http.post(TASKS, json={"title": "x", "list_id": made["id"]}), delete(alice, made["id"], tasks="keep")
        )
        assert deleted.status_code == 204
        assert created.status_code in {201, 422}
        assert {task["list_id"] for task in (await alice.http.get(TASKS)).json()} <= {None}


async def test_all_lists_are_read_with_the_counts_of_their_tasks(alice: User, bob: User):
    made = {name: (await alice.http.post(LISTS, json={"name": name})).json() for name in ("full", "empty")}
    his = (await bob.http.post(LISTS, json={"name": "his"})).json()
    await bob.create(list_id=his["id"])
    for completed in (True, False, False):
        await alice.create(list_id=made["full"]["id"], completed=completed)
    await alice.create("in no list")
    trashed = await alice.create("trashed", list_id=made["full"]["id"])
    await alice.http.delete(f"{TASKS}/{trashed['id']}")
    answer = await alice.http.get(LISTS)
    assert [(one["name"], one["open_tasks"], one["done_tasks"]) for one in answer.json()] == [
        ("full", 2, 1), ("empty", 0, 0),
    ]  # fmt: skip
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert (await alice.http.get(LISTS, headers=tag)).status_code == 304
    await alice.create(list_id=made["empty"]["id"])
    changed = await alice.http.get(LISTS, headers=tag)
    assert [one["open_tasks"] for one in changed.json()] == [2, 1]
    assert (await bob.http.get(LISTS, headers={"If-None-Match": changed.headers["ETag"]})).status_code == 200
    alone = (await alice.http.get(f"{LISTS}/{made['full']['id']}")).json()
    assert alone == made["full"], "what its ETag would not tell of is not in it"


async def test_a_list_goes_first_where_after_is_left_out(alice: User):
    made = {name: (await alice.http.post(LISTS, json={"name": name})).json()["id"] for name in "ab"}
    assert (await alice.http.post(f"{LISTS}/{made['b']}/move", json={})).status_code == 200
    assert [one["name"] for one in (await alice.http.get(LISTS)).json()] == ["b", "a"]

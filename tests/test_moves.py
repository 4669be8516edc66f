"""Moves: tasks stand where they were put, whoever else moves, and their positions stay short."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from tests.sizes import sized
from tests.test_task_members import make_list, pointers
from tests.users import User

TASKS = "/api/v1/tasks"
SEVERAL, MANY = sized(30, 1000), sized(150, 1000)


async def move(user: User, task_id: str, after: str | None, **place: Any) -> dict[str, Any]:
    response = await user.http.post(f"{TASKS}/{task_id}/move", json={"after": after, **place})
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


async def siblings(user: User, **place: str) -> list[dict[str, Any]]:
    """The tasks of one place, as `sort=position` gives them."""
    found: list[dict[str, Any]] = []
    url: str | None = str(httpx2.URL(TASKS, params={"sort": "position", "limit": "200", **place}))
    while url:
        response = await user.http.get(url)
        found += response.json()
        link = response.headers.get("link")
        url = link and link[1 : link.index(">")]
    positions = [task["position"].encode() for task in found]
    assert positions == sorted(positions)
    assert len(set(positions)) == len(positions)
    assert all(len(position) <= 48 for position in positions)
    return found


async def titles(user: User, **place: str) -> str:
    return "".join(task["title"] for task in await siblings(user, **place))


async def test_a_task_goes_first_last_and_between(alice: User):
    made = {title: (await alice.create(title))["id"] for title in "abcd"}
    assert await titles(alice) == "abcd"
    for title, after, order in [
        ("c", None, "cabd"), ("c", "d", "abdc"), ("a", "b", "badc"), ("a", "b", "badc"), ("b", None, "badc"),
        ("c", "b", "bcad"), ("d", "b", "bdca"), ("a", "d", "bdac"),
    ]:  # fmt: skip
        moved = await move(alice, made[title], after and made[after])
        assert await titles(alice) == order
        assert moved == (await alice.http.get(f"{TASKS}/{made[title]}")).json()


async def test_a_move_is_a_write_with_a_version_an_etag_and_nothing_else_changed(alice: User):
    first, second = await alice.create("a"), await alice.create("b")
    response = await alice.http.post(f"{TASKS}/{second['id']}/move", json={"after": None})
    moved = response.json()
    assert response.headers["etag"] == f'"{moved["version"]}"'
    assert moved["version"] == second["version"] + 1
    assert moved == {**second, **{name: moved[name] for name in ("position", "version", "updated_at")}}
    assert (await alice.http.get(f"{TASKS}/{first['id']}")).json() == first


async def test_into_a_list_out_of_it_and_under_a_parent(alice: User):
    list_id = await make_list(alice)
    a, b, c = [(await alice.create(title))["id"] for title in "abc"]
    assert (await move(alice, a, None, list_id=list_id))["list_id"] == list_id
    assert (await move(alice, b, None, list_id=list_id))["list_id"] == list_id
    assert (await move(alice, c, b, list_id=list_id))["parent_id"] is None
    assert await titles(alice, list_id=list_id) == "bca"
    assert (await move(alice, c, None, list_id=None))["list_id"] is None
    assert await titles(alice, list_id=list_id) == "ba"
    assert (await move(alice, c, None, parent_id=a))["parent_id"] == a
    moved = await move(alice, b, c, parent_id=a)
    assert (moved["parent_id"], moved["list_id"]) == (a, list_id)
    assert await titles(alice, parent_id=a) == "cb"
    assert (await move(alice, b, None, parent_id=None))["parent_id"] is None
    assert await titles(alice, list_id=list_id, parent_id="none") == "ba"


async def test_subtasks_go_with_their_parent_into_its_list_and_into_no_other_place(alice: User):
    a = (await alice.create("a"))["id"]
    child = await alice.create("child", parent_id=a)
    list_id = await make_list(alice)
    await move(alice, a, None, list_id=list_id)
    moved = (await alice.http.get(f"{TASKS}/{child['id']}")).json()
    changed = {name: moved[name] for name in ("list_id", "version", "updated_at")}
    assert moved == {**child, **changed}
    assert changed["list_id"] == list_id


async def test_after_must_be_another_live_task_of_that_place(alice: User, bob: User):
    list_id = await make_list(alice)
    a, b, elsewhere, trashed = [(await alice.create(title))["id"] for title in ("a", "b", "e", "t")]
    await move(alice, elsewhere, None, list_id=list_id)
    await alice.trash(trashed)
    below = (await alice.create("below", parent_id=b))["id"]
    theirs = (await bob.create())["id"]
    before = (await alice.http.get(TASKS)).json()
    said = set()
    for after in (a, elsewhere, trashed, below, theirs, str(uuid7())):
        response = await alice.http.post(f"{TASKS}/{a}/move", json={"after": after})
        assert pointers(response) == ["/after"], after
        said.add(str(response.json()["errors"]))
    assert len(said) == 1
    assert pointers(await alice.http.post(f"{TASKS}/{a}/move", json={"after": b, "list_id": list_id})) == ["/after"]
    assert (await alice.http.get(TASKS)).json() == before


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"after": "x"}, "/after"), ({"after": 1}, "/after"),
        ({"after": None, "list_id": "x"}, "/list_id"),
        ({"after": None, "parent_id": 1}, "/parent_id"), ({"after": None, "position": "a"}, "/position"),
        ({"after": None, "title": "x"}, "/title"),
    ],
)  # fmt: skip
async def test_a_body_that_breaks_a_rule_is_refused(alice: User, body: dict[str, Any], pointer: str):
    task = await alice.create()
    assert pointers(await alice.http.post(f"{TASKS}/{task['id']}/move", json=body)) == [pointer]
    assert (await alice.http.get(TASKS)).json() == [task]


async def test_another_place_by_patch_is_where_it_was_made(alice: User):
    list_id = await make_list(alice)
    a, b, c = [(await alice.create(title))["id"] for title in "abc"]
    for task_id in (a, c):
        await alice.http.patch(f"{TASKS}/{task_id}", json={"list_id": list_id})
    await move(alice, b, None)
    moved = (await alice.http.patch(f"{TASKS}/{b}", json={"list_id": list_id})).json()
    assert moved["position"] == b
    assert await titles(alice, list_id=list_id) == "abc"


async def test_what_is_new_comes_last_however_often_others_were_moved(alice: User):
    made = [(await alice.create("x"))["id"] for _ in range(3)]
    for _ in range(10):
        for at in range(3):
            await move(alice, made[at], made[at - 1])
        new = await alice.create("new")
        assert (await siblings(alice))[-1]["id"] == new["id"]
        await move(alice, new["id"], None)


async def test_what_was_begun_before_moves_to_the_end_comes_after_them(alice: User):
    a, b, c = [(await alice.create(title))["id"] for title in "abc"]
    under_way = str(uuid7())
    await move(alice, b, c)
    await move(alice, a, b)
    await alice.create("d", id=under_way)
    assert await titles(alice) == "cbad"


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "moves", "tasks"),
    [
        ("always after the same", MANY, 6), ("after the last moved", MANY, 6), ("always first", SEVERAL, 6),
        ("always last", SEVERAL, 6), ("always after the same", SEVERAL, SEVERAL),
        ("after the last moved", SEVERAL, SEVERAL), ("always first", SEVERAL, SEVERAL),
    ],
)  # fmt: skip
async def test_many_moves_to_one_place_keep_positions_short_unique_and_in_order(
    alice: User, how: str, moves: int, tasks: int
):
    made = await asyncio.gather(*(alice.create("x") for _ in range(tasks + 2)))
    anchor, beyond, *others = sorted(task["id"] for task in made)
    order = [anchor, beyond, *others]
    last, version = anchor, len(order)
    for number in range(moves):
        task_id = others[number % len(others)]
        order.remove(task_id)
        after: str | None = {"always after the same": anchor, "after the last moved": last}.get(how)
        if how == "always last":
            after = order[-1]
        moved = await move(alice, task_id, after)
        order.insert(0 if after is None else order.index(after) + 1, task_id)
        assert len(moved["position"]) <= 48
        # There is room for it: no other task was written.
        assert moved["version"] == version + 1
        last, version = task_id, version + 1
        if number % 100 == 0:
            assert [task["id"] for task in await siblings(alice)] == order
    assert [task["id"] for task in await siblings(alice)] == order
    assert (await alice.create("new"))["id"] == (await siblings(alice))[-1]["id"]


async def test_random_moves_are_those_of_a_list(alice: User):
    chance = random.Random(5)  # noqa: S311
    order = [(await alice.create("x"))["id"] for _ in range(12)]
    for _ in range(sized(30, 1000)):
        task_id = order.pop(chance.randrange(len(order)))
        place = chance.randrange(len(order) + 1)
        await move(alice, task_id, order[place - 1] if place else None)
        order.insert(place, task_id)
    assert [task["id"] for task in await siblings(alice)] == order


async def test_what_is_in_the_trash_keeps_its_place(alice: User):
    a, _, c, d = [(await alice.create(title))["id"] for title in "abcd"]
    await move(alice, c, a)
    await alice.trash(c)
    await move(alice, d, a)
    await alice.http.post(f"{TASKS}/{c}/restore")
    assert await titles(alice) == "adcb"


async def test_a_task_that_is_restored_without_its_parent_is_where_it_was_made(alice: User):
    above, part, _ = [(await alice.create(title))["id"] for title in "abc"]
    await alice.http.patch(f"{TASKS}/{part}", json={"parent_id": above})
    await move(alice, part, None, parent_id=above)
    await alice.trash(part)
    await alice.trash(above)
    assert (await alice.http.post(f"{TASKS}/{part}/restore")).json()["position"] == part
    assert await titles(alice) == "bc"


async def test_two_clients_that_move_at_once_both_succeed_and_agree(alice: User):
    ids = [(await alice.create(f"{n}"))["id"] for n in range(10)]

    async def mover(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        for _ in range(40):
            task_id, after = chance.sample(ids, 2)
            await move(alice, task_id, after if chance.random() < 0.7 else None)

    async def maker() -> None:
        for _ in range(20):
            await alice.create("new")

    await asyncio.gather(mover(1), mover(2), mover(3), maker())
    found = await siblings(alice)
    assert {task["id"] for task in found[:-20]} == set(ids)
    assert [task["title"] for task in found[-20:]] == ["new"] * 20


async def test_if_match_holds_for_a_move(alice: User):
    task = await alice.create()
    path = f"{TASKS}/{task['id']}/move"
    stale = await alice.http.post(path, json={"after": None}, headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["version"]) == (412, 1)
    assert (await alice.http.post(path, json={"after": None}, headers={"If-Match": '"1"'})).status_code == 200
    # The precondition comes before the state of others.
    assert (await alice.http.post(path, json={"after": str(uuid7())}, headers={"If-Match": '"1"'})).status_code == 412


async def test_siblings_that_an_import_gave_one_position_are_spaced_anew(alice: User):
    # No export has two of one position, but a file may.
    rows = [{"type": "task", "id": str(uuid7()), "title": title, "position": "h"} for title in "abc"]
    moved = await alice.create("d")
    file = "\n".join(map(json.dumps, rows))
    headers = {"Content-Type": "application/x-ndjson"}
    assert (await alice.http.post("/api/v1/me/import", content=file, headers=headers)).status_code == 200
    await move(alice, moved["id"], rows[0]["id"])
    assert await titles(alice) == "adbc"


async def test_a_task_goes_first_where_after_is_left_out(alice: User):
    tasks = [await alice.create(title) for title in "abc"]
    assert (await alice.http.post(f"{TASKS}/{tasks[2]['id']}/move", json={})).status_code == 200
    under = {"parent_id": tasks[0]["id"]}
    assert (await alice.http.post(f"{TASKS}/{tasks[1]['id']}/move", json=under)).status_code == 200
    listed = (await alice.http.get(TASKS, params={"sort": "position", "parent_id": "none"})).json()
    assert [task["title"] for task in listed] == ["c", "a"]

"""Trees of tasks: no cycles, no more than eight levels, and what becomes of those below when one goes or comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.databases import Superuser
from tests.test_task_members import pointers
from tests.users import User

TASKS = "/api/v1/tasks"
DEEPEST = 8


async def chain(user: User, levels: int, parent_id: str | None = None) -> list[str]:
    """Tasks of which each is a part of the one before."""
    ids: list[str] = []
    for number in range(levels):
        parent_id = (await user.create(f"{number}", parent_id=parent_id))["id"]
        ids.append(parent_id)
    return ids


async def below(user: User, parent_id: str, **params: str) -> set[str]:
    listed = await user.http.get(TASKS, params={"parent_id": parent_id, **params})
    return {task["id"] for task in listed.json()}


async def ids(user: User, **params: str) -> set[str]:
    return {task["id"] for task in (await user.http.get(TASKS, params={"limit": "200", **params})).json()}


async def parents(user: User) -> dict[str, str | None]:
    listed = await user.http.get(TASKS, params={"limit": "200"})
    return {task["id"]: task["parent_id"] for task in listed.json()}


async def restore(user: User, task_id: str) -> dict[str, Any]:
    response = await user.http.post(f"{TASKS}/{task_id}/restore")
    assert response.status_code == 200
    return response.json()  # type: ignore[no-any-return]


WAYS = {
    "PATCH": lambda parent_id: ("PATCH", "", {"parent_id": parent_id}),
    "PUT": lambda parent_id: ("PUT", "", {"parent_id": parent_id}),
    "move": lambda parent_id: ("POST", "/move", {"parent_id": parent_id, "after": None}),
}


async def put_under(user: User, task_id: str, parent_id: str | None, way: str) -> Any:
    verb, sub, body = WAYS[way](parent_id)
    return await user.http.request(verb, f"{TASKS}/{task_id}{sub}", json=body)


@pytest.mark.parametrize("way", WAYS)
async def test_a_task_is_no_part_of_itself(alice: User, way: str):
    tree = await chain(alice, 4)
    before = await parents(alice)
    for parent_id in tree:
        response = await put_under(alice, tree[0], parent_id, way)
        assert (response.status_code, response.json()["type"]) == (409, "/problems/cycle"), parent_id
    assert (await put_under(alice, tree[2], tree[3], way)).status_code == 409
    assert await parents(alice) == before
    assert (await put_under(alice, tree[3], tree[0], way)).status_code == 200


@pytest.mark.parametrize("way", WAYS)
async def test_there_are_at_most_eight_levels(alice: User, way: str):
    tree = await chain(alice, DEEPEST)
    said = await alice.http.post(TASKS, json={"title": "x", "parent_id": tree[-1]})
    assert pointers(said) == ["/parent_id"]
    assert "8 levels" in said.json()["errors"][0]["detail"]
    pair = await chain(alice, 2)
    before = await parents(alice)
    for parent_id in (tree[-1], tree[-2]):
        assert pointers(await put_under(alice, pair[0], parent_id, way)) == ["/parent_id"]
    assert await parents(alice) == before
    assert (await put_under(alice, pair[0], tree[-3], way)).status_code == 200
    # The longest branch counts, wherever it is, and so does what is in the trash below, which may come back.
    other = await chain(alice, 3)
    await alice.trash(other[1])
    assert pointers(await put_under(alice, other[0], tree[-3], way)) == ["/parent_id"]
    assert (await put_under(alice, other[0], tree[-4], way)).status_code == 200
    await restore(alice, other[1])
    assert (await put_under(alice, tree[-1], None, way)).status_code == 200


@pytest.mark.parametrize("way", WAYS)
async def test_two_that_become_parts_of_each_other_at_once_do_not_both(alice: User, way: str):
    for _ in range(20):
        one, other = (await alice.create("a"))["id"], (await alice.create("b"))["id"]
        answers = await asyncio.gather(put_under(alice, one, other, way), put_under(alice, other, one, way))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        found = {task_id: parent for task_id, parent in (await parents(alice)).items() if task_id in {one, other}}
        assert sorted(found.values(), key=str) == sorted([None, one if found[one] is None else other], key=str)
        await alice.http.delete(f"{TASKS}/{one if found[one] is None else other}?permanent=true")


@pytest.mark.parametrize("way", WAYS)
async def test_two_that_deepen_one_tree_at_once_do_not_both(alice: User, way: str):
    for _ in range(20):
        upper, middle, lower = await chain(alice, 4), await chain(alice, 1), await chain(alice, 4)
        # Each fits by itself, on the upper end or on the lower, and both together are a level too many.
        answers = await asyncio.gather(
            put_under(alice, middle[0], upper[-1], way), put_under(alice, lower[0], middle[0], way)
        )
        assert sorted(answer.status_code for answer in answers) == [200, 422]
        for task_id in (upper[0], *(middle if answers[0].status_code == 422 else lower)[:1]):
            await alice.http.delete(f"{TASKS}/{task_id}?permanent=true")


async def test_a_parent_that_goes_to_the_trash_meanwhile_has_no_live_part(alice: User):
    for _ in range(20):
        parent, child = (await alice.create())["id"], (await alice.create())["id"]
        added, trashed, made = await asyncio.gather(
            put_under(alice, child, parent, "PATCH"),
            alice.http.delete(f"{TASKS}/{parent}"),
            alice.http.post(TASKS, json={"title": "new", "parent_id": parent}),
        )
        assert trashed.status_code == 204
        assert {added.status_code, made.status_code} <= {200, 201, 422}
        assert await below(alice, parent) == set()


async def test_a_trashed_task_is_no_parent(alice: User):
    parent, task = (await alice.create())["id"], (await alice.create())["id"]
    await alice.trash(parent)
    for way in WAYS:
        response = await put_under(alice, task, parent, way)
        assert pointers(response) == ["/parent_id"]
        assert response.json()["errors"][0]["detail"] == "You have no such task."
    assert pointers(await alice.http.post(TASKS, json={"title": "x", "parent_id": parent})) == ["/parent_id"]


async def test_a_tree_goes_to_the_trash_and_comes_back_as_it_was(alice: User):
    tree = await chain(alice, 5)
    sibling = (await alice.create("sibling", parent_id=tree[1], tags=["a"], completed=True))["id"]
    everything = {*tree, sibling}
    before = {task["id"]: task for task in (await alice.http.get(TASKS)).json()}
    await alice.trash(tree[1])
    assert await ids(alice) == {tree[0]}
    trashed = (await alice.http.get(TASKS, params={"deleted": "true"})).json()
    assert {task["id"] for task in trashed} == everything - {tree[0]}
    assert len({task["version"] for task in trashed}) == 5
    assert [task["deleted_at"] for task in trashed] == [task["updated_at"] for task in trashed]
    await restore(alice, tree[1])
    after = {task["id"]: task for task in (await alice.http.get(TASKS)).json()}
    moved = ("version", "updated_at")
    assert after == {i: {**task, **{name: after[i][name] for name in moved}} for i, task in before.items()}


async def test_what_was_trashed_earlier_stays_in_the_trash(alice: User):
    top, middle, low, lowest = await chain(alice, 4)
    await alice.trash(low)
    await alice.trash(top)
    assert await ids(alice, deleted="true") == {top, middle, low, lowest}
    await restore(alice, top)
    assert await ids(alice) == {top, middle}
    await restore(alice, low)
    assert await parents(alice) == {top: None, middle: top, low: middle, lowest: low}


async def test_a_part_that_comes_back_without_its_parent_is_at_the_top(alice: User):
    top, middle, low, lowest = await chain(alice, 4)
    await alice.trash(top)
    assert (await restore(alice, low))["parent_id"] is None
    assert await parents(alice) == {low: None, lowest: low}
    assert await ids(alice, deleted="true") == {top, middle}
    await restore(alice, top)
    assert await parents(alice) == {low: None, lowest: low, top: None, middle: top}


async def test_a_restored_part_may_come_back_into_a_tree_that_was_moved_meanwhile(alice: User):
    top, middle, low = await chain(alice, 3)
    await alice.trash(low)
    above = await chain(alice, DEEPEST - 3)
    assert (await put_under(alice, top, above[-1], "move")).status_code == 200
    assert (await restore(alice, low))["parent_id"] == middle
    assert len(await ids(alice)) == DEEPEST


async def test_erasing_takes_all_below_in_any_state_with_tombstones(alice: User, superuser: Superuser):
    tree = await chain(alice, 4)
    beside = (await alice.create("beside"))["id"]
    await alice.trash(tree[2])
    response = await alice.http.delete(f"{TASKS}/{tree[1]}", params={"permanent": "true"})
    assert response.status_code == 204
    assert await ids(alice) == {tree[0], beside}
    assert await ids(alice, deleted="true") == set()
    rows = await superuser.fetch("SELECT id, version FROM taskward.tombstone WHERE user_id = $1", alice.id)
    assert {str(row["id"]) for row in rows} == set(tree[1:])
    assert len({row["version"] for row in rows}) == 3
    assert await superuser.fetchval("SELECT tasks FROM taskward.account WHERE user_id = $1", alice.id) == 2


async def test_erasing_in_the_trash_takes_no_part_that_was_put_elsewhere(alice: User):
    top, middle, low = await chain(alice, 3)
    assert (await put_under(alice, low, None, "PATCH")).status_code == 200
    await alice.trash(top)
    assert (await alice.http.delete(f"{TASKS}/{top}", params={"permanent": "true"})).status_code == 204
    assert await parents(alice) == {low: None}
    assert (await alice.http.get(f"{TASKS}/{middle}")).status_code == 404


async def test_parts_of_one_task_and_of_none_are_listed(alice: User, bob: User):
    top, middle, low = await chain(alice, 3)
    other = (await alice.create())["id"]
    assert await below(alice, top) == {middle}
    assert await below(alice, middle) == {low}
    assert await below(alice, "none") == {top, other}
    assert await below(bob, top) == set()
    await alice.trash(low)
    assert await below(alice, middle) == set()
    assert await below(alice, middle, deleted="true") == {low}


async def test_a_tree_of_many_is_trashed_restored_and_erased_at_once(alice: User, superuser: Superuser):
    top = (await alice.create("top"))["id"]
    made = await asyncio.gather(*(alice.create("part", parent_id=top) for _ in range(150)))
    await alice.trash(top)
    assert len(await ids(alice, deleted="true")) == 151
    await restore(alice, top)
    assert len(await below(alice, top, limit="200")) == len(made)
    assert (await alice.http.delete(f"{TASKS}/{top}?permanent=true")).status_code == 204
    assert await superuser.fetchval("SELECT count(*) FROM taskward.tombstone WHERE user_id = $1", alice.id) == 151

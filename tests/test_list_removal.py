"""A list that is removed with its tasks: which task each goes to the trash with, and comes back with."""

from __future__ import annotations

import pytest
from uuid_utils.compat import uuid7

from tests.users import User


@pytest.mark.parametrize("inner_is_older", [False, True])
async def test_a_task_goes_to_the_trash_with_the_uppermost_above_it_that_is_in_the_list(
    alice: User, inner_is_older: bool
):
    made = (await alice.http.post("/api/v1/lists", json={"name": "Household"})).json()
    first, second = sorted(str(uuid7()) for _ in range(2))
    top, inner = (second, first) if inner_is_older else (first, second)
    await alice.create("Top", id=top, list_id=made["id"])
    between = await alice.create("In no list", parent_id=top)
    await alice.create("Inner", id=inner, list_id=made["id"], parent_id=between["id"])
    apart = await alice.create("Apart", list_id=made["id"])
    kept = await alice.create("In no list either")
    gone = await alice.http.delete(f"/api/v1/lists/{made['id']}", params={"tasks": "trash"})
    assert gone.status_code == 204, gone.text
    assert [task["id"] for task in (await alice.http.get("/api/v1/tasks")).json()] == [kept["id"]]
    assert (await alice.http.post(f"/api/v1/tasks/{top}/restore")).status_code == 200
    back = (await alice.http.get("/api/v1/tasks")).json()
    assert {task["id"] for task in back} == {top, between["id"], inner, kept["id"]}
    assert {task["list_id"] for task in back} == {None}
    trash = (await alice.http.get("/api/v1/tasks", params={"deleted": "true"})).json()
    assert [task["id"] for task in trash] == [apart["id"]]

"""What an account tells of itself, and that nothing is left of it when it is erased."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.databases import Superuser
from tests.users import User

TASKS = "/api/v1/tasks"
ME = "/api/v1/me"
LISTS = "/api/v1/lists"
EMPTY = {"tasks": 0, "open": 0, "completed": 0, "trash": 0, "lists": 0, "tags": 0}
# Asked of the catalogue, so that a table that is added is looked at as well.
OWNED = """
SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'
WHERE c.relnamespace = 'taskward'::regnamespace AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
"""


async def rows_of(superuser: Superuser, user: User) -> dict[str, list[str]]:
    tables = [row["relname"] for row in await superuser.fetch(OWNED)]
    query = "SELECT x::text FROM taskward.{} x WHERE user_id = $1 ORDER BY 1"
    return {name: [row[0] for row in await superuser.fetch(query.format(name), user.id)] for name in tables}


async def fill(user: User) -> dict[str, Any]:
    """Something in every table; returns a task that is live."""
    made = (await user.http.post(LISTS, json={"name": "Home"})).json()
    top = await user.create("Top", list_id=made["id"], tags=["a", "b"], metadata={"x": [1, None]})
    below = await user.create("Below", parent_id=top["id"], tags=["b"], completed=True)
    gone, trashed = await user.create("Gone"), await user.create("Trashed", tags=["c"])
    await user.trash(trashed["id"])
    assert (await user.http.delete(f"{TASKS}/{gone['id']}", params={"permanent": "true"})).status_code == 204
    answer = await user.http.post(TASKS, json={"title": "Kept"}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201
    csv = b"TYPE,CONTENT,PRIORITY,INDENT\ntask,Buy milk,4,1\n"
    headers = {"Content-Type": "text/csv"}
    report = await user.http.post(f"{ME}/import", params={"format": "todoist"}, content=csv, headers=headers)
    assert report.status_code == 200, report.text
    assert below["parent_id"] == top["id"]
    return top


async def test_an_account_counts_what_it_has(alice: User, bob: User):
    await fill(bob)
    before = (await alice.http.get(ME)).json()
    assert before["counts"] == EMPTY
    assert before["limits"] == {"tasks": 100_000, "lists": 500, "tags": 2_000}
    await fill(alice)
    counts = (await alice.http.get(ME)).json()["counts"]
    assert counts == {"tasks": 4, "open": 3, "completed": 1, "trash": 1, "lists": 2, "tags": 3}


async def test_the_counts_that_hold_the_limits_are_those_of_the_rows(alice: User, superuser: Superuser):
    task = await fill(alice)
    await alice.http.post(f"{TASKS}/batch", json={"operations": [{"op": "create", "task": {"title": "x"}}] * 7})
    recurring = await alice.create(due_date="2026-01-10", time_zone="UTC", recurrence="FREQ=DAILY")
    await alice.http.patch(f"{TASKS}/{recurring['id']}/complete")
    await alice.http.delete(f"{TASKS}/{task['id']}", params={"permanent": "true"})
    (home, *_) = (await alice.http.get(LISTS)).json()
    assert (await alice.http.delete(f"{LISTS}/{home['id']}", params={"tasks": "keep"})).status_code == 204
    for name in ("task", "list"):
        counted = await superuser.fetchval(f"SELECT count(*) FROM taskward.{name} WHERE user_id = $1", alice.id)
        kept = await superuser.fetchval(f"SELECT {name}s FROM taskward.account WHERE user_id = $1", alice.id)
        assert kept == counted


async def test_erasure_leaves_no_row_in_any_table_and_none_of_anybody_elses_is_touched(
    alice: User, bob: User, superuser: Superuser
):
    await fill(alice)
    await fill(bob)
    hers, his = await rows_of(superuser, alice), await rows_of(superuser, bob)
    assert all(hers.values()), "a table that nothing was put into proves nothing"
    response = await alice.http.delete(ME, params={"confirm": alice.id})
    assert (response.status_code, response.content) == (204, b"")
    assert not any((await rows_of(superuser, alice)).values())
    assert await rows_of(superuser, bob) == his
    assert (await alice.http.get(ME)).json()["counts"] == EMPTY
    assert (await alice.http.get(TASKS, params={"deleted": "true"})).json() == []


@pytest.mark.parametrize("confirm", [None, "", "yes", "bob's", "ALICE's"])
async def test_erasure_wants_the_users_own_id(alice: User, bob: User, superuser: Superuser, confirm: str | None):
    await fill(alice)
    before = await rows_of(superuser, alice)
    said = {None: None, "bob's": bob.id, "ALICE's": alice.id.upper()}.get(confirm, confirm)
    response = await alice.http.delete(ME, params={} if said is None else {"confirm": said})
    assert response.status_code == 422
    assert [(error["in"], error["pointer"]) for error in response.json()["errors"]] == [("query", "/confirm")]
    assert alice.id not in response.text
    assert bob.id not in response.text
    assert await rows_of(superuser, alice) == before


async def test_what_comes_after_an_erasure_is_another_life(alice: User):
    await alice.create()
    known = (await alice.http.get(TASKS)).headers["etag"]
    await alice.http.delete(ME, params={"confirm": alice.id})
    task = await alice.create()
    assert task["version"] == 1
    again = await alice.http.get(TASKS, headers={"If-None-Match": known})
    assert (again.status_code, again.json()) == (200, [task])


async def test_erasing_nothing_is_no_error(alice: User, superuser: Superuser):
    for _ in range(2):
        assert (await alice.http.delete(ME, params={"confirm": alice.id})).status_code == 204
    assert not any((await rows_of(superuser, alice)).values())


async def test_writes_at_the_same_time_are_erased_or_begin_anew(alice: User, superuser: Superuser):
    await fill(alice)
    erasure = alice.http.delete(ME, params={"confirm": alice.id})
    writes = [alice.http.post(TASKS, json={"title": f"Task {n}", "tags": ["x"] * (n % 2)}) for n in range(12)]
    answers = await asyncio.gather(*writes[:6], erasure, *writes[6:])
    assert {answer.status_code for answer in answers} <= {201, 204}
    rows = await rows_of(superuser, alice)
    left = (await alice.http.get(TASKS)).json()
    assert {task["title"].split()[0] for task in left} <= {"Task"}
    assert len(rows["task"]) == len(left)
    assert len(rows["account"]) == (1 if left else 0)
    assert await superuser.fetchval("SELECT tasks FROM taskward.account WHERE user_id = $1", alice.id) in {
        len(left),
        None,
    }

"""What goes through many tasks, or finds some by what they have in common, goes by one's own, whatever others have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.databases import Superuser, rows_of
from tests.test_export import as_lines, put_back, task_line
from tests.users import User

TASKS = "/api/v1/tasks"


async def complete(user: User, task_id: str) -> None:
    assert (await user.http.patch(f"{TASKS}/{task_id}/complete", json={"completed": True})).status_code == 200


async def test_to_empty_ones_trash_leaves_a_strangers(alice: User, bob: User, superuser: Superuser):
    for user in (alice, bob):
        await user.trash((await user.create("Trashed"))["id"])
    before = await rows_of(superuser, alice.id)
    assert (await bob.http.delete(f"{TASKS}?deleted=true")).status_code == 204
    assert (await bob.http.get(f"{TASKS}?deleted=true")).json() == []
    assert await rows_of(superuser, alice.id) == before


async def test_what_is_in_a_strangers_list_is_not_cleared_by_it(alice: User, bob: User, superuser: Superuser):
    list_id = (await alice.http.post("/api/v1/lists", json={"name": "Hers"})).json()["id"]
    hers = await alice.create("Hers", list_id=list_id)
    his = await bob.create("His", id=hers["id"])
    for user in (alice, bob):
        await complete(user, hers["id"])
    before = await rows_of(superuser, alice.id), await rows_of(superuser, bob.id)
    await bob.http.delete(f"{TASKS}/completed?list_id={list_id}")
    assert [task["id"] for task in (await bob.http.get(TASKS)).json()] == [his["id"]]
    assert (await rows_of(superuser, alice.id), await rows_of(superuser, bob.id)) == before


async def test_what_stays_as_it_is_is_answered_from_ones_own_row(alice: User, bob: User):
    hers = await alice.create("Hers")
    his = await bob.create("His", id=hers["id"])
    for user, own in ((alice, hers), (bob, his)):
        assert (await user.http.post(f"{TASKS}/{own['id']}/restore")).json() == own


async def test_a_strangers_open_task_of_the_same_series_is_not_taken_for_ones_own(alice: User, bob: User):
    due = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    rule = {"due_date": due, "time_zone": "UTC", "recurrence": "FREQ=DAILY"}
    done = await alice.create("Water the plants", **rule)
    await complete(alice, done["id"])
    (following,) = [one for one in (await alice.http.get(f"{TASKS}?completed=false")).json() if not one["completed"]]
    await alice.trash(following["id"])
    copied = await put_back(bob, as_lines(task_line(series_id=done["series_id"], **rule)))
    assert copied.json()["tasks"] == 1
    reopened = (await alice.http.patch(f"{TASKS}/{done['id']}/complete", json={"completed": False})).json()
    assert (reopened["series_id"], reopened["recurrence"]) == (done["series_id"], done["recurrence"])


async def test_a_list_counts_ones_own_live_tasks(alice: User, bob: User):
    list_id = (await alice.http.post("/api/v1/lists", json={"name": "Hers"})).json()["id"]
    assert (await bob.http.post("/api/v1/lists", json={"id": list_id, "name": "His"})).status_code == 201
    for number, user in enumerate((alice, bob), start=1):
        for _ in range(number):
            await user.create(list_id=list_id)
        await complete(user, (await user.create(list_id=list_id))["id"])
        await user.trash((await user.create(list_id=list_id))["id"])
        await user.create("In no list")
    for number, user in enumerate((alice, bob), start=1):
        (counted,) = (await user.http.get("/api/v1/lists")).json()
        assert (counted["open_tasks"], counted["done_tasks"]) == (number, 1)


async def test_to_remove_a_list_changes_nothing_by_a_strangers_trash(alice: User, bob: User):
    shared, other = [(await alice.http.post("/api/v1/lists", json={"name": name})).json()["id"] for name in "ab"]
    hers = await alice.create("Hers", list_id=shared)
    await alice.trash(hers["id"])
    for list_id in (shared, other):
        assert (await bob.http.post("/api/v1/lists", json={"id": list_id, "name": "His"})).status_code == 201
    his = await bob.create("His", id=hers["id"], list_id=other)
    await bob.create("In the list", list_id=shared)
    assert (await bob.http.delete(f"/api/v1/lists/{shared}?tasks=trash")).status_code == 204
    assert (await bob.http.get(f"{TASKS}/{his['id']}")).json() == his

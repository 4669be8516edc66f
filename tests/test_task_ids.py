"""The ids of tasks: those that clients choose, and how they are written in a path."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from tests.test_task_members import pointers
from tests.users import User

TASKS = "/api/v1/tasks"


def uuid7_at(seconds: float) -> str:
    value = int(seconds * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(UUID(int=value))


async def test_patch_refuses_the_id(alice: User):
    task = await alice.create()
    assert pointers(await alice.http.patch(f"{TASKS}/{task['id']}", json={"id": task["id"]})) == ["/id"]


async def test_a_client_may_choose_the_id(alice: User):
    chosen = str(uuid7())
    assert (await alice.create(id=chosen.upper()))["id"] == chosen
    assert UUID((await alice.create())["id"]).version == 7
    old, soon = uuid7_at(0), uuid7_at(time.time() + 86_000)
    assert (await alice.create(id=old))["id"] == old
    assert (await alice.create(id=soon))["id"] == soon


REFUSED_IDS: dict[str, Callable[[], object]] = {
    "version 4": lambda: str(uuid4()),
    "more than a day ahead": lambda: uuid7_at(time.time() + 90_000),
    "nil": lambda: str(UUID(int=0)),
    "max": lambda: str(UUID(int=2**128 - 1)),
    "without hyphens": lambda: uuid7().hex,
    "in braces": lambda: f"{{{uuid7()}}}",
    "as a URN": lambda: f"urn:uuid:{uuid7()}",
    "with a digit that is not ASCII": lambda: str(uuid7()).replace("7", "\uff17", 1),
    "empty": str,
    "short": lambda: "x",
    "a number": lambda: 1,
    "null": lambda: None,
}


@pytest.mark.parametrize("kind", REFUSED_IDS)
async def test_an_id_that_is_not_a_uuidv7_of_about_now_or_before_is_refused(alice: User, kind: str):
    assert pointers(await alice.http.post(TASKS, json={"title": "x", "id": REFUSED_IDS[kind]()})) == ["/id"]


async def test_an_id_of_ones_own_is_taken_whether_live_or_in_the_trash(alice: User):
    task = await alice.create()
    for _ in ("live", "trashed"):
        response = await alice.http.post(TASKS, json={"title": "Other", "id": task["id"]})
        assert response.status_code == 409
        assert response.json()["type"] == "/problems/task-id-taken"
        await alice.http.delete(f"{TASKS}/{task['id']}")
    (kept,) = (await alice.http.get(TASKS, params={"deleted": "true"})).json()
    assert kept["title"] == "Buy milk"
    assert (await alice.create())["version"] == kept["version"] + 1


async def test_another_users_id_does_not_collide(alice: User, bob: User):
    task = await alice.create("Hers")
    his = await bob.create("His", id=task["id"])
    path = f"{TASKS}/{task['id']}"
    assert (await bob.http.patch(path, json={"title": "Still his"})).json()["title"] == "Still his"
    assert (await alice.http.get(path)).json() == task
    assert (await bob.http.delete(path, params={"permanent": "true"})).status_code == 204
    assert his["version"] == 1
    assert (await bob.http.get(path)).status_code == 403
    assert (await alice.http.get(path)).json() == task


async def test_a_path_takes_one_spelling_of_an_id_in_either_case(alice: User):
    task = await alice.create()
    spelt = task["id"]
    assert (await alice.http.get(f"{TASKS}/{spelt.upper()}")).json() == task
    moved = spelt.replace("-", "")
    for other in (moved, f"{{{spelt}}}", f"urn:uuid:{spelt}", f"-{moved[:10]}-{moved[10:20]}-{moved[20:]}-",
                  f"{spelt[:7]}_{spelt[7:]}"[:36], f" {spelt}", f"{spelt}%20"):  # fmt: skip
        assert (await alice.http.get(f"{TASKS}/{other}")).status_code == 404, other

"""The trash, from which tasks come back as they were, and deletion for good, from which none does."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from taskward.storage.compiling import Statement
from taskward.storage.session import Session
from tests.databases import Superuser
from tests.serving import NO_TLS, PLAIN
from tests.test_tasks import clock_of, read
from tests.users import User

TASKS = "/api/v1/tasks"


async def test_a_deleted_task_is_in_the_trash_and_nowhere_else(alice: User):
    task = await alice.create()
    path = f"{TASKS}/{task['id']}"
    response = await alice.http.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    for verb, sub in [
        ("GET", ""), ("PATCH", ""), ("PUT", ""), ("PATCH", "/complete"), ("POST", "/move"), ("DELETE", "")
    ]:  # fmt: skip
        body = {"after": None} if sub == "/move" else {"completed": True} if verb[0] == "P" else None
        missed = await alice.http.request(verb, path + sub, json=body)
        assert missed.status_code == 404
        assert missed.json()["type"] == "/problems/task-not-found"
    (trashed,) = (await alice.http.get(TASKS, params={"deleted": "true"})).json()
    assert trashed["id"] == task["id"]
    assert trashed["deleted_at"] == trashed["updated_at"]
    assert trashed["version"] > task["version"]


async def test_a_restored_task_is_what_it_was(alice: User):
    task = await alice.create(description="Blue cap", completed=True)
    await alice.trash(task["id"])
    response = await alice.http.post(f"{TASKS}/{task['id']}/restore")
    restored = response.json()
    assert response.status_code == 200
    assert response.headers["etag"] == f'"{restored["version"]}"'
    assert restored == {**task, "version": restored["version"], "updated_at": restored["updated_at"]}
    assert restored["version"] == task["version"] + 2
    assert await read(alice, task["id"]) == restored


async def test_restoring_a_live_task_answers_it_as_it_is(alice: User, superuser: Superuser):
    task = await alice.create()
    response = await alice.http.post(f"{TASKS}/{task['id']}/restore")
    assert (response.status_code, response.json()) == (200, task)
    assert await clock_of(superuser, alice) == task["version"]


async def test_a_task_that_is_trashed_while_it_is_restored_is_restored(alice: User, monkeypatch: pytest.MonkeyPatch):
    task = await alice.create()
    path = f"{TASKS}/{task['id']}"
    looked: list[str] = []
    fetch_one = Session.fetch_one

    async def fetch(session: Session, statement: Statement, **parameters: Any) -> Any:
        looked.append(statement.sql)
        if len(looked) == 1:
            # It is live when restoring begins. Before that has its turn, it goes to the trash.
            url, headers = alice.http.base_url.join(path), alice.http.headers
            trashed = await asyncio.to_thread(httpx2.delete, url, headers=headers, verify=NO_TLS)
            assert trashed.status_code == 204
        return await fetch_one(session, statement, **parameters)

    monkeypatch.setattr(Session, "fetch_one", fetch)
    restored = await alice.http.post(f"{path}/restore")
    assert (restored.status_code, restored.json()["deleted_at"]) == (200, None)
    assert len(looked) > 1


async def test_a_task_that_is_to_be_trashed_while_it_is_restored_waits_and_is_trashed(
    alice: User, monkeypatch: pytest.MonkeyPatch
):
    task = await alice.create()
    path = f"{TASKS}/{task['id']}"
    trashing: list[asyncio.Future[httpx2.Response]] = []
    fetch_one = Session.fetch_one

    async def fetch(session: Session, statement: Statement, **parameters: Any) -> Any:
        row = await fetch_one(session, statement, **parameters)
        if not trashing:
            # Restoring has its turn. In this very moment it shall go to the trash.
            url, headers = alice.http.base_url.join(path), alice.http.headers
            loop = asyncio.get_running_loop()
            trashing.append(loop.run_in_executor(None, lambda: httpx2.delete(url, headers=headers, **PLAIN)))
            await asyncio.sleep(0.2)
            assert not trashing[0].done()
        return row

    monkeypatch.setattr(Session, "fetch_one", fetch)
    restored = await alice.http.post(f"{path}/restore")
    assert (restored.status_code, restored.json()["deleted_at"]) == (200, None)
    for _ in range(100):
        if trashing[0].done():
            break
        await asyncio.sleep(0.05)
    assert trashing[0].result().status_code == 204
    assert (await alice.http.get(path)).status_code == 404


@pytest.mark.parametrize("trashed_first", [False, True])
async def test_permanent_deletion_leaves_a_tombstone_and_no_content(
    alice: User, superuser: Superuser, trashed_first: bool
):
    task = await alice.create("Secret plan")
    if trashed_first:
        await alice.trash(task["id"])
    clock = await clock_of(superuser, alice)
    assert (await alice.http.delete(f"{TASKS}/{task['id']}", params={"permanent": "true"})).status_code == 204
    assert not await superuser.fetch("SELECT FROM taskward.task WHERE id = $1", task["id"])
    (tombstone,) = await superuser.fetch("SELECT * FROM taskward.tombstone WHERE id = $1", task["id"])
    assert (tombstone["user_id"], tombstone["version"]) == (alice.id, await clock_of(superuser, alice))
    assert tombstone["version"] == (clock or 0) + 1
    assert (await alice.http.get(TASKS, params={"deleted": "true"})).json() == []
    assert (await alice.http.post(f"{TASKS}/{task['id']}/restore")).status_code == 404
    assert (await alice.http.delete(f"{TASKS}/{task['id']}", params={"permanent": "true"})).status_code == 404


async def test_the_id_of_an_erased_task_can_be_used_again(alice: User):
    task = await alice.create()
    for _ in range(2):
        assert (await alice.http.delete(f"{TASKS}/{task['id']}", params={"permanent": "true"})).status_code == 204
        again = await alice.create("Another", id=task["id"])
        assert again["id"] == task["id"]
        assert again["version"] > task["version"]


async def test_permanent_false_is_the_trash(alice: User):
    task = await alice.create()
    assert (await alice.http.delete(f"{TASKS}/{task['id']}", params={"permanent": "false"})).status_code == 204
    assert len((await alice.http.get(TASKS, params={"deleted": "true"})).json()) == 1

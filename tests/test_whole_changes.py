"""Changes of one statement, which are committed with it: in one message, in time, and never in doubt without a word."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from taskward.app import create_app
from tests.citus import CITUS_URL, on_one_machine
from tests.clusters import Cluster
from tests.databases import OTHERS, connected, name_of, set_defaults
from tests.serving import NO_TLS, make_settings, make_token, serving

TASKS = "/api/v1/tasks"
WAITING = f"SELECT pid {OTHERS} AND wait_event_type = 'Lock'"


@dataclass
class Place:
    """A service of one's own, and what is behind it."""

    client: httpx2.AsyncClient
    superuser: Any

    async def create(self, **members: Any) -> dict[str, Any]:
        answer = await self.client.post(TASKS, json={"title": "Buy milk", **members})
        assert answer.status_code == 201
        return answer.json()  # type: ignore[no-any-return]

    async def account(self) -> tuple[Any, ...]:
        return tuple(await self.superuser.fetchrow("SELECT clock, changed_at, tasks FROM taskward.account"))

    async def task(self, task_id: str) -> tuple[Any, ...]:
        row = await self.superuser.fetchrow(
            "SELECT title, completed, version FROM taskward.task WHERE id = $1", task_id
        )
        return () if row is None else tuple(row)

    async def waiting(self) -> int:
        """The backend that waits for a lock."""
        async with asyncio.timeout(10):
            while not (pid := await self.superuser.fetchval(WAITING)):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
        return int(pid)


@asynccontextmanager
async def place(cluster: Cluster, url: str, **settings: Any) -> AsyncIterator[Place]:
    headers = {"Authorization": f"Bearer {make_token('alice')}"}
    async with AsyncExitStack() as stack:
        superuser = await stack.enter_async_context(connected(cluster.url(name_of(url), superuser=True)))
        base_url = stack.enter_context(serving(create_app(make_settings(url, **settings))))
        client = httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=30, verify=NO_TLS)
        yield Place(await stack.enter_async_context(client), superuser)


@asynccontextmanager
async def held(cluster: Cluster, url: str) -> AsyncIterator[Any]:
    """A transaction that holds alice's account."""
    async with connected(cluster.url(name_of(url), superuser=True)) as holder, holder.transaction():
        await holder.execute("SELECT FROM taskward.account WHERE user_id = 'alice' FOR UPDATE")
        yield holder


def problem_of(answer: httpx2.Response) -> str:
    return str(answer.json()["type"]).rpartition("/")[2]


@on_one_machine("on a cluster, COMMIT is a message of its own")
async def test_a_change_is_one_message(cluster: Cluster, new_database: str, written: list[str]):
    async with place(cluster, new_database, pool_size=1) as here:
        one = f"{TASKS}/{(await here.create())['id']}"
        asks = [
            lambda: here.client.post(TASKS, json={"title": "x"}),
            lambda: here.client.patch(one, json={"title": "y"}),
            lambda: here.client.patch(one, json={"completed": True}),
            lambda: here.client.patch(f"{one}/complete"),
            lambda: here.client.put(one, json={"title": "y"}),
            lambda: here.client.get(one),
            lambda: here.client.get(TASKS),
        ]
        for ask in asks:
            for _ in range(2):
                await ask()
            del written[:]
            assert (await ask()).is_success
            assert written == ["BEBES"]


MISSES = [
    (404, "{unknown}", {}), (404, "{trashed}", {}), (403, "{theirs}", {}), (412, "{mine}", {"If-Match": '"99"'}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "task_id", "headers"), MISSES, ids=str)
async def test_a_change_of_nothing_takes_no_clock(
    cluster: Cluster, new_database: str, status: int, task_id: str, headers: dict[str, str]
):
    async with place(cluster, new_database) as here:
        theirs = await here.client.post(
            TASKS, json={"title": "x"}, headers={"Authorization": f"Bearer {make_token('bob')}"}
        )
        await here.superuser.execute("DELETE FROM taskward.account WHERE user_id = 'nobody'")
        mine, trashed = await here.create(), await here.create()
        await here.client.delete(f"{TASKS}/{trashed['id']}")
        ids = {"unknown": str(uuid7()), "trashed": trashed["id"], "theirs": theirs.json()["id"], "mine": mine["id"]}
        url = f"{TASKS}/{task_id.format(**ids)}"
        mark = "SELECT array_agg(a::text ORDER BY user_id) FROM taskward.account a"
        before = await here.superuser.fetchval(mark)
        for _ in range(3):
            for path, body in ((url, {"title": "lost"}), (url, {"completed": True}), (f"{url}/complete", None)):
                answer = await here.client.patch(path, json=body, headers=headers)
                assert answer.status_code == status
        assert await here.superuser.fetchval(mark) == before


@pytest.mark.long
@pytest.mark.parametrize("what", ["create", "patch", "complete"])
async def test_what_is_not_done_in_time_has_changed_nothing(cluster: Cluster, new_database: str, what: str):
    async with place(cluster, new_database, request_timeout=2) as here:
        task = await here.create()
        asks = {
            "create": lambda: here.client.post(TASKS, json={"title": "x"}),
            "patch": lambda: here.client.patch(f"{TASKS}/{task['id']}", json={"title": "x"}),
            "complete": lambda: here.client.patch(f"{TASKS}/{task['id']}/complete"),
        }
        for _ in range(4):
            await asks[what]()
        before = await here.account(), await here.task(task["id"])
        async with held(cluster, new_database):
            answers = await asyncio.gather(*(asks[what]() for _ in range(2)))
        assert [answer.status_code for answer in answers] == [503, 503]
        assert [problem_of(answer) for answer in answers] == ["unavailable", "unavailable"]
        await asyncio.sleep(0.5)
        assert (await here.account(), await here.task(task["id"])) == before
        assert (await asks[what]()).is_success


@pytest.mark.long
async def test_what_waits_before_it_writes_is_not_in_doubt(cluster: Cluster, new_database: str):
    async with place(cluster, new_database, request_timeout=2) as here:
        done = []
        # Those of a series take more than one statement.
        for _ in range(4):
            task = await here.create(due_date="2030-01-01", time_zone="UTC", recurrence="FREQ=DAILY")
            done.append(await here.client.patch(f"{TASKS}/{task['id']}/complete"))
        assert all(answer.is_success for answer in done)
        task = await here.create(due_date="2030-01-01", time_zone="UTC", recurrence="FREQ=DAILY")
        before = await here.account()
        async with held(cluster, new_database):
            answer = await here.client.patch(f"{TASKS}/{task['id']}/complete")
        assert (answer.status_code, problem_of(answer)) == (503, "unavailable")
        assert await here.account() == before


@on_one_machine("it stops a process of the server")
@pytest.mark.long
@pytest.mark.parametrize("what", ["create", "patch"])
async def test_who_is_not_answered_in_time_is_told_that_it_is_not_known(cluster: Cluster, new_database: str, what: str):
    async with place(cluster, new_database, request_timeout=2, pool_size=1) as here:
        task = await here.create()
        ask = (
            (lambda: here.client.post(TASKS, json={"title": "x"}))
            if what == "create"
            else (lambda: here.client.patch(f"{TASKS}/{task['id']}", json={"title": "x"}))
        )
        for _ in range(2):
            await ask()
        async with held(cluster, new_database):
            asking = asyncio.create_task(ask())
            # A server that stands still gives nothing up.
            pid = await here.waiting()
            os.kill(pid, signal.SIGSTOP)
            try:
                answer = await asking
            finally:
                os.kill(pid, signal.SIGCONT)
        assert (answer.status_code, problem_of(answer)) == (503, "outcome-unknown")
        assert (await ask()).is_success


async def test_a_server_that_gives_up_earlier_by_itself_still_does(cluster: Cluster, new_database: str):
    await set_defaults(cluster, new_database, {"statement_timeout": "'300ms'"})
    async with place(cluster, new_database, request_timeout=20, pool_size=1) as here:
        task = await here.create()
        ask = lambda: here.client.patch(f"{TASKS}/{task['id']}", json={"title": "x"})  # noqa: E731
        for _ in range(2):
            await ask()
        async with held(cluster, new_database), asyncio.timeout(10):
            answer = await ask()
        assert (answer.status_code, problem_of(answer)) == (503, "unavailable")


async def test_a_change_that_waited_for_another_finds_what_that_one_has_left(cluster: Cluster, new_database: str):
    async with place(cluster, new_database) as here:
        task, other = await here.create(), await here.create()
        for _ in range(6):
            await here.client.patch(f"{TASKS}/{task['id']}", json={"title": "x"})
        before = await here.account()
        superuser = cluster.url(name_of(new_database), superuser=True)
        async with connected(superuser) as writer:
            transaction = writer.transaction()
            await transaction.start()
            await writer.execute("UPDATE taskward.account SET clock = clock + 1 WHERE user_id = 'alice'")
            await writer.execute(
                "UPDATE taskward.task SET deleted_at = now(), version = $2 WHERE id = $1", task["id"], before[0] + 1
            )
            gone = asyncio.create_task(here.client.patch(f"{TASKS}/{task['id']}", json={"title": "lost"}))
            await here.waiting()
            await transaction.commit()
        assert (await gone).status_code == 404
        # A number may have been left out, and none was given twice.
        clock, _, tasks = await here.account()
        assert (clock - before[0], tasks) in {(1, before[2]), (2, before[2])}
        assert (await here.client.patch(f"{TASKS}/{other['id']}", json={"title": "y"})).json()["version"] == clock + 1
        versions = await here.superuser.fetchval("SELECT array_agg(version) FROM taskward.task")
        assert len(set(versions)) == len(versions)


async def test_two_writers_of_one_task_are_one_after_the_other(cluster: Cluster, new_database: str):
    async with place(cluster, new_database) as here:
        task = await here.create()
        url = f"{TASKS}/{task['id']}"
        answers = await asyncio.gather(*(here.client.patch(url, json={"title": str(n)}) for n in range(40)))
        versions = sorted(answer.json()["version"] for answer in answers)
        assert versions == list(range(2, 42))
        assert (await here.account())[0] == 41


async def test_a_change_whose_answer_cannot_be_read_is_in_doubt(cluster: Cluster, new_database: str):
    async with place(cluster, new_database) as here:
        task = await here.create()
        url = f"{TASKS}/{task['id']}"
        for _ in range(3):
            assert (await here.client.patch(url, json={"title": "y"})).is_success
        # Beyond Python's calendar. No request can write that.
        await here.superuser.execute("UPDATE taskward.task SET due_at = '12000-01-01', time_zone = 'UTC'")
        answer = await here.client.patch(url, json={"title": "written"})
        # On a cluster it is not committed yet, so that nothing is in doubt.
        expected = (500, "internal-error", "y") if CITUS_URL else (503, "outcome-unknown", "written")
        assert (answer.status_code, problem_of(answer), (await here.task(task["id"]))[0]) == expected
        assert (await here.client.post(TASKS, json={"title": "x"})).status_code == 201

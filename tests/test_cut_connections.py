"""The database's connection is cut between any two messages: what was answered is what was done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from taskward.app import create_app
from tests.citus import CITUS_URL
from tests.clusters import Cluster
from tests.cutter import Cutter, Side, cutting
from tests.databases import OTHERS, connected, name_of
from tests.serving import NO_TLS, make_settings, make_token, serving

TASKS = "/api/v1/tasks"
Ask = Callable[[httpx2.AsyncClient, dict[str, Any]], Awaitable[httpx2.Response]]
BUSY = f"SELECT count(*) {OTHERS} AND state <> 'idle'"
STATE = """
SELECT (SELECT count(*) FROM taskward.task) AS tasks, (SELECT clock FROM taskward.account) AS clock,
  (SELECT count(DISTINCT version) FROM taskward.task) AS versions, (SELECT tasks FROM taskward.account) AS counted
"""

OPERATIONS: dict[str, Ask] = {
    "get": lambda client, task: client.get(f"{TASKS}/{task['id']}"),
    "list": lambda client, _: client.get(TASKS),
    "create": lambda client, _: client.post(TASKS, json={"title": "x"}),
    "create with an id": lambda client, task: client.post(TASKS, json={"title": "x", "id": task["new_id"]}),
    "create with a key": lambda client, task: client.post(
        TASKS, json={"title": "x"}, headers={"Idempotency-Key": task["new_id"]}
    ),
    "create with a tag": lambda client, _: client.post(TASKS, json={"title": "x", "tags": ["a"]}),
    "patch": lambda client, task: client.patch(f"{TASKS}/{task['id']}", json={"title": "y"}),
    "complete": lambda client, task: client.patch(f"{TASKS}/{task['id']}/complete"),
    "trash": lambda client, task: client.delete(f"{TASKS}/{task['id']}"),
}


@dataclass
class Trial:
    """One operation, before and after which the database is looked at."""

    ask: Ask
    client: httpx2.AsyncClient
    cutter: Cutter
    watcher: Any

    async def run(self, cut: tuple[Side, int] | None = None) -> tuple[str, Any, Any]:
        """What was answered: a status, or the problem of a 503; and the state before and after."""
        made = await self.client.post(TASKS, json={"title": "Buy milk"})
        task = {**made.json(), "new_id": str(uuid7())}
        for _ in range(2):
            assert (await self.client.get(f"{TASKS}/{task['id']}")).is_success
        before = await self._settled()
        self.cutter.listen(cut)
        answer = await self.ask(self.client, task)
        after = await self._settled()
        assert self.cutter.has_cut is (cut is not None)
        outcome = str(answer.status_code)
        return answer.json()["type"].rpartition("/")[2] if outcome == "503" else outcome, before, after

    async def _settled(self) -> Any:
        async with asyncio.timeout(10):
            while await self.watcher.fetchval(BUSY):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
        return await self.watcher.fetchrow(STATE)


@asynccontextmanager
async def trying(cluster: Cluster, new_database: str, ask: Ask, **settings: Any) -> AsyncIterator[Trial]:
    headers = {"Authorization": f"Bearer {make_token('alice')}"}
    superuser = cluster.url(name_of(new_database), superuser=True)
    async with cutting(new_database) as cutter, connected(superuser) as watcher:
        # It connects while it starts, through the proxy, which runs in this loop.
        service = serving(create_app(make_settings(cutter.url, pool_size=1, **settings)))
        url = await asyncio.to_thread(service.__enter__)
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30, verify=NO_TLS) as client:
            yield Trial(ask, client, cutter, watcher)
        await asyncio.to_thread(service.__exit__, None, None, None)


@pytest.fixture
async def trial(cluster: Cluster, new_database: str, request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    async with trying(cluster, new_database, OPERATIONS[request.param]) as trial:
        yield trial


@pytest.mark.parametrize(
    ("trial", "name"),
    [
        pytest.param(name, name, id=name, marks=[] if name in {"get", "create", "patch"} else pytest.mark.long)
        for name in OPERATIONS
    ],
    indirect=["trial"],
)
async def test_what_is_answered_is_what_was_done(trial: Trial, name: str):
    changes = name not in {"get", "list"}
    for _ in range(3):
        outcome, before, after = await trial.run()
        assert outcome in {"200", "201", "204"}
        assert (after["clock"] > before["clock"]) is changes
    outcomes: Counter[str] = Counter()
    messages = dict(trial.cutter.seen)
    for cut in ((side, number) for side, seen in messages.items() for number in range(len(seen))):
        # On the connection that takes the place of the last one, all is prepared anew.
        for _ in range(2):
            await trial.run()
        assert trial.cutter.seen == messages
        outcome, before, after = await trial.run(cut)
        outcomes[outcome] += 1
        was_done = after["clock"] > before["clock"]
        assert outcome in ({"200", "201", "204"} if was_done or not changes else {"unavailable"}) | (
            {"outcome-unknown"} if changes else set()
        )
        # At most once, and whole.
        assert after["tasks"] - before["tasks"] <= 1
        assert after["tasks"] == after["versions"] == after["counted"]
    assert outcomes.total() == sum(map(len, messages.values()))
    if name in {"get", "list"} or (name == "create" and not CITUS_URL):
        # These are sent again; on a cluster, a create is not where its COMMIT may have arrived.
        assert outcomes.keys() <= {"200", "201"}
    else:
        assert outcomes["outcome-unknown"]


async def test_the_last_create_within_the_limit_is_found_again(cluster: Cluster, new_database: str):
    async with trying(cluster, new_database, OPERATIONS["create"], max_tasks=10) as trial:
        # Each makes two tasks.
        for _ in range(4):
            assert (await trial.run())[0] == "201"
        # What the server says of the second one is lost.
        outcome, _, after = await trial.run(("server", len(trial.cutter.seen["server"]) - 1))
        # What has been committed by a message of its own is not sent again.
        assert (outcome, after["tasks"]) == ("outcome-unknown" if CITUS_URL else "201", 10)
        assert (await trial.client.post(TASKS, json={"title": "too many"})).status_code == 422


@pytest.mark.long
@pytest.mark.parametrize("gone", ["away", "slow"])
async def test_a_create_whose_answer_is_lost_for_good_is_not_known(cluster: Cluster, new_database: str, gone: str):
    async with trying(cluster, new_database, OPERATIONS["create"], request_timeout=2) as trial:
        for _ in range(3):
            await trial.run()
        last = len(trial.cutter.seen["server"]) - 1
        trial.cutter.stays_away = gone == "away"
        trial.cutter.hold = 5 if gone == "slow" else 0
        outcome, before, after = await trial.run(("server", last))
        assert (outcome, after["tasks"]) == ("outcome-unknown", before["tasks"] + 1)


async def test_the_last_create_is_found_again_where_it_came_through_later(cluster: Cluster, new_database: str):
    async with trying(cluster, new_database, OPERATIONS["create"], max_tasks=4) as trial:
        for _ in range(3):
            assert (await trial.client.post(TASKS, json={"title": "x"})).status_code == 201
        superuser = cluster.url(name_of(new_database), superuser=True)
        async with connected(superuser) as holder, holder.transaction():
            await holder.execute("SELECT FROM taskward.account WHERE user_id = 'alice' FOR UPDATE")
            asked = asyncio.create_task(trial.client.post(TASKS, json={"title": "last"}))
            await waiting(trial.watcher, 1)
            trial.cutter.cut_clients()
            # The first one goes on waiting, and whoever asks again waits behind it.
            await waiting(trial.watcher, 2)
        answer = await asked
        assert (answer.status_code, answer.json()["title"]) == (201, "last")
        assert (await trial.watcher.fetchrow(STATE))["tasks"] == 4


async def waiting(watcher: Any, number: int) -> None:
    sql = f"SELECT count(*) {OTHERS} AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await watcher.fetchval(sql) < number:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)

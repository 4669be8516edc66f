"""Nodes of a Citus cluster fail and shards move while requests run: only users of the node notice, and nothing is lost.

The coordinator reaches one of its nodes through a proxy, which is what fails here.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import pytest

from taskward.app import create_app
from tests.citus import CITUS_URL, at, citus_database, nodes_of
from tests.cutter import Cutter, cutting
from tests.databases import connected, name_of
from tests.serving import NO_TLS, make_settings, make_token, serving
from tests.test_cut_connections import OPERATIONS, TASKS, Trial

pytestmark = pytest.mark.citus
SERVICE = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'taskward'"
NODE_OF = """
SELECT nodeid FROM pg_dist_node JOIN pg_dist_placement USING (groupid)
WHERE shardid = get_shard_id_for_distribution_column('taskward.account', $1::text)
"""


@dataclass
class Faulty:
    """A cluster of which one node is behind a proxy.

    Attributes:
        url: Of the role that requests run as, on the coordinator.
        superuser: On the coordinator.
        node: On the node, past the proxy.
    """

    url: str
    cutter: Cutter
    superuser: asyncpg.Connection[asyncpg.Record]
    node: asyncpg.Connection[asyncpg.Record]
    node_id: int

    async def user(self, *, there: bool) -> str:
        """The id of a new user, whose rows are on the node or on another."""
        while True:
            user_id = f"user-{secrets.token_hex(4)}"
            if (await self.superuser.fetchval(NODE_OF, user_id) == self.node_id) is there:
                return user_id


@pytest.fixture
async def faulty() -> AsyncIterator[Faulty]:
    assert CITUS_URL is not None
    *others, (host, port) = await nodes_of(CITUS_URL)
    async with (
        cutting(at(CITUS_URL, host, port, "postgres")) as cutter,
        citus_database(CITUS_URL, [*others, ("127.0.0.1", cutter.port)]) as url,
        connected(at(CITUS_URL, *others[0], name_of(url))) as superuser,
        connected(at(CITUS_URL, host, port, name_of(url))) as node,
    ):
        node_id = await superuser.fetchval("SELECT nodeid FROM pg_dist_node WHERE nodeport = $1", cutter.port)
        yield Faulty(url, cutter, superuser, node, node_id)
        cutter.is_down, cutter.hold = False, 0


@asynccontextmanager
async def served(url: str, **settings: Any) -> AsyncIterator[Callable[[str], httpx2.AsyncClient]]:
    """A service; yields a function that makes a client of a user's."""
    # It connects while it starts, through the proxy, which runs in this loop.
    service = serving(create_app(make_settings(url, **settings)))
    base = await asyncio.to_thread(service.__enter__)
    clients: list[httpx2.AsyncClient] = []

    def client(user_id: str) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {make_token(user_id)}"}
        clients.append(httpx2.AsyncClient(base_url=base, headers=headers, timeout=30, verify=NO_TLS))
        return clients[-1]

    try:
        yield client
    finally:
        for one in clients:
            await one.aclose()
        await asyncio.to_thread(service.__exit__, None, None, None)


async def everything(client: httpx2.AsyncClient) -> list[httpx2.Response]:
    """What a user does first of all, and what is refused to them."""
    made = await client.post(TASKS, json={"title": "x"})
    path = f"{TASKS}/{made.json().get('id', '01900000-0000-7000-8000-000000000000')}"
    return [made, await client.get(path), await client.get(TASKS), await client.patch(path, json={"title": "y"})]


async def test_users_of_a_node_that_is_down_are_told_so_and_others_are_served(faulty: Faulty):
    async with served(faulty.url, pool_size=3) as client:
        here, elsewhere = client(await faulty.user(there=True)), client(await faulty.user(there=False))
        for one in (here, elsewhere):
            assert {answer.is_success for answer in await everything(one)} == {True}
        before = await faulty.superuser.fetch(SERVICE)
        faulty.cutter.is_down = True
        faulty.cutter.cut_clients()
        for _ in range(3):
            refused = await everything(here)
            assert [answer.status_code for answer in refused] == [503] * 4
            assert {answer.json()["type"].rpartition("/")[2] for answer in refused} == {"unavailable"}
            assert {answer.is_success for answer in await everything(elsewhere)} == {True}
        # Nobody was cut off, and nobody has connected anew, because of a node.
        assert await faulty.superuser.fetch(SERVICE) == before
        faulty.cutter.is_down = False
        assert {answer.is_success for answer in await everything(here)} == {True}


async def test_a_service_starts_while_a_node_is_down(faulty: Faulty):
    here, elsewhere = await faulty.user(there=True), await faulty.user(there=False)
    faulty.cutter.is_down = True
    async with served(faulty.url, pool_size=8) as client:
        answers = await asyncio.gather(*(everything(client(elsewhere)) for _ in range(8)))
        assert {answer.is_success for each in answers for answer in each} == {True}
        assert [answer.status_code for answer in await everything(client(here))] == [503] * 4
        faulty.cutter.is_down = False
        assert {answer.is_success for answer in await everything(client(here))} == {True}


async def test_a_node_that_does_not_answer_is_given_up(faulty: Faulty):
    async with served(faulty.url, pool_size=3) as client:
        here, elsewhere = client(await faulty.user(there=True)), client(await faulty.user(there=False))
        faulty.cutter.hold = 15
        faulty.cutter.cut_clients()
        began = time.monotonic()
        waiting = asyncio.create_task(here.get(TASKS))
        await asyncio.sleep(0.5)
        assert (await elsewhere.get(TASKS)).status_code == 200
        assert not waiting.done()
        assert (await waiting).status_code == 503
        assert time.monotonic() - began < 10


async def test_connections_to_a_node_that_was_started_anew_are_replaced_unnoticed(faulty: Faulty):
    async with served(faulty.url, pool_size=1) as client:
        here = client(await faulty.user(there=True))
        task = (await here.post(TASKS, json={"title": "x"})).json()
        asks: list[Callable[[], Awaitable[httpx2.Response]]] = [
            lambda: here.get(f"{TASKS}/{task['id']}"),
            lambda: here.post(TASKS, json={"title": "x"}),
            lambda: here.patch(f"{TASKS}/{task['id']}", json={"title": "y"}),
            lambda: here.post(TASKS, json={"title": "x", "tags": ["a"]}),
        ]
        for ask in asks:
            faulty.cutter.cut_clients()
            assert (await ask()).is_success


@pytest.mark.parametrize("name", ["get", "create", "create with a key", "create with a tag", "patch", "trash"])
async def test_what_is_answered_is_what_was_done_however_a_node_fails(faulty: Faulty, name: str):
    changes, outcomes = name != "get", Counter[str]()
    async with served(faulty.url, pool_size=1) as client:
        trial = Trial(OPERATIONS[name], client(await faulty.user(there=True)), faulty.cutter, faulty.node)
        for _ in range(3):
            outcome, before, after = await trial.run()
            assert (outcome in {"200", "201", "204"}, after["clock"] > before["clock"]) == (True, changes)
        messages = dict(trial.cutter.seen)
        for cut in ((side, number) for side, seen in messages.items() for number in range(len(seen))):
            await trial.run()
            outcome, before, after = await trial.run(cut)
            outcomes[outcome] += 1
            was_done = after["clock"] > before["clock"]
            assert outcome in ({"200", "201", "204"} if was_done or not changes else {"unavailable"}) | (
                {"outcome-unknown"} if changes else set()
            ), cut
            assert after["tasks"] - before["tasks"] <= 1
            assert after["tasks"] == after["versions"] == after["counted"]
    assert outcomes.total() == sum(map(len, messages.values())) > 4
    assert ("outcome-unknown" in outcomes) is changes


@pytest.mark.parametrize("mode", ["force_logical", "block_writes"])
async def test_a_shard_moves_while_its_users_write(faulty: Faulty, mode: str):
    move = "SELECT citus_move_shard_placement($1, $2, $3, $4::citus.shard_transfer_mode)"
    async with served(faulty.url, pool_size=6) as client:
        user_ids = [await faulty.user(there=number % 3 > 0) for number in range(9)]
        done = asyncio.Event()
        wrote = [asyncio.create_task(_write_until(done, client(user_id))) for user_id in user_ids]
        try:
            for user_id in user_ids[:3]:
                home = await faulty.superuser.fetchval(NODE_OF, user_id)
                shard = "SELECT get_shard_id_for_distribution_column('taskward.account', $1::text)"
                shard_id = await faulty.superuser.fetchval(shard, user_id)
                away = await faulty.superuser.fetchval(
                    "SELECT nodeid FROM pg_dist_node WHERE shouldhaveshards AND nodeid <> $1", home
                )
                for source, target in ((home, away), (away, home)):
                    await faulty.superuser.execute(move, shard_id, source, target, mode)
                    await asyncio.sleep(0.2)
        finally:
            done.set()
        made = await asyncio.gather(*wrote)
        for user_id, titles in zip(user_ids, made, strict=True):
            assert len(titles) > 5
            listed = await client(user_id).get(TASKS, params={"limit": 200, "sort": "created_at"})
            assert Counter(task["title"] for task in listed.json()) == Counter(titles[-200:])


async def _write_until(done: asyncio.Event, client: httpx2.AsyncClient) -> list[str]:
    titles: list[str] = []
    while not done.is_set() and len(titles) < 200:
        made = await client.post(TASKS, json={"title": f"{len(titles)}"})
        assert made.status_code == 201, made.text
        path = f"{TASKS}/{made.json()['id']}"
        patched = await client.patch(path, json={"title": f"{len(titles)}, patched"})
        assert patched.status_code == 200, patched.text
        assert (await client.get(path)).json()["title"] == f"{len(titles)}, patched"
        titles.append(f"{len(titles)}, patched")
        await asyncio.sleep(0.05)
    return titles


async def test_any_node_answers(faulty: Faulty):
    """Each has what it takes to find the rows of every user."""
    assert CITUS_URL is not None
    password = faulty.url
    users = [await faulty.user(there=there) for there in (True, False)]
    for host, port in await nodes_of(CITUS_URL):
        async with served(at(password, host, port, name_of(faulty.url)), pool_size=2) as client:
            for user_id in users:
                assert {answer.is_success for answer in await everything(client(user_id))} == {True}
            theirs = (await client(users[0]).post(TASKS, json={"title": "x"})).json()["id"]
            assert (await client(users[1]).get(f"{TASKS}/{theirs}")).status_code == 403
            assert (await client(users[1]).get(f"{TASKS}/{theirs[:-4]}0000")).status_code == 404

"""Requests that are cancelled at any moment, many at once: what was answered is there, and all is its owner's."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from taskward.errors import Unavailable
from taskward.identity import Owner
from taskward.runtime.timeouts import Timeouts
from taskward.storage.database import Database
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from tests.clusters import Cluster
from tests.databases import OTHERS, connected, listed, name_of, opened
from tests.sizes import sized

OWNERS = [Owner(f"user-{number}") for number in range(5)]
AT_ONCE = 24


@dataclass
class Oracle:
    """What must be there, from what was answered.

    Attributes:
        newest: By task, the newest version that was answered, and its title.
        asked: Every title that anybody ever asked for, and whose it is.
    """

    newest: dict[UUID, tuple[int, str]] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)

    def answered(self, row: Any) -> None:
        version, title = row["version"], row["title"]
        if version > self.newest.get(row["id"], (0, ""))[0]:
            self.newest[row["id"]] = version, title


async def work(database: Database, oracle: Oracle, chance: random.Random, number: int) -> None:
    """One request of somebody's."""
    owner, title = chance.choice(OWNERS), f"title {number}"
    mine = [task for task, (_, known) in oracle.newest.items() if oracle.asked[known] == owner.user_id]
    kind = chance.choice(["create", "patch", "toggle", "get", "list", "tag"]) if mine else "create"
    oracle.asked[title] = owner.user_id
    limit = Timeouts(30).start(lambda: None)
    async with database.session(owner, read_only=kind in {"get", "list"}, limit=limit) as session:
        store = TaskStore(session)
        row: Any = None
        match kind:
            case "create":
                row = await store.add(TaskCreate(title=title))
            case "patch":
                row = (await store.update(chance.choice(mine), {"title": title}, None)).row
            case "toggle":
                row = (await store.toggle(chance.choice(mine), None)).row
            case "tag":
                row = (await store.update(chance.choice(mine), {"title": title, "tags": ["a"]}, None)).row
            case "list":
                assert await listed(session)
            case _:
                row = await store.get(chance.choice(mine))
    limit.end()
    if row is not None:
        assert row["user_id"] == owner.user_id
        oracle.answered(row)
    oracle.outcomes["answered"] += 1


async def lane(database: Database, oracle: Oracle, chance: random.Random, numbers: Iterator[int]) -> None:
    """One request after the other, some of which are left to their end."""
    for number in numbers:
        request = asyncio.create_task(work(database, oracle, chance, number))
        patience = chance.random()
        if patience < 0.4:
            await asyncio.wait({request})
        elif patience < 0.8:
            await asyncio.wait({request}, timeout=chance.random() / 25)
        else:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
        request.cancel()
        try:
            await request
        except asyncio.CancelledError:
            oracle.outcomes["cancelled"] += 1
        except Unavailable:
            oracle.outcomes["unavailable"] += 1


async def rows_left(url: str) -> tuple[dict[UUID, Any], list[Any]]:
    """All tasks and accounts, when nothing is under way: what nobody waits for any more is carried out or not."""
    under_way = f"SELECT count(*) {OTHERS} AND state = 'active'"
    async with connected(url) as superuser:
        async with asyncio.timeout(10):
            while await superuser.fetchval(under_way):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
        rows = await superuser.fetch("SELECT * FROM taskward.task")
        return {row["id"]: row for row in rows}, await superuser.fetch("SELECT * FROM taskward.account")


async def test_of_many_that_are_cancelled_nothing_is_lost_or_anybody_elses(cluster: Cluster, new_database: str):
    chance, oracle = random.Random(13), Oracle()  # noqa: S311
    requests = sized(150, 10_000)
    numbers = iter(range(requests))
    async with opened(new_database, pool_size=6) as database:
        await asyncio.gather(*(lane(database, oracle, chance, numbers) for _ in range(AT_ONCE)))
        pool = database.pool
        assert (pool.in_use, pool.shares._taken, pool.shares._waiting) == (0, {}, {})
        assert len(pool.idle) <= 6
        rows, accounts = await rows_left(cluster.url(name_of(new_database), superuser=True))
    for row in rows.values():
        assert oracle.asked[row["title"]] == row["user_id"]
    for task, (version, title) in oracle.newest.items():
        assert rows[task]["version"] >= version
        assert rows[task]["version"] > version or rows[task]["title"] == title
    for account in accounts:
        versions = [row["version"] for row in rows.values() if row["user_id"] == account["user_id"]]
        assert len(set(versions)) == len(versions) == account["tasks"]
        assert account["clock"] >= max(versions, default=0)
    assert oracle.outcomes.total() == requests
    assert min(oracle.outcomes["answered"], oracle.outcomes["cancelled"]) > requests / 10

"""The pool: its bounds, its queue, and that no cancellation loses or leaks a connection."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from taskward.errors import PoolExhausted, ShuttingDown, Unavailable
from taskward.identity import Owner
from taskward.runtime.timeouts import Timeouts
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.storage.pool import Pool
from tests.databases import connected, opened
from tests.test_dsn import dead_port

SIZE = 3
NUMBERS = itertools.count()


@pytest.fixture
async def full(new_database: str) -> AsyncIterator[Database]:
    async with opened(new_database, pool_size=SIZE) as database:
        yield database


async def hold(database: Database, seconds: float, *, read_only: bool = False) -> None:
    # Each somebody else, since one owner may not have all.
    somebody = Owner(f"user-{next(NUMBERS)}")
    async with database.session(somebody, read_only=read_only) as session:
        await (await session._begun()).execute(f"SELECT pg_sleep({seconds})")


async def test_never_more_connections_than_its_size(full: Database, new_database: str):
    async with connected(new_database) as watcher:
        work = asyncio.gather(*(hold(full, 0.05) for _ in range(30)))
        while not work.done():
            seen = await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            assert seen <= SIZE
        await work
    assert (full.pool.in_use, len(full.pool.idle)) == (0, SIZE)


async def test_who_waits_too_long_is_told(full: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(full.pool, "_patience", Timeouts(0.1))
    holders = [asyncio.create_task(hold(full, 0.5)) for _ in range(SIZE)]
    await asyncio.sleep(0.05)
    with pytest.raises(PoolExhausted):
        await hold(full, 0)
    await asyncio.gather(*holders)
    assert full.pool.in_use == 0
    await hold(full, 0)


async def test_who_waits_gets_the_next_one_in_order(full: Database):
    taken = [await full.pool.acquire() for _ in range(SIZE)]
    order: list[int] = []

    async def wait(number: int) -> None:
        connection = await full.pool.acquire()
        order.append(number)
        full.pool.release(connection)

    waiters = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    for connection in taken:
        full.pool.release(connection)
    await asyncio.gather(*waiters)
    assert order == [0, 1, 2, 3, 4]


async def test_who_waits_may_make_one_in_place_of_a_discarded_one(full: Database):
    taken = [await full.pool.acquire() for _ in range(SIZE)]
    waiter = asyncio.create_task(full.pool.acquire())
    await asyncio.sleep(0)
    full.pool.discard(taken[0])
    made = await waiter
    assert not made.connection.is_closed()
    assert full.pool.in_use == SIZE
    for one in (made, *taken[1:]):
        full.pool.release(one)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
async def test_a_storm_of_cancellations_loses_no_connection(full: Database, new_database: str, seed: int):
    chance = random.Random(seed)  # noqa: S311
    work = [asyncio.create_task(hold(full, chance.random() / 50, read_only=chance.random() < 0.5)) for _ in range(120)]
    for task in chance.sample(work, 90):
        await asyncio.sleep(chance.random() / 100)
        task.cancel()
    for result in await asyncio.gather(*work, return_exceptions=True):
        assert result is None or isinstance(result, asyncio.CancelledError)
    pool = full.pool
    assert pool.in_use == 0
    assert len(pool.idle) <= SIZE
    assert all(not lease.connection.is_closed() for lease in pool.idle)
    assert all(waiter.done() for waiter in pool._waiting)
    async with asyncio.timeout(10):
        taken = [await pool.acquire() for _ in range(SIZE)]
    async with connected(new_database) as watcher:
        for _ in range(50):  # a discarded connection's backend ends a moment later
            count = await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            if count == SIZE:
                break
            await asyncio.sleep(0.1)
        assert count == SIZE
    for connection in taken:
        pool.release(connection)


async def test_a_waiter_that_is_cancelled_as_it_is_served_hands_on(full: Database):
    taken = [await full.pool.acquire() for _ in range(SIZE)]
    first, second = (asyncio.create_task(full.pool.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    full.pool.release(taken[0])  # the first one is served, and cancelled before it runs
    first.cancel()
    assert await second is taken[0]
    with pytest.raises(asyncio.CancelledError):
        await first
    for connection in taken:
        full.pool.release(connection)
    assert (full.pool.in_use, len(full.pool.idle)) == (0, SIZE)


async def test_a_database_that_cannot_be_reached_leaves_no_place_taken():
    pool = Pool(parse_address(f"postgresql://u:p@127.0.0.1:{dead_port()}/db"), 1, None)
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await pool.acquire()
        assert type(caught.value) is Unavailable
    results = await asyncio.gather(*(pool.acquire() for _ in range(5)), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert (pool.in_use, pool.idle) == (0, [])


async def test_closing_waits_for_what_runs_and_takes_nothing_more(full: Database):
    running = asyncio.create_task(hold(full, 0.3))
    await asyncio.sleep(0.1)
    closing = asyncio.create_task(full.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    with pytest.raises(ShuttingDown):
        await hold(full, 0)
    await running
    await closing
    assert full.pool.idle == []


async def test_closing_does_not_wait_for_ever(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        lease = await database.pool.acquire()
        await database.pool.close(timeout=0.1)
        database.pool.release(lease)
        assert lease.connection.is_closed()
        with pytest.raises(asyncpg.InterfaceError):
            await lease.connection.fetch("SELECT")


async def test_a_connection_that_has_died_costs_no_new_one_while_another_is_idle(full: Database):
    taken = [await full.pool.acquire() for _ in range(SIZE)]
    for lease in taken:
        full.pool.release(lease)
    for lease in taken[1:]:
        lease.connection.terminate()
    assert await full.pool.acquire() is taken[0]
    assert (full.pool.in_use, full.pool.idle) == (1, [])
    full.pool.release(taken[0])

"""One owner's requests leave connections to others, however many there are and however long they wait."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from taskward.app import create_app
from taskward.errors import PoolExhausted, ShuttingDown
from taskward.identity import Owner
from taskward.runtime.timeouts import Timeouts
from taskward.storage.database import Database
from taskward.storage.owner_limiter import OwnerLimiter
from tests.clusters import Cluster
from tests.databases import connected, name_of, opened
from tests.serving import make_settings, make_token, serving

ALICE, BOB = Owner("alice"), Owner("bob")
LOCK = "UPDATE taskward.account SET clock = clock WHERE user_id = 'alice'"
BEARERS = {name: {"Authorization": f"Bearer {make_token(name)}"} for name in ("alice", "bob")}
TASKS = "/api/v1/tasks"


async def test_writes_of_one_that_wait_for_their_turn_keep_no_connection_from_another(
    cluster: Cluster, new_database: str
):
    app = create_app(make_settings(new_database, pool_size=4))
    superuser = cluster.url(name_of(new_database), superuser=True)
    with serving(app) as url:
        # Longer than the others take on any machine.
        app.state.database.pool.shares._patience = Timeouts(60)
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client, connected(superuser) as holder:
            assert (await client.post(TASKS, json={"title": "x"}, headers=BEARERS["alice"])).status_code == 201
            async with holder.transaction():
                assert await holder.execute(LOCK) == "UPDATE 1"
                crowd = [
                    asyncio.create_task(client.post(TASKS, json={"title": "x"}, headers=BEARERS["alice"]))
                    for _ in range(12)
                ]
                await asyncio.sleep(0.3)
                for _ in range(5):
                    assert (await client.get(TASKS, headers=BEARERS["bob"])).status_code == 200
                    answer = await client.post(TASKS, json={"title": "x"}, headers=BEARERS["bob"])
                    assert answer.status_code == 201
                assert not any(one.done() for one in crowd)
            assert {answer.status_code for answer in await asyncio.gather(*crowd)} == {201}


async def enter(shares: OwnerLimiter, user_id: str) -> None:
    if not shares.enter(user_id):
        await shares.wait(user_id)


async def test_places_are_handed_over_in_order_and_none_is_lost():
    shares = OwnerLimiter(2, patience=5)
    served: list[int] = []

    async def one(number: int) -> None:
        await enter(shares, "alice")
        served.append(number)
        await asyncio.sleep(0.001)
        shares.leave("alice")

    tasks = [asyncio.create_task(one(number)) for number in range(20)]
    await asyncio.sleep(0)
    assert served == [0, 1]
    # One that waits, and one that has just been handed a place.
    tasks[15].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == [number for number in range(20) if number != 15]
    assert (shares._taken, shares._waiting) == ({}, {})


async def test_a_place_of_one_who_is_cancelled_as_it_is_given_is_passed_on():
    shares = OwnerLimiter(1, patience=5)
    await enter(shares, "alice")
    first, second = (asyncio.create_task(enter(shares, "alice")) for _ in range(2))
    await asyncio.sleep(0)
    shares.leave("alice")
    first.cancel()
    await asyncio.wait_for(second, 1)
    shares.leave("alice")
    assert (shares._taken, shares._waiting) == ({}, {})


async def test_who_waits_too_long_is_told_and_leaves_no_trace():
    shares = OwnerLimiter(1, patience=0.05)
    await enter(shares, "alice")
    await enter(shares, "bob")
    with pytest.raises(PoolExhausted):
        await enter(shares, "alice")
    shares.leave("alice")
    shares.leave("bob")
    await enter(shares, "alice")
    shares.leave("alice")
    assert (shares._taken, shares._waiting) == ({}, {})


async def test_a_transaction_gives_its_place_back_however_it_ends(new_database: str):
    async with opened(new_database, pool_size=2) as database:
        async with database.session(ALICE):
            pass
        with pytest.raises(ZeroDivisionError):
            async with database.session(ALICE):
                raise ZeroDivisionError
        await database.close()
        with pytest.raises(ShuttingDown):
            async with database.session(ALICE):
                pass
        assert_free(database)


def assert_free(database: Database) -> None:
    assert (database.pool.shares._taken, database.pool.shares._waiting) == ({}, {})

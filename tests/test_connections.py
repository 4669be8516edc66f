"""What becomes of requests whose connection ends under them, and what asking for the database's state may cost."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest

from taskward.identity import Owner
from taskward.storage import database as database_module
from taskward.storage.database import Database
from taskward.storage.pool import ACQUIRE_TIMEOUT, CONNECT_TIMEOUT, connect
from taskward.tasks.store import TaskStore
from tests.citus import on_one_machine
from tests.clusters import Cluster
from tests.cutter import cutting
from tests.databases import connected, execute, listed, name_of, opened


def end_from_outside(url: str, pid: int) -> None:
    """Have the server end a connection while this loop stands still, so that it has not heard of it yet."""

    async def end() -> None:
        async with connected(url) as superuser:
            assert await superuser.fetchval("SELECT pg_terminate_backend($1::int, 5000)", pid)

    thread = threading.Thread(target=asyncio.run, args=(end(),))
    thread.start()
    thread.join()


# The server says that it ends a connection, and then closes it. In between, asyncpg refuses to use one that it does
# not call closed.
@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("read_only", [True, False])
async def test_an_idle_connection_that_the_server_ended_is_replaced_at_every_moment(
    cluster: Cluster, template: str, database: Database, turns: int, read_only: bool
):
    async with database.session(Owner("erin"), read_only=read_only) as session:
        pid = await (await session._begun()).fetchval("SELECT pg_backend_pid()")
    end_from_outside(cluster.url(template, superuser=True), pid)
    for _ in range(turns):
        await asyncio.sleep(0)
    async with database.session(Owner("erin")) as session:
        assert await listed(session) == []
        assert await (await session._begun()).fetchval("SELECT pg_backend_pid()") != pid


@on_one_machine("it stops a process of the server")
async def test_a_server_that_has_gone_without_a_word_keeps_no_place_in_the_pool(cluster: Cluster, template: str):
    async with opened(cluster.url(template), pool_size=1) as database:
        async with database.session(Owner("erin"), read_only=True) as session:
            pid = await (await session._begun()).fetchval("SELECT pg_backend_pid()")
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5), database.session(Owner("erin"), read_only=True) as session:
                    await TaskStore(session).account()
            async with database.session(Owner("erin"), read_only=True) as session:
                assert await (await session._begun()).fetchval("SELECT pg_backend_pid()") != pid
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.long
async def test_a_slow_connection_is_waited_for_as_long_as_for_a_busy_one(cluster: Cluster, template: str):
    async with cutting(cluster.url(template)) as proxy, opened(proxy.url) as database:
        proxy.hold = (CONNECT_TIMEOUT + ACQUIRE_TIMEOUT) / 2
        async with database.session(Owner("erin"), read_only=True) as session:
            assert await listed(session) == []


async def test_one_connection_tells_all_who_ask_at_once_whether_the_database_serves(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    made = 0

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        return await connect(*args, **options)

    monkeypatch.setattr(database_module, "connect", counted)
    assert await asyncio.gather(*(database.problem() for _ in range(50))) == [None] * 50
    assert made == 1
    assert await database.problem() is None
    assert made == 2


async def test_who_stops_asking_does_not_take_the_answer_from_others(database: Database):
    first, second = asyncio.create_task(database.problem()), asyncio.create_task(database.problem())
    await asyncio.sleep(0)
    first.cancel()
    assert await second is None
    assert first.cancelled()


async def test_a_database_that_refuses_is_a_problem_and_no_defect(cluster: Cluster, new_database: str):
    async with opened(new_database) as database:
        assert await database.problem() is None
        await execute(cluster.superuser, f"DROP DATABASE {name_of(new_database)} WITH (FORCE)")
        assert await database.problem() == "the database refuses"


async def test_a_database_that_stands_still_is_a_problem_in_time(
    cluster: Cluster, new_database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database_module, "CHECK_TIMEOUT", 0.5)
    superuser = cluster.url(name_of(new_database), superuser=True)
    async with opened(new_database) as database, connected(superuser) as blocker, blocker.transaction():
        await blocker.execute("LOCK TABLE taskward.alembic_version")
        assert await database.problem() == "the database cannot be reached"
    assert await database.problem() is None

"""What becomes of requests whose connection ends under them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from taskward.database.database import Database
from taskward.identity import Owner
from taskward.tasks.models import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.store import TaskStore
from tests.conftest import Cluster, connected


def end_from_outside(url: str, pid: int) -> None:
    """Have the server end a connection while this loop stands still, so that it has not heard of it yet."""

    async def end() -> None:
        async with connected(url) as superuser:
            assert await superuser.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)

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
        pid = await session._connection.fetchval("SELECT pg_backend_pid()")
    end_from_outside(cluster.url(template, superuser=True), pid)
    for _ in range(turns):
        await asyncio.sleep(0)
    async with database.session(Owner("erin")) as session:
        assert await TaskStore(session).list(listing(TaskFilters())) == []
        assert await session._connection.fetchval("SELECT pg_backend_pid()") != pid

"""Isolation on a Citus cluster: what each node has, and what a role meets that goes to a node directly."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from itertools import count
from uuid import uuid4

import asyncpg
import pytest

from taskward.identity import Owner
from taskward.lists.table import TaskList
from taskward.storage.probing import ids_in_use
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from taskward.tasks.table import Task
from tests.citus import CITUS_URL, at, citus_database, superusers
from tests.citus_nodes import CHECKS, Check, every_node
from tests.databases import connected, execute, name_of, opened, read_tasks, write_task
from tests.test_citus_rules import BROKEN
from tests.test_row_security import ROWS, TABLES, insert

pytestmark = pytest.mark.citus


@pytest.fixture(scope="session", name="citus")
def citus_fixture() -> str:
    """The URL of a superuser on the coordinator."""
    if not CITUS_URL:
        pytest.fail("TASKWARD_TEST_CITUS_URL is not set: it must name a superuser on a Citus coordinator with workers.")
    return CITUS_URL


@pytest.fixture(scope="module")
async def url(citus: str) -> AsyncIterator[str]:
    """The URL for requests of a database that no test of this module changes the tables of."""
    async with citus_database(citus) as url:
        yield url


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_on_every_node(citus: str, url: str, check: Check):
    async with every_node(citus, url) as nodes:
        assert len(nodes) > 1
        for node in nodes:
            await check(node)


@dataclass(frozen=True)
class Neighbours:
    """Two users whose rows are in the same shards, of one worker.

    Attributes:
        worker: The URL for requests of that worker.
        shards: By table, which.
    """

    first: str
    second: str
    worker: str
    shards: dict[str, str]


@pytest.fixture(scope="module", params=[0, 1], ids=["one worker", "another"])
async def neighbours(request: pytest.FixtureRequest, citus: str, url: str) -> Neighbours:
    """Two users with as many rows of each table, which a superuser wrote."""
    async with connected(superusers(citus, url)) as superuser:
        host, port = await superuser.fetchrow(  # type: ignore[misc]
            "SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards ORDER BY groupid OFFSET $1",
            request.param,
        )
        (root,) = await superuser.fetchrow(  # type: ignore[misc]
            "SELECT min(shardid) FROM citus_shards WHERE table_name = 'taskward.account'::regclass"
            " AND (nodename, nodeport) = ($1::text, $2::int)", host, port,
        )  # fmt: skip
        place = "SELECT get_shard_id_for_distribution_column($1::text::regclass, $2::text)"
        names: list[str] = []
        for number in count():
            name = f"user-{number}"
            if await superuser.fetchval(place, "taskward.account", name) == root:
                names.append(name)
            if len(names) == 2:
                break
        shards = {t: f"taskward.{t}_{await superuser.fetchval(place, f'taskward.{t}', names[0])}" for t in TABLES}
        for name in names:
            for table in TABLES:
                await insert(superuser, table, name)
    return Neighbours(names[0], names[1], at(url, host, port, name_of(url)), shards)


def both_names(table: str, neighbours: Neighbours) -> tuple[str, str]:
    """The table as the whole cluster knows it, and its shard."""
    return f"taskward.{table}", neighbours.shards[table]


@pytest.mark.parametrize("table", TABLES)
async def test_a_worker_shows_nothing_without_an_owner_and_only_the_owners_rows_with_one(
    citus: str, neighbours: Neighbours, table: str
):
    async with connected(superusers(citus, neighbours.worker)) as superuser:
        both = await superuser.fetch(f"SELECT DISTINCT user_id FROM taskward.{table}")
        assert {row[0] for row in both} >= {neighbours.first, neighbours.second}
    async with connected(neighbours.worker) as worker:
        for name in both_names(table, neighbours):
            assert await worker.fetchval(f"SELECT count(*) FROM {name}") == 0
            assert await worker.execute(f"DELETE FROM {name}") == "DELETE 0"
            for owner in (neighbours.first, neighbours.second):
                async with worker.transaction():
                    await worker.execute("SET LOCAL citus.propagate_set_commands TO 'local'")
                    await worker.execute(f"SET LOCAL taskward.user_id TO '{owner}'")
                    rows = await worker.fetch(f"SELECT user_id FROM {name}")
                    assert {row[0] for row in rows} == {owner}
            assert await worker.fetchval(f"SELECT count(*) FROM {name}") == 0


@pytest.mark.parametrize("table", TABLES)
async def test_a_worker_lets_nobody_write_what_is_anothers(neighbours: Neighbours, table: str):
    columns, values = ROWS[table]
    async with connected(neighbours.worker) as worker:
        for name in both_names(table, neighbours):
            async with worker.transaction():
                await worker.execute(f"SET LOCAL taskward.user_id TO '{neighbours.first}'")
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                    async with worker.transaction():
                        await worker.execute(
                            f"INSERT INTO {name} (user_id, {columns}) VALUES ('{neighbours.second}', {values})"
                        )
                # Citus refuses it of the whole table, before PostgreSQL is asked.
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError)) as refused:
                    async with worker.transaction():
                        await worker.execute(f"UPDATE {name} SET user_id = '{neighbours.second}'")
                assert isinstance(refused.value, asyncpg.FeatureNotSupportedError) == (name == f"taskward.{table}")
            async with worker.transaction():
                await worker.execute(f"SET LOCAL taskward.user_id TO '{neighbours.first}'")
                done = await worker.execute(f"DELETE FROM {name} WHERE user_id = '{neighbours.second}'")
                assert done == "DELETE 0"


async def test_a_worker_takes_requests_as_the_coordinator_does(citus: str, url: str):
    async with every_node(citus, url) as nodes:
        places = [at(url, *_host_and_port(node.name), name_of(url)) for node in nodes]
    users = [f"somebody-{secrets.token_hex(4)}" for _ in range(6)]
    for number, place in enumerate(places):
        async with opened(place) as database:
            for user in users:
                await write_task(database, user)
                assert len(await read_tasks(database, Owner(user))) == number + 1
            (anothers, *_) = await read_tasks(database, Owner(users[0]))
            async with database.session(Owner(users[1]), read_only=True) as session:
                nobodys = uuid4()
                assert await ids_in_use(session, Task, [anothers, nobodys]) == {anothers}
                assert await ids_in_use(session, TaskList, [anothers, nobodys]) == set()


@pytest.mark.parametrize("pooled", ["off", "on"])
async def test_a_day_is_the_same_on_every_node(citus: str, url: str, pooled: str):
    """The coordinator says `11/05/2026` of itself, and a node would take that for another day, or for none."""
    setting = f"ALTER DATABASE {name_of(url)} {{}} DateStyle"
    locally = "SET citus.enable_ddl_propagation TO off"
    await execute(superusers(citus, url), locally, f"{setting.format('SET')} TO 'SQL, DMY'")
    try:
        async with opened(url, pooled=pooled) as database, database.session(Owner("a")) as session:
            tasks = TaskStore(session)
            await tasks.add(task := TaskCreate(title="x", due_date=date(2026, 5, 11)))
            row = await tasks.get(task.id)
    finally:
        await execute(superusers(citus, url), locally, setting.format("RESET"))
    assert row["due_date"] == task.due_date


def _host_and_port(name: str) -> tuple[str, int]:
    host, _, port = name.rpartition(":")
    return host, int(port)


@pytest.mark.parametrize(
    ("sql", "said"), [pytest.param(sql, said, id=sql) for _, sql, said in BROKEN if said is not None]
)
async def test_citus_refuses_what_a_rule_forbids(citus: str, url: str, sql: str, said: str):
    """Or the rule is not one, or not any more."""
    async with connected(superusers(citus, url)) as superuser:
        await insert(superuser, "task", "a")
    async with connected(url) as connection:
        with pytest.raises(asyncpg.PostgresError, match=said):
            async with connection.transaction():
                await connection.execute("SET LOCAL citus.propagate_set_commands TO 'local'")
                await connection.execute("SET LOCAL taskward.user_id TO 'a'")
                await connection.fetch(sql)

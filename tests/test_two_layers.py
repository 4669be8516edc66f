"""Statements and policies keep users apart each by itself, and the service does not start with one of them gone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from taskward.database.connections import Pool
from taskward.database.database import Database, UnsafeRoleError
from taskward.database.dsn import parse_address
from taskward.database.quoting import quote_identifier
from taskward.database.roles import _OWNER_ONLY, RoleNames
from taskward.database.session import Transaction
from taskward.errors import TaskForbidden
from taskward.identity import Owner
from taskward.tasks import store
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.store import TaskStore
from tests.conftest import Cluster, execute, name_of, opened, write_task

TABLES = ("account", "task", "tombstone")
UPDATES_ONLY = (
    "DROP POLICY owner ON taskward.{0};"
    f"CREATE POLICY owner ON taskward.{{0}} FOR UPDATE USING {_OWNER_ONLY} WITH CHECK {_OWNER_ONLY}"
)


async def test_policies_alone_keep_a_statement_that_forgot_its_owner_apart(database: Database, two_users: Any):
    carol, _ = two_users
    async with database.session(Owner(carol)) as session:
        for table in ("account", "task"):
            rows = await session._connection.fetch(f"SELECT user_id FROM taskward.{table}")
            assert [row["user_id"] for row in rows] == [carol]
        assert await session._connection.execute("UPDATE taskward.task SET title = 'mine'") == "UPDATE 1"
        assert await session._connection.execute("DELETE FROM taskward.task") == "DELETE 1"


async def test_statements_alone_keep_users_apart_without_policies(cluster: Cluster, template: str, database: Database):
    carol, dave = Owner(f"carol-{secrets.token_hex(4)}"), Owner(f"dave-{secrets.token_hex(4)}")
    theirs = await write_task(database, dave.user_id)
    mine = await write_task(database, carol.user_id)
    pool = Pool(parse_address(cluster.url(template, superuser=True)), 1)
    async with Transaction(pool, carol, None) as session:
        assert await session._connection.fetchval("SELECT count(*) FROM taskward.task") >= 2
        tasks = TaskStore(session)
        assert [row["id"] for row in await tasks.list(listing(TaskFilters()))] == [mine]
        for attempt in (
            tasks.get(theirs), tasks.update(theirs, {"title": "x"}, None), tasks.toggle(theirs, None),
            tasks.trash(theirs, None), tasks.restore(theirs, None), tasks.erase(theirs, None), tasks.erase(theirs, [1]),
        ):  # fmt: skip
            with pytest.raises(TaskForbidden):
                await attempt
    await pool.close()
    async with database.session(dave) as session:
        assert (await TaskStore(session).get(theirs))["version"] == 1


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "change",
    [
        "DROP POLICY owner ON taskward.{0}",
        "ALTER TABLE taskward.{0} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE taskward.{0} NO FORCE ROW LEVEL SECURITY",
        "ALTER POLICY owner ON taskward.{0} USING (true)",
        "ALTER POLICY owner ON taskward.{0} WITH CHECK (true)",
        "CREATE POLICY support ON taskward.{0} FOR SELECT USING (true)",
        pytest.param(UPDATES_ONLY, id="UPDATES_ONLY"),
        "ALTER POLICY owner ON taskward.{0} RENAME TO owners",
        "CREATE TABLE taskward.{0}_note (LIKE taskward.{0})",
        "CREATE TABLE taskward.{0}_note (LIKE taskward.{0}) PARTITION BY LIST (user_id)",
    ],
)
async def test_without_its_row_security_the_service_does_not_start(new_database: str, table: str, change: str):
    await execute(new_database, change.format(table))
    with pytest.raises(UnsafeRoleError, match=f"Row-level security is not in force on {table}(_note)?;"):
        async with opened(new_database):
            pass


async def test_a_probe_policy_for_everybody_is_refused(new_database: str):
    await execute(new_database, "ALTER POLICY probe ON taskward.task TO PUBLIC")
    with pytest.raises(UnsafeRoleError, match="task"):
        async with opened(new_database):
            pass


async def test_a_policy_by_which_the_probe_role_could_write_is_refused(new_database: str):
    probe = quote_identifier(RoleNames.of(name_of(new_database)).probe)
    await execute(new_database, f"CREATE POLICY writes ON taskward.task FOR UPDATE TO {probe} USING (true)")
    with pytest.raises(UnsafeRoleError, match="task"):
        async with opened(new_database):
            pass


async def test_a_policy_that_only_takes_away_is_fine(new_database: str):
    await execute(new_database, "CREATE POLICY night ON taskward.task AS RESTRICTIVE USING (true)")
    async with opened(new_database):
        pass


async def test_reading_never_scans_the_table_with_a_generic_plan(cluster: Cluster, new_database: str):
    await execute(
        cluster.url(name_of(new_database), superuser=True),
        "INSERT INTO taskward.account (user_id, clock) SELECT 'u' || n, 100 FROM generate_series(1, 200) n",
        "INSERT INTO taskward.task (user_id, id, title, version) SELECT 'u' || n, gen_random_uuid(), 't', v"
        " FROM generate_series(1, 200) n, generate_series(1, 100) v",
        "ANALYZE",
    )
    first = listing(TaskFilters())
    second = listing(TaskFilters(cursor=first.next_cursor(uuid4())))
    statements: dict[str, tuple[Any, str]] = {
        "get": (store._get(conditional=False), f"'u1', '{uuid4()}'"),
        "list": (first.statement, "'u1', 51"),
        "next page": (second.statement, f"'u1', '{uuid4()}', 51"),
    }
    async with opened(new_database) as database:
        for name, (statement, arguments) in statements.items():
            async with database.session(Owner("u1")) as session:
                connection = session._connection
                await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan; DEALLOCATE ALL")
                await connection.execute(f"PREPARE p AS {statement.sql}")
                plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE p ({arguments})"))
                (scan,) = (node for node in _nodes(plan[0]["Plan"]) if node.get("Relation Name") == "task")
                assert scan["Node Type"] == "Index Scan", name
                # One task is found by either of the indexes that its id is in; a page only by its owner.
                assert scan["Index Name"] in ({"task_pkey", "task_id"} if name == "get" else {"task_pkey"}), name


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)

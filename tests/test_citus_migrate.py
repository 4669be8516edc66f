"""`taskward migrate --citus`: what it distributes, what it leaves, and what it refuses with the way out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from taskward.storage.citus import CitusError
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import head, migrate
from taskward.storage.roles import MissingPrivilegeError
from tests.citus import SHARDS, at, citus_database, empty_citus_database, nodes_of, owners, superusers
from tests.citus_nodes import Roles, assert_protected
from tests.commands import Run, refusal, run_fixture  # noqa: F401 - a fixture
from tests.commands import execute as run_at_once
from tests.databases import connected, execute, name_of, opened, rows_of, write_task
from tests.test_citus import citus_fixture  # noqa: F401 - a fixture
from tests.test_row_security import TABLES, insert

pytestmark = pytest.mark.citus
USERS = ("alice", "bob", "carol")


async def migrated(url: str, shards: int | None = None) -> list[str]:
    return await migrate(parse_address(owners(url)), parse_address(url), shards=shards)


async def migrated_alone(url: str) -> list[str]:
    """Migrate with the owner's URL only, so that requests run as another role than they will on the cluster."""
    return await migrate(parse_address(owners(url)))


@pytest.fixture
async def url(citus: str) -> AsyncIterator[str]:
    """The URL for requests of a database on every node, in which nothing is."""
    async with empty_citus_database(citus) as url:
        yield url


@pytest.fixture
async def distributed(citus: str) -> AsyncIterator[str]:
    async with citus_database(citus) as url:
        yield url


async def write_rows(superuser: str) -> dict[str, list[tuple[str, str]]]:
    """Give each of `USERS` rows in every table, tasks in lists and under others among them; all that they have."""
    async with connected(superuser) as connection:
        for user in USERS:
            for table in TABLES:
                await insert(connection, table, user)
            await connection.execute(
                "INSERT INTO taskward.task (user_id, id, title, folded_title, version, list_id, parent_id)"
                " SELECT user_id, gen_random_uuid(), 'part', ' part ', 10, list.id, task.id"
                " FROM taskward.list JOIN taskward.task USING (user_id) WHERE user_id = $1", user,
            )  # fmt: skip
        return {user: await rows_of(connection, user) for user in USERS}


async def test_rows_that_were_there_are_distributed_and_none_stays_behind(citus: str, url: str):
    superuser = superusers(citus, url)
    assert await migrated_alone(url) == []
    async with connected(superuser) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_dist_partition") == 0
    before = await write_rows(superuser)
    done = await migrated(url, SHARDS)
    assert sorted(done) == sorted(
        [
            "taskward.alembic_version is on every node now.",
            *(
                f"taskward.{table} is distributed by user_id now, with {6 if table == 'task' else 3} rows."
                for table in TABLES
            ),
        ]
    )
    async with connected(superuser) as connection:
        assert {user: await rows_of(connection, user) for user in USERS} == before
        for table in TABLES:
            assert await connection.fetchval(f"SELECT pg_relation_size('taskward.{table}')") == 0
        shards = await connection.fetch(
            "SELECT DISTINCT shard_count FROM citus_tables WHERE citus_table_type = 'distributed'"
        )
        assert [row[0] for row in shards] == [SHARDS]
    former = f"taskward_requests_{name_of(url)}"
    await execute(superuser, f"DROP OWNED BY {former}", f"DROP ROLE {former}")
    await assert_protected(citus, url)
    async with opened(url) as database:
        await write_task(database, "alice")
    for again in (SHARDS, 3, None):
        assert await migrated(url, again) == []
    await assert_protected(citus, url)


async def test_a_single_row_is_said_as_such(citus: str, url: str):
    await migrated_alone(url)
    async with opened(owners(url)) as database:
        await write_task(database, "alice")
    done = await migrated(url, 4)
    assert "taskward.task is distributed by user_id now, with 1 row." in done
    assert "taskward.list is distributed by user_id now, with 0 rows." in done
    async with connected(superusers(citus, url)) as connection:
        counts = await connection.fetch("SELECT count(*) FROM pg_dist_shard GROUP BY logicalrelid")
        assert sorted(row[0] for row in counts) == [1, *(4 for _ in TABLES)]


async def test_a_table_that_is_not_distributed_yet_joins_the_others(citus: str, distributed: str):
    superuser = superusers(citus, distributed)
    await write_rows(superuser)
    await execute(superuser, "SELECT undistribute_table('taskward.imported_file')")
    assert await migrated(distributed) == ["taskward.imported_file is distributed by user_id now, with 3 rows."]
    await assert_protected(citus, distributed)


def test_the_command_says_what_it_did(url: str, run: Run):
    settings = {"DATABASE_URL": url, "TASKWARD_MIGRATE_URL": owners(url)}
    done = run("migrate", "--citus", "--shards", "2", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    *said, last = done.stdout.splitlines()
    assert (
        last
        == f"The schema of database {name_of(url)} on {url.partition('@')[2].partition(':')[0]} is at version {head()}."
    )
    assert len(said) == len(TABLES) + 1
    for arguments in (("migrate",), ("migrate", "--citus")):
        assert run(*arguments, **settings).stdout.splitlines() == [last]


def test_a_number_of_shards_that_cannot_be_is_refused(citus: str, url: str, run: Run):
    settings = {"DATABASE_URL": url, "TASKWARD_MIGRATE_URL": owners(url)}
    for shards in ("0", "-1", "64001"):
        assert refusal(run("migrate", "--citus", "--shards", shards, **settings)) == "There can be 1 to 64000 shards."
    run_at_once(superusers(citus, url), "CREATE SCHEMA taskward")  # so it is not there


async def test_what_binds_the_owner_again_is_lifted(citus: str, distributed: str):
    """A migration that changes rows puts FORCE back, with which no shard could move while somebody writes."""
    async with connected(owners(distributed)) as owner:
        await owner.execute("ALTER TABLE taskward.task FORCE ROW LEVEL SECURITY")
    assert await migrated(distributed) == []
    await assert_protected(citus, distributed)


async def test_a_database_without_citus_is_refused(citus: str, url: str):
    await execute(superusers(citus, url), "DROP EXTENSION citus CASCADE")
    with pytest.raises(CitusError) as refused:
        await migrated(url, SHARDS)
    assert str(refused.value) == (
        "This database has no Citus: install it on every node, add citus to shared_preload_libraries, and run CREATE"
        " EXTENSION citus in this database."
    )


async def test_a_cluster_without_workers_is_refused(citus: str):
    async with empty_citus_database(citus, with_workers=False) as url:
        with pytest.raises(CitusError) as refused:
            await migrated(url, SHARDS)
    assert str(refused.value) == "No node would have a shard; add a worker with citus_add_node."


@pytest.mark.parametrize("shards", [SHARDS, None])
async def test_a_worker_is_refused(citus: str, distributed: str, shards: int | None):
    _, (host, port), *_ = await nodes_of(citus)
    with pytest.raises(CitusError) as refused:
        await migrated(at(distributed, host, port, name_of(distributed)), shards)
    assert str(refused.value) == "This node is a worker; TASKWARD_MIGRATE_URL must name the coordinator."


async def test_requests_as_the_owner_are_refused(url: str):
    for requests in (None, parse_address(owners(url))):
        with pytest.raises(CitusError) as refused:
            await migrate(parse_address(owners(url)), requests, shards=SHARDS)
        assert str(refused.value) == (
            "On a cluster every node is asked as the role of DATABASE_URL, which must bind it: let DATABASE_URL name a"
            " role that may only log in, and TASKWARD_MIGRATE_URL the owner of the tables."
        )


async def test_roles_that_citus_does_not_know_are_made_known_by_what_the_refusal_says(citus: str):
    async with empty_citus_database(citus, roles_first=True) as url:
        roles = Roles.of(url)
        with pytest.raises(MissingPrivilegeError) as refused:
            await migrated(url, SHARDS)
        first, *statements = str(refused.value).splitlines()
        assert first == (
            "Citus does not know these roles in this database. Have a superuser run this once, in this database and on"
            " the coordinator, then migrate again:"
        )
        assert [one.strip() for one in statements] == [
            f'CREATE SCHEMA IF NOT EXISTS taskward AUTHORIZATION "{roles.owner}";',
            "CREATE TABLE IF NOT EXISTS taskward.alembic_version (version_num varchar(32) PRIMARY KEY);",
            f'ALTER TABLE taskward.alembic_version OWNER TO "{roles.owner}";',
            f'GRANT SELECT ON taskward.alembic_version TO "{roles.requests}";',
            "SELECT create_reference_table('taskward.alembic_version');",
        ]
        await execute(superusers(citus, url), *re.findall(r"(?m)^  (.*);$", str(refused.value)))
        assert len(await migrated(url, SHARDS)) == len(TABLES)
        await assert_protected(citus, url)
        async with opened(url) as database:
            await write_task(database, "alice")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            "create_reference_table('taskward.imported_file')",
            "Distributed by something else than user_id: taskward.imported_file; undistribute them first.",
        ),
        (
            "create_distributed_table('taskward.imported_file', 'user_id', shard_count => 3, colocate_with => 'none')",
            "The tables are not colocated: rows of a user are on several nodes. Undistribute them first.",
        ),
    ],
)
async def test_a_table_that_somebody_distributed_otherwise_is_refused(
    citus: str, distributed: str, how: str, said: str
):
    superuser = superusers(citus, distributed)
    undo = "SELECT undistribute_table('taskward.imported_file')"
    await execute(superuser, undo, f"SELECT {how}")
    for shards in (SHARDS, None):
        with pytest.raises(CitusError) as refused:
            await migrated(distributed, shards)
        assert str(refused.value) == said
    await execute(superuser, undo)
    assert await migrated(distributed) == ["taskward.imported_file is distributed by user_id now, with 0 rows."]
    await assert_protected(citus, distributed)

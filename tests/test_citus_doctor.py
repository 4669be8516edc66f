"""What `taskward doctor`, an opening and a lease find on the nodes of a cluster, and what a migration mends of it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from taskward.errors import Unavailable
from taskward.identity import Owner
from taskward.storage import leases
from taskward.storage.database import Database, UnsafeRoleError
from taskward.storage.dsn import parse_address
from taskward.storage.leases import CitusLease
from taskward.storage.migrate import migrate
from taskward.storage.pool import connect
from taskward.storage.wire import WireError
from tests.citus import at, citus_database, empty_citus_database, nodes_of, owners, superusers
from tests.citus_nodes import Roles, assert_protected, every_node
from tests.commands import Done, findings, start
from tests.databases import connected, execute, name_of, opened, read_tasks, write_task
from tests.issuer import SECRET
from tests.test_citus import citus_fixture  # noqa: F401 - a fixture

pytestmark = pytest.mark.citus
LOCALLY = "SET citus.enable_ddl_propagation TO off"


@pytest.fixture(scope="module")
async def url(citus: str) -> AsyncIterator[str]:
    """The URL for requests of a database that each test leaves as it was."""
    async with citus_database(citus) as url:
        yield url


def doctor(url: str, folder: Path) -> Done:
    settings = {"DATABASE_URL": url, "TASKWARD_MIGRATE_URL": owners(url), "BETTER_AUTH_SECRET": SECRET}
    return start("doctor", stdout=subprocess.PIPE, folder=folder, **settings)


async def last_worker(citus: str, url: str) -> tuple[str, str]:
    """The name of the last worker, and a superuser's URL there."""
    host, port = (await nodes_of(superusers(citus, url)))[-1]
    return f"{host}:{port}", at(citus, host, port, name_of(url))


async def shard_of_tasks(citus: str, url: str, node: str) -> str:
    async with every_node(citus, url) as nodes:
        (tables,) = (one.tables for one in nodes if one.name == node)
    return min(name for name, table in tables.items() if table == "task" and name != "task")


async def test_doctor_tells_of_each_node(citus: str, url: str, tmp_path: Path):
    done = doctor(url, tmp_path)
    assert findings(done) == {}
    nodes = [line for line in done.stdout.splitlines() if " node " in line]
    assert nodes == [
        f"ok   node {host}:{port}: row-level security is in force."
        for host, port in await nodes_of(superusers(citus, url))
    ]


@pytest.mark.parametrize(
    "tampering",
    [
        "ALTER TABLE taskward.{shard} DISABLE ROW LEVEL SECURITY",
        "DROP POLICY owner ON taskward.{shard}",
        "ALTER POLICY owner ON taskward.{shard} USING (true)",
        "ALTER POLICY owner ON taskward.{shard} WITH CHECK (true)",
        "ALTER POLICY probe ON taskward.{shard} TO {requests}",
    ],
)
async def test_what_is_undone_on_one_shard_is_found_and_mended(citus: str, url: str, tmp_path: Path, tampering: str):
    node, worker = await last_worker(citus, url)
    shard = await shard_of_tasks(citus, url, node)
    await execute(worker, LOCALLY, tampering.format(shard=shard, requests=Roles.of(url).requests))
    found = f"row-level security is not in force on {shard}; run: taskward migrate"
    assert findings(doctor(url, tmp_path)) == {f"node {node}": found}
    with pytest.raises(UnsafeRoleError) as refused:
        async with opened(url):
            pass
    assert str(refused.value) == f"Requests cannot run safely on node {node}: {found}"
    assert await migrate(parse_address(owners(url)), parse_address(url)) == []
    assert findings(doctor(url, tmp_path)) == {}
    await assert_protected(citus, url)
    async with opened(url) as database:
        await write_task(database, "alice")


async def test_a_policy_that_a_shard_has_beside_ours_is_found(citus: str, url: str):
    node, worker = await last_worker(citus, url)
    shard = await shard_of_tasks(citus, url, node)
    await execute(worker, LOCALLY, f"CREATE POLICY everybody ON taskward.{shard} USING (true)")
    with pytest.raises(UnsafeRoleError, match=f"on node {node}: row-level security is not in force on {shard}"):
        async with opened(url):
            pass
    await execute(worker, LOCALLY, f"DROP POLICY everybody ON taskward.{shard}")
    await assert_protected(citus, url)


async def test_a_role_that_could_pass_on_one_node_is_found(citus: str, url: str, tmp_path: Path):
    node, worker = await last_worker(citus, url)
    requests = Roles.of(url).requests
    await execute(worker, "SET citus.enable_alter_role_propagation TO off", f"ALTER ROLE {requests} BYPASSRLS")
    try:
        found = f"role {requests} bypasses row-level security; take that from it"
        assert findings(doctor(url, tmp_path)) == {f"node {node}": found}
        with pytest.raises(UnsafeRoleError) as refused:
            async with opened(url):
                pass
        assert str(refused.value) == f"Requests cannot run safely on node {node}: {found}"
    finally:
        await execute(worker, "SET citus.enable_alter_role_propagation TO off", f"ALTER ROLE {requests} NOBYPASSRLS")
    await assert_protected(citus, url)


async def test_a_node_that_reads_strings_in_another_way_is_found(citus: str, url: str, tmp_path: Path):
    """Of a task's title, it would carry out what follows a backslash and a quote: as SQL, on the node."""
    node, worker = await last_worker(citus, url)
    setting = f"ALTER DATABASE {name_of(url)} {{}} standard_conforming_strings"
    await execute(worker, LOCALLY, f"{setting.format('SET')} TO off")
    try:
        found = "standard_conforming_strings is off there, so that a text could be read as SQL; turn it on"
        assert findings(doctor(url, tmp_path)) == {f"node {node}": found}
        with pytest.raises(UnsafeRoleError) as refused:
            async with opened(url):
                pass
        assert str(refused.value) == f"Requests cannot run safely on node {node}: {found}"
    finally:
        await execute(worker, LOCALLY, setting.format("RESET"))
    async with opened(url) as database:
        await write_task(database, "alice", "It is \\' here")


async def test_a_node_with_another_encoding_is_found(citus: str):
    """In EUC_JP, two characters are stored alike: two users would be one there."""
    async with empty_citus_database(citus, with_workers=False) as url:
        (coordinator, at_port), *_, (host, port) = await nodes_of(citus)
        worker, name = at(citus, host, port, "postgres"), name_of(url)
        await execute(
            worker,
            f"DROP DATABASE {name} WITH (FORCE)",
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'EUC_JP' LOCALE 'C'",
        )
        await execute(at(citus, host, port, name), "CREATE EXTENSION citus")
        await execute(
            superusers(citus, url),
            f"SELECT citus_set_coordinator_host('{coordinator}', {at_port})",
            f"SELECT citus_add_node('{host}', {port})",
        )
        await execute(at(citus, host, port, name), LOCALLY, f"GRANT CREATE ON DATABASE {name} TO {Roles.of(url).owner}")
        await migrate(parse_address(owners(url)), parse_address(url), shards=2)
        with pytest.raises(UnsafeRoleError, match=f"on node {host}:{port}: the database's encoding is EUC_JP"):
            async with opened(url):
                pass


@asynccontextmanager
async def out_of_reach(citus: str, url: str) -> AsyncIterator[str]:
    """While this lasts, the last worker takes no connection to the database; yields its name."""
    node, worker = await last_worker(citus, url)
    server, name = worker.removesuffix(name_of(url)) + "postgres", name_of(url)
    await execute(
        server,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    try:
        yield node
    finally:
        await execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def test_a_node_that_is_out_of_reach_is_told_and_keeps_nobody_from_opening(citus: str, url: str, tmp_path: Path):
    users = [f"user-{number}" for number in range(12)]
    async with opened(url) as database:
        for user in users:
            await write_task(database, user)
    async with out_of_reach(citus, url) as node:
        found = findings(doctor(url, tmp_path))
        assert found.keys() == {f"node {node}", "probe"}
        async with opened(url) as database:
            seen = [await count_or_none(database, user) for user in users]
    assert {1, None} == set(seen)
    async with opened(url) as database:
        assert [await count_or_none(database, user) for user in users] == [1] * len(users)


async def count_or_none(database: Database, user: str) -> int | None:
    try:
        return len(await read_tasks(database, Owner(user)))
    except Unavailable:
        return None


# A lease proves itself on each new connection.


async def test_a_setting_of_the_role_does_not_keep_the_owner_from_the_nodes(citus: str, url: str):
    superuser, requests = superusers(citus, url), Roles.of(url).requests
    await execute(superuser, f"ALTER ROLE {requests} SET citus.propagate_set_commands TO 'none'")
    try:
        async with connected(url) as connection:
            assert await connection.fetchval("SHOW citus.propagate_set_commands") == "none"
        async with opened(url) as database:
            for user in ("ann", "ben", "cem", "dan"):
                await write_task(database, user)
                assert len(await read_tasks(database, Owner(user))) == 1
    finally:
        await execute(superuser, f"ALTER ROLE {requests} RESET citus.propagate_set_commands")


async def test_a_connection_whose_settings_stay_on_the_coordinator_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    connections = [await connect(parse_address(url)) for _ in range(2)]
    await CitusLease(connections[0], None).prove()
    monkeypatch.setattr(leases, "_SETTINGS", ("SET citus.propagate_set_commands TO 'none'",))
    with pytest.raises(WireError, match="what opens a transaction does not hold in it, or not on the nodes"):
        await CitusLease(connections[1], None).prove()
    for connection in connections:
        await connection.close()


async def test_a_node_that_was_out_of_reach_at_the_start_is_asked_when_it_is_back(citus: str, url: str):
    node, worker = await last_worker(citus, url)
    shard = await shard_of_tasks(citus, url, node)
    await execute(worker, LOCALLY, f"ALTER TABLE taskward.{shard} DISABLE ROW LEVEL SECURITY")
    async with AsyncExitStack() as stack:
        async with out_of_reach(citus, url):
            database = await stack.enter_async_context(opened(url))
            assert await database.problem() is None
        try:
            problem = await database.problem()
        finally:
            await execute(worker, LOCALLY, f"ALTER TABLE taskward.{shard} ENABLE ROW LEVEL SECURITY")
        assert problem == "requests cannot run safely on a node; see: taskward doctor"
        assert await database.problem() is None

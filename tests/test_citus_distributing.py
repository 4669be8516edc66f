"""From one machine to a Citus cluster, while a service runs. `TASKWARD_TEST_CITUS_URL` names the cluster."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from taskward.errors import Unavailable
from taskward.identity import Owner
from taskward.storage.citus import CitusError
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from taskward.storage.roles import MissingPrivilegeError
from tests import citus
from tests.commands import Run, findings, run_fixture  # noqa: F401 - a fixture
from tests.databases import connected, execute, opened, read_tasks, write_task
from tests.serving import SECRET

pytestmark = pytest.mark.citus
USERS = [f"user-{number}" for number in range(5)]


@dataclass(frozen=True)
class OneMachine:
    """A database that was migrated before there was a cluster.

    Attributes:
        superuser: A superuser's URL of it.
        owner: The URL of the tables' owner.
        requests: The URL of the role that requests run as.
        successor: That of a role that never was anything.
        nodes: Hosts and ports, its own first.
    """

    superuser: str
    owner: str
    requests: str
    successor: str
    nodes: list[tuple[str, int]]

    async def join(self) -> None:
        """Make a cluster of the nodes."""
        (host, port), *workers = self.nodes
        for worker in workers:
            await execute(citus.at(self.superuser, *worker, self.name), "CREATE EXTENSION citus")
        await execute(
            self.superuser,
            "CREATE EXTENSION citus",
            f"SELECT citus_set_coordinator_host('{host}', {port})",
            *(f"SELECT citus_add_node('{worker}', {at_port})" for worker, at_port in workers),
        )

    async def distribute(self, requests: str) -> list[str]:
        """Distribute the tables, as an operator who does what is asked for."""
        try:
            return await migrate(parse_address(self.owner), parse_address(requests), shards=4)
        except MissingPrivilegeError as error:
            await execute(self.superuser, *re.findall(r"^  (.*);$", str(error), re.MULTILINE))
        return await migrate(parse_address(self.owner), parse_address(requests), shards=4)

    @property
    def name(self) -> str:
        return self.superuser.rpartition("/")[2]


@pytest.fixture
async def one_machine() -> AsyncIterator[OneMachine]:
    url = citus.CITUS_URL
    assert url is not None, "the marker leaves this out otherwise"
    name, nodes = f"taskward_{secrets.token_hex(4)}", await citus.nodes_of(url)
    roles = [f"{name}_{role}" for role in ("owner", "requests", "successor")]
    superuser = citus.at(url, *nodes[0], name)
    for node in nodes:
        await execute(citus.at(url, *node, "postgres"), f"CREATE DATABASE {name}")
    await execute(
        superuser,
        *(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'" for role in roles),
        f"ALTER ROLE {roles[0]} CREATEROLE",
        f"ALTER DATABASE {name} OWNER TO {roles[0]}",
    )
    owner, requests, successor = (citus._as(superuser, role, "secret") for role in roles)
    try:
        await migrate(parse_address(owner), parse_address(requests))
        yield OneMachine(superuser, owner, requests, successor, nodes)
    finally:
        for node in reversed(nodes):
            await execute(citus.at(url, *node, "postgres"), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for node in nodes:
            former = [f"DROP ROLE IF EXISTS {role}" for role in (*roles[1:], f"taskward_probe_{name}", roles[0])]
            await execute(citus.at(url, *node, "postgres"), *former)


async def test_what_was_written_on_one_machine_is_on_the_cluster(one_machine: OneMachine):
    async with opened(one_machine.requests) as database:
        written = {user: await write_task(database, user) for user in USERS}
    await one_machine.join()
    done = await one_machine.distribute(one_machine.successor)
    assert "taskward.task is distributed by user_id now, with 5 rows." in done
    async with opened(one_machine.successor) as database:
        for user, task in written.items():
            assert await read_tasks(database, Owner(user)) == [task]
        assert await read_tasks(database, Owner("nobody")) == []
    async with connected(one_machine.superuser) as connection:
        assert await connection.fetchval("SELECT count(*) FROM taskward.task") == len(USERS)
        # None is left behind.
        await connection.execute("SET citus.override_table_visibility TO off; SET row_security TO off")
        assert await connection.fetchval("SELECT pg_relation_size('taskward.task')") == 0
    assert await one_machine.distribute(one_machine.successor) == []


async def test_a_service_that_runs_meanwhile_finds_no_rows_for_nobody(one_machine: OneMachine):
    async with opened(one_machine.requests) as database:
        await write_task(database, "alice")
        await one_machine.join()
        await one_machine.distribute(one_machine.successor)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await read_tasks(database, Owner("alice"))
            with pytest.raises(Unavailable):
                await write_task(database, "alice")
        assert await database.problem() is not None


async def test_the_role_of_a_service_that_runs_is_not_taken(one_machine: OneMachine):
    await one_machine.join()
    with pytest.raises(CitusError, match="would find no rows"):
        await one_machine.distribute(one_machine.requests)
    async with opened(one_machine.requests) as database:
        await write_task(database, "alice")


async def test_tables_that_are_used_all_the_time_are_left_alone(
    one_machine: OneMachine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("taskward.storage.citus._LOCK_TRIES", 2)
    await one_machine.join()
    async with connected(one_machine.superuser) as other, other.transaction():
        await other.execute("LOCK TABLE taskward.task IN ACCESS SHARE MODE")
        with pytest.raises(CitusError, match="using the tables"):
            await one_machine.distribute(one_machine.successor)
    async with opened(one_machine.requests) as database:
        await write_task(database, "alice")


def test_doctor_finds_nodes_that_do_not_let_the_probe_in(one_machine: OneMachine, run: Run):
    asyncio.run(one_machine.join())
    asyncio.run(one_machine.distribute(one_machine.successor))
    settings = {"DATABASE_URL": one_machine.successor, "TASKWARD_JWT_SECRET": SECRET}
    done = run("doctor", **settings)
    assert findings(done) == {}
    assert "probe: it is answered by every node." in done.stdout
    for node in one_machine.nodes[1:]:
        url = citus.at(one_machine.superuser, *node, one_machine.name)
        asyncio.run(
            execute(
                url, "SET citus.enable_ddl_propagation TO off", f"ALTER ROLE taskward_probe_{one_machine.name} NOLOGIN"
            )
        )
    found = findings(run("doctor", **settings))
    assert found.keys() == {"probe"}
    assert "not permitted to log in" in found["probe"]

"""On a Citus cluster, each statement is one message to the one node that has the owner's rows."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from taskward.identity import Owner
from taskward.storage.compiling import Statement
from taskward.storage.database import Database
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.statements import WRITTEN
from taskward.tasks.store import TaskStore
from tests.citus import CITUS_URL, citus_database
from tests.databases import connected, opened
from tests.test_statements import CASES, _as_it_is, _named

pytestmark = pytest.mark.citus
# What each type is tried with.
VALUES: dict[str, Any] = {
    "varchar": "x",
    "text": "x",
    "uuid": UUID(int=1),
    "int8": 1,
    "int4": 1,
    "int2": 1,
    "bool": True,
    "timestamptz": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "date": dt.date(2026, 1, 1),
    "interval": dt.timedelta(days=1),
    "bytea": b"x",
}
ROW = dict.fromkeys(WRITTEN) | {
    "id": str(UUID(int=2)), "title": "x", "folded_title": "x", "completed": False, "priority": "none", "tags": [],
    "metadata": {}, "version": 1, "updated_at": "2026-01-01T00:00:00Z", "recurs_from": "due",
}  # fmt: skip
PROBES = "storage.probing._probe"
CASES_ALONE = [case for case in CASES if _as_it_is(*case).apart is None and case[0] != PROBES]


def _arguments(statement: Statement, types: tuple[asyncpg.Type, ...]) -> list[Any]:
    found: list[Any] = []
    value: Any
    for name, kind in zip(statement.names, types, strict=True):
        if kind.name == "json":
            value = orjson.dumps([ROW]).decode() if name == "rows" else "{}"
        else:
            value = [VALUES[kind.name[:-2]]] if kind.name.endswith("[]") else VALUES[kind.name]
        found.append(statement._constants.get(name, value))
    return found


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    assert CITUS_URL is not None
    async with citus_database(CITUS_URL) as url:
        yield url


@pytest.fixture
async def told(url: str) -> AsyncIterator[tuple[asyncpg.Connection[asyncpg.Record], list[str]]]:
    """A coordinator's connection, and what it has sent to nodes."""
    sent: list[str] = []
    async with connected(url) as connection:
        connection.add_log_listener(lambda _, message: sent.append(message.message))
        for name, value in (("log_remote_commands", "on"), ("propagate_set_commands", "local")):
            await connection.execute(f"SET citus.{name} TO {value}")
        yield connection, sent


@pytest.mark.parametrize(("name", "arguments"), CASES_ALONE, ids=_named)
async def test_a_statement_is_one_message_to_one_node(
    told: tuple[asyncpg.Connection[asyncpg.Record], list[str]], name: str, arguments: tuple[Any, ...]
):
    connection, sent = told
    statement = _as_it_is(name, arguments)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SET LOCAL taskward.user_id TO 'x'")
    await connection.execute("INSERT INTO taskward.account (user_id, clock) VALUES ('x', 1)")
    prepared = await connection.prepare(statement.sql)
    sent.clear()
    # What a constraint refuses has come to the node.
    with contextlib.suppress(asyncpg.IntegrityConstraintViolationError):
        await prepared.fetch(*_arguments(statement, prepared.get_parameters()))
    await transaction.rollback()
    commands = [line.split()[1] for line in sent if line.startswith("issuing") and "issuing ROLLBACK" not in line]
    assert [one for one in commands if one != "BEGIN"] in (["SELECT"], ["INSERT"], ["UPDATE"], ["DELETE"], ["WITH"])
    assert not any(line.startswith("executing the command locally") for line in sent)


async def _sent(database: Database, work: Any) -> list[str]:
    """What the coordinator sends to nodes for a session's work."""
    sent: list[str] = []
    lease = await database.pool.acquire()
    lease.connection.add_log_listener(lambda _, message: sent.append(message.message))
    database.pool.release(lease)
    async with database.session(Owner("alice")) as session:
        await (await session._begun()).execute("SET LOCAL citus.log_remote_commands TO on")
        await work(session)
    issued = [line for line in sent if line.startswith("issuing")]
    assert len({line.partition(" on server ")[2].split(" ")[0] for line in issued}) == 1
    return [line.split()[1] for line in issued]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (TaskCreate(title="x"), ["BEGIN", "UPDATE", "INSERT", "COMMIT"]),
        (TaskCreate(title="x", tags=["a"]), ["BEGIN", "SELECT", "SELECT", "INSERT", "SELECT", "UPDATE", "COMMIT"]),
    ],
)
async def test_a_create_is_committed_by_one_node_in_one_phase(url: str, task: TaskCreate, expected: list[str]):
    async with opened(url, pool_size=1) as database:
        async with database.session(Owner("alice")) as session:
            await TaskStore(session).add(TaskCreate(title="the first one makes the account"))
        found = await _sent(database, lambda session: TaskStore(session).add(task))
        assert found == expected

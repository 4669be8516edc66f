"""What `storage/wire.py` needs of asyncpg beyond its interface. A test that fails here says what has moved."""

from __future__ import annotations

import inspect
from typing import Any

import asyncpg
import pytest

from taskward.storage import wire
from tests.clusters import Cluster


@pytest.fixture
async def connection(cluster: Cluster) -> Any:
    connection = await wire.connect_wired(cluster.superuser)
    yield connection
    await connection.close()


async def test_a_connection_keeps_its_transport_protocol_loop_and_statements(connection: Any):
    moved = "asyncpg.Connection no longer keeps its {} as {}"
    for what, name in (
        ("transport", "_transport"),
        ("protocol", "_protocol"),
        ("event loop", "_loop"),
        ("prepared statements", "_stmt_cache"),
    ):
        assert hasattr(connection, name), moved.format(what, name)


async def test_a_statement_is_prepared_under_a_name_and_stays(connection: Any):
    parameters = inspect.signature(connection._get_statement).parameters
    assert {"query", "timeout", "named", "use_cache"} <= parameters.keys(), "asyncpg prepares statements by other names"
    state = await wire.prepare(connection, "SELECT 1 AS one", "one")
    assert state.name == "one", "a prepared statement has another name than was asked for"
    for number in range(300):
        await connection.fetch(f"SELECT {number}")
    names = [row["name"] for row in await connection.fetch("SELECT name FROM pg_prepared_statements")]
    assert "one" in names, "asyncpg closes a statement that it does not keep"
    assert [tuple(row) for row in await wire.run_prepared(connection, b"", state, ())] == [(1,)]


async def test_what_was_asked_before_is_found_by_its_text(connection: Any):
    assert wire.prepared_statement(connection, "SELECT 2") is None
    await connection.fetch("SELECT 2")
    assert wire.prepared_statement(connection, "SELECT 2") is not None, (
        "the statements that asyncpg keeps have another key"
    )


async def test_an_answer_may_begin_with_another_statements(connection: Any):
    await wire.prepare(connection, "SELECT WHERE set_config('taskward.user_id', $1, true) IS NULL", "open")
    state = await wire.prepare(connection, "SELECT current_setting('taskward.user_id') AS owner", "owner")
    for owner in ("alice", "", "bob"):
        rows = await wire.run_prepared(connection, wire.Opening("open", 1).bound(owner), state, ())
        assert [row["owner"] for row in rows] == [owner], "asyncpg takes an earlier statement's answer for the last's"
        assert not connection.is_in_transaction()


async def test_an_error_of_an_opening_is_raised_and_the_connection_goes_on(connection: Any):
    await wire.prepare(connection, "SELECT WHERE 1 / $1::text::int IS NULL", "divide")
    state = await wire.prepare(connection, "SELECT 3 AS three", "three")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await wire.run_prepared(connection, wire.Opening("divide", 1).bound("0"), state, ())
    assert [
        tuple(row) for row in await wire.run_prepared(connection, wire.Opening("divide", 1).bound("1"), state, ())
    ] == [(3,)]


async def test_the_transaction_state_is_known_when_an_answer_has_come(connection: Any):
    await wire.prepare(connection, "BEGIN", "begin")
    state = await wire.prepare(connection, "SELECT 4", "four")
    await wire.run_prepared(connection, wire.Opening("begin").bound(), state, ())
    assert connection._protocol.is_in_transaction(), "asyncpg no longer follows what ReadyForQuery says"
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")
    assert connection._protocol.is_in_transaction(), "a failed transaction is no longer one"
    assert await connection.execute("COMMIT") == "ROLLBACK"
    assert not connection._protocol.is_in_transaction()


async def test_each_statement_is_one_write(connection: Any, written: list[str]):
    await connection.fetch("SELECT 5")
    del written[:]
    await wire.run_prepared(connection, b"", wire.prepared_statement(connection, "SELECT 5"), ())
    assert written == ["BES"], "asyncpg splits Bind, Execute and Sync"

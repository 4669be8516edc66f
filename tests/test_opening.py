"""How a transaction becomes its owner's: what is sent, what is refused, and that nothing is left of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from taskward.errors import Unavailable
from taskward.identity import Owner
from taskward.runtime.timeouts import Timeouts
from taskward.storage import wire
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.storage.leases import CitusLease, Lease, OneMessageLease, PooledCitusLease
from taskward.storage.migrate import migrate
from taskward.storage.pool import Pool, connect
from taskward.storage.session import Session
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from tests.citus import CITUS_URL, on_one_machine
from tests.clusters import Cluster
from tests.databases import execute, listed, name_of, opened, read_tasks, write_task

ALICE, BOB = Owner("alice"), Owner("bob")
STATE = """
SELECT current_user::text, current_setting('taskward.user_id', true), current_setting('transaction_read_only')
"""


of_one_machine = on_one_machine("what opens a transaction is another message on a cluster")


def only(database: Database) -> Lease:
    (lease,) = database.pool.idle
    assert type(lease) is (CitusLease if CITUS_URL else OneMessageLease)
    return lease


def unguarded(connection: Any) -> Any:
    """The connection, on which anything may be asked from now on."""
    connection._transport._is_in_transaction = None
    return connection


@of_one_machine
async def test_a_read_is_one_message_and_a_write_is_that_and_its_commit(new_database: str, written: list[str]):
    async with opened(new_database, pool_size=1) as database:
        for _ in range(2):
            await write_task(database, "alice")
            assert len(await read_tasks(database, ALICE)) >= 1
        del written[:]
        await read_tasks(database, ALICE)
        # Opening and statement: Bind and Execute of each, one Sync.
        assert written == ["BEBES"]
        del written[:]
        await write_task(database, "alice")
        # BEGIN, opening and statement; then COMMIT.
        assert written == ["BEBEBES", "Q"]


@of_one_machine
async def test_what_was_never_prepared_is_so_as_its_owner(new_database: str, written: list[str]):
    async with opened(new_database, pool_size=1) as database:
        await read_tasks(database, ALICE)
        del written[:]
        assert await read_tasks(database, ALICE) == []
        async with database.session(ALICE, read_only=True) as session:
            assert await TaskStore(session).account() is None
        begun, prepared, *others = written[1:]
        assert (written[0], begun, prepared) == ("BEBES", "BEBEBES", "PDH")
        assert "".join(others).endswith("BESQ")


async def test_nothing_is_left_of_a_read(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice")
        for owner, expected in ((ALICE, 1), (BOB, 0), (ALICE, 1), (BOB, 0), (BOB, 0), (ALICE, 1)):
            assert len(await read_tasks(database, owner)) == expected
        lease = only(database)
        assert not lease.connection.is_in_transaction()
        state = await unguarded(lease.connection).fetchrow(STATE)
        assert tuple(state) == (urlsplit(new_database).username, "", "off")


async def test_a_reading_session_cannot_write(new_database: str):
    async with opened(new_database) as database:
        for _ in range(3):
            assert await write_task(database, "alice")
        limits = Timeouts(30)
        for limit in (None, limits.start(lambda: None)):
            for _ in range(3):
                with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                    async with database.session(ALICE, read_only=True, limit=limit) as session:
                        await TaskStore(session).add(TaskCreate(title="lost"))
        assert len(await read_tasks(database, ALICE)) == 3


@pytest.mark.parametrize("role", ["the requests' own", "none"])
async def test_all_kinds_of_opening_see_the_owners_rows_only(cluster: Cluster, new_database: str, role: str):
    async with opened(new_database) as database:
        await write_task(database, "alice")
        name = database.pool.role if role == "the requests' own" else None
    url = new_database if name else cluster.url(name_of(new_database), superuser=True)
    for pooled, kind in (("off", OneMessageLease), ("on", Lease), ("on", PooledCitusLease)):
        pool = Pool(parse_address(url, pooled=pooled), 1, name, kind)
        for owner, expected in ((ALICE, 1), (BOB, 0), (ALICE, 1), (BOB, 0)):
            for read_only in (True, False):
                async with Session(pool, owner, read_only=read_only) as session:
                    assert len(await listed(session)) == expected
                    seen = await (await session._begun()).fetchrow(STATE)
                    assert seen is not None
                    assert tuple(seen)[1:] == (owner.user_id, "on" if read_only else "off")
                    assert name is None or seen["current_user"] == name
        lease = pool.idle[0]
        assert type(lease) is kind
        connection: Any = lease.connection if pooled == "on" else unguarded(lease.connection)
        assert (await connection.fetchrow(STATE))[:2] == ("postgres" if name is None else "taskward", "")
        await pool.close()


async def test_behind_a_pooler_nothing_is_ready(new_database: str):
    async with opened(new_database, pool_size=1, pooled="on") as database:
        for _ in range(2):
            await read_tasks(database, ALICE)
        (lease,) = database.pool.idle
        assert type(lease) is (PooledCitusLease if CITUS_URL else Lease)
        assert lease.whole("SELECT 1") is None


# Whoever makes the plan: the login's own role, the tables' owner or a superuser. It is made anew for the role that runs
# it.
@of_one_machine
async def test_a_statement_that_another_role_has_prepared_sees_the_owners_rows_only(either_cluster: Cluster):
    name = f"prepared_{secrets.token_hex(4)}"
    await execute(either_cluster.superuser, f"CREATE DATABASE {name} OWNER taskward")
    url, superuser = either_cluster.url(name), either_cluster.url(name, superuser=True)
    await migrate(parse_address(url))
    async with opened(url) as database:
        role = database.pool.role
        for owner in ("alice", "bob"):
            await write_task(database, owner)
    sql = "SELECT user_id FROM taskward.task"
    for login in (url, superuser):
        connection = await connect(parse_address(login))
        lease = OneMessageLease(connection, role)
        before = await connection.fetch(sql)
        # The owner of the tables has its rows hidden, too; a superuser has not.
        assert len(before) == (2 if login is superuser else 0)
        await lease.prove()
        assert wire.prepared_statement(connection, sql) is not None
        for owner in ("alice", "bob", "alice", "nobody", "bob"):
            for read_only in (True, False):
                rows = await lease.first(owner, sql, (), read_only=read_only)
                assert [row["user_id"] for row in rows] == ([] if owner == "nobody" else [owner])
                if connection.is_in_transaction():
                    await connection.execute("COMMIT")
        await connection.close()


# What the guard refuses

OPENING = wire.Opening("tw_read", 1).bound("alice")
PREPARED = "SELECT user_id FROM taskward.task -- prepared"


async def bind(connection: Any, opening: bytes = b"") -> Any:
    return await wire.run_prepared(connection, opening, wire.prepared_statement(connection, PREPARED), ())


async def many(connection: Any) -> None:
    state = wire.prepared_statement(connection, PREPARED)
    await connection._protocol.bind_execute_many(state, [(), ()], "", None, False)


async def text_behind_an_opening(connection: Any) -> None:
    connection._transport.opening = OPENING
    await connection.execute("SELECT 1")


async def parse_behind_an_opening(connection: Any) -> None:
    connection._transport.opening = OPENING
    await connection.fetch("SELECT 2")


REFUSED: dict[str, Callable[[Any], Any]] = {
    "text": lambda connection: connection.execute("SELECT 1"),
    "a statement that is not prepared": lambda connection: connection.fetch("SELECT user_id FROM taskward.task"),
    "one that is": bind,
    "to prepare one": lambda connection: connection.prepare("SELECT 3"),
    "many at once": many,
    "an opening before text": text_behind_an_opening,
    "an opening before Parse": parse_behind_an_opening,
    "a copy": lambda connection: connection.copy_from_query("SELECT 1", output=os.devnull),
}


@asynccontextmanager
async def proven(url: str) -> AsyncIterator[Any]:
    connection = await connect(parse_address(url))
    try:
        await connection.fetch(PREPARED)
        await OneMessageLease(connection, None).prove()
        yield connection
    finally:
        connection.terminate()


@pytest.mark.parametrize("opening", [wire.Opening("tw_read", 1).bound, wire.unprepared], ids=["prepared", "literal"])
def test_an_opening_with_nul_is_not_made(opening: Callable[[str], bytes]):
    assert b"'carol'" in opening("'carol'")
    with pytest.raises(ValueError, match="NUL"):
        opening("'ca\0rol'")


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
async def test_what_is_in_nobodys_transaction_is_not_sent(
    cluster: Cluster, template: str, attempt: Callable[[Any], Any]
):
    async with proven(cluster.url(template, superuser=True)) as connection:
        transport = connection._transport
        with pytest.raises(wire.WireError):
            await attempt(connection)
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0


async def test_an_opening_is_refused_in_a_transaction_that_has_begun(cluster: Cluster, template: str):
    async with proven(cluster.url(template, superuser=True)) as connection:
        await bind(connection, wire.Opening("tw_begin").bound() + OPENING)
        assert connection.is_in_transaction()
        with pytest.raises(wire.WireError):
            await bind(connection, OPENING)
        assert connection.is_closed()


async def test_an_opening_does_not_outlive_arguments_that_cannot_be_sent(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice")
        for _ in range(2):
            await read_tasks(database, ALICE)
        lease = only(database)
        sql = next(sql for sql, *_ in lease.connection._stmt_cache._entries if "$1" in sql)  # type: ignore[attr-defined]
        with pytest.raises((asyncpg.DataError, asyncpg.InterfaceError)):
            await lease.first("alice", sql, [uuid4()] * 99, read_only=True)
        assert lease.connection._transport.opening == b""  # type: ignore[attr-defined]
        assert await read_tasks(database, BOB) == []


@of_one_machine
async def test_a_fault_is_a_defect_and_no_lost_database(new_database: str, monkeypatch: pytest.MonkeyPatch):
    async with opened(new_database, pool_size=1) as database:
        for _ in range(2):
            await read_tasks(database, ALICE)
        monkeypatch.setattr(wire.Opening, "bound", lambda *_: b"")
        with pytest.raises(wire.WireError):
            await read_tasks(database, ALICE)
        monkeypatch.undo()
        assert (database.pool.in_use, database.pool.idle) == (0, [])
        assert await read_tasks(database, ALICE) == []


# What is proven of each connection


async def test_a_connection_that_proved_wrong_is_closed(new_database: str):
    made: list[Any] = []

    class Recorded(OneMessageLease):
        __slots__ = ()

        def __init__(self, connection: Any, role: str | None) -> None:
            super().__init__(connection, role)
            made.append(connection)

    pool = Pool(parse_address(new_database), 1, "nobody at all", Recorded)
    with pytest.raises(Unavailable) as caught:
        await pool.acquire()
    assert "InvalidParameterValueError" in caught.value.reason
    assert [connection.is_closed() for connection in made] == [True]
    assert (pool.in_use, pool.idle) == (0, [])


async def test_a_connection_that_asyncpg_writes_past_us_is_not_used(new_database: str, monkeypatch: pytest.MonkeyPatch):
    def not_joined(transport: Any, protocol: Any) -> tuple[Any, Any]:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    monkeypatch.setattr(wire, "_join", not_joined)
    with pytest.raises(wire.WireError, match="does not write through"):
        await connect(parse_address(new_database))


@of_one_machine
@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("$1,true)", "$1,false)", "lasts longer"),
        ("('taskward.user_id',$1", "('taskward.user_id','carol'||$1", "does not hold"),
        ("'on',true)", "'off',true)", "does not hold"),
    ],
)
async def test_a_connection_on_which_openings_do_not_hold_is_not_used(
    new_database: str, monkeypatch: pytest.MonkeyPatch, old: str, new: str, why: str
):
    prepare = wire.prepare

    async def changed(connection: Any, sql: str, name: str) -> Any:
        assert name != "tw_read" or old in sql
        return await prepare(connection, sql.replace(old, new), name)

    async with opened(new_database, pool_size=1) as database:
        monkeypatch.setattr(wire, "prepare", changed)
        with pytest.raises(Unavailable) as caught:
            await read_tasks(database, ALICE)
        assert why in caught.value.reason
        monkeypatch.undo()
        assert (database.pool.in_use, database.pool.idle) == (0, [])
        assert await read_tasks(database, ALICE) == []


# What happens meanwhile


async def test_a_table_that_changed_is_read_on(cluster: Cluster, new_database: str):
    superuser = cluster.url(name_of(new_database), superuser=True)
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice")
        for _ in range(2):
            (mine,) = await read_tasks(database, ALICE)
        await execute(superuser, "ALTER TABLE taskward.task ADD COLUMN unexpected text")
        assert await read_tasks(database, ALICE) == [mine]
        await execute(superuser, "ALTER TABLE taskward.task DROP COLUMN unexpected")
        await write_task(database, "alice")
        assert len(await read_tasks(database, ALICE)) == 2


async def test_a_prepared_statement_whose_result_changed_is_prepared_anew(cluster: Cluster, new_database: str):
    superuser = cluster.url(name_of(new_database), superuser=True)
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice")
        lease = await database.pool.acquire()
        database.pool.release(lease)
        for read_only in (True, False):
            await execute(superuser, "CREATE OR REPLACE VIEW taskward.anything AS SELECT 1 AS one")
            role = database.pool.role or urlsplit(new_database).username
            await execute(superuser, f'GRANT SELECT ON taskward.anything TO "{role}"')
            for _ in range(2):
                assert await ask(database, read_only=read_only) == [(1,)]
            await execute(
                superuser,
                "DROP VIEW taskward.anything",
                "CREATE VIEW taskward.anything AS SELECT 1 AS one, 2 AS two",
                f'GRANT SELECT ON taskward.anything TO "{role}"',
            )
            assert await ask(database, read_only=read_only) == [(1, 2)]
            await execute(superuser, "DROP VIEW taskward.anything")


class AnyStatement:
    """A statement that no store has."""

    sql = "SELECT * FROM taskward.anything"

    def arguments(self, _user_id: str, _parameters: Any) -> list[Any]:
        return []


async def ask(database: Database, *, read_only: bool) -> list[tuple[Any, ...]]:
    async with database.session(ALICE, read_only=read_only) as session:
        return [tuple(row) for row in await session.fetch(AnyStatement())]  # type: ignore[arg-type]

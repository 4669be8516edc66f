"""A transaction that only read is ended by the next one on its connection, or soon after; it never shows to anyone."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from taskward.database.connections import LINGER, Lease
from taskward.database.database import Database
from taskward.database.dsn import parse_address
from taskward.identity import Owner
from taskward.tasks.store import TaskStore
from tests.conftest import opened, write_task

ALICE, BOB = Owner("alice"), Owner("bob")


async def read(database: Database, owner: Owner) -> None:
    async with database.session(owner, read_only=True) as session:
        await TaskStore(session).account()


def only(database: Database) -> Lease:
    (lease,) = database.pool._idle
    return lease


async def test_a_read_leaves_its_transaction_to_the_next_one(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await read(database, ALICE)
        lease = only(database)
        assert lease.lingering
        assert lease.connection.is_in_transaction()
        async with database.session(BOB) as session:
            assert not lease.lingering
            assert await session._connection.fetchval("SELECT current_setting('taskward.user_id')") == "bob"
            assert await session._connection.fetchval("SELECT current_setting('transaction_read_only')") == "off"
            assert await session._connection.fetchval("SELECT now() = statement_timestamp()") is False
        assert not only(database).connection.is_in_transaction()


async def test_the_next_one_sees_no_row_of_the_one_before(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await write_task(database, "alice")
        for owner, expected in ((ALICE, 1), (BOB, 0), (ALICE, 1), (BOB, 0)):
            async with database.session(owner, read_only=True) as session:
                assert await session._connection.fetchval("SELECT count(*) FROM taskward.task") == expected


async def test_a_transaction_that_nobody_ends_is_ended_soon(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await read(database, ALICE)
        async with asyncio.timeout(10):
            while not database.pool._idle or database.pool._idle[0].lingering:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(LINGER)
        lease = only(database)
        assert not lease.connection.is_in_transaction()
        await read(database, BOB)


async def test_a_connection_lost_while_its_transaction_lingered_is_replaced(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await read(database, ALICE)
        only(database).connection.terminate()
        await asyncio.sleep(LINGER * 4)
        await read(database, BOB)
        assert database.pool._open == 1


async def test_closing_ends_what_lingers(new_database: str):
    async with opened(new_database, pool_size=1) as database:
        await read(database, ALICE)
        lease = only(database)
        await database.close()
        assert lease.connection.is_closed()


async def test_nothing_lingers_behind_a_transaction_pooler(new_database: str):
    database = Database(parse_address(new_database, pooled="on"), pool_size=1)
    await database.open()
    await read(database, ALICE)
    assert not only(database).connection.is_in_transaction()
    await database.close()


async def test_a_reading_session_cannot_write(new_database: str):
    async with opened(new_database) as database:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await write_read_only(database)
        assert await write_task(database, "alice")


async def write_read_only(database: Database) -> None:
    async with database.session(ALICE, read_only=True) as session:
        await session._connection.execute("INSERT INTO taskward.account (user_id, clock) VALUES ('alice', 1)")

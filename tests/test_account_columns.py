"""What a slice keeps in its owner's account: it is declared in one line, read and written with the owner's clock."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import BigInteger, DateTime
from sqlalchemy.exc import DuplicateColumnError
from sqlmodel import select

from taskward.identity import Owner
from taskward.storage import account_lock, tables
from taskward.storage.account_lock import AccountLock
from taskward.storage.compiling import compile_statement
from taskward.storage.database import Database
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from taskward.storage.roles import RoleNames
from taskward.storage.scoping import OWNER
from taskward.storage.tables import (
    Account,
    AccountColumn,
    Tombstone,
    account_column,
    account_columns,
    columns,
    next_version,
    rights,
    table_of,
)
from taskward.tasks.table import TASK_COUNT, TRASHED_AT, Task
from taskward.transfer.table import ImportedFile
from tests.databases import connected, execute, name_of, opened
from tests.places import Place, place_fixture  # noqa: F401 - a fixture

_RIGHTS = """
SELECT array_agg(verb ORDER BY verb) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) verb
WHERE has_column_privilege($1, 'taskward.account', 'notes', verb)
"""


class Notes(NamedTuple):
    """What a slice of notes declares, and a database that has it."""

    url: str
    number: AccountColumn[int]
    since: AccountColumn[datetime | None]


@pytest.fixture
async def notes(place: Place) -> AsyncIterator[Notes]:
    url = await place.database()
    await migrate(parse_address(url))
    columns = "ADD COLUMN noted_at timestamp, ADD COLUMN notes bigint NOT NULL DEFAULT 0"
    await execute(url, f"ALTER TABLE taskward.account {columns}")
    with declared() as (number, since):
        await migrate(parse_address(url))
        yield Notes(url, number, since)


@contextmanager
def declared() -> Iterator[tuple[AccountColumn[int], AccountColumn[datetime | None]]]:
    """Two columns of the account's, until the test ends: other tests of this process know nothing of them."""
    account = table_of(Account)
    before, withheld = list(account_columns()), dict(account.info["withheld"])
    _forget_statements()
    since: AccountColumn[datetime | None] = account_column("noted_at", DateTime(), default=None, told=True)
    try:
        yield account_column("notes", BigInteger(), default=0), since
    finally:
        for name in ("noted_at", "notes"):
            account._columns.remove(account.c[name])
        tables._account_columns[:] = before
        account.info["withheld"].update(withheld)
        _forget_statements()


def _forget_statements() -> None:
    account_lock._lock.cache_clear()
    account_lock._advance.cache_clear()


@pytest.fixture
async def database(notes: Notes) -> AsyncIterator[Database]:
    async with opened(notes.url) as database:
        yield database


@pytest.fixture
def owner() -> Owner:
    return Owner(f"erin-{secrets.token_hex(4)}")


async def test_what_is_declared_is_read_and_written_in_the_owners_turn(database: Database, owner: Owner, notes: Notes):
    then = datetime(2026, 11, 30, 12, tzinfo=UTC)
    async with database.session(owner) as session:
        lock = await AccountLock.acquire(session)
        assert (lock[notes.number], lock[notes.since], lock[TASK_COUNT]) == (0, None, 0)
        lock[notes.number] += 2
        lock[notes.since] = then
        lock.next_version()
        await lock.save()
    async with database.session(Owner("somebody else")) as session:
        assert (await AccountLock.acquire(session))[notes.number] == 0
    async with database.session(owner) as session:
        lock = await AccountLock.acquire(session)
        assert (lock[notes.number], lock[notes.since], lock[TASK_COUNT], lock.version) == (2, then, 0, 1)
        assert session.account is not None
        assert session.account[notes.since.label] == then


async def test_it_is_written_without_a_new_version_as_well(database: Database, owner: Owner, notes: Notes):
    async with database.session(owner) as session:
        lock = await AccountLock.acquire(session)
        lock[notes.number] = 7
        await lock.save()
    async with database.session(owner) as session:
        lock = await AccountLock.acquire(session)
        assert (lock[notes.number], lock.version) == (7, 0)


async def test_a_write_in_one_statement_counts_and_tells(database: Database, owner: Owner, notes: Notes):
    clock = next_version(changes={notes.number: 3})
    async with database.session(owner) as session:
        lock = await AccountLock.acquire(session)
        lock[notes.since] = lock.now - timedelta(days=1)
        lock.next_version()
        await lock.save()
        row = await session.fetch_one(compile_statement(clock.select()))
        assert row is not None
        assert set(row.keys()) == {"clock", "at", notes.since.label, TRASHED_AT.label}
        assert (row["clock"], row[notes.since.label]) == (2, lock[notes.since])
        assert (await AccountLock.acquire(session))[notes.number] == 3


async def test_it_is_withheld_from_inserts_and_from_nothing_else(notes: Notes):
    given = rights()["account"]
    assert {verb for verb in ("SELECT", "INSERT", "UPDATE") if "notes" in given[verb]} == {"SELECT", "UPDATE"}
    async with connected(notes.url) as connection:
        assert await connection.fetchval(_RIGHTS, RoleNames.of(name_of(notes.url)).requests) == ["SELECT", "UPDATE"]


async def test_a_tombstones_kind_is_the_name_of_a_table(database: Database, owner: Owner):
    stone = columns(Tombstone)
    kinds = select(stone.kind).where(stone.user_id == OWNER).order_by(stone.version)
    async with database.session(owner) as session:
        lock = await AccountLock.acquire(session)
        await lock.add_tombstones(Task, {uuid4(): lock.next_version()})
        await lock.add_tombstones(ImportedFile, {uuid4(): lock.next_version()})
        await lock.save()
        rows = await session.fetch(compile_statement(kinds))
    assert [row["kind"] for row in rows] == ["task", "imported_file"]


def test_what_is_declared_twice_is_refused():
    with declared(), pytest.raises(DuplicateColumnError, match="notes"):
        account_column("notes", BigInteger(), default=0)

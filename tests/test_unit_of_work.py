"""What a unit of work holds whoever uses it: it loads what it was told of, and what it refuses has changed nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from taskward.errors import Invalid
from taskward.identity import Owner
from taskward.kit.limits import LimitReached, Limits
from taskward.storage.compiling import Statement
from taskward.storage.database import Database
from taskward.tasks.changes import Change, Complete, Create, CreateMany, Move, OfOne, PutBack, Update
from taskward.tasks.row import TaskRow
from taskward.tasks.schedule import consistency
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.statements import WRITTEN
from taskward.tasks.store import TaskStore
from taskward.tasks.unit_of_work import UnitOfWork

DAILY: dict[str, Any] = {"due_date": date(2030, 1, 1), "time_zone": "UTC", "recurrence": "FREQ=DAILY"}


@pytest.fixture
def erin() -> Owner:
    return Owner(f"erin-{secrets.token_hex(4)}")


async def made(database: Database, owner: Owner, **members: Any) -> UUID:
    async with database.session(owner) as session:
        return (await TaskStore(session).add(TaskCreate(title="x", **members)))["id"]  # type: ignore[no-any-return]


async def carried_out(database: Database, owner: Owner, change: OfOne) -> dict[UUID, asyncpg.Record]:
    async with database.session(owner) as session:
        work = await UnitOfWork.begin(session, Limits())
        await work.load([change])
        next_id = await work.make(change)
        return await work.flush([change.task_id, *([] if next_id is None else [next_id])])


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, owner: type[Any] | Any, name: str) -> Iterator[list[Any]]:
    """The arguments of each call of a function."""
    calls: list[Any] = []
    function = getattr(owner, name)

    def count(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, count)
        yield calls


def test_a_row_in_memory_has_the_columns_that_are_written():
    assert sorted(column.name for column in fields(TaskRow)) == sorted(WRITTEN)


@pytest.mark.parametrize(
    "told",
    [
        Create(TaskCreate(title="without")),
        CreateMany((), has_tags=False),
        PutBack(TaskRow.new(title="without")),
        Update(uuid7(), {"tags": []}),
    ],
    ids=lambda told: type(told).__name__,
)
async def test_tags_that_nobody_was_told_of_are_refused_rather_than_not_counted(
    database: Database, erin: Owner, told: Change
):
    with pytest.raises(RuntimeError, match="were not loaded"):
        async with database.session(erin) as session:
            work = await UnitOfWork.begin(session, Limits({"tags": 0}))
            await work.load([told])
            work.create(TaskCreate(title="with", tags=["a"]))


async def test_tags_are_counted_whichever_change_writes_them(database: Database, erin: Owner):
    task_id = await made(database, erin, tags=["a"])
    other = TaskCreate(title="x", tags=["b"])
    for change in (Create(other), Update(task_id, {"tags": ["b", "c"]})):
        with pytest.raises(LimitReached):
            async with database.session(erin) as session:
                work = await UnitOfWork.begin(session, Limits({"tags": 1}))
                await work.load([change])
                await work.make(change)
    with pytest.raises(LimitReached):
        async with database.session(erin) as session:
            work = await UnitOfWork.begin(session, Limits({"tags": 1}))
            row = TaskRow.new(id=other.id, title="x", tags=["b"])
            await work.load([PutBack(row)])
            work.put_back(row, is_in_list=True)


async def test_a_move_that_is_refused_has_changed_nothing(database: Database, erin: Owner):
    top, task_id = await made(database, erin), await made(database, erin)
    change = Move(task_id, {"parent_id": top}, after=uuid7())
    async with database.session(erin) as session:
        work = await UnitOfWork.begin(session, Limits())
        await work.load([change])
        version = work.lock.version
        with pytest.raises(Invalid):
            await work.make(change)
        (row,) = (await work.flush([task_id])).values()
        assert (row["parent_id"], row["version"], work.lock.version) == (None, version, version)


@pytest.mark.parametrize(
    ("members", "statements"),
    [
        # The turn, the tags, the task, what is answered of it, the turn's end.
        ({"tags": ["a"]}, 5),
        # Whether the owner has it.
        ({"tags": ["a"], "id": uuid7()}, 6),
    ],
)
async def test_a_create_asks_about_no_id_that_was_made_for_it(
    database: Database, erin: Owner, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any], statements: int
):
    await made(database, erin)
    with counted(monkeypatch, Statement, "arguments") as calls:
        await made(database, erin, **members)
    assert len(calls) == statements


@pytest.mark.parametrize("members", [{}, {"recurrence": "FREQ=WEEKLY"}, {"due_date": date(2031, 1, 1)}])
async def test_completing_searches_a_rule_once_and_takes_a_version_for_each_row(
    database: Database, erin: Owner, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any]
):
    task_id = await made(database, erin, **DAILY)
    with counted(monkeypatch, consistency, "find_next") as calls:
        change = Update(task_id, {"completed": True, **members})
        rows = await carried_out(database, erin, change)
    assert len(calls) == 1
    assert sorted(row["version"] for row in rows.values()) == [2, 3]
    async with database.session(erin) as session:
        account = await TaskStore(session).account()
        assert account is not None
        assert account["clock"] == 3


async def test_a_rule_is_searched_again_for_another_time_of_completion(
    database: Database, erin: Owner, monkeypatch: pytest.MonkeyPatch
):
    due = {**DAILY, "due_date": date(2020, 1, 1)}
    task_id = await made(database, erin, **due)
    at = datetime(2021, 6, 1, tzinfo=UTC)
    with counted(monkeypatch, consistency, "find_next") as calls:
        members = {"completed": True, "completed_at": at, "recurrence": "FREQ=WEEKLY"}
        rows = await carried_out(database, erin, Update(task_id, members))
    assert len(calls) == 2
    (following,) = [row for row in rows.values() if row["id"] != task_id]
    assert following["due_date"] == date(2021, 6, 2)
    other = await made(database, erin, **due)
    rows = await carried_out(database, erin, Complete(other, completed=True, completed_at=at))
    (following,) = [row for row in rows.values() if row["id"] != other]
    assert following["due_date"] == date(2021, 6, 1)

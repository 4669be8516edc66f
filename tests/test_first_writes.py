"""An account begins with its owner's first write and ends with an erasure, whoever writes at the same moment."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from taskward.account.store import AccountStore
from taskward.identity import Owner
from taskward.kit.limits import LimitReached, Limits
from taskward.lists.schemas import ListCreate
from taskward.lists.store import ListStore
from taskward.storage.compiling import Statement
from taskward.storage.database import Database
from taskward.storage.session import Session
from taskward.tasks.batch import Batch
from taskward.tasks.errors import TaskIdTaken
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from tests.clusters import Cluster
from tests.databases import Superuser, execute, name_of, opened
from tests.users import User

TASKS, ME, LISTS = "/api/v1/tasks", "/api/v1/me", "/api/v1/lists"
NOTHING = {"atomic": False, "operations": [{"op": "delete", "id": "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c"}]}
ACCOUNTS = "SELECT count(*) FROM taskward.account WHERE user_id = $1"
ROWS = "SELECT count(*) FROM taskward.task WHERE user_id = $1"


@pytest.fixture
def nobody() -> Owner:
    """A user who has written nothing."""
    return Owner(f"nobody-{secrets.token_hex(4)}")


async def create(database: Database, owner: Owner, **members: Any) -> None:
    async with database.session(owner) as session:
        await TaskStore(session).add(TaskCreate(title="x", **members))


async def test_who_writes_nothing_leaves_the_account_that_another_request_began(
    database: Database, nobody: Owner, superuser: Superuser
):
    async def write_nothing() -> None:
        async with database.session(nobody) as session:
            await TaskStore(session).apply(Batch.model_validate_json(json.dumps(NOTHING)))

    async with database.session(nobody) as first:
        await TaskStore(first).add(TaskCreate(title="x"))
        waiting = asyncio.create_task(write_nothing())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    await waiting
    assert await superuser.fetchval(ACCOUNTS, nobody.user_id) == 1
    await create(database, nobody)
    await create(database, nobody, tags=["a"])
    assert await superuser.fetchval(ROWS, nobody.user_id) == 3


class Interrupted(Session):
    """A session that lets somebody else begin to write after so many of its statements."""

    __slots__ = ("_left", "_write", "writing")

    def begin(self, statements: int, write: Callable[[], Coroutine[None, None, None]]) -> None:
        self._left = statements
        self._write = write
        self.writing: list[asyncio.Task[None]] = []

    async def fetch(self, statement: Statement, **parameters: Any) -> list[asyncpg.Record]:
        found = await super().fetch(statement, **parameters)
        self._left -= 1
        if self._left < 0 and not self.writing:
            self.writing.append(asyncio.create_task(self._write()))
            await asyncio.wait(self.writing, timeout=0.05)
        return found


@pytest.mark.long
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("what", ["a task", "a task with a tag", "a list"])
async def test_an_erasure_and_a_write_at_once_come_one_after_the_other(
    database: Database, nobody: Owner, superuser: Superuser, before: int, what: str
):
    async def write() -> None:
        async with database.session(nobody) as session:
            if what == "a list":
                await ListStore(session, Limits()).add(ListCreate(name="x"))
            else:
                await TaskStore(session).add(TaskCreate(title="x", tags=["a"] if "tag" in what else []))

    for statements in range(9):
        async with database.session(nobody) as session:
            await AccountStore(session).erase()
        for _ in range(before):
            await create(database, nobody)
        async with Interrupted(database.pool, nobody) as interrupted:
            interrupted.begin(statements, write)
            await AccountStore(interrupted).erase()
        writing = interrupted.writing
        await asyncio.gather(*writing)
        made = int(bool(writing))
        rows = "list" if what == "a list" else "task"
        found = f"SELECT count(*) FROM taskward.{rows} WHERE user_id = $1"
        # It came after the erasure, or before it and is gone; its account is there where it is.
        assert await superuser.fetchval(ACCOUNTS, nobody.user_id) == await superuser.fetchval(found, nobody.user_id)
        assert await superuser.fetchval(ACCOUNTS, nobody.user_id) <= made
        await create(database, nobody)


async def test_writes_and_erasures_at_once_are_each_answered_and_leave_no_task_without_an_account(
    alice: User, superuser: Superuser
):
    confirm = {"confirm": alice.id}
    for _ in range(25):
        answers = await asyncio.gather(
            *(alice.http.delete(ME, params=confirm) for _ in range(3)),
            *(alice.http.post(TASKS, json={"title": "x", "tags": tags}) for tags in ([], ["a"], [], [])),
            alice.http.post(LISTS, json={"name": "x"}),
            alice.http.post(f"{TASKS}/batch", json=NOTHING),
        )
        assert {answer.status_code for answer in answers} <= {200, 201, 204}
        counts = (await alice.http.get(ME)).json()["counts"]
        assert len((await alice.http.get(TASKS)).json()) == counts["tasks"] == await superuser.fetchval(ROWS, alice.id)
        assert await superuser.fetchval(ACCOUNTS, alice.id) == int(any(counts.values()))
    assert (await alice.http.post(TASKS, json={"title": "x"})).status_code == 201


async def test_only_an_id_that_is_taken_is_told_to_be(cluster: Cluster, new_database: str, nobody: Owner):
    task = TaskCreate(title="x")
    async with opened(new_database) as database:
        async with database.session(nobody) as session:
            await TaskStore(session).add(task)
        with pytest.raises(TaskIdTaken):
            async with database.session(nobody) as session:
                await TaskStore(session).add(task)
        # What Taskward's own tables do not have is no fault of the request's.
        superuser = cluster.url(name_of(new_database), superuser=True)
        await execute(superuser, "CREATE UNIQUE INDEX another ON taskward.task (user_id, title)")
        with pytest.raises(asyncpg.UniqueViolationError):
            await create(database, nobody)


async def test_a_limit_is_reached_at_the_first_write_as_well(database: Database, nobody: Owner):
    with pytest.raises(LimitReached):
        async with database.session(nobody) as session:
            await TaskStore(session, Limits({"tasks": 0})).add(TaskCreate(title="x"))

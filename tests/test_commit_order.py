"""Times are in the order of commits: of one owner's rows, what is committed later has the later time, and whoever polls
by it misses nothing.
"""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from taskward.account.store import AccountStore
from taskward.identity import Owner
from taskward.kit.limits import Limits
from taskward.lists.lines import LINES as LISTS
from taskward.lists.schemas import ListCreate
from taskward.lists.store import ListStore
from taskward.storage.database import Database
from taskward.storage.session import Session
from taskward.tags.store import TagStore
from taskward.tasks.batch import Batch
from taskward.tasks.lines import LINES as TASK_LINES
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from taskward.transfer.carrying_over import import_foreign
from taskward.transfer.foreign import Origin, read_foreign
from taskward.transfer.importing import OwnFormat, import_own
from tests.clusters import Cluster
from tests.databases import Superuser, opened
from tests.sizes import sized
from tests.users import User

TASKS = "/api/v1/tasks"
MICROSECOND = timedelta(microseconds=1)
_TIMES = """
SELECT version, created_at, updated_at, completed_at, deleted_at FROM taskward.task WHERE user_id = $1
UNION ALL
SELECT version, created_at, updated_at, NULL, NULL FROM taskward.list WHERE user_id = $1
ORDER BY version
"""
# No index says that these are an owner's clock's values, each once (decision 0022).
_VERSIONS = """
SELECT version FROM taskward.task WHERE user_id = $1
UNION ALL SELECT version FROM taskward.list WHERE user_id = $1
UNION ALL SELECT version FROM taskward.tombstone WHERE user_id = $1
ORDER BY version
"""
ADD: dict[str, Any] = {"op": "create", "task": {"title": "made"}}


class Rows(NamedTuple):
    """What the owner has before: a list, a task in it with a part and a tag, a recurring one, a done one, one in the
    trash with its part.
    """

    list_id: UUID
    other_list: UUID
    task: UUID
    part: UUID
    recurring: UUID
    done: UUID
    trashed: UUID


Write = Callable[[Session, Rows], Awaitable[Any]]


def _batch(*operations: dict[str, Any]) -> Batch:
    return Batch.model_validate_json(json.dumps({"operations": operations}, default=str))


async def _import(session: Session, rows: Rows) -> None:
    del rows
    lines = [
        {"type": "list", "id": "01940000-0041-7000-8000-000000000001", "name": "Back"},
        {"type": "task", "id": "01940000-0041-7000-8000-000000000002", "title": "Back", "completed": True},
        {"type": "task", "id": "01940000-0041-7000-8000-000000000003", "title": "Back as well"},
    ]
    await import_own(
        session, Limits(), OwnFormat((LISTS, TASK_LINES)), "\n".join(json.dumps(line) for line in lines).encode()
    )


async def _import_foreign(session: Session, rows: Rows) -> None:
    del rows
    file = io.BytesIO(b"TYPE,CONTENT,PRIORITY,INDENT\ntask,Milk,4,1\ntask,Eggs,4,2\n")
    origin = Origin("todoist", "UTC", None, datetime.now(UTC))
    found = await read_foreign(file, b"", origin, Limits(), largest=1000)
    await import_foreign(session, Limits(), found)


async def _many(session: Session, rows: Rows) -> None:
    operations = [
        ADD, ADD, {"op": "update", "id": rows.task, "task": {"title": "changed"}},
        {"op": "complete", "id": rows.task}, {"op": "complete", "id": rows.task}, {"op": "complete", "id": rows.task},
        {"op": "complete", "id": rows.recurring}, {"op": "delete", "id": rows.done},
        {"op": "restore", "id": rows.trashed},
    ]  # fmt: skip
    await TaskStore(session).apply(_batch(*operations))


WRITES: dict[str, Write] = {
    "create": lambda s, _: TaskStore(s).add(TaskCreate(title="x")),
    "create a done one": lambda s, _: TaskStore(s).add(TaskCreate(title="x", completed=True)),
    "create with tags": lambda s, _: TaskStore(s).add(TaskCreate(title="x", tags=["a"], completed=True)),
    "change": lambda s, r: TaskStore(s).update(r.task, {"title": "changed"}, None),
    "change completion": lambda s, r: TaskStore(s).update(r.task, {"completed": True}, None),
    "change tags": lambda s, r: TaskStore(s).update(r.task, {"tags": ["b"]}, None),
    "toggle": lambda s, r: TaskStore(s).toggle(r.task, None),
    "reopen": lambda s, r: TaskStore(s).toggle(r.done, None),
    "complete a recurring one": lambda s, r: TaskStore(s).toggle(r.recurring, None),
    "trash a tree": lambda s, r: TaskStore(s).trash(r.task, None),
    "restore a tree": lambda s, r: TaskStore(s).restore(r.trashed, None),
    "move": lambda s, r: TaskStore(s).move(r.done, {"list_id": r.list_id}, r.task, None),
    "batch": _many,
    "make a list": lambda s, _: ListStore(s).add(ListCreate(name="x")),
    "change a list": lambda s, r: ListStore(s).update(r.list_id, {"name": "y"}, None),
    "move a list": lambda s, r: ListStore(s).move(r.list_id, r.other_list, None),
    "remove a list and keep its tasks": lambda s, r: ListStore(s).remove(r.list_id, "keep", None),
    "remove a list with its tasks": lambda s, r: ListStore(s).remove(r.list_id, "trash", None),
    "rename a tag": lambda s, _: TagStore(s).rename("a", "c"),
    "remove a tag": lambda s, _: TagStore(s).remove("a"),
    "import": _import,
    "import of another service's": _import_foreign,
}


async def _begin(database: Database, owner: Owner) -> Rows:
    async with database.session(owner) as session:
        lists = ListStore(session)
        first, second = ListCreate(name="one"), ListCreate(name="two")
        await lists.add(first)
        await lists.add(second)
        store = TaskStore(session)
        task = TaskCreate(title="task", tags=["a"], list_id=first.id)
        part = TaskCreate(title="part", parent_id=task.id, tags=["a", "b"], list_id=first.id)
        recurring = TaskCreate.model_validate(
            {"title": "r", "recurrence": "FREQ=DAILY", "due_date": "2030-01-01", "time_zone": "UTC"}, strict=False
        )
        done = TaskCreate(title="done", completed=True)
        trashed = TaskCreate(title="trashed")
        below = TaskCreate(title="below", parent_id=trashed.id)
        for one in (task, part, recurring, done, trashed, below):
            await store.add(one)
        await store.trash(trashed.id, None)
    return Rows(first.id, second.id, task.id, part.id, recurring.id, done.id, trashed.id)


async def _newest(superuser: Superuser, owner: Owner) -> Any:
    return (await superuser.fetch(_TIMES, owner.user_id))[-1]


async def assert_each_version_is_one_rows(superuser: Superuser, user_id: str) -> None:
    versions = [row["version"] for row in await superuser.fetch(_VERSIONS, user_id)]
    clock = await superuser.fetchval("SELECT clock FROM taskward.account WHERE user_id = $1", user_id)
    assert versions == sorted(set(versions))
    assert 0 < versions[0] <= versions[-1] <= clock


@pytest.fixture
async def database(cluster: Cluster, template: str) -> AsyncIterator[Database]:
    """One with connections for three requests of one owner."""
    async with opened(cluster.url(template), pool_size=8) as database:
        yield database


@pytest.fixture
def owner() -> Owner:
    return Owner(f"erin-{secrets.token_hex(4)}")


@pytest.mark.parametrize("name", WRITES)
async def test_who_began_first_and_commits_last_has_the_later_times(
    database: Database, superuser: Superuser, owner: Owner, name: str
):
    rows = await _begin(database, owner)
    began = await superuser.fetchval("SELECT now()")
    async with database.session(owner) as last:
        await last._begun()
        async with database.session(owner) as late:
            await late._begun()
            async with database.session(owner) as quick:
                await TaskStore(quick).add(TaskCreate(title="quick"))
            before = await _newest(superuser, owner)
            await WRITES[name](late, rows)
        await TaskStore(last).add(TaskCreate(title="afterwards"))
    rows_then = await superuser.fetch(_TIMES, owner.user_id)
    *changed, afterwards = [row for row in rows_then if row["version"] > before["version"]]
    assert changed
    assert changed[0]["updated_at"] > before["updated_at"]
    first = changed[0]
    for row in changed:
        # One request's rows, a microsecond apart for each version.
        assert row["updated_at"] - first["updated_at"] == (row["version"] - first["version"]) * MICROSECOND
        for which in ("created_at", "completed_at", "deleted_at"):
            # As old as this change, or as one before.
            assert row[which] is None or row[which] == row["updated_at"] or row[which] < began, which
    assert afterwards["created_at"] == afterwards["updated_at"] > changed[-1]["updated_at"]
    await assert_each_version_is_one_rows(superuser, owner.user_id)


async def test_a_completion_and_a_removal_are_as_old_as_the_change(
    database: Database, superuser: Superuser, owner: Owner
):
    rows = await _begin(database, owner)
    async with database.session(owner) as session:
        await _many(session, rows)
    found = {row["id"]: row for row in await superuser.fetch(
        "SELECT id, updated_at, completed_at, deleted_at, created_at FROM taskward.task WHERE user_id = $1",
        owner.user_id,
    )}  # fmt: skip
    for done in (rows.task, rows.recurring):
        assert found[done]["completed_at"] == found[done]["updated_at"]
    assert found[rows.done]["deleted_at"] == found[rows.done]["updated_at"] > found[rows.done]["completed_at"]


async def test_times_go_on_where_the_clock_was_set_back(database: Database, superuser: Superuser, owner: Owner):
    await _begin(database, owner)
    ahead = "UPDATE taskward.account SET changed_at = changed_at + interval '1 hour' WHERE user_id = $1 RETURNING 1"
    assert await superuser.fetchval(ahead, owner.user_id)
    times = []
    for _ in range(3):
        async with database.session(owner) as session:
            await TaskStore(session).add(TaskCreate(title="x"))
        times.append((await _newest(superuser, owner))["updated_at"])
    assert times == [times[0], times[0] + MICROSECOND, times[0] + 2 * MICROSECOND]


async def test_a_time_is_the_databases_whatever_zone_it_is_in(database: Database, superuser: Superuser, owner: Owner):
    for zone in ("America/St_Johns", "Pacific/Auckland"):
        async with database.session(owner) as session:
            await (await session._begun()).execute(f"SET LOCAL TIME ZONE '{zone}'")
            await TaskStore(session).add(TaskCreate(title="x"))
            await TaskStore(session).add(TaskCreate(title="x", tags=["a"]))
            await ListStore(session).add(ListCreate(name="x"))
        row = await _newest(superuser, owner)
        now = await superuser.fetchval("SELECT now()")
        assert now - timedelta(seconds=60) < row["created_at"] == row["updated_at"] < now


async def test_a_new_life_begins_after_the_times_of_the_old_one(database: Database, superuser: Superuser, owner: Owner):
    async with database.session(owner) as late:
        await late._begun()
        rows = await _begin(database, owner)
        async with database.session(owner) as session:
            await TaskStore(session).toggle(rows.task, None)
        before = await _newest(superuser, owner)
        async with database.session(owner) as session:
            await AccountStore(session).erase()
        await TaskStore(late).add(TaskCreate(title="the first of another life"))
    assert (await _newest(superuser, owner))["created_at"] > before["updated_at"]


async def _write(user: User, count: int) -> None:
    made: list[str] = []
    for number in range(count):
        match number % 4:
            case 0 | 1:
                made.append((await user.create(f"task {number}"))["id"])
            case 2:
                assert (await user.http.patch(f"{TASKS}/{made[-1]}", json={"title": f"{number}"})).status_code == 200
            case _:
                assert (await user.http.patch(f"{TASKS}/{made[-2]}/complete")).status_code == 200


async def _page(user: User, since: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = "" if since is None else f"&updated_since={since}"
    url: str | None = f"{TASKS}?sort=updated_at&limit=200{query}"
    while url is not None:
        response = await user.http.get(url)
        assert response.status_code == 200, response.text
        found += response.json()
        link = response.headers.get("link")
        url = None if link is None else link.partition(">")[0].removeprefix("<")
    return found


async def test_who_polls_by_the_newest_time_sees_every_change(alice: User, superuser: Superuser):
    seen: dict[str, int] = {}
    since: str | None = None
    writers = [asyncio.create_task(_write(alice, sized(40, 160))) for _ in range(8)]
    polls = 0
    while True:
        is_last = all(writer.done() for writer in writers)
        for task in await _page(alice, since):
            seen[task["id"]] = task["version"]
            since = max(since or "", task["updated_at"])
        polls += 1
        if is_last:
            break
    await asyncio.gather(*writers)
    rows = await superuser.fetch("SELECT id::text, version FROM taskward.task WHERE user_id = $1", alice.id)
    assert seen == {row["id"]: row["version"] for row in rows}
    assert polls > 3


async def test_versions_and_times_are_one_order_however_many_write(alice: User, superuser: Superuser):
    await asyncio.gather(*(_write(alice, sized(24, 96)) for _ in range(8)))
    rows = await superuser.fetch(_TIMES, alice.id)
    times: list[datetime] = [row["updated_at"] for row in rows]
    assert times == sorted(set(times))
    await assert_each_version_is_one_rows(superuser, alice.id)
    created = {row["created_at"]: row for row in rows}
    assert len(created) == len(rows)
    # Of those that were never changed, the order of creation is that of versions.
    unchanged = [row["created_at"] for row in rows if row["created_at"] == row["updated_at"]]
    assert unchanged == sorted(unchanged)

"""The trash is emptied on request, in a batch, and by itself; nothing else is ever erased by that."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from taskward.app import create_app
from taskward.identity import Owner
from taskward.kit.limits import Limits
from taskward.storage.database import Database
from taskward.tasks import trash
from taskward.tasks.table import TRASHED_AT
from taskward.tasks.trash import empty_trash, purge
from tests.clusters import Cluster
from tests.databases import Superuser, rows_of, write_task
from tests.serving import NO_TLS, make_settings, make_token, serving
from tests.users import User

TASKS, BATCH = "/api/v1/tasks", "/api/v1/tasks/batch"
_STATES = "SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(*) FROM taskward.task WHERE user_id = $1"
_STONES = "SELECT count(*) FROM taskward.tombstone WHERE user_id = $1"
# A Citus coordinator takes no sum that depends on the session's time zone.
_EARLIER = "(deleted_at AT TIME ZONE 'UTC' - $2::interval) AT TIME ZONE 'UTC'"
_AGE = (
    f"UPDATE taskward.task SET deleted_at = {_EARLIER} WHERE user_id = $1 AND deleted_at IS NOT NULL",
    "UPDATE taskward.account SET trashed_at = trashed_at - $2::interval WHERE user_id = $1",
)


async def states(superuser: Superuser, user: User) -> tuple[int, int]:
    """How many live tasks there are, and how many in any state."""
    row = await superuser.fetchrow(_STATES, user.id)
    assert row is not None
    return row[0], row[1]


async def fill(user: User, count: int) -> list[str]:
    """Put many into the trash, as trees of two levels."""
    made: list[str] = []
    for start in range(0, count, 50):
        top = (await user.create(f"tree {start}"))["id"]
        operations = [
            {"op": "create", "task": {"title": f"{start + number}", "parent_id": top}}
            for number in range(1, min(50, count - start))
        ]
        if operations:
            response = await user.http.post(BATCH, json={"operations": operations})
            assert response.status_code == 200, response.text
        await user.trash(top)
        made.append(top)
    return made


async def test_the_trash_is_emptied_and_nothing_else(alice: User, bob: User, superuser: Superuser):
    for user in (alice, bob):
        await fill(user, 230)
        live = await user.create("stays", tags=["a"])
        await user.create("a part", parent_id=live["id"])
        trashed = await user.create("goes", parent_id=live["id"])
        await user.trash(trashed["id"])
    before = await rows_of(superuser, bob.id)
    kept = (await alice.http.get(TASKS)).json()
    response = await alice.http.delete(TASKS, params={"deleted": "true"})
    assert (response.status_code, response.content) == (204, b"")
    assert await states(superuser, alice) == (2, 2)
    assert (await alice.http.get(TASKS)).json() == kept
    assert await superuser.fetchval(_STONES, alice.id) == 231
    assert await rows_of(superuser, bob.id) == before
    assert (await alice.http.get("/api/v1/me")).json()["counts"]["trash"] == 0
    assert (await alice.http.delete(TASKS, params={"deleted": "true"})).status_code == 204
    # It counts what is there.
    counted = "SELECT tasks = (SELECT count(*) FROM taskward.task WHERE user_id = $1) FROM taskward.account"
    assert await superuser.fetchval(f"{counted} WHERE user_id = $1", alice.id)


async def test_what_a_file_says_is_trashed_later_goes_as_well(alice: User, superuser: Superuser):
    later = json.dumps({"type": "task", "id": str(uuid7()), "title": "x", "deleted_at": "9000-01-01T00:00:00Z"})
    headers = {"Content-Type": "application/x-ndjson"}
    imported = await alice.http.post("/api/v1/me/import", content=later, headers=headers)
    assert imported.status_code == 200, imported.text
    assert await states(superuser, alice) == (0, 1)
    assert (await alice.http.delete(TASKS, params={"deleted": "true"})).status_code == 204
    assert await states(superuser, alice) == (0, 0)


async def test_who_has_nothing_empties_it_as_well(alice: User, superuser: Superuser):
    assert (await alice.http.delete(TASKS, params={"deleted": "true"})).status_code == 204
    assert await rows_of(superuser, alice.id) == []


_OTHERS = {
    "completed": "true", "permanent": "true", "q": "x", "tag": "a", "limit": "1", "sort": "id", "cursor": "x",
    "list_id": "none", "count": "true", "confirm": "x", "Deleted": "true", "": "",
}  # fmt: skip
_WORDS = ["", "false", "True", "TRUE", "1", "yes", "true ", " true", "true,true", "null", "\u0442rue"]


def _wrong() -> list[str]:
    pairs = [f"{name}={value}" for name, value in _OTHERS.items()]
    some = [pairs[:1], *[[one] for one in pairs], *map(list, combinations(pairs[:6], 2)), pairs]
    right = ["deleted=true"]
    with_others = ["&".join(both) for one in some for both in (right + one, one + right)]
    alone = ["&".join(one) for one in some]
    words = [str(httpx2.QueryParams({"deleted": word})) for word in _WORDS]
    return ["", *alone, *with_others, *words, "deleted", "deleted=true&deleted=true", "deleted=true&deleted=false"]


async def test_without_exactly_that_nothing_is_erased(alice: User, superuser: Superuser):
    await alice.create("stays")
    await alice.trash((await alice.create("trashed"))["id"])
    before = await rows_of(superuser, alice.id)
    for query in _wrong():
        response = await alice.http.delete(f"{TASKS}?{query}")
        assert response.status_code == 422, (query, response.text)
        assert response.json()["errors"], query
    assert (await alice.http.delete(TASKS)).status_code == 422
    assert await rows_of(superuser, alice.id) == before


async def test_what_comes_into_the_trash_meanwhile_stays_in_it(database: Database, superuser: Superuser):
    owner = Owner(f"erin-{secrets.token_hex(4)}")
    first = await write_task(database, owner.user_id)
    second = await write_task(database, owner.user_id)
    trashing = "UPDATE taskward.task SET deleted_at = $2, deleted_with = id WHERE id = $1"
    now = await superuser.fetchval("SELECT now()")
    await superuser.execute(trashing, first, now)
    await superuser.execute(trashing, second, now + timedelta(minutes=1))
    await empty_trash(lambda: database.session(owner), Limits())
    left = await superuser.fetch("SELECT id FROM taskward.task WHERE user_id = $1", owner.user_id)
    assert [row["id"] for row in left] == [second]


async def test_others_get_in_between(alice: User, bob: User):
    await fill(alice, 600)
    emptying = asyncio.create_task(alice.http.delete(TASKS, params={"deleted": "true"}))
    between = 0
    while not emptying.done():
        assert (await alice.http.post(TASKS, json={"title": "meanwhile"})).status_code == 201
        assert (await bob.http.post(TASKS, json={"title": "meanwhile"})).status_code == 201
        between += not emptying.done()
    assert (await emptying).status_code == 204
    assert between > 2


async def test_it_goes_on_where_it_was_ended(
    alice: User, database: Database, superuser: Superuser, monkeypatch: pytest.MonkeyPatch
):
    await fill(alice, 250)
    erase, steps = trash._erase, 0

    async def fail(*arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise RuntimeError
        await erase(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trash, "_erase", fail)
        with pytest.raises(RuntimeError):
            await empty_trash(lambda: database.session(Owner(alice.id)), Limits())
    assert await states(superuser, alice) == (0, 150)
    assert (await alice.http.delete(TASKS, params={"deleted": "true"})).status_code == 204
    assert await states(superuser, alice) == (0, 0)


async def test_emptying_follows_the_rules_of_every_erasure(alice: User, superuser: Superuser):
    rule = {"due_date": "2030-01-01", "time_zone": "UTC", "recurrence": "FREQ=DAILY"}
    task = (await alice.http.post(TASKS, json={"title": "secret", **rule}, headers={"Idempotency-Key": "k"})).json()
    done = await alice.http.patch(f"{TASKS}/{task['id']}/complete")
    next_id = done.headers["link"].partition(">")[0].rpartition("/")[2]
    for one in (task["id"], next_id):
        await alice.trash(one)
    assert (await alice.http.delete(TASKS, params={"deleted": "true"})).status_code == 204
    left = json.dumps(await rows_of(superuser, alice.id))
    assert "secret" not in left
    assert next_id in left  # its tombstone
    assert (await alice.http.get(f"{TASKS}/{next_id}")).status_code == 404


@pytest.mark.parametrize("trashed", [False, True])
async def test_a_batch_erases_for_good(alice: User, superuser: Superuser, trashed: bool):
    task = await alice.create("a")
    part = await alice.create("b", parent_id=task["id"])
    if trashed:
        await alice.trash(task["id"])
    operations = [{"op": "delete", "id": task["id"], "permanent": True}]
    response = await alice.http.post(BATCH, json={"operations": operations})
    assert response.json() == {"results": [{"status": 204, "task": None}]}
    assert await states(superuser, alice) == (0, 0)
    assert await superuser.fetchval(_STONES, alice.id) == 2
    assert (await alice.http.get(f"{TASKS}/{part['id']}")).status_code == 404


async def test_a_batch_without_it_still_goes_to_the_trash(alice: User, superuser: Superuser):
    ids = [(await alice.create("a"))["id"] for _ in range(2)]
    operations = [{"op": "delete", "id": ids[0], "permanent": False}, {"op": "delete", "id": ids[1]}]
    assert (await alice.http.post(BATCH, json={"operations": operations})).status_code == 200
    assert await states(superuser, alice) == (0, 2)
    stale = {"op": "delete", "id": ids[0], "permanent": True, "if_match": 1}
    assert (await alice.http.post(BATCH, json={"operations": [stale]})).status_code == 412
    for wrong in ("true", 1, None):
        operation = {"op": "delete", "id": ids[0], "permanent": wrong}
        assert (await alice.http.post(BATCH, json={"operations": [operation]})).status_code == 422
    assert await states(superuser, alice) == (0, 2)


@asynccontextmanager
async def purging(cluster: Cluster, template: str, days: int) -> AsyncIterator[Callable[[str], User]]:
    """A service that keeps the trash for so many days; makes users of it."""
    clients: list[httpx2.AsyncClient] = []
    with serving(create_app(make_settings(cluster.url(template), trash_days=days))) as url:

        def make(name: str) -> User:
            user_id = f"{name}-{secrets.token_hex(4)}"
            token = make_token(user_id)
            headers = {"Authorization": f"Bearer {token}"}
            clients.append(httpx2.AsyncClient(base_url=url, headers=headers, timeout=30, verify=NO_TLS))
            return User(user_id, token, clients[-1])

        yield make
        for client in clients:
            await client.aclose()


async def age(superuser: Superuser, user: User, **by: int) -> None:
    for statement in _AGE:
        await superuser.execute(statement, user.id, timedelta(**by))


async def until(superuser: Superuser, user: User, wanted: tuple[int, int]) -> None:
    async with asyncio.timeout(60):
        while await states(superuser, user) != wanted:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.02)


_WRITES: dict[str, Callable[[User, str], Any]] = {
    "create": lambda user, _: user.http.post(TASKS, json={"title": "x"}),
    "change": lambda user, task: user.http.patch(f"{TASKS}/{task}", json={"title": "y"}),
    "complete": lambda user, task: user.http.patch(f"{TASKS}/{task}/complete"),
    "tag": lambda user, task: user.http.patch(f"{TASKS}/{task}", json={"tags": ["y"]}),
    "make a list": lambda user, _: user.http.post("/api/v1/lists", json={"name": "y"}),
}


async def test_what_is_due_is_erased_after_any_write(cluster: Cluster, template: str, superuser: Superuser):
    async with purging(cluster, template, 2) as make:
        bob = make("bob")
        await fill(bob, 3)
        await age(superuser, bob, days=3)
        untouched = await rows_of(superuser, bob.id)
        for name, write in _WRITES.items():
            alice = make("alice")
            kept = (await alice.create("stays"))["id"]
            await fill(alice, 130)
            await age(superuser, alice, days=1, hours=23)
            recent = (await alice.create("recent"))["id"]
            await alice.trash(recent)
            await asyncio.sleep(0.05)
            assert await states(superuser, alice) == (1, 132), name
            await age(superuser, alice, hours=2)
            assert (await write(alice, kept)).status_code in {200, 201}
            live = 2 if name == "create" else 1
            await until(superuser, alice, (live, live + 1))
            assert await superuser.fetchval(_STONES, alice.id) == 130
            assert (await alice.http.get(TASKS, params={"deleted": "true"})).json()[0]["id"] == recent
            at_once = await superuser.fetch(
                "SELECT count(*) AS number FROM taskward.tombstone WHERE user_id = $1 GROUP BY xmin::text", alice.id
            )
            assert max(row["number"] for row in at_once) <= 100
        # Nobody else's write erases what is due.
        assert await rows_of(superuser, bob.id) == untouched


async def test_the_next_purge_is_when_the_next_task_is_due(database: Database, superuser: Superuser, alice: User):
    await fill(alice, 2)
    await age(superuser, alice, days=9)
    await alice.trash((await alice.create("recent"))["id"])
    keep = timedelta(days=5)
    while await purge(lambda: database.session(Owner(alice.id)), Limits(), keep):
        pass
    agrees = (
        "SELECT a.trashed_at AT TIME ZONE 'UTC' = min(t.deleted_at) FROM taskward.account a JOIN taskward.task t"
        " USING (user_id) WHERE t.deleted_at IS NOT NULL AND user_id = $1 GROUP BY a.trashed_at"
    )
    assert await superuser.fetchval(agrees, alice.id)
    assert await states(superuser, alice) == (0, 1)
    assert (await alice.http.delete(TASKS, params={"deleted": "true"})).status_code == 204
    assert not await purge(lambda: database.session(Owner(alice.id)), Limits(), keep)
    trashed_at = "SELECT trashed_at FROM taskward.account WHERE user_id = $1"
    assert await superuser.fetchval(trashed_at, alice.id) is None


async def test_a_task_stays_while_a_part_of_it_is_not_due(database: Database, superuser: Superuser, alice: User):
    (top,) = await fill(alice, 2)
    await age(superuser, alice, days=9)
    await superuser.execute("UPDATE taskward.task SET deleted_at = now() WHERE parent_id = $1", top)
    assert not await purge(lambda: database.session(Owner(alice.id)), Limits(), timedelta(days=5))
    assert await states(superuser, alice) == (0, 2)
    waits = "SELECT trashed_at > timezone('UTC', now()) - interval '5 days' FROM taskward.account WHERE user_id = $1"
    assert await superuser.fetchval(waits, alice.id)


async def test_who_keeps_the_owners_turn_keeps_nobody_elses_trash(
    database: Database, superuser: Superuser, alice: User, bob: User
):
    for user in (alice, bob):
        await fill(user, 2)
        await age(superuser, user, days=9)
    purges = trash.Purges(database, Limits(), 5)
    due = {TRASHED_AT.label: datetime.now(UTC) - timedelta(days=9)}
    async with superuser.transaction():
        await superuser.execute("UPDATE taskward.account SET clock = clock WHERE user_id = $1", alice.id)
        purges.consider(due, Owner(alice.id))
        await asyncio.sleep(0.5)
        purges.consider(due, Owner(bob.id))
        await until(superuser, bob, (0, 0))
        assert await states(superuser, alice) == (0, 2)
    await until(superuser, alice, (0, 0))
    await purges.close()


@pytest.mark.long
async def test_who_keeps_the_owners_turn_keeps_no_worker_from_its_end(
    database: Database, superuser: Superuser, alice: User
):
    await fill(alice, 2)
    await age(superuser, alice, days=9)
    purges = trash.Purges(database, Limits(), 5)
    async with superuser.transaction():
        await superuser.execute("UPDATE taskward.account SET clock = clock WHERE user_id = $1", alice.id)
        purges.consider({TRASHED_AT.label: datetime.now(UTC) - timedelta(days=9)}, Owner(alice.id))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(60):
            await purges.close()
    assert await states(superuser, alice) == (0, 2)


async def test_for_ever_is_for_ever(cluster: Cluster, template: str, superuser: Superuser):
    async with purging(cluster, template, 0) as make:
        alice = make("alice")
        await fill(alice, 2)
        await age(superuser, alice, days=40_000)
        for write in ("create", "create"):
            assert (await _WRITES[write](alice, "")).status_code == 201
        await asyncio.sleep(0.3)
        assert await states(superuser, alice) == (2, 4)


async def test_an_imported_trash_is_as_old_as_it_was(cluster: Cluster, template: str, superuser: Superuser):
    async with purging(cluster, template, 30) as make:
        alice, bob = make("alice"), make("bob")
        await fill(alice, 3)
        await age(superuser, alice, days=31)
        export = (await alice.http.get("/api/v1/me/export")).content
        headers = {"Content-Type": "application/x-ndjson"}
        response = await bob.http.post("/api/v1/me/import", content=export, headers=headers)
        assert response.status_code == 200, response.text
        await bob.create("x")
        await until(superuser, bob, (1, 1))


async def test_what_is_completed_goes_to_the_trash_in_one_request(alice: User, bob: User, superuser: Superuser):
    before = []
    for user in (alice, bob):
        await user.create("open")
        half = await user.create("done, but for a part", completed=True)
        await user.create("open part", parent_id=half["id"])
        whole = await user.create("done", completed=True)
        await user.create("done part", parent_id=whole["id"], completed=True)
        operations = [{"op": "create", "task": {"title": "x", "completed": True}}] * 100
        for _ in range(2):
            assert (await user.http.post(BATCH, json={"operations": operations})).status_code == 200
        before.append(await rows_of(superuser, user.id))
    response = await alice.http.delete(f"{TASKS}/completed")
    assert (response.status_code, response.content) == (204, b"")
    left = (await alice.http.get(TASKS)).json()
    assert {task["title"] for task in left} == {"open", "done, but for a part", "open part"}
    assert await states(superuser, alice) == (3, 205)
    assert await rows_of(superuser, bob.id) == before[1]
    restored = await alice.http.post(f"{TASKS}/{whole_of(await trashed(alice))}/restore")
    assert restored.status_code == 200
    assert await states(superuser, alice) == (5, 205)


async def trashed(user: User) -> list[dict[str, Any]]:
    response = await user.http.get(TASKS, params={"deleted": "true", "limit": "200", "sort": "id"})
    return response.json()  # type: ignore[no-any-return]


def whole_of(tasks: list[dict[str, Any]]) -> str:
    return next(str(task["id"]) for task in tasks if task["title"] == "done")


async def test_only_what_a_list_has_is_cleared(alice: User, superuser: Superuser):
    one = (await alice.http.post("/api/v1/lists", json={"name": "one"})).json()["id"]
    await alice.create("in it", list_id=one, completed=True)
    await alice.create("in none", completed=True)
    for wrong in ("list_id=x", "list_id=", "completed=true", "deleted=true", f"list_id={one}&list_id=none"):
        assert (await alice.http.delete(f"{TASKS}/completed?{wrong}")).status_code == 422
    unknown = "01940000-0042-7000-8000-000000000001"
    assert (await alice.http.delete(f"{TASKS}/completed?list_id={unknown}")).status_code == 204
    assert await states(superuser, alice) == (2, 2)
    assert (await alice.http.delete(f"{TASKS}/completed?list_id={one}")).status_code == 204
    assert [task["title"] for task in (await alice.http.get(TASKS)).json()] == ["in none"]
    assert (await alice.http.delete(f"{TASKS}/completed?list_id=none")).status_code == 204
    assert await states(superuser, alice) == (0, 2)


async def test_another_users_list_is_as_one_that_is_not_there(alice: User, bob: User, superuser: Superuser):
    hers = (await alice.http.post("/api/v1/lists", json={"name": "hers"})).json()["id"]
    await alice.create("in it", list_id=hers, completed=True)
    before = await rows_of(superuser, alice.id)
    assert (await bob.http.delete(f"{TASKS}/completed?list_id={hers}")).status_code == 204
    assert await rows_of(superuser, alice.id) == before

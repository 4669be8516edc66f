"""A request with an Idempotency-Key is carried out once, however often and however fast it is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from taskward.identity import Owner
from taskward.storage import stored_responses
from taskward.storage.account_lock import AccountLock
from taskward.storage.database import Database
from taskward.storage.stored_responses import StoredResponses
from tests.databases import Superuser
from tests.users import User

TASKS, LISTS = "/api/v1/tasks", "/api/v1/lists"
KEY = {"Idempotency-Key": "a-key"}


async def post(user: User, path: str = TASKS, key: str = "a-key", **options: Any) -> httpx2.Response:
    options.setdefault("json", {"title": "Once"})
    return await user.http.post(path, headers={"Idempotency-Key": key}, **options)


async def titles(user: User) -> list[str]:
    return [task["title"] for task in (await user.http.get(TASKS)).json()]


def kept(answer: httpx2.Response) -> Any:
    names = ("content-type", "location", "etag", "cache-control", "link")
    return answer.status_code, answer.content, {name: answer.headers.get(name) for name in names}


async def test_a_second_request_is_answered_as_the_first_and_writes_nothing(alice: User):
    first = await post(alice)
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    again = await post(alice)
    assert kept(again) == kept(first)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await titles(alice) == ["Once"]
    # Even after the task has changed, the answer is what was answered then.
    await alice.http.patch(first.headers["location"], json={"title": "Changed"})
    assert kept(await post(alice)) == kept(first)


async def test_fifty_at_once_make_one_task_and_get_one_answer(alice: User):
    found = await asyncio.gather(*(post(alice) for _ in range(50)))
    assert {answer.status_code for answer in found} == {201}
    assert len({answer.content for answer in found}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in found) == 49
    assert await titles(alice) == ["Once"]


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (TASKS, {"json": {"title": "Twice"}}),
        (TASKS, {"content": b'{"title": "Once" }', "headers": {"Content-Type": "application/json", **KEY}}),
        ("/api/v1/lists", {"json": {"name": "Once"}}),
        (f"{TASKS}/batch", {"json": {"operations": [{"op": "create", "task": {"title": "Once"}}]}}),
    ],
    ids=["body", "spelling", "route", "batch"],
)
async def test_a_key_stands_for_one_request(alice: User, path: str, options: dict[str, Any]):
    await post(alice)
    response = await alice.http.post(path, **{"headers": KEY, **options})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/key-reused")
    assert [(e["in"], e["pointer"]) for e in response.json()["errors"]] == [("header", "/Idempotency-Key")]
    assert await titles(alice) == ["Once"]
    assert (await alice.http.get("/api/v1/lists")).json() == []


async def test_a_key_is_its_users_own(alice: User, bob: User):
    hers, his = await post(alice), await post(bob)
    assert hers.json()["id"] != his.json()["id"]
    assert "idempotency-replayed" not in his.headers
    other = await post(bob, json={"title": "Else"})
    assert other.json()["type"] == "/problems/key-reused"
    assert alice.id not in other.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TASKS, {"title": ""}),
        (TASKS, {"title": "x", "parent_id": "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c"}),
        (f"{TASKS}/01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c/restore", None),
        (f"{TASKS}/batch", {"operations": [{"op": "delete", "id": "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c"}]}),
    ],
    ids=["schema", "state", "missing", "batch"],
)
async def test_a_refusal_is_not_kept(alice: User, superuser: Superuser, path: str, body: Any):
    response = await alice.http.post(path, json=body, headers=KEY)
    assert response.status_code >= 400
    rows = await superuser.fetchval("SELECT count(*) FROM taskward.stored_answer WHERE user_id = $1", alice.id)
    assert rows == 0
    assert (await post(alice)).status_code == 201


@pytest.mark.parametrize(
    "key",
    [
        "", "x" * 256, "a b", "\u00e9", "a\tb", "\x7f",
        '"', '""', '"x', '"a b"', '"a"b"', r'"a\b"', '"x";a=1', f'"{"x" * 256}"',
    ],
)  # fmt: skip
async def test_a_key_is_visible_ascii(alice: User, key: str):
    response = await alice.http.post(TASKS, json={"title": "x"}, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert response.status_code == 422
    assert [(e["in"], e["pointer"]) for e in response.json()["errors"]] == [("header", "/Idempotency-Key")]
    assert await titles(alice) == []


async def test_any_visible_ascii_is_a_key(alice: User):
    for key in ("!", "~" * 255, "'; DROP TABLE task; --".replace(" ", "_"), '"quoted"', "%00", "a,b"):
        assert (await post(alice, key=key)).status_code == 201, key
        assert "idempotency-replayed" in (await post(alice, key=key)).headers, key


async def test_a_key_is_the_same_bare_and_as_a_quoted_string(alice: User):
    pairs = [("x-1", '"x-1"'), (r'a"b\c', r'"a\"b\\c"'), ("~" * 255, f'"{"~" * 255}"'), ("\\", r'"\\"')]
    for bare, quoted in pairs:
        first = await post(alice, key=bare)
        again = await post(alice, key=quoted)
        assert (again.status_code, again.json(), "idempotency-replayed" in again.headers) == (201, first.json(), True)


async def test_the_answer_is_written_in_the_transaction_of_the_task(alice: User, superuser: Superuser):
    task = (await post(alice)).json()
    of_task = await superuser.fetchval("SELECT xmin FROM taskward.task WHERE id = $1", task["id"])
    row = await superuser.fetchrow("SELECT xmin, status, body FROM taskward.stored_answer WHERE user_id = $1", alice.id)
    assert row is not None
    assert (row["xmin"], row["status"]) == (of_task, 201)
    assert task["id"] in row["body"]


async def test_a_key_holds_for_a_day_and_goes_with_the_next_one(alice: User, bob: User, superuser: Superuser):
    await post(alice, key="old")
    await post(bob, key="old")
    age = "UPDATE taskward.stored_answer SET created_at = now() - $2::interval WHERE user_id = $1"
    for hours, is_replayed in ((23, True), (25, False)):
        for user in (alice, bob):
            await superuser.execute(age.replace("$2", f"'{hours} hours'"), user.id)
        assert ("idempotency-replayed" in (await post(alice, key="old")).headers) == is_replayed
    assert await titles(alice) == ["Once", "Once"]
    await superuser.execute(age.replace("$2", "'25 hours'"), alice.id)
    await post(alice, key="new")
    keys = "SELECT user_id, key FROM taskward.stored_answer WHERE user_id = ANY ($1)"
    left = {tuple(row) for row in await superuser.fetch(keys, [alice.id, bob.id])}
    assert left == {(alice.id, "new"), (bob.id, "old")}


async def test_one_waits_for_the_first_but_not_for_ever(
    alice: User, database: Database, monkeypatch: pytest.MonkeyPatch
):
    assert stored_responses.PATIENCE == 10
    monkeypatch.setattr(stored_responses, "PATIENCE", 0.3)
    async with database.session(Owner(alice.id)) as session:
        assert await StoredResponses(session).claim("a-key", b"other") is None
        response = await post(alice)
        assert (response.status_code, response.json()["type"]) == (409, "/problems/request-running")
        assert await titles(alice) == []
    # What held the key has committed without an answer of this request's.
    assert (await post(alice)).json()["type"] == "/problems/key-reused"


async def test_one_that_waited_for_a_request_that_failed_is_carried_out(alice: User, database: Database):
    waiting: list[asyncio.Task[httpx2.Response]] = []

    async def fail() -> None:
        async with database.session(Owner(alice.id)) as session:
            await StoredResponses(session).claim("a-key", b"other")
            waiting.append(asyncio.create_task(post(alice)))
            await asyncio.sleep(0.2)
            assert not waiting[0].done()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert (await waiting[0]).status_code == 201
    assert await titles(alice) == ["Once"]


async def test_what_waits_for_one_key_is_not_in_the_way_of_others(alice: User, database: Database):
    async with database.session(Owner(alice.id)) as session:
        await StoredResponses(session).claim("a-key", b"other")
        waiting = asyncio.create_task(post(alice))
        assert (await post(alice, key="other")).status_code == 201
        assert (await alice.create("Without a key"))["title"] == "Without a key"
        waiting.cancel()


async def test_every_post_takes_a_key(app: FastAPI, alice: User):
    posts = [r for r in app.routes if isinstance(r, APIRoute) and "POST" in (r.methods or ()) and "/api/" in r.path]
    assert len(posts) >= 6
    document = (await alice.http.get("/openapi.json")).json()["paths"]
    for route in posts:
        names = {parameter["name"] for parameter in document[route.path]["post"]["parameters"]}
        assert "Idempotency-Key" in names, route.path


async def test_each_kind_of_post_is_carried_out_once(alice: User):
    task = (await post(alice, key="1")).json()
    others: list[tuple[str, str, dict[str, Any]]] = [
        ("2", "/api/v1/lists", {"json": {"name": "Home"}}),
        ("3", f"{TASKS}/{task['id']}/move", {"json": {"after": None}}),
        ("4", f"{TASKS}/batch", {"json": {"operations": [{"op": "create", "task": {"title": "Other"}}]}}),
        ("5", f"{TASKS}/{task['id']}/restore", {"json": None}),
        ("6", "/api/v1/me/import", {"json": None, "content": b""}),
    ]
    for key, path, options in others:
        if "content" in options:
            headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
            line = b'{"type":"list","id":"01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c","name":"Back"}'
            first, again = [await alice.http.post(path, content=line, headers=headers) for _ in range(2)]
        else:
            first, again = [await post(alice, path, key, **options) for _ in range(2)]
        assert first.status_code < 300, first.text
        assert kept(again) == kept(first), path
        assert "idempotency-replayed" in again.headers, path
    assert sorted(await titles(alice)) == ["Once", "Other"]
    assert len((await alice.http.get("/api/v1/lists")).json()) == 2


async def test_what_is_erased_is_in_no_stored_answer(alice: User, superuser: Superuser):
    secret, other = (await post(alice, json={"title": "Secret"})).json(), (await post(alice, key="other")).json()
    await post(alice, f"{TASKS}/batch", "both", json={"operations": [{"op": "complete", "id": secret["id"]}]})
    assert (await alice.http.delete(f"{TASKS}/{secret['id']}", params={"permanent": "true"})).status_code == 204
    rows = await superuser.fetch("SELECT key, body FROM taskward.stored_answer WHERE user_id = $1", alice.id)
    assert [row["key"] for row in rows] == ["other"]
    assert other["id"] in rows[0]["body"]


@pytest.mark.parametrize("path", [f"{TASKS}/{{}}?permanent=true", "/api/v1/me?confirm={{user}}"], ids=["task", "me"])
async def test_what_expires_is_in_nobodys_way(alice: User, database: Database, superuser: Superuser, path: str):
    task = (await post(alice, key="old")).json()
    age = "UPDATE taskward.stored_answer SET created_at = now() - interval '25 hours' WHERE user_id = $1"
    await superuser.execute(age, alice.id)
    url = path.format(task["id"]).replace("{user}", alice.id)
    async with database.session(Owner(alice.id)) as session:
        await StoredResponses(session).claim("new", b"request")
        # Whoever has claimed a key waits for the account next, which an erasure holds already.
        response = await asyncio.wait_for(alice.http.delete(url), 5)
        assert response.status_code == 204
    rows = await superuser.fetch("SELECT key FROM taskward.stored_answer WHERE user_id = $1", alice.id)
    assert [row["key"] for row in rows] == ["new"]


async def test_whose_key_has_expired_waits_for_the_owners_turn_before_anything(
    alice: User, database: Database, superuser: Superuser
):
    await post(alice, key="old")
    age = "UPDATE taskward.stored_answer SET created_at = now() - interval '25 hours' WHERE user_id = $1"
    await superuser.execute(age, alice.id)
    async with database.session(Owner(alice.id)) as session:
        answers = StoredResponses(session)
        await answers.claim("new", b"request")
        await AccountLock.acquire(session)
        waiting = asyncio.create_task(post(alice, key="old"))
        await asyncio.sleep(0.2)
        await asyncio.wait_for(answers.store("new", 201, "{}", "{}", []), 5)
    assert (await waiting).status_code == 201
    rows = await superuser.fetch("SELECT key FROM taskward.stored_answer WHERE user_id = $1 ORDER BY 1", alice.id)
    assert [row["key"] for row in rows] == ["new", "old"]


async def test_an_erasure_takes_the_answers_that_tell_of_it_and_no_others(alice: User, superuser: Superuser):
    list_id = (await post(alice, LISTS, "list", json={"name": "Secret list"})).json()["id"]
    task = (await post(alice, key="task", json={"title": "Secret", "list_id": list_id})).json()
    part = {"op": "create", "task": {"title": "Part", "parent_id": task["id"]}}
    operations = [part, {"op": "complete", "id": task["id"]}]
    await post(alice, f"{TASKS}/batch", "batch", json={"operations": operations})
    await post(alice, key="other", json={"title": "Other", "metadata": {"id": task["id"]}})
    await post(alice, key="another", json={"title": "Another", "list_id": list_id})
    file = "TYPE,CONTENT,RESPONSIBLE\ntask,Imported,Secret person\n"
    header = {"Idempotency-Key": "import", "Content-Type": "text/csv"}
    await alice.http.post("/api/v1/me/import", params={"format": "todoist"}, content=file, headers=header)

    async def keys() -> set[str]:
        rows = await superuser.fetch("SELECT key FROM taskward.stored_answer WHERE user_id = $1", alice.id)
        return {row["key"] for row in rows}

    assert await keys() == {"list", "task", "batch", "other", "another", "import"}
    await alice.http.delete(f"{LISTS}/{list_id}", params={"tasks": "keep"})
    assert "list" not in await keys()
    await alice.http.delete(f"{TASKS}/{task['id']}", params={"permanent": "true"})
    # One that names the id in its metadata may go as well; a report of an import tells of tasks by their titles.
    assert await keys() - {"other"} == {"another"}


async def test_many_tasks_are_erased_beside_large_answers(alice: User):
    many = [{"op": "create", "task": {"title": "x", "description": "y" * 9000}}] * 100
    for number in range(2):
        assert (await post(alice, f"{TASKS}/batch", f"{number}", json={"operations": many})).status_code == 200
    top = (await alice.create("Top"))["id"]
    parts = [{"op": "create", "task": {"title": "x", "parent_id": top}}] * 100
    for _ in range(10):
        assert (await alice.http.post(f"{TASKS}/batch", json={"operations": parts})).status_code == 200
    # By their text, this was 10 seconds and more.
    response = await asyncio.wait_for(alice.http.delete(f"{TASKS}/{top}", params={"permanent": "true"}), 2)
    assert response.status_code == 204


async def test_the_answer_of_a_request_that_erases_is_kept(alice: User):
    task = await alice.create(due_date="2026-01-10", time_zone="UTC", recurrence="FREQ=DAILY")
    await alice.http.patch(f"{TASKS}/{task['id']}/complete")
    # Reopening it erases the next one.
    reopening = {"operations": [{"op": "complete", "id": task["id"]}]}
    first, second = [await post(alice, f"{TASKS}/batch", json=reopening) for _ in range(2)]
    assert len((await alice.http.get(TASKS)).json()) == 1
    assert second.headers["idempotency-replayed"] == "true"
    assert kept(first) == kept(second)

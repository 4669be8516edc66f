"""A walk over the app's own route table: no route is forgotten, whoever adds it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from uuid_utils.compat import uuid7

from taskward.app import create_app
from taskward.tasks.routes import router
from taskward.web.middleware import BASE_PATH
from taskward.web.routing import SessionRoute
from tests.conftest import (
    NO_TLS,
    SECRET,
    Cluster,
    Superuser,
    User,
    connected,
    make_settings,
    make_token,
    name_of,
    serving,
)

ROUTES = sorted(
    (method, route.path)
    for route in create_app(make_settings("postgresql://nobody@localhost/none")).routes
    if isinstance(route, APIRoute) and route.path.startswith(BASE_PATH)
    for method in route.methods or ()
)
OF_A_TASK = [(method, path) for method, path in ROUTES if "{" in path]
OPEN = {"/healthz", "/readyz", "/docs", "/docs/start.js", "/docs/assets/{name}", "/openapi.json", "/problems/{slug}"}
INVALID = (
    'Bearer error="invalid_token", '
    'error_description="The access token is expired, malformed or not issued for this service"'
)
BODIES = {"POST": {"title": "x"}, "PATCH": {"title": "x"}, "PUT": {"title": "x"}}


def body_of(method: str, path: str) -> Any:
    if path.endswith("/complete"):
        return {"completed": True}
    return None if path.endswith("/restore") else BODIES.get(method)


def unsigned(user_id: str) -> str:
    def encode(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{encode({'alg': 'none'})}.{encode({'sub': user_id, 'exp': int(time.time()) + 60})}."


def bad_tokens(user_id: str) -> dict[str, str]:
    good = make_token(user_id)
    return {
        "garbage": "garbage",
        "three dots": "...",
        "long": "x" * 9000,
        "expired": make_token(user_id, ttl=-3600),
        "not yet valid": make_token(user_id, nbf=int(time.time()) + 3600),
        "of another key": make_token(user_id, secret=SECRET[::-1]),
        "changed": good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB"),
        "without signature": good.rpartition(".")[0] + ".",
        "unsigned": unsigned(user_id),
        "without user": make_token(user_id, sub=None),
        "without expiry": make_token(user_id, exp=None),
        "twice": f"{good} {good}",
    }


def test_the_walk_has_every_route_and_all_run_by_the_same_class():
    app = create_app(make_settings("postgresql://nobody@localhost/none"))
    assert len(ROUTES) >= 9
    for route in app.routes:
        path = getattr(route, "path", None)
        if path in OPEN:
            continue
        assert isinstance(route, SessionRoute), route
        assert str(path).startswith(f"{BASE_PATH}/")


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_without_a_good_token_it_is_401_and_no_database(
    app: FastAPI, alice: User, nobody: httpx.AsyncClient, method: str, path: str
):
    task = await alice.create()
    url = re.sub(r"\{\w+\}", task["id"], path)
    before = app.state.database.pool.acquired
    for headers in (
        {},
        {"Authorization": f"Basic {alice.token}"},
        {"Authorization": alice.token},
        {"Cookie": alice.token},
    ):
        response = await nobody.request(method, url, headers=headers, json=body_of(method, path))
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    for name, token in bad_tokens(alice.id).items():
        response = await nobody.request(
            method, url, headers={"Authorization": f"Bearer {token}"}, json=body_of(method, path)
        )
        assert (response.status_code, response.headers["www-authenticate"]) == (401, INVALID), name
    assert app.state.database.pool.acquired == before
    assert (await alice.http.get(f"/api/v1/tasks/{task['id']}")).json() == task


@pytest.fixture(scope="module")
def strict(cluster: Cluster, template: str) -> Iterator[tuple[str, FastAPI]]:
    """The service for one audience of one issuer, and its app."""
    app = create_app(make_settings(cluster.url(template), issuer="https://id.example", audience=("tasks",)))
    with serving(app) as url:
        yield url, app


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_token_for_another_audience_or_of_another_issuer_is_401(strict: tuple[str, FastAPI], method: str, path: str):
    url, app = strict
    good = {"iss": "https://id.example", "aud": "tasks"}

    def send(claims: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {make_token('alice', **claims)}"}
        target = url + re.sub(r"\{\w+\}", str(uuid7()), path)
        return httpx.request(method, target, headers=headers, json=body_of(method, path), verify=NO_TLS)

    before = app.state.database.pool.acquired
    for wrong in ({"aud": "other"}, {"aud": ["other"]}, {"aud": None}, {"iss": "https://id.example/"}, {"iss": None}):
        response = send({**good, **wrong})
        assert (response.status_code, response.headers["www-authenticate"]) == (401, INVALID), wrong
    assert app.state.database.pool.acquired == before
    assert send(good).status_code in {200, 201, 204, 404}


async def test_a_burst_of_401_is_answered_while_every_connection_is_taken(cluster: Cluster, new_database: str):
    size = 3
    app = create_app(make_settings(new_database, pool_size=size))
    pool = app.state.database.pool
    good = {"Authorization": f"Bearer {make_token('alice')}"}
    with serving(app) as url:
        async with (
            connected(cluster.url(name_of(new_database), superuser=True)) as superuser,
            httpx.AsyncClient(base_url=url, timeout=30, verify=NO_TLS) as client,
        ):
            async with superuser.transaction():
                await superuser.execute("LOCK TABLE taskward.account IN ACCESS EXCLUSIVE MODE")
                waiting = [asyncio.create_task(client.get(router.prefix, headers=good)) for _ in range(size + 1)]
                async with asyncio.timeout(5):
                    while pool.acquired < size + 1 or pool._open < size:  # noqa: ASYNC110 - it is another thread's
                        await asyncio.sleep(0.01)
                tokens = [None, *bad_tokens("alice").values()]
                began, taken = time.monotonic(), pool.acquired
                refused = await asyncio.gather(
                    *(
                        client.request(
                            method,
                            path.replace("{task_id}", str(uuid7())),
                            headers={"Authorization": f"Bearer {token}"} if token else {},
                            json=body_of(method, path),
                        )
                        for method, path in ROUTES
                        for token in tokens
                    )
                )
                seconds = time.monotonic() - began
                assert not any(task.done() for task in waiting)
                assert pool.acquired == taken
            assert {answer.status_code for answer in refused} == {401}
            assert len(refused) > 100
            assert seconds < 4  # less than the fifth request waits for a connection before it is told 503
            assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def rows_of(superuser: Superuser, user: User) -> list[Any]:
    rows = []
    for table in ("account", "task", "tombstone"):
        rows += await superuser.fetch(f"SELECT x::text FROM taskward.{table} x WHERE user_id = $1 ORDER BY 1", user.id)
    return rows


@pytest.mark.parametrize(("method", "path"), OF_A_TASK)
async def test_a_strangers_task_is_403_whether_live_or_trashed_and_stays_as_it_is(
    alice: User, bob: User, superuser: Superuser, method: str, path: str
):
    live, trashed = await alice.create("Secret plan", completed=True), await alice.create("Secret past")
    await alice.trash(trashed["id"])
    before = await rows_of(superuser, alice)
    for account in (False, True):
        if account:
            await bob.create()
        for task in (live, trashed):
            for query in ("", "?permanent=true") if method == "DELETE" else ("",):
                url = re.sub(r"\{\w+\}", task["id"], path) + query
                response = await bob.http.request(method, url, json=body_of(method, path))
                assert response.status_code == 403
                assert response.json()["type"] == "/problems/forbidden"
                assert "Secret" not in response.text
                assert alice.id not in response.text
    assert await rows_of(superuser, alice) == before


@pytest.mark.parametrize(("method", "path"), OF_A_TASK)
async def test_an_unknown_id_and_what_is_no_uuid_are_404(alice: User, app: FastAPI, method: str, path: str):
    unknown = await alice.http.request(method, re.sub(r"\{\w+\}", str(uuid7()), path), json=body_of(method, path))
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/task-not-found")
    before = app.state.database.pool.acquired
    for no_id in ("x", "1", "null", "%20", "..%00", "0" * 36, "🙈", "'; --"):
        url = re.sub(r"\{\w+\}", no_id, path)
        response = await alice.http.request(method, url, json=body_of(method, path))
        assert (response.status_code, response.json()["type"]) == (404, "/problems/task-not-found"), no_id
    assert app.state.database.pool.acquired == before


async def test_no_listing_shows_a_strangers_task(alice: User, bob: User, superuser: Superuser):
    task = await alice.create("Secret plan")
    await alice.trash((await alice.create("Secret past"))["id"])
    before = await rows_of(superuser, alice)
    for query in ("", "?deleted=true", "?completed=false", "?limit=200"):
        assert (await bob.http.get(f"{router.prefix}{query}")).json() == []
    his = await bob.create("His", id=task["id"])
    assert (await bob.http.get(router.prefix)).json() == [his]
    assert await rows_of(superuser, alice) == before


async def test_a_live_task_is_restored_without_a_change_whatever_is_in_a_strangers_trash(
    alice: User, bob: User, superuser: Superuser
):
    task = await alice.create("Secret past")
    await alice.trash(task["id"])
    his = await bob.create("His", id=task["id"])
    before = await rows_of(superuser, alice), await rows_of(superuser, bob)
    assert (await bob.http.post(f"{router.prefix}/{his['id']}/restore")).json() == his
    assert (await rows_of(superuser, alice), await rows_of(superuser, bob)) == before


@pytest.mark.parametrize(
    "user_id", ["'", "''; --", "\\", "\\'", "a'b\\'c", "$1", "%s", "é", "e\u0301", "A", "a", "用户", "🙂", " a "]
)
async def test_a_user_id_is_taken_character_for_character(base_url: str, superuser: Superuser, user_id: str):
    headers = {"Authorization": f"Bearer {make_token(user_id)}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, verify=NO_TLS) as client:
        made = (await client.post(router.prefix, json={"title": user_id})).json()
        assert made["user_id"] == user_id
        listed = (await client.get(router.prefix)).json()
        assert {task["user_id"] for task in listed} == {user_id}
        assert (await client.get("/api/v1/me")).json()["user_id"] == user_id
    assert await superuser.fetchval("SELECT user_id FROM taskward.task WHERE id = $1", made["id"]) == user_id

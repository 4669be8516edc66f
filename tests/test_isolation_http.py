"""A walk over the app's own route table: no route is forgotten, whoever adds it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from taskward.app import create_app
from taskward.http.middleware import BASE_PATH
from taskward.http.routing import PrecompiledRoute
from taskward.runtime.timeouts import Timeouts
from taskward.tasks.filters import TaskFilters
from taskward.tasks.parameters import SORTS
from taskward.tasks.routes import router
from tests.clusters import Cluster
from tests.databases import Superuser, connected, name_of, rows_of
from tests.route_table import (
    BODIES,
    COLLECTIONS,
    LIST,
    LISTS,
    ME,
    OF_A_TAG,
    OF_AN_ID,
    OTHER_KINDS,
    PROBLEMS,
    QUERIES,
    REFERRING,
    ROUTES,
    TAGS,
    TASK,
    TASKS,
    body_of,
    furnish,
    make,
    model_of,
    parameters_of,
    problems_of,
    queries_of,
    query_of,
    target_of,
)
from tests.serving import NO_TLS, PLAIN, SECRET, make_settings, make_token, serving
from tests.task_values import FILTERS
from tests.users import User

OPEN = {
    "/", "/healthz", "/readyz", "/docs", "/docs/start.js", "/docs/assets/{name}", "/openapi.json", "/problems/{slug}",
}  # fmt: skip
INVALID = (
    'Bearer error="invalid_token", '
    'error_description="The access token is expired, malformed or not issued for this service"'
)


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
    assert len(ROUTES) >= 20
    assert BODIES.keys() | QUERIES.keys() <= set(ROUTES)
    for route in app.routes:
        path = getattr(route, "path", None)
        if path in OPEN:
            continue
        assert isinstance(route, PrecompiledRoute), route
        assert str(path).startswith(f"{BASE_PATH}/")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_path_and_every_reference_is_of_a_kind_that_is_walked(method: str, path: str):
    assert len(parameters_of(path)) <= 1
    assert set(parameters_of(path)) <= {*PROBLEMS, "tag"}
    assert (body_of(method, path) is None) == (model_of(method, path) is None)
    for parameter in parameters_of(path):
        assert parameter == "tag" or ("POST", COLLECTIONS[parameter]) in ROUTES, parameter


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_without_a_good_token_it_is_401_and_no_database(
    app: FastAPI, alice: User, nobody: httpx2.AsyncClient, method: str, path: str
):
    task = await alice.create()
    url = target_of(path, task["id"], query=query_of(method, path), user_id=alice.id)
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

    def send(claims: dict[str, Any]) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {make_token('alice', **claims)}"}
        target = url + target_of(path, query=query_of(method, path), user_id="alice")
        return httpx2.request(method, target, headers=headers, json=body_of(method, path), **PLAIN)

    before = app.state.database.pool.acquired
    for wrong in ({"aud": "other"}, {"aud": ["other"]}, {"aud": None}, {"iss": "https://id.example/"}, {"iss": None}):
        response = send({**good, **wrong})
        assert (response.status_code, response.headers["www-authenticate"]) == (401, INVALID), wrong
    assert app.state.database.pool.acquired == before
    assert send(good).status_code in {200, 201, 204, 404}


async def test_a_burst_of_401_is_answered_while_every_connection_is_taken(cluster: Cluster, new_database: str):
    size = 3
    app = create_app(make_settings(new_database, pool_size=size))
    # Each somebody else's, since one user may not have all connections.
    good = [{"Authorization": f"Bearer {make_token(f'user-{number}')}"} for number in range(size + 1)]
    with serving(app) as url:
        pool = app.state.database.pool
        # Longer than the burst takes on any machine.
        pool._patience = Timeouts(60)
        async with (
            connected(cluster.url(name_of(new_database), superuser=True)) as superuser,
            httpx2.AsyncClient(base_url=url, timeout=30, verify=NO_TLS) as client,
        ):
            async with superuser.transaction():
                await superuser.execute("LOCK TABLE taskward.account IN ACCESS EXCLUSIVE MODE")
                waiting = [asyncio.create_task(client.get(router.prefix, headers=one)) for one in good]
                async with asyncio.timeout(5):
                    while pool.acquired < size + 1 or pool.in_use < size:  # noqa: ASYNC110 - it is another thread's
                        await asyncio.sleep(0.01)
                tokens = [None, *bad_tokens("alice").values()]
                # Every route and every token, but not each with each, which is tried one by one above: the burst has
                # to end before those who wait are told that it was too long.
                burst = [(route, token) for route in ROUTES for token in tokens][::2]
                assert ({route for route, _ in burst}, {token for _, token in burst}) == (set(ROUTES), set(tokens))
                taken = pool.acquired
                refused = await asyncio.gather(
                    *(
                        client.request(
                            method,
                            target_of(path, query=query_of(method, path), user_id="alice"),
                            headers={"Authorization": f"Bearer {token}"} if token else {},
                            json=body_of(method, path),
                        )
                        for (method, path), token in burst
                    )
                )
                assert not any(task.done() for task in waiting)
                assert pool.acquired == taken
            assert {answer.status_code for answer in refused} == {401}
            assert len(refused) > 100
            assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


@pytest.mark.parametrize(("method", "path"), OF_AN_ID)
async def test_what_is_a_strangers_is_403_whether_live_or_trashed_and_stays_as_it_is(
    alice: User, bob: User, superuser: Superuser, method: str, path: str
):
    hers = await furnish(alice)
    before = await rows_of(superuser, alice.id)
    forbidden, _ = problems_of(path)
    for account in (False, True):
        if account:
            await furnish(bob)
        his = await rows_of(superuser, bob.id)
        for one in hers.ids_of(path).values():
            for query in queries_of(method, path):
                for headers in ({}, {"If-Match": "*"}):
                    url = target_of(path, one, query=query)
                    response = await bob.http.request(method, url, json=body_of(method, path), headers=headers)
                    assert response.status_code == 403
                    assert response.json()["type"] == f"/problems/{forbidden.slug}"
                    assert "Secret" not in response.text
                    assert alice.id not in response.text
        assert await rows_of(superuser, bob.id) == his
    assert await rows_of(superuser, alice.id) == before


@pytest.mark.parametrize(("method", "path"), OF_AN_ID)
async def test_an_id_of_another_kind_is_404(alice: User, bob: User, superuser: Superuser, method: str, path: str):
    """A list's id is no task's, whoever's it is."""
    hers, his = await furnish(alice), await furnish(bob)
    before = await rows_of(superuser, alice.id), await rows_of(superuser, bob.id)
    others = [ids for belongings in (hers, his) for ids in belongings.ids.values()]
    _, not_found = problems_of(path)
    for ids in others:
        if ids.keys() != hers.ids_of(path).keys():
            for one in ids.values():
                url = target_of(path, one, query=query_of(method, path))
                response = await bob.http.request(method, url, json=body_of(method, path))
                assert (response.status_code, response.json()["type"]) == (404, f"/problems/{not_found.slug}")
    assert (await rows_of(superuser, alice.id), await rows_of(superuser, bob.id)) == before


@pytest.mark.parametrize(("method", "path"), OF_AN_ID)
async def test_an_unknown_id_and_what_is_no_uuid_are_404(alice: User, app: FastAPI, method: str, path: str):
    _, not_found = problems_of(path)
    expected = 404, f"/problems/{not_found.slug}"
    for query in queries_of(method, path):
        unknown = await alice.http.request(method, target_of(path, query=query), json=body_of(method, path))
        assert (unknown.status_code, unknown.json()["type"]) == expected
    before = app.state.database.pool.acquired
    for no_id in ("x", "1", "null", "%20", "..%00", "0" * 36, "🙈", "'; --"):
        url = re.sub(r"\{\w+\}", no_id, path)
        response = await alice.http.request(method, url, json=body_of(method, path))
        assert (response.status_code, response.json()["type"]) == expected, no_id
    assert app.state.database.pool.acquired == before


@pytest.mark.parametrize(("method", "path"), OF_A_TAG)
async def test_anothers_tag_is_404_as_one_that_nobody_has_and_stays_as_it_is(
    alice: User, bob: User, superuser: Superuser, method: str, path: str
):
    hers = await furnish(alice)
    before = await rows_of(superuser, alice.id)
    for account in (False, True):
        if account:
            await bob.create(tags=["His tag"])
        told = set()
        for tag in (hers.tag, "Nobody's tag", "x" * 51, "\t"):
            sent = {"json": body_of(method, path), "headers": {"X-Request-Id": "the-same"}}
            response = await bob.http.request(method, target_of(path, tag), **sent)
            problem = response.json()
            assert problem.pop("instance").startswith(f"{TAGS}/")
            told.add(json.dumps([response.status_code, problem]))
        assert len(told) == 1
        assert '"/problems/tag-not-found"' in told.pop()
    assert await rows_of(superuser, alice.id) == before


@pytest.mark.parametrize(("method", "path"), OF_A_TAG)
async def test_a_tag_that_both_have_is_changed_on_ones_own_tasks_alone(
    alice: User, bob: User, superuser: Superuser, method: str, path: str
):
    hers = await furnish(alice)
    before = await rows_of(superuser, alice.id)
    await furnish(bob)
    response = await bob.http.request(method, target_of(path, hers.tag), json=body_of(method, path))
    assert response.status_code in {200, 204}
    assert hers.tag not in (await bob.http.get(TAGS)).text
    assert await rows_of(superuser, alice.id) == before
    assert (await alice.http.get(TAGS)).json() == [{"name": hers.tag, "tasks": 1}]


def test_every_way_to_name_another_row_is_walked():
    placing = (("POST", TASKS), ("PATCH", TASK), ("PUT", TASK), ("POST", f"{TASK}/move"))
    moving = (("POST", f"{TASK}/move"), ("POST", f"{LIST}/move"))
    expected = {(route, name) for route in placing for name in ("list_id", "parent_id")}
    assert set(REFERRING) >= expected | {(route, "after") for route in moving}


@pytest.mark.parametrize(("route", "name"), REFERRING, ids=str)
async def test_a_reference_to_a_strangers_row_is_422_in_the_same_bytes_as_one_to_nothing(
    alice: User, bob: User, superuser: Superuser, route: tuple[str, str], name: str
):
    method, path = route
    hers = await furnish(alice)
    # A stranger's of either kind, and what is nobody's.
    named = {**hers.every_id, "unknown": str(uuid7()), "of no time": str(uuid4())}
    hers_before = await rows_of(superuser, alice.id)
    for account in (False, True):
        if "{" in path or account:
            his = await furnish(bob)
            url = target_of(path, next(iter(his.ids_of(path).values())))
        else:
            url = path
        before = await rows_of(superuser, bob.id)
        # A task that has tags is written in another way than one that has none.
        for more in ({}, {"tags": ["Secret tag"]}, {"title": "x"}, {"completed": True}):
            if not more.keys() <= model_of(method, path).model_fields.keys():
                continue
            told = {}
            for kind, reference in named.items():
                body = {**body_of(method, path), **more, name: reference}
                response = await bob.http.request(method, url, json=body, headers={"X-Request-Id": "the-same"})
                assert response.status_code == 422, (kind, response.text)
                errors = response.json()["errors"]
                assert [(error["in"], error["pointer"]) for error in errors] == [("body", f"/{name}")]
                assert reference not in response.text
                told[kind] = response.content, {n: v for n, v in response.headers.items() if n != "date"}
            assert len({content for content, _ in told.values()}) == 1, told
            assert all(headers == told["unknown"][1] for _, headers in told.values())
        assert await rows_of(superuser, bob.id) == before
    assert await rows_of(superuser, alice.id) == hers_before


@pytest.mark.parametrize(("method", "path"), [*OF_AN_ID, *OF_A_TAG])
async def test_what_has_the_same_id_is_written_on_ones_own_side_alone(
    alice: User, bob: User, superuser: Superuser, method: str, path: str
):
    """Both have a list, a task, a part of it, a tag, and one of each other kind, of the same ids and names."""
    of_list, task, part, other = (str(uuid7()) for _ in range(4))
    for user in (alice, bob):
        made = await user.http.post(LISTS, json={"id": of_list, "name": f"List of {user.id}"})
        assert made.status_code == 201
        await user.create(f"Task of {user.id}", id=task, list_id=of_list, tags=["tag"])
        await user.create(f"Part of {user.id}", id=part, parent_id=task)
        for parameter in OTHER_KINDS:
            await make(user, parameter, id=other)
    before = await rows_of(superuser, alice.id)
    value = {"task_id": task, "list_id": of_list, "tag": "tag"}.get(parameters_of(path)[0], other)
    url = target_of(path, value, query=query_of(method, path))
    response = await bob.http.request(method, url, json=body_of(method, path))
    assert response.status_code in {200, 204}, response.text
    assert alice.id not in response.text
    assert await rows_of(superuser, alice.id) == before


async def test_a_series_keeps_its_next_when_another_erases_a_task_of_that_id(
    alice: User, bob: User, superuser: Superuser
):
    await furnish(alice)
    open_ones = (await alice.http.get(f"{TASKS}?completed=false")).json()
    (next_id,) = [task["id"] for task in open_ones if task["recurrence"]]
    before = await rows_of(superuser, alice.id)
    await bob.create("His", id=next_id)
    assert (await bob.http.delete(f"{TASKS}/{next_id}?permanent=true")).status_code == 204
    assert await rows_of(superuser, alice.id) == before


async def test_an_export_of_anothers_is_put_in_as_if_nobody_had_its_ids(alice: User, bob: User, superuser: Superuser):
    hers = await furnish(alice)
    before = await rows_of(superuser, alice.id)
    exported = (await alice.http.get(f"{ME}/export")).content
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await bob.http.post(f"{ME}/import", content=exported, headers=headers)
    assert answer.status_code == 200, answer.text
    assert {one["id"] for one in (await bob.http.get(LISTS)).json()} == set(hers.ids["list_id"].values())
    assert {task["user_id"] for task in (await bob.http.get(TASKS)).json()} == {bob.id}
    assert await rows_of(superuser, alice.id) == before


async def test_no_listing_shows_a_strangers_task(alice: User, bob: User, superuser: Superuser):
    hers = await furnish(alice)
    before = await rows_of(superuser, alice.id)
    queries = (
        "", "?deleted=true", "?completed=false", "?limit=200", "?count=true", f"?list_id={hers.list['id']}",
        f"?parent_id={hers.task['id']}", "?parent_id=none", "?tag=Secret%20tag", "?q=secret", "?q=-nothing",
        "?priority=urgent", "?overdue=true", "?due_before=2027-01-01", "?due_after=2000-01-01",
        "?updated_since=2000-01-01", "?created_since=2000-01-01", "?completed_before=2100-01-01",
        "?completed_since=2000-01-01", "?due=none", "?due_on=2026-01-10", "?tag=none", "?tag_any=Secret%20tag",
        f"?series={hers.task['id']}",
        *(f"?sort={down}{name}" for name in SORTS for down in ("", "-")),
    )  # fmt: skip
    asked = {name for query in queries for name in re.findall(r"[?&](\w+)=", query)}
    others = {name: values.good[0] for name, values in FILTERS.items() if values.good and name not in asked | {"tz"}}
    queries += tuple(f"?{urlencode({name: value})}" for name, value in others.items())
    asked |= others.keys()
    assert asked == TaskFilters.model_fields.keys() - {"tz", "cursor"}
    for query in queries:
        response = await bob.http.get(f"{router.prefix}{query}")
        assert (response.status_code, response.json()) == (200, [])
        assert response.headers.get("x-total-count", "0") == "0"
    for path in (LISTS, TAGS):
        assert (await bob.http.get(path)).json() == []
    his = await bob.create("His", id=hers.task["id"], tags=[hers.tag])
    of_his = (await bob.http.post(LISTS, json={"id": hers.list["id"], "name": "His"})).json()
    assert (await bob.http.get(router.prefix)).json() == [his]
    assert (await bob.http.get(LISTS)).json() == [{**of_his, "open_tasks": 0, "done_tasks": 0}]
    assert (await bob.http.get(TAGS)).json() == [{"name": hers.tag, "tasks": 1}]
    for query in (f"?list_id={hers.list['id']}", f"?parent_id={hers.task['id']}", "?deleted=true"):
        assert (await bob.http.get(f"{router.prefix}{query}")).json() == []
    assert await rows_of(superuser, alice.id) == before


async def test_a_live_task_is_restored_without_a_change_whatever_is_in_a_strangers_trash(
    alice: User, bob: User, superuser: Superuser
):
    task = await alice.create("Secret past")
    await alice.trash(task["id"])
    his = await bob.create("His", id=task["id"])
    before = await rows_of(superuser, alice.id), await rows_of(superuser, bob.id)
    assert (await bob.http.post(f"{router.prefix}/{his['id']}/restore")).json() == his
    assert (await rows_of(superuser, alice.id), await rows_of(superuser, bob.id)) == before


async def test_a_strangers_part_keeps_nothing_in_my_trash(alice: User, bob: User):
    task = await alice.create("Secret plan")
    await alice.create("Secret step", parent_id=task["id"])
    await bob.create("His", id=task["id"])
    await bob.trash(task["id"])
    assert (await bob.http.delete(f"{router.prefix}?deleted=true")).status_code == 204
    assert (await bob.http.get(f"{router.prefix}?deleted=true")).json() == []


@pytest.mark.parametrize(
    "user_id", ["'", "''; --", "\\", "\\'", "a'b\\'c", "$1", "%s", "é", "e\u0301", "A", "a", "用户", "🙂", " a "]
)
async def test_a_user_id_is_taken_character_for_character(base_url: str, superuser: Superuser, user_id: str):
    headers = {"Authorization": f"Bearer {make_token(user_id)}"}
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, **PLAIN) as client:
        made = (await client.post(router.prefix, json={"title": user_id})).json()
        assert made["user_id"] == user_id
        listed = (await client.get(router.prefix)).json()
        assert {task["user_id"] for task in listed} == {user_id}
        assert (await client.get("/api/v1/me")).json()["user_id"] == user_id
    assert await superuser.fetchval("SELECT user_id FROM taskward.task WHERE id = $1", made["id"]) == user_id

"""Taskward below a path of another app, or of a proxy: every address it gives leads back to it."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request

from taskward.app import create_app, lifespan
from taskward.http.dependencies import OwnerSession
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.store import TaskStore
from tests.clusters import Cluster
from tests.serving import NO_TLS, PLAIN, make_settings, make_token, serving

PREFIX = "/todo"


def make_parent(child: FastAPI, **options: Any) -> FastAPI:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        async with lifespan(child):
            yield

    parent = FastAPI(lifespan=run, **options)

    @parent.get("/own")
    async def own() -> str:
        return "own"

    parent.mount(PREFIX, child)
    return parent


@pytest.fixture(scope="module")
def mounted_url(cluster: Cluster, template: str) -> Iterator[str]:
    with serving(make_parent(create_app(make_settings(cluster.url(template))))) as url:
        yield url


class Stripping:
    """A proxy that cuts its prefix off, as most do."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            assert scope["path"].startswith(f"{PREFIX}/")
            path = scope["path"].removeprefix(PREFIX)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def proxied_url(cluster: Cluster, template: str) -> Iterator[str]:
    with serving(Stripping(create_app(make_settings(cluster.url(template), root_path=PREFIX)))) as url:
        yield url


@pytest.fixture(scope="module")
def passed_url(cluster: Cluster, template: str) -> Iterator[str]:
    """Behind a proxy that leaves its prefix in the path."""
    with serving(create_app(make_settings(cluster.url(template), root_path=PREFIX))) as url:
        yield url


@pytest.fixture(params=["mounted_url", "proxied_url", "passed_url"])
def below_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def below(below_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {make_token(f'erin-{secrets.token_hex(4)}')}"}
    async with httpx2.AsyncClient(base_url=below_url, headers=headers, **PLAIN) as client:
        yield client


async def test_locations_and_links_lead_back(below: httpx2.AsyncClient):
    for _ in range(2):
        made = await below.post(f"{PREFIX}/api/v1/tasks", json={"title": "x"})
        assert made.status_code == 201, made.text
        assert made.headers["location"] == f"{PREFIX}/api/v1/tasks/{made.json()['id']}"
        assert (await below.get(made.headers["location"])).json() == made.json()
    page = await below.get(f"{PREFIX}/api/v1/tasks?limit=1")
    link = page.headers["link"]
    assert link.startswith(f"<{PREFIX}/api/v1/tasks?")
    assert len((await below.get(link[1 : link.index(">")])).json()) == 1


async def test_problems_lead_to_their_pages_and_name_the_whole_path(below: httpx2.AsyncClient):
    for path, slug, status in [
        ("/api/v1/tasks/x", "task-not-found", 404),
        ("/api/v1/tasks?x=1", "invalid", 422),
        ("/nowhere", "not-found", 404),
        ("/docs/assets/nowhere", "not-found", 404),
    ]:
        response = await below.get(PREFIX + path)
        assert response.status_code == status
        assert response.json()["type"] == f"{PREFIX}/problems/{slug}"
        assert response.json()["instance"] == PREFIX + path.partition("?")[0]
        page = await below.get(response.json()["type"])
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert f'href="{PREFIX}/docs"' in page.text


async def test_the_docs_page_and_the_document_work_below(below: httpx2.AsyncClient):
    page = await below.get(f"{PREFIX}/docs")
    assert page.status_code == 200
    for asset in re.findall(r'(?:src|href)="((?!data:)[^"]+)"', page.text):
        assert (await below.get(str(page.url.join(asset)))).status_code == 200
    document = (await below.get(f"{PREFIX}/openapi.json")).json()
    assert document["servers"] == [{"url": PREFIX}]
    assert "/api/v1/tasks" in document["paths"]


async def test_the_root_below_leads_to_the_docs_below(below: httpx2.AsyncClient):
    answer = await below.get(f"{PREFIX}/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (307, f"{PREFIX}/docs")
    names = (await below.get(f"{PREFIX}/")).json()
    assert (names["docs"], names["api"]) == (f"{PREFIX}/docs", f"{PREFIX}/api/v1")
    assert (await below.get(names["openapi"])).json()["servers"] == [{"url": PREFIX}]


async def test_answers_below_have_the_common_headers_and_methods(below: httpx2.AsyncClient):
    for path in ("/api/v1/tasks", "/api/v1/me", "/api/v1/tasks/x"):
        response = await below.get(PREFIX + path)
        assert "Authorization" in response.headers["vary"]
        assert response.headers["x-request-id"]
        head = await below.head(PREFIX + path)
        assert (head.status_code, head.content) == (response.status_code, b"")
    refused = await below.put(f"{PREFIX}/api/v1/tasks")
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, POST")
    assert (await below.get(f"{PREFIX}/readyz")).json() == {"status": "ok"}


async def test_the_path_of_a_mount_counts_whatever_is_configured(cluster: Cluster, template: str):
    parent = make_parent(create_app(make_settings(cluster.url(template), root_path="/elsewhere")))
    with serving(parent) as url:
        async with httpx2.AsyncClient(base_url=url, **PLAIN) as client:
            response = await client.get(f"{PREFIX}/api/v1/tasks")
    assert (response.status_code, response.json()["type"]) == (401, f"{PREFIX}/problems/not-authenticated")


async def test_the_outer_apps_own_routes_are_left_alone(mounted_url: str):
    async with httpx2.AsyncClient(base_url=mounted_url, **PLAIN) as client:
        own = await client.get("/own")
        assert own.json() == "own"
        assert not {"x-request-id", "vary", "cache-control"} & set(own.headers)
        assert (await client.get("/nowhere")).json() == {"detail": "Not Found"}
        assert (await client.get("/api/v1/tasks")).status_code == 404


async def test_without_the_lifespan_it_is_503_and_says_why(cluster: Cluster, template: str):
    parent = FastAPI()
    parent.mount(PREFIX, create_app(make_settings(cluster.url(template))))
    headers = {"Authorization": f"Bearer {make_token('erin')}"}
    with serving(parent) as url:
        async with httpx2.AsyncClient(base_url=url, **PLAIN) as client:
            response = await client.get(f"{PREFIX}/api/v1/tasks", headers=headers)
            assert (response.status_code, response.headers["retry-after"]) == (503, "2")
            assert "lifespan" in response.json()["detail"]
            assert (await client.get(f"{PREFIX}/api/v1/tasks")).status_code == 401
            assert (await client.get(f"{PREFIX}/healthz")).status_code == 200


async def test_the_lifespan_lets_go_of_every_connection(cluster: Cluster, template: str):
    app = create_app(make_settings(cluster.url(template)))
    headers = {"Authorization": f"Bearer {make_token('erin')}"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://x", headers=headers, verify=NO_TLS
    ) as client:
        async with lifespan(app):
            assert (await client.get("/api/v1/tasks")).status_code == 200
        after = await client.get("/api/v1/tasks")
        assert (after.status_code, after.json()["type"]) == (503, "/problems/shutting-down")


async def test_errors_of_an_outer_apps_dependency_are_problems_too(cluster: Cluster, template: str):
    app = create_app(make_settings(cluster.url(template)))

    async def teapot() -> None:
        raise HTTPException(418, "secret", {"X-Own": "kept"})

    app.add_api_route("/extra", lambda: None, dependencies=[Depends(teapot)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x", verify=NO_TLS) as client:
        response = await client.get("/extra")
    assert (response.status_code, response.headers["x-own"]) == (418, "kept")
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["status"], problem["title"]) == ("about:blank", 418, "I'm a Teapot")
    assert problem["request_id"] == response.headers["x-request-id"]


async def _own(request: Request) -> AsyncIterator[str]:
    yield "own"
    request.app.state.left.append("own")


async def test_a_route_of_an_outer_app_that_fastapi_runs_has_a_session_of_ours(cluster: Cluster, template: str):
    app = create_app(make_settings(cluster.url(template)))
    app.state.left = []

    @app.get("/titles")
    async def titles(session: OwnerSession, name: Annotated[str, Depends(_own)]) -> list[str]:
        page = await TaskStore(session).list(listing(TaskFilters()))
        return [name, *(json.loads(task)["title"] for task in page.tasks)]

    headers = {"Authorization": f"Bearer {make_token(f'erin-{secrets.token_hex(4)}')}"}
    transport = httpx2.ASGITransport(app)
    async with (
        lifespan(app),
        httpx2.AsyncClient(transport=transport, base_url="http://x", headers=headers, verify=NO_TLS) as client,
    ):
        await client.post("/api/v1/tasks", json={"title": "Buy milk"})
        assert (await client.get("/titles")).json() == ["own", "Buy milk"]
        assert app.state.left == ["own"]
        assert app.state.database.pool.in_use == 0


async def test_what_was_refused_while_it_ended_is_told(
    cluster: Cluster, template: str, caplog: pytest.LogCaptureFixture
):
    app = create_app(make_settings(cluster.url(template)))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x", verify=NO_TLS) as http:
        service = lifespan(app)
        await service.__aenter__()
        lease = await app.state.database.pool.acquire()
        ending = asyncio.create_task(service.__aexit__(None, None, None))
        await asyncio.sleep(0.05)
        for _ in range(3):
            assert (await http.get("/api/v1/tasks")).status_code == 401
        app.state.database.pool.release(lease)
        await ending
    told = [record.getMessage() for record in caplog.records if "more requests refused" in record.getMessage()]
    assert [re.search("count=([0-9]+)", message)[1] for message in told] == ["2"]  # type: ignore[index]

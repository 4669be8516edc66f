"""Pages of other origins: none may call the API unless its origin is set, and then a preflight needs no token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from taskward.app import create_app
from taskward.http.cors import EXPOSED_HEADERS
from taskward.settings import SettingsError, load_settings
from tests.clusters import Cluster
from tests.serving import NO_TLS, PLAIN, SECRET, make_settings, make_token, serving

TASKS = "/api/v1/tasks"
ORIGIN = "https://app.example"
CORS = {"origin": ORIGIN, "access-control-request-method": "PATCH"}


@pytest.fixture(scope="module")
def cors_url(cluster: Cluster, template: str) -> Iterator[str]:
    settings = make_settings(cluster.url(template), cors_origins=f"{ORIGIN}, http://localhost:3000")
    with serving(create_app(settings)) as url:
        yield url


@pytest.fixture
async def page(cors_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=cors_url, **PLAIN) as client:
        yield client


async def test_without_origins_no_page_is_let_in(nobody: httpx2.AsyncClient):
    answers = [await nobody.options(TASKS, headers=CORS), await nobody.get(TASKS, headers={"Origin": ORIGIN})]
    assert [answer.status_code for answer in answers] == [400, 401]
    assert "TASKWARD_CORS_ORIGINS" in answers[0].json()["detail"]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:3000"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_of_an_allowed_origin_needs_no_token(page: httpx2.AsyncClient, origin: str, method: str):
    asked = "authorization, content-type,If-Match, if-none-match, x-request-id, idempotency-key"
    headers = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": asked}
    response = await page.options(f"{TASKS}/x", headers=headers)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["access-control-allow-origin"] == origin
    assert method in response.headers["access-control-allow-methods"].split(", ")
    assert {name.strip().lower() for name in asked.split(",")} <= {
        name.lower() for name in response.headers["access-control-allow-headers"].split(", ")
    }
    assert int(response.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in response.headers
    assert "Origin" in response.headers["vary"]
    assert "content-type" not in response.headers


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"{ORIGIN}.evil.example"},
        {"origin": "http://app.example"},
        {"access-control-request-method": "TRACE"},
        {"access-control-request-headers": "x-evil"},
    ],
)
async def test_a_preflight_that_is_refused_is_a_problem(page: httpx2.AsyncClient, changed: dict[str, str]):
    response = await page.options(TASKS, headers={**CORS, **changed})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/preflight-refused"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    allowed = response.headers.get("access-control-allow-origin")
    assert allowed == (None if "origin" in changed else ORIGIN)
    assert "evil" not in response.text


async def test_an_allowed_page_may_read_every_answer_and_its_headers(page: httpx2.AsyncClient):
    token = {"Authorization": f"Bearer {make_token('dave')}", "Origin": ORIGIN}
    for response in [
        await page.get(TASKS, headers=token),
        await page.get(TASKS, headers={**token, "If-None-Match": "*"}),
        await page.get(TASKS, headers={"Origin": ORIGIN}),
        await page.get("/nowhere", headers=token),
        await page.delete(TASKS, headers=token),
        await page.post(TASKS, headers=token, json={}),
    ]:
        assert response.headers["access-control-allow-origin"] == ORIGIN
        exposed = response.headers["access-control-expose-headers"].split(", ")
        assert sorted(exposed) == sorted(EXPOSED_HEADERS)
        assert {"ETag", "Link", "Location", "Retry-After", "X-Request-Id"} <= set(exposed)
        assert "Origin" in response.headers["vary"]


async def test_another_page_gets_an_answer_that_its_browser_keeps_from_it(page: httpx2.AsyncClient):
    response = await page.get("/api/v1/me", headers={"Origin": "https://evil.example"})
    assert response.status_code == 401
    assert "access-control-allow-origin" not in response.headers


async def test_any_origin_may_be_allowed(cluster: Cluster, template: str):
    app = create_app(make_settings(cluster.url(template), cors_origins="*"))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x", verify=NO_TLS) as client:
        response = await client.options(TASKS, headers={**CORS, "origin": "https://any.example"})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "origins",
    [
        "page.example", "https://", "https://page.example/", "https://a.example,,", "https://*.example",
        "https://page.*", '["https://page.example"]', '"https://page.example"', "ht tp://page.example", "1http://page.example",
        "https ://page.example", "://page.example", "https://page example", "https://Page.example", "HTTPS://page.example",
        "https://user@page.example", "https://page.example?x", "https://page.example#x", "https://page.example:443",
        "http://page.example:80", "https://page.example:", "https://page.example:x", "https://täsk.example",
        "https://a.example;https://b.example", "https://a.example https://b.example", "null", "**",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_at_start(origins: str):
    with pytest.raises(SettingsError, match=r"^TASKWARD_CORS_ORIGINS: must be ") as refused:
        load_settings(database_url="postgresql://x/y", jwt_secret=SECRET, cors_origins=origins)
    assert "page" not in str(refused.value)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example", "http://localhost:3000", "http://[::1]:3000", "http://127.0.0.1", "https://xn--tsk-qla.example",
        "https://my_app.example:8443", "https://app.example:80", "capacitor://localhost", "tauri://localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "safari-web-extension://0A1B2C3D-0000-4000-8000-0123456789AB", "*",
    ],
)  # fmt: skip
def test_what_a_browser_may_send_as_origin_is_taken(origin: str):
    settings = load_settings(database_url="postgresql://x/y", jwt_secret=SECRET, cors_origins=origin)
    assert settings.cors_origins == (origin,)

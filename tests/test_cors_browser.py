"""Calls of a page of another origin, by a browser: the first one works as the documentation has it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from taskward.app import create_app
from tests.browser import browser_fixture, page_fixture  # noqa: F401 - fixtures
from tests.clusters import Cluster
from tests.serving import make_settings, make_token, serving

pytestmark = pytest.mark.processes
DOCS = Path(__file__).parents[1]
# What a page does first, as docs/running.md has it, and then everything that needs a header of its own.
FIRST_CALL = """async ([url, token]) => {
  const answer = await fetch(`${url}/api/v1/tasks`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ title: "Buy milk" }),
  });
  return await answer.json();
}"""
FURTHER_CALLS = """async ([url, token]) => {
  const call = async (method, path, headers = {}, body = undefined) => {
    const answer = await fetch(url + path, {
      method, headers: { Authorization: `Bearer ${token}`, ...headers }, body,
    });
    const text = await answer.text();
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: text ? JSON.parse(text) : null };
  };
  const json = { "Content-Type": "application/json" };
  const made = await call("POST", "/api/v1/tasks", { ...json, "Idempotency-Key": "k" }, '{"title": "x"}');
  const path = made.headers.location;
  return {
    made,
    again: await call("POST", "/api/v1/tasks", { ...json, "Idempotency-Key": "k" }, '{"title": "x"}'),
    untyped: await call("POST", "/api/v1/tasks", {}, '{"title": "x"}'),
    listed: await call("GET", "/api/v1/tasks?limit=1&count=true"),
    same: await call("GET", path, { "If-None-Match": '"0"', "X-Request-Id": "mine" }),
    stale: await call("PATCH", path, { ...json, "If-Match": '"0"' }, '{"title": "y"}'),
    put: await call("PUT", path, { ...json, "If-Match": made.headers.etag }, JSON.stringify(made.body)),
  };
}"""


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module", name="app_port")
def app_port_fixture() -> Iterator[int]:
    """The port of an app of somebody's, which has an empty page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", name="url")
def url_fixture(cluster: Cluster, template: str, app_port: int) -> Iterator[str]:
    settings = make_settings(cluster.url(template), cors_origins=f"http://localhost:{app_port}")
    with serving(create_app(settings)) as url:
        yield url


def test_the_settings_beside_an_app_let_its_pages_call():
    for name in ("README.md", "docs/identity/better-auth.md"):
        blocks = re.findall(r"```sh\n(.*?)```", DOCS.joinpath(name).read_text(), re.DOTALL)
        block = next(block for block in blocks if block.startswith("TASKWARD_JWKS_URL=https://app.example.com"))
        lines = dict(line.split("=", 1) for line in block.splitlines())
        assert lines["TASKWARD_CORS_ORIGINS"] == lines["TASKWARD_ISSUER"], name


async def test_a_page_can_call_as_the_documentation_has_it(page: Page, url: str, app_port: int):
    shown = re.search(r"```js\n(.*?)```", DOCS.joinpath("docs/running.md").read_text(), re.DOTALL)
    assert shown is not None
    called = {line.strip() for line in FIRST_CALL.splitlines()}
    assert {line.strip() for line in shown[1].splitlines()[1:5]} <= called
    await page.goto(f"http://localhost:{app_port}/")
    task = await page.evaluate(FIRST_CALL, [url, make_token("page-first")])
    assert task["title"] == "Buy milk"


async def test_a_page_can_send_and_read_every_header(page: Page, url: str, app_port: int):
    await page.goto(f"http://localhost:{app_port}/")
    found: dict[str, Any] = await page.evaluate(FURTHER_CALLS, [url, make_token("page-further")])
    assert {name: answer["status"] for name, answer in found.items()} == {
        "made": 201, "again": 201, "untyped": 415, "listed": 200, "same": 200, "stale": 412, "put": 200,
    }  # fmt: skip
    assert found["made"]["headers"]["etag"] == f'"{found["made"]["body"]["version"]}"'
    assert found["again"]["headers"]["idempotency-replayed"] == "true"
    assert found["listed"]["headers"]["x-total-count"] == "1"
    assert found["same"]["headers"]["x-request-id"] == "mine"
    assert "fetch sends text/plain" in found["untyped"]["body"]["detail"]


async def test_a_page_of_another_origin_cannot(page: Page, url: str, app_port: int):
    await page.goto(f"http://127.0.0.1:{app_port}/")
    code = f"(given) => ({FIRST_CALL})(given).then(() => 'read', (error) => error.name)"
    assert await page.evaluate(code, [url, make_token("page-other")]) == "TypeError"

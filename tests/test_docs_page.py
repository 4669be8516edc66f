"""What is served without a token: the interactive documentation with all its assets, and health."""

from __future__ import annotations

import re

import httpx2
import pytest


async def test_the_docs_page_needs_no_network(nobody: httpx2.AsyncClient):
    page = await nobody.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "'unsafe-inline'" not in page.headers["content-security-policy"].split("style-src")[0]
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    local = [asset for asset in assets if not asset.startswith("data:")]
    assert len(local) == 3
    for asset in local:
        assert "//" not in asset
        response = await nobody.get(f"/{asset}")
        assert response.status_code == 200
        assert len(response.content) > 50
    start = (await nobody.get("/docs/start.js")).text
    assert 'url: "openapi.json"' in start
    assert "http" not in start


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


async def test_the_root_leads_a_browser_to_the_docs(nobody: httpx2.AsyncClient):
    answer = await nobody.get("/", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    assert answer.headers["vary"] == "Accept"
    assert (await nobody.get("/", headers={"Accept": BROWSER}, follow_redirects=True)).text.startswith("<!doctype html")
    head = await nobody.head("/", headers={"Accept": BROWSER})
    assert (head.status_code, head.headers["location"], head.content) == (307, "/docs", b"")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/html;q=0, */*", "application/json, text/html"])
async def test_the_root_tells_a_program_where_things_are(nobody: httpx2.AsyncClient, accept: str):
    answer = await nobody.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["vary"] == "Accept"
    found = answer.json()
    assert found == {"name": "Taskward", "docs": "/docs", "openapi": "/openapi.json", "api": "/api/v1"}
    assert [(await nobody.get(found[name])).status_code for name in ("docs", "openapi")] == [200, 200]
    assert (await nobody.post("/")).status_code == 405


async def test_an_unknown_path_is_told_where_the_paths_are(nobody: httpx2.AsyncClient):
    for path in ("/api", "/api/v1", "/tasks", "/api/v1/tasks/"):
        answer = await nobody.get(path)
        assert answer.status_code == 404
        assert "/docs" in answer.json()["detail"]
        assert "/openapi.json" in answer.json()["detail"]


async def test_an_asset_is_sent_whole_whatever_part_is_asked_for(nobody: httpx2.AsyncClient):
    for part in ("bytes=0-9", "bytes=5-2", "bytes=-0", "bytes=99999999-", "lines=1"):
        answer = await nobody.get("/docs/assets/swagger-ui.css", headers={"Range": part})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8"), part


async def test_health_needs_no_token_and_answers_head(nobody: httpx2.AsyncClient):
    for path in ("/healthz", "/readyz"):
        assert (await nobody.get(path)).json() == {"status": "ok"}
        head = await nobody.head(path)
        assert (head.status_code, head.content) == (200, b"")
    for path in ("/openapi.json", "/docs", "/docs/start.js", "/docs/assets/swagger-ui.css", "/problems/invalid"):
        head = await nobody.head(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert int(head.headers["content-length"]) > 50

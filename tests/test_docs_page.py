"""What is served without a token: the interactive documentation with all its assets, and health."""

from __future__ import annotations

import re

import httpx2


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

"""What a token allows, where scopes are enforced: from the app's own routes, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from fastapi import FastAPI

from taskward.app import create_app
from tests.clusters import Cluster
from tests.route_table import ROUTES, body_of, query_of, target_of
from tests.serving import PLAIN, make_settings, make_token, serving


@pytest.fixture(scope="module")
def enforcing(cluster: Cluster, template: str) -> FastAPI:
    return create_app(make_settings(cluster.url(template), scopes="enforced"))


@pytest.fixture(scope="module")
def url(enforcing: FastAPI) -> Iterator[str]:
    with serving(enforcing) as url:
        yield url


def send(url: str, method: str, path: str, scope: str | None) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {make_token('alice', scope=scope)}"}
    target = url + target_of(path, query=query_of(method, path), user_id="alice")
    return httpx2.request(method, target, headers=headers, json=body_of(method, path), **PLAIN)


METHODS = [*ROUTES, *(("HEAD", path) for method, path in ROUTES if method == "GET")]


@pytest.mark.parametrize(("method", "path"), METHODS)
def test_every_route_needs_its_scope(url: str, enforcing: FastAPI, method: str, path: str):
    reads = method in {"GET", "HEAD"}
    needed, other = ("tasks:read", "tasks:write") if reads else ("tasks:write", "tasks:read")
    before = enforcing.state.database.pool.acquired
    for scope in (None, "", other, needed.upper(), f"{needed}x", "tasks", "tasks:*", needed.replace(":", ".")):
        response = send(url, method, path, scope)
        assert response.status_code == 403, scope
        assert response.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{needed}"'
        if method != "HEAD":
            problem = response.json()
            assert (problem["type"], problem["scope"]) == ("/problems/insufficient-scope", needed)
    assert enforcing.state.database.pool.acquired == before
    for scope in (needed, f"{other} {needed}", f"openid {needed} profile"):
        assert send(url, method, path, scope).status_code in {200, 201, 204, 404}


def test_a_token_without_the_scope_is_told_before_its_body_is_read(url: str):
    headers = {"Authorization": f"Bearer {make_token('alice')}", "Content-Type": "text/plain"}
    answer = httpx2.post(f"{url}/api/v1/tasks", headers=headers, content=b"{", **PLAIN)
    assert answer.status_code == 403


def test_me_tells_the_scopes_of_the_token(url: str):
    assert send(url, "GET", "/api/v1/me", "tasks:read other").json()["scopes"] == ["other", "tasks:read"]


def test_scopes_are_ignored_unless_they_are_enforced(base_url: str):
    assert send(base_url, "GET", "/api/v1/me", None).json()["scopes"] == []
    assert send(base_url, "GET", "/api/v1/tasks", "other").status_code == 200

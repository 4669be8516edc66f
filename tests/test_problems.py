"""What every answer has, errors above all: its order, its headers, its page, and nothing of what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from taskward.app import create_app
from taskward.errors import every_problem
from tests.citus import CITUS_URL
from tests.clusters import Cluster
from tests.raw import exchange, request
from tests.serving import make_settings, make_token, serving
from tests.test_errors import JSON, TASKS, assert_problem, bearer
from tests.users import User

ORIGIN = "https://app.example"
CANARY = "canary-7f3a"


@pytest.fixture(scope="module")
def raising(cluster: Cluster, template: str) -> FastAPI:
    """An app with a route that breaks, little patience, and an origin."""
    # To a cluster, the first request waits for connections to all nodes.
    patience = 5 if CITUS_URL else 0.5
    app = create_app(make_settings(cluster.url(template), request_timeout=patience, cors_origins=ORIGIN))

    async def broken() -> None:
        raise ValueError(CANARY)

    app.add_api_route("/api/v1/broken", broken)
    return app


@pytest.fixture(scope="module")
def raising_url(raising: FastAPI) -> Iterator[str]:
    with serving(raising) as url:
        yield url


async def test_of_several_mistakes_the_first_in_order_is_told(alice: User, bob: User, base_url: str):
    theirs = (await bob.create())["id"]
    mine = await alice.create()
    taken = b'{"title": "x", "id": "' + mine["id"].encode() + b'"}'
    big = b"x" * (256 * 1024 + 1)
    no, yes = ("Accept", "text/html"), ("Accept", "application/json")
    text = ("Content-Type", "text/plain")
    stale = ("If-Match", '"99"')
    steps: list[tuple[str, str, list[tuple[str, str | bytes]], bytes, int]] = [
        ("POST", "/api/v1/nowhere", [no, text], big, 404),
        ("POST", f"{TASKS}/{theirs}", [no, text], big, 405),
        ("PATCH", f"{TASKS}/{theirs}?x=1", [no, text], big, 401),
        ("PATCH", f"{TASKS}/{theirs}?x=1", [bearer(alice), no, text], big, 406),
        ("PATCH", f"{TASKS}/{theirs}?x=1", [bearer(alice), yes, text], big, 413),
        ("PATCH", f"{TASKS}/{theirs}?x=1", [bearer(alice), yes, text], b"{", 415),
        ("PATCH", f"{TASKS}/{theirs}?x=1", [bearer(alice), yes, JSON], b"{", 400),
        ("PATCH", f"{TASKS}/{theirs}?x=1", [bearer(alice), JSON, stale], b'{"title": "x"}', 422),
        ("PATCH", f"{TASKS}/{theirs}", [bearer(alice), JSON, stale], b'{"title": ""}', 422),
        ("PATCH", f"{TASKS}/no-uuid", [bearer(alice), JSON, stale], b'{"title": ""}', 422),
        ("PATCH", f"{TASKS}/no-uuid", [bearer(alice), JSON, stale], b'{"title": "x"}', 404),
        ("PATCH", f"{TASKS}/{theirs}", [bearer(alice), JSON, stale], b'{"title": "x"}', 403),
        ("PATCH", f"{TASKS}/{uuid7()}", [bearer(alice), JSON, stale], b'{"title": "x"}', 404),
        ("PATCH", f"{TASKS}/{mine['id']}", [bearer(alice), JSON, stale], b'{"title": "x"}', 412),
        ("POST", TASKS, [bearer(alice), JSON], taken, 409),
    ]
    for method, target, headers, body, status in steps:
        assert_problem(await exchange(base_url, request(method, target, headers, body), method=method.encode()), status)


async def test_one_answer_names_what_is_wrong_in_body_query_and_headers(alice: User, base_url: str):
    sent = request("PATCH", f"{TASKS}/{uuid7()}?x=1", [bearer(alice), JSON, ("If-Match", "x")], b'{"title": 1}')
    problem = assert_problem(await exchange(base_url, sent, method=b"PATCH"), 422)
    found = {(error["in"], error["pointer"]) for error in problem["errors"]}
    assert found == {("body", "/title"), ("query", "/x"), ("header", "/If-Match")}


async def test_a_rejected_value_is_never_echoed(alice: User, base_url: str):
    value = CANARY.encode()
    attempts: list[tuple[str, str, list[tuple[str, str | bytes]], bytes | None]] = [
        ("POST", TASKS, [JSON], b'{"title": ["' + value + b'"], "completed": "' + value + b'"}'),
        ("POST", TASKS, [JSON], b'{"title": "x", "id": "' + value + b'"}'),
        ("POST", TASKS, [JSON], b'{"title": "' + value + b"x" * 300 + b'"}'),
        ("POST", TASKS, [JSON], value),
        ("POST", TASKS, [("Content-Type", CANARY)], b"{}"),
        ("GET", f"{TASKS}?limit={CANARY}&completed={CANARY}&cursor={CANARY}", [], None),
        ("GET", TASKS, [("If-None-Match", CANARY)], None),
        ("GET", TASKS, [("Accept", CANARY)], None),
        ("GET", TASKS, [("X-Request-Id", f"{CANARY} {CANARY}")], None),
        ("GET", f"{TASKS}/{uuid7()}", [("If-None-Match", CANARY)], None),
    ]
    for method, target, headers, body in attempts:
        answer = await exchange(
            base_url, request(method, target, [bearer(alice), *headers], body), method=method.encode()
        )
        assert value not in answer.body, (method, target)
        assert CANARY not in str(answer.headers)
    refused = await exchange(base_url, request("GET", TASKS, [("Authorization", f"Bearer {CANARY}")]))
    assert_problem(refused, 401)
    assert value not in refused.body


async def test_long_names_of_unknown_members_are_cut(alice: User):
    response = await alice.http.post(TASKS, json={"title": "x", "n" * 10_000: 1})
    assert response.json()["errors"][0]["pointer"] == "/" + "n" * 64


async def test_at_most_a_twenty_mistakes_are_named(alice: User):
    response = await alice.http.post(TASKS, json={"title": "x"} | {f"m{n}": n for n in range(5000)})
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 20


async def test_the_page_of_every_problem_exists_and_is_html(nobody: httpx2.AsyncClient):
    for kind in every_problem():
        response = await nobody.get(f"/problems/{kind.slug}")
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert f"{kind.status} {kind.title}" in response.text
        assert 'href="/docs"' in response.text


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (TASKS, "DELETE, GET, HEAD, POST"), (f"{TASKS}/x", "DELETE, GET, HEAD, PATCH, PUT"),
        (f"{TASKS}/x/complete", "PATCH"), (f"{TASKS}/x/restore", "POST"),
        ("/api/v1/me", "DELETE, GET, HEAD"), ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"), ("/docs", "GET, HEAD"), ("/openapi.json", "GET, HEAD"),
        ("/problems/invalid", "GET, HEAD"),
        ("/docs/assets/swagger-ui.css", "GET, HEAD"),
    ],
)  # fmt: skip
async def test_allow_names_every_method_that_a_path_answers(alice: User, path: str, allow: str):
    refused = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE"} - set(allow.split(", "))
    for method in refused:
        response = await alice.http.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, allow), method
        if method != "HEAD":
            assert response.json()["type"] == "/problems/method-not-allowed"
    for method in allow.split(", "):
        assert (await alice.http.request(method, path)).status_code != 405, method


@pytest.mark.parametrize("given", ["a", "x" * 64, "A-Za_z.0", "4b1f0c2d-9e8a"])
async def test_a_proper_request_id_is_kept(nobody: httpx2.AsyncClient, given: str):
    response = await nobody.get(TASKS, headers={"X-Request-Id": given})
    assert response.headers["x-request-id"] == response.json()["request_id"] == given


@pytest.mark.parametrize(
    "given", [[], [""], ["x" * 65], ["a b"], ["a\tb"], ["ä"], ["a,b"], ["<a>"], ["a", "a"], ["a", "b"]]
)
async def test_another_request_id_is_replaced(base_url: str, given: list[str]):
    headers: list[tuple[str, str | bytes]] = [("X-Request-Id", value) for value in given]
    one, two = [await exchange(base_url, request("GET", TASKS, headers)) for _ in range(2)]
    assert len(one.headers["x-request-id"]) == 16
    assert one.headers["x-request-id"] != two.headers["x-request-id"]


async def test_two_authorization_headers_are_no_token(alice: User, bob: User, base_url: str):
    for second in (bearer(bob), bearer(alice), ("Authorization", "")):
        answer = await exchange(base_url, request("GET", TASKS, [bearer(alice), second]))
        assert_problem(answer, 401)
        assert "invalid_token" in answer.headers["www-authenticate"]


async def test_a_token_that_is_not_ascii_is_not_accepted(alice: User, base_url: str):
    for token in (f"{alice.token}\xe9", "\xe9", "\xff\xfe"):
        answer = await exchange(base_url, request("GET", TASKS, [("Authorization", f"Bearer {token}")]))
        assert_problem(answer, 401)
        assert "invalid_token" in answer.headers["www-authenticate"]


async def test_every_kind_of_answer_has_the_common_headers(raising_url: str):
    token = ("Authorization", f"Bearer {make_token('carol')}")
    preflight: list[tuple[str, str | bytes]] = [("Origin", ORIGIN), ("Access-Control-Request-Method", "GET")]
    kinds: list[tuple[str, str, list[tuple[str, str | bytes]], int]] = [
        ("GET", TASKS, [token], 200), ("HEAD", TASKS, [token], 200),
        ("GET", TASKS, [token, ("If-None-Match", "*")], 304), ("GET", TASKS, [], 401),
        ("GET", f"{TASKS}/{uuid7()}", [token], 404), ("GET", "/api/v1/nowhere", [], 404),
        ("PUT", TASKS, [], 405), ("GET", f"{TASKS}?x=1", [token], 422), ("GET", "/api/v1/broken", [], 500),
        ("OPTIONS", TASKS, preflight, 200), ("OPTIONS", "/api/v1/broken", preflight, 200),
        ("OPTIONS", TASKS, [("Origin", "https://evil.example"), preflight[1]], 400),
        ("GET", "/api/v1/me", [token], 200), ("GET", "/healthz", [], 200), ("GET", "/docs", [], 200),
        ("GET", "/docs/assets/swagger-ui.css", [], 200),
        ("GET", "/problems/invalid", [], 200), ("GET", "/nowhere", [], 404),
    ]  # fmt: skip
    for method, target, headers, status in kinds:
        answer = await exchange(raising_url, request(method, target, headers), method=method.encode())
        assert answer.status == status, (method, target)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert 1 <= len(answer.headers["x-request-id"]) <= 64
        cache = "private, no-cache" if "etag" in answer.headers else "no-store"
        assert answer.headers["cache-control"] == cache, (method, target)
        assert ("Authorization" in answer.headers.get("vary", "")) == target.startswith("/api/v1"), (method, target)


async def test_head_leaves_the_servers_own_scope_as_it_is(raising: FastAPI):
    scope = {"type": "http", "method": "HEAD", "path": "/healthz", "query_string": b"", "headers": []}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    await raising(scope, receive, send)
    assert scope["method"] == "HEAD"
    assert [message.get("body") for message in sent] == [None, b""]


async def test_a_defect_is_a_500_that_tells_nothing(raising_url: str, caplog: pytest.LogCaptureFixture):
    answer = await exchange(raising_url, request("GET", "/api/v1/broken", [("Origin", ORIGIN)]))
    problem = assert_problem(answer, 500)
    assert CANARY.encode() not in answer.body
    assert b"Error" not in answer.body
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert problem["request_id"] in caplog.text
    assert "ValueError" in caplog.text
    assert CANARY not in caplog.text


async def test_a_body_that_does_not_arrive_is_408(raising_url: str):
    token = ("Authorization", f"Bearer {make_token('carol')}")
    for drip in ([], [b"{"], [b" "] * 40):
        head = request("POST", TASKS, [token, JSON, ("Content-Length", "100")])
        began = asyncio.get_running_loop().time()
        answer = await exchange(raising_url, head, *drip, method=b"POST", pause=0.1)
        assert_problem(answer, 408)
        assert asyncio.get_running_loop().time() - began < 3


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        ("lists", {"json": {"name": "x", "color": "green"}}, "# and six hexadecimal digits"),
        ("tasks", {"json": {"title": "x"}, "headers": {"Idempotency-Key": "a b"}}, "visible ASCII characters"),
        ("tasks", {"content": b" " * 300_000}, "at most 262144 bytes"),
        ("tasks/batch", {"json": {"operations": [{"op": "delete", "id": str(uuid7()), "if_match": "1"}]}}, "an ETag"),
        ("tasks", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, "Content-Type: application/json."),
        (
            "me/import",
            {"files": {"file": b"{}"}},
            "application/json or application/x-ndjson or application/x-zip-compressed or application/zip or text/csv.",
        ),
        ("me/import", {"content": b"{}{}", "headers": {"Content-Type": "application/json"}}, "on a line of its own"),
    ],
)
async def test_a_refusal_says_what_would_be_taken(alice: User, path: str, asked: dict[str, Any], said: str):
    refused = await alice.http.post(f"/api/v1/{path}", **asked)
    assert refused.status_code in {413, 415, 422}
    problem = refused.json()
    assert said in " ".join([problem["detail"], *(error["detail"] for error in problem.get("errors", ()))])

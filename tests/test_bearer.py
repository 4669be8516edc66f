"""How a token is sent: in one Authorization header and nowhere else (RFC 6750), and what an answer says of it."""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx2
import pytest
from fastapi import FastAPI

from tests.raw import Answer, exchange, request
from tests.route_table import ROUTES, body_of, target_of
from tests.serving import make_token
from tests.test_isolation_http import INVALID
from tests.users import User

ME = "/api/v1/me"
TASKS = "/api/v1/tasks"
# Where clients, proxies and other services put a token or a user, and where none counts here.
ELSEWHERE = {
    "cookie": "access_token={}; token={}; Authorization={}",
    "proxy-authorization": "Bearer {}",
    "x-authorization": "Bearer {}",
    "x-forwarded-authorization": "Bearer {}",
    "authorization2": "Bearer {}",
    "x-access-token": "{}",
    "x-api-key": "{}",
    "sec-websocket-protocol": "bearer, {}",
    "www-authenticate": "Bearer {}",
}
NAMES = ("x-user-id", "x-forwarded-user", "x-remote-user", "remote-user", "x-taskward-user", "from", "user-id")
QUERIES = ("access_token={}", "token={}", "authorization=Bearer%20{}", "jwt={}", "Authorization=Bearer+{}")


def filled(pattern: str, value: str) -> str:
    return pattern.replace("{}", value)


async def me(base_url: str, *values: str | bytes) -> Answer:
    return await exchange(base_url, request("GET", ME, [("Authorization", value) for value in values]))


@pytest.mark.parametrize("place", ELSEWHERE)
async def test_a_token_in_another_header_is_no_token(app: FastAPI, alice: User, nobody: httpx2.AsyncClient, place: str):
    before = app.state.database.pool.acquired
    headers = {place: filled(ELSEWHERE[place], alice.token)}
    for method, path in ROUTES:
        answer = await nobody.request(method, target_of(path), headers=headers, json=body_of(method, path))
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (method, path)
    assert app.state.database.pool.acquired == before


@pytest.mark.parametrize("query", QUERIES)
async def test_a_token_in_the_address_is_no_token(app: FastAPI, alice: User, nobody: httpx2.AsyncClient, query: str):
    before = app.state.database.pool.acquired
    for method, path in ROUTES:
        answer = await nobody.request(
            method, f"{target_of(path)}?{filled(query, alice.token)}", json=body_of(method, path)
        )
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (method, path)
    assert app.state.database.pool.acquired == before


@pytest.mark.parametrize(
    ("media_type", "body"),
    [("application/x-www-form-urlencoded", "title=x&access_token={}"), ("application/json", '{"access_token":"{}"}')],
)
async def test_a_token_in_the_body_is_no_token(
    app: FastAPI, alice: User, nobody: httpx2.AsyncClient, media_type: str, body: str
):
    before = app.state.database.pool.acquired
    for method, path in ROUTES:
        sent = filled(body, alice.token).encode()
        answer = await nobody.request(method, target_of(path), headers={"Content-Type": media_type}, content=sent)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (method, path)
    assert app.state.database.pool.acquired == before


async def test_beside_a_token_nothing_else_says_who_is_asking(alice: User, bob: User):
    for name, value in [*((n, filled(v, bob.token)) for n, v in ELSEWHERE.items()), *((n, bob.id) for n in NAMES)]:
        answer = await alice.http.get(ME, headers={name: value})
        assert answer.json()["user_id"] == alice.id, name
        made = await alice.http.post(TASKS, json={"title": "x"}, headers={name: value})
        assert made.json()["user_id"] == alice.id, name
    for query in (*(filled(q, bob.token) for q in QUERIES), f"user_id={quote(bob.id)}", f"sub={quote(bob.id)}"):
        for path in (ME, TASKS):
            answer = await alice.http.get(f"{path}?{query}")
            assert answer.status_code == 422
            assert bob.id not in answer.text
            assert bob.token not in answer.text
    assert (await bob.http.get(TASKS)).json() == []


@pytest.mark.parametrize("names", [("Authorization", "authorization"), ("AUTHORIZATION", "Authorization")])
async def test_two_tokens_are_none_whatever_they_are(alice: User, bob: User, base_url: str, names: tuple[str, str]):
    good, other = f"Bearer {alice.token}", f"Bearer {bob.token}"
    for values in ((good, good), (good, other), (good, "Basic eDp5"), ("Basic eDp5", good), (good, ""), ("", good)):
        answer = await exchange(base_url, request("GET", ME, list(zip(names, values, strict=True))))
        assert (answer.status, answer.headers["www-authenticate"]) == (401, INVALID), values
    for value in (f"{good}, {other}", f"{good},{other}", f"{good} {bob.token}", f"{good}; {other}", f"Basic x, {good}"):
        assert (await me(base_url, value)).status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_is_written_in_any_case_and_followed_by_spaces(alice: User, base_url: str, scheme: str):
    for value in (f"{scheme} {alice.token}", f"{scheme}   {alice.token}", f" {scheme} {alice.token} "):
        assert (await me(base_url, value)).json()["user_id"] == alice.id


async def test_another_scheme_is_no_token(alice: User, base_url: str):
    schemes = ("Basic", "Token", "DPoP", "JWT", "Bearer:", "Bearer=", "Bearers", "xBearer", '"Bearer"')
    values: tuple[str | bytes, ...] = (
        "", alice.token, f"Bearer{alice.token}", *(f"{scheme} {alice.token}" for scheme in schemes),
        f"Bearer\t{alice.token}", f"bearer,{alice.token}", "Béarer x".encode(), b"\xff\xfe",
    )  # fmt: skip
    for value in values:
        answer = await me(base_url, value)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), value


@pytest.mark.parametrize(
    "value",
    [
        "Bearer", "Bearer ", "bearer    ", "Bearer .", "Bearer ..", "Bearer null", "Bearer undefined", "Bearer Bearer",
        "Bearer {}.", 'Bearer "{}"', "Bearer <{}>", "Bearer token={}", "Bearer {}=", "Bearer \t{}",
        "Bearer {}\u00e9", "Bearer {}\U0001f648", "Bearer %20{}",
        "Bearer {},", "Bearer Bearer {}", "Bearer {} {}",
    ],
    ids=ascii,
)  # fmt: skip
async def test_a_bearer_that_is_no_token_is_refused(alice: User, base_url: str, value: str):
    answer = await me(base_url, filled(value, alice.token).encode())
    assert (answer.status, answer.headers["www-authenticate"]) == (401, INVALID)
    assert alice.token.encode() not in answer.body


async def test_what_no_header_may_have_reaches_no_user(alice: User, base_url: str):
    # The server may refuse these itself, before the app is asked.
    for inside in (b"\0", b"\r", b"\n", b"\r\n ", b"\x0b", b"\x0c", b"\x01", b"\x1b[2J", b"\x7f"):
        value = b"Bearer " + alice.token[:9].encode() + inside + alice.token[9:].encode()
        answer = await me(base_url, value)
        assert answer.status in {400, 401}, inside
        assert alice.id.encode() not in answer.body


async def test_a_challenge_has_only_what_may_be_in_one(alice: User, base_url: str):
    parameter = r'[a-z_]+="[\x20-\x21\x23-\x5b\x5d-\x7e]+"'
    seen = set()
    for value in ("", "Basic eDp5", f"Bearer {make_token(alice.id, ttl=-3600)}", "Bearer \"'\\"):
        challenge = (await me(base_url, value)).headers["www-authenticate"]
        assert re.fullmatch(rf"Bearer(?: {parameter}(?:, {parameter})*)?", challenge)
        seen.add(challenge)
    assert seen == {"Bearer", INVALID}
    assert "www-authenticate" not in (await me(base_url, f"Bearer {alice.token}")).headers

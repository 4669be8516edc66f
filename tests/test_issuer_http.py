"""The service beside an issuer that publishes its keys: what clients see when keys are new or out of reach."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from taskward.app import create_app
from tests.clusters import Cluster
from tests.issuer import Issuer, issuer
from tests.publisher import FIRST, SECOND, Publisher, publisher_fixture  # noqa: F401 - a fixture
from tests.services import eventually
from tests.serving import NO_TLS, PLAIN, make_settings, serving

TASKS = "/api/v1/tasks"


@contextmanager
def trusting(publisher: Publisher, url: str, **settings: Any) -> Iterator[tuple[str, FastAPI]]:
    """The service as configured with an issuer, and its app."""
    issued = {"issuer": publisher.url, "audience": ("tasks",), "jwt_secret": None, **settings}
    app = create_app(make_settings(url, **issued))
    with serving(app) as base_url:
        yield base_url, app


@pytest.fixture
def database_url(cluster: Cluster, template: str) -> str:
    return cluster.url(template)


def token(signer: Issuer, publisher: Publisher, kid: str | None, alg: str | None = None, **claims: Any) -> str:
    now = int(time.time())
    issued = {"sub": "alice", "iat": now, "exp": now + 600, "iss": publisher.url, "aud": "tasks", **claims}
    header = {"kid": kid, "alg": alg}
    return signer.sign(issued, **{name: value for name, value in header.items() if value is not None})


def get(base_url: str, token: str, path: str = TASKS) -> httpx2.Response:
    return httpx2.get(base_url + path, headers={"Authorization": f"Bearer {token}"}, **PLAIN)


def ready(base_url: str) -> bool:
    return httpx2.get(f"{base_url}/readyz", **PLAIN).status_code == 200


@pytest.mark.long
@pytest.mark.parametrize("found_by", ["issuer", "jwks_url"])
def test_a_token_of_the_issuer_is_accepted_and_no_other(publisher: Publisher, database_url: str, found_by: str):
    settings = {} if found_by == "issuer" else {"jwks_url": publisher.keys_url}
    with trusting(publisher, database_url, **settings) as (url, app):
        assert eventually(lambda: ready(url))
        before = app.state.database.pool.acquired
        for bad in (
            token(SECOND, publisher, "1"), token(FIRST, publisher, "1", aud="other"),
            token(FIRST, publisher, "1", iss="https://evil.example"), token(FIRST, publisher, "1", exp=1),
            token(issuer("RS256"), publisher, "1"), token(FIRST, publisher, "2"),
        ):  # fmt: skip
            assert get(url, bad).status_code == 401
        assert app.state.database.pool.acquired == before
        assert get(url, token(FIRST, publisher, "1")).status_code == 200
        assert get(url, token(FIRST, publisher, None)).status_code == 200


@pytest.mark.long
def test_a_key_that_the_issuer_adds_works_at_its_first_token(publisher: Publisher, database_url: str):
    with trusting(publisher, database_url) as (url, _):
        assert eventually(lambda: ready(url))
        publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="2"))
        assert get(url, token(SECOND, publisher, "2")).status_code == 200
        assert publisher.count() == 2
        # Somebody who makes a name up waits for the next fetch, and then for none.
        assert [get(url, token(SECOND, publisher, "3")).status_code for _ in range(10)] == [401] * 10
        assert publisher.count() == 3
        assert get(url, token(FIRST, publisher, "1")).status_code == 200


@pytest.mark.long
def test_a_key_that_is_new_verifies_nothing_but_what_it_signed(publisher: Publisher, database_url: str):
    for forged in ({"signer": FIRST}, {"aud": "other"}, {"exp": 1}):
        publisher.publish(FIRST.jwk(kid="1"))
        with trusting(publisher, database_url) as (url, _):
            assert eventually(lambda: ready(url))
            publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="2"))
            claims: dict[str, Any] = {"signer": SECOND, **forged}
            answer = get(url, token(claims.pop("signer"), publisher, "2", **claims))
            assert (answer.status_code, answer.json()["type"]) == (401, "/problems/invalid-token")
            assert get(url, token(SECOND, publisher, "2")).status_code == 200


async def test_before_any_key_was_asked_for_no_token_is_called_bad(publisher: Publisher, database_url: str):
    # As in an app that mounts this one and has not entered its lifespan.
    app = create_app(make_settings(database_url, issuer=publisher.url, jwt_secret=None))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x", verify=NO_TLS) as client:
        headers = {"Authorization": f"Bearer {token(FIRST, publisher, '1')}"}
        answer = await client.get(TASKS, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/keys-unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert publisher.count() == 0


@pytest.mark.long
def test_an_issuer_that_is_down_matters_only_to_who_was_not_there_before(publisher: Publisher, database_url: str):
    with trusting(publisher, database_url) as (url, _):
        assert eventually(lambda: ready(url))
        publisher.stop()
        for user in ("alice", "bob"):
            assert get(url, token(FIRST, publisher, "1", sub=user)).status_code == 200
        # Whether this one is good cannot be told; being told 401 its user would log in anew.
        unsure = get(url, token(SECOND, publisher, "2"))
        assert unsure.status_code == 503
        assert unsure.json()["type"] == "/problems/keys-unavailable"
        assert 1 <= int(unsure.headers["retry-after"]) <= 30
        assert get(url, token(FIRST, publisher, "1", exp=1)).status_code == 401
        for algorithm in ("none", "HS256", "ES256K", ""):
            assert get(url, token(SECOND, publisher, "2", alg=algorithm)).status_code == 401
        assert ready(url)
        with trusting(publisher, database_url) as (cold, app):
            before = app.state.database.pool.acquired
            answer = get(cold, token(FIRST, publisher, "1"))
            assert answer.status_code == 503
            assert answer.json()["type"] == "/problems/keys-unavailable"
            assert 1 <= int(answer.headers["retry-after"]) <= 30
            readiness = httpx2.get(f"{cold}/readyz", **PLAIN)
            assert readiness.status_code == 503
            assert readiness.json()["detail"] == "The issuer's keys could not be fetched yet."
            assert int(readiness.headers["retry-after"]) >= 1
            assert httpx2.get(f"{cold}/healthz", **PLAIN).status_code == 200
            # What is no token at all is not a matter of keys.
            assert get(cold, "x.y").status_code == 401
            assert httpx2.get(cold + TASKS, **PLAIN).status_code == 401
            assert app.state.database.pool.acquired == before
            publisher.start()
            assert eventually(lambda: ready(cold), 20)
            assert get(cold, token(FIRST, publisher, "1")).status_code == 200


@pytest.mark.long
def test_a_new_key_works_soon_after_an_issuer_that_was_down_is_back(publisher: Publisher, database_url: str):
    with trusting(publisher, database_url) as (url, app):
        assert eventually(lambda: ready(url))
        app.state.verifier.keys._pace = 1  # instead of 5 seconds
        publisher.stop()
        bearer = token(SECOND, publisher, "2")
        assert get(url, bearer).status_code == 503
        publisher.publish(SECOND.jwk(kid="2"))
        publisher.start()
        assert eventually(lambda: get(url, bearer).status_code == 200, 30)


@pytest.mark.long
async def test_a_crowd_without_good_tokens_does_not_wait_for_a_slow_issuer_all_at_once(
    publisher: Publisher, database_url: str
):
    with trusting(publisher, database_url) as (url, _):
        assert await asyncio.to_thread(eventually, lambda: ready(url))
        publisher.publish(FIRST.jwk(kid="1"), seconds=3)
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=url, verify=NO_TLS, timeout=20, limits=limits) as client:
            headers = {"Authorization": f"Bearer {token(SECOND, publisher, '2')}"}
            crowd = [asyncio.create_task(client.get(TASKS, headers=headers)) for _ in range(160)]
            for answered, request in enumerate(asyncio.as_completed(crowd)):
                # The first are those that need not wait, the others are told when it has come to its end.
                answer = await request
                assert answer.status_code == (503 if answered < 60 else 401)
                assert answered >= 60 or 1 <= int(answer.headers["retry-after"]) <= 30


def test_whoever_waits_for_a_key_is_answered_when_the_service_stops(publisher: Publisher, database_url: str):
    answers: list[int] = []
    with trusting(publisher, database_url) as (url, app):
        assert eventually(lambda: ready(url))
        publisher.publish(FIRST.jwk(kid="1"), seconds=4)
        asking = threading.Thread(target=lambda: answers.append(get(url, token(SECOND, publisher, "2")).status_code))
        asking.start()
        assert eventually(lambda: app.state.verifier.keys._waiting == 1)
        # As a server does that stops its parts before its last requests have ended.
        app.state.verifier.keys._flight.get_loop().call_soon_threadsafe(app.state.verifier.keys._flight.cancel)
        asking.join(30)
        # At the end of the fetch it would be 401, or the fetch would have failed.
        assert answers == [503]
        assert app.state.verifier.keys._failures == 0


@pytest.mark.long
async def test_a_slow_issuer_holds_up_only_those_whose_key_is_not_known(publisher: Publisher, database_url: str):
    with trusting(publisher, database_url) as (url, _):
        assert await asyncio.to_thread(eventually, lambda: ready(url))
        publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="2"), seconds=1.5)
        async with httpx2.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as client:

            async def ask(bearer: str) -> int:
                return (await client.get(TASKS, headers={"Authorization": f"Bearer {bearer}"})).status_code

            waiting = [asyncio.create_task(ask(token(SECOND, publisher, "2"))) for _ in range(20)]
            await asyncio.sleep(0.3)
            known = await asyncio.gather(*(ask(token(FIRST, publisher, "1", jti=str(n))) for n in range(20)))
            assert set(known) == {200}
            assert not any(task.done() for task in waiting)
            assert set(await asyncio.gather(*waiting)) == {200}
        assert publisher.count() == 2


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"audience": ()}, True),
        ({}, False),
        ({"audience": (), "public_key": issuer("ES256").public_pem}, True),
        ({"audience": (), "jwt_secret": "a secret that is shared with nobody else"}, False),
    ],
)
def test_public_keys_without_an_audience_are_warned_of_at_the_start(
    publisher: Publisher,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    warned: bool,
):
    with caplog.at_level(logging.WARNING, "taskward"), trusting(publisher, database_url, **settings):
        assert ("TASKWARD_AUDIENCE is not set" in caplog.text) is warned

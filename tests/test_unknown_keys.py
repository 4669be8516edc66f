"""Tokens with keys that are not known, one or a flood of them: what the issuer sees, and how soon a new key counts."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from taskward.app import create_app
from taskward.identity import fetched as implementation
from taskward.identity.fetched import FetchedKeys
from taskward.identity.keys import KeyName
from tests.clusters import Cluster
from tests.issuer import Issuer, new_private
from tests.publisher import (  # noqa: F401 - a fixture
    DISCOVERY,
    FIRST,
    KEYS,
    SECOND,
    Page,
    Publisher,
    publisher_fixture,
    source,
)
from tests.serving import NO_TLS, PLAIN, make_settings, serving
from tests.test_issuer_http import TASKS, database_url, ready, token  # noqa: F401 - a fixture
from tests.test_keyring import Clock, accepts, landed, soon, wanted

PACE = 0.5


@asynccontextmanager
async def paced(publisher: Publisher, **options: Any) -> AsyncIterator[FetchedKeys]:
    """Keys that are kept fresh by a real clock, at a pace that a test can wait for."""
    keys = FetchedKeys(source(publisher), **{"pace": PACE, **options})
    async with keys.maintained():
        await landed(keys)
        yield keys


async def flood(keys: FetchedKeys, until: asyncio.Event, kid: Any = None) -> list[bool]:
    """Ask for other keys all the time, as many at once as are kept waiting, and more."""
    answers = []

    async def ask() -> None:
        while not until.is_set():
            answers.append(await keys.look_again(wanted(kid)))
            await asyncio.sleep(0.002)

    await asyncio.gather(*(ask() for _ in range(implementation._MOST_WAITING + 20)))
    return answers


async def test_unknown_keys_cause_no_more_than_one_fetch_at_a_time_and_none_within_the_pace(publisher: Publisher):
    async with paced(publisher) as keys:
        done = asyncio.Event()
        before, began = publisher.count(), time.monotonic()
        flooding = asyncio.create_task(flood(keys, done))
        await soon(lambda: publisher.count() - before >= 6)
        done.set()
        answers = await flooding
        assert set(answers) == {True, False}
        # One at the beginning, if the first fetch was long enough ago, and one for each pace that has passed.
        assert publisher.count() - before <= (time.monotonic() - began) / PACE + 1


def test_the_pace_is_twelve_fetches_in_a_minute_at_most():
    assert implementation._PACE == 5
    assert implementation._MISSING_SECONDS == 60


@pytest.mark.parametrize("how", ["made-up names", "one name", "no name"])
async def test_a_new_key_is_accepted_within_the_pace_under_a_flood(publisher: Publisher, how: str):
    if how == "no name":
        publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="0"))
    async with paced(publisher) as keys:
        done = asyncio.Event()
        if how == "no name":
            asking = [asyncio.create_task(keys.look_again(KeyName(None, "ES256"))) for _ in range(200)]
            flooding: Any = asyncio.gather(*asking)
        else:
            flooding = asyncio.create_task(flood(keys, done, "one name" if how == "one name" else None))
        await asyncio.sleep(PACE * 1.5)
        third = Issuer("ES256", new_private("ES256"))
        publisher.publish(FIRST.jwk(kid="1"), third.jwk(kid="3"))
        bearer = third.sign(kid="3")
        before = publisher.count()
        while not accepts(keys, bearer):
            # The next fetch brings it, and one may have been under way.
            assert publisher.count() - before <= 2
            # Whoever is told to come back does so.
            if not await keys.look_again(KeyName("3", "ES256")):
                await asyncio.sleep(0.05)
        done.set()
        await flooding


async def test_a_key_that_a_fetch_did_not_bring_is_refused_without_another_for_a_minute(
    publisher: Publisher, clock: Clock
):
    keys = FetchedKeys(source(publisher), clock=clock, pace=0)
    async with keys.maintained():
        await landed(keys)
        assert await keys.look_again(KeyName("2", "ES256")) is True
        assert publisher.count() == 2
        clock.time += 59.9
        for _ in range(10):
            assert await keys.look_again(KeyName("2", "ES256")) is True
        assert publisher.count() == 2
        # Another name of another algorithm is another key.
        assert await keys.look_again(KeyName("2", "RS256")) is True
        assert publisher.count() == 3
        clock.time += 0.2
        publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="2"))
        assert await keys.look_again(KeyName("2", "ES256")) is True
        assert publisher.count() == 4
        assert accepts(keys, SECOND.sign(kid="2"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_key_that_was_refused_counts_as_soon_as_any_fetch_brings_it(publisher: Publisher, clock: Clock):
    keys = FetchedKeys(source(publisher), clock=clock, pace=0)
    async with keys.maintained():
        await landed(keys)
        await keys.look_again(KeyName("2", "ES256"))
        publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="2"))
        await keys.look_again(wanted())
        assert accepts(keys, SECOND.sign(kid="2"))


async def test_what_is_remembered_of_missing_keys_is_bounded(clock: Clock):
    missing = implementation._Missing(clock)
    for number in range(10_000):
        missing.add(KeyName(str(number), "ES256"))
    assert len(missing._until) == implementation._MOST_MISSING
    # The latest are those that are remembered, and forgetting one costs a fetch at most.
    assert KeyName("9999", "ES256") in missing
    assert KeyName("0", "ES256") not in missing
    clock.time += 61
    missing.add(KeyName("x", "ES256"))
    assert len(missing._until) == 1
    assert implementation._MOST_MISSING > implementation._MOST_WAITING * 60 / implementation._PACE


async def test_a_fetch_that_began_before_a_key_was_asked_for_says_nothing_of_it(publisher: Publisher):
    async with paced(publisher, pace=0) as keys:
        publisher.pages[KEYS].seconds = 0.3
        before = publisher.count()
        early = asyncio.create_task(keys.look_again(wanted()))
        await soon(lambda: publisher.count() > before)
        # What is under way was asked for while there was no second key.
        late = asyncio.create_task(keys.look_again(KeyName("2", "ES256")))
        await early
        publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="2"))
        assert await late is True
        assert accepts(keys, SECOND.sign(kid="2"))


async def test_names_that_no_key_can_have_ask_nobody(publisher: Publisher):
    async with paced(publisher, pace=0) as keys:
        for name in (KeyName("x" * 256, "ES256"), KeyName("1", "HS256"), KeyName(None, "none")):
            assert await keys.look_again(name) is True
        assert publisher.count() == 1


async def test_the_address_of_the_keys_is_not_looked_up_each_time_unless_nothing_is_there(publisher: Publisher):
    keys = FetchedKeys(source(publisher, issuer=publisher.url, jwks_url=None), pace=0)
    async with keys.maintained():
        await landed(keys)
        for _ in range(5):
            await keys.look_again(wanted())
        assert (publisher.count(), publisher.count(DISCOVERY)) == (6, 1)
        # It moves.
        publisher.pages["/moved"] = Page({"keys": [SECOND.jwk(kid="2")]})
        publisher.pages[DISCOVERY] = Page({"issuer": publisher.url, "jwks_uri": f"{publisher.url}/moved"})
        del publisher.pages[KEYS]
        assert await keys.look_again(wanted()) is False
        await keys.look_again(wanted())
        assert accepts(keys, SECOND.sign(kid="2"))


@pytest.mark.long
def test_a_flood_of_unknown_keys_over_http_keeps_nobody_from_a_new_key(publisher: Publisher, database_url: str):  # noqa: F811
    """With a crowd of strangers that never rests, at the pace that is shipped."""
    app = create_app(make_settings(database_url, issuer=publisher.url, audience=("tasks",), jwt_secret=None))
    ids_in_use = 150
    with serving(app) as url:
        while not ready(url):
            time.sleep(0.05)
        keys = app.state.verifier.keys
        adopt, adopted = keys._adopt, []

        def observed(new: Any, *arguments: Any, **options: Any) -> None:
            adopt(new, *arguments, **options)
            if new.find("2", "ES256"):
                adopted.append(publisher.count())

        async def crowd() -> tuple[int, set[int]]:
            statuses: set[int] = set()
            done = asyncio.Event()
            # The server closes what is idle for long, which a crowd on a busy machine may be.
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
            async with httpx2.AsyncClient(base_url=url, verify=NO_TLS, timeout=30, limits=limits) as client:

                async def ask(bearer: str) -> int:
                    return (await client.get(TASKS, headers={"Authorization": f"Bearer {bearer}"})).status_code

                async def stranger() -> None:
                    while not done.is_set():
                        statuses.add(await ask(token(SECOND, publisher, secrets.token_hex(8))))
                        await asyncio.sleep(0.1)

                flooding = [asyncio.create_task(stranger()) for _ in range(ids_in_use)]
                await asyncio.sleep(1)
                publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="2"))
                keys._adopt = observed
                fetches = publisher.count()
                async with asyncio.timeout(120):
                    while await ask(token(SECOND, publisher, "2")) != 200:  # noqa: ASYNC110 - the service is another's
                        await asyncio.sleep(0.2)
                fetches = adopted[0] - fetches
                assert await ask(token(FIRST, publisher, "1")) == 200
                done.set()
                await asyncio.gather(*flooding)
            return fetches, statuses

        began, before = time.monotonic(), len(publisher.asked)
        fetches, statuses = asyncio.run(crowd())
        # The next fetch brings it, and one may have been under way.
        assert fetches <= 2
        assert statuses <= {401, 503}
        assert len(publisher.asked) - before <= (time.monotonic() - began) / 5 + 1


def test_a_service_whose_issuer_has_no_key_yet_is_ready_and_takes_the_first_one_at_once(
    publisher: Publisher,
    cluster: Cluster,
    template: str,
):
    publisher.publish()
    settings = make_settings(cluster.url(template), issuer=publisher.url, audience=("tasks",), jwt_secret=None)
    app = create_app(settings)
    app.state.verifier.keys._pace = 0.1
    with serving(app) as url:
        while not ready(url):
            time.sleep(0.05)
        headers = {"Authorization": f"Bearer {token(FIRST, publisher, '1')}"}
        assert httpx2.get(url + TASKS, headers=headers, **PLAIN).status_code == 401
        # The key is made at somebody's sign-in.
        publisher.publish(SECOND.jwk(kid="2"))
        headers = {"Authorization": f"Bearer {token(SECOND, publisher, '2')}"}
        assert httpx2.get(url + TASKS, headers=headers, **PLAIN).status_code == 200


def test_a_document_that_is_no_key_set_makes_nothing_ready(publisher: Publisher, cluster: Cluster, template: str):
    for body in (b"", b"{}", b"[]", b'{"keys":null}', b"<html>"):
        publisher.pages[KEYS] = Page(body)
        app = create_app(make_settings(cluster.url(template), jwks_url=publisher.keys_url, jwt_secret=None))
        before = publisher.count()
        with serving(app) as url:
            while app.state.verifier.keys._failures == 0:
                time.sleep(0.01)
            assert publisher.count() > before
            assert not ready(url)
            assert httpx2.get(f"{url}/healthz", **PLAIN).status_code == 200

"""Issuers that name no keys and put another in the place of the one that there was; and what strangers make of that."""

from __future__ import annotations

import asyncio
import secrets
import time
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from taskward.identity import KeyNotFound, TokenRejected
from taskward.identity import fetched as implementation
from taskward.identity.fetched import FetchedKeys
from taskward.identity.keys import KeyName
from tests.issuer import GOOD, SECRET, SYMMETRIC, Issuer, issuer, new_private
from tests.publisher import FIRST, SECOND, Publisher, publisher_fixture, source  # noqa: F401 - a fixture
from tests.services import eventually
from tests.serving import PLAIN
from tests.test_issuer_http import TASKS, database_url, get, ready, token, trusting  # noqa: F401 - a fixture
from tests.test_keyring import Clock, accepts, kept, landed


@pytest.fixture
def clock() -> Clock:
    return Clock()


def another(signer: Issuer = SECOND, **header: Any) -> str:
    """A token that nobody has sent before."""
    return signer.sign({**GOOD, "jti": secrets.token_hex(8)}, **header)


def wanted(keys: FetchedKeys, bearer: str) -> KeyName:
    """What a token that no key verifies has the worker look for."""
    with pytest.raises(KeyNotFound) as unknown:
        FIRST.verifier(keys).verify(bearer)
    return unknown.value.wanted


async def looked_for(keys: FetchedKeys, bearer: str) -> bool:
    """Whether it is accepted once the worker has looked for its key."""
    assert await keys.look_again(wanted(keys, bearer)) is True
    return accepts(keys, bearer)


@pytest.mark.parametrize("names", [(None, None), ("1", "2")], ids=["neither names a key", "only the issuer does"])
async def test_the_first_token_of_a_key_that_took_anothers_place_is_accepted(
    publisher: Publisher, clock: Clock, names: tuple[str | None, str | None]
):
    old, new = (
        signer.jwk(**({} if name is None else {"kid": name}))
        for signer, name in zip((FIRST, SECOND), names, strict=True)
    )
    publisher.publish(old)
    async with kept(publisher, clock) as keys:
        assert accepts(keys, FIRST.sign())
        publisher.publish(new)
        assert await looked_for(keys, SECOND.sign())
        assert publisher.count() == 2
        # The old one is withdrawn with it.
        assert not await looked_for(keys, FIRST.sign())


async def test_a_key_of_another_kind_takes_the_place_though_strangers_have_asked_for_one(
    publisher: Publisher, clock: Clock
):
    publisher.publish(issuer("RS256").jwk())
    async with kept(publisher, clock) as keys:
        # There is none of this kind, and several would be none that could be told.
        for _ in range(3):
            assert not await looked_for(keys, another())
        assert publisher.count() == 4
        publisher.publish(FIRST.jwk())
        assert await looked_for(keys, FIRST.sign())


async def test_a_token_that_a_fetch_brought_no_key_for_is_refused_without_another_for_a_minute(
    publisher: Publisher, clock: Clock
):
    publisher.publish(FIRST.jwk())
    async with kept(publisher, clock) as keys:
        bearer = SECOND.sign()
        assert not await looked_for(keys, bearer)
        assert publisher.count() == 2
        clock.time += 59.9
        for _ in range(10):
            assert not await looked_for(keys, bearer)
        assert publisher.count() == 2
        # Another token, which may be of a key that is there by now, is not refused for its sake.
        assert not await looked_for(keys, another())
        assert publisher.count() == 3
        publisher.publish(SECOND.jwk())
        clock.time += 0.2
        assert await looked_for(keys, bearer)
        assert publisher.count() == 4


async def test_wrong_signatures_that_say_nothing_of_new_keys_ask_nobody(publisher: Publisher, clock: Clock):
    shared = [Issuer(algorithm, SECRET.encode()) for algorithm in SYMMETRIC]
    publisher.publish(FIRST.jwk(kid="1"))
    async with kept(publisher, clock) as keys:
        # A name stands for one key.
        for forged in (another(kid="1"), *(another(one) for one in shared), another(alg="none")):
            with pytest.raises(TokenRejected) as refused:
                FIRST.verifier(keys).verify(forged)
            assert not isinstance(refused.value, KeyNotFound)
        assert publisher.count() == 1


def test_of_keys_of_the_settings_there_are_no_newer_ones():
    for own in (issuer("ES256"), issuer("HS256")):
        with pytest.raises(TokenRejected) as refused:
            own.verifier().verify(Issuer(own.algorithm, _another_private(own.algorithm)).sign())
        assert refused.value.reason == "its signature is wrong"
        assert not isinstance(refused.value, KeyNotFound)


def _another_private(algorithm: str) -> Any:
    return b"x" * 64 if algorithm in SYMMETRIC else new_private(algorithm)


async def test_a_crowd_of_made_up_signatures_shares_one_fetch_and_waits_in_a_bounded_number(
    publisher: Publisher, clock: Clock
):
    publisher.publish(FIRST.jwk())
    async with kept(publisher, clock) as keys:
        publisher.publish(FIRST.jwk(), seconds=0.3)
        names = [wanted(keys, another()) for _ in range(implementation._MOST_WAITING + 1)]
        waiting = [asyncio.create_task(keys.look_again(name)) for name in names[:-1]]
        await asyncio.sleep(0)
        assert await keys.look_again(names[-1]) is False
        # Who is known is not among them.
        assert accepts(keys, FIRST.sign())
        assert await asyncio.gather(*waiting) == [True] * len(waiting)
        assert publisher.count() == 2


async def test_made_up_signatures_cause_no_fetch_within_the_pace(publisher: Publisher):
    publisher.publish(FIRST.jwk())
    begun: list[float] = []
    pace = 0.3
    keys = FetchedKeys(source(publisher), pace=pace)
    fetch = keys._source.fetch

    async def observed() -> Any:
        begun.append(keys._next)
        return await fetch()

    keys._source.fetch = observed  # type: ignore[method-assign]
    async with asyncio.timeout(60), keys.maintained():
        await landed(keys)

        async def stranger() -> None:
            while len(begun) < 6:
                await keys.look_again(wanted(keys, another()))

        await asyncio.gather(*(stranger() for _ in range(20)))
    assert all(later - earlier > pace * 0.99 for earlier, later in pairwise(begun))
    assert len(begun) == publisher.count() == 6


async def test_what_is_remembered_of_tokens_is_bounded(clock: Clock):
    missing = implementation._Missing(clock)
    for number in range(10_000):
        missing.add(KeyName(None, "ES256", number.to_bytes(32, "big")))
    assert len(missing._until) == implementation._MOST_MISSING


@pytest.mark.long
def test_an_issuer_without_names_that_is_down_leaves_open_whether_a_signature_is_wrong(
    publisher: Publisher,
    database_url: str,  # noqa: F811
):
    publisher.publish(FIRST.jwk())
    with trusting(publisher, database_url) as (url, _):
        assert eventually(lambda: ready(url))
        publisher.stop()
        unsure = get(url, token(SECOND, publisher, None))
        assert (unsure.status_code, unsure.json()["type"]) == (503, "/problems/keys-unavailable")
        assert 1 <= int(unsure.headers["retry-after"]) <= 30
        assert get(url, token(FIRST, publisher, None)).status_code == 200
        # Whose other claims are wrong is nobody, whoever signed.
        assert get(url, token(FIRST, publisher, None, exp=1)).status_code == 401


@pytest.mark.long
def test_a_swapped_key_is_found_over_http_under_a_flood_of_made_up_signatures(
    publisher: Publisher,
    database_url: str,  # noqa: F811
):
    """With a crowd of strangers that never rests, at the pace that is shipped."""
    publisher.publish(FIRST.jwk())
    adopted: list[int] = []
    with trusting(publisher, database_url) as (url, app):
        assert eventually(lambda: ready(url))
        keys = app.state.verifier.keys
        adopt = keys._adopt

        def observed(new: Any, *arguments: Any, **options: Any) -> None:
            known = keys.current
            adopt(new, *arguments, **options)
            if keys.current is not known:
                adopted.append(publisher.count())

        async def crowd() -> set[int]:
            statuses: set[int] = set()
            done = asyncio.Event()
            # The server closes what is idle for long, which a crowd on a busy machine may be.
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
            async with httpx2.AsyncClient(base_url=url, limits=limits, **PLAIN) as client:

                async def ask(bearer: str) -> int:
                    return (await client.get(TASKS, headers={"Authorization": f"Bearer {bearer}"})).status_code

                async def stranger() -> None:
                    forger = Issuer("ES256", new_private("ES256"))
                    while not done.is_set():
                        statuses.add(await ask(token(forger, publisher, None, jti=secrets.token_hex(8))))
                        await asyncio.sleep(0.1)

                flooding = [asyncio.create_task(stranger()) for _ in range(150)]
                await asyncio.sleep(1)
                # While strangers wait, who is known does not.
                assert await ask(token(FIRST, publisher, None)) == 200
                publisher.publish(SECOND.jwk())
                keys._adopt = observed
                before = publisher.count()
                async with asyncio.timeout(120):
                    while await ask(token(SECOND, publisher, None)) != 200:  # noqa: ASYNC110 - the service is another's
                        await asyncio.sleep(0.2)
                # The next fetch brings it, and one may have been under way.
                assert [fetches - before <= 2 for fetches in adopted] == [True]
                done.set()
                await asyncio.gather(*flooding)
            return statuses

        began, before = time.monotonic(), len(publisher.asked)
        statuses = asyncio.run(crowd())
        assert statuses <= {401, 503}
        assert len(publisher.asked) - before <= (time.monotonic() - began) / 5 + 1

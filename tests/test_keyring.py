"""Keys that an issuer publishes: how they are kept fresh, and what happens while they are out of reach."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from taskward.identity import KeyNotFound, KeysNotFetched, TokenRejected, load_keys
from taskward.identity import fetched as implementation
from taskward.identity.fetched import FetchedKeys
from taskward.identity.keys import KeyName
from tests.issuer import GOOD, SECRET, Issuer, issuer
from tests.publisher import FIRST, KEYS, SECOND, Page, Publisher, publisher_fixture, source  # noqa: F401 - a fixture
from tests.serving import PLAIN


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def kept(publisher: Publisher, clock: Callable[[], float], **options: Any) -> AsyncIterator[FetchedKeys]:
    """Keys that are kept fresh, after their first fetch has ended."""
    keys = FetchedKeys(source(publisher), clock=clock, **{"pace": 0, **options})
    async with keys.maintained():
        await landed(keys)
        yield keys


async def landed(keys: FetchedKeys) -> None:
    await soon(lambda: keys._flight is None and (keys.current is not None or keys._failures > 0))


async def soon(condition: Callable[[], bool]) -> None:
    """Wait for a condition. The time only ends a test that would wait for ever."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - it is not told
            await asyncio.sleep(0.005)


_names = itertools.count()


def wanted(kid: str | None = None) -> KeyName:
    """A name that nobody has asked for before, unless one is given."""
    return KeyName(kid or f"made up {next(_names)}", "ES256")


def accepts(keys: FetchedKeys, token: str) -> bool:
    try:
        return FIRST.verifier(keys).verify(token).user_id == "alice"
    except TokenRejected:
        return False


async def test_a_key_that_is_not_known_is_fetched_once_however_many_ask(publisher: Publisher, clock: Clock):
    async with kept(publisher, clock) as keys:
        assert accepts(keys, FIRST.sign(kid="1"))
        publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="2"), seconds=0.1)
        asking = [asyncio.create_task(keys.look_again(wanted())) for _ in range(50)]
        await asyncio.sleep(0.02)
        # Keys that are known go on meanwhile.
        assert accepts(keys, FIRST.sign(kid="1"))
        assert not accepts(keys, SECOND.sign(kid="2"))
        await asyncio.gather(*asking)
        assert accepts(keys, SECOND.sign(kid="2"))
        assert publisher.count() == 2


async def test_whoever_stops_waiting_does_not_stop_the_fetch(publisher: Publisher, clock: Clock):
    async with kept(publisher, clock) as keys:
        publisher.publish(SECOND.jwk(kid="2"), seconds=0.1)
        impatient, patient = (asyncio.create_task(keys.look_again(wanted())) for _ in range(2))
        await asyncio.sleep(0.02)
        impatient.cancel()
        await patient
        assert impatient.cancelled()
        assert accepts(keys, SECOND.sign(kid="2"))


async def test_only_so_many_wait_for_a_fetch(publisher: Publisher, clock: Clock):
    async with kept(publisher, clock) as keys:
        publisher.publish(SECOND.jwk(kid="2"), seconds=0.3)
        waiting = [asyncio.create_task(keys.look_again(wanted())) for _ in range(100)]
        await asyncio.sleep(0)
        assert await keys.look_again(wanted()) is False
        assert not any(one.done() for one in waiting)
        assert await asyncio.gather(*waiting) == [True] * 100


async def test_nobody_waits_for_an_issuer_that_was_out_of_reach_just_now(publisher: Publisher, clock: Clock):
    async with kept(publisher, clock, pace=5) as keys:
        publisher.stop()
        clock.time += 5
        assert await keys.look_again(wanted()) is False
        publisher.start()
        publisher.publish(SECOND.jwk(kid="2"), seconds=0.3)
        before = publisher.count()
        assert await keys.look_again(wanted()) is False
        assert publisher.count() == before
        clock.time += 5
        first = asyncio.create_task(keys.look_again(wanted()))
        await soon(lambda: keys._flight is not None and keys._begun > 2)
        # However long it takes.
        clock.time += 5
        assert await keys.look_again(wanted()) is False
        assert not first.done()
        assert await first is True


async def test_known_keys_stay_in_use_while_the_issuer_is_down(
    publisher: Publisher, clock: Clock, caplog: pytest.LogCaptureFixture
):
    async with kept(publisher, clock) as keys:
        known = keys.current
        publisher.stop()
        for _ in range(5):
            clock.time += 31
            await keys.look_again(wanted())
            assert keys.current is known
        for broken in (Page(b"", 500), Page(b"<html>"), Page({"keys": None})):
            publisher.start()
            publisher.pages[KEYS] = broken
            clock.time += 31
            await keys.look_again(wanted())
            publisher.stop()
            assert keys.current is known
        assert accepts(keys, FIRST.sign(kid="1"))
        assert "The known ones stay in use." in caplog.text
        publisher.start()
        publisher.publish(SECOND.jwk(kid="2"))
        clock.time += 31
        await keys.look_again(wanted())
        assert accepts(keys, SECOND.sign(kid="2"))


async def test_a_key_that_is_withdrawn_is_trusted_no_more_nor_what_it_verified(publisher: Publisher, clock: Clock):
    async with kept(publisher, clock) as keys:
        verifier = FIRST.verifier(keys)
        token = FIRST.sign(kid="1")
        assert verifier.verify(token).user_id == "alice"
        assert len(verifier._verified) == 1
        publisher.publish(SECOND.jwk(kid="2"))
        await keys.look_again(wanted())
        with pytest.raises(KeyNotFound):
            verifier.verify(token)
        assert not verifier._verified
        # An issuer that has withdrawn every key means that, too.
        publisher.publish()
        clock.time += 31
        await keys.look_again(wanted())
        with pytest.raises(KeyNotFound):
            verifier.verify(SECOND.sign(kid="2"))


async def test_keys_that_are_the_same_again_forget_nothing(publisher: Publisher, clock: Clock):
    async with kept(publisher, clock) as keys:
        verifier = FIRST.verifier(keys)
        token = FIRST.sign(kid="1")
        first = verifier.verify(token)
        await keys.look_again(wanted())
        assert publisher.count() == 2
        assert verifier.verify(token) is first


async def test_until_keys_were_fetched_no_token_is_good_or_bad_unless_it_is_no_token(
    publisher: Publisher, clock: Clock, caplog: pytest.LogCaptureFixture
):
    publisher.stop()
    async with kept(publisher, clock) as keys:
        verifier = FIRST.verifier(keys)
        for token in (FIRST.sign(kid="1"), FIRST.sign({**GOOD, "exp": 1})):
            with pytest.raises(KeysNotFetched):
                verifier.verify(token)
        strange = [FIRST.sign(kid="1", alg=algorithm) for algorithm in ("none", "HS256", "ES256K", "")]
        for token in ("x", "a.b.c", FIRST.sign(crit=[]), *strange):
            with pytest.raises(TokenRejected):
                verifier.verify(token)
        assert 1 <= keys.retry_after <= 30
        assert "No token can be verified until then." in caplog.text


async def test_an_issuer_that_is_down_at_the_start_is_tried_again_and_again(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(implementation, "_LONGEST_PAUSE", 0.05)
    publisher.stop()
    keys = FetchedKeys(source(publisher))
    async with keys.maintained():
        await asyncio.sleep(0.2)
        assert keys.current is None
        publisher.start()
        await soon(lambda: keys.current is not None)
        assert accepts(keys, FIRST.sign(kid="1"))


async def test_requests_for_unknown_keys_do_not_hammer_an_issuer_that_was_never_reached(
    publisher: Publisher, clock: Clock
):
    publisher.pages[KEYS].status = 500
    async with kept(publisher, clock) as keys:
        for _ in range(20):
            await keys.look_again(wanted())
        assert publisher.count() == 1


@pytest.mark.parametrize(
    ("header", "life"),
    [
        (None, 600), ("max-age=300", 300), ("public, max-age=900, must-revalidate", 900), ("max-age=0", 60),
        ("max-age=5", 60), ("max-age=99999", 3600), ("no-store", 600), ("max-age=x", 600), ("s-max-age=300", 600),
        ("MAX-AGE=300", 300),
    ],
)  # fmt: skip
async def test_keys_are_fetched_again_before_they_are_due(
    publisher: Publisher, clock: Clock, header: str | None, life: int
):
    publisher.pages[KEYS].headers = {} if header is None else {"Cache-Control": header}
    async with kept(publisher, clock) as keys:
        assert 0.7 * life <= keys._due - clock.time <= 0.8 * life


async def test_keys_are_refreshed_in_the_background(publisher: Publisher, monkeypatch: pytest.MonkeyPatch):
    for name in ("_SHORTEST_LIFE", "_USUAL_LIFE", "_LONGEST_LIFE"):
        monkeypatch.setattr(implementation, name, 0.1)
    keys = FetchedKeys(source(publisher))
    async with keys.maintained():
        await landed(keys)
        publisher.publish(SECOND.jwk(kid="2"))
        await soon(lambda: accepts(keys, SECOND.sign(kid="2")))
        before = publisher.count()
    await asyncio.sleep(0.2)
    assert publisher.count() == before


async def test_a_key_that_is_not_used_is_reported_once(
    publisher: Publisher, clock: Clock, caplog: pytest.LogCaptureFixture
):
    publisher.publish(FIRST.jwk(kid="1"), SECOND.jwk(kid="weak", d="AAAA"))
    async with kept(publisher, clock) as keys:
        clock.time += 31
        await keys.look_again(wanted())
        assert publisher.count() == 2
        said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert said == ["key not used reason=\"key 'weak' is a private or symmetric key, which nobody should publish\""]


@pytest.mark.parametrize("useless", [[], [{"kty": "oct", "k": "AAAA"}], [FIRST.jwk(kid="1", use="enc")]])
async def test_a_set_without_usable_keys_is_asked_for_again_soon(
    publisher: Publisher, clock: Clock, useless: list[dict[str, Any]]
):
    publisher.publish(*useless, headers={"Cache-Control": "max-age=3600"})
    async with kept(publisher, clock) as keys:
        assert 0 < keys._due - clock.time <= 30
        assert keys.current is not None
        publisher.publish(FIRST.jwk(kid="1"), headers={"Cache-Control": "max-age=3600"})
        assert await keys.look_again(wanted("1")) is True
        assert accepts(keys, FIRST.sign(kid="1"))
        assert keys._due - clock.time > 600


async def test_an_issuer_without_any_key_is_warned_of(
    publisher: Publisher, clock: Clock, caplog: pytest.LogCaptureFixture
):
    publisher.publish()
    async with kept(publisher, clock) as keys:
        assert not accepts(keys, FIRST.sign(kid="1"))
        assert 'keys fetched usable=0 consequence="Every token of the issuer is refused."' in caplog.text


async def test_a_defect_in_fetching_leaves_the_known_keys_alone(
    publisher: Publisher, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with kept(publisher, clock) as keys:
        # No input is known that causes one, so it is put there.
        monkeypatch.setattr(keys._source, "fetch", None)
        await keys.look_again(wanted())
        assert accepts(keys, FIRST.sign(kid="1"))
        assert 'by a defect: TypeError." consequence="The known ones stay in use."' in caplog.text


@pytest.mark.long
async def test_what_an_address_has_in_its_query_is_in_no_log(publisher: Publisher, caplog: pytest.LogCaptureFixture):
    caplog.set_level(1)
    address = publisher.keys_url + "?apikey=canary"
    publisher.pages[f"{KEYS}?apikey=canary"] = publisher.pages[KEYS]
    keys = FetchedKeys(source(publisher, jwks_url=address))
    async with keys.maintained():
        await landed(keys)
        publisher.stop()
        await keys.look_again(wanted())
    assert "The known ones stay in use." in caplog.text
    assert caplog.records
    assert not [record for record in caplog.records if "canary" in f"{record.getMessage()}{vars(record)}"]
    publisher.start()
    async with httpx2.AsyncClient(**PLAIN) as another:
        await another.get(address)
    assert "canary" in caplog.text, "what the app does with httpx2 is logged as ever"


async def test_closing_in_the_middle_of_a_fetch_leaves_nothing_running(publisher: Publisher):
    publisher.pages[KEYS].seconds = 5
    before = asyncio.all_tasks()
    keys = FetchedKeys(source(publisher))
    async with asyncio.timeout(2), keys.maintained():
        await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_after_closing_nothing_is_fetched(publisher: Publisher, clock: Clock):
    async with kept(publisher, clock) as keys:
        pass
    assert await keys.look_again(wanted()) is False
    assert publisher.count() == 1


async def test_fixed_keys_have_nowhere_to_look():
    keys = load_keys(secrets=[SECRET])
    async with keys.maintained():
        before = keys.current
        await keys.look_again(wanted())
        assert keys.current is before
        assert await keys.load() == []


def test_several_secrets_verify_and_the_newest_comes_first():
    newest, oldest = "n" + SECRET, "o" + SECRET
    keys = load_keys(secrets=[newest, oldest])
    verifier = issuer("HS256").verifier(keys)
    for secret in (newest, oldest):
        assert verifier.verify(Issuer("HS256", secret.encode()).sign(kid="any")).user_id == "alice"
    with pytest.raises(TokenRejected):
        verifier.verify(issuer("HS256").sign())
    assert keys.current is not None
    assert [key.material for key in keys.current.find("any", "HS256")] == [newest, oldest]

"""The keys in use: those of the settings, which stay, and those of an issuer, which are kept fresh."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

from taskward.identity.issuer import FetchError, KeySource
from taskward.identity.keys import ALGORITHMS, KeyConfigurationError, KeySet, pem_keys, secret_keys
from taskward.log import get_logger

_log = get_logger("taskward.identity")

_COOLDOWN = 30.0  # between two fetches that tokens with an unknown key ask for
# Seconds for which fetched keys hold: what the issuer says, within these limits. A key that is withdrawn should not
# be trusted for long, nor an issuer be asked all the time.
_SHORTEST_LIFE, _USUAL_LIFE, _LONGEST_LIFE = 60, 600, 3600
_LONGEST_PAUSE = 30.0  # between two attempts to reach an issuer of which no key is known yet
_LONGEST_WAIT = 30  # that anybody is told to wait before asking again
_MOST_WAITING = 100  # requests that wait for a fetch; each occupies a connection


class KeyRing(Protocol):
    """What a `Verifier` knows of keys. Another `current` object means that the keys have changed."""

    @property
    def current(self) -> KeySet | None:
        """The keys in use, or None while there are none yet."""

    @property
    def retry_after(self) -> int:
        """Seconds after which there may be keys."""

    @property
    def algorithms(self) -> frozenset[str]:
        """What a key may be used with, now or later."""

    async def look_again(self) -> bool:
        """A token names a key that is not known: ask the issuer, unless that was just done.

        Returns:
            Whether a key that is still not known is none of the issuer's. Else it cannot be told at the moment.
        """

    def maintained(self) -> AbstractAsyncContextManager[None]:
        """Keep the keys fresh for as long as the context lasts."""

    async def load(self) -> list[str]:
        """Have keys now.

        Returns:
            Why some of the issuer's keys are not used, a sentence each.

        Raises:
            FetchError: There are none.
        """


class FixedKeys:
    """Keys of the settings."""

    retry_after = 0

    def __init__(self, keys: KeySet) -> None:
        self.current = keys
        self.algorithms = frozenset(name for key in keys.keys for name in key.algorithms)

    async def look_again(self) -> bool:
        """There is nowhere to look."""
        return True

    @asynccontextmanager
    async def maintained(self) -> AsyncIterator[None]:
        """They never change."""
        yield

    async def load(self) -> list[str]:
        return []


class FetchedKeys:
    """Keys that an issuer publishes.

    They are fetched again before they are due, and when a token names one that is not known. There is never more
    than one fetch under way, and it keeps only so many requests waiting. Once fetched they stay in use while the
    issuer is out of reach.

    Args:
        source: Where they come from.
        cooldown: Seconds between two fetches for the sake of unknown keys.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self, source: KeySource, *, cooldown: float = _COOLDOWN, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._cooldown = cooldown
        self._clock = clock
        self.current: KeySet | None = None
        self.algorithms = source.algorithms
        self._flight: asyncio.Task[None] | None = None
        self._waiting = 0
        self._closed = False
        self._looked = -math.inf
        self._due = clock()
        self._failures = 0
        self._said: tuple[str, ...] = ()
        self._changed = asyncio.Event()

    @property
    def retry_after(self) -> int:
        # Whoever is told to come back waits for the fetch under way, or for the next attempt; never for keys to be due.
        return 1 if self._flight is not None else max(1, min(math.ceil(self._due - self._clock()), _LONGEST_WAIT))

    async def look_again(self) -> bool:
        if self._closed or self._waiting >= _MOST_WAITING:
            return False
        if self._flight is None:
            if self.current is None or self._clock() < self._looked + self._cooldown:
                return self.current is not None and not self._failures
            self._looked = self._clock()
        elif self._failures:
            return False  # nobody is kept waiting for an issuer that was out of reach just now
        self._waiting += 1
        try:
            return await self._fetch_once()
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def maintained(self) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._keep_fresh())
        try:
            yield
        finally:
            self._closed = True
            for task in (keeper, self._flight):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
            await self._source.close()

    async def load(self) -> list[str]:
        try:
            fetched = await self._source.fetch()
        finally:
            await self._source.close()
        self.current = fetched.published.keys
        return list(fetched.published.skipped)

    async def _keep_fresh(self) -> None:
        while True:
            self._changed.clear()
            # A fetch for an unknown key puts off the next one, or, when it failed, brings it forward.
            with suppress(TimeoutError):
                # Not `wait_for`, which before Python 3.12 may lose the cancellation that ends this.
                async with asyncio.timeout(max(0, self._due - self._clock())):
                    await self._changed.wait()
            if self._clock() >= self._due:
                await self._fetch_once()

    async def _fetch_once(self) -> bool:
        """Fetch, or wait for the fetch that is under way. Whoever stops waiting does not stop it for the others.

        Returns:
            Whether it came to an end with the issuer's keys.
        """
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch())
            self._flight.add_done_callback(self._landed)
        flight = self._flight
        # Unlike `shield`, this does not pass on that the fetch itself was cancelled, as it is at the end.
        await asyncio.wait({flight})
        return not flight.cancelled() and not self._failures

    def _landed(self, _task: asyncio.Task[None]) -> None:
        self._flight = None
        self._changed.set()

    async def _fetch(self) -> None:
        try:
            fetched = await self._source.fetch()
        except FetchError as error:
            self._failed(str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the keys that are known go on
            self._failed(f"The issuer's keys cannot be fetched, by a defect: {type(error).__name__}.")
            return
        wanted = _USUAL_LIFE if fetched.max_age is None else fetched.max_age
        life = min(max(wanted, _SHORTEST_LIFE), _LONGEST_LIFE)
        # Well before that, and not at the same moment in every worker.
        self._due = self._clock() + life * random.uniform(0.7, 0.8)  # noqa: S311 - guards nothing
        self._failures = 0
        published = fetched.published
        if published.keys != self.current:
            self.current = published.keys
            if published.keys.keys:
                _log.info("keys fetched", usable=len(published.keys.keys))
            else:
                _log.warning("keys fetched", usable=0, consequence="Every token is refused.")
        if published.skipped != self._said:
            self._said = published.skipped
            for sentence in published.skipped:
                _log.warning("key not used", reason=sentence)

    def _failed(self, sentence: str) -> None:
        # Nobody can be served without any keys; with some there is no hurry.
        pause = min(2.0**self._failures, _LONGEST_PAUSE) if self.current is None else self._cooldown
        self._failures = min(self._failures + 1, 10)
        self._due = self._clock() + pause * random.uniform(0.8, 1)  # noqa: S311 - guards nothing
        state = "No token can be verified until then." if self.current is None else "The known ones stay in use."
        _log.warning("keys not fetched", reason=sentence, consequence=state)


def load_keys(
    *,
    secrets: Sequence[str] = (),
    public_key: str | None = None,
    jwks_url: str | None = None,
    issuer: str | None = None,
    algorithms: Collection[str] = (),
) -> KeyRing:
    """The keys that tokens are verified with, from the first of these sources that is given.

    Args:
        secrets: Shared secrets, the newest first, already checked for their length and fame by the settings.
        public_key: A PEM public key or certificate, or the path of a file that holds one.
        jwks_url: Where a key set is published.
        issuer: An issuer whose discovery document says where.
        algorithms: Those that may be used; all by default.

    Raises:
        KeyConfigurationError: There is no key, or it is private, weak, or of a kind that is not supported.
    """
    unknown = [name for name in algorithms if name not in ALGORITHMS]
    if unknown:
        meant = [name for name in ALGORITHMS if _plain(name) == _plain(unknown[0])]
        hint = f"; did you mean {meant[0]}?" if meant else "."
        raise KeyConfigurationError(
            f"TASKWARD_ALGORITHMS may name {', '.join(sorted(ALGORITHMS))}, and nothing else{hint}"
        )
    allowed = frozenset(algorithms) or ALGORITHMS
    if secrets:
        return FixedKeys(secret_keys(secrets, allowed))
    if public_key is not None:
        return FixedKeys(pem_keys(public_key, allowed))
    if jwks_url is not None or issuer is not None:
        return FetchedKeys(KeySource(issuer=issuer, jwks_url=jwks_url, algorithms=allowed))
    raise KeyConfigurationError(
        "There is no key to verify tokens with: set TASKWARD_JWT_SECRET or BETTER_AUTH_SECRET, a secret shared with "
        "your app, or TASKWARD_ISSUER, TASKWARD_JWKS_URL or TASKWARD_PUBLIC_KEY, your issuer's keys."
    )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))

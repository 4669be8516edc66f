"""Keys that an issuer publishes: how they are kept fresh, and what unknown keys may make of that."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from taskward.identity.exposure import Published
from taskward.identity.issuer import Fetched, FetchError, KeySource
from taskward.identity.keys import LONGEST_KID, KeyConfigurationError, KeyName, KeySet, PublicKey, VerificationKey
from taskward.runtime.fairness import in_thread
from taskward.runtime.log import get_logger

_log = get_logger("taskward.identity")

_PACE = 5.0  # between two fetches that tokens with an unknown key ask for
_MISSING_SECONDS = 60.0  # for which a key that a fetch has not brought is refused without another
_MOST_MISSING = 2000  # more than can come to be known as missing in that time
# Seconds for which fetched keys hold: what the issuer says, within these limits. A key that is withdrawn should not
# be trusted for long, nor an issuer be asked all the time.
_SHORTEST_LIFE, _USUAL_LIFE, _LONGEST_LIFE = 60, 600, 3600
# Between two attempts while the issuer is out of reach, or has nothing that could verify a token.
_LONGEST_PAUSE = 30.0
_LONGEST_WAIT = 30  # that anybody is told to wait before asking again
_MOST_WAITING = 100  # requests that wait for a fetch; each occupies a connection
_EXPOSED = "A shared secret is among what the issuer publishes, so anybody can sign with it"


class FetchedKeys:
    """Keys that an issuer publishes.

    They are fetched again before they are due, and when a token comes that none of them verifies but a newer one may:
    it names a key that is not known, or names none and is not signed with the one that there is. There is never more
    than one fetch under way, and it keeps only so many requests waiting. Once fetched they stay in use while the
    issuer is out of reach.

    Args:
        source: Where they come from.
        secrets: Keys of shared secrets that are in use beside them, unless the issuer publishes one. Until that is
            known, they are not.
        pace: Seconds between the beginnings of two fetches for the sake of unknown keys.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        secrets: tuple[VerificationKey, ...] = (),
        pace: float = _PACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._secrets = secrets
        self._pace = pace
        self._clock = clock
        self.current: KeySet | None = None
        self.algorithms = source.algorithms.union(*(key.algorithms for key in secrets))
        self._missing = _Missing(clock)
        self._flight: asyncio.Task[None] | None = None
        self._waiting = 0
        self._closed = False
        self._begun = 0  # fetches that were begun
        self._next = -math.inf  # when the next may begin for the sake of unknown keys
        self._due = clock()
        self._failures = 0
        self._said: tuple[str, ...] = ()
        self._changed = asyncio.Event()

    @property
    def retry_after(self) -> int:
        # Whoever is told to come back waits for the fetch under way, or for the next one that there may be.
        now = self._clock()
        soonest = self._due if self.current is None else min(self._due, max(self._next, now))
        return 1 if self._flight is not None else max(1, min(math.ceil(soonest - now), _LONGEST_WAIT))

    async def look_again(self, wanted: KeyName) -> bool:
        if self.current is not None and not self._may_bring(wanted):
            return True
        if self._closed or self._waiting >= _MOST_WAITING:
            return False
        if wanted in self._missing:
            return not self._failures
        if self._failures and (self._flight is not None or self._clock() < self._next):
            return False  # nobody is kept waiting for an issuer that was out of reach just now
        if self.current is None and self._flight is None:
            return False  # it is asked without being told to, before long
        self._waiting += 1
        try:
            return await self._look(wanted)
        finally:
            self._waiting -= 1

    def _may_bring(self, wanted: KeyName) -> bool:
        return wanted.algorithm in self._source.algorithms and len(wanted.kid or "") <= LONGEST_KID

    async def _look(self, wanted: KeyName) -> bool:
        """Wait until there is another key for it, or until a fetch that began after this call has not brought one. An
        earlier fetch may bring a document from before the issuer had the key.
        """
        earlier, tried = self._begun, self._find(wanted)
        while await self._fetch_once():
            if (found := self._find(wanted)) and found != tried:
                return True
            if self._begun > earlier:
                self._missing.add(wanted)
                return True
        return False

    def _find(self, wanted: KeyName) -> Sequence[VerificationKey]:
        return [] if self.current is None else self.current.find(wanted.kid, wanted.algorithm)

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
        self.current, exposed = self._with_secrets(fetched)
        if exposed:
            raise KeyConfigurationError(f"{_EXPOSED}; make another.")
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
                await self._fetch_once(at_once=True)

    async def _fetch_once(self, *, at_once: bool = False) -> bool:
        """Fetch, or wait for the fetch that is under way. Whoever stops waiting does not stop it for the others.

        Args:
            at_once: However short a time ago the last one was.

        Returns:
            Whether it came to an end with the issuer's keys.
        """
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch(at_once=at_once))
            self._flight.add_done_callback(self._landed)
        flight = self._flight
        # Unlike `shield`, this does not pass on that the fetch itself was cancelled, as it is at the end.
        await asyncio.wait({flight})
        return not flight.cancelled() and not self._failures

    def _landed(self, _task: asyncio.Task[None]) -> None:
        self._flight = None
        self._changed.set()

    async def _fetch(self, *, at_once: bool) -> None:
        if not at_once:
            await asyncio.sleep(max(0, self._next - self._clock()))
        self._begun += 1
        self._next = self._clock() + self._pace
        try:
            fetched = await self._source.fetch()
            keys, exposed = await in_thread(self._with_secrets, fetched)
        except FetchError as error:
            self._failed(str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the keys that are known go on
            self._failed(f"The issuer's keys cannot be fetched, by a defect: {type(error).__name__}.")
            return
        self._failures = 0
        self._due = self._clock() + _life(fetched)
        self._adopt(keys, fetched, exposed=exposed)

    def _with_secrets(self, fetched: Fetched) -> tuple[KeySet, bool]:
        """The fetched keys and the secrets that are none of them, and whether there is one that is."""
        published = fetched.published
        if not self._secrets:
            return published.keys, False
        material = [key.material for key in published.keys.keys if isinstance(key.material, PublicKey)]
        public = Published(fetched.document, material)
        secret = tuple(key for key in self._secrets if isinstance(key.material, str) and not public.has(key.material))
        return KeySet((*secret, *published.keys.keys), published=True), len(secret) < len(self._secrets)

    def _adopt(self, keys: KeySet, fetched: Fetched, *, exposed: bool) -> None:
        if keys != self.current:
            self.current = keys
            if exposed:
                _log.error("secret published", reason=f"{_EXPOSED}.", consequence="It verifies nothing.")
            if usable := len(fetched.published.keys.keys):
                _log.info("keys fetched", usable=usable)
            else:
                _log.warning("keys fetched", usable=0, consequence="Every token of the issuer is refused.")
        if fetched.published.skipped != self._said:
            self._said = fetched.published.skipped
            for sentence in self._said:
                _log.warning("key not used", reason=sentence)

    def _failed(self, sentence: str) -> None:
        # Nobody can be served without any keys; with some there is no hurry.
        pause = min(2.0**self._failures, _LONGEST_PAUSE) if self.current is None else _LONGEST_PAUSE
        self._failures = min(self._failures + 1, 10)
        self._due = self._clock() + pause * random.uniform(0.8, 1)  # noqa: S311 - guards nothing
        state = "No token can be verified until then." if self.current is None else "The known ones stay in use."
        _log.warning("keys not fetched", reason=sentence, consequence=state)


def _life(fetched: Fetched) -> float:
    """Seconds after which to fetch again: well before the keys are due, and not at the same moment in every worker."""
    if not fetched.published.keys.keys:
        # Some make a key when somebody signs in. Nobody should wait for it longer than after a failure.
        return _LONGEST_PAUSE * random.uniform(0.8, 1)  # noqa: S311 - guards nothing
    wanted = _USUAL_LIFE if fetched.max_age is None else fetched.max_age
    return min(max(wanted, _SHORTEST_LIFE), _LONGEST_LIFE) * random.uniform(0.7, 0.8)  # noqa: S311 - guards nothing


class _Missing:
    """Keys that a fetch has not brought, for a while; of very many the latest."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[KeyName, float] = {}

    def __contains__(self, name: KeyName) -> bool:
        return self._clock() < self._until.get(name, -math.inf)

    def add(self, name: KeyName) -> None:
        now = self._clock()
        self._until.pop(name, None)
        while self._until:
            oldest = next(iter(self._until))
            if len(self._until) < _MOST_MISSING and now < self._until[oldest]:
                break
            del self._until[oldest]
        self._until[name] = now + _MISSING_SECONDS

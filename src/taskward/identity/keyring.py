"""The keys in use, from whatever source: those of the settings stay, those of an issuer are kept fresh."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from taskward.identity.exposure import Published
from taskward.identity.fetched import FetchedKeys
from taskward.identity.issuer import KeySource
from taskward.identity.keys import (
    ALGORITHMS,
    ASYMMETRIC,
    NAMES,
    SYMMETRIC,
    KeyConfigurationError,
    KeyName,
    KeySet,
    PublicKey,
    canonical,
    pem_keys,
    read_pem,
    secret_keys,
)


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

    async def look_again(self, wanted: KeyName) -> bool:
        """No key verifies a token: ask the issuer for others, unless it has just said that it has none for it.

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
            KeyConfigurationError: A secret of the settings is among what the issuer publishes.
        """


class FixedKeys:
    """Keys of the settings."""

    retry_after = 0

    def __init__(self, keys: KeySet) -> None:
        self.current = keys
        self.algorithms = frozenset(name for key in keys.keys for name in key.algorithms)

    async def look_again(self, _wanted: KeyName) -> bool:
        """There is nowhere to look."""
        return True

    @asynccontextmanager
    async def maintained(self) -> AsyncIterator[None]:
        """They never change."""
        yield

    async def load(self) -> list[str]:
        return []


def load_keys(
    *,
    secrets: Sequence[str] = (),
    public_key: str | None = None,
    jwks_url: str | None = None,
    issuer: str | None = None,
    algorithms: Collection[str] = (),
    plain_http_hosts: Collection[str] = (),
) -> KeyRing:
    """The keys that tokens are verified with.

    Public keys come from the first of their sources that is given. Beside secrets, an issuer's name alone is none, and
    the algorithms must be of both kinds.

    Args:
        secrets: Shared secrets, the newest first, already checked for their length and fame by the settings.
        public_key: A PEM public key or certificate, or the path of a file that holds one.
        jwks_url: Where a key set is published.
        issuer: An issuer whose discovery document says where.
        algorithms: Those that may be used; all by default.
        plain_http_hosts: Hosts that keys may be fetched from without TLS.

    Raises:
        KeyConfigurationError: There is no key, or it is private, weak, public and a secret, or of a kind that is not
            supported.
    """
    unknown = [name for name in algorithms if name not in NAMES]
    if unknown:
        meant = [name for name in NAMES if _plain(name) == _plain(unknown[0])]
        hint = f"; did you mean {meant[0]}?" if meant else "."
        raise KeyConfigurationError(f"TASKWARD_ALGORITHMS may name {', '.join(sorted(NAMES))}, and nothing else{hint}")
    allowed = frozenset(map(canonical, algorithms)) or ALGORITHMS
    if secrets and public_key is None and jwks_url is None:
        return FixedKeys(secret_keys(secrets, allowed))
    if secrets and (not algorithms or allowed.isdisjoint(SYMMETRIC) or allowed.isdisjoint(ASYMMETRIC)):
        raise KeyConfigurationError(
            "A secret and public keys exclude each other, unless TASKWARD_ALGORITHMS names algorithms of both."
        )
    shared = secret_keys(secrets, allowed) if secrets else KeySet(())
    if public_key is not None:
        public = pem_keys(public_key, allowed)
        material = [key.material for key in public.keys if isinstance(key.material, PublicKey)]
        published = Published(read_pem(public_key), material)
        if any(map(published.has, secrets)):
            raise KeyConfigurationError("A secret is the public key in another spelling, or a part of it.")
        return FixedKeys(KeySet((*shared.keys, *public.keys)))
    if jwks_url is not None or issuer is not None:
        source = KeySource(
            issuer=issuer, jwks_url=jwks_url, algorithms=allowed, plain_http_hosts=frozenset(plain_http_hosts)
        )
        return FetchedKeys(source, secrets=shared.keys)
    raise KeyConfigurationError(
        "There is no key to verify tokens with: set TASKWARD_JWT_SECRET or BETTER_AUTH_SECRET, a secret shared with "
        "your app, or TASKWARD_ISSUER, TASKWARD_JWKS_URL or TASKWARD_PUBLIC_KEY, your issuer's keys."
    )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))

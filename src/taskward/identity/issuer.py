"""Where an issuer publishes its keys, and fetching them from there.

Addresses come from the settings, or from the discovery document of the issuer that the settings name; never from a
token (RFC 8725, section 3.10).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address

import httpx2

from taskward import __version__
from taskward.identity.encoding import parse_object
from taskward.identity.jwks import MalformedKeySetError, PublishedKeys, read_key_set
from taskward.identity.keys import ASYMMETRIC, KeyConfigurationError
from taskward.identity.wire import begun, bound
from taskward.runtime.fairness import in_thread

_DISCOVERY = "/.well-known/openid-configuration"
_SECONDS = 5.0  # for one document, from connecting to its last byte
_DISCOVERED_SECONDS = 600.0  # for which the address of the keys is not looked up again, unless nothing is there
_LARGEST_DOCUMENT = 1 << 20
_MOST_CHUNKS = 10_000  # each costs as much as a hundred bytes and more
_OK = 200
_LAST_PORT = 65_535
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"taskward/{__version__}"}
# Each document comes over a connection of its own, so that no answer can be left over from the one before.
_LIMITS = httpx2.Limits(max_keepalive_connections=0)
_LABEL = rb"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rb"%b(?:\.%b)*\.?" % (_LABEL, _LABEL))
_MAX_AGE = re.compile(r"(?i)(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])")


_fetching: ContextVar[bool] = ContextVar("fetching", default=False)
# httpx2 logs whole addresses, and a query may hold a key of an API. What else the app does with it is not our affair.
logging.getLogger("httpx2").addFilter(lambda _record: not _fetching.get())


class FetchError(Exception):
    """The issuer's keys could not be fetched; the message is one sentence that says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The issuer's keys cannot be fetched: {reason}.")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched, and the seconds for which the issuer says that it holds, if it says so."""

    document: bytes
    published: PublishedKeys
    max_age: int | None


class KeySource:
    """The address of an issuer's keys.

    Args:
        issuer: TASKWARD_ISSUER, whose discovery document (OpenID Connect Discovery 1.0) has the address; used where
            there is no other.
        jwks_url: TASKWARD_JWKS_URL.
        algorithms: Those that may be used.
        plain_http_hosts: TASKWARD_PLAIN_HTTP_HOSTS, in small letters.

    Raises:
        KeyConfigurationError: The address is one that nothing should be fetched from.
    """

    def __init__(
        self,
        *,
        issuer: str | None,
        jwks_url: str | None,
        algorithms: Collection[str] = ASYMMETRIC,
        plain_http_hosts: Collection[str] = (),
    ) -> None:
        variable, address = ("TASKWARD_ISSUER", issuer) if jwks_url is None else ("TASKWARD_JWKS_URL", jwks_url)
        self._plain_http_hosts = frozenset(plain_http_hosts)
        found = self._parse(address or "")
        if found is None:
            raise KeyConfigurationError(_refusal(variable, address or ""))
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._is_local = _is_local(found)
        # A proxy of the environment does not lead to this machine or a network of containers, which http is for.
        self._trusts_environment = found.scheme == "https"
        self.algorithms = ASYMMETRIC.intersection(algorithms)
        self._client: httpx2.AsyncClient | None = None
        self._discovered: tuple[str, float] = ("", -math.inf)
        self._read: tuple[bytes, PublishedKeys] | None = None

    async def fetch(self) -> Fetched:
        """Fetch and read the keys, all of them anew.

        Raises:
            FetchError: They are out of reach, or are not keys.
        """
        address = self._jwks_url or await self._find()
        try:
            body, headers = await self._get(address)
            published = await self._understand(body)
        except MalformedKeySetError as error:
            self._discovered = ("", -math.inf)
            raise FetchError(f"{_shown(address)} answers with something that is {error}") from None
        except FetchError:
            self._discovered = ("", -math.inf)
            raise
        age = _MAX_AGE.search(headers.get("cache-control", ""))
        return Fetched(body, published, int(age[1]) if age else None)

    async def _understand(self, body: bytes) -> PublishedKeys:
        """Read a key set, in a thread: to look for weaknesses takes its time."""
        if self._read is None or self._read[0] != body:
            self._read = body, await in_thread(read_key_set, body, self.algorithms)
        return self._read[1]

    async def close(self) -> None:
        """Close its connections; another fetch opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _find(self) -> str:
        address, until = self._discovered
        if time.monotonic() >= until:
            address = await self._discover()
            self._discovered = address, time.monotonic() + _DISCOVERED_SECONDS
        return address

    async def _discover(self) -> str:
        assert self._issuer is not None  # noqa: S101 - what it was made with
        address = self._issuer.rstrip("/") + _DISCOVERY
        body, _ = await self._get(address)
        try:
            document = parse_object(body)
        except Exception:  # noqa: BLE001 - crafted input raises RecursionError, UnicodeError and more; all mean the same
            raise FetchError(f"{_shown(address)} answers with something that is no JSON object") from None
        name, keys = document.get("issuer"), document.get("jwks_uri")
        if name != self._issuer:
            raise FetchError(
                f"{_shown(address)} is of an issuer that calls itself {json.dumps(name)[:300]}; "
                "TASKWARD_ISSUER must be the same, character for character"
            )
        found = self._parse(keys) if isinstance(keys, str) else None
        downward = found is not None and found.scheme == "http" and self._trusts_environment
        if found is None or downward or (_is_local(found) and not self._is_local):
            raise FetchError(
                f"{_shown(address)} names no https address of keys, nor one that TASKWARD_PLAIN_HTTP_HOSTS allows"
            )
        return str(found)

    def _parse(self, address: str) -> httpx2.URL | None:
        """The address, if keys may be fetched from there."""
        url = _read_address(address)
        if url is None or url.scheme == "https":
            return url
        return url if url.scheme == "http" and (_is_local(url) or url.host in self._plain_http_hosts) else None

    def _connect(self) -> httpx2.AsyncClient:
        try:
            client = httpx2.AsyncClient(
                headers=_HEADERS, timeout=_SECONDS, limits=_LIMITS, trust_env=self._trusts_environment
            )
            bound(client)
        except (ImportError, OSError, ValueError):
            # What is wrong with them is not repeated: a proxy's address may hold a password.
            raise FetchError("the environment's HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE cannot be used") from None
        return client

    async def _get(self, address: str) -> tuple[bytes, httpx2.Headers]:
        if self._client is None:
            # It reads every certificate authority of the system, which takes tens of milliseconds.
            self._client = await in_thread(self._connect)
        client = self._client
        body = bytearray()
        fetching = _fetching.set(True)
        try:
            async with asyncio.timeout(_SECONDS), client.stream("GET", address) as response:
                begun(response)
                if response.has_redirect_location:
                    raise FetchError(f"{_shown(address)} redirects, which is not followed; set the final address")
                if response.status_code != _OK:
                    hint = "; set TASKWARD_JWKS_URL if its keys are elsewhere" if address.endswith(_DISCOVERY) else ""
                    raise FetchError(f"{_shown(address)} answers {response.status_code}{hint}")
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise FetchError(f"{_shown(address)} answers with a compressed document, which was not asked for")
                chunks = 0
                async for chunk in response.aiter_raw():
                    body += chunk
                    chunks += 1
                    if chunks > _MOST_CHUNKS:
                        raise FetchError(f"{_shown(address)} answers in more than {_MOST_CHUNKS} pieces")
                    if len(body) > _LARGEST_DOCUMENT:
                        raise FetchError(f"{_shown(address)} answers with more than {_LARGEST_DOCUMENT} bytes")
        except TimeoutError:
            raise FetchError(f"{_shown(address)} does not answer within {_SECONDS:.0f} seconds") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise FetchError(f"{_shown(address)} cannot be reached ({_reason(error)})") from None
        finally:
            _fetching.reset(fetching)
            client.cookies.clear()  # no session of anybody is continued here
        return bytes(body), response.headers


def _read_address(address: str) -> httpx2.URL | None:
    """The address, if it is one that anything could be fetched from."""
    try:
        url = httpx2.URL(address)
        host = url.host  # which may be malformed in a way that the address is not
    except (httpx2.InvalidURL, ValueError):
        return None
    if (
        not (_HOST.fullmatch(url.raw_host) or _is_number(host))
        or not 0 < (443 if url.port is None else url.port) <= _LAST_PORT
    ):
        return None
    return None if url.userinfo or url.fragment or not address.isprintable() or " " in address else url


def _refusal(variable: str, address: str) -> str:
    hint = "" if variable == "TASKWARD_JWKS_URL" else "; set TASKWARD_JWKS_URL to where its keys are"
    url = _read_address(address)
    if url is not None and url.scheme == "http":
        hint += "; for http in a network that nobody else gets into, name its host in TASKWARD_PLAIN_HTTP_HOSTS"
    return f"{variable} must be an https address, or http on this machine, that keys can be fetched from{hint}."


def _is_local(url: httpx2.URL) -> bool:
    return url.host == "localhost" or (_is_number(url.host) and ip_address(url.host).is_loopback)


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _shown(address: str) -> str:
    # A query may hold a key of an API.
    return ascii(str(httpx2.URL(address).copy_with(query=None))).strip("'")


def _reason(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return ascii(text)[1:-1][:200] if text else type(error).__name__

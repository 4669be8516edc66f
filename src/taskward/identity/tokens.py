"""Access tokens: the only place that imports `jose`, behind checks of our own.

`jose.jws.verify` is asked about one signature with one prebuilt key and one algorithm. Everything around it, the
shape of the token, its header and its claims, is checked here, because `jose.jwt.decode` is lenient about all three.
Rules are those of RFC 8725 (JWT Best Current Practices) and RFC 7519.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from jose import jwk, jws

from taskward.identity.keys import VerificationKey

_LONGEST_TOKEN = 8192
_CACHED_TOKENS = 10_000
# Three segments of the base64url alphabet, never padded (RFC 7515, section 2).
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# What the last character of a segment may be when its bits do not fill a byte; anything else is a second
# spelling of the same bytes, by which one token would have many digests.
_CANONICAL_END = {0: None, 2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_LONGEST_USER_ID = 255


class TokenRejected(Exception):
    """The token is not accepted. The message names the check that failed, for logs and tools, never for answers."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    Attributes:
        user_id: The user claim.
        expires_at: `exp`, seconds since the epoch.
        not_before: The later of `nbf` and `iat`, seconds since the epoch, or minus infinity.
    """

    user_id: str
    expires_at: float
    not_before: float


class Verifier:
    """Verifies access tokens with one key.

    A verified token is remembered by its digest; only its times are checked again. What is not valid is never
    remembered, so a flood of bad tokens evicts nothing.

    Args:
        key: The key and its algorithm.
        issuer: The exact `iss` that is required, or None.
        audience: Audiences of which one is required in `aud`, or empty.
        user_claim: The claim that is the user id; a name with dots that is not itself a claim goes into objects.
        leeway: Seconds by which clocks may differ.
        now: The time in seconds since the epoch.
    """

    def __init__(
        self,
        key: VerificationKey,
        *,
        issuer: str | None = None,
        audience: tuple[str, ...] = (),
        user_claim: str = "sub",
        leeway: float = 30,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key = jwk.construct(key.material, key.algorithm)
        self._algorithm = key.algorithm
        self._issuer = issuer
        self._audience = frozenset(audience)
        self._user_claim = user_claim
        self._leeway = leeway
        self._now = now
        self._verified: dict[bytes, Claims] = {}

    def verify(self, token: str) -> Claims:
        """Check a compact JWS and its claims.

        Raises:
            TokenRejected: It is malformed, forged, expired, or not meant for this service.
        """
        if len(token) > _LONGEST_TOKEN:
            raise TokenRejected("longer than 8 KiB")
        digest = blake2b(token.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verify_signed(token)
            self._check_times(claims)
            if len(self._verified) >= _CACHED_TOKENS:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = claims
        else:
            self._check_times(claims)
        return claims

    def _verify_signed(self, token: str) -> Claims:
        self._check_shape(token)
        try:
            header = _json_object(_decode(token.partition(".")[0]))
        except Exception:  # noqa: BLE001 - crafted input raises RecursionError, UnicodeError and more; all mean the same
            raise TokenRejected("the header is not a JSON object") from None
        self._check_header(header)
        try:
            payload = _json_object(jws.verify(token, self._key, [self._algorithm]))
        except Exception:  # noqa: BLE001 - python-jose lets TypeError, KeyError, OverflowError and more through
            raise TokenRejected("the signature or the payload is not valid") from None
        return self._read_claims(payload)

    @staticmethod
    def _check_shape(token: str) -> None:
        match = _COMPACT.fullmatch(token)
        if match is None:
            raise TokenRejected("not three base64url segments")
        for segment in match.groups():
            allowed = _CANONICAL_END.get(len(segment) % 4, frozenset())
            if allowed is not None and segment[-1] not in allowed:
                raise TokenRejected("a segment is not canonical base64url")

    def _check_header(self, header: Mapping[str, Any]) -> None:
        if header.get("alg") != self._algorithm:
            raise TokenRejected(f"signed with another algorithm than {self._algorithm}")
        if "crit" in header or header.get("b64", True) is not True:
            raise TokenRejected("the header has critical extensions")
        if "kid" in header and not isinstance(header["kid"], str):
            raise TokenRejected("the key id is not a string")
        if "typ" in header and not (isinstance(header["typ"], str) and header["typ"].lower() in _TOKEN_TYPES):
            raise TokenRejected("not an access token by its type")

    def _read_claims(self, payload: Mapping[str, Any]) -> Claims:
        expires_at = _numeric_date(payload, "exp")
        if expires_at is None:
            raise TokenRejected("has no expiry")
        if self._issuer is not None and payload.get("iss") != self._issuer:
            raise TokenRejected("from another issuer")
        if self._audience:
            self._check_audience(payload.get("aud"))
        starts = [start for name in ("nbf", "iat") if (start := _numeric_date(payload, name)) is not None]
        not_before = max(starts, default=-math.inf)
        return Claims(self._read_user_id(payload), expires_at, not_before)

    def _check_audience(self, audience: object) -> None:
        named = [audience] if isinstance(audience, str) else audience
        if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
            raise TokenRejected("the audience is missing or malformed")
        if self._audience.isdisjoint(named):
            raise TokenRejected("for another audience")

    def _check_times(self, claims: Claims) -> None:
        now = self._now()
        if now >= claims.expires_at + self._leeway:
            raise TokenRejected("expired")
        if now < claims.not_before - self._leeway:
            raise TokenRejected("not valid yet")

    def _read_user_id(self, payload: Mapping[str, Any]) -> str:
        value: object = payload
        if self._user_claim in payload:
            value = payload[self._user_claim]
        else:
            for name in self._user_claim.split("."):
                value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, str) or not is_user_id(value):
            raise TokenRejected("the user claim is not a string of 1 to 255 characters without control characters")
        return value


def is_user_id(value: str) -> bool:
    """Tell whether a string may be a user's id: 1 to 255 characters, without control characters and surrogates."""
    return 1 <= len(value) <= _LONGEST_USER_ID and (value.isprintable() or not any(map(_is_unsafe, value)))


def _is_unsafe(character: str) -> bool:
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code <= 0xDFFF  # noqa: PLR2004 - C0, DEL and C1, surrogates


def _decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _json_object(data: bytes) -> dict[str, Any]:
    value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise TypeError
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two parsers that disagree on which duplicate counts would disagree on who the user is (RFC 7519, section 4).
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _no_constant(_name: str) -> float:
    raise ValueError


def _numeric_date(payload: Mapping[str, Any], name: str) -> float | None:
    if name not in payload:
        return None
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRejected(f"{name} is not a number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise TokenRejected(f"{name} is not a finite number")
    return seconds


def sign(claims: Mapping[str, Any], secret: str) -> str:
    """Make an HS256 token, for development and for the tests of apps that use Taskward."""
    return str(jws.sign(dict(claims), secret, algorithm="HS256"))

"""Access tokens: the only place that imports `jose`, behind checks of our own.

`jose.jws.verify` is asked about one signature with one prebuilt key and one algorithm. Everything around it, the
shape of the token, its header and its claims, is checked by Taskward, because `jose.jwt.decode` is lenient about all
three. Rules are those of RFC 8725 (JWT Best Current Practices) and RFC 7519.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JWKError

from taskward.identity.claims import ClaimRules, Claims, Note, TokenRejected
from taskward.identity.encoding import decode_base64url, is_base64url, parse_object
from taskward.identity.keyring import KeyRing
from taskward.identity.keys import KeyName, KeySet, VerificationKey, canonical

_LONGEST_TOKEN = 8192
_CACHED_TOKENS = 10_000
_MOST_CACHED_SCOPES = 50  # 8 KiB can hold thousands, which take twenty times that in memory
_SEGMENTS = 3
_TOKEN_TYPES = frozenset({"jwt", "at+jwt"})


class NotCompact(TokenRejected):
    """It is not written as a JWS in the compact form is."""


class KeyNotFound(TokenRejected):
    """No key that is known verifies this token. The issuer may have published it since.

    Attributes:
        wanted: What the token says of its key.
    """

    def __init__(self, wanted: KeyName, reason: str = "none of the keys has its key id and algorithm") -> None:
        self.wanted = wanted
        super().__init__(reason, wanted.kid)


class KeysNotFetched(Exception):
    """No token can be verified, because the issuer's keys could not be fetched yet.

    Attributes:
        wanted: What the token says of its key.
    """

    def __init__(self, wanted: KeyName) -> None:
        self.wanted = wanted
        super().__init__("no key has been fetched yet")


class Verifier:
    """Verifies access tokens.

    A verified token is remembered by its digest, unless it has very many scopes; only its times are checked again.
    What is not valid is never remembered, so a flood of bad tokens evicts nothing. When the keys change, everything
    is forgotten.

    Args:
        keys: The keys in use.
        rules: What the claims must say.
        now: The time in seconds since the epoch.
    """

    def __init__(self, keys: KeyRing, rules: ClaimRules, *, now: Callable[[], float] = time.time) -> None:
        self.keys = keys
        self._rules = rules
        self._now = now
        self._key_set: KeySet | None = None
        self._prepared: dict[tuple[int, str], Key] = {}
        self._verified: dict[bytes, Claims] = {}

    def verify(self, token: str) -> Claims:
        """Check a compact JWS and its claims.

        Raises:
            TokenRejected: It is malformed, forged, expired, or not meant for this service.
            KeyNotFound: Its key is not known.
            KeysNotFetched: No key is known yet.
        """
        if self.keys.current is not self._key_set:
            self._adopt()
        if len(token) > _LONGEST_TOKEN:
            raise TokenRejected("it is longer than 8 KiB")
        digest = _digest(token)
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verify_signed(token, _no_note)
            if len(claims.scopes) <= _MOST_CACHED_SCOPES:
                if len(self._verified) >= _CACHED_TOKENS:
                    del self._verified[next(iter(self._verified))]
                self._verified[digest] = claims
        else:
            self._rules.check_times(claims, self._now())
        return claims

    def explain(self, token: str, note: Note) -> Claims:
        """Check a token as `verify` does, and say what was found right on the way.

        Raises:
            TokenRejected: As `verify`.
            KeyNotFound: As `verify`.
            KeysNotFetched: As `verify`.
        """
        self._adopt()
        if len(token) > _LONGEST_TOKEN:
            raise TokenRejected("it is longer than 8 KiB", f"{len(token)} characters")
        return self._verify_signed(token, note)

    def _adopt(self) -> None:
        """Go on with the keys that are in use now; what older ones verified is not trusted any more."""
        self._key_set = self.keys.current
        self._prepared.clear()
        self._verified.clear()

    def _verify_signed(self, token: str, note: Note) -> Claims:
        segments = token.split(".")
        if len(segments) != _SEGMENTS or not all(map(is_base64url, segments)):
            raise NotCompact("it is not three segments of canonical base64url")
        try:
            header = parse_object(decode_base64url(segments[0]))
        except Exception:  # noqa: BLE001 - crafted input raises RecursionError, UnicodeError and more; all mean the same
            raise TokenRejected("its header is not a JSON object without duplicates") from None
        _check_header(header)
        note("its header is one of an access token", {name: header.get(name) for name in ("alg", "kid", "typ")})
        payload = self._check_signature(token, header, note)
        claims = self._rules.read(payload, note)
        self._rules.check_times(claims, self._now())
        note("it holds at this time", None)
        return claims

    def _check_signature(self, token: str, header: Mapping[str, Any], note: Note) -> Mapping[str, Any]:
        algorithm = canonical(header["alg"])
        if algorithm not in self.keys.algorithms:
            raise TokenRejected("it is signed with an algorithm that no key may be used with", header["alg"])
        kid = header.get("kid")
        wanted = KeyName(kid, algorithm, _digest(token) if kid is None else None)
        if self._key_set is None:
            raise KeysNotFetched(wanted)
        candidates = self._key_set.find(kid, algorithm)
        if not candidates:
            raise KeyNotFound(wanted)
        note("there is a key for it", None)
        for key in candidates:
            try:
                payload = jws.verify(token, self._prepare(key, algorithm), [header["alg"]])
            except Exception:  # noqa: BLE001, S112 - python-jose lets TypeError, KeyError, OverflowError and more through
                continue
            note("its signature is right", None)
            try:
                return parse_object(payload)
            except Exception:  # noqa: BLE001 - as with the header
                raise TokenRejected("its payload is not a JSON object without duplicates") from None
        if self._key_set.may_be_replaced(kid, algorithm):
            raise KeyNotFound(wanted, "its signature is wrong")
        raise TokenRejected("its signature is wrong")

    def _prepare(self, key: VerificationKey, algorithm: str) -> Key:
        # The keys live as long as their set, so their ids are theirs alone.
        place = (id(key), algorithm)
        if place not in self._prepared:
            self._prepared[place] = jwk.construct(key.material, algorithm)
        return self._prepared[place]


def _digest(token: str) -> bytes:
    return blake2b(token.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def _no_note(_sentence: str, _found: object) -> None:
    pass


def _check_header(header: Mapping[str, Any]) -> None:
    if not isinstance(header.get("alg"), str):
        raise TokenRejected("its header names no algorithm")
    if "crit" in header or header.get("b64", True) is not True:
        raise TokenRejected("its header has critical extensions")
    # Null is not absent: it is a wrong value.
    if "kid" in header and not isinstance(header["kid"], str):
        raise TokenRejected("its key id is not a string")
    if "typ" in header and not _is_access_token(header["typ"]):
        raise TokenRejected("it is not an access token by its type", header["typ"])


def _is_access_token(kind: object) -> bool:
    # RFC 7515, section 4.1.9: "application/" may be left out.
    return isinstance(kind, str) and kind.lower().removeprefix("application/") in _TOKEN_TYPES


def sign(claims: Mapping[str, Any], secret: str, algorithm: str = "HS256") -> str:
    """Make a token with a shared secret, for development and for the tests of apps that use Taskward."""
    return str(jws.sign(dict(claims), secret, algorithm=algorithm))


class _Ed25519Key(Key):  # type: ignore[misc]
    """EdDSA over Ed25519 (RFC 8037, section 3.1), which python-jose does not have."""

    def __init__(self, key: object, algorithm: str) -> None:
        if not isinstance(key, Ed25519PublicKey):
            raise JWKError(f"not a key of {algorithm}")
        self._key = key

    def verify(self, msg: bytes, sig: bytes) -> bool:
        try:
            self._key.verify(sig, msg)
        except InvalidSignature:
            return False
        return True


class _PssKey(Key):  # type: ignore[misc]
    """RSASSA-PSS (RFC 7518, section 3.5), which python-jose does not have: one hash, and a salt of its size."""

    _hashes: ClassVar[Mapping[str, hashes.HashAlgorithm]] = {
        "PS256": hashes.SHA256(),
        "PS384": hashes.SHA384(),
        "PS512": hashes.SHA512(),
    }

    def __init__(self, key: object, algorithm: str) -> None:
        if not isinstance(key, RSAPublicKey):
            raise JWKError(f"not a key of {algorithm}")
        self._key = key
        self._hash = self._hashes[algorithm]
        self._padding = padding.PSS(mgf=padding.MGF1(self._hash), salt_length=self._hash.digest_size)
        self._signature_bytes = (key.key_size + 7) // 8

    def verify(self, msg: bytes, sig: bytes) -> bool:
        # OpenSSL also takes one whose leading zeros are cut off: a second spelling (RFC 8017, section 8.1.2, step 1).
        if len(sig) != self._signature_bytes:
            return False
        try:
            self._key.verify(sig, msg, self._padding, self._hash)
        except InvalidSignature:
            return False
        return True


jwk.register_key("EdDSA", _Ed25519Key)
for _name in ("PS256", "PS384", "PS512"):
    jwk.register_key(_name, _PssKey)

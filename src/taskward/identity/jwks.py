"""Key sets as issuers publish them: JWK Sets (RFC 7517) become a `KeySet`, once, when they are fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from taskward.identity.encoding import decode_base64url, parse_object
from taskward.identity.keys import (
    ALGORITHMS,
    LARGEST_RSA_BITS,
    LONGEST_KID,
    KeySet,
    PublicKey,
    UnusableKeyError,
    VerificationKey,
    algorithms_of,
    canonical,
    narrowed,
)

_MOST_KEYS = 100
_MOST_SENTENCES = 100
# To look for weaknesses of RSA keys takes a time that grows with the cube of their bits. This much is a hundred keys of
# 4096 bits and more, or two of 16384: half a minute of a thread, once.
_MOST_WORK = 1024 * 2048**3
_CURVES = {"P-256": SECP256R1(), "P-384": SECP384R1(), "P-521": SECP521R1()}
# Members that only a private or a symmetric key has (RFC 7518, section 6).
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class MalformedKeySetError(ValueError):
    """The document is not a JWK Set."""


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What a document says.

    Attributes:
        keys: Those that verify tokens.
        skipped: Of each that cannot be used, a sentence that says which one it is and why. A key that is meant for
            something else, such as encryption, is not named.
    """

    keys: KeySet
    skipped: tuple[str, ...]


def read_key_set(document: bytes, allowed: frozenset[str] = ALGORITHMS) -> PublishedKeys:
    """Read a JWK Set. A key that cannot be used does not spoil the others.

    Raises:
        MalformedKeySetError: It is not a JSON object with a list `keys`.
    """
    try:
        members = parse_object(document)["keys"]
    except Exception:  # noqa: BLE001 - crafted input raises RecursionError, UnicodeError and more; all mean the same
        raise MalformedKeySetError("not a JWK Set") from None
    if not isinstance(members, list):
        raise MalformedKeySetError("not a JWK Set")
    reading = _Reading(allowed)
    for position, member in enumerate(members):
        reading.read(member, position)
    sure = _without_ambiguity(reading.keys, reading.skipped)
    if (more := len(reading.skipped) - _MOST_SENTENCES) > 0:
        reading.skipped[_MOST_SENTENCES:] = [f"another key, as are {more - 1} more, is nothing that can be used"]
    return PublishedKeys(KeySet(tuple(sure), published=True), tuple(reading.skipped))


class _Reading:
    """What was read of a set so far."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self.keys: list[VerificationKey] = []
        self.skipped: list[str] = []
        self._allowed = allowed
        self._work = 0

    def read(self, member: object, position: int) -> None:
        try:
            key = self._key(member)
        except UnusableKeyError as error:
            self.skipped.append(f"{_name(member, position)} is {error}")
            return
        if key is not None and key not in self.keys:
            self.keys.append(key)

    def _key(self, member: object) -> VerificationKey | None:
        """A key of the set, or None where it is meant for something else."""
        if not isinstance(member, dict):
            raise UnusableKeyError("not an object")
        if not _PRIVATE.isdisjoint(member):
            raise UnusableKeyError("a private or symmetric key, which nobody should publish")
        kid = _kid(member)
        if not _is_for_signatures(member):
            return None
        if len(self.keys) >= _MOST_KEYS:
            raise UnusableKeyError(f"behind {_MOST_KEYS} that can be used, which are enough")
        material = _public_key(member)
        if isinstance(material, RSAPublicKey) and material.key_size <= LARGEST_RSA_BITS:
            self._work += material.key_size**3
            if self._work > _MOST_WORK:
                raise UnusableKeyError("behind so many large RSA keys that to look at it would take too long")
        key = VerificationKey(algorithms_of(material), material, kid)
        if "alg" in member:
            label = canonical(member["alg"])
            if label not in key.algorithms:
                raise UnusableKeyError("labelled with an algorithm that it is not of")
            key = narrowed(key, (label,))
        return narrowed(key, self._allowed)


def _without_ambiguity(keys: list[VerificationKey], skipped: list[str]) -> list[VerificationKey]:
    """Drop keys that share a name and an algorithm: nobody could tell which of them a token means."""
    sure = []
    for key in keys:
        if any(
            other is not key and other.kid == key.kid and not set(other.algorithms).isdisjoint(key.algorithms)
            for other in keys
        ):
            skipped.append(f"{_name({'kid': key.kid}, keys.index(key))} is one of several with this name")
        else:
            sure.append(key)
    return sure


def _name(member: object, position: int) -> str:
    kid = member.get("kid") if isinstance(member, dict) else None
    return f"key {kid[:LONGEST_KID]!a}" if isinstance(kid, str) else f"key number {position + 1}"


def _kid(member: dict[str, Any]) -> str | None:
    if "kid" not in member:
        return None
    # Null is not absent here, nor in any other member: it is a wrong value, as in the header of a token.
    kid = member["kid"]
    if not isinstance(kid, str) or len(kid) > LONGEST_KID:
        raise UnusableKeyError("named by something else than a short string")
    return kid


def _is_for_signatures(member: dict[str, Any]) -> bool:
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list):
        raise UnusableKeyError("meant for operations that are not a list")
    algorithm = member.get("alg", "")
    if not isinstance(algorithm, str):
        raise UnusableKeyError("labelled with an algorithm that is not a string")
    encrypts = algorithm.startswith(("RSA-OAEP", "RSA1_5", "ECDH-ES"))
    use = member.get("use", "sig")
    if not isinstance(use, str):
        raise UnusableKeyError("meant for a use that is not a string")
    return use == "sig" and "verify" in operations and not encrypts


def _public_key(member: dict[str, Any]) -> PublicKey:
    try:
        return _parse(member)
    except UnusableKeyError:
        raise
    except (KeyError, TypeError, ValueError):
        raise UnusableKeyError("malformed, or of a kind that is not supported") from None


def _parse(member: dict[str, Any]) -> PublicKey:
    kind = member["kty"]
    if kind == "RSA":
        return RSAPublicNumbers(_integer(member["e"]), _integer(member["n"])).public_key()
    curve = member["crv"]
    if kind == "OKP" and curve == "Ed25519":
        return Ed25519PublicKey.from_public_bytes(decode_base64url(member["x"]))
    if kind == "EC":
        found = _CURVES[curve]
        x, y = (decode_base64url(member[name]) for name in ("x", "y"))
        size = (found.key_size + 7) // 8
        if len(x) == len(y) == size:  # RFC 7518, section 6.2.1.2: the full size, leading zeros included
            numbers = EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), found)
            point = numbers.public_key()
            if point.public_numbers() == numbers:  # OpenSSL takes numbers beyond the curve's field as well
                return point
    raise ValueError("of a kind that is not supported")


def _integer(text: str) -> int:
    octets = decode_base64url(text)
    if octets[0] == 0:  # RFC 7518, sections 2 and 6.3.1.1: the fewest octets that the number needs
        raise UnusableKeyError("written with zeros before its numbers, which is another spelling of a key")
    return int.from_bytes(octets, "big")

"""Key sets as issuers publish them: JWK Sets (RFC 7517) become a `KeySet`, once, when they are fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from taskward.identity.encoding import decode_base64url, parse_object
from taskward.identity.keys import (
    ALGORITHMS,
    KeySet,
    PublicKey,
    UnusableKeyError,
    VerificationKey,
    algorithms_of,
    narrowed,
)

_MOST_KEYS = 100
_LONGEST_KID = 255
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
            something else, such as encryption, is nothing to speak of.
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
    keys: list[VerificationKey] = []
    skipped: list[str] = []
    for position, member in enumerate(members[:_MOST_KEYS]):
        try:
            key = _read_key(member, allowed)
        except UnusableKeyError as error:
            skipped.append(f"{_name(member, position)} is {error}")
            continue
        if key is not None and key not in keys:
            keys.append(key)
    if len(members) > _MOST_KEYS:
        skipped.append(f"all keys behind the first {_MOST_KEYS} are too many")
    return PublishedKeys(_without_ambiguity(keys, skipped), tuple(skipped))


def _without_ambiguity(keys: list[VerificationKey], skipped: list[str]) -> KeySet:
    """Drop keys of one name and algorithm: which of them a token means could not be told."""
    sure = []
    for key in keys:
        if any(
            other is not key and other.kid == key.kid and not set(other.algorithms).isdisjoint(key.algorithms)
            for other in keys
        ):
            skipped.append(f"{_name({'kid': key.kid}, keys.index(key))} is one of several with this name")
        else:
            sure.append(key)
    return KeySet(tuple(sure), published=True)


def _name(member: object, position: int) -> str:
    kid = member.get("kid") if isinstance(member, dict) else None
    return f"key {kid[:_LONGEST_KID]!a}" if isinstance(kid, str) else f"key number {position + 1}"


def _read_key(member: object, allowed: frozenset[str]) -> VerificationKey | None:
    """A key of a set, or None where it is meant for something else."""
    if not isinstance(member, dict):
        raise UnusableKeyError("not an object")
    if not _PRIVATE.isdisjoint(member):
        raise UnusableKeyError("a private or symmetric key, which nobody should publish")
    kid = member.get("kid")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= _LONGEST_KID):
        raise UnusableKeyError("named by something else than a short string")
    if not _is_for_signatures(member):
        return None
    try:
        material = _public_key(member)
    except (KeyError, TypeError, ValueError):
        raise UnusableKeyError("malformed, or of a kind that is not supported") from None
    key = VerificationKey(algorithms_of(material), material, kid)
    if "alg" in member:
        if member["alg"] not in key.algorithms:
            raise UnusableKeyError("labelled with an algorithm that it is not of")
        key = narrowed(key, (member["alg"],))
    return narrowed(key, allowed)


def _is_for_signatures(member: dict[str, Any]) -> bool:
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list):
        raise UnusableKeyError("meant for operations that are not a list")
    algorithm = member.get("alg", "")
    if not isinstance(algorithm, str):
        raise UnusableKeyError("labelled with an algorithm that is not a string")
    encrypts = algorithm.startswith(("RSA-OAEP", "RSA1_5", "ECDH-ES"))
    return member.get("use", "sig") == "sig" and "verify" in operations and not encrypts


def _public_key(member: dict[str, Any]) -> PublicKey:
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
            return EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), found).public_key()
    raise ValueError("of a kind that is not supported")


def _integer(text: str) -> int:
    return int.from_bytes(decode_base64url(text), "big")

"""Keys that verify tokens, checked and parsed once, from whatever source they come.

What a key may verify is fixed when it is read: by its own `alg`, or else by its kind; a token's `alg` only chooses
among that. A secret has algorithms of secrets and a public key those of public keys, whoever makes one, so that neither
can be taken for the other (RFC 8725, section 2.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from taskward.identity.weaknesses import ed25519_weakness, rsa_weakness

# Bytes that a secret must have at least: as many as the hash (RFC 7518, section 3.2).
_HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# By the curve's name (RFC 7518, section 3.4).
_ECDSA = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ED25519 = "EdDSA"
ASYMMETRIC = frozenset({*_RSA, *_ECDSA.values(), _ED25519})
SYMMETRIC = frozenset(_HMAC)
ALGORITHMS = ASYMMETRIC | SYMMETRIC
# RFC 9864 names the curve: with no other curve here, that is another word for the same algorithm.
_SYNONYMS = {"Ed25519": _ED25519}
NAMES = ALGORITHMS.union(_SYNONYMS)

LONGEST_KID = 255  # characters of the name of a published key

_SMALLEST_RSA_BITS = 2048  # RFC 7518, section 3.3
LARGEST_RSA_BITS = 16_384  # beyond, one signature costs milliseconds
_LARGEST_RSA_EXPONENT_BITS = 64
_LONGEST_PEM = 65_536  # a certificate with its chain; what is longer is some other file

PublicKey = RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey


class KeyConfigurationError(Exception):
    """The keys cannot be used as configured; the message is one sentence that says why."""


class UnusableKeyError(ValueError):
    """A key is weak or of a kind that verifies no token; the message completes "the key is …"."""


def canonical(algorithm: str) -> str:
    """The one name of an algorithm that has two."""
    return _SYNONYMS.get(algorithm, algorithm)


class KeyName(NamedTuple):
    """What a token says of its key: `kid` and, by its one name, `alg`.

    Attributes:
        token: Of a token without `kid`, its digest. What one such token is not verified with says nothing of the next.
    """

    kid: str | None
    algorithm: str
    token: bytes | None = None


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """Key material and what it may verify.

    Attributes:
        algorithms: JWS `alg` values (RFC 7518, section 3.1), by the one name of each.
        material: A public key, or a shared secret.
        kid: The name that the issuer gives it; None for a key of the settings.
    """

    algorithms: tuple[str, ...]
    material: PublicKey | str = field(repr=False)
    kid: str | None = None

    def __post_init__(self) -> None:
        kind = SYMMETRIC if isinstance(self.material, str) else ASYMMETRIC
        if not kind.issuperset(self.algorithms):
            raise ValueError("a secret and a public key have no algorithm in common")


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys in use at one time.

    Attributes:
        keys: In the order of preference.
        published: Whether an issuer published those that are public. Then a token is verified with the one key that it
            names, or with the only one of its algorithm if it names none. Keys of the settings have no names: each is
            tried in order.
    """

    keys: tuple[VerificationKey, ...]
    published: bool = False

    def find(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """The keys that a token with this header may be verified with; empty where there is none, or where it is not
        certain.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if not self.published or algorithm in SYMMETRIC:
            return fitting
        named = [key for key in fitting if kid is None or key.kid == kid]
        return named if len(named) == 1 else []

    def may_be_replaced(self, kid: str | None, algorithm: str) -> bool:
        """Whether an issuer may have another key by now for tokens with this header.

        A name is one key's for good, and another key has another name (RFC 7517, section 4.5). Where a token has none,
        a signature that is wrong may as well be one of a newer key.
        """
        return self.published and kid is None and algorithm not in SYMMETRIC


def secret_keys(secrets: Iterable[str], allowed: frozenset[str] = ALGORITHMS) -> KeySet:
    """Keys of shared secrets, the newest first.

    Raises:
        KeyConfigurationError: None of the allowed algorithms can be used with one of them.
    """
    keys = []
    for secret in secrets:
        algorithms = tuple(name for name, least in _HMAC.items() if len(secret.encode()) >= least and name in allowed)
        if not algorithms:
            raise KeyConfigurationError(
                "TASKWARD_ALGORITHMS names none that a secret of this length can verify: "
                + ", ".join(f"{name} from {least} bytes on" for name, least in _HMAC.items())
                + "."
            )
        keys.append(VerificationKey(algorithms, secret))
    return KeySet(tuple(keys))


def pem_keys(public_key: str, allowed: frozenset[str] = ALGORITHMS) -> KeySet:
    """The key of `TASKWARD_PUBLIC_KEY`: a PEM public key or certificate, or the path of a file that holds one.

    Raises:
        KeyConfigurationError: It is private, weak, or of a kind that is not supported.
    """
    key = _parse_pem(read_pem(public_key))
    try:
        usable = narrowed(VerificationKey(algorithms_of(key), key), allowed)  # type: ignore[arg-type]
    except UnusableKeyError as error:
        raise KeyConfigurationError(f"TASKWARD_PUBLIC_KEY is {error}.") from None
    return KeySet((usable,))


def algorithms_of(key: object) -> tuple[str, ...]:
    """What a public key can verify.

    Raises:
        UnusableKeyError: Nothing, or it is too weak.
    """
    if isinstance(key, RSAPublicKey):
        if key.key_size < _SMALLEST_RSA_BITS:
            raise UnusableKeyError(f"an RSA key of {key.key_size} bits; at least {_SMALLEST_RSA_BITS} are needed")
        numbers = key.public_numbers()
        if key.key_size > LARGEST_RSA_BITS or numbers.e.bit_length() > _LARGEST_RSA_EXPONENT_BITS:
            raise UnusableKeyError("an RSA key so large that verifying with it would be slow")
        if weakness := rsa_weakness(numbers.n):
            raise UnusableKeyError(f"an RSA key {weakness}")
        return _RSA
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _ECDSA:
        return (_ECDSA[key.curve.name],)
    if isinstance(key, Ed25519PublicKey):
        if weakness := ed25519_weakness(key.public_bytes_raw()):
            raise UnusableKeyError(f"an Ed25519 key {weakness}")
        return (_ED25519,)
    raise UnusableKeyError("not an RSA, P-256, P-384, P-521 or Ed25519 key")


def narrowed(key: VerificationKey, allowed: Iterable[str]) -> VerificationKey:
    """The key with no other algorithms than these.

    Raises:
        UnusableKeyError: It has none of them.
    """
    algorithms = tuple(name for name in key.algorithms if name in allowed)
    if not algorithms:
        raise UnusableKeyError("of a kind that TASKWARD_ALGORITHMS does not allow")
    return replace(key, algorithms=algorithms)


def read_pem(text: str) -> bytes:
    """The PEM that is `TASKWARD_PUBLIC_KEY`, or is in the file that it names.

    Raises:
        KeyConfigurationError: It is neither.
    """
    if "-----BEGIN" in text:
        # `.env` files and container environments often carry a PEM on one line with literal \n.
        # What is not UTF-8 in the environment arrives as surrogates; no PEM has any.
        return text.replace("\\n", "\n").strip().encode("utf-8", "replace")
    try:
        with Path(text).expanduser().open("rb") as file:
            return file.read(_LONGEST_PEM)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a home directory of nobody
        raise KeyConfigurationError("TASKWARD_PUBLIC_KEY is neither a PEM key nor a file that can be read.") from None


def _parse_pem(pem: bytes) -> object:
    if b"PRIVATE KEY-----" in pem:
        raise KeyConfigurationError("TASKWARD_PUBLIC_KEY holds a private key; give the public one and keep that safe.")
    try:
        certificate = b"-----BEGIN CERTIFICATE-----" in pem
        return load_pem_x509_certificate(pem).public_key() if certificate else load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyConfigurationError("TASKWARD_PUBLIC_KEY is not a PEM public key or certificate.") from None

"""Keys that verify tokens, checked and parsed once, from whatever source they come.

The keys in use are either shared secrets or public keys, never both, so that a public key can never be taken for a
secret (RFC 8725, section 2.1). What a key may verify is fixed when it is read: by its own `alg`, or else by its kind;
a token's `alg` only chooses among that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

# Bytes that a secret must have at least: as many as the hash (RFC 7518, section 3.2).
_HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# By the curve's name (RFC 7518, section 3.4).
_ECDSA = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ED25519 = ("EdDSA", "Ed25519")  # the second name is RFC 9864's for the same thing
ASYMMETRIC = frozenset({*_RSA, *_ECDSA.values(), *_ED25519})
ALGORITHMS = ASYMMETRIC.union(_HMAC)

_SMALLEST_RSA_BITS = 2048  # RFC 7518, section 3.3
_LARGEST_RSA_BITS = 16_384  # beyond, one signature costs milliseconds
_LARGEST_RSA_EXPONENT_BITS = 64
# Primes modulo which the powers of 65537 are few. Chips with the flaw of CVE-2017-15361 made moduli that are such a
# power modulo every small prime, and can be factored; of all others one in 2^27 is.
_FEW_POWERS = {
    prime: frozenset(pow(65_537, exponent, prime) for exponent in range(prime))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}
_SMALL_FACTORS = math.lcm(*range(1, 1000))
_LONGEST_PEM = 65_536  # a certificate with its chain; what is longer is some other file

# Points of small order: with one as its key, Ed25519 accepts signatures that anybody can make. These are all of their
# y coordinates modulo 2^255 - 19, and those of them that fit into 255 bits once more unreduced.
_P = 2**255 - 19
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset({0, 1, _P - 1, _Y8, _P - _Y8, _P, _P + 1})

PublicKey = RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey


class KeyConfigurationError(Exception):
    """The keys cannot be used as configured; the message is one sentence that says why."""


class UnusableKeyError(ValueError):
    """A key is weak or of a kind that verifies no token; the message completes "the key is …"."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """Key material and what it may verify.

    Attributes:
        algorithms: JWS `alg` values (RFC 7518, section 3.1).
        material: A public key, or a shared secret.
        kid: The name that the issuer gives it; None for a key of the settings.
    """

    algorithms: tuple[str, ...]
    material: PublicKey | str = field(repr=False)
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys in use at one time.

    Attributes:
        keys: In the order of preference.
        published: Whether an issuer published them. Then a token is verified with the one key that it names, or with
            the only one of its algorithm if it names none. Keys of the settings have no names: each is tried in order.
    """

    keys: tuple[VerificationKey, ...]
    published: bool = False

    def find(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """The keys that a token with this header may be verified with; empty where that is none, or not sure."""
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if not self.published:
            return fitting
        named = [key for key in fitting if kid is None or key.kid == kid]
        return named if len(named) == 1 else []


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
    key = _parse_pem(_read_pem(public_key))
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
        if key.key_size > _LARGEST_RSA_BITS or numbers.e.bit_length() > _LARGEST_RSA_EXPONENT_BITS:
            raise UnusableKeyError("an RSA key so large that verifying with it would be slow")
        if all(numbers.n % prime in powers for prime, powers in _FEW_POWERS.items()):
            raise UnusableKeyError("an RSA key that can be factored (CVE-2017-15361)")
        if math.gcd(numbers.n, _SMALL_FACTORS) != 1:
            raise UnusableKeyError("an RSA key with a small factor, so that anybody can find the others")
        return _RSA
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _ECDSA:
        return (_ECDSA[key.curve.name],)
    if isinstance(key, Ed25519PublicKey):
        y = int.from_bytes(key.public_bytes_raw(), "little") & ((1 << 255) - 1)
        if y in _SMALL_ORDER:
            raise UnusableKeyError("an Ed25519 key of small order, for which anybody can sign")
        return _ED25519
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


def _read_pem(text: str) -> bytes:
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

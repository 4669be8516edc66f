"""Keys that verify tokens: what the settings say, checked and parsed once.

A configuration is one shared secret or one public key, never both, so that a public key can never be taken for
a secret (RFC 8725, section 2.1). Each key is bound to exactly one algorithm (RFC 8725, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

_MINIMUM_RSA_BITS = 2048  # RFC 7518, section 3.3
_LONGEST_PEM = 65_536  # a certificate with its chain; what is longer is some other file


class KeyConfigurationError(Exception):
    """The configured key cannot be used; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """Key material and the one algorithm that it is used with.

    Attributes:
        algorithm: A JWS `alg` value (RFC 7518, section 3.1).
        material: The shared secret, or a public key as PEM.
    """

    algorithm: str
    material: str = field(repr=False)


def load_key(secret: str | None, public_key: str | None) -> VerificationKey:
    """Make the one key that tokens are verified with.

    Args:
        secret: A shared secret, already checked for its length by the settings.
        public_key: A PEM public key or certificate, or the path of a file that holds one.

    Raises:
        KeyConfigurationError: There is no key, or it is private, weak, or of a kind that is not supported.
    """
    if secret is not None:
        return VerificationKey("HS256", secret)
    if public_key is None:
        raise KeyConfigurationError(
            "There is no key to verify tokens with: set TASKWARD_JWT_SECRET or BETTER_AUTH_SECRET, a secret "
            "shared with your app, or TASKWARD_PUBLIC_KEY, your issuer's key."
        )
    return _public_key(_pem(public_key))


def _pem(text: str) -> bytes:
    if "-----BEGIN" in text:
        # `.env` files and container environments often carry a PEM on one line with literal \n.
        # What is not UTF-8 in the environment arrives as surrogates; no PEM has any.
        return text.replace("\\n", "\n").strip().encode("utf-8", "replace")
    try:
        with Path(text).expanduser().open("rb") as file:
            return file.read(_LONGEST_PEM)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a home directory of nobody
        raise KeyConfigurationError("TASKWARD_PUBLIC_KEY is neither a PEM key nor a file that can be read.") from None


def _public_key(pem: bytes) -> VerificationKey:
    if b"PRIVATE KEY-----" in pem:
        raise KeyConfigurationError("TASKWARD_PUBLIC_KEY holds a private key; give the public one and keep that safe.")
    try:
        certificate = b"-----BEGIN CERTIFICATE-----" in pem
        key = load_pem_x509_certificate(pem).public_key() if certificate else load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyConfigurationError("TASKWARD_PUBLIC_KEY is not a PEM public key or certificate.") from None
    if isinstance(key, RSAPublicKey):
        if key.key_size < _MINIMUM_RSA_BITS:
            raise KeyConfigurationError(
                f"TASKWARD_PUBLIC_KEY is an RSA key of {key.key_size} bits; at least {_MINIMUM_RSA_BITS} are needed."
            )
        algorithm = "RS256"
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        algorithm = "ES256"
    else:
        raise KeyConfigurationError("TASKWARD_PUBLIC_KEY must be an RSA key (RS256) or a P-256 key (ES256).")
    return VerificationKey(algorithm, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii"))

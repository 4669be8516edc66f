"""An identity provider for tests: it signs any bytes at all, which no library would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from taskward.identity import ClaimRules, KeyRing, Verifier, load_keys

SYMMETRIC = ("HS256", "HS384", "HS512")
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
ALGORITHMS = SYMMETRIC + ASYMMETRIC
SECRET = "a-secret-that-only-the-issuer-of-the-tests-knows-and-that-is-long-enough-for-all"
NOW = 1_800_000_000
GOOD: dict[str, Any] = {"sub": "alice", "iat": NOW, "exp": NOW + 60}
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Issuer:
    """Holds a private key and signs with one algorithm."""

    algorithm: str
    private: Any

    def signature(self, data: bytes) -> bytes:
        if self.algorithm in {"EdDSA", "Ed25519"}:
            return bytes(self.private.sign(data))
        family, size = self.algorithm[:2], self.algorithm[2:]
        if family == "HS":
            return hmac.digest(self.private, data, f"sha{size}")
        used = _HASHES[size]
        if family == "RS":
            return bytes(self.private.sign(data, padding.PKCS1v15(), used))
        if family == "PS":
            return bytes(self.private.sign(data, padding.PSS(padding.MGF1(used), used.digest_size), used))
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(used)))
        size_in_bytes = (self.private.curve.key_size + 7) // 8
        return r.to_bytes(size_in_bytes, "big") + s.to_bytes(size_in_bytes, "big")

    def sign(self, payload: Any = None, **header: Any) -> str:
        """A token; `payload` and header members are as given, None as a payload is a good one."""
        return self.sign_bytes(
            json.dumps({"alg": self.algorithm, "typ": "JWT", **header}).encode(),
            json.dumps(GOOD if payload is None else payload).encode(),
        )

    def sign_bytes(self, header: bytes, payload: bytes) -> str:
        signed = f"{encode(header)}.{encode(payload)}"
        return f"{signed}.{encode(self.signature(signed.encode()))}"

    @property
    def public_pem(self) -> str:
        pem = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return str(pem.decode())

    @property
    def private_pem(self) -> str:
        return str(self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public key as a JWK without a label; further members as given."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": encode_integer(numbers.n), "e": encode_integer(numbers.e), **members}
        if isinstance(public, ed25519.Ed25519PublicKey):
            return {"kty": "OKP", "crv": "Ed25519", "x": encode(public.public_bytes_raw()), **members}
        size = (public.curve.key_size + 7) // 8
        point = public.public_numbers()
        return {
            "kty": "EC",
            "crv": f"P-{public.curve.key_size}",
            "x": encode(point.x.to_bytes(size, "big")),
            "y": encode(point.y.to_bytes(size, "big")),
            **members,
        }

    @property
    def keys(self) -> KeyRing:
        """Its key, for its one algorithm."""
        if self.algorithm in SYMMETRIC:
            return load_keys(secrets=[SECRET], algorithms=[self.algorithm])
        return load_keys(public_key=self.public_pem, algorithms=[self.algorithm])

    def verifier(
        self, keys: KeyRing | None = None, *, now: Callable[[], float] = lambda: NOW, **rules: Any
    ) -> Verifier:
        """A verifier of its tokens, whose clock stands at `NOW` unless it is given one."""
        return Verifier(keys or self.keys, ClaimRules(**rules), now=now)


@cache
def _private(kind: str) -> Any:
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "OKP" else ec.generate_private_key(_CURVES[kind])


def new_private(algorithm: str) -> Any:
    """Another private key for the algorithm."""
    kind = _kind(algorithm)
    return _private.__wrapped__(kind)


def _kind(algorithm: str) -> str:
    if algorithm[:2] in {"RS", "PS"}:
        return "RSA"
    return algorithm if algorithm in _CURVES else "OKP"


@cache
def issuer(algorithm: str) -> Issuer:
    """The issuer of an algorithm; those of one kind of key have the same."""
    return Issuer(algorithm, SECRET.encode() if algorithm in SYMMETRIC else _private(_kind(algorithm)))


def encode_integer(number: int) -> str:
    return encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def key_confusion(public_pem: str) -> str:
    """A token that is signed with a public key as if it were a shared secret."""
    header = encode(b'{"alg":"HS256","typ":"JWT"}')
    signed = f"{header}.{encode(json.dumps(GOOD).encode())}"
    return f"{signed}.{encode(hmac.new(public_pem.encode(), signed.encode(), hashlib.sha256).digest())}"

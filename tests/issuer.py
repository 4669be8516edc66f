"""An identity provider for tests: it signs any bytes at all, which no library would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from taskward.identity import VerificationKey, Verifier, load_key

ALGORITHMS = ("HS256", "RS256", "ES256")
SECRET = "a-secret-that-only-the-issuer-of-the-tests-knows"
NOW = 1_800_000_000
GOOD: dict[str, Any] = {"sub": "alice", "iat": NOW, "exp": NOW + 60}


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Issuer:
    """Holds a private key."""

    algorithm: str
    private: Any

    def signature(self, data: bytes) -> bytes:
        if self.algorithm == "HS256":
            return hmac.digest(self.private, data, "sha256")
        if self.algorithm == "RS256":
            return bytes(self.private.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

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

    @property
    def key(self) -> VerificationKey:
        return load_key(SECRET, None) if self.algorithm == "HS256" else load_key(None, self.public_pem)

    def verifier(self, **options: Any) -> Verifier:
        """A verifier of its tokens, whose clock stands at `NOW` unless it is given one."""
        return Verifier(self.key, **{"now": lambda: NOW, **options})


@cache
def issuer(algorithm: str) -> Issuer:
    if algorithm == "HS256":
        return Issuer(algorithm, SECRET.encode())
    if algorithm == "RS256":
        return Issuer(algorithm, rsa.generate_private_key(65537, 2048))
    return Issuer(algorithm, ec.generate_private_key(ec.SECP256R1()))


def key_confusion(public_pem: str) -> str:
    """A token that is signed with a public key as if it were a shared secret."""
    header = encode(b'{"alg":"HS256","typ":"JWT"}')
    signed = f"{header}.{encode(json.dumps(GOOD).encode())}"
    return f"{signed}.{encode(hmac.new(public_pem.encode(), signed.encode(), hashlib.sha256).digest())}"

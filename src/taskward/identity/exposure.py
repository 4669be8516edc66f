"""Whether a shared secret is no secret, because an issuer publishes it, in whatever spelling.

The classic confusion of keys (RFC 8725, section 2.1) needs a public key that is taken for a secret. Where secrets and
public keys are in use together, somebody who pastes the one into the place of the other would bring it about.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskward.identity.keys import PublicKey

_LEAST = 16  # bytes that two texts have in common by more than chance
_DEEPEST = 3  # encodings of encodings, such as base64 of a PEM
_ARMOUR = re.compile(r"-{4,5}[- ]?(?:BEGIN|END) [^-]*-{4,5}")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{22,}")
_HEX = re.compile(r"(?:0[xX])?((?:[0-9A-Fa-f]{2}){16,})")
_DECIMAL = re.compile(r"[0-9]{39,5000}")
_URL_SAFE = str.maketrans("-_", "+/")


class Published:
    """What an issuer has made public.

    Args:
        document: The text in which it does, as it is: a JWK Set or a PEM.
        keys: Keys that are in it.
    """

    def __init__(self, document: bytes, keys: Iterable[PublicKey]) -> None:
        keys = list(keys)
        encoded = [key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in keys]
        numbers = [number for key in keys for number in _numbers(key)]
        # What is written in its strings: numbers, certificates, thumbprints.
        written = [form for text in _strings(document) for form in _decodings(text.encode("utf-8", "replace"), 1)]
        self._texts = (document, *encoded, *written)
        # A number of a key is in all of its encodings, but for the zeros that it may begin with.
        marks = (text.lstrip(b"\0") for text in (*numbers, *written))
        self._marks = tuple(mark for mark in marks if len(mark) >= _LEAST)

    def has(self, secret: str) -> bool:
        """Tell whether the secret is a part of it, or it of the secret, after decoding either."""
        forms = [form for form in _decodings(secret.encode("utf-8", "surrogatepass")) if len(form) >= _LEAST]
        return any(
            any(form in text for text in self._texts) or any(mark in form for mark in self._marks) for form in forms
        )


def _numbers(key: PublicKey) -> tuple[bytes, ...]:
    if isinstance(key, Ed25519PublicKey):
        return (key.public_bytes_raw(),)
    size = (key.key_size + 7) // 8
    if isinstance(key, RSAPublicKey):
        return (key.public_numbers().n.to_bytes(size, "big"),)
    point = key.public_numbers()
    return point.x.to_bytes(size, "big"), point.y.to_bytes(size, "big")


def _strings(document: bytes) -> Iterator[str]:
    """Each string of a JSON document, or all that is between the lines of a PEM."""
    try:
        pending = [json.loads(document)]
    except Exception:  # noqa: BLE001 - it is something else than JSON then, in whatever way
        yield document.decode("utf-8", "replace")
        return
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            pending += value.values() if isinstance(value, dict) else value


def _decodings(data: bytes, deepest: int = _DEEPEST) -> Iterator[bytes]:
    """The bytes themselves, and what they say in base64, hexadecimal or decimal digits."""
    yield data
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return
    if deepest == 0:
        return
    # Line breaks, also those of `.env` files, and the colons between digits.
    text = re.sub(r"\\[nr]|[\s:]", "", _ARMOUR.sub(" ", text.replace("\\n", "\n")))
    found = [bytes.fromhex(digits) for digits in _HEX.findall(text)]
    for digits in _DECIMAL.findall(text):
        number = int(digits[:4300])  # as many as Python takes
        found.append(number.to_bytes((number.bit_length() + 7) // 8, "big"))
    for run in _RUN.findall(text):
        # Where the encoding begins is not known when something stands before it.
        for start in range(4):
            usable = run[start:].translate(_URL_SAFE)
            usable = usable[: len(usable) - (len(usable) % 4 == 1)]
            found.append(base64.b64decode(usable + "=" * (-len(usable) % 4)))
    for decoded in found:
        yield from _decodings(decoded, deepest - 1)

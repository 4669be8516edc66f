"""The verifier beside another library, joserfc, over real tokens that were changed in every way an attacker would.

Whatever Taskward accepts, joserfc must accept as well, with the same claims. The other way round Taskward is stricter.
Nothing may raise anything but a refusal.
"""

from __future__ import annotations

import base64
import hmac
import json
import random
import secrets
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import KeySet as OtherKeySet
from joserfc.jwk import OctKey

from taskward.identity import KeyRing, TokenRejected, Verifier, load_keys
from taskward.identity.jwks import read_key_set
from taskward.identity.keyring import FixedKeys
from tests.issuer import ALGORITHMS, ASYMMETRIC, GOOD, NOW, SECRET, SYMMETRIC, Issuer, encode, issuer, new_private
from tests.sizes import sized

TOKENS = sized(1_000, 120_000)
ISSUER, AUDIENCE, LEEWAY = "https://id.example", "tasks", 30
BASE = {**GOOD, "iss": ISSUER, "aud": AUDIENCE}
# One key of each kind, published; RSA has two, since each is labelled with one algorithm.
SIGNERS = {name: Issuer(name, new_private(name)) for name in ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")}
STRANGERS = {name: Issuer(name, new_private(name)) for name in ("RS256", "ES256", "EdDSA")}
JWKS = {"keys": [signer.jwk(kid=name.lower(), alg=name) for name, signer in SIGNERS.items()]}
OLDER_SECRET = SECRET[::-1]


class Side:
    """One configuration, as both libraries have it."""

    def __init__(
        self, keys: KeyRing, signers: dict[str, Issuer], other_keys: Callable[[str | None], list[Any]]
    ) -> None:
        self.verifier: Verifier = issuer("ES256").verifier(keys, issuer=ISSUER, audience=(AUDIENCE,), leeway=LEEWAY)
        self.signers = signers
        self.other_keys = other_keys
        self.signed = [sign(signer, dict(BASE), kid) for kid, signer in signers.items()]

    def other_accepts(self, token: str) -> dict[str, Any] | None:
        """The claims, if joserfc accepts the token."""
        try:
            header = json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "=="))
            kid = header.get("kid")
        except Exception:
            return None
        found = (_other_claims(token, key) for key in self.other_keys(kid if isinstance(kid, str) else None))
        return next((claims for claims in found if claims is not None), None)


def _other_claims(token: str, key: Any) -> dict[str, Any] | None:
    registry = jwt.JWTClaimsRegistry(
        now=lambda: NOW, leeway=LEEWAY, exp={"essential": True}, sub={"essential": True},
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE},
    )  # fmt: skip
    try:
        claims = json.loads(jws.deserialize_compact(token, key, algorithms=list(ALGORITHMS)).payload)
        registry.validate(claims)
    except Exception:
        return None
    return dict(claims)


def sign(signer: Issuer, payload: Any, kid: str | None = None, **header: Any) -> str:
    return signer.sign(payload, **({} if kid is None else {"kid": kid}), **header)


def published() -> Side:
    keys = FixedKeys(read_key_set(json.dumps(JWKS).encode()).keys)
    # To joserfc EdDSA and Ed25519 are two algorithms; they name one (RFC 9864, section 2.2), so its key names none.
    unnamed = [{**key, "alg": None} if key["kty"] == "OKP" else key for key in JWKS["keys"]]
    published = {"keys": [{name: value for name, value in key.items() if value is not None} for key in unnamed]}
    others = {key.kid: key for key in OtherKeySet.import_key_set(published).keys}  # type: ignore[arg-type]
    return Side(
        keys,
        {name.lower(): signer for name, signer in SIGNERS.items()},
        lambda kid: [others[kid]] if kid in others else list(others.values()),
    )


def shared() -> Side:
    signers = {name: Issuer(name, SECRET.encode()) for name in SYMMETRIC}
    keys = [OctKey.import_key(secret) for secret in (SECRET, OLDER_SECRET)]
    return Side(load_keys(secrets=[SECRET, OLDER_SECRET]), signers, lambda _kid: keys)


class Mutator:
    """Changes tokens, by a seed."""

    def __init__(self, side: Side, seed: int) -> None:
        self.side = side
        self.chance = random.Random(seed)  # noqa: S311 - repeatable

    def next(self) -> str:
        kinds = self.edit, self.flip, self.header, self.payload, self.splice, self.forge, self.confuse, self.whole
        return self.chance.choice(kinds)()

    def whole(self) -> str:
        return self.chance.choice(self.side.signed)

    def edit(self) -> str:
        token = self.whole()
        for _ in range(self.chance.randint(1, 3)):
            at = self.chance.randrange(len(token) + 1)
            upto = min(len(token), at + self.chance.choice([0, 0, 1, 1, 2, 40]))
            piece = self.chance.choice(
                ["", ".", "=", "\n", "\0", "é", "\ud800", "-", "_", "A", "/", "+", " ", "\u200b"]
            )
            token = token[:at] + piece + token[upto:]
        return token

    def flip(self) -> str:
        parts = self.whole().split(".")
        place = self.chance.randrange(3)
        raw = bytearray(base64.urlsafe_b64decode(parts[place] + "=="))
        for _ in range(self.chance.randint(1, 3)):
            raw[self.chance.randrange(len(raw))] ^= 1 << self.chance.randrange(8)
        parts[place] = encode(bytes(raw)) + self.chance.choice(["", "", "", "="])
        return ".".join(parts)

    def header(self) -> str:
        kid, signer = self.chance.choice(list(self.side.signers.items()))
        # Members that are of no use here are written as they should be: joserfc minds their types, Taskward need not.
        idle: list[dict[str, Any]] = [
            {"jku": ISSUER},
            {"x5u": ISSUER},
            {"x5c": ["MIIB"]},
            {"cty": "JWT"},
        ]
        strange: list[Any] = [
            None, "", "none", "None", "HS256", 1, True, [], {}, ["exp"], "JWT", "at+jwt", "../../dev/null", "0' OR '1",
            *ALGORITHMS, *self.side.signers,
        ]  # fmt: skip
        minded = self.chance.choice(["alg", "kid", "typ", "crit", "b64"])
        member = self.chance.choice([*idle, *({minded: self.chance.choice(strange)} for _ in range(10))])
        return signer.sign(dict(BASE), **{"kid": kid, **member})

    def payload(self) -> str:
        kid, signer = self.chance.choice(list(self.side.signers.items()))
        name = self.chance.choice(["sub", "exp", "nbf", "iat", "iss", "aud"])
        value: Any = self.chance.choice([
            None, "", "x", 0, -1, 1.5, NOW, NOW + 30, NOW - 29, NOW - 31, NOW + 31, 1e308, 10**400, True, [], ["tasks"],
            ["x", "tasks"], {}, "tasks", ISSUER, ISSUER + "/", str(NOW + 60), "a\nb", "x" * 256, "absent",
        ])  # fmt: skip
        claims = {**BASE, name: value}
        if value == "absent":
            del claims[name]
        raw = json.dumps(claims).encode()
        if "sub" in claims and self.chance.random() < 0.1:
            raw = raw[:-1] + b',"sub":"mallory"}'
        return signer.sign_bytes(json.dumps({"alg": signer.algorithm, "kid": kid}).encode(), raw)

    def splice(self) -> str:
        return ".".join(self.whole().split(".")[place] for place in range(3))

    def forge(self) -> str:
        """Signed by somebody else, under the issuer's names."""
        kid = self.chance.choice([None, *self.side.signers])
        stranger = self.chance.choice([*STRANGERS.values(), Issuer("HS256", b"x" * 32), Issuer("HS512", b"")])
        claimed = self.chance.choice([stranger.algorithm, *ALGORITHMS])
        return sign(stranger, {**BASE, "sub": "mallory"}, kid, alg=claimed)

    def confuse(self) -> str:
        """A public key, in some spelling, taken for a secret."""
        kid, signer = self.chance.choice(list(SIGNERS.items()))
        spellings = [signer.public_pem, signer.public_pem.strip(), json.dumps(signer.jwk()), "", "\0"]
        secret = self.chance.choice(spellings).encode()
        name = self.chance.choice(SYMMETRIC)
        signed = f"{encode(json.dumps({'alg': name, 'kid': kid.lower()}).encode())}.{encode(json.dumps(BASE).encode())}"
        return f"{signed}.{encode(hmac.digest(secret, signed.encode(), f'sha{name[2:]}'))}"


@pytest.mark.parametrize("configuration", [published, shared])
def test_nothing_is_accepted_that_another_library_refuses(configuration: Callable[[], Side]):
    seed = secrets.randbits(32)
    side = configuration()
    mutator = Mutator(side, seed)
    outcomes: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(TOKENS // 2):
            token = mutator.next()
            story = f"seed {seed}, token {number}: {token!r}"
            try:
                claims = side.verifier.verify(token)
            except TokenRejected:
                outcomes["refused"] += 1
                continue
            except BaseException as error:
                raise AssertionError(f"{story} raised {type(error)}") from error
            other = side.other_accepts(token)
            assert other is not None, f"{story}: joserfc refuses it"
            assert (claims.user_id, claims.expires_at) == (other["sub"], other["exp"]), story
            assert claims.user_id != "mallory", story
            outcomes["accepted"] += 1
    # Neither side of the comparison was idle.
    assert outcomes.total() == TOKENS // 2
    assert outcomes["accepted"] > TOKENS // 2 // 20
    assert outcomes["refused"] > TOKENS // 2 // 2


def test_both_libraries_accept_what_the_issuer_signed():
    for side in (published(), shared()):
        for token in side.signed:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert side.other_accepts(token) == BASE
            assert side.verifier.verify(token).user_id == "alice"
    assert {signer.algorithm for signer in SIGNERS.values()} < set(ASYMMETRIC)

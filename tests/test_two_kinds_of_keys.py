"""Shared secrets beside public keys, for the time of a change: neither counts as the other."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskward.app import create_app
from taskward.identity import KeyConfigurationError, KeyRing, TokenRejected, load_keys
from taskward.identity.fetched import FetchedKeys
from taskward.identity.keyring import FixedKeys
from tests.clusters import Cluster
from tests.issuer import (
    ALGORITHMS,
    ASYMMETRIC,
    GOOD,
    SECRET,
    SYMMETRIC,
    Issuer,
    encode,
    issuer,
    key_confusion,
    new_private,
)
from tests.publisher import FIRST, Publisher, publisher_fixture  # noqa: F401 - a fixture
from tests.services import eventually
from tests.serving import PLAIN, make_settings, serving
from tests.test_issuer_http import TASKS, token
from tests.test_keys import certificate
from tests.test_settings import SECRET as ANOTHER_SECRET

BOTH = list(ALGORITHMS)


def accepts(keys: KeyRing, token: str) -> bool:
    try:
        return issuer("HS256").verifier(keys).verify(token).user_id == "alice"
    except TokenRejected:
        return False


async def of_both(publisher: Publisher, *secrets: str, algorithms: list[str] = BOTH) -> KeyRing:
    """The keys of the settings with secrets and a key set, after the first fetch."""
    keys = load_keys(secrets=secrets, jwks_url=publisher.keys_url, algorithms=algorithms)
    await keys.load()
    return keys


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES512", "EdDSA"])
async def test_each_kind_of_key_verifies_its_own_algorithms_and_no_others(publisher: Publisher, algorithm: str):
    signer = issuer(algorithm)
    publisher.publish(signer.jwk(kid="1"))
    for keys in (
        await of_both(publisher, SECRET),
        load_keys(secrets=[SECRET], public_key=signer.public_pem, algorithms=BOTH),
    ):
        assert accepts(keys, signer.sign(kid="1"))
        for name in SYMMETRIC:
            assert accepts(keys, issuer(name).sign())
            assert accepts(keys, issuer(name).sign(kid="1")), "a secret has no name"
            # The secret's signature under the name of the public key's algorithm, and the other way round.
            assert not accepts(keys, issuer(name).sign(kid="1", alg=algorithm))
            assert not accepts(keys, signer.sign(kid="1", alg=name))
        for other in ASYMMETRIC:
            stranger = Issuer(other, new_private(other)) if other != "RS256" else issuer("HS256")
            assert not accepts(keys, stranger.sign(kid="1", alg=other))
        # What is public, in every spelling, as if it were a secret.
        for spelling in spellings(signer):
            assert not accepts(keys, key_confusion(spelling))
            for name in SYMMETRIC:
                assert not accepts(keys, Issuer(name, spelling.encode()).sign(kid="1"))


async def test_algorithms_take_away_from_each_kind(publisher: Publisher):
    keys = await of_both(publisher, SECRET, algorithms=["HS384", "ES256"])
    assert accepts(keys, FIRST.sign(kid="1"))
    assert accepts(keys, issuer("HS384").sign())
    assert not accepts(keys, issuer("HS256").sign())
    assert keys.algorithms == {"HS384", "ES256"}


@pytest.mark.parametrize("algorithms", [[], ["HS256"], ["ES256"], ["HS256", "HS512"], ["ES256", "RS256", "EdDSA"]])
def test_both_are_used_together_only_where_algorithms_of_both_are_named(algorithms: list[str]):
    for public in ({"jwks_url": "https://id.example/keys"}, {"public_key": FIRST.public_pem}):
        with pytest.raises(KeyConfigurationError, match="unless TASKWARD_ALGORITHMS names algorithms of both"):
            load_keys(secrets=[SECRET], algorithms=algorithms, **public)


def test_an_issuer_beside_a_secret_is_only_compared():
    keys = load_keys(secrets=[SECRET], issuer="https://id.example", algorithms=["HS256", "ES256"])
    assert isinstance(keys, FixedKeys)


def spellings(signer: Issuer) -> list[str]:
    """The public key as text, in the ways that people and programs write one."""
    public = signer.private.public_key()
    jwk = signer.jwk(kid="1")
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    number = base64.urlsafe_b64decode((jwk["n"] if "n" in jwk else jwk["x"]) + "==")
    pem = signer.public_pem
    body = "".join(pem.splitlines()[1:-1])
    found = [
        pem, pem.strip(), pem.replace("\n", "\\n"), pem.replace("\n", "\r\n"), pem.replace("\n", ""), body,
        pem.splitlines()[1], base64.b64encode(pem.encode()).decode(), base64.b64encode(der).decode().rstrip("="),
        encode(der), der.hex(), der.hex(":").upper(), "0x" + der.hex(), json.dumps(jwk), json.dumps(jwk, indent=2),
        json.dumps({"keys": [jwk]}), json.dumps(dict(reversed(jwk.items())), separators=(",", ":")),
        base64.b64encode(json.dumps(jwk).encode()).decode(), number.hex(), base64.b64encode(number).decode(),
        encode(number), str(int.from_bytes(number, "big")), f"key={encode(number)}", certificate(signer.private),
    ]  # fmt: skip
    if "n" in jwk:
        pkcs1 = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        found += [public.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(), base64.b64encode(pkcs1).decode()]
    elif signer.algorithm.startswith("ES"):
        for form in (PublicFormat.UncompressedPoint, PublicFormat.CompressedPoint):
            point = public.public_bytes(Encoding.X962, form)
            found += [point.hex(), base64.b64encode(point).decode()]
    if signer.algorithm != "PS384":
        found.append(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())
    return found


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES512", "EdDSA"])
async def test_a_secret_that_is_a_published_key_in_any_spelling_is_refused(publisher: Publisher, algorithm: str):
    signer = issuer(algorithm)
    publisher.publish(FIRST.jwk(kid="other"), signer.jwk(kid="1", use="sig"))
    for spelling in spellings(signer):
        with pytest.raises(KeyConfigurationError, match="among what the issuer publishes"):
            await of_both(publisher, SECRET, spelling)
        with pytest.raises(KeyConfigurationError, match=r"^A secret is the public key"):
            load_keys(secrets=[SECRET, spelling], public_key=signer.public_pem, algorithms=BOTH)


async def test_what_is_published_beside_usable_keys_is_no_secret_either(publisher: Publisher):
    unused = issuer("RS256")
    thumbprint = encode(hashlib.sha256(b"a certificate").digest())
    members: dict[str, Any] = {
        "use": "enc", "x5c": [base64.b64encode(b"\x30\x82" + bytes(range(200))).decode()], "x5t#S256": thumbprint,
        "kid": "the-name-of-a-key-that-is-longer-than-32-bytes",
    }  # fmt: skip
    publisher.publish(FIRST.jwk(kid="1"), unused.jwk(**members), {"kty": "oct", "k": encode(SECRET.encode())})
    for published in (
        members["kid"],
        thumbprint,
        members["x5c"][0],
        bytes(range(200)).hex(),
        SECRET,
        unused.jwk()["n"],
    ):
        with pytest.raises(KeyConfigurationError, match="among what the issuer publishes"):
            await of_both(publisher, published)
    assert accepts(await of_both(publisher, ANOTHER_SECRET), FIRST.sign(kid="1"))


def test_an_ordinary_secret_is_not_taken_for_anything_published():
    for algorithm in ("RS256", "ES256", "EdDSA"):
        for secret in (SECRET, ANOTHER_SECRET, "ab" * 20 + "cd" * 20, hashlib.sha512(b"x").hexdigest(), "é" * 40):
            pem = issuer(algorithm).public_pem
            assert load_keys(secrets=[secret], public_key=pem, algorithms=BOTH).current is not None


async def test_a_secret_that_comes_to_be_published_verifies_nothing_from_then_on(
    publisher: Publisher, caplog: pytest.LogCaptureFixture
):
    exposed = encode(hashlib.sha256(b"a secret").digest())
    keys = load_keys(secrets=[exposed, SECRET], jwks_url=publisher.keys_url, algorithms=BOTH)
    assert isinstance(keys, FetchedKeys)
    with caplog.at_level(logging.INFO, "taskward"):
        await keys._fetch(at_once=True)
        signed = Issuer("HS256", exposed.encode()).sign()
        assert accepts(keys, signed)
        publisher.publish(FIRST.jwk(kid="1", x5t=exposed))
        await keys._fetch(at_once=True)
        await keys._source.close()
    assert not accepts(keys, signed)
    assert accepts(keys, issuer("HS256").sign())
    assert accepts(keys, FIRST.sign(kid="1"))
    assert "among what the issuer publishes" in caplog.text
    assert exposed not in caplog.text


def test_over_http_tokens_of_both_are_accepted_and_a_forged_one_asks_nobody(
    publisher: Publisher, cluster: Cluster, template: str
):
    app = create_app(
        make_settings(
            cluster.url(template), jwks_url=publisher.keys_url, jwt_secret=SECRET, algorithms=("HS256", "ES256")
        )
    )

    def status(bearer: str) -> int:
        headers = {"Authorization": f"Bearer {bearer}"}
        return httpx2.get(url + TASKS, headers=headers, **PLAIN).status_code

    with serving(app) as url:
        assert eventually(lambda: httpx2.get(f"{url}/readyz", **PLAIN).status_code == 200)
        of_secret: Callable[..., str] = lambda signer: token(signer, publisher, None)  # noqa: E731
        assert status(token(FIRST, publisher, "1")) == 200
        assert status(of_secret(issuer("HS256"))) == 200
        asked = publisher.count()
        assert status(of_secret(Issuer("HS256", b"y" * 40))) == 401
        assert status(of_secret(Issuer("HS256", FIRST.public_pem.encode()))) == 401
        assert status(token(FIRST, publisher, "1", "HS256")) == 401
        assert publisher.count() == asked


def test_before_the_key_set_was_read_no_secret_counts(publisher: Publisher, cluster: Cluster, template: str):
    """It could be what the issuer publishes."""
    publisher.stop()
    settings = {"jwks_url": publisher.keys_url, "jwt_secret": SECRET, "algorithms": ("HS256", "ES256")}
    with serving(create_app(make_settings(cluster.url(template), **settings))) as url:
        headers = {"Authorization": f"Bearer {token(issuer('HS256'), publisher, None)}"}
        assert httpx2.get(url + TASKS, headers=headers, **PLAIN).status_code == 503
        publisher.start()
        assert eventually(lambda: httpx2.get(url + TASKS, headers=headers, **PLAIN).status_code == 200, 20)


def test_confusion_is_tried_with_a_right_signature():
    """What the tests above call forged is rightly signed with what is public."""
    header, payload, signature = key_confusion(FIRST.public_pem).split(".")
    expected = hmac.digest(FIRST.public_pem.encode(), f"{header}.{payload}".encode(), "sha256")
    assert signature == encode(expected)
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == GOOD

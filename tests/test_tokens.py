"""What a token must be before its claims count: its shape, its header, its signature."""

from __future__ import annotations

import base64
import json
import string
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from jose import jwk
from jose.exceptions import JWKError
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from taskward.identity import TokenRejected
from tests.issuer import ALGORITHMS, ASYMMETRIC, GOOD, SECRET, SYMMETRIC, Issuer, encode, issuer, key_confusion
from tests.sizes import sized

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
PAYLOAD = json.dumps(GOOD).encode()


@pytest.fixture(params=ALGORITHMS, name="signer")
def _signer(request: pytest.FixtureRequest) -> Issuer:
    return issuer(request.param)


def rejected(signer: Issuer, token: str) -> None:
    with pytest.raises(TokenRejected):
        signer.verifier().verify(token)


def header_of(token: str) -> dict[str, Any]:
    segment = token.partition(".")[0]
    return dict(json.loads(base64.urlsafe_b64decode(segment + "==")))


def test_a_token_of_the_issuer_is_accepted(signer: Issuer):
    claims = signer.verifier().verify(signer.sign())
    assert (claims.user_id, claims.expires_at, claims.not_before) == ("alice", GOOD["exp"], GOOD["iat"])


@pytest.mark.parametrize(
    "header",
    [{"kid": "2026"}, {"typ": "at+jwt"}, {"typ": "jwt"}, {"typ": "application/at+jwt"}, {"b64": True}, {"cty": "x"}],
)
def test_a_header_that_changes_nothing_is_accepted(signer: Issuer, header: dict[str, Any]):
    assert signer.verifier().verify(signer.sign(**header)).user_id == "alice"
    without_type = signer.sign_bytes(json.dumps({"alg": signer.algorithm}).encode(), PAYLOAD)
    assert signer.verifier().verify(without_type).user_id == "alice"


def test_a_token_that_joserfc_signed_is_accepted(signer: Issuer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key: Any
        if signer.algorithm in SYMMETRIC:
            key = OctKey.import_key(SECRET)
        else:
            kinds: dict[str, Any] = {"RS": RSAKey, "PS": RSAKey, "ES": ECKey, "Ed": OKPKey}
            key = kinds[signer.algorithm[:2]].import_key(signer.private_pem)
        header = {"alg": signer.algorithm, "typ": "JWT", "kid": "1"}
        token = jws.serialize_compact(header, PAYLOAD, key, algorithms=list(ALGORITHMS))
    assert signer.verifier().verify(token).user_id == "alice"


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", None, 256, ["HS256"], "ES256K", "dir", "RS1"])
def test_an_algorithm_that_is_not_the_keys_is_refused(signer: Issuer, algorithm: object):
    rejected(signer, signer.sign(alg=algorithm))
    signed = signer.sign(alg=algorithm).rpartition(".")[0]
    for token in (f"{signed}.", signed, f"{signed}.AA"):
        rejected(signer, token)


def test_the_algorithm_of_another_kind_of_key_is_refused(signer: Issuer):
    one_by_two_names = {"EdDSA", "Ed25519"}
    for other in ALGORITHMS:
        if other != signer.algorithm and {other, signer.algorithm} != one_by_two_names:
            rejected(signer, signer.sign(alg=other))
            rejected(signer, issuer(other).sign())
            rejected(signer, issuer(other).sign(alg=signer.algorithm))


@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519", "PS256", "PS384", "PS512"])
def test_an_algorithm_that_python_jose_lacks_takes_no_key_of_another_kind(algorithm: str):
    # Anything in the process that uses python-jose has these algorithms with it.
    others = {"RS256", "ES256", "EdDSA"} - ({"RS256"} if algorithm.startswith("PS") else {"EdDSA"})
    for material in (SECRET, *(issuer(other).private.public_key() for other in others)):
        with pytest.raises(JWKError):
            jwk.construct(material, algorithm)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_the_public_key_is_never_a_shared_secret(algorithm: str):
    signer = issuer(algorithm)
    for pem in (signer.public_pem, signer.public_pem.strip(), signer.public_pem.replace("\n", "\\n")):
        rejected(signer, key_confusion(pem))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT"])
def test_a_type_is_the_same_with_application_before_it(signer: Issuer, kind: str):
    for typ in (kind, f"application/{kind}", f"Application/{kind}", f"APPLICATION/{kind}"):
        assert signer.verifier().verify(signer.sign(typ=typ)).user_id == "alice"
    for wrong in (
        f"application/application/{kind}",
        f"text/{kind}",
        f"/{kind}",
        f"application/{kind} ",
        "application/",
    ):
        rejected(signer, signer.sign(typ=wrong))


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_the_other_signature_of_ecdsa_is_the_same_token_and_says_nothing_else(algorithm: str):
    orders = {
        "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        "ES384": 2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
        "ES512": 2**521 - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
    }
    signer = issuer(algorithm)
    signed, _, signature = signer.sign().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    half = len(raw) // 2
    r, s = raw[:half], int.from_bytes(raw[half:], "big")
    twin = f"{signed}.{encode(r + (orders[algorithm] - s).to_bytes(half, 'big'))}"
    verifier = signer.verifier()
    assert verifier.verify(twin) == verifier.verify(f"{signed}.{signature}")
    # No further one: neither number may be beyond the order.
    if s + orders[algorithm] < 1 << (8 * half):
        rejected(signer, f"{signed}.{encode(r + (s + orders[algorithm]).to_bytes(half, 'big'))}")


def test_a_key_that_the_token_brings_is_not_used(signer: Issuer):
    attacker = Issuer("ES256", ec.generate_private_key(ec.SECP256R1()))
    numbers = attacker.private.public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": encode(numbers.x.to_bytes(32, "big")),
        "y": encode(numbers.y.to_bytes(32, "big")),
    }
    for brought in (
        {"jwk": jwk},
        {"jku": "https://evil.example/jwks.json"},
        {"x5c": ["MIIB"]},
        {"x5u": "https://evil.example/"},
    ):
        rejected(signer, attacker.sign(alg=signer.algorithm, **brought))
        rejected(signer, attacker.sign(**brought) if signer.algorithm != "ES256" else attacker.sign(kid="1", **brought))
        assert signer.verifier().verify(signer.sign(**brought)).user_id == "alice"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": []}, {"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"crit": None}, {"b64": False}, {"b64": 0},
        {"b64": None}, {"kid": 1}, {"kid": None}, {"kid": ["1"]}, {"kid": {}}, {"typ": "JWE"}, {"typ": None},
        {"typ": 1}, {"typ": ["JWT"]}, {"typ": "dpop+jwt"}, {"typ": "id_token"}, {"typ": ""}, {"typ": " JWT"},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_that_asks_for_more_than_is_understood_is_refused(signer: Issuer, header: dict[str, Any]):
    rejected(signer, signer.sign(**header))


@pytest.mark.parametrize(
    "header",
    [
        b"", b"null", b"[]", b'"HS256"', b"1", b"{", b"\xff", b'\xef\xbb\xbf{"alg":"%s"}', b'{"alg":"%s","alg":"none"}',
        b'{"alg":"none","alg":"%s"}', b'{"alg":"%s","kid":"a","kid":"b"}', b'{"alg":"%s","x":{"a":1,"a":2}}',
        b'{"alg":"%s","x":NaN}', b'{"alg":"%s","x":-Infinity}', b'{"alg":"%s"}x', b"{'alg':'%s'}",
        b'{"alg":"%s","x":' + b"[" * 2000, b'{"alg":"%s","x":' + b'{"a":' * 900,
        b'{"alg":"%s","x":' + b"9" * 5000 + b"}",
    ],
    ids=lambda header: repr(header[:32]),
)  # fmt: skip
def test_a_header_that_is_not_one_plain_object_is_refused(signer: Issuer, header: bytes):
    rejected(signer, signer.sign_bytes(header.replace(b"%s", signer.algorithm.encode()), PAYLOAD))


def test_other_than_three_segments_are_refused(signer: Issuer):
    header, payload, signature = signer.sign().split(".")
    for segments in (
        [header], [header, payload], [header, payload, ""], ["", payload, signature], [header, "", signature],
        [header, payload, signature, ""], [header, payload, signature, signature], ["", header, payload, signature],
        [header, payload, payload, payload, signature], ["", "", ""], [""],
    ):  # fmt: skip
        rejected(signer, ".".join(segments))


def test_an_encrypted_or_nested_token_is_refused(signer: Issuer):
    inner = signer.sign()
    rejected(signer, signer.sign_bytes(json.dumps({"alg": signer.algorithm, "cty": "JWT"}).encode(), inner.encode()))
    encrypted = encode(json.dumps({"alg": "dir", "enc": "A256GCM"}).encode())
    rejected(signer, f"{encrypted}..{encode(b'0' * 12)}.{encode(PAYLOAD)}.{encode(b'0' * 16)}")


def test_a_token_is_written_in_one_way_only(signer: Issuer):
    token = signer.sign()
    header, payload, signature = token.split(".")
    variants = [
        token + end for end in ("=", "==", " ", "\n", "\r\n", "\t", "\0", ".", "é", "\u200b", "\ud800", "A", "AA")
    ]
    variants += [start + token for start in (" ", "\n", "Bearer ", "\ufeff", "=", ".")]
    variants += [
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}=.{signature}",
        f"{header}.{payload}==.{signature}",
    ]
    variants += [
        f"{header[:4]}\n{header[4:]}.{payload}.{signature}",
        f"{header}.{payload[:4]} {payload[4:]}.{signature}",
    ]
    variants += [
        f"{header}. {payload}.{signature}",
        f"{header}.{payload}.+{signature[1:]}",
        f"{header}.{payload}./{signature[1:]}",
    ]
    variants += [
        token.replace(".", "\uff0e"),
        token.replace("A", "\u0410"),
        token.swapcase(),
        token.encode("utf-16").decode("latin1"),
    ]
    for variant in variants:
        rejected(signer, variant)


def test_bits_that_no_byte_needs_must_be_zero(signer: Issuer):
    # 2 and 4 bits are left over behind lengths of 3n + 2 and 3n + 1 bytes; any value of them decodes to the same.
    for pad in range(3):
        token = signer.sign({**GOOD, "pad": "x" * pad}, kid="k" * pad)
        segments = token.split(".")
        for place, segment in enumerate(segments):
            for last in ALPHABET:
                other = segment[:-1] + last
                if other != segment and base64.urlsafe_b64decode(other + "==") == base64.urlsafe_b64decode(
                    segment + "=="
                ):
                    rejected(signer, ".".join([*segments[:place], other, *segments[place + 1 :]]))
        assert signer.verifier().verify(token).user_id == "alice"


def test_a_token_longer_than_8_kib_is_refused(signer: Issuer):
    token = signer.sign({**GOOD, "pad": ""})
    room = (8192 - len(token)) // 4 * 3
    longest = signer.sign({**GOOD, "pad": "x" * (room - 3)})
    assert 8180 < len(longest) <= 8192
    assert signer.verifier().verify(longest).user_id == "alice"
    longer = signer.sign({**GOOD, "pad": "x" * (room + 3)})
    assert len(longer) > 8192
    rejected(signer, longer)


def test_a_signature_of_anything_else_is_refused(signer: Issuer):
    header, payload, signature = signer.sign().split(".")
    rejected(signer, f"{header}.{encode(json.dumps({**GOOD, 'sub': 'bob'}).encode())}.{signature}")
    rejected(signer, f"{encode(json.dumps({**header_of(signer.sign()), 'kid': 'x'}).encode())}.{payload}.{signature}")
    raw = signer.signature(f"{header}.{payload}".encode())
    for wrong in (raw[:-1], raw[1:], raw + b"\0", b"\0" + raw, raw * 2, raw[::-1], bytes(len(raw)), b"\0", raw[:32]):
        if wrong != raw:
            rejected(signer, f"{header}.{payload}.{encode(wrong)}")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "PS384", "PS512"])
def test_a_signature_whose_leading_zeros_are_cut_off_is_refused(algorithm: str):
    signer = issuer(algorithm)
    # One in 256 begins with a zero.
    for number in range(10_000):
        signed = signer.sign({**GOOD, "jti": number}).rpartition(".")[0]
        raw = signer.signature(signed.encode())
        if raw[0] == 0:
            break
    assert signer.verifier().verify(f"{signed}.{encode(raw)}").user_id == "alice"
    rejected(signer, f"{signed}.{encode(raw[1:])}")


def test_es256_signatures_are_two_numbers_of_32_bytes_and_nothing_else():
    signer = issuer("ES256")
    signed = signer.sign().rpartition(".")[0]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    der = signer.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    numbers = [
        b"\0" * 32,
        (1).to_bytes(32, "big"),
        order.to_bytes(32, "big"),
        (order + 1).to_bytes(32, "big"),
        b"\xff" * 32,
    ]
    good = signer.signature(signed.encode())
    for wrong in (der, *(r + s for r in numbers for s in numbers), good[:32] + numbers[0], numbers[0] + good[32:]):
        rejected(signer, f"{signed}.{encode(wrong)}")
    assert signer.verifier().verify(f"{signed}.{encode(good)}").user_id == "alice"


TOKENS = {algorithm: issuer(algorithm).sign(kid="1") for algorithm in ALGORITHMS}
VERIFIERS = {algorithm: issuer(algorithm).verifier() for algorithm in ALGORITHMS}


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, str]:
    algorithm = draw(st.sampled_from(ALGORITHMS))
    token = TOKENS[algorithm]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(token)))
        upto = draw(st.integers(at, min(len(token), at + 3)))
        piece = draw(st.text(alphabet=ALPHABET, max_size=3) | st.text(max_size=2) | st.sampled_from([".", "=", "\n"]))
        token = token[:at] + piece + token[upto:]
    return algorithm, token


@settings(max_examples=sized(200, 2000), deadline=None, database=None)
@given(mutations())
def test_no_mutation_is_accepted_and_none_raises_anything_but_a_refusal(mutation: tuple[str, str]):
    algorithm, token = mutation
    try:
        VERIFIERS[algorithm].verify(token)
    except TokenRejected:
        assert token != TOKENS[algorithm]
    else:
        assert token == TOKENS[algorithm]


@settings(max_examples=sized(100, 500), deadline=None, database=None)
@given(st.sampled_from(ALGORITHMS), st.text(max_size=80) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_no_text_is_accepted_and_none_raises_anything_but_a_refusal(algorithm: str, text: str):
    with pytest.raises(TokenRejected):
        VERIFIERS[algorithm].verify(text)


@settings(max_examples=sized(100, 500), deadline=None, database=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_signed_garbage_raises_nothing_but_a_refusal(header: bytes, payload: bytes):
    with pytest.raises(TokenRejected):
        VERIFIERS["HS256"].verify(issuer("HS256").sign_bytes(header, PAYLOAD))
    with pytest.raises(TokenRejected):
        VERIFIERS["HS256"].verify(issuer("HS256").sign_bytes(b'{"alg":"HS256"}', payload))

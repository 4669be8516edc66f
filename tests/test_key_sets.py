"""Which keys of a published set are used, and what is said of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from taskward.identity import TokenRejected
from taskward.identity.jwks import MalformedKeySetError, PublishedKeys, read_key_set
from taskward.identity.keyring import FixedKeys
from taskward.identity.keys import canonical
from tests.issuer import (
    ALGORITHMS,
    ASYMMETRIC,
    SECRET,
    Issuer,
    encode,
    encode_integer,
    issuer,
    key_confusion,
    new_private,
)

ES256 = issuer("ES256")


def read(*keys: Any, allowed: frozenset[str] = frozenset(ALGORITHMS)) -> PublishedKeys:
    return read_key_set(json.dumps({"keys": list(keys)}).encode(), allowed)


def accepts(published: PublishedKeys, token: str) -> bool:
    try:
        return ES256.verifier(FixedKeys(published.keys)).verify(token).user_id == "alice"
    except TokenRejected:
        return False


def skipped(key: Any) -> str:
    """Why a key is not used; one beside it still is."""
    good = issuer("ES384")
    published = read(key, good.jwk(kid="good"))
    assert accepts(published, good.sign(kid="good"))
    assert len(published.keys.keys) == 1
    (sentence,) = published.skipped
    return sentence


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_published_key_verifies_what_it_is_labelled_with_and_nothing_else(algorithm: str):
    signer = issuer(algorithm)
    published = read(signer.jwk(kid="a", alg=algorithm, use="sig", key_ops=["verify"], x5c=["MIIB"], ext=True))
    assert accepts(published, signer.sign(kid="a"))
    for other in ALGORITHMS:
        # Two names of one algorithm (RFC 9864, section 2.2).
        same = {other, algorithm} <= {"EdDSA", "Ed25519"} or other == algorithm
        assert accepts(published, issuer(other).sign(kid="a")) is same
        assert accepts(published, issuer(other).sign(kid="a", alg=algorithm)) is same


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_key_without_a_label_verifies_what_its_kind_allows(algorithm: str):
    signer = issuer(algorithm)
    assert accepts(read(signer.jwk(kid="a")), signer.sign(kid="a"))
    assert not accepts(read(signer.jwk(kid="a"), allowed=frozenset({"HS256"})), signer.sign(kid="a"))


def test_a_token_is_verified_with_the_key_that_it_names():
    first, second = Issuer("ES256", new_private("ES256")), Issuer("ES256", new_private("ES256"))
    published = read(first.jwk(kid="a"), second.jwk(kid="b"))
    assert accepts(published, first.sign(kid="a"))
    assert accepts(published, second.sign(kid="b"))
    for kid in ("b", "c", "", "A", "a ", "key number 1"):
        assert not accepts(published, first.sign(kid=kid))
    # Which one it means cannot be told.
    assert not accepts(published, first.sign())
    assert accepts(read(first.jwk(kid="a"), issuer("RS256").jwk(kid="b")), first.sign())


def test_a_key_is_not_used_with_the_algorithm_of_the_one_beside_it():
    first, second = issuer("RS256"), issuer("PS256")
    published = read(first.jwk(kid="a", alg="RS256"), second.jwk(kid="b", alg="PS256"))
    assert accepts(published, first.sign(kid="a"))
    assert accepts(published, second.sign(kid="b"))
    # Both are signed by the one that they name, in a way that only the other one may be used.
    assert not accepts(published, second.sign(kid="a"))
    assert not accepts(published, first.sign(kid="b"))


def test_a_key_without_a_name_is_for_tokens_that_name_none():
    assert accepts(read(ES256.jwk()), ES256.sign())
    assert not accepts(read(ES256.jwk()), ES256.sign(kid="a"))


def test_two_keys_of_one_name_are_both_left_out_unless_they_differ_in_kind_or_not_at_all():
    first, second = Issuer("ES256", new_private("ES256")), Issuer("ES256", new_private("ES256"))
    twice = read(first.jwk(kid="a"), second.jwk(kid="a"))
    assert not accepts(twice, first.sign(kid="a"))
    assert not accepts(twice, second.sign(kid="a"))
    assert len(twice.skipped) == 2
    assert all("'a' is one of several with this name" in sentence for sentence in twice.skipped)
    kinds = read(first.jwk(kid="a"), issuer("RS256").jwk(kid="a"))
    assert accepts(kinds, first.sign(kid="a"))
    assert accepts(kinds, issuer("RS256").sign(kid="a"))
    assert accepts(read(first.jwk(kid="a"), first.jwk(kid="a")), first.sign(kid="a"))


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_a_private_key_that_is_published_is_not_used(member: str):
    sentence = skipped(ES256.jwk(kid="a", **{member: "AAAA"}))
    assert sentence == "key 'a' is a private or symmetric key, which nobody should publish"


def test_a_published_secret_is_not_used():
    assert "symmetric" in skipped({"kty": "oct", "kid": "a", "k": encode(SECRET.encode()), "alg": "HS256"})
    assert "kind" in skipped({"kty": "oct", "kid": "a"})
    for algorithm in ASYMMETRIC:
        signer = issuer(algorithm)
        for labelled in (signer.jwk(kid="a"), signer.jwk(kid="a", alg="HS256")):
            for text in (signer.public_pem, json.dumps(labelled), labelled.get("n", labelled.get("x", ""))):
                assert not accepts(read(labelled), key_confusion(text))


@pytest.mark.parametrize("bits", [512, 1024, 2040])
def test_a_weak_rsa_key_is_not_used(bits: int):
    # Made by hand: no library makes the smallest any more.
    modulus = (1 << (bits - 1)) | 1
    sentence = skipped({"kty": "RSA", "kid": "a", "n": encode_integer(modulus), "e": "AQAB"})
    assert f"{bits} bits; at least 2048 are needed" in sentence or "malformed" in sentence


def test_an_rsa_key_that_would_be_slow_is_not_used():
    modulus = issuer("RS256").private.public_key().public_numbers().n
    assert "slow" in skipped({"kty": "RSA", "n": encode_integer((1 << 16_400) + 1), "e": "AQAB"})
    assert "slow" in skipped({"kty": "RSA", "n": encode_integer(modulus), "e": encode_integer((1 << 64) + 1)})


def corrupted(key: dict[str, Any], **members: Any) -> dict[str, Any]:
    changed = {**key, **members}
    return {name: value for name, value in changed.items() if value != "absent"}


EC, RSA, OKP = ES256.jwk(kid="a"), issuer("RS256").jwk(kid="a"), issuer("EdDSA").jwk(kid="a")
POINT = ES256.private.public_key().public_numbers()
WRONG: list[Any] = ["absent", None, 1, "", [], {}, "=", "A", "AAA", "AA", " "]
MALFORMED: list[Any] = [
    None, [], "key", 1, {}, {"kty": "EC"}, {"kty": None}, {"kty": ["EC"]}, {"kty": "PQ"}, {**EC, "kty": "ec"},
    *(corrupted(EC, **{name: value}) for name in ("x", "y", "crv", "kty")
      for value in [*WRONG, EC["x"] + "=", EC["x"][:-1], EC["x"] + "AAAA"]),
    *(corrupted(RSA, **{name: value}) for name in ("n", "e") for value in [*WRONG, RSA["n"][:40] + "\n"]),
    *(corrupted(OKP, x=value) for value in [*WRONG, "AAAA", OKP["x"] + "=", OKP["x"][:-1]]),
    corrupted(EC, crv="P-384"), corrupted(EC, crv="secp256k1"), corrupted(OKP, crv="X25519"),
    corrupted(OKP, crv="Ed448"), corrupted(EC, y=EC["x"]), corrupted(EC, x=encode(bytes(32)), y=encode(bytes(32))),
    # The right point, but with a leading zero too many or too few.
    corrupted(EC, x=encode(POINT.x.to_bytes(33, "big"))), corrupted(EC, x=encode(POINT.x.to_bytes(32, "big")[1:])),
]  # fmt: skip


# The keys are other ones in every process, so the cases are named by their place.
@pytest.mark.parametrize("key", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_key_is_not_used_and_spoils_no_other(key: Any):
    assert skipped(key)


def test_a_key_of_an_unknown_kind_is_told_from_one_that_is_weak():
    for key in (
        corrupted(OKP, crv="X25519"),
        {**EC, "kty": "ec"},
        corrupted(EC, x=encode(POINT.x.to_bytes(33, "big"))),
    ):
        assert skipped(key) == "key 'a' is malformed, or of a kind that is not supported"


def test_a_key_that_is_labelled_with_what_it_cannot_do_is_not_used():
    for algorithm in ALGORITHMS:
        for label in (*ALGORITHMS, "none", "ES256K", "dir", ""):
            if (
                algorithm in ASYMMETRIC
                and canonical(label) not in read(issuer(algorithm).jwk()).keys.keys[0].algorithms
            ):
                assert "labelled" in skipped(issuer(algorithm).jwk(kid="a", alg=label))
    strange: list[Any] = [None, 1, ["ES256"], {}]
    for value in strange:
        assert "labelled" in skipped(ES256.jwk(kid="a", alg=value))


@pytest.mark.parametrize("kid", [None, 1, [], {}, True, "x" * 256])
def test_a_key_with_a_name_that_is_no_short_string_is_not_used(kid: object):
    assert "named by something else than a short string" in skipped(ES256.jwk(kid=kid))


@pytest.mark.parametrize(
    "purpose",
    [{"use": "enc"}, {"use": ""}, {"key_ops": ["encrypt"]}, {"key_ops": []}],
)
def test_a_key_that_is_meant_for_something_else_is_not_used_and_nothing_is_said(purpose: dict[str, Any]):
    published = read(ES256.jwk(kid="a", **purpose))
    assert not accepts(published, ES256.sign(kid="a"))
    assert (published.keys.keys, published.skipped) == ((), ())


def test_the_encryption_key_beside_the_others_is_nothing_to_warn_of():
    published = read(issuer("RS256").jwk(kid="e", alg="RSA-OAEP"), ES256.jwk(kid="a", alg="ES256"))
    assert (len(published.keys.keys), published.skipped) == (1, ())


def test_a_purpose_of_the_wrong_type_is_refused_null_among_them():
    strange: list[Any] = ["verify", None, {}]
    for operations in strange:
        assert "not a list" in skipped(ES256.jwk(kid="a", key_ops=operations))
    strange = [None, ["sig"], 1]
    for use in strange:
        assert "meant for a use that is not a string" in skipped(ES256.jwk(kid="a", use=use))


def test_a_name_in_a_sentence_stays_on_its_line():
    sentence = skipped(ES256.jwk(kid="a\n\x1b[31m'\u202e", d="AAAA"))
    assert sentence.startswith('key "a\\n\\x1b[31m\'\\u202e" is ')
    assert len(skipped(ES256.jwk(kid="x" * 9999))) < 400


@pytest.mark.parametrize(
    "document",
    [
        b"", b"null", b"[]", b"{}", b'{"keys":null}', b'{"keys":{}}', b'{"keys":"x"}', b'{"keys":[]', b"\xff",
        b'{"keys":[],"keys":[]}', b'{"keys":[NaN]}', b"[" * 100_000, b'{"keys":' + b"[" * 100_000, b"<html>",
        b'{"keys":[{"kty":"EC","kty":"EC"}]}',
    ],
    ids=lambda document: repr(document[:24]),
)  # fmt: skip
def test_what_is_no_key_set_is_refused_whole(document: bytes):
    with pytest.raises(MalformedKeySetError):
        read_key_set(document)


def test_no_more_than_a_hundred_keys_are_read():
    many = read(*(ES256.jwk(kid=str(number)) for number in range(150)))
    assert len(many.keys.keys) == 100
    assert len(many.skipped) == 50
    assert many.skipped[0] == "key '100' is behind 100 that can be used, which are enough"
    assert not accepts(many, ES256.sign(kid="120"))


def test_only_keys_that_could_verify_a_token_count_towards_the_hundred():
    useless = [
        None, {"kty": "oct", "k": "AAAA"}, ES256.jwk(use="enc"), ES256.jwk(alg="ECDH-ES"), ES256.jwk(d="AAAA"),
        ES256.jwk(alg="ES384"), issuer("RS256").jwk(), ES256.jwk(kid="0"),
    ]  # fmt: skip
    last = Issuer("ES256", new_private("ES256"))
    named = [ES256.jwk(kid=str(number)) for number in range(99)]
    published = read(*useless * 50, *named, last.jwk(kid="last"), allowed=frozenset({"ES256"}))
    assert len(published.keys.keys) == 100
    assert accepts(published, last.sign(kid="last"))
    # What is said of the others does not grow with them.
    assert len(published.skipped) == 101
    assert published.skipped[-1] == "another key, as are 149 more, is nothing that can be used"


def test_a_curve_of_another_size_cannot_be_mistaken():
    for curve, algorithm in ((ec.SECP384R1(), "ES384"), (ec.SECP521R1(), "ES512")):
        signer = Issuer(algorithm, ec.generate_private_key(curve))
        published = read(signer.jwk(kid="a"))
        assert accepts(published, signer.sign(kid="a"))
        assert not accepts(published, signer.sign(kid="a", alg="ES256"))


def test_an_rsa_key_with_an_exponent_that_hides_nothing_is_not_used():
    numbers = issuer("RS256").private.public_key().public_numbers()
    for exponent in (0, 1, 2, 4, 65536):
        jwk = {"kty": "RSA", "kid": "a", "n": encode_integer(numbers.n), "e": encode_integer(exponent) or "AA"}
        assert skipped(jwk) in {
            "key 'a' is malformed, or of a kind that is not supported",
            "key 'a' is written with zeros before its numbers, which is another spelling of a key",
        }


def test_an_rsa_key_with_a_small_but_proper_exponent_is_used():
    signer = Issuer("RS256", rsa.generate_private_key(3, 2048))
    assert accepts(read(signer.jwk(kid="a")), signer.sign(kid="a"))

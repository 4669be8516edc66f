"""Keys that protect nothing: which are found, that no good one is, and what it may cost to look."""

from __future__ import annotations

import json
import time
from math import prod
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskward.identity import KeyConfigurationError, jwks, keys, load_keys
from taskward.identity.jwks import read_key_set
from taskward.identity.weaknesses import ed25519_weakness, rsa_weakness
from tests.issuer import Issuer, encode, encode_integer, issuer, new_private
from tests.sizes import sized
from tests.test_key_sets import accepts, read, skipped

P = 2**255 - 19
PRIME = 2**2203 - 1  # of Mersenne
HALF = rsa.generate_private_key(65537, 2048).private_numbers().p


CLOSE = "key 'a' is an RSA key whose factors are the same or close together, so that they can be found (CVE-2022-26320)"


def modulus(n: int, **members: Any) -> dict[str, Any]:
    return {"kty": "RSA", "kid": "a", "n": encode_integer(n), "e": "AQAB", **members}


def next_prime(number: int) -> int:
    """The next one that is very probably a prime."""
    number |= 1
    while pow(2, number - 1, number) != 1 or pow(3, number - 1, number) != 1:
        number += 2
    return number


def test_an_rsa_key_that_can_be_factored_is_not_used():
    """Its modulus looks like those of CVE-2017-15361: a power of 65537 modulo the product of the small primes."""
    product = prod(prime for prime in range(2, 168) if all(prime % factor for factor in range(2, prime)))
    for exponent in (2, 3, 1234, product // 7):
        n = pow(65537, exponent, product) + (product << (2048 - product.bit_length()))
        assert skipped(modulus(n)) == "key 'a' is an RSA key that can be factored (CVE-2017-15361)"


def test_an_rsa_key_with_a_small_factor_is_not_used():
    n = issuer("RS256").private.public_key().public_numbers().n
    for factor in (2, 3, 997):
        sentence = "key 'a' is an RSA key with a small factor, so that anybody can find the others"
        assert skipped(modulus(n // factor * factor)) == sentence


def test_an_rsa_key_whose_modulus_is_prime_is_not_used():
    assert skipped(modulus(PRIME)) == (
        "key 'a' is an RSA key whose modulus is prime, so that anybody can compute the private one"
    )


@pytest.mark.parametrize("degree", [2, 4, 6])
def test_an_rsa_key_whose_modulus_is_a_square_is_not_used(degree: int):
    root = next_prime(HALF >> max(0, 1023 - 2050 // degree))
    for squared in (root ** (degree // 2), root ** (degree // 2) * 1009):
        assert skipped(modulus(squared**2)) == CLOSE


@pytest.mark.parametrize("degree", [3, 5, 7, 9, 21])
def test_an_rsa_key_whose_modulus_is_a_power_of_a_prime_is_not_used(degree: int):
    n = next_prime(HALF >> (1024 - 2050 // degree - 1)) ** degree
    assert skipped(modulus(n)) == "key 'a' is an RSA key whose factors one step finds, as those of a prime's power"


@pytest.mark.long
@pytest.mark.parametrize("distance", [2, 1 << 100, 1 << 500][: sized(1, 3)])
def test_an_rsa_key_whose_factors_are_close_is_not_used(distance: int):
    assert skipped(modulus(HALF * next_prime(HALF + distance))) == CLOSE


def test_good_rsa_keys_are_used_whatever_their_size():
    for bits in (2048, 2056, 3072):
        signer = Issuer("RS256", rsa.generate_private_key(65537, bits))
        assert accepts(read(signer.jwk(kid="a")), signer.sign(kid="a"))


def test_a_weak_key_of_the_settings_is_refused_as_well():
    pem = rsa.RSAPublicNumbers(65537, PRIME).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyConfigurationError, match=r"^TASKWARD_PUBLIC_KEY is an RSA key whose modulus is prime"):
        load_keys(public_key=pem.decode())


def test_to_look_for_weaknesses_is_done_once_for_a_key_and_lets_others_run():
    n = rsa.generate_private_key(65537, 3072).public_key().public_numbers().n
    assert rsa_weakness(n) is None
    began = time.thread_time()
    for _ in range(100):
        assert rsa_weakness(n) is None
    again = time.thread_time() - began
    rsa_weakness.cache_clear()
    began = time.thread_time()
    assert rsa_weakness(n) is None
    assert again < (time.thread_time() - began) / 10


def test_a_set_of_very_many_large_keys_costs_no_more_than_a_bound(monkeypatch: pytest.MonkeyPatch):
    # Three keys' worth, so that the test does not take as long as that.
    monkeypatch.setattr(jwks, "_MOST_WORK", 3 * 2203**3)
    looked_at: list[int] = []

    def look(n: int) -> str:
        looked_at.append(n)
        return "of a test"

    monkeypatch.setattr(keys, "rsa_weakness", look)
    published = read(*(modulus(PRIME - 2 * number) for number in range(10)))
    assert len(looked_at) == 3
    sentence = "key 'a' is behind so many large RSA keys that to look at it would take too long"
    assert published.skipped.count(sentence) == 7
    monkeypatch.undo()
    # A hundred keys of 4096 bits are within it.
    assert jwks._MOST_WORK > 100 * 4096**3


def test_a_key_that_is_too_large_takes_nothing_from_those_behind_it():
    signer = issuer("RS256")
    published = read(modulus((1 << 500_000) + 1), signer.jwk(kid="b"))
    assert accepts(published, signer.sign(kid="b"))


@pytest.mark.parametrize("member", ["n", "e"])
@pytest.mark.parametrize("zeros", [1, 2, 8])
def test_a_number_that_begins_with_zeros_is_another_spelling_of_a_key(member: str, zeros: int):
    numbers = issuer("RS256").private.public_key().public_numbers()
    value = getattr(numbers, member)
    spelt = encode(bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big"))
    sentence = "key 'a' is written with zeros before its numbers, which is another spelling of a key"
    assert skipped(issuer("RS256").jwk(kid="a", **{member: spelt})) == sentence


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize("y", range(7))
def test_an_ed25519_key_for_which_anybody_can_sign_is_not_used(y: int, sign_bit: int):
    order_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    point = (0, 1, P - 1, order_8, P - order_8, P, P + 1)[y]
    assert "small order, for which anybody can sign" in skipped(okp(point | sign_bit << 255))


def okp(encoded: int) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": encode(encoded.to_bytes(32, "little"))}


def is_on_curve(y: int) -> bool:
    """By Euler's criterion, as RFC 8032, section 5.1.3, has the curve."""
    square = (y * y - 1) * pow(-121_665 * pow(121_666, P - 2, P) * y * y + 1, P - 2, P) % P
    return square == 0 or pow(square, (P - 1) // 2, P) == 1


def test_an_ed25519_key_that_is_no_point_is_not_used():
    no_points = [y for y in range(2, 60) if not is_on_curve(y)]
    assert len(no_points) > 10
    for y in no_points:
        for sign_bit in (0, 1):
            assert skipped(okp(y | sign_bit << 255)) == "key 'a' is an Ed25519 key that is no point of its curve"


def test_an_ed25519_key_that_is_not_reduced_is_not_used():
    # All that fit into 255 bits: 19 numbers.
    for y in range(P, 1 << 255):
        for sign_bit in (0, 1):
            assert "an Ed25519 key" in skipped(okp(y | sign_bit << 255))
    unreduced = {skipped(okp(y)) for y in range(P + 2, 1 << 255)}
    assert unreduced == {"key 'a' is an Ed25519 key that is written with a number beyond its field"}


def test_good_ed25519_keys_are_used():
    for _ in range(100):
        key = ed25519.Ed25519PrivateKey.generate().public_key()
        assert ed25519_weakness(key.public_bytes_raw()) is None


@pytest.mark.parametrize(("curve", "a", "algorithm"), [(ec.SECP256R1(), -3, "ES256"), (ec.SECP521R1(), -3, "ES512")])
def test_a_point_of_a_nist_curve_that_is_not_reduced_or_not_on_it_is_not_used(
    curve: ec.EllipticCurve, a: int, algorithm: str
):
    primes = {"ES256": 2**256 - 2**224 + 2**192 + 2**96 - 1, "ES512": 2**521 - 1}
    prime, size = primes[algorithm], (curve.key_size + 7) // 8
    signer = Issuer(algorithm, new_private(algorithm))
    point = signer.private.public_key().public_numbers()
    b = (point.y**2 - point.x**3 - a * point.x) % prime
    # Small enough that the field's size more fits into as many bytes.
    x = next(x for x in range(1, 1000) if pow(x**3 + a * x + b, (prime - 1) // 2, prime) == 1)
    y = pow(x**3 + a * x + b, (prime + 1) // 4, prime)
    good = {"kty": "EC", "crv": f"P-{curve.key_size}", "kid": "a", "x": encode(x.to_bytes(size, "big"))}
    assert not read({**good, "y": encode(y.to_bytes(size, "big"))}).skipped
    for wrong in ({"x": x + prime, "y": y}, {"x": x, "y": y ^ 1}):
        spelt = {name: encode(number.to_bytes(size, "big")) for name, number in wrong.items()}
        assert skipped_beside({**good, **spelt}) == "key 'a' is malformed, or of a kind that is not supported"


def skipped_beside(key: dict[str, Any]) -> str:
    published = read_key_set(json.dumps({"keys": [key]}).encode())
    assert not published.keys.keys
    (sentence,) = published.skipped
    return sentence

"""Public keys that protect nothing: their private half can be computed, or signatures need none.

What is found is what can be found in bounded time. That nothing is found proves nothing about a key.
"""

from __future__ import annotations

import math
import time
from functools import lru_cache

# Primes modulo which the powers of 65537 are few. Chips with the flaw of CVE-2017-15361 made moduli that are such a
# power modulo every small prime, and can be factored; of all others one in 2^27 is.
_FEW_POWERS = {
    prime: frozenset(pow(65_537, exponent, prime) for exponent in range(prime))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}
_SMALL_FACTORS = math.lcm(*range(1, 1000))
# Factors as close as a broken generator makes them are found in a few (CVE-2022-26320).
_FERMAT_STEPS = 100
_STEPS_IN_ONE_GO = 16
_REMEMBERED = 256  # twice what a set may have

# Ed25519 (RFC 8032, section 5.1).
_P = 2**255 - 19
_D = -121_665 * pow(121_666, -1, _P) % _P
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
# The y of every point of small order: with one as its key, Ed25519 accepts signatures that anybody can make.
_SMALL_ORDER = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})


@lru_cache(_REMEMBERED)
def rsa_weakness(n: int) -> str | None:
    """What is wrong with the modulus of an RSA key, if anything is; it completes "an RSA key …".

    Modular powers take nearly all of its time: 30 milliseconds for 2048 bits, eight times as much for twice as many.
    Other threads run meanwhile.
    """
    if all(n % prime in powers for prime, powers in _FEW_POWERS.items()):
        return "that can be factored (CVE-2017-15361)"
    if math.gcd(n, _SMALL_FACTORS) != 1:
        return "with a small factor, so that anybody can find the others"
    if _has_close_factors(n):
        return "whose factors are the same or close together, so that they can be found (CVE-2022-26320)"
    # By Fermat's theorem 2^(n-1) is 1 modulo n if that is prime, and modulo p if n is a power of the prime p.
    common = math.gcd(_power_of_two(n - 1, n) - 1, n)
    if common == n:
        return "whose modulus is prime, so that anybody can compute the private one"
    return None if common == 1 else "whose factors one step finds, as those of a prime's power"


def ed25519_weakness(encoded: bytes) -> str | None:
    """What is wrong with an Ed25519 key of 32 bytes, if anything is; it completes "an Ed25519 key …".

    Points are decoded as in RFC 8032, section 5.1.3. OpenSSL looks at them only when it verifies.
    """
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    if y % _P in _SMALL_ORDER:
        return "of small order, for which anybody can sign"
    if y >= _P:
        return "that is written with a number beyond its field"
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if pow(square, (_P - 1) // 2, _P) != 1:
        return "that is no point of its curve"
    return None


def _has_close_factors(n: int) -> bool:
    """Fermat's method: with factors p and q near to one another, (p + q) / 2 is at the root of n or just above it."""
    root = math.isqrt(n)
    for candidate in range(root, root + _FERMAT_STEPS):
        rest = candidate * candidate - n
        if rest >= 0 and math.isqrt(rest) ** 2 == rest:
            return True
    return False


def _power_of_two(exponent: int, n: int) -> int:
    """`pow(2, exponent, n)` in steps. The call would keep other threads from running until it has ended."""
    power = 1
    for step, bit in enumerate(f"{exponent:b}"):
        power = power * power % n
        if bit == "1":
            power = power * 2 % n
        if step % _STEPS_IN_ONE_GO == 0:
            time.sleep(0)
    return power

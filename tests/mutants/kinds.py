"""Mutants of what keeps secrets and public keys apart, and weak keys out, beyond the refusals that are found."""

from __future__ import annotations

from collections.abc import Iterator

from tests.mutants.nearest import KINDS, UNKNOWN, UNNAMED, WEAK
from tests.mutants.source import Edit, Mutant

_IDENTITY = "src/taskward/identity/"


def kinds() -> Iterator[Mutant]:
    """Each is one edit of a module of `identity`."""
    one_kind = (KINDS + "each_kind_of_key_verifies_its_own_algorithms_and_no_others[ES256]",)
    published = (KINDS + "a_secret_that_comes_to_be_published_verifies_nothing_from_then_on",)
    spelt = (KINDS + "a_secret_that_is_a_published_key_in_any_spelling_is_refused[ES256]",)
    beyond = (WEAK + "a_point_of_a_nist_curve_that_is_not_reduced_or_not_on_it_is_not_used",)
    dear, unknown = (WEAK + "a_set_of_very_many_large_keys_costs_no_more_than_a_bound",), UNKNOWN
    for name, file, old, new, tests in (
        (
            "a secret is for every algorithm", "keys.py",
            "        keys.append(VerificationKey(algorithms, secret))",
            "        keys.append(VerificationKey(tuple(allowed), secret))", one_kind,
        ),
        (
            "a public key is for every algorithm", "keys.py",
            "algorithms = tuple(name for name in key.algorithms if name in allowed)",
            "algorithms = tuple(allowed)", one_kind,
        ),
        (
            "a secret that is published verifies", "fetched.py",
            " and not public.has(key.material))", ")", published,
        ),
        (
            "a number of a key is no part of it", "exposure.py",
            "any(mark in form for mark in self._marks)", "False", spelt,
        ),
        (
            "a part of what is published is a secret", "exposure.py",
            "any(form in text for text in self._texts)", "False", spelt,
        ),
        (
            "a point beyond its field is a key", "jwks.py",
            "if point.public_numbers() == numbers:", "if True:", beyond,
        ),
        ("to look at keys takes any time", "jwks.py", "if self._work > _MOST_WORK:", "if False:", dear),
        (
            "what an earlier fetch did not bring is missing", "fetched.py",
            "if self._begun > earlier:", "if True:", unknown,
        ),
        (
            "unknown keys are fetched at any pace", "fetched.py",
            "await asyncio.sleep(max(0, self._next - self._clock()))", "pass", unknown,
        ),
        (
            "what is missing is fetched again and again", "fetched.py",
            "                self._missing.add(wanted)\n", "", unknown,
        ),
        (
            "a swapped key without a name is not looked for", "keys.py",
            "return self.published and kid is None and algorithm not in SYMMETRIC", "return False", UNNAMED,
        ),
        (
            "a wrong signature of a named key has keys fetched", "keys.py",
            "return self.published and kid is None and", "return self.published and", UNNAMED,
        ),
        (
            "tokens without a name keep each other's keys back", "tokens.py",
            "_digest(token) if kid is None else None", "None", UNNAMED,
        ),
        (
            "the key that failed is taken for another", "fetched.py",
            " and found != tried:", ":", UNNAMED,
        ),
    ):  # fmt: skip
        yield Mutant(f"kinds: {name}", (Edit(_IDENTITY + file, old, new),), tests)

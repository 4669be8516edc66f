"""Tokens that were verified are remembered: which, how many, and what is looked at all the same."""

from __future__ import annotations

import pytest

from taskward.identity import TokenRejected
from taskward.identity import tokens as implementation
from tests.issuer import GOOD, NOW, issuer
from tests.test_claims import SIGNER, Clock


def test_a_verified_token_is_not_verified_again_but_for_its_times(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    verifier = SIGNER.verifier(now=clock)
    token = SIGNER.sign()
    first = verifier.verify(token)
    monkeypatch.setattr("jose.jws.verify", None)
    assert verifier.verify(token) is first
    for outside in (GOOD["exp"] + 30, GOOD["iat"] - 31):
        clock.time = outside
        with pytest.raises(TokenRejected):
            verifier.verify(token)
    clock.time = NOW
    assert verifier.verify(token) is first


def test_only_verified_tokens_are_remembered_and_no_more_than_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(implementation, "_CACHED_TOKENS", 3)
    clock = Clock()
    verifier = SIGNER.verifier(now=clock)
    good = [SIGNER.sign({**GOOD, "sub": f"user{number}"}) for number in range(5)]
    bad = [SIGNER.sign({**GOOD, "exp": 1, "jti": number}) for number in range(10)]
    bad += [issuer("ES256").sign(), "x", *(token + "A" for token in good), SIGNER.sign({**GOOD, "nbf": NOW + 99})]
    for token in good[:3]:
        verifier.verify(token)
    remembered = dict(verifier._verified)
    assert len(remembered) == 3
    for token in bad:
        with pytest.raises(TokenRejected):
            verifier.verify(token)
    assert verifier._verified == remembered
    for token in good:
        verifier.verify(token)
    assert [claims.user_id for claims in verifier._verified.values()] == ["user2", "user3", "user4"]
    assert len(verifier._verified) == 3


def test_a_token_of_thousands_of_scopes_is_good_and_not_remembered():
    verifier = SIGNER.verifier()
    few, many = ({**GOOD, "scope": " ".join(map(str, range(count)))} for count in (50, 1000))
    for payload, remembered in ((many, 0), (few, 1)):
        assert len(verifier.verify(SIGNER.sign(payload)).scopes) in {50, 1000}
        assert len(verifier._verified) == remembered


def test_a_token_of_one_verifier_is_unknown_to_another():
    token = SIGNER.sign()
    SIGNER.verifier().verify(token)
    with pytest.raises(TokenRejected):
        SIGNER.verifier(issuer="https://id.example/").verify(token)
    with pytest.raises(TokenRejected):
        issuer("ES256").verifier().verify(token)

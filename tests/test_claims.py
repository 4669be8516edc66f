"""What a signed token must say: when it holds, who issued it for whom, and which user it names."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskward.identity import ClaimRules, TokenRejected, parse_conditions
from taskward.identity import tokens as implementation
from tests.issuer import GOOD, NOW, issuer
from tests.sizes import sized

SIGNER = issuer("HS256")
HEADER = b'{"alg":"HS256"}'


def rejected(payload: Any, **options: Any) -> None:
    token = SIGNER.sign_bytes(HEADER, payload) if isinstance(payload, bytes) else SIGNER.sign(payload)
    with pytest.raises(TokenRejected):
        SIGNER.verifier(**options).verify(token)


def accepted(payload: Any, **options: Any) -> str:
    return SIGNER.verifier(**options).verify(SIGNER.sign(payload)).user_id


class Clock:
    def __init__(self) -> None:
        self.time: float = NOW

    def __call__(self) -> float:
        return self.time


def without(name: str) -> dict[str, Any]:
    return {claim: value for claim, value in GOOD.items() if claim != name}


@pytest.mark.parametrize(
    "payload",
    [
        b"null", b"[]", b'"alice"', b"7", b"true", b"{", b"{}", b"\xff", b'\xef\xbb\xbf{"sub":"a","exp":%d}',
        b'{"sub":"a","exp":%d}{}', b'{"sub":"a","exp":%d,}', b'{"sub":"a","sub":"b","exp":%d}',
        b'{"sub":"a","exp":1,"exp":%d}', b'{"sub":"a","exp":%d,"x":{"y":1,"y":1}}',
        b'{"sub":"a","\\u0073ub":"b","exp":%d}',
        b'{"sub":"a","exp":%d,"x":NaN}', b'{"sub":"a","exp":%d,"x":Infinity}', b'{"sub":"a","exp":%d,"x":-Infinity}',
        b'{"sub":"a","exp":%d,"x":' + b"[" * 2500, b'{"sub":"a","exp":%d,"x":' + b'{"a":' * 1100,
        b'{"sub":"a","exp":%d,"x":' + b"9" * 5000 + b"}", b'{"sub":"a","exp":%d,"x":"\x00"}',
        '{"sub":"a","exp":%d}'.encode("utf-16"),
    ],
    ids=lambda payload: repr(payload[:40]),
)  # fmt: skip
def test_a_payload_that_is_not_one_plain_object_is_refused(payload: bytes):
    rejected(payload.replace(b"%d", str(NOW + 60).encode()))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "written",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "1" + "0" * 400,
        "true",
        "false",
        "null",
        f'"{NOW}"',
        "[]",
        "{}",
    ],
)
def test_a_time_that_is_no_finite_number_is_refused(name: str, written: str):
    rejected(json.dumps({**GOOD, name: "?"}).replace('"?"', written).encode())


def test_a_token_without_an_expiry_is_refused():
    rejected(without("exp"))
    assert accepted(without("iat")) == "alice"


def test_times_may_be_fractions():
    assert accepted({**GOOD, "exp": NOW + 0.5, "iat": NOW - 0.5, "nbf": -1e3}) == "alice"


def test_a_token_expires_leeway_seconds_after_its_expiry():
    clock = Clock()
    token = SIGNER.sign({"sub": "alice", "exp": NOW})
    for leeway in (0, 30, 60):
        for cached in (False, True):
            verifier = SIGNER.verifier(now=clock, leeway=leeway)
            clock.time = NOW + leeway - 0.001
            if cached or leeway:
                assert verifier.verify(token).expires_at == NOW
            clock.time = NOW + leeway
            with pytest.raises(TokenRejected):
                verifier.verify(token)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_begins_leeway_seconds_before_it_says(name: str):
    clock = Clock()
    token = SIGNER.sign({"sub": "alice", "exp": NOW + 900, name: NOW + 100})
    for leeway in (0, 30, 60):
        verifier = SIGNER.verifier(now=clock, leeway=leeway)
        clock.time = NOW + 100 - leeway - 0.001
        with pytest.raises(TokenRejected):
            verifier.verify(token)
        clock.time = NOW + 100 - leeway
        assert verifier.verify(token).not_before == NOW + 100


def test_the_later_of_both_beginnings_counts():
    rejected({**GOOD, "iat": NOW, "nbf": NOW + 31})
    rejected({**GOOD, "iat": NOW + 31, "nbf": NOW})


def test_the_clock_is_the_systems_unless_another_is_given():
    token = SIGNER.sign({"sub": "alice", "exp": time.time() + 60})
    assert implementation.Verifier(SIGNER.keys, ClaimRules()).verify(token).user_id == "alice"
    with pytest.raises(TokenRejected):
        implementation.Verifier(SIGNER.keys, ClaimRules()).verify(
            SIGNER.sign({"sub": "alice", "exp": time.time() - 31})
        )


@pytest.mark.parametrize(
    "issued_by", ["https://id.example", "https://ID.example/", ["https://id.example/"], {}, None, "", 1, True]
)
def test_the_issuer_is_compared_exactly(issued_by: object):
    required = {"issuer": "https://id.example/"}
    rejected({**GOOD, "iss": issued_by}, **required)
    rejected(GOOD, **required)
    assert accepted({**GOOD, "iss": "https://id.example/"}, **required) == "alice"
    assert accepted({**GOOD, "iss": issued_by}) == "alice"


@pytest.mark.parametrize("audience", ["tasks", ["tasks"], ["other", "tasks"], "web", ["tasks", "tasks"]])
def test_one_audience_of_those_required_is_enough(audience: object):
    assert accepted({**GOOD, "aud": audience}, audience=("tasks", "web")) == "alice"


@pytest.mark.parametrize(
    "audience",
    [
        "other",
        "",
        "Tasks",
        "tasks,web",
        [],
        ["other"],
        ["tasks", 1],
        ["tasks", None],
        [["tasks"]],
        {"tasks": 1},
        1,
        None,
        True,
    ],
)
def test_another_audience_is_refused(audience: object):
    rejected({**GOOD, "aud": audience}, audience=("tasks", "web"))
    rejected(GOOD, audience=("tasks",))
    assert accepted({**GOOD, "aud": audience}) == "alice"


UNUSABLE = [
    "",
    "x" * 256,
    7,
    1.5,
    True,
    False,
    None,
    ["alice"],
    {"id": "alice"},
    "a\0",
    "a\nb",
    "\t",
    "\x7f",
    "\x85",
    "\x9f",
    "\ud800",
    "a\udfff",
]


@pytest.mark.parametrize("user", UNUSABLE, ids=ascii)
def test_a_user_that_is_no_plain_string_is_refused(user: object):
    rejected({**GOOD, "sub": user})
    rejected({**GOOD, "user": {"id": user}}, user_claim="user.id")
    rejected(without("sub"))


@pytest.mark.parametrize("claim", ["uid", "user.id"])
def test_a_user_is_of_one_type_so_that_no_two_claims_are_the_same_user(claim: str):
    def token(value: object) -> str:
        return SIGNER.sign({**GOOD, "uid": value, "user": {"id": value}})

    texts = SIGNER.verifier(user_claim=claim)
    whole = SIGNER.verifier(user_claim=claim, user_claim_type="integer")
    for number in (1, 42, 2**53 - 1):
        assert whole.verify(token(number)).user_id == str(number)
        assert texts.verify(token(str(number))).user_id == str(number)
        for verifier, value in ((texts, number), (whole, str(number))):
            with pytest.raises(TokenRejected, match=r"; TASKWARD_USER_CLAIM_TYPE says which of the two it is$"):
                verifier.verify(token(value))
    strange: list[Any] = [0, -1, -42, 2**53, 10**400, 42.0, 1.5, True, False, None, [42], {"id": 42}, "042", "+42", ""]
    for value in strange:
        with pytest.raises(TokenRejected, match=r"its user claim .* is not"):
            whole.verify(token(value))


@pytest.mark.parametrize(
    "user",
    ["a", "x" * 255, "ü" * 255, "auth0|5f7c", "😀", " ", "a b", "\u200b", "\u2028", "'; DROP TABLE task; --", "null"],
    ids=ascii,
)
def test_a_user_is_the_string_as_it_stands(user: str):
    assert accepted({**GOOD, "sub": user}) == user


def test_a_claim_name_with_dots_goes_into_objects():
    nested = {**GOOD, "user": {"id": "bob", "x": {"y": "carol"}}}
    assert accepted(nested, user_claim="user.id") == "bob"
    assert accepted(nested, user_claim="user.x.y") == "carol"
    for claim in ("user", "user.x", "user.none", "none.id", "user.id.x", "sub.id", ".user", "user.", "."):
        rejected(nested, user_claim=claim)
    for other in ([{"id": "bob"}], "bob", None, 1):
        rejected({**GOOD, "user": other}, user_claim="user.id")


def test_a_claim_whose_own_name_has_dots_comes_first():
    name = "https://example.com/uid"
    assert accepted({**GOOD, name: "bob"}, user_claim=name) == "bob"
    assert accepted({**GOOD, "user.id": "bob", "user": {"id": "carol"}}, user_claim="user.id") == "bob"
    rejected({**GOOD, "https://example": {"com/uid": 1}}, user_claim=name)
    rejected(GOOD, user_claim=name)
    for unusable in ("", 7, None):
        rejected({**GOOD, "user.id": unusable, "user": {"id": "carol"}}, user_claim="user.id")


REQUIRED = {"required": parse_conditions(["azp=web", "azp=cli", "ok=true", "app.level=2", "tags=x"])}
FITTING: dict[str, Any] = {**GOOD, "azp": "web", "ok": True, "app": {"level": 2}, "tags": ["y", "x"]}


def test_required_claims_are_all_there_with_one_of_their_values():
    assert accepted(FITTING, **REQUIRED) == "alice"
    for changes in (
        {"app": {"level": 2.0}}, {"azp": "cli"}, {"azp": ["other", "cli"]}, {"ok": "true"}, {"ok": [True]},
        {"app": {"level": "2"}},
        {"app.level": 2, "app": None}, {"tags": "x"},
    ):  # fmt: skip
        assert accepted({**FITTING, **changes}, **REQUIRED) == "alice"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("azp", ["", "Web", "web ", "web,cli", None, 1, True, {}, {"web": 1}, [], ["Web"], [["web"]], [{"web": 1}]]),
        ("ok", [False, 1, "True", "TRUE", None, [1], {}]),
        ("app", [None, {}, {"level": 3}, {"level": 2.5}, {"level": True}, {"level": None}, [{"level": 2}], "level", 2]),
        ("tags", [[], ["y"], "xy", {"x": True}, None]),
    ],
)  # fmt: skip
def test_a_token_without_a_required_claim_is_refused(name: str, values: list[Any]):
    rejected({claim: value for claim, value in FITTING.items() if claim != name}, **REQUIRED)
    for value in values:
        rejected({**FITTING, name: value}, **REQUIRED)


def test_a_token_with_a_rejected_claim_is_refused():
    rules = {"rejected": parse_conditions(["role=service_role", "role=anon", "app.admin=true", "level=2"])}
    harmless: dict[str, Any]
    unwanted: dict[str, Any]
    for harmless in (
        {}, {"role": "authenticated"}, {"role": ["a", "b"]}, {"role": None}, {"role": 1}, {"app": {"admin": False}},
        {"app": "admin"}, {"level": 22}, {"level": "02"}, {"role": "Service_Role"},
    ):  # fmt: skip
        assert accepted({**GOOD, **harmless}, **rules) == "alice"
    for unwanted in (
        {"role": "service_role"}, {"role": "anon"}, {"role": ["authenticated", "anon"]}, {"app": {"admin": True}},
        {"app": {"admin": True}, "app.admin": False}, {"app.admin": True, "app": {"admin": False}},
        {"app": {"admin": "true"}}, {"app.admin": True}, {"level": 2}, {"level": "2"}, {"level": [1, 2]},
        # What cannot be compared is not given the benefit of the doubt.
        {"role": {"name": "service_role"}}, {"role": {}}, {"role": ["a", {"name": "service_role"}]}, {"level": 2.0},
        {"role": [["anon"]]},
    ):  # fmt: skip
        rejected({**GOOD, **unwanted}, **rules)


@pytest.mark.parametrize(
    "unwanted",
    [
        {"https://a.example/b": {"c.d": "x"}}, {"https://a.example/b": {"c": {"d": "x"}}},
        {"https://a": {"example/b.c": {"d": ["y", "x"]}}}, {"https://a.example/b": [{"c": {"d": "y"}}, {"c.d": "x"}]},
        {"https://a.example/b": {"c": [[{"d": "x"}]]}}, {"https://a.example/b.c": {"d": {}}},
        {"https://a": {"example/b": {"c": {"d": "x"}}}, "https://a.example/b.c.d": "harmless"},
    ],
)  # fmt: skip
def test_a_rejected_claim_is_found_wherever_its_name_may_lead(unwanted: dict[str, Any]):
    for name in ("https://a.example/b.c.d=x", "https://a.example/b.c.d=*"):
        rejected({**GOOD, **unwanted}, rejected=parse_conditions([name]))
    others = parse_conditions(["https://a.example/b.c.e=x", "https://a.example/b.c.d.e=z", "c.d=x", "b.c.d=x"])
    assert accepted({**GOOD, **unwanted}, rejected=others) == "alice"


def test_arrays_as_deep_as_a_token_may_have_them_are_looked_through():
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    assert accepted({**GOOD, "a": deep}, rejected=parse_conditions(["a.b=x"])) == "alice"
    rejected({**GOOD, "a": deep}, rejected=parse_conditions(["a=x"]))


def test_a_claim_may_be_required_or_rejected_whatever_its_value():
    required, rejects = ({name: parse_conditions(["client_id=*"])} for name in ("required", "rejected"))
    present: list[Any] = ["", "x", 0, 1, False, True, [], ["x"], {}, {"x": 1}]
    for value in present:
        assert accepted({**GOOD, "client_id": value}, **required) == "alice"
        rejected({**GOOD, "client_id": value}, **rejects)
    for claims in (GOOD, {**GOOD, "client_id": None}):
        rejected(claims, **required)
        assert accepted(claims, **rejects) == "alice"


def test_a_value_may_have_any_character_but_a_comma():
    rules = parse_conditions(["https://x.example/role=a=b", "empty="])
    assert rules == {"https://x.example/role": {"a=b"}, "empty": {""}}
    assert accepted({**GOOD, "https://x.example/role": "a=b", "empty": ""}, required=rules) == "alice"


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ""), ({"scope": "a b"}, "a b"), ({"scp": ["a", "b"]}, "a b"), ({"scp": "a b"}, "a b"),
        ({"scope": ["a", "b"]}, "a b"), ({"scope": "a", "scp": ["b"]}, "a b"), ({"scope": " a  b "}, "a b"),
        ({"scope": ""}, ""), ({"scope": None, "scp": None}, ""), ({"scope": 1, "scp": {"a": 1}}, ""),
        ({"scope": ["a", 1, None, ["b"], ""]}, "a"), ({"scope": "a\tb"}, ""),
        ({"scope": 'é \x7f " \\ a'}, "a"), ({"scp": ["\ud800", "a b", "a\nb", "~!#[]"]}, "~!#[]"),
        ({"scope": "A"}, "A"),
    ],
)  # fmt: skip
def test_scopes_are_read_from_either_claim_and_either_spelling(claims: dict[str, Any], scopes: str):
    found = SIGNER.verifier().verify(SIGNER.sign({**GOOD, **claims})).scopes
    assert found == frozenset(scope for scope in scopes.split(" ") if scope)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=sized(100, 1000), deadline=None, database=None)
@given(st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "aud", "user"]), JSON), st.booleans())
def test_whatever_is_signed_is_a_user_or_a_refusal(changes: dict[str, Any], strict: bool):
    options: dict[str, Any] = {"issuer": "i", "audience": ("a",)} if strict else {}
    base = {**GOOD, "iss": "i", "aud": "a"}
    try:
        claims = SIGNER.verifier(**options).verify(SIGNER.sign({**base, **changes}))
    except TokenRejected:
        assert changes
    else:
        assert claims.user_id == changes.get("sub", "alice")
        assert claims.expires_at == changes.get("exp", GOOD["exp"])
        assert not strict or (changes.get("iss", "i") == "i" and "a" in changes.get("aud", "a"))

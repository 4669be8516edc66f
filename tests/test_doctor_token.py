"""`taskward doctor --token`: why a token is or is not accepted, step by step, without the token."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Done, Run, findings, run_fixture  # noqa: F401 - a fixture
from tests.issuer import SECRET, Issuer, encode, issuer, new_private
from tests.publisher import publishing
from tests.serving import make_token

SIGNER = Issuer("ES256", new_private("ES256"))
CANARY = "canary-user-7f3a"
NOT_BASE64URL = "it is not three segments of canonical base64url: it"


def explained(done: Done, token: str) -> str:
    """What is wrong with the token; nothing of it that matters is shown."""
    assert token not in done.stdout + done.stderr
    assert not any(len(segment) > 8 and segment in done.stdout + done.stderr for segment in token.split("."))
    assert CANARY not in done.stdout + done.stderr
    return findings(done).get("token", "")


def bearer(**changes: Any) -> str:
    return make_token(CANARY, **{"secret": SECRET, **changes})


def test_a_token_that_is_accepted_is_said_to_be(run: Run):
    token = bearer()
    for given in (token, f"Bearer {token}", f"Authorization: bearer  {token}\n"):
        done = run("doctor", "--token", given, TASKWARD_JWT_SECRET=SECRET)
        assert explained(done, token) == ""
        steps = [line for line in done.stdout.splitlines() if line.startswith("ok   token: ")]
        assert (
            steps[0] == 'ok   token: its header is one of an access token: {"alg": "HS256", "kid": null, "typ": "JWT"}.'
        )
        assert steps[-1] == "ok   token: it is accepted."
        # The database is nobody's business here.
        assert "database" not in done.stdout


@pytest.mark.parametrize("given", ["", " \n", "Bearer \n"])
def test_a_token_that_is_not_there_is_said_to_be_that(run: Run, monkeypatch: pytest.MonkeyPatch, given: str):
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    read = findings(run("doctor", "--token", "-", TASKWARD_JWT_SECRET=SECRET))
    assert read == {"token": "there is no token on standard input."}
    assert findings(run("doctor", f"--token={given}", TASKWARD_JWT_SECRET=SECRET)) == {"token": "there is no token."}


def test_times_are_said_as_people_read_them(run: Run):
    now = int(time.time())
    over = bearer(exp=now - 3600)
    when = dt.datetime.fromtimestamp(now - 3600, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = explained(run("doctor", "--token", over, TASKWARD_JWT_SECRET=SECRET), over)
    assert said == f'it has expired; it has "{when}".'
    early = bearer(exp=now + 9e9, nbf=now + 3600)
    when = dt.datetime.fromtimestamp(now + 3600, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = explained(run("doctor", "--token", early, TASKWARD_JWT_SECRET=SECRET), early)
    assert said == f'it does not hold yet; it has "{when}".'
    # Beyond the calendar.
    for far, shown in {253402300800: "253402300800.0", 1e300: "1e+300"}.items():
        never = bearer(exp=1e301, nbf=far)
        said = explained(run("doctor", "--token", never, TASKWARD_JWT_SECRET=SECRET), never)
        assert said == f"it does not hold yet; it has {shown}."


def test_a_claim_that_is_not_there_is_told_from_one_that_is_wrong(run: Run):
    asked = {"TASKWARD_JWT_SECRET": SECRET, "TASKWARD_REQUIRED_CLAIMS": "azp=web,app.role=*"}
    for claims, reason in [
        ({}, "its claim azp, which TASKWARD_REQUIRED_CLAIMS asks for, is not there."),
        ({"azp": CANARY}, "its claim azp has another value than TASKWARD_REQUIRED_CLAIMS asks for."),
        ({"azp": "web"}, "its claim app.role, which TASKWARD_REQUIRED_CLAIMS asks for, is not there."),
    ]:
        token = bearer(**claims)
        assert explained(run("doctor", "--token", token, **asked), token) == reason
    of_user = {"TASKWARD_JWT_SECRET": SECRET, "TASKWARD_USER_CLAIM": "user.id"}
    wrong: dict[str, Any]
    for wrong, reason in [
        ({}, "its user claim user.id is not there."),
        ({"user": {"id": f"{CANARY}\n"}}, "its user claim user.id is not a string of 1 to 255 characters"),
    ]:
        token = bearer(**wrong)
        assert explained(run("doctor", "--token", token, **of_user), token).startswith(reason)


def test_a_token_is_read_from_stdin(run: Run, monkeypatch: pytest.MonkeyPatch):
    token = bearer()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    assert explained(run("doctor", "--token", "-", TASKWARD_JWT_SECRET=SECRET), token) == ""


def test_each_reason_is_named(run: Run):
    strict = {
        "TASKWARD_JWT_SECRET": SECRET,
        "TASKWARD_ISSUER": "https://id.example",
        "TASKWARD_AUDIENCE": "tasks",
        "TASKWARD_REQUIRED_CLAIMS": "azp=web",
        "TASKWARD_REJECT_CLAIMS": "role=service_role",
    }
    good: dict[str, Any] = {"iss": "https://id.example", "aud": "tasks", "azp": "web"}
    assert explained(run("doctor", "--token", bearer(**good), **strict), bearer(**good)) == ""
    for changes, reason in {
        "secret": "its signature is wrong.",
        "ttl": "it has expired; it has ",
        "iss": 'it is from another issuer than TASKWARD_ISSUER; it has "https://id.example/".',
        "aud": 'it is for another audience than TASKWARD_AUDIENCE; it has ["account", "web"].',
        "azp": "its claim azp has another value than TASKWARD_REQUIRED_CLAIMS asks for.",
        "role": "its claim role is what TASKWARD_REJECT_CLAIMS does not want.",
        "exp": "it has no expiry.",
        "sub": "its user claim sub is not there.",
        "nbf": "it does not hold yet; it has ",
    }.items():
        value = {
            "secret": SECRET[::-1], "ttl": -600, "iss": "https://id.example/", "aud": ["account", "web"],
            "azp": "cli-secret-name", "role": "service_role", "exp": None, "sub": None, "nbf": int(time.time()) + 600,
        }[changes]  # fmt: skip
        token = bearer(**{**good, changes: value})
        said = explained(run("doctor", "--token", token, **strict), token)
        assert said.startswith(reason) if reason.endswith("has ") else said == reason
        assert "cli-secret-name" not in said


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("a", "it is not three segments of canonical base64url: it has 1 segment."),
        ("aaaa.bbbb", "it is not three segments of canonical base64url: it has 2 segments."),
        ("a.b", "it is not three segments of canonical base64url: it has 2 segments."),
        ("aaaa..bbbb.cccc.dddd", "it is not three segments of canonical base64url: it has 5 segments."),
        ("aaaa.bb bb.cccc", f"{NOT_BASE64URL} has characters that base64url has not."),
        ("aaaa.bbbb.ccc=", f"{NOT_BASE64URL} has characters that base64url has not."),
        ("aaaa.b+/b.cccc", f"{NOT_BASE64URL} has characters that base64url has not."),
        ("aaaa.bbbb.", f"{NOT_BASE64URL} has an empty segment."),
        ("aaaa.bbbb.cccd5", f"{NOT_BASE64URL} has a segment that is cut off or not canonical."),
        ("x" * 9000, 'it is longer than 8 KiB; it has "9000 characters".'),
        (f"{encode(b'[]')}.{encode(b'{}')}.AAAA", "its header is not a JSON object without duplicates."),
        (f"{encode(b'{}')}.{encode(b'{}')}.AAAA", "its header names no algorithm."),
        (
            issuer("HS256").sign_bytes(b'{"alg":"HS256"}', b"[]"),
            "its payload is not a JSON object without duplicates.",
        ),
    ],
)  # fmt: skip
def test_what_is_no_token_is_told_apart(run: Run, token: str, reason: str):
    assert findings(run("doctor", "--token", token, TASKWARD_JWT_SECRET=SECRET))["token"] == reason


def test_what_a_token_says_cannot_command_a_terminal(run: Run):
    token = bearer(iss="\x1b[31m\n\u202eok   token: it is accepted.\x7f")
    done = run("doctor", "--token", token, TASKWARD_JWT_SECRET=SECRET, TASKWARD_ISSUER="https://id.example")
    assert "\\u001b[31m\\n\\u202eok" in explained(done, token)
    assert done.stdout.replace("\n", "").isascii()
    assert done.stdout.replace("\n", "").isprintable()
    long = bearer(iss="x" * 3000)
    assert len(explained(run("doctor", "--token", long, TASKWARD_JWT_SECRET=SECRET, TASKWARD_ISSUER="a"), long)) < 400


@pytest.mark.parametrize("depth", [400, 900, 960])
def test_a_claim_that_is_deeply_nested_is_told_of_all_the_same(run: Run, depth: int):
    payload = json.dumps({"sub": CANARY, "exp": int(time.time()) + 60})[:-1] + f', "aud": {"[" * depth}{"]" * depth}}}'
    token = issuer("HS256").sign_bytes(b'{"alg":"HS256"}', payload.encode())
    said = explained(run("doctor", "--token", token, TASKWARD_JWT_SECRET=SECRET, TASKWARD_AUDIENCE="tasks"), token)
    assert said.startswith(("its audience is missing or malformed; it has ", "its payload is not a JSON object"))
    assert len(said) < 400


def test_the_keys_of_the_issuer_are_fetched_and_named(run: Run):
    with publishing(SIGNER.jwk(kid="1", alg="ES256"), issuer("RS256").jwk(kid="w", d="AA")) as publisher:
        settings = {"TASKWARD_ISSUER": publisher.url}
        now = int(time.time())
        payload = {"sub": CANARY, "iat": now, "exp": now + 60, "iss": publisher.url}
        good, unknown = SIGNER.sign(payload, kid="1"), SIGNER.sign(payload, kid="2")
        done = run("doctor", "--token", good, **settings)
        assert explained(done, good) == ""
        assert 'ok   keys: ES256 as "1".' in done.stdout
        assert (
            "warn keys: key 'w' is a private or symmetric key, which nobody should publish; it is not used."
            in done.stdout
        )
        assert "warn keys: TASKWARD_AUDIENCE is not set" in done.stdout
        assert explained(run("doctor", "--token", unknown, **settings), unknown) == (
            'none of the keys has its key id and algorithm; it has "2"; known are ES256 as "1".'
        )
        # An issuer that makes its first key when somebody signs in may not have one yet.
        publisher.publish()
        done = run("doctor", "--token", good, **settings)
        assert "ok   keys: the issuer publishes none now; it is asked again every 30 seconds" in done.stdout
        assert explained(done, good) == 'none of the keys has its key id and algorithm; it has "1"; none is known.'
        publisher.publish(SIGNER.jwk(kid="1", d="AAAA"))
        assert findings(run("doctor", "--token", good, **settings)) == {
            "keys": "the issuer publishes no key that could verify a token.",
            "token": "there is no key to verify it with.",
        }
    down = findings(run("doctor", "--token", good, **settings))
    assert down.keys() == {"keys", "token"}
    assert down["keys"].startswith(f"The issuer's keys cannot be fetched: {publisher.url}/.well-known/openid-conf")


def test_an_address_that_is_not_https_is_found_without_a_database(run: Run):
    assert (
        "must be an https address"
        in findings(run("doctor", "--token", "x", TASKWARD_JWKS_URL="http://x.example"))["keys"]
    )


def test_a_token_without_the_scopes_is_accepted_for_nothing(run: Run):
    settings = {"TASKWARD_JWT_SECRET": SECRET, "TASKWARD_SCOPES": "enforced"}
    token = bearer(scope="other")
    done = run("doctor", "--token", token, **settings)
    assert explained(done, token) == "it is accepted, and may do nothing."
    assert done.stdout.count("warn token: it does not have the scope tasks:") == 2
    reading = bearer(scope="tasks:read")
    done = run("doctor", "--token", reading, **settings)
    assert explained(done, reading) == ""
    assert "warn token: it does not have the scope tasks:write." in done.stdout


def test_the_development_secret_is_used_once_it_was_made(run: Run, tmp_path: Path):
    without = run("doctor", "--token", bearer())
    assert findings(without) == {"token": "there is no key to verify it with."}
    tmp_path.joinpath("data").mkdir()
    tmp_path.joinpath("data", "development-secret").write_text(SECRET)
    token = run("token", "--sub", CANARY).stdout.strip()
    assert explained(run("doctor", "--token", token), token) == ""


@pytest.mark.parametrize("scopes", ["ignored", "enforced"])
@pytest.mark.parametrize("algorithms", ["", "HS512", "HS384,HS256"])
def test_a_token_that_taskward_makes_is_one_that_it_accepts(run: Run, scopes: str, algorithms: str):
    settings = {
        "TASKWARD_JWT_SECRET": f"{SECRET},{SECRET[::-1]}",
        "TASKWARD_ISSUER": "https://id.example",
        "TASKWARD_AUDIENCE": "tasks,web",
        "TASKWARD_REQUIRED_CLAIMS": "azp=web,azp=cli,app.level=2",
        "TASKWARD_USER_CLAIM": "app.user",
        "TASKWARD_SCOPES": scopes,
        **({"TASKWARD_ALGORITHMS": algorithms} if algorithms else {}),
    }
    token = run("token", "--sub", CANARY, **settings).stdout.strip()
    assert explained(run("doctor", "--token", token, **settings), token) == ""
    header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    assert header["alg"] in (algorithms or "HS256").split(",")
    assert payload["azp"] == "web"
    assert payload["app"] == {"level": "2", "user": CANARY}


def test_a_token_whose_user_is_a_number_is_made_and_explained(run: Run):
    settings = {
        "TASKWARD_JWT_SECRET": SECRET,
        "TASKWARD_USER_CLAIM": "uid",
        "TASKWARD_USER_CLAIM_TYPE": "integer",
    }
    token = run("token", "--sub", "42", **settings).stdout.strip()
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["uid"] == 42
    assert explained(run("doctor", "--token", token, **settings), token) == ""
    said = explained(run("doctor", "--token", token, **{**settings, "TASKWARD_USER_CLAIM_TYPE": "string"}), token)
    assert said.endswith("; TASKWARD_USER_CLAIM_TYPE says which of the two it is.")
    for wrong in ("0", "042", "alice", "-1", str(2**53), "9" * 17, "٤٢"):
        done = run("token", f"--sub={wrong}", **settings)
        assert done.returncode == 1
        assert "--sub must be a whole number from 1 to 2^53 - 1" in done.stderr


def test_a_secret_that_the_issuer_publishes_is_refused(run: Run):
    with publishing(SIGNER.jwk(kid="1")) as publisher:
        settings = {"TASKWARD_JWKS_URL": publisher.keys_url, "TASKWARD_ALGORITHMS": "HS256,ES256"}
        found = findings(run("doctor", "--token", bearer(), TASKWARD_JWT_SECRET=SIGNER.jwk()["x"], **settings))
        assert found["keys"].startswith("A shared secret is among what the issuer publishes")
        good = run("doctor", "--token", bearer(), TASKWARD_JWT_SECRET=SECRET, **settings)
        assert 'ok   keys: HS256; ES256 as "1".' in good.stdout

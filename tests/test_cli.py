"""The commands that run and end: what they print where, and what they exit with."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from taskward.cli.token import make_token
from taskward.identity import ClaimRules, Verifier, load_keys
from tests.commands import Run, refusal, run_fixture, start  # noqa: F401 - a fixture
from tests.issuer import SECRET, issuer
from tests.serving import make_settings


@pytest.mark.parametrize("command", [[], ["serve"], ["token"], ["migrate"], ["doctor"], ["openapi"]])
def test_every_command_explains_itself(run: Run, command: list[str]):
    done = run(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {' '.join(['taskward', *command])}")


@pytest.mark.parametrize(
    "arguments",
    [[], ["sevre"], ["serve", "--port", "x"], ["serve", "--prot", "1"], ["token", "--claim"], ["doctor", "x"], ["--x"]],
)
def test_a_wrong_call_exits_with_2(run: Run, arguments: list[str]):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: taskward")


def verifier(**rules: Any) -> Verifier:
    return Verifier(load_keys(secrets=[SECRET]), ClaimRules(**rules))


def test_a_token_is_accepted_by_the_same_settings(run: Run):
    done = run("token", BETTER_AUTH_SECRET=SECRET)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    claims = verifier().verify(done.stdout.strip())
    assert claims.user_id == "alice"
    assert abs(claims.expires_at - time.time() - 86_400) < 60

    names = {
        "TASKWARD_ISSUER": "https://id.example/",
        "TASKWARD_AUDIENCE": "tasks,web",
        "TASKWARD_USER_CLAIM": "user.id",
    }
    done = run("token", "--sub", "bob", "--ttl", "90s", "--claim", "x=1", TASKWARD_JWT_SECRET=SECRET, **names)
    for audience in ("tasks", "web"):
        strict = verifier(issuer="https://id.example/", audience=("tasks", "web"), user_claim="user.id")
        assert strict.verify(done.stdout.strip()).user_id == "bob", audience
    assert abs(strict.verify(done.stdout.strip()).expires_at - time.time() - 90) < 30


def payload_of(token: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==")))


@pytest.mark.parametrize("claim", ["user.id", "https://example.com/uid", "a.b.c", "uid", "iss2.x"])
def test_a_token_names_its_user_in_the_claim_that_is_configured(claim: str):
    settings = make_settings("postgresql:///", user_claim=claim, jwt_secret=SECRET)
    assert verifier(user_claim=claim).verify(make_token(settings, "bob", 60)).user_id == "bob"


def test_claims_are_json_where_they_are_and_text_elsewhere(run: Run):
    deep = "[" * 3000
    texts = {"a": "NaN", "b": "Infinity", "c": "x=y", "d": "{", "e": "", "f": "é", "g": deep}
    written = [*(f"{name}={value}" for name, value in texts.items()), 'h={"i":[1,null]}', "j=1.5", 'k="true"', "l=true"]
    done = run("token", *(part for claim in written for part in ("--claim", claim)), BETTER_AUTH_SECRET=SECRET)
    payload = payload_of(done.stdout)
    for name in ("iat", "exp", "sub"):
        del payload[name]
    assert payload == {**texts, "h": {"i": [1, None]}, "j": 1.5, "k": "true", "l": True}
    done = run("token", "--claim", "sub=carol", "--claim", "exp=1", BETTER_AUTH_SECRET=SECRET)
    assert (payload_of(done.stdout)["sub"], payload_of(done.stdout)["exp"]) == ("carol", 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ttl", "0"], "--ttl must be"), (["--ttl", "-5"], "--ttl must be"), (["--ttl", "1w"], "--ttl must be"),
        (["--ttl", ""], "--ttl must be"), (["--ttl=٣d"], "--ttl must be"), (["--claim", "x"], "--claim must be"),
        (["--claim", "=x"], "--claim must be"),
        (["--sub", ""], "--sub must be"), (["--sub", "x" * 256], "--sub must be"),
        (["--sub", "a\nb"], "--sub must be"),
    ],
)  # fmt: skip
def test_a_token_that_nobody_would_accept_is_not_made(run: Run, arguments: list[str], said: str):
    done = run("token", *arguments, BETTER_AUTH_SECRET=SECRET)
    if done.returncode != 2:  # argparse takes -5 for an option
        assert refusal(done).startswith(said)


def test_only_a_shared_secret_makes_tokens(run: Run):
    said = refusal(run("token", TASKWARD_PUBLIC_KEY=issuer("ES256").public_pem))
    assert said == "There is no shared secret to make a token with: with public keys only your issuer can make tokens."
    assert "start `taskward serve` once" in refusal(run("token"))
    said = refusal(run("token", DATABASE_URL="postgresql:///x"))
    assert said.endswith("set TASKWARD_JWT_SECRET or BETTER_AUTH_SECRET.")
    assert refusal(run("token", BETTER_AUTH_SECRET="short")).startswith(
        "BETTER_AUTH_SECRET must have at least 32 bytes"
    )


def test_openapi_needs_no_configuration(run: Run):
    done = run("openapi")
    assert (done.returncode, done.stderr) == (0, "")
    assert "/api/v1/tasks" in json.loads(done.stdout)["paths"]


def test_openapi_ignores_configuration(run: Run):
    assert run("openapi", BETTER_AUTH_SECRET=SECRET, TASKWARD_ROOT_PATH="/x", TASKWARD_PORT="x") == run("openapi")


@pytest.mark.processes
def test_a_process_keeps_its_answer_and_its_complaint_apart(tmp_path: Path):
    good = start("token", stdout=subprocess.PIPE, folder=tmp_path, BETTER_AUTH_SECRET=SECRET)
    assert (good.returncode, good.stderr) == (0, "")
    assert verifier().verify(good.stdout.strip()).user_id == "alice"
    bad = start("token", stdout=subprocess.PIPE, folder=tmp_path, BETTER_AUTH_SECRET="short")
    assert refusal(bad).startswith("BETTER_AUTH_SECRET must have")


@pytest.mark.processes
@pytest.mark.parametrize("command", ["openapi", "token"])
def test_a_reader_that_goes_away_is_no_error_to_report(command: str, tmp_path: Path):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = start(command, stdout=writer, folder=tmp_path, BETTER_AUTH_SECRET=SECRET)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")

"""What a `.env` may look like: no line of it is skipped in silence, and no value of ours is made of nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskward.settings import Settings, load_settings
from tests.test_settings import SECRET, in_an_empty_folder, refusal  # noqa: F401


@pytest.mark.parametrize(
    "line",
    [
        "TASKWARD_AUDIENCE confidential",
        "TASKWARD_AUDIENCE: confidential",
        "TASKWARD_AUDIENCE:confidential",
        "TASKWARD_AUDIENCE",
        "export TASKWARD_AUDIENCE",
        "set TASKWARD_AUDIENCE=confidential",
        "$env:TASKWARD_AUDIENCE=confidential",
        '$env:TASKWARD_AUDIENCE = "confidential"',
        "-e TASKWARD_AUDIENCE=confidential",
        'TASKWARD_AUDIENCE="confidential',
        "TASKWARD_AUDIENCE='confidential",
        'TASKWARD_AUDIENCE="confidential" of mine',
        '"TASKWARD_AUDIENCE"=confidential',
        '"TASKWARD_AUDIENCE": "confidential",',
        "\u200bTASKWARD_AUDIENCE=confidential",
        "TASKW\u0410RD_AUDIENCE=confidential",
        "=confidential",
        "TASKWARD_PUBLIC_KEY=-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA+confidential=",
        "SOMEBODY ELSES",
        "TASKWARD-AUDIENCE=confidential",
        "taskward.audience=confidential",
    ],
)
@pytest.mark.parametrize("after", ["", "\n", "\nTASKWARD_PORT=9000\n", '\nOTHER="x"\n'])
def test_a_line_that_cannot_be_read_is_refused_by_its_number(
    line: str, after: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    Path(".env").write_text(f"# mine\nOTHER='a\nb'\n\n  \n{line}{after}", "utf-8")
    number = 7 if "\n" in line else 6
    assert refusal() == f".env line {number} cannot be read: write NAME=value, and quote a value of several lines."
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "swallowed", ["TASKWARD_AUDIENCE=x", " export taskward_audience = x", "DATABASE_URL=x", "BETTER_AUTH_SECRET=x"]
)
def test_a_quote_that_is_closed_too_late_does_not_hide_a_setting(swallowed: str):
    Path(".env").write_text(f"OTHER=1\nNAME='confidential\n{swallowed}\n# of the users'\n")
    assert refusal() == ".env line 2 cannot be read: write NAME=value, and quote a value of several lines."


def test_lines_of_other_apps_do_not_matter():
    Path(".env").write_text(
        "\n# a comment\nPORT=1 # and more\nexport A='x'\nmy.app-name = y\nB=\nC=${NOSUCH}\nD=\"\n\"\n'E'=1\n\n\t\n"
        "taskward_port = 9000\n \n"
    )
    assert load_settings().port == 9000


@pytest.mark.parametrize("name", ["TASKWARD_AUDIENCE", "taskward_audience", "DATABASE_URL", "BETTER_AUTH_SECRET"])
@pytest.mark.parametrize(
    ("before", "value", "missing"),
    [
        ("", "${NOSUCH}", "NOSUCH, which is"),
        ("", "confidential-${NOSUCH}", "NOSUCH, which is"),
        ("", "'confidential-${NOSUCH}'", "NOSUCH, which is"),
        ("", "${PRESENT}${NOSUCH}", "NOSUCH, which is"),
        ("", "${NAME:-x}${NOSUCH}", "NOSUCH, which is"),
        ("LATER=${NOSUCH}\n", "x${LATER}", "LATER, which is"),
        ("PRESENT=${NOSUCH}\n", "x${PRESENT}", "PRESENT, which is"),
        ("", "${confidential}", "a variable that is"),
        ("", "${NOSUCH-confidential}", "a variable that is"),
        ("", "x${}", "a variable that is"),
    ],
)
def test_a_value_made_of_a_variable_that_is_not_set_is_refused(
    name: str, before: str, value: str, missing: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PRESENT", SECRET)
    Path(".env").write_text(f"{before}{name}={value}\nLATER=x\nNOSUCH=x\n")
    assert refusal() == f".env line {1 + before.count(chr(10))} refers to {missing} not set."


@pytest.mark.parametrize("value", ["${PRESENT}", "${BEFORE}", "${NOSUCH:-tasks}", "${CHAIN}", "${TASKWARD_AUDIENCE}"])
def test_a_value_made_of_variables_that_are_set_is_taken(value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PRESENT", "tasks")
    if value == "${TASKWARD_AUDIENCE}":
        monkeypatch.setenv("TASKWARD_AUDIENCE", "tasks")
    Path(".env").write_text(f"BEFORE=tasks\nCHAIN=${{BEFORE}}\nTASKWARD_AUDIENCE={value}\n")
    assert load_settings().audience == ("tasks",)


def test_a_file_that_cannot_be_read_is_named():
    Path(".env").write_bytes("TASKWARD_ISSUER=Müller".encode("latin-1"))
    assert refusal() == ".env is not UTF-8; save it as that."
    Path(".env").unlink()
    Path(".env").mkdir()
    assert load_settings() == Settings()

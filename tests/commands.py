"""Running Taskward's commands, and reading what they say."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from taskward.cli import main
from tests.services import BASE_ENVIRONMENT

PASSWORD = "hunter2"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture(name="run")
def run_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in an empty folder, with exactly the settings that are given."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, **settings: str) -> Done:
        data = {"TASKWARD_DATA_DIR": str(tmp_path / "data")} if "DATABASE_URL" not in settings else {}
        with monkeypatch.context() as patch:
            for name, value in {**data, **settings}.items():
                patch.setenv(name, value)
            capsys.readouterr()
            try:
                code = main(arguments)
            except SystemExit as error:
                code = int(error.code or 0)
        done = Done(code, *capsys.readouterr())
        assert PASSWORD not in done.stdout + done.stderr
        return done

    return command


def start(*arguments: str, stdout: int, folder: Path, **settings: str) -> Done:
    """Runs a command as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "taskward", *arguments],
        cwd=folder, env={**BASE_ENVIRONMENT, "HOME": str(folder), **settings},
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=30,
    )  # fmt: skip
    return Done(done.returncode, done.stdout or "", done.stderr)


def refusal(done: Done) -> str:
    """What a command that failed said, which is one line on stderr."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("taskward: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("taskward: ").strip()


def findings(done: Done) -> dict[str, str]:
    """What `doctor` said that is wrong, by subject."""
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert all(line.startswith(("ok   ", "warn ", "FAIL ")) for line in lines)
    wrong = dict(line[5:].split(": ", 1) for line in lines if line.startswith("FAIL "))
    assert done.returncode == (1 if wrong else 0)
    return wrong


def execute(url: str, *statements: str) -> None:
    async def each() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(each())

"""Another ASGI server that cannot start Taskward prints a sentence, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import SECRET

pytestmark = pytest.mark.processes
SERVERS = {
    "uvicorn": ["uvicorn", "taskward.asgi:create_app", "--factory", "--port", "1"],
    "granian": ["granian", "--interface", "asgi", "--factory", "taskward.asgi:create_app", "--port", "0"],
}
NO_DATABASE = "DATABASE_URL must be set; only `taskward serve` brings a database of its own."


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, NO_DATABASE),
        ({"TASKWARD_JWT_SECRET": "short", "DATABASE_URL": "postgresql:///x"}, "make one with: openssl rand -hex 32."),
        ({"DATABASE_URL": "postgresql:///x"}, "taskward: "),
        (
            {"TASKWARD_JWT_SECRET": SECRET, "DATABASE_URL": "postgresql://x:y@127.0.0.1:1/z"},
            "Check host and port in DATABASE_URL.",
        ),
    ],
    ids=["no database", "bad secret", "no key", "no such host"],
)
def test_a_start_that_fails_is_told_in_a_sentence(
    server: str, variables: dict[str, str], expected: str, tmp_path: Path
):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TASKWARD_", "DATABASE_"))}
    done = subprocess.run(
        [sys.executable, "-m", *SERVERS[server]],
        cwd=tmp_path,
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if "taskward: " in line]
    assert expected in line

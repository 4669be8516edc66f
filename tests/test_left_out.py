"""Whatever the default run leaves out, CI runs, save what needs a cluster."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from tests.conftest import LEFT_OUT, ON_CITUS

CI = Path(__file__).parents[1] / ".ci" / "run"


COMBINATIONS = [set(marks) for n in range(1, len(LEFT_OUT) + 1) for marks in combinations(LEFT_OUT, n)]


def _asked_for(marks: set[str]) -> list[bool]:
    """Whether each line of CI's that asks for markers asks for a test that has these."""
    lines = [line for line in CI.read_text().splitlines() if "pytest" in line and not line.startswith("#")]
    asked = [found[1] or found[2] for line in lines for found in re.finditer(r'pytest .*-m (?:"([^"]+)"|(\w+))', line)]

    def has(name: str, /, **_: object) -> bool:
        return name in marks

    return [Expression.compile(one).evaluate(has) for one in asked]


@pytest.mark.parametrize("marks", COMBINATIONS)
def test_ci_asks_for_every_test_that_has_such_marks(marks: set[str]):
    assert any(_asked_for(marks))


@pytest.mark.parametrize("marks", [set[str](), *COMBINATIONS])
def test_ci_asks_for_no_test_that_needs_a_cluster(marks: set[str]):
    assert not any(_asked_for(marks | {ON_CITUS}))


def test_ci_runs_the_default_run_as_the_readme_has_it():
    (command,) = re.findall(r"^(.* pytest)$", (CI.parents[1] / "README.md").read_text(), re.MULTILINE)
    assert f"with_coverage default '{command}'" in CI.read_text()

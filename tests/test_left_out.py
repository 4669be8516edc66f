"""Whatever the default run leaves out, CI runs."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from tests.conftest import LEFT_OUT

CI = Path(__file__).parents[1] / ".ci" / "run"


@pytest.mark.parametrize("marks", [set(marks) for n in (1, 2, 3) for marks in combinations(LEFT_OUT, n)])
def test_ci_asks_for_every_test_that_has_such_marks(marks: set[str]):
    lines = [line for line in CI.read_text().splitlines() if "pytest" in line and not line.startswith("#")]
    asked = [found[1] or found[2] for line in lines for found in re.finditer(r'pytest .*-m (?:"([^"]+)"|(\w+))', line)]

    def has(name: str, /, **_: object) -> bool:
        return name in marks

    assert any(Expression.compile(one).evaluate(has) for one in asked)


def test_ci_runs_the_default_run_as_the_readme_has_it():
    (command,) = re.findall(r"^(.* pytest)$", (CI.parents[1] / "README.md").read_text(), re.MULTILINE)
    assert f"with_coverage default '{command}'" in CI.read_text()

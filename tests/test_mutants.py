"""The mutation proof proves something: what changes nothing survives, and what cannot be tried is not "killed"."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.catalogue import EQUIVALENT, catalogue
from tests.mutants.running import Report
from tests.mutants.source import Edit, Module, Mutant, MutantError, Source, Span, together
from tests.mutants.verdicts import judge

ROOT = Path(__file__).parents[1]
MODULE = """
from somewhere import OWNER, Refused
_MINE = (task.user_id == OWNER, task.id == _ID)

def check(value, other):
    if value == "€" or not (len(value) and other):
        raise Refused(f"not {value}")
    _check_more(value)
    try:
        return value
    except KeyError:
        raise

def quiet(value, other):
    if not value or other:
        return False
    try:
        return value > 1
    except TypeError:
        return False

class Reader:
    async def read(self):
        await self.check_all()
        return select(task).where(*_MINE, live), OWNER.label("user_id")
"""
SOURCE = Source(Path("/nowhere"), {"m.py": MODULE})
# A checkout with one function and tests of it.
FILES = {
    "pyproject.toml": "[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = 'session'\n",
    "README.md": "",
    "docs/index.md": "",
    "src/taskward/__init__.py": "def limit():\n    return 5\n",
    "tests/__init__.py": "",
    "tests/databases.py": "_cluster = None\n",
    "tests/conftest.py": (
        "import pytest\nimport taskward\n\n"
        "@pytest.fixture\ndef five():\n    assert taskward.limit() == 5\n    return 5\n"
    ),
    "tests/test_limit.py": (
        "import taskward\n\n"
        "def test_it_is_five():\n    assert taskward.limit() == 5\n\n"
        "def test_a_fixture_knows(five):\n    pass\n"
    ),
}
SCRIPT = """
import json, sys
from pathlib import Path
from tests.mutants.running import job_of, run_all
from tests.mutants.source import Edit, Mutant, Source
root = Path(sys.argv[1])
file = "src/taskward/__init__.py"
mutants = [Mutant(name, (Edit(file, "return 5", new),), (test,)) for name, new, test in json.loads(sys.argv[2])]
jobs = [job_of(Source(root), mutant) for mutant in mutants]
print(json.dumps({job.name: [r.failed, r.passed, r.error] for job, r in run_all(root, jobs)}))
"""
TEST = "tests/test_limit.py"


def found(kind: str) -> dict[str, str]:
    """What is found, and what the source has in its place."""
    changes = {}
    for name, span in getattr(Module(SOURCE, "m.py"), kind)():
        SOURCE.mutated(Mutant(name, (span,), ()))
        old = MODULE.encode()[span.start : span.end].decode()
        changes[name] = f"{old} -> {span.new}"
    return changes


def test_refusals_and_what_leads_to_them_are_found():
    assert list(found("refusals").values()) == [
        'value == "€" -> False',
        "not (len(value) and other) -> False",
        "len(value) -> True",
        "other -> True",
        'raise Refused(f"not {value}") -> pass',
    ]


def test_refusals_that_raise_nothing_are_found():
    assert list(found("quiet_refusals").values()) == [
        "not value or other -> False",
        "not value -> False",
        "other -> False",
        "return False -> return True",
    ]


def test_checks_are_found():
    assert list(found("checks").values()) == ["_check_more(value) -> pass", "await self.check_all() -> pass"]


def test_owners_are_found_and_each_use_of_a_group_with_one():
    predicates = list(found("owner_predicates").values())
    assert predicates[0].startswith("task.user_id == OWNER -> ")
    assert predicates[1:] == ["*_MINE -> task.id == _ID"]
    (value,) = found("owner_values").values()
    assert value.startswith("OWNER -> ")


def test_a_text_that_is_not_there_exactly_once_is_an_error():
    for text in ("nowhere", "value"):
        with pytest.raises(MutantError, match="times, not once"):
            SOURCE.mutated(Mutant("m", (Edit("m.py", text, ""),), ()))


def test_changes_that_overlap_or_leave_no_python_are_errors():
    for edits, message in (
        ((Span("m.py", 0, 9, ""), Edit("m.py", "from somewhere", "")), "overlap"),
        ((Edit("m.py", "class Reader:", "class:"),), "no longer Python"),
        ((Edit("other.py", "x", ""),), "there is no other.py"),
    ):
        with pytest.raises((MutantError, FileNotFoundError), match=message):
            SOURCE.mutated(Mutant("m", edits, ()))


def test_mutants_are_put_together_as_far_as_they_can_be_made_at_once_for_the_same_tests():
    always = Edit("m.py", "return False\n    try", "pass\n    try")
    first = Mutant("first", (always, Edit("m.py", "value > 1", "1")), ("t",))
    beside = Mutant("beside", (always, Edit("m.py", "class Reader", "class Writer")), ("t",))
    in_the_way = Mutant("in the way", (Edit("m.py", "return value > 1", "pass"),), ("t",))
    of_others = Mutant("of others", (Edit("m.py", "class Reader", "class Other"),), ("u",))
    groups = together(SOURCE, (first, beside, in_the_way, of_others))
    assert [members for _, members in groups] == [[first, beside], [in_the_way], [of_others]]
    assert all(group.stays_green for group, _ in groups)
    assert len({group.name for group, _ in groups}) == 3
    (changed,) = SOURCE.mutated(groups[0][0]).values()
    assert "class Writer" in changed
    assert "return 1" in changed


def test_only_a_failed_test_kills_and_only_what_is_listed_may_survive():
    mutant, green = Mutant("m", (), ()), Mutant("m", (), (), stays_green=True)
    killed, survived, broken = Report(failed="tests/test_x.py::test_y"), Report(passed=3), Report(error="nothing ran")
    assert [judge(mutant, report, {}).good for report in (killed, survived, broken)] == [True, False, False]
    assert [judge(green, report, {}).good for report in (killed, survived, broken)] == [False, True, False]
    listed = {"m": "nobody could tell"}
    assert [judge(mutant, report, listed).good for report in (killed, survived, broken)] == [False, True, False]


@pytest.mark.long
def test_every_mutant_of_the_source_can_be_made_and_names_tests_that_exist():
    source = Source(ROOT)
    mutants = catalogue(source)
    assert len(mutants) > 150
    assert EQUIVALENT.keys() <= {mutant.name for mutant in mutants}
    names: dict[str, set[str]] = {}
    for mutant in mutants:
        texts = source.mutated(mutant)
        assert all(text != source.text(file) for file, text in texts.items()), mutant.name
        for test in mutant.tests:
            file, _, function = test.partition("::")
            if file not in names and (ROOT / file).exists():
                tree = ast.parse((ROOT / file).read_text())
                names[file] = {
                    node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                }
            assert not function or function.partition("[")[0] in names[file], test


@pytest.mark.long
def test_a_mutant_is_killed_by_a_test_that_fails_and_by_nothing_else(tmp_path: Path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    mutants = {
        "six": ("return 6", f"{TEST}::test_it_is_five"),
        "the same": ("return 2 + 3", f"{TEST}::test_it_is_five"),
        "not imported": ("return 5\nimport nothing_of_this_name", f"{TEST}::test_it_is_five"),
        "seen by a fixture": ("return 6", f"{TEST}::test_a_fixture_knows"),
        "without a test": ("return 6", f"{TEST}::test_that_there_is_not"),
        "ended": ("import os; os._exit(0)", f"{TEST}::test_it_is_five"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path, json.dumps([[name, *mutant] for name, mutant in mutants.items()])],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    reports = json.loads(ran.stdout)
    assert reports.pop("six") == [f"{TEST}::test_it_is_five", 0, None]
    assert reports.pop("the same") == [None, 1, None]
    errors = {name: error for name, (failed, passed, error) in reports.items() if failed is None and not passed}
    assert "failed in its setup" in errors["seen by a fixture"]
    assert set(errors) == set(mutants) - {"six", "the same"}
    assert all(errors.values())
    assert (tmp_path / "src/taskward/__init__.py").read_text() == FILES["src/taskward/__init__.py"]

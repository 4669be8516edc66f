"""The page's table of other engines says what Taskward and dateutil find, and which versions are compared."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

from tests.recurrence_engines.compare import CASES, HERE, days, of_dateutil, of_taskward

PAGE = Path(__file__).parents[1] / "docs" / "recurrence.md"


def rows() -> list[list[str]]:
    lines = PAGE.read_text("utf-8").partition("## Other engines")[2].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_the_table_names_the_versions_that_are_compared():
    head, *_ = rows()
    pinned = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    assert head[2:5] == [
        f"dateutil {version('python-dateutil')}", f"rrule.js {pinned['rrule']}", f"ical.js {pinned['ical.js']}"
    ]  # fmt: skip
    assert re.fullmatch(r"libical \d+\.\d+\.\d+", head[5])


def test_the_table_says_what_taskward_and_dateutil_find():
    told = {cells[0]: cells for cells in rows()[2:]}
    assert len(told) >= 10
    for case in CASES:
        rule, start = case
        ours, theirs = of_taskward(*case), of_dateutil(*case)
        cells = told.pop(f"`{rule}`, {start[:10]}", None)
        if cells is None:
            assert theirs == ours, case
        else:
            assert cells[1:3] == [days(ours), "the same" if theirs == ours else days(theirs)]
            assert any(cell != "the same" for cell in cells[2:])
    assert not told

"""Prints the table of known differences in `docs/recurrence.md`: `uv run python -m tests.recurrence_engines.compare`.

It installs the pinned packages of `package.json` into a temporary directory, and needs Node.js and Debian's
`gir1.2-ical-3.0` and `python3-gi`. Rules that never come true are no cases: several of these do not end on them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from taskward.tasks.schedule.recurrence import next_occurrence
from taskward.tasks.schedule.rrule import parse_rule

HERE = Path(__file__).parent
COUNT = 3
CASES = (
    ("FREQ=WEEKLY;BYDAY=MO,TU,WE;BYSETPOS=2", "2026-01-06T09:00:00"),
    ("FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1", "2026-01-08T09:00:00"),
    ("FREQ=MONTHLY;BYMONTHDAY=31,-1", "2026-01-01T09:00:00"),
    ("FREQ=MONTHLY;BYMONTHDAY=-31", "2026-01-02T09:00:00"),
    ("FREQ=MONTHLY", "2026-01-31T09:00:00"),
    ("FREQ=YEARLY", "2024-02-29T09:00:00"),
    ("FREQ=YEARLY;INTERVAL=3", "2024-02-29T09:00:00"),
    ("FREQ=YEARLY;BYMONTHDAY=30", "2026-01-30T09:00:00"),
    ("FREQ=YEARLY;BYYEARDAY=-366", "2021-01-01T09:00:00"),
    ("FREQ=YEARLY;BYDAY=53FR", "2026-01-01T09:00:00"),
    ("FREQ=YEARLY;BYWEEKNO=20", "1997-05-12T09:00:00"),
    ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", "2024-01-01T09:00:00"),
    ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=WE,FR", "2019-01-01T09:00:00"),
    ("FREQ=YEARLY;BYWEEKNO=-1;BYDAY=SU", "2026-01-01T09:00:00"),
    ("FREQ=YEARLY;BYWEEKNO=20;BYMONTHDAY=15", "2026-01-01T09:00:00"),
    ("FREQ=YEARLY;BYDAY=MO;BYSETPOS=1,-1", "2026-01-05T09:00:00"),
    ("FREQ=DAILY;BYDAY=MO;BYSETPOS=1", "2026-01-01T09:00:00"),
    ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", "1997-08-05T09:00:00"),
    ("FREQ=WEEKLY;BYMONTH=1", "2026-01-28T09:00:00"),
    ("FREQ=DAILY;UNTIL=20260107", "2026-01-05T09:00:00"),
)


def of_taskward(rule: str, start: str) -> list[str]:
    zone, found = ZoneInfo("UTC"), list[str]()
    due: Any = datetime.fromisoformat(start).replace(tzinfo=UTC)
    while len(found) < COUNT:
        occurrence = next_occurrence(
            parse_rule(rule), due, zone, now=datetime(1, 1, 5, tzinfo=UTC), from_completion=False
        )
        if occurrence is None:
            break
        due, rule = occurrence
        found.append(f"{due:%Y-%m-%dT%H:%M:%S}")
    return found


def of_dateutil(rule: str, start: str) -> list[str]:
    first = datetime.fromisoformat(start)
    times = (time for time in rrulestr(rule, dtstart=first) if time > first)
    return [time.isoformat() for time in islice(times, COUNT)]


def answers() -> Iterator[dict[str, Any]]:
    """What each engine finds, case by case."""
    text = json.dumps([[*case, COUNT] for case in CASES])
    with TemporaryDirectory() as directory:
        for name in ("package.json", "engines.mjs"):
            shutil.copy(HERE / name, directory)
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=directory, check=True, timeout=120
        )
        of_javascript = output("node", "engines.mjs", text, cwd=directory)
        of_libical = output("/usr/bin/python3", str(HERE / "of_libical.py"), text)
    for case, one, other in zip(CASES, of_javascript, of_libical, strict=True):
        yield {"Taskward": of_taskward(*case), "dateutil": of_dateutil(*case), **one, **other}


def output(*command: str, cwd: str | None = None) -> Any:
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)


def table() -> Iterator[str]:
    """The lines of the table: where all agree there is none."""
    packages = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "libical3"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    names = {
        "dateutil": f"dateutil {version('python-dateutil')}", "rrule.js": f"rrule.js {packages['rrule']}",
        "ical.js": f"ical.js {packages['ical.js']}", "libical": f"libical {shown.stdout.partition('-')[0]}",
    }  # fmt: skip
    yield f"| rule, from | Taskward | {' | '.join(names.values())} |"
    yield "|---" * (len(names) + 2) + "|"
    for (rule, start), found in zip(CASES, answers(), strict=True):
        ours = found["Taskward"]
        if all(found[name] == ours for name in names):
            continue
        cells = [days(ours), *("the same" if found[name] == ours else days(found[name]) for name in names)]
        yield f"| `{rule}`, {start[:10]} | {' | '.join(cells)} |"


def days(found: list[str] | str) -> str:
    return found if isinstance(found, str) else ", ".join(time[:10] for time in found) or "none"


if __name__ == "__main__":
    sys.stdout.write("\n".join(table()) + "\n")

"""Files of other services as tests write them, what is read from them, and what all of it must be."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from taskward.formats.todoist.reading import read_todoist
from taskward.formats.vikunja.reading import read_vikunja
from taskward.kit.limits import Limits
from taskward.tasks.metadata import dump_metadata
from taskward.transfer.records import Reading, Thing, UnreadableExport
from tests.sizes import sized

EXAMPLES = settings(
    max_examples=sized(30, 3_000), deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

COLUMNS = [
    *("TYPE", "CONTENT", "DESCRIPTION", "IS_COLLAPSED", "PRIORITY", "INDENT", "AUTHOR", "RESPONSIBLE"),
    *("DATE", "DATE_LANG", "TIMEZONE", "DURATION", "DURATION_UNIT", "META", "DEADLINE", "DEADLINE_LANG"),
]

MEMBERS = {
    *("key", "title", "description", "completed", "priority", "due_date", "due_at", "time_zone", "recurrence"),
    *("recurs_from", "list", "parent", "tags", "metadata", "completed_at"),
}

# A Thursday, on which it is 11:00 in Vienna.
NOW = datetime(2026, 11, 26, 10, tzinfo=UTC)


def read_now(
    data: bytes, *, list_name: str = "Todoist", zone: str = "UTC", now: datetime = NOW, limits: Limits | None = None
) -> Reading:
    reading = Reading(limits=limits or Limits())
    for _ in read_todoist(io.BytesIO(data), reading, now=now, list_name=list_name, zone=zone):
        pass
    return reading


def read_data(data: bytes, *, zone: str = "UTC", now: datetime = NOW, limits: Limits | None = None) -> Reading:
    reading = Reading(limits=limits or Limits())
    for _ in read_vikunja(io.BytesIO(data), reading, now=now, zone=zone):
        pass
    return reading


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def todoist(*rows: dict[str, str], now: datetime = NOW, **options: Any) -> Reading:
    return sound(read_now(todoist_file(*rows), now=now, **options))


def todoist_file(*rows: dict[str, str]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def row(content: str = "Water the plants", **cells: str) -> dict[str, str]:
    return {"TYPE": "task", "CONTENT": content, "PRIORITY": "4", "INDENT": "1"} | cells


def vikunja(*projects: Any, **options: Any) -> Reading:
    return sound(read_data(json.dumps(projects).encode(), **options))


def project(*tasks: Any, **members: Any) -> dict[str, Any]:
    return {"id": 1, "title": "Garden", "tasks": list(tasks)} | members


def of_task(**members: Any) -> tuple[dict[str, Any], Reading]:
    reading = vikunja(project({"id": 7, "title": "Water the plants"} | members), zone="Europe/Vienna")
    (task,) = reading.tasks
    return task, reading


def kept(task: dict[str, Any], service: str) -> dict[str, Any]:
    """What metadata have, but for what is there of every task."""
    return {name: value for name, value in task.get("metadata", {}).get(service, {}).items() if name != "id"}


def fates(reading: Reading) -> dict[str, tuple[int, int, int]]:
    """Of each kind, how many are kept, in metadata, and lost."""
    counts = reading.counts
    found: dict[str, tuple[int, int, int]] = {}
    for what in {what for what, _ in counts}:
        found[what] = (counts[what, "kept"], counts[what, "metadata"], counts[what, "lost"])
    return found


def kinds(reading: Reading) -> list[str]:
    return [loss.what for loss in reading.losses]


def extras(task: dict[str, Any]) -> dict[str, Any]:
    """What is read of a task besides its title, its list and, in metadata, its id."""
    found = {name: value for name, value in task.items() if name not in {"key", "list", "title"}}
    if isinstance(own := found.get("metadata", {}).get("vikunja"), dict):
        rest = {name: value for name, value in own.items() if name != "id"}
        found["metadata"] = {"vikunja": rest}
        if not rest:
            del found["metadata"]
    return found


def sound(reading: Reading) -> Reading:
    """The reading, of which every rule of its records holds."""
    lists = {record["key"] for record in reading.lists}
    assert len(lists) == len(reading.lists)
    for record in reading.lists:
        assert record.keys() == {"key", "name", "color"}
        assert_title(record["name"])
        assert record["color"] is None or re.fullmatch("#[0-9a-f]{6}", record["color"])
    depths: dict[str, int] = {}
    for task in reading.tasks:
        assert task.keys() <= MEMBERS
        assert task["key"] not in depths
        assert task["list"] in lists
        assert_title(task["title"])
        depths[task["key"]] = depths[task["parent"]] + 1 if "parent" in task else 1
        assert_members(task)
        assert_due(task)
    assert max(depths.values(), default=1) <= 8
    for loss in reading.losses:
        assert loss.what in get_args(Thing)
        assert len(loss.item) <= 80
        assert not CONTROL.search(loss.item + loss.detail)
        assert loss.detail.endswith(".")
        assert loss.line is None or loss.line > 1
    return reading


def assert_title(text: str) -> None:
    assert 1 <= len(text) <= 255
    assert text == text.strip()
    assert not CONTROL.search(text)


def assert_members(task: dict[str, Any]) -> None:
    assert 1 <= len(task.get("description", "-")) <= 10_000
    assert not re.search("[\x00\ud800-\udfff]", task.get("description", ""))
    assert task.get("completed", True) is True
    assert task.get("priority", "low") in {"low", "medium", "high", "urgent"}
    tags = task.get("tags", ["-"])
    assert 1 <= len(tags) == len(set(tags)) <= 20
    assert all(1 <= len(tag) <= 50 and tag == tag.strip() and not CONTROL.search(tag) for tag in tags)
    metadata = task.get("metadata", {"todoist": {}})
    assert len(metadata) == 1
    assert metadata.keys() < {"todoist", "vikunja"}
    dump_metadata(metadata)


def assert_due(task: dict[str, Any]) -> None:
    assert not {"due_date", "due_at"} <= task.keys()
    if "due_date" in task:
        assert date.fromisoformat(task["due_date"]).isoformat() == task["due_date"]
    if "due_at" in task:
        assert task["due_at"].endswith("Z")
        assert datetime.fromisoformat(task["due_at"]).tzinfo
    if "recurrence" in task:
        assert task.keys() & {"due_date", "due_at"}
        rrulestr(task["recurrence"], dtstart=datetime(2026, 1, 1))  # noqa: DTZ001 - it is only to be understood
    assert ("time_zone" in task) == ("due_at" in task or "recurrence" in task)
    assert task.get("recurs_from", "completion") == "completion"
    assert "recurs_from" not in task or "recurrence" in task
    if "time_zone" in task:
        ZoneInfo(task["time_zone"])


TEXT = st.text(max_size=20) | st.sampled_from(
    ["", "every 2 weeks starting 2026-11-26", "2026-11-26 09:00", "9999-12-31T23:59", "26 Nov 2026 9pm", "a @b @c"]
)

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 9), st.integers(), st.floats(), st.text(st.characters(), max_size=9)
)

ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


def read_or_refuse(read: Callable[[bytes], Reading], data: bytes) -> Reading | None:
    try:
        return sound(read(data))
    except UnreadableExport as refusal:
        if re.fullmatch(r"[^\n]+\.", str(refusal)):
            return None
        raise

"""What other apps export: all of it becomes a record within the API's bounds or a loss, and nothing else is raised."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskward.account.records import LossKind, Reading, UnreadableExport
from taskward.account.todoist import read_todoist
from taskward.account.vikunja import read_vikunja
from taskward.errors import LimitReached
from taskward.limits import Limits
from taskward.tasks.models import TaskCreate
from taskward.tasks.plan import PLAN, check_plan
from tests.sizes import sized

EXAMPLES = settings(
    max_examples=sized(150, 3_000), deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
COLUMNS = [
    *("TYPE", "CONTENT", "DESCRIPTION", "IS_COLLAPSED", "PRIORITY", "INDENT", "AUTHOR", "RESPONSIBLE"),
    *("DATE", "DATE_LANG", "TIMEZONE", "DURATION", "DURATION_UNIT", "DEADLINE", "DEADLINE_LANG"),
]
MEMBERS = {
    *("key", "title", "description", "completed", "priority", "due_date", "due_at", "time_zone", "recurrence"),
    *("recurs_from", "list", "parent", "tags", "metadata"),
}
# A Thursday, on which it is 11:00 in Vienna.
NOW = datetime(2026, 11, 26, 10, tzinfo=UTC)
read_now = partial(read_todoist, now=NOW)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def todoist(*rows: dict[str, str], now: datetime = NOW, **options: Any) -> Reading:
    return sound(read_todoist(todoist_file(*rows), now=now, **options))


def todoist_file(*rows: dict[str, str]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def row(content: str = "Water the plants", **cells: str) -> dict[str, str]:
    return {"TYPE": "task", "CONTENT": content, "PRIORITY": "4", "INDENT": "1"} | cells


def vikunja(*projects: Any, **options: Any) -> Reading:
    return sound(read_vikunja(json.dumps(projects).encode(), **options))


def project(*tasks: Any, **members: Any) -> dict[str, Any]:
    return {"id": 1, "title": "Garden", "tasks": list(tasks)} | members


def of_task(**members: Any) -> tuple[dict[str, Any], Reading]:
    reading = vikunja(project({"id": 7, "title": "Water the plants"} | members), zone="Europe/Vienna")
    (task,) = reading.tasks
    return task, reading


def kinds(reading: Reading) -> list[str]:
    return [loss.what for loss in reading.losses]


def extras(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name not in {"key", "list", "title"}}


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
        assert loss.what in get_args(LossKind)
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
    assert task.get("metadata", {"todoist_date": "-"}).keys() == {"todoist_date"}
    assert 1 <= len(task.get("metadata", {"todoist_date": "-"})["todoist_date"]) <= 100


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


# Both


@pytest.mark.parametrize("read", [read_now, read_vikunja])
@pytest.mark.parametrize(
    "data", [b"", b" \n", b"\xef\xbb\xbf", "TYPE,CONTENT\ntask,Café".encode("latin-1"), b"TYPE,CONTENT\ntask,a\0b"]
)
def test_a_file_that_is_empty_or_not_text_is_refused(read: Callable[[bytes], Reading], data: bytes):
    with pytest.raises(UnreadableExport, match=r"^[^\n]*\.$"):
        read(data)


# Todoist


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,2\n",
        b"TYPE,DESCRIPTION\ntask,a\n",
        b"task,No header\n",
        b"TYPE;CONTENT\ntask;a\n",
        b'""\n',
        b'TYPE,CONTENT\ntask,"never closed\ntask,b\n',
        b"TYPE,CONTENT\ntask," + b"x" * 200_000,
    ],
)
def test_a_file_that_is_no_csv_of_todoist_is_refused(data: bytes):
    with pytest.raises(UnreadableExport, match=r"^[^\n]*\.$"):
        read_now(data)


def test_a_task_of_todoist_becomes_a_record():
    reading = todoist(
        row("Repot @balcony @spring", DESCRIPTION="Big pot", PRIORITY="2", DATE="2026-11-26"), list_name="Home"
    )
    assert reading.lists == [{"key": "project", "name": "Home", "color": None}]
    assert reading.tasks == [
        {
            "key": "line-2",
            "title": "Repot",
            "description": "Big pot",
            "priority": "high",
            "tags": ["balcony", "spring"],
            "due_date": "2026-11-26",
            "list": "project",
        }
    ]
    assert not reading.losses


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfTYPE,CONTENT\r\ntask,a\r\n\r\ntask,b\r\n",
        b"\n type , content \ntask,a\n,\nTASK,b",
        b"CONTENT,TYPE\ra,task\rb,task\r",
    ],
)
def test_marks_line_ends_and_blank_rows_do_not_matter(data: bytes):
    reading = sound(read_now(data))
    assert [task["title"] for task in reading.tasks] == ["a", "b"]
    assert not reading.losses


def test_a_row_is_known_by_the_line_on_which_it_begins():
    reading = todoist(row("a", DESCRIPTION="one\r\ntwo\nthree"), row("b", PRIORITY="x"))
    assert reading.tasks[0]["description"] == "one\r\ntwo\nthree"
    assert [(loss.line, loss.item, loss.what) for loss in reading.losses] == [(5, "b", "priority")]


@pytest.mark.parametrize(
    ("priority", "expected", "lost"),
    [
        ("1", "urgent", []),
        ("2", "high", []),
        ("3", "medium", []),
        ("4", None, []),
        ("", None, []),
        ("0", None, ["priority"]),
        ("-1", None, ["priority"]),
        ("9" * 5000, None, ["priority"]),
        ("1.0", None, ["priority"]),
    ],
)
def test_priorities_of_todoist(priority: str, expected: str | None, lost: list[str]):
    reading = todoist(row(PRIORITY=priority))
    assert reading.tasks[0].get("priority") == expected
    assert kinds(reading) == lost


@pytest.mark.parametrize(
    ("content", "title", "tags", "lost"),
    [
        ("Buy @a milk @b @a", "Buy milk", ["a", "b"], []),
        ("Write to me@example.com @ noon", "Write to me@example.com @ noon", [], []),
        ("Ask @bob, then go", "Ask @bob, then go", [], []),
        ("@home", "Untitled", ["home"], ["title"]),
        ("", "Untitled", [], ["title"]),
        ("two\nlines", "two lines", [], ["title"]),
        ("x @" + "y" * 60, "x", ["y" * 50], ["tag"]),
        ("x " + " ".join(f"@t{n}" for n in range(22)), "x", [f"t{n}" for n in range(20)], ["tag"]),
    ],
)
def test_titles_and_labels_of_todoist(content: str, title: str, tags: list[str], lost: list[str]):
    reading = todoist(row(content))
    (task,) = reading.tasks
    assert (task["title"], task.get("tags", []), kinds(reading)) == (title, tags, lost)


def test_a_title_that_is_too_long_is_whole_in_the_description():
    whole = "a" * 300
    reading = todoist(row(whole, DESCRIPTION="More"), row(whole))
    assert [task["title"] for task in reading.tasks] == ["a" * 255] * 2
    assert [task["description"] for task in reading.tasks] == [f"{whole}\n\nMore", whole]
    assert kinds(reading) == ["title"] * 2
    assert reading.losses[0].item == "a" * 79 + "…"


def test_a_description_that_is_too_long_is_cut():
    reading = todoist(row(DESCRIPTION="d" * 10_001))
    assert reading.tasks[0]["description"] == "d" * 10_000
    assert kinds(reading) == ["description"]


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("2026-11-26", {"due_date": "2026-11-26"}),
        ("2026-11-26 09:30", {"due_at": "2026-11-26T08:30:00Z", "time_zone": "Europe/Vienna"}),
        ("2026-11-26T09:30:15", {"due_at": "2026-11-26T08:30:15Z", "time_zone": "Europe/Vienna"}),
        ("2026-11-26T09:30:00Z", {"due_at": "2026-11-26T09:30:00Z", "time_zone": "Europe/Vienna"}),
        ("2026-11-26T09:30:00.5-05:00", {"due_at": "2026-11-26T14:30:00.500000Z", "time_zone": "Europe/Vienna"}),
        ("26 Nov 2026", {"due_date": "2026-11-26"}),
        ("26th  november 2026", {"due_date": "2026-11-26"}),
        ("Nov 26, 2026", {"due_date": "2026-11-26"}),
        ("Sept 1 2026", {"due_date": "2026-09-01"}),
        ("26 Jul 2026 at 9pm", {"due_at": "2026-07-26T19:00:00Z", "time_zone": "Europe/Vienna"}),
        ("26 Jul 2026 12:05 am", {"due_at": "2026-07-25T22:05:00Z", "time_zone": "Europe/Vienna"}),
        ("26 Jul 2026 21:00", {"due_at": "2026-07-26T19:00:00Z", "time_zone": "Europe/Vienna"}),
    ],
)
def test_dates_that_are_certain_are_carried_over(text: str, members: dict[str, str]):
    reading = todoist(row(DATE=text, DATE_LANG="en"), zone="Europe/Vienna")
    assert extras(reading.tasks[0]) == members
    assert not reading.losses


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("every day starting 2026-11-26", {"recurrence": "FREQ=DAILY", "due_date": "2026-11-26"}),
        (
            "every weekday from 28 Nov 2026",
            {"recurrence": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "due_date": "2026-11-30"},
        ),
        ("Every Monday starting 26 Nov 2026", {"recurrence": "FREQ=WEEKLY;BYDAY=MO", "due_date": "2026-11-30"}),
        ("ev thurs and mon starting Nov 26 2026", {"recurrence": "FREQ=WEEKLY;BYDAY=MO,TH", "due_date": "2026-11-26"}),
        ("every 2 weeks starting 2026-11-26", {"recurrence": "FREQ=WEEKLY;INTERVAL=2", "due_date": "2026-11-26"}),
        ("every other day starting 2026-11-26", {"recurrence": "FREQ=DAILY;INTERVAL=2", "due_date": "2026-11-26"}),
        ("every month starting 2026-11-26", {"recurrence": "FREQ=MONTHLY", "due_date": "2026-11-26"}),
        (
            "every! 3 days starting 2026-11-26",
            {"recurrence": "FREQ=DAILY;INTERVAL=3", "due_date": "2026-11-26", "recurs_from": "completion"},
        ),
        (
            "every year at 8am starting 2026-11-26",
            {"recurrence": "FREQ=YEARLY", "due_at": "2026-11-26T07:00:00Z"},
        ),
        (
            "every tue starting 2026-11-26 08:00",
            {"recurrence": "FREQ=WEEKLY;BYDAY=TU", "due_at": "2026-12-01T07:00:00Z"},
        ),
        ("daily from 2020-01-01", {"recurrence": "FREQ=DAILY", "due_date": "2020-01-01"}),
        (
            "daily at 9am starting 2026-11-26",
            {"recurrence": "FREQ=DAILY", "due_at": "2026-11-26T08:00:00Z"},
        ),
        (
            "every 6 weeks starting 2026-11-26T23:30:00-05:00",
            {"recurrence": "FREQ=WEEKLY;INTERVAL=6", "due_at": "2026-11-27T04:30:00Z"},
        ),
        ("every last friday starting 2026-11-28", {"recurrence": "FREQ=MONTHLY;BYDAY=-1FR", "due_date": "2026-12-25"}),
        ("every last friday from 2026-11-27", {"recurrence": "FREQ=MONTHLY;BYDAY=-1FR", "due_date": "2026-11-27"}),
        (
            "every other mon starting 2030-01-01",
            {"recurrence": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "due_date": "2030-01-07"},
        ),
        (
            "every 15th at 9am starting 1 jul 2026",
            {"recurrence": "FREQ=MONTHLY;BYMONTHDAY=15", "due_at": "2026-07-15T07:00:00Z"},
        ),
        (
            "every! jan 15th starting 2026-11-26",
            {
                "recurrence": "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=15",
                "due_date": "2027-01-15",
                "recurs_from": "completion",
            },
        ),
    ],
)
def test_recurrences_with_a_first_date_are_carried_over(text: str, members: dict[str, str]):
    reading = todoist(row(DATE=text, DATE_LANG="en", TIMEZONE="Europe/Vienna"))
    assert extras(reading.tasks[0]) == members | {"time_zone": "Europe/Vienna"}
    assert not reading.losses


WEEKDAYS = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"


@pytest.mark.parametrize(
    ("text", "rule", "first"),
    [
        ("every day", "FREQ=DAILY", "2026-11-26"),
        ("daily", "FREQ=DAILY", "2026-11-26"),
        ("weekly", "FREQ=WEEKLY", "2026-11-26"),
        ("monthly", "FREQ=MONTHLY", "2026-11-26"),
        ("quarterly", "FREQ=MONTHLY;INTERVAL=3", "2026-11-26"),
        ("every quarter", "FREQ=MONTHLY;INTERVAL=3", "2026-11-26"),
        ("every 2 quarters", "FREQ=MONTHLY;INTERVAL=6", "2026-11-26"),
        ("yearly", "FREQ=YEARLY", "2026-11-26"),
        ("Annually", "FREQ=YEARLY", "2026-11-26"),
        ("every 3 days", "FREQ=DAILY;INTERVAL=3", "2026-11-26"),
        ("every weekday", WEEKDAYS, "2026-11-26"),
        ("every workday", WEEKDAYS, "2026-11-26"),
        ("every weekend", "FREQ=WEEKLY;BYDAY=SA", "2026-11-28"),
        ("every monday", "FREQ=WEEKLY;BYDAY=MO", "2026-11-30"),
        ("ev mon, wed, and fri", "FREQ=WEEKLY;BYDAY=MO,WE,FR", "2026-11-27"),
        ("every other monday", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "2026-11-30"),
        ("every other thursday", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TH", "2026-11-26"),
        ("every 15th", "FREQ=MONTHLY;BYMONTHDAY=15", "2026-12-15"),
        ("every 27", "FREQ=MONTHLY;BYMONTHDAY=27", "2026-11-27"),
        ("every 1st, 15th", "FREQ=MONTHLY;BYMONTHDAY=1,15", "2026-12-01"),
        ("every 28th and 1st", "FREQ=MONTHLY;BYMONTHDAY=28,1", "2026-11-28"),
        ("every last day", "FREQ=MONTHLY;BYMONTHDAY=-1", "2026-11-30"),
        ("every 3rd friday", "FREQ=MONTHLY;BYDAY=3FR", "2026-12-18"),
        ("every last friday", "FREQ=MONTHLY;BYDAY=-1FR", "2026-11-27"),
        ("every first monday", "FREQ=MONTHLY;BYDAY=1MO", "2026-12-07"),
        ("every 15 jan", "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=15", "2027-01-15"),
        ("every january 15th", "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=15", "2027-01-15"),
        ("every 26 nov", "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=26", "2026-11-26"),
        ("every 29 feb", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2028-02-29"),
        ("every day at 9am", "FREQ=DAILY", "2026-11-27T08:00:00Z"),
        ("every day 11:00", "FREQ=DAILY", "2026-11-27T10:00:00Z"),
        ("every day 11:01", "FREQ=DAILY", "2026-11-26T10:01:00Z"),
        ("daily at 18:00", "FREQ=DAILY", "2026-11-26T17:00:00Z"),
        ("every weekday at 9am", WEEKDAYS, "2026-11-27T08:00:00Z"),
        ("every thu at 9am", "FREQ=WEEKLY;BYDAY=TH", "2026-12-03T08:00:00Z"),
        ("every other thu at 9am", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TH", "2026-12-03T08:00:00Z"),
        ("every 26th at 6:30pm", "FREQ=MONTHLY;BYMONTHDAY=26", "2026-11-26T17:30:00Z"),
        ("every last day 9am", "FREQ=MONTHLY;BYMONTHDAY=-1", "2026-11-30T08:00:00Z"),
        ("every 3rd friday at 18:00", "FREQ=MONTHLY;BYDAY=3FR", "2026-12-18T17:00:00Z"),
        ("every jul 15 at 9am", "FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=15", "2027-07-15T07:00:00Z"),
    ],
)
def test_a_recurrence_without_a_first_date_begins_at_its_next(text: str, rule: str, first: str):
    reading = todoist(row(DATE=text), zone="Europe/Vienna")
    due = {"due_at" if "T" in first else "due_date": first}
    assert extras(reading.tasks[0]) == due | {"recurrence": rule, "time_zone": "Europe/Vienna"}
    assert [(loss.what, loss.detail) for loss in reading.losses] == [
        ("date", f"“{text}” does not say its first date; {first[:10]} was taken.")
    ]


def test_a_recurrence_without_a_first_date_may_count_from_completion():
    reading = todoist(row(DATE="every! 3 days"))
    assert extras(reading.tasks[0]) == {
        "due_date": "2026-11-26",
        "recurrence": "FREQ=DAILY;INTERVAL=3",
        "recurs_from": "completion",
        "time_zone": "UTC",
    }
    assert kinds(reading) == ["date"]


@pytest.mark.parametrize(
    ("zone", "text", "members"),
    [
        ("Asia/Tokyo", "every day", {"due_date": "2026-11-27"}),
        ("America/New_York", "every day", {"due_date": "2026-11-26"}),
        ("Asia/Tokyo", "every day at 7am", {"due_at": "2026-11-26T22:00:00Z"}),
        ("America/New_York", "every day at 8am", {"due_at": "2026-11-27T13:00:00Z"}),
    ],
)
def test_today_is_that_of_the_tasks_zone(zone: str, text: str, members: dict[str, str]):
    late = datetime(2026, 11, 26, 16, tzinfo=UTC)
    reading = todoist(row(DATE=text, TIMEZONE=zone), now=late)
    assert extras(reading.tasks[0]) == members | {"recurrence": "FREQ=DAILY", "time_zone": zone}
    (due,) = members.values()
    day = datetime.fromisoformat(due).astimezone(ZoneInfo(zone)).date() if "T" in due else due
    assert f" {day} was taken" in reading.losses[0].detail


def test_a_first_moment_that_the_zone_skips_is_taken_an_hour_later():
    for now in (datetime(2027, 3, 28, 0, 30, tzinfo=UTC), datetime(2027, 3, 27, 12, tzinfo=UTC)):
        reading = todoist(row(DATE="every day at 02:30"), zone="Europe/Vienna", now=now)
        assert reading.tasks[0]["due_at"] == "2027-03-28T01:30:00Z"
    after = datetime(2027, 3, 28, 12, tzinfo=UTC)
    reading = todoist(row(DATE="every day at 02:30"), zone="Europe/Vienna", now=after)
    assert reading.tasks[0]["due_at"] == "2027-03-29T00:30:00Z"


@pytest.mark.parametrize(
    ("text", "language", "lost", "sentence"),
    [
        ("tomorrow", "en", "date", "date"),
        ("26 Nov", "en", "date", "date"),
        ("11/12/2026", "en", "date", "date"),
        ("26 Nov 2026 9", "en", "date", "date"),
        ("26 Nov 2026 13pm", "en", "date", "date"),
        ("2026-02-30", "en", "date", "date"),
        ("0000-01-01", "en", "date", "date"),
        ("0001-01-01", "en", "date", "date"),
        ("0001-01-01 00:00", "en", "date", "date"),
        ("9999-12-31", "en", "date", "date"),
        ("9999-12-31T23:00:00-05:00", "en", "date", "date"),
        ("9998-12-31T23:00:00-05:00", "en", "date", "date"),
        ("26 mar 2026", "es", "date", "date"),
        ("x" * 5000, "en", "date", "date"),
        ("every 0 days starting 2026-11-26", "en", "recurrence", "way"),
        ("every day at 25:00 starting 2026-11-26", "en", "recurrence", "way"),
        ("every day at 9:00 starting 2026-11-26 10:00", "en", "recurrence", "first"),
        ("every day starting tomorrow", "en", "recurrence", "first"),
        ("every day starting 2026-02-30", "en", "recurrence", "first"),
        ("every day from 9am to 5pm", "en", "recurrence", "first"),
        ("every monday starting 2026-11-26T09:00:00Z", "en", "recurrence", "first"),
        ("every monday starting 9999-12-31", "en", "recurrence", "way"),
        ("every day starting 9999-01-01", "en", "recurrence", "way"),
        ("every day starting 0001-01-01", "en", "recurrence", "way"),
        ("every 999 years starting 2026-11-26", "en", "recurrence", "way"),
        ("every 0 days", "en", "recurrence", "way"),
        ("every 999 quarters", "en", "recurrence", "way"),
        ("every day at 25:00", "en", "recurrence", "way"),
        ("every day 9", "en", "recurrence", "way"),
        ("every 32nd", "en", "recurrence", "way"),
        ("every 1st, 0", "en", "recurrence", "way"),
        ("every 30 feb", "en", "recurrence", "way"),
        ("every 6th friday", "en", "recurrence", "way"),
        ("every second friday", "en", "recurrence", "way"),
        ("every other mon, fri", "en", "recurrence", "way"),
        ("every 2 hours", "en", "recurrence", "way"),
        ("every full moon", "en", "recurrence", "way"),
        ("every day until 2027-01-01", "en", "recurrence", "way"),
        ("every day for 3 weeks", "en", "recurrence", "way"),
        ("every! " + "1st, " * 20 + "2nd", "en", "recurrence", "way"),
        ("daily dose", "en", "recurrence", "way"),
        ("after 3 days", "en", "recurrence", "way"),
        ("every day starting 2026-11-26", "de", "recurrence", "way"),
        ("daily", "de", "recurrence", "way"),
    ],
)
def test_dates_that_are_not_certain_are_reported_and_kept_as_metadata(
    text: str, language: str, lost: str, sentence: str
):
    sentences = {
        "date": "is not certain to be one date",
        "first": "repeats from what is not certain to be one date",
        "way": "repeats in a way that cannot be carried over",
    }
    reading = todoist(row(DATE=text, DATE_LANG=language), zone="Europe/Vienna")
    assert extras(reading.tasks[0]) == {"metadata": {"todoist_date": text[:100]}}
    assert kinds(reading) == [lost]
    assert text[:60] in reading.losses[0].detail
    kept = "its text is" if len(text) <= 100 else "its first 100 characters are"
    assert f"” {sentences[sentence]}; {kept} in the metadata as todoist_date." in reading.losses[0].detail


def test_the_text_of_a_date_is_kept_as_it_was_written():
    reading = todoist(row(DATE=" Every Full  Moon\tat Ten\n"))
    assert reading.tasks[0]["metadata"] == {"todoist_date": "Every Full  Moon\tat Ten"}


@pytest.mark.parametrize("name", ["Nowhere/Land", "../../etc/passwd", "America", "x" * 5000])
def test_a_zone_that_is_not_known_is_reported(name: str):
    reading = todoist(row(DATE="2026-11-26 12:00", TIMEZONE=name), zone="Asia/Tokyo")
    assert extras(reading.tasks[0]) == {"due_at": "2026-11-26T03:00:00Z", "time_zone": "Asia/Tokyo"}
    assert kinds(reading) == ["time_zone"]


@pytest.mark.parametrize(
    ("cells", "lost"),
    [
        ({"RESPONSIBLE": "Ann (12)"}, ["assignee"]),
        ({"DURATION": "30", "DURATION_UNIT": "minute"}, ["duration"]),
        ({"DURATION": "None", "DURATION_UNIT": "None"}, []),
        ({"DEADLINE": "2026-12-01", "DEADLINE_LANG": "en"}, ["deadline"]),
        ({"IS_COLLAPSED": "True"}, ["view"]),
        ({"IS_COLLAPSED": "False"}, []),
        ({"AUTHOR": "Ann (12)"}, ["author"]),
        ({"TYPE": "label"}, ["row"]),
        ({"TYPE": ""}, ["row"]),
        ({"TYPE": "meta", "CONTENT": "view_style=board"}, ["view"]),
    ],
)
def test_what_has_no_counterpart_is_reported(cells: dict[str, str], lost: list[str]):
    assert kinds(todoist(row(**cells))) == lost


def test_authors_are_reported_once():
    reading = todoist(row(AUTHOR="Ann (12)"), row(AUTHOR="Bob (13)"), row(AUTHOR="Ann (12)"))
    assert [(loss.line, loss.what) for loss in reading.losses] == [(None, "author")]
    assert "Ann (12), Bob (13)" in reading.losses[0].detail


def test_cells_of_unknown_doubled_and_missing_columns_are_reported():
    reading = sound(read_now(b"TYPE,CONTENT,MOOD,EMPTY,CONTENT\ntask,a,glad,,b,c\ntask,d,sad,,,\n"))
    assert [task["title"] for task in reading.tasks] == ["a", "d"]
    assert [loss.detail.split("“")[1].split("”")[0] for loss in reading.losses] == ["MOOD", "CONTENT", ""]
    assert kinds(reading) == ["column"] * 3


def test_a_section_becomes_a_tag_and_is_reported_once():
    section = {"TYPE": "section", "CONTENT": "s" * 60}
    reading = todoist(row("a"), section, row("b @x"), row("c"), {"TYPE": "section", "DATE": "2026-11-26"}, row("d"))
    assert [task.get("tags", []) for task in reading.tasks] == [[], ["s" * 50, "x"], ["s" * 50], []]
    assert [(loss.line, loss.what) for loss in reading.losses] == [
        (3, "tag"),
        (3, "section"),
        (6, "section"),
        (6, "row"),
    ]


def test_notes_follow_the_description():
    notes = [{"TYPE": "note", "CONTENT": text} for text in ("first", "second", "")]
    reading = todoist(row("a", DESCRIPTION="About it"), notes[0], notes[1], row("b"), notes[0], notes[2])
    assert [task["description"] for task in reading.tasks] == ["About it\n\nfirst\n\nsecond", "first"]
    assert not reading.losses


def test_notes_without_a_task_or_room_are_reported():
    note = {"TYPE": "note", "CONTENT": "n"}
    section = {"TYPE": "section", "CONTENT": "s"}
    reading = todoist(note, row("a", DESCRIPTION="d" * 9_997), note, note, section, note)
    assert len(reading.tasks[0]["description"]) == 10_000
    assert [(loss.line, loss.what) for loss in reading.losses] == [
        (2, "comment"),
        (5, "comment"),
        (6, "section"),
        (7, "comment"),
    ]


@pytest.mark.parametrize(
    ("content", "description", "lost"),
    [
        (
            'See [[file {"file_name": "a\\u0000.pdf", "file_url": "https://files.example/a"}]]',
            "See\na .pdf (https://files.example/a)",
            ["attachment"],
        ),
        ('[[file {"file_name": "a", "file_url": "u"}]]', "a (u)", ["attachment"]),
        ('[[file {"file_name": 1}]]', '[[file {"file_name": 1}]]', ["attachment"]),
        ("[[file {]]", "[[file {]]", []),
        ("[[file []]]", "[[file []]]", []),
        ("[[file " + "[" * 100_000 + "]]", None, ["comment"]),
    ],
)
def test_a_notes_file_is_kept_as_an_address(content: str, description: str | None, lost: list[str]):
    reading = todoist(row(), {"TYPE": "note", "CONTENT": content})
    assert reading.tasks[0].get("description") == description
    assert kinds(reading) == lost


@pytest.mark.parametrize(
    ("indents", "parents", "lost"),
    [
        ("1 2 2 3 1 2", [None, 0, 0, 2, None, 4], []),
        ("1 3 3 2 1", [None, 0, 0, 0, None], ["indent", "indent"]),
        ("2 1", [None, None], ["indent"]),
        ("1 0 -1 x 999999999 1000000000000", [None, None, None, None, 3, None], ["indent"] * 5),
        ("1 2 3 4 5 6 7 8 9 10 8", [None, 0, 1, 2, 3, 4, 5, 6, 6, 6, 6], ["depth", "depth"]),
    ],
)
def test_indents(indents: str, parents: list[int | None], lost: list[str]):
    reading = todoist(*(row(f"t{n}", INDENT=indent) for n, indent in enumerate(indents.split())))
    keys = [task["key"] for task in reading.tasks]
    assert [task.get("parent") for task in reading.tasks] == [n if n is None else keys[n] for n in parents]
    assert kinds(reading) == lost


def test_a_section_ends_the_tasks_above_it():
    reading = todoist(row("a"), {"TYPE": "section", "CONTENT": "s"}, row("b", INDENT="2"))
    assert "parent" not in reading.tasks[1]
    assert kinds(reading) == ["section", "indent"]


@pytest.mark.parametrize(
    ("name", "expected", "lost"),
    [("n" * 256, "n" * 255, ["title"]), (" a\tb ", "a b", ["title"]), ("", "Untitled", ["title"]), ("a", "a", [])],
)
def test_the_lists_name_is_within_bounds(name: str, expected: str, lost: list[str]):
    reading = todoist(list_name=name)
    assert (reading.lists[0]["name"], kinds(reading)) == (expected, lost)


# Vikunja


@pytest.mark.parametrize(
    "data",
    [b"{", b"{}", b"null", b'"a"', b"[1, null]", b'[{"a": 1}]', b"[" * 100_000, b"[" + b"9" * 5000 + b"]"],
)
def test_json_that_is_no_export_of_vikunja_is_refused(data: bytes):
    with pytest.raises(UnreadableExport, match=r"^[^\n]*\.$"):
        read_vikunja(data)


def test_a_task_of_vikunja_becomes_a_record():
    task, reading = of_task(
        description='<p>See <a href="https://a.example/?x=1&amp;y=2">this</a></p>',
        done=True,
        priority=3,
        due_date="2026-11-26T09:30:00+01:00",
        labels=[{"id": 1, "title": "balcony"}, {"title": "balcony"}],
        reminders=None,
        related_tasks={},
    )
    assert reading.lists == [{"key": "project-1", "name": "Garden", "color": None}]
    assert task == {
        "key": "task-7",
        "title": "Water the plants",
        "description": "See this (https://a.example/?x=1&y=2)",
        "completed": True,
        "priority": "high",
        "tags": ["balcony"],
        "due_at": "2026-11-26T08:30:00Z",
        "time_zone": "Europe/Vienna",
        "list": "project-1",
    }
    assert not reading.losses


@pytest.mark.parametrize(
    ("members", "expected", "lost"),
    [
        ({"priority": 0}, {}, []),
        ({"priority": 1}, {"priority": "low"}, []),
        ({"priority": 2}, {"priority": "medium"}, []),
        ({"priority": 4}, {"priority": "urgent"}, []),
        ({"priority": 5}, {"priority": "urgent"}, ["priority"]),
        ({"priority": 6}, {}, ["priority"]),
        ({"priority": -1}, {}, ["priority"]),
        ({"priority": 10**4000}, {}, ["priority"]),
        ({"priority": True}, {}, ["priority"]),
        ({"priority": "1"}, {}, ["priority"]),
        ({"done": 1}, {}, ["completed"]),
        ({"done": None}, {}, []),
        ({"title": None}, {}, ["title"]),
        ({"title": ["a"]}, {}, ["title"]),
        ({"title": "a\0b\ud800"}, {}, ["title"]),
        ({"description": {}}, {}, ["description"]),
        ({"description": " "}, {}, []),
        ({"description": "a\0\udfff"}, {"description": "a\ufffd\ufffd"}, ["description"]),
        ({"labels": "a"}, {}, ["tag"]),
        ({"labels": [1, None, {"title": "a"}]}, {"tags": ["a"]}, ["tag"]),
        ({"labels": [{"title": 1}, {"title": ""}, {}]}, {}, ["tag"]),
        (
            {"labels": [{"title": "a", "hex_color": "ff0000", "description": "b"}]},
            {"tags": ["a"]},
            ["color", "description"],
        ),
        ({"due_date": "0001-01-01T00:00:00Z"}, {}, []),
        ({"due_date": "26 Nov 2026"}, {}, ["date"]),
        ({"due_date": "2026-02-30T00:00:00Z"}, {}, ["date"]),
        ({"due_date": "9999-12-31T23:59:59-12:00"}, {}, ["date"]),
        ({"due_date": "2026-11-26T00:00:00+::::"}, {}, ["date"]),
        ({"due_date": 5}, {}, ["date"]),
        ({"start_date": "2026-11-26T00:00:00Z"}, {}, ["start"]),
        ({"end_date": "2026-11-26T00:00:00Z", "start_date": "0001-01-01T00:00:00Z"}, {}, ["end"]),
        ({"reminders": [{"reminder": "2026-11-26T00:00:00Z"}, {}]}, {}, ["reminder"]),
        ({"percent_done": 0.5}, {}, ["progress"]),
        ({"percent_done": float("nan")}, {}, ["progress"]),
        ({"percent_done": 0}, {}, []),
        ({"assignees": [{"id": 1}]}, {}, ["assignee"]),
        ({"attachments": [{"id": 1}], "cover_image_attachment_id": 1}, {}, ["attachment"]),
        ({"comments": [{"comment": "a"}]}, {}, ["comment"]),
        ({"is_favorite": True}, {}, ["favorite"]),
        ({"is_favorite": False}, {}, []),
        ({"hex_color": "ff0000"}, {}, ["color"]),
        ({"reactions": {"+": []}, "bucket_id": 4}, {}, ["reaction", "bucket"]),
        (
            {"created": "2026-11-26T00:00:00Z", "updated": "2026-11-26T00:00:00Z", "position": 1.5},
            {},
            ["time", "position"],
        ),
        ({"identifier": "#1", "index": 1, "created_by": {"id": 1}}, {}, ["number", "author"]),
        ({"mood": "glad", "uid": ""}, {}, ["member"]),
        ({"related_tasks": []}, {}, ["relation"]),
        ({"related_tasks": {"blocking": [{"id": 7}], "subtask": None}}, {}, ["relation"]),
        ({"related_tasks": {"subtask": [{"id": 99}], "parenttask": [{}]}}, {}, ["relation", "relation"]),
        ({"related_tasks": {"subtask": [None], "parenttask": 1}}, {}, ["relation", "relation"]),
        ({"related_tasks": {"subtask": [{"id": 7}]}}, {}, ["relation"]),
    ],
)
def test_members_of_a_task_of_vikunja(members: dict[str, Any], expected: dict[str, Any], lost: list[str]):
    task, reading = of_task(**members)
    assert extras(task) == expected
    assert kinds(reading) == lost


@pytest.mark.parametrize(
    ("members", "recurrence", "recurs_from", "lost"),
    [
        ({"repeat_after": 86_400}, "FREQ=DAILY", None, []),
        ({"repeat_after": 3 * 86_400, "repeat_mode": 2}, "FREQ=DAILY;INTERVAL=3", "completion", []),
        ({"repeat_after": 7 * 86_400}, "FREQ=WEEKLY", None, []),
        ({"repeat_after": 14 * 86_400}, "FREQ=WEEKLY;INTERVAL=2", None, []),
        ({"repeat_after": 0, "repeat_mode": 1}, "FREQ=MONTHLY", None, []),
        ({"repeat_after": 0, "repeat_mode": 2}, None, None, []),
        ({"repeat_after": 3600}, None, None, ["recurrence"]),
        ({"repeat_after": -86_400}, None, None, ["recurrence"]),
        ({"repeat_after": 10**15 * 86_400}, None, None, ["recurrence"]),
        ({"repeat_after": 86_400, "repeat_mode": 3}, None, None, ["recurrence"]),
        ({"repeat_after": "daily"}, None, None, ["recurrence"]),
        ({"repeat_after": 86_400, "due_date": None}, None, None, ["recurrence"]),
    ],
)
def test_repetitions_of_vikunja(
    members: dict[str, Any], recurrence: str | None, recurs_from: str | None, lost: list[str]
):
    task, reading = of_task(**{"due_date": "2026-11-26T09:00:00Z"} | members)
    assert (task.get("recurrence"), task.get("recurs_from")) == (recurrence, recurs_from)
    assert kinds(reading) == lost


@pytest.mark.parametrize(
    ("html", "text", "lost"),
    [
        ("a &amp; b < c\n  d", "a &amp; b < c\n  d", []),
        ("<p>a &amp;\n <strong>b</strong></p><p>c<br/>d</p>", "a & b\n\nc\nd", []),
        ("<h2>H</h2><ul><li><p>a</p></li><li>b</li></ul><p>c</p>", "H\n\n- a\n- b\n\nc", []),
        ('<ul><li data-checked="true"><p>a</p></li><li data-checked="false">b</li></ul>', "- [x] a\n- [ ] b", []),
        ('<a href="https://a.example">https://a.example</a> <a>b</a>', "https://a.example b", []),
        ('<a href="/1">one<a href="/2"></a>', "one (/1)/2", []),
        ('<img src="https://a.example/i.png" alt="Plan"><img>', "Plan (https://a.example/i.png)img", []),
        ('<iframe src="https://a.example/v"></iframe>', "iframe (https://a.example/v)", []),
        ('<p>a <img src="data:image/png;base64,AAAA"></p>', "a img", ["attachment"]),
        ('<p>Ask <mention-user data-id="ann"></mention-user></p>', "Ask @ann", []),
        ("<pre><code>if a:\n    b &lt; c\n</code></pre>", "if a:\n    b < c", []),
        ("<p>1 < 2 <bob@mail.example> <!-- c --> <![x[</p>", "1 < 2 <bob@mail.example> <!-- c --> <![x[", []),
        ("<script>a<b>c</b></script></li></pre>d", "ac\n\nd", []),
    ],
)
def test_html_becomes_text(html: str, text: str, lost: list[str]):
    task, reading = of_task(description=html)
    assert task["description"] == text
    assert kinds(reading) == lost


@pytest.mark.parametrize(
    ("members", "expected", "lost"),
    [
        ({"hex_color": "1973FF"}, {"color": "#1973ff"}, []),
        ({"hex_color": "#1973ff"}, {"color": "#1973ff"}, []),
        ({"hex_color": "red"}, {}, ["color"]),
        ({"hex_color": 5}, {}, ["color"]),
        ({"title": None}, {"name": "Untitled"}, ["title"]),
        ({"title": "n" * 256}, {"name": "n" * 255}, ["title"]),
        ({"id": None}, {"key": "project-without-id-1"}, []),
        ({"id": [1]}, {"key": "project-without-id-1"}, []),
        ({"description": "About it"}, {}, ["description"]),
        ({"is_archived": True, "is_favorite": True}, {}, ["archived", "favorite"]),
        ({"buckets": [{"id": 1}], "views": [{"id": 1}]}, {}, ["bucket", "view"]),
        ({"background_information": {"type": "upload"}}, {}, ["attachment"]),
        ({"parent_project_id": 0}, {}, []),
        ({"parent_project_id": 9}, {}, ["relation"]),
        ({"parent_project_id": "1"}, {}, ["relation"]),
        ({"parent_project_id": 1}, {}, ["relation"]),
        ({"tasks": None}, {}, []),
        ({"tasks": 5}, {}, ["task"]),
        ({"tasks": [1, None, []]}, {}, ["task"]),
        ({"child_projects": 1}, {}, ["list"]),
    ],
)
def test_members_of_a_project(members: dict[str, Any], expected: dict[str, Any], lost: list[str]):
    reading = vikunja(project(**members))
    assert reading.lists == [{"key": "project-1", "name": "Garden", "color": None} | expected]
    assert kinds(reading) == lost


def test_what_is_no_project_among_projects_is_reported():
    favorites = {"id": -1, "title": "Favorites", "tasks": None}
    reading = vikunja(None, project(), favorites, [])
    assert [record["name"] for record in reading.lists] == ["Garden"]
    assert kinds(reading) == ["list", "filter"]


def test_nested_projects_are_lists_with_the_whole_path():
    reading = vikunja(
        {"id": 3, "title": "Roses", "parent_project_id": 2},
        {"id": 2, "title": "Beds", "parent_project_id": 1, "child_projects": [{"id": 4, "title": "Herbs"}, None]},
        {"id": 1, "title": "Garden"},
        {"id": 1, "title": "n" * 250, "child_projects": [{"title": "Long"}]},
    )
    assert [record["name"] for record in reading.lists] == [
        "Garden",
        "Garden / Beds",
        "Garden / Beds / Roses",
        "Garden / Beds / Herbs",
        "n" * 250,
        "n" * 250 + " / Lo",
    ]
    assert kinds(reading) == ["list", "title"]


def test_a_cycle_of_projects_is_broken():
    reading = vikunja(*({"id": n, "title": f"P{n}", "parent_project_id": n % 3 + 1} for n in (1, 2, 3)))
    assert [record["name"] for record in reading.lists] == ["P3", "P3 / P2", "P3 / P2 / P1"]
    assert [(loss.item, loss.what) for loss in reading.losses] == [("P3", "relation")]


def subtask(identifier: int, *children: int, **members: Any) -> dict[str, Any]:
    related = {"subtask": [{"id": child} for child in children]}
    return {"id": identifier, "title": f"T{identifier}", "related_tasks": related} | members


@pytest.mark.parametrize(
    ("tasks", "parents", "lost"),
    [
        ([subtask(1, 2), subtask(2, 3), subtask(3)], {1: None, 2: 1, 3: 2}, []),
        ([subtask(3), subtask(2, 3), subtask(1, 2)], {1: None, 2: 1, 3: 2}, []),
        ([subtask(1), subtask(2, related_tasks={"parenttask": [{"id": 1}]})], {1: None, 2: 1}, []),
        ([subtask(1, 2), subtask(2, related_tasks={"parenttask": [{"id": 1}]})], {1: None, 2: 1}, []),
        ([subtask(1, 3), subtask(2, 3, 3), subtask(3)], {1: None, 2: None, 3: 1}, ["relation"]),
        ([subtask(1, 2), subtask(2, 3), subtask(3, 1)], {1: 3, 2: None, 3: 2}, ["relation"]),
        ([subtask(n, n + 1) for n in range(1, 10)] + [subtask(10)], {8: 7, 9: 7, 10: 7}, ["depth", "depth"]),
    ],
)
def test_subtasks_of_vikunja(tasks: list[Any], parents: dict[int, int | None], lost: list[str]):
    reading = vikunja(project(*tasks))
    found = {int(task["title"][1:]): task.get("parent") for task in reading.tasks}
    assert len(found) == len(tasks)
    assert {n: found[n] for n in parents} == {n: p if p is None else f"task-{p}" for n, p in parents.items()}
    assert kinds(reading) == lost


def test_tasks_with_one_id_or_none_are_all_kept():
    reading = vikunja(project({"id": 1, "title": "a"}, {"id": 1, "title": "b"}, {"title": "c"}, {"id": True}))
    assert [task["title"] for task in reading.tasks] == ["a", "b", "c", "Untitled"]


def test_reports_about_everything_come_once():
    both = [subtask(n, created="2026-11-26T00:00:00Z", mood="glad") for n in (1, 2)]
    reading = vikunja(project(*both, owner={"id": 1}, created="2026-11-26T00:00:00Z"))
    assert [(loss.item, loss.what) for loss in reading.losses] == [("", "author"), ("", "time"), ("", "member")]


# Anything at all

TEXT = st.text(max_size=20) | st.sampled_from(
    ["", "every 2 weeks starting 2026-11-26", "2026-11-26 09:00", "9999-12-31T23:59", "26 Nov 2026 9pm", "a @b @c"]
)
CELLS = st.fixed_dictionaries(
    {"TYPE": st.sampled_from(["task", "task", "task", "note", "section", "meta", "x"])},
    optional={name: TEXT | st.integers(-2, 12).map(str) for name in COLUMNS[1:]},
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 9), st.integers(), st.floats(), st.text(st.characters(), max_size=9)
)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
IDS = st.integers(0, 6) | ANYTHING
DATES = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | TEXT
HTML = st.lists(
    st.sampled_from(
        ["<p>", "</p>", "<a href='x'>", "</a>", "<li>", "</li>", "<pre>", "<br", "<!", "&#0;", '"', ">", "a "]
    )
).map("".join)
RELATED = st.dictionaries(
    st.sampled_from(["subtask", "parenttask", "related"]),
    st.lists(st.fixed_dictionaries({"id": IDS}), max_size=4) | ANYTHING,
)
TASKS = st.fixed_dictionaries(
    {},
    optional={
        "id": IDS,
        "title": TEXT | ANYTHING,
        "description": HTML | ANYTHING,
        "done": ANYTHING,
        "due_date": DATES | ANYTHING,
        "repeat_after": st.sampled_from([0, 86_400, 604_800]) | ANYTHING,
        "repeat_mode": st.integers(0, 3) | ANYTHING,
        "priority": st.integers(-1, 6) | ANYTHING,
        "labels": st.lists(st.fixed_dictionaries({}, optional={"title": TEXT | ANYTHING}) | ANYTHING) | ANYTHING,
        "related_tasks": RELATED | ANYTHING,
        "comments": ANYTHING,
    },
)
PROJECTS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "id": IDS,
            "title": TEXT | ANYTHING,
            "parent_project_id": IDS,
            "hex_color": TEXT | ANYTHING,
            "tasks": st.lists(TASKS | ANYTHING, max_size=12) | ANYTHING,
        },
    ),
    lambda inner: st.fixed_dictionaries({"id": IDS, "child_projects": st.lists(inner | ANYTHING, max_size=3)}),
    max_leaves=4,
)


def read_or_refuse(read: Callable[[bytes], Reading], data: bytes) -> Reading | None:
    try:
        return sound(read(data))
    except UnreadableExport as refusal:
        if re.fullmatch(r"[^\n]+\.", str(refusal)):
            return None
        raise


@EXAMPLES
@given(st.binary(max_size=200), st.sampled_from([b"", b"TYPE,CONTENT,DATE,INDENT\n", b'[{"tasks":', b'[{"title":"']))
def test_any_bytes_are_read_or_refused(data: bytes, before: bytes):
    for read in (read_now, read_vikunja):
        read_or_refuse(read, before + data)


@EXAMPLES
@given(st.lists(CELLS, max_size=15))
def test_any_rows_become_sound_records(rows: list[dict[str, str]]):
    reading = read_or_refuse(read_now, todoist_file(*rows).replace(b"\0", b""))
    assert reading is not None
    assert len(reading.tasks) == sum(cells["TYPE"] == "task" for cells in rows)


# The words of dates, put together in any way, and any text at all.
WORDS = st.sampled_from(
    [
        *("every", "ev", "every!", "other", "last", "first", "3rd", "15th", "31", "0", "2", "999", "1st,", "day"),
        *("days", "week", "months", "quarter", "years", "weekday", "weekend", "mon", "friday,", "and", "jan", "feb"),
        *("29", "at", "9am", "23:59", "02:30", "25:00", "starting", "from", "until", "2026-11-26", "9998-12-31"),
        *("0002-01-01", "0001-01-01", "9999-12-31T23:59:59Z", "26 Nov 2026", "2026-11-26 02:30", "daily", "annually"),
    ]
)
DATE_TEXTS = st.lists(WORDS, min_size=1, max_size=9).map(" ".join) | st.text(min_size=1)


@EXAMPLES
@given(
    DATE_TEXTS.map(lambda text: text[:100].replace("\0", " ")),
    st.sampled_from(["UTC", "Europe/Vienna", "Pacific/Kiritimati", "America/Nuuk"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - see timezones
)
def test_any_text_of_a_date_makes_a_task_that_may_be_created(text: str, zone: str, now: datetime):
    reading = todoist(row(DATE=text), zone=zone, now=now)
    members = extras(reading.tasks[0])
    task = TaskCreate(title="x", **members)
    check_plan({name: getattr(task, name) for name in PLAN}, now=now)
    is_due = task.due_date is not None or task.due_at is not None
    assert ("metadata" in members) == (not is_due and bool(text.strip()))
    if kinds(reading) == ["date"] and task.due_at:
        assert task.due_at > now
    if kinds(reading) == ["date"] and task.due_date:
        assert task.due_date >= now.astimezone(ZoneInfo(zone)).date()
    # A rule comes true on its first day, or would not have it as one.
    if task.recurrence and "BY" in task.recurrence and is_due:
        first = task.due_date or task.due_at.astimezone(ZoneInfo(zone)).date()  # type: ignore[union-attr]
        start = datetime(first.year, first.month, first.day)  # noqa: DTZ001 - a day
        assert rrulestr(task.recurrence, dtstart=start)[0] == start


@EXAMPLES
@given(st.lists(PROJECTS | ANYTHING, max_size=5))
def test_any_json_becomes_sound_records(projects: list[Any]):
    read_or_refuse(read_vikunja, json.dumps(projects).encode())


@EXAMPLES
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=40))
def test_any_relations_become_a_tree(pairs: list[tuple[int, int]]):
    tasks = [subtask(n, *(child for parent, child in pairs if parent == n)) for n in range(12)]
    assert len(vikunja(project(*tasks)).tasks) == 12


@pytest.mark.parametrize(
    "html", ["<a ", "<!--", "<script>", "<a href=x>", "<li>", "<a t='>", "<pre> ", "&#1", "</", "<p a='b'>", "<![x["]
)
def test_html_takes_time_in_proportion(html: str):
    data = json.dumps([project({"title": "a", "description": f"<p>b</p>{html * (500_000 // len(html))}"})]).encode()
    started = time.process_time()
    sound(read_vikunja(data))
    assert time.process_time() - started < 5


def test_a_file_of_more_than_anybody_may_have_is_not_read_to_its_end():
    few = Limits(tasks=2, lists=1)
    assert len(vikunja(project({}, {}), limits=few).tasks) == 2
    for read, limit in [
        (lambda: vikunja(project({}, {}, {}, *[{"title": 5}] * 10), limits=few), "tasks"),
        (lambda: vikunja({"title": "a"}, {"title": "b"}, limits=few), "lists"),
        (lambda: todoist(*[row()] * 3, limits=few), "tasks"),
    ]:
        with pytest.raises(LimitReached) as refused:
            read()
        assert refused.value.name == limit
    assert len(todoist(*[row()] * 2, *[{"TYPE": "note", "CONTENT": "x"}] * 3, limits=few).tasks) == 2

"""Reading what Todoist exports: what a row becomes, which dates are certain, and what is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from taskward.formats.todoist.languages import _ENGLISH_DAYS, _ENGLISH_MONTHS, _table, _tables
from taskward.tasks.schedule.consistency import check_schedule
from taskward.tasks.schemas import TaskCreate
from taskward.transfer.records import UnreadableExport
from tests.foreign import (
    COLUMNS,
    EXAMPLES,
    TEXT,
    extras,
    fates,
    kinds,
    read_now,
    read_or_refuse,
    row,
    sound,
    todoist,
    todoist_file,
)


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
    assert reading.lists == [{"key": "project-0", "name": "Home", "color": None}]
    assert list(reading.tasks) == [
        {
            "key": "project-0-2",
            "title": "Repot",
            "description": "Big pot",
            "priority": "high",
            "tags": ["balcony", "spring"],
            "due_date": "2026-11-26",
            "list": "project-0",
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
        ("*a", "*a", [], []),
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
        ("every morning", "FREQ=DAILY", "2026-11-27T08:00:00Z"),
        ("every day at noon", "FREQ=DAILY", "2026-11-26T11:00:00Z"),
        ("every third friday", "FREQ=MONTHLY;BYDAY=3FR", "2026-12-18"),
        ("every 3rd friday of the month", "FREQ=MONTHLY;BYDAY=3FR", "2026-12-18"),
        ("every sat & sun", "FREQ=WEEKLY;BYDAY=SA,SU", "2026-11-28"),
        ("every 2 weeks on monday", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "2026-11-30"),
        ("every week on mon and wed", "FREQ=WEEKLY;BYDAY=MO,WE", "2026-11-30"),
        ("every month on the 15th", "FREQ=MONTHLY;BYMONTHDAY=15", "2026-12-15"),
        ("every 3 months on the last day", "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=-1", "2026-11-30"),
        ("every month on the 2nd tuesday", "FREQ=MONTHLY;BYDAY=2TU", "2026-12-08"),
        ("every last day of the month", "FREQ=MONTHLY;BYMONTHDAY=-1", "2026-11-30"),
        ("every year on jan 15", "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=15", "2027-01-15"),
        ("every 48 hours", "FREQ=DAILY;INTERVAL=2", "2026-11-26"),
        ("every day until 2027-01-01", "FREQ=DAILY;UNTIL=20270101", "2026-11-26"),
        ("every monday ending 2030-01-01", "FREQ=WEEKLY;BYDAY=MO;UNTIL=20300101", "2026-11-30"),
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


@pytest.mark.parametrize("text", ["every! 3 days", "after 3 days"])
def test_a_recurrence_without_a_first_date_may_count_from_completion(text: str):
    reading = todoist(row(DATE=text))
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


@pytest.mark.parametrize(
    ("text", "day"),
    [("4 Jan", "2027-01-04"), ("Jan 4", "2027-01-04"), ("26 nov", "2026-11-26"), ("30 May", "2026-05-30"),
     ("28 may", "2026-05-28"), ("27 may", "2027-05-27"), ("1 nov 9am", "2026-11-01")],
)  # fmt: skip
def test_a_day_without_a_year_is_the_nearest_one(text: str, day: str):
    reading = todoist(row(DATE=text))
    task = reading.tasks[0]
    assert (task.get("due_date") or task["due_at"][:10]) == day
    assert [loss.detail for loss in reading.losses] == [f"“{text}” does not say its year; {day} was taken."]


def test_what_repeats_by_the_hour_is_due_at_its_beginning():
    reading = todoist(row(DATE="every 12 hours starting 2026-12-01 08:00"), zone="Europe/Vienna")
    assert extras(reading.tasks[0]) == {
        "due_at": "2026-12-01T07:00:00Z",
        "time_zone": "Europe/Vienna",
        "metadata": {"todoist": {"date": "every 12 hours starting 2026-12-01 08:00"}},
    }
    assert kinds(reading) == ["recurrence"]


# What people write in the languages that Todoist reads.
LANGUAGES = [
    ("de", "Jeden Tag", "FREQ=DAILY"),
    ("de", "täglich um 9:30", "FREQ=DAILY"),
    ("de", "alle 2 Wochen", "FREQ=WEEKLY;INTERVAL=2"),
    ("de", "jeden Mo, Mi und Fr", "FREQ=WEEKLY;BYDAY=MO,WE,FR"),
    ("de", "jeden 15.", "FREQ=MONTHLY;BYMONTHDAY=15"),
    ("de", "jeden letzten Tag des Monats", "FREQ=MONTHLY;BYMONTHDAY=-1"),
    ("de", "jeden Tag um 9 Uhr ab 2030-01-15", "FREQ=DAILY"),
    ("de", "alle! 3 Tage", "FREQ=DAILY;INTERVAL=3"),
    ("de", "15. Jan. 2030", None),
    ("fr", "tous les jours", "FREQ=DAILY"),
    ("fr", "chaque lundi à 9h00", "FREQ=WEEKLY;BYDAY=MO"),
    ("fr", "1er janvier 2030", None),
    ("es", "cada 2 semanas", "FREQ=WEEKLY;INTERVAL=2"),
    ("es", "15 de enero de 2030", None),
    ("it", "ogni lunedì", "FREQ=WEEKLY;BYDAY=MO"),
    ("pt_BR", "todo dia útil", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
    ("nl", "elke maand", "FREQ=MONTHLY"),
    ("sv", "varannan vecka", "FREQ=WEEKLY;INTERVAL=2"),
    ("nb", "hver helg", "FREQ=WEEKLY;BYDAY=SA"),
    ("no", "daglig", "FREQ=DAILY"),
    ("da", "hver dag kl. 9.30", "FREQ=DAILY"),
    ("pl", "co drugi tydzień", "FREQ=WEEKLY;INTERVAL=2"),
    ("ru", "каждый понедельник", "FREQ=WEEKLY;BYDAY=MO"),
    ("fi", "15 tammikuuta 2030", None),
    ("ja", "毎日", "FREQ=DAILY"),
    ("zh_CN", "2030年1月15日", None),
    ("ko", "매주", "FREQ=WEEKLY"),
    ("cs", "2030-01-15", None),
]


@pytest.mark.parametrize(("language", "text", "rule"), LANGUAGES)
def test_dates_in_other_languages(language: str, text: str, rule: str | None):
    reading = todoist(row(DATE=text, DATE_LANG=language))
    task = reading.tasks[0]
    assert task.get("recurrence") == rule
    assert "metadata" not in task
    assert rule is not None or task["due_date"] in {"2030-01-15", "2030-01-01"}


@pytest.mark.parametrize(
    ("language", "text"),
    [("de", "jeden 2. Montag"), ("de", "jeden Vollmond"), ("cs", "každý den"), ("es", "26 mar 2026"), ("de", "morgen"),
     ("ja", "2030年13月15日"), ("de", "26 may 2030"), ("xx", "daily"), ("de", "jeden tag ab"), ("de", "20.30")],
)  # fmt: skip
def test_dates_in_other_languages_that_are_not_certain_are_kept_as_metadata(language: str, text: str):
    reading = todoist(row(DATE=text, DATE_LANG=language))
    assert extras(reading.tasks[0]) == {"metadata": {"todoist": {"date": text}}}
    assert len(reading.losses) == 1


def test_every_language_has_all_its_words():
    for code, said in _tables().items():
        table, _ = _table(code)
        assert set(_ENGLISH_MONTHS) <= set(table.values()), code
        assert len(said.get("weekdays", _ENGLISH_DAYS)) == 7
        spellings = [one for names in [*said["months"], *said.get("weekdays", [])] for one in names]
        spellings += [word for words in said.get("words", {}).values() for word in words]
        # No word stands for two things.
        assert sorted(spellings) == sorted(set(spellings)), code
        assert all(word == word.lower() for word in table)


def test_a_first_moment_that_the_zone_skips_is_the_first_after_the_gap():
    for now in (datetime(2027, 3, 28, 0, 30, tzinfo=UTC), datetime(2027, 3, 27, 12, tzinfo=UTC)):
        reading = todoist(row(DATE="every day at 02:30"), zone="Europe/Vienna", now=now)
        assert reading.tasks[0]["due_at"] == "2027-03-28T01:00:00Z"
    after = datetime(2027, 3, 28, 12, tzinfo=UTC)
    reading = todoist(row(DATE="every day at 02:30"), zone="Europe/Vienna", now=after)
    assert reading.tasks[0]["due_at"] == "2027-03-29T00:30:00Z"


@pytest.mark.parametrize(
    ("text", "language", "lost", "sentence"),
    [
        ("tomorrow", "en", "date", "date"),
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
        ("every 2 hours", "en", "recurrence", "hours"),
        ("after 5 hours", "en", "recurrence", "hours"),
        ("every full moon", "en", "recurrence", "way"),
        ("every day until tomorrow", "en", "recurrence", "way"),
        ("every day until 2026-11-25", "en", "recurrence", "way"),
        ("every month on monday", "en", "recurrence", "way"),
        ("every week on the 15th", "en", "recurrence", "way"),
        ("29 feb", "en", "date", "date"),
        ("every day for 3 weeks", "en", "recurrence", "way"),
        ("every! " + "1st, " * 20 + "2nd", "en", "recurrence", "way"),
        ("daily dose", "en", "recurrence", "way"),
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
        "hours": "repeats by the hour, which tasks cannot",
    }
    reading = todoist(row(DATE=text, DATE_LANG=language), zone="Europe/Vienna")
    assert extras(reading.tasks[0]) == {"metadata": {"todoist": {"date": text[:100]}}}
    assert kinds(reading) == [lost]
    assert text[:60] in reading.losses[0].detail
    kept = "its text is" if len(text) <= 100 else "its first 100 characters are"
    assert f"” {sentences[sentence]}; {kept} in the metadata as todoist.date." in reading.losses[0].detail


def test_the_text_of_a_date_is_kept_as_it_was_written():
    reading = todoist(row(DATE=" Every Full  Moon\tat Ten\n"))
    assert reading.tasks[0]["metadata"] == {"todoist": {"date": "Every Full  Moon\tat Ten"}}


@pytest.mark.parametrize("name", ["Nowhere/Land", "../../etc/passwd", "America", "x" * 5000])
def test_a_zone_that_is_not_known_is_reported(name: str):
    reading = todoist(row(DATE="2026-11-26 12:00", TIMEZONE=name), zone="Asia/Tokyo")
    assert extras(reading.tasks[0]) == {"due_at": "2026-11-26T03:00:00Z", "time_zone": "Asia/Tokyo"}
    assert kinds(reading) == ["time_zone"]


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        ({"RESPONSIBLE": "Ann (12)"}, {"responsible": "Ann (12)"}),
        ({"DURATION": "30", "DURATION_UNIT": "minute"}, {"duration": "30 minute"}),
        ({"DURATION": "None", "DURATION_UNIT": "None"}, None),
        ({"DATE": "2026-11-30", "DEADLINE": "2026-12-01", "DEADLINE_LANG": "en"}, {"deadline": "2026-12-01"}),
        ({"IS_COLLAPSED": "True"}, {"is_collapsed": True}),
        ({"IS_COLLAPSED": "False"}, None),
        ({"AUTHOR": "Ann (12)"}, {"author": "Ann (12)"}),
        ({"CONTENT": "* Read this"}, {"uncompletable": True}),
    ],
)
def test_what_has_no_place_is_kept_as_metadata(cells: dict[str, str], kept: dict[str, Any] | None):
    reading = todoist(row(**cells))
    assert reading.tasks[0].get("metadata", {}).get("todoist") == kept
    assert not reading.losses
    assert sum(in_metadata for _, in_metadata, _ in fates(reading).values()) == len(kept or {})


@pytest.mark.parametrize(
    ("cells", "lost"),
    [
        ({"TYPE": "label"}, "row"),
        ({"TYPE": ""}, "row"),
        ({"TYPE": "meta", "CONTENT": "view_style=board"}, "view"),
        ({"TYPE": "section", "IS_COLLAPSED": "true"}, "view"),
    ],
)
def test_what_is_of_no_task_is_reported(cells: dict[str, str], lost: str):
    reading = todoist(row(), row(**cells))
    assert kinds(reading)[-1:] == [lost]
    assert fates(reading)[lost] == (0, 0, 1)


def test_what_nobody_completes_has_no_star():
    (task,) = todoist(row("* Read this @first")).tasks
    assert (task["title"], task["tags"]) == ("Read this", ["first"])


def test_a_task_with_a_deadline_alone_is_due_then():
    reading = todoist(row(DEADLINE="1. Dez. 2026", DEADLINE_LANG="de"))
    assert extras(reading.tasks[0]) == {
        "due_date": "2026-12-01",
        "metadata": {"todoist": {"deadline": "1. Dez. 2026"}},
    }


def test_metadata_without_room_are_reported():
    long = "ü" * 1_000
    reading = todoist(row(AUTHOR=long, RESPONSIBLE=long, DEADLINE=long, DURATION=long, META=long, DATE="?"))
    kept = reading.tasks[0]["metadata"]["todoist"]
    assert set(kept) == {"date", "author", "responsible", "duration", "deadline"}
    assert kept["author"] == long
    assert [(loss.what, loss.detail) for loss in reading.losses[1:]] == [
        ("member", "The metadata have no room for its meta.")
    ]


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
        (None, "section"),
        (6, "section"),
        (6, "row"),
    ]
    assert [task.get("metadata") for task in reading.tasks] == [None, *[{"todoist": {"section": "s" * 60}}] * 2, None]
    assert fates(reading)["section"] == (1, 2, 1)


def test_who_wrote_a_note_and_when_is_kept_with_it():
    note = {"TYPE": "note", "CONTENT": "n", "AUTHOR": "Ann (12)", "DATE": "2018-06-08T07:02:05.000000Z"}
    reading = todoist(row("a"), note, note | {"DATE": ""})
    assert reading.tasks[0]["description"] == "Ann (12), 2018-06-08T07:02:05.000000Z:\nn\n\nAnn (12):\nn"
    assert not reading.losses


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
        (None, "section"),
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


CELLS = st.fixed_dictionaries(
    {"TYPE": st.sampled_from(["task", "task", "task", "note", "section", "meta", "x"])},
    optional={name: TEXT | st.integers(-2, 12).map(str) for name in COLUMNS[1:]},
)


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
    check_schedule(task, now=now)
    is_due = task.due_date is not None or task.due_at is not None
    assert "metadata" in members or not text.strip() or is_due
    if kinds(reading) == ["date"] and task.due_at:
        assert task.due_at > now
    if kinds(reading) == ["date"] and task.due_date:
        assert task.due_date >= now.astimezone(ZoneInfo(zone)).date()
    # A rule comes true on its first day, or would not have it as one.
    if task.recurrence and "BY" in task.recurrence and is_due:
        first = task.due_date or task.due_at.astimezone(ZoneInfo(zone)).date()  # type: ignore[union-attr]
        start = datetime(first.year, first.month, first.day)  # noqa: DTZ001 - a day
        assert rrulestr(task.recurrence, dtstart=start)[0] == start

"""Recurrence rules: what each part means, which rules are refused, and the same days as dateutil finds."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from time import process_time
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule as dateutil_rrule
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from taskward.tasks.schedule.recurrence import NeverFires, Occurrence, next_occurrence
from taskward.tasks.schedule.rrule import RuleError, parse_rule
from tests.costs import allowed
from tests.sizes import sized

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
KIRITIMATI = ZoneInfo("Pacific/Kiritimati")
PAGO_PAGO = ZoneInfo("Pacific/Pago_Pago")
APIA = ZoneInfo("Pacific/Apia")
ZONES = [BERLIN, NEW_YORK, KIRITIMATI, PAGO_PAGO, APIA, ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu")]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
LONG_AGO = datetime(1, 1, 5, tzinfo=UTC)
Due = date | datetime


def following(
    rule: str, due: Due, *, zone: ZoneInfo = BERLIN, now: datetime = LONG_AGO, from_completion: bool = False
) -> Occurrence | None:
    return next_occurrence(parse_rule(rule), due, zone, now=now, from_completion=from_completion)


def series(rule: str, due: Due, length: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """What follows when each task is completed before it is due, as clocks in the zone show it."""
    dues: list[str] = []
    while len(dues) < length:
        occurrence = following(rule, due, zone=zone)
        if occurrence is None:
            break
        due, rule = occurrence
        dues.append(f"{due.astimezone(zone):%Y-%m-%d %H:%M}" if isinstance(due, datetime) else due.isoformat())
    return dues


def local(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("rule", "due", "dues"),
    [
        ("FREQ=DAILY", "2024-02-28", ["2024-02-29", "2024-03-01"]),
        ("FREQ=DAILY;INTERVAL=10", "2026-12-25", ["2027-01-04", "2027-01-14"]),
        ("FREQ=DAILY;BYDAY=SA,SU", "2026-01-02", ["2026-01-03", "2026-01-04", "2026-01-10"]),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29", "2023-01-01", ["2024-02-29", "2028-02-29"]),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29", "1896-02-29", ["1904-02-29"]),
        ("FREQ=DAILY;INTERVAL=2;BYMONTHDAY=-1", "2026-01-01", ["2026-01-31", "2026-02-28", "2026-05-31"]),
        ("FREQ=WEEKLY", "2026-12-30", ["2027-01-06", "2027-01-13"]),
        ("FREQ=WEEKLY;BYMONTH=1", "2026-01-28", ["2027-01-06"]),
        # The fifth is a Tuesday, of a week that starts on the third or on the fourth.
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU", "1997-08-05", ["1997-08-10", "1997-08-19", "1997-08-24"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", "1997-08-05", ["1997-08-17", "1997-08-19", "1997-08-31"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE", "2026-01-04", ["2026-01-12", "2026-01-14", "2026-01-26"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;WKST=SU", "2026-01-04", ["2026-01-05", "2026-01-07", "2026-01-19"]),
        ("FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1", "2026-12-24", ["2026-12-25", "2027-01-01", "2027-01-08"]),
        # Monday is the first of its set though the series starts on Tuesday.
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE;BYSETPOS=2", "2026-01-06", ["2026-01-13"]),
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE;BYSETPOS=3", "2026-01-06", ["2026-01-07", "2026-01-14"]),
        # The week goes on after the year in which the search ends.
        ("FREQ=WEEKLY;BYDAY=MO,SU;BYSETPOS=-1;UNTIL=20261231", "2026-12-27", []),
        ("FREQ=MONTHLY", "2026-01-31", ["2026-03-31", "2026-05-31", "2026-07-31", "2026-08-31"]),
        ("FREQ=MONTHLY;INTERVAL=5", "2026-10-15", ["2027-03-15", "2027-08-15"]),
        ("FREQ=MONTHLY;BYMONTH=2,4", "2026-01-30", ["2026-04-30", "2027-04-30"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-01-01", ["2026-01-31", "2026-03-31"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2024-01-31", ["2024-02-29", "2024-03-31", "2024-04-30"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-31", "2026-01-02", ["2026-03-01", "2026-05-01"]),
        ("FREQ=MONTHLY;BYMONTHDAY=1,-1", "2026-01-31", ["2026-02-01", "2026-02-28", "2026-03-01"]),
        ("FREQ=MONTHLY;BYDAY=-1FR", "2026-01-01", ["2026-01-30", "2026-02-27", "2026-03-27"]),
        ("FREQ=MONTHLY;BYDAY=2TU", "2026-01-01", ["2026-01-13", "2026-02-10", "2026-03-10"]),
        ("FREQ=MONTHLY;BYDAY=+5MO", "2026-01-01", ["2026-03-30", "2026-06-29"]),
        ("FREQ=MONTHLY;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "2026-11-01", ["2026-11-03", "2026-12-08"]),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1997-09-02", ["1998-02-13", "1998-03-13", "1998-11-13"]),
        # Either of the two, where dateutil wants both.
        ("FREQ=MONTHLY;BYDAY=SU,2TU", "2026-01-05", ["2026-01-11", "2026-01-13", "2026-01-18"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-01-01", ["2026-01-30", "2026-02-27", "2026-03-31"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=2,-2", "1997-09-29", ["1997-10-02", "1997-10-30"]),
        ("FREQ=YEARLY", "2024-02-29", ["2028-02-29", "2032-02-29"]),
        ("FREQ=YEARLY;INTERVAL=2", "2025-07-01", ["2027-07-01", "2029-07-01"]),
        ("FREQ=YEARLY;INTERVAL=10", "2026-05-01", ["2036-05-01"]),
        ("FREQ=YEARLY;BYMONTH=1,6", "2026-03-15", ["2026-06-15", "2027-01-15"]),
        ("FREQ=YEARLY;BYMONTHDAY=30", "2026-01-30", ["2026-03-30", "2026-04-30"]),
        ("FREQ=YEARLY;BYDAY=20MO", "1997-05-19", ["1998-05-18", "1999-05-17"]),
        ("FREQ=YEARLY;BYDAY=-1SU", "2026-01-01", ["2026-12-27", "2027-12-26"]),
        ("FREQ=YEARLY;BYDAY=53FR", "2026-01-01", ["2027-12-31", "2032-12-31"]),
        ("FREQ=YEARLY;BYDAY=1SU;BYMONTH=4", "1987-04-05", ["1988-04-03", "1989-04-02"]),
        ("FREQ=YEARLY;BYDAY=TH;BYMONTH=3", "1997-03-27", ["1998-03-05", "1998-03-12"]),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1996-11-05", ["2000-11-07"]),
        ("FREQ=YEARLY;BYYEARDAY=1,100,200;INTERVAL=3", "1997-07-19", ["2000-01-01", "2000-04-09"]),
        ("FREQ=YEARLY;BYYEARDAY=-1", "2026-01-01", ["2026-12-31", "2027-12-31"]),
        ("FREQ=YEARLY;BYYEARDAY=366", "2021-01-01", ["2024-12-31", "2028-12-31"]),
        ("FREQ=YEARLY;BYYEARDAY=-366", "2021-01-01", ["2024-01-01", "2028-01-01"]),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12", ["1998-05-11", "1999-05-17"]),
        # The weekday is that of the start, where dateutil takes the whole week.
        ("FREQ=YEARLY;BYWEEKNO=20", "1997-05-12", ["1998-05-11", "1999-05-17"]),
        ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=WE,FR", "2019-01-01", ["2020-12-30", "2021-01-01", "2026-12-30"]),
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", "2024-01-01", ["2024-12-30", "2025-12-29", "2027-01-04"]),
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO;WKST=SU", "2024-01-01", ["2024-12-30", "2026-01-05"]),
        ("FREQ=YEARLY;BYWEEKNO=-1;BYDAY=SU", "2026-01-01", ["2027-01-03", "2028-01-02"]),
        ("FREQ=YEARLY;BYWEEKNO=20;BYMONTHDAY=15", "2026-01-01", ["2026-05-15", "2028-05-15"]),
        ("FREQ=YEARLY;BYDAY=MO;BYSETPOS=1,-1", "2026-01-05", ["2026-12-28", "2027-01-04"]),
    ],
)
def test_each_part(rule: str, due: str, dues: list[str]):
    assert series(rule, date.fromisoformat(due), max(len(dues), 1)) == dues


@pytest.mark.parametrize(("number", "weeks"), [("1", {1}), ("53", {53}), ("-1", {52, 53}), ("-53", {1}), ("52", {52})])
def test_weeks_are_those_of_the_iso_calendar_over_the_ends_of_years(number: str, weeks: set[int]):
    day, rule = date(1998, 1, 8), f"FREQ=YEARLY;BYWEEKNO={number};BYDAY={','.join(WEEKDAYS)}"
    while day.year < 2030:
        found = following(rule, day)
        assert found is not None
        assert isinstance(found.due, date)
        between = [day + timedelta(days) for days in range(1, (found.due - day).days)]
        long = {year for year in range(1998, 2042) if date(year, 12, 28).isocalendar().week == 53}
        matches = [
            when.isocalendar().week in weeks
            and (number != "-53" or when.isocalendar().year in long)
            and (number != "-1" or (when + timedelta(7)).isocalendar().year != when.isocalendar().year)
            for when in [*between, found.due]
        ]
        assert matches == [False] * len(between) + [True]
        day = found.due


@pytest.mark.parametrize(
    ("zone", "due", "dues"),
    [
        (BERLIN, "2026-03-27T09:00", ["2026-03-28 09:00", "2026-03-29 09:00", "2026-03-30 09:00"]),
        (BERLIN, "2026-10-24T09:00", ["2026-10-25 09:00", "2026-10-26 09:00"]),
        (NEW_YORK, "2026-03-07T09:00", ["2026-03-08 09:00", "2026-03-09 09:00"]),
        (NEW_YORK, "2026-10-31T09:00", ["2026-11-01 09:00", "2026-11-02 09:00"]),
        # The first instant after the gap.
        (BERLIN, "2026-03-28T02:30", ["2026-03-29 03:00"]),
        (NEW_YORK, "2026-03-07T02:30:00.5", ["2026-03-08 03:00"]),
        (KIRITIMATI, "2026-12-31T23:30", ["2027-01-01 23:30"]),
        (PAGO_PAGO, "2026-12-31T00:30", ["2027-01-01 00:30"]),
        # The zone had no thirtieth.
        (APIA, "2011-12-28T09:00", ["2011-12-29 09:00", "2011-12-31 09:00", "2012-01-01 09:00"]),
    ],
)
def test_wall_clock_time_stays(zone: ZoneInfo, due: str, dues: list[str]):
    assert series("FREQ=DAILY", local(due, zone), len(dues), zone) == dues


@pytest.mark.parametrize(
    ("zone", "due", "expected"),
    [
        (BERLIN, "2026-10-24T02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        (NEW_YORK, "2026-10-31T01:30", datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
        (BERLIN, "2026-03-28T02:30", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        (NEW_YORK, "2026-03-07T02:30", datetime(2026, 3, 8, 7, 0, tzinfo=UTC)),
    ],
)
def test_a_time_that_is_twice_is_the_first_and_one_that_is_skipped_is_the_end_of_the_gap(
    zone: ZoneInfo, due: str, expected: datetime
):
    occurrence = following("FREQ=DAILY", local(due, zone), zone=zone)
    assert occurrence is not None
    assert occurrence.due == expected
    assert isinstance(occurrence.due, datetime)
    assert occurrence.due.tzinfo is UTC


def test_what_falls_on_a_day_that_the_zone_skipped_is_a_day_later():
    due, now = local("2011-12-23T09:00", APIA), local("2011-12-31T08:59", APIA)
    expected = local("2011-12-31T09:00", APIA)
    assert following("FREQ=WEEKLY", due, zone=APIA, now=now) == (expected, "FREQ=WEEKLY")


def test_the_second_of_a_time_that_is_twice_is_followed_by_the_next_day():
    second = datetime(2026, 10, 25, 1, 30, 0, 250, tzinfo=UTC)
    assert following("FREQ=DAILY", second) == (datetime(2026, 10, 26, 1, 30, 0, 250, tzinfo=UTC), "FREQ=DAILY")


@pytest.mark.parametrize(
    ("rule", "due", "now", "expected"),
    [
        ("FREQ=DAILY", "2026-01-01", "2026-03-10T23:59", "2026-03-10"),
        ("FREQ=DAILY", "2026-03-10", "2026-03-10T00:00", "2026-03-11"),
        ("FREQ=DAILY;INTERVAL=3", "2026-01-01", "2026-03-10T12:00", "2026-03-11"),
        ("FREQ=WEEKLY;INTERVAL=2", "1985-01-01", "2026-03-10T12:00", "2026-03-17"),
        ("FREQ=MONTHLY", "2025-08-31", "2026-02-10T12:00", "2026-03-31"),
        ("FREQ=YEARLY;INTERVAL=10", "1926-05-01", "2026-05-02T12:00", "2036-05-01"),
        ("FREQ=DAILY", "2027-01-01", "2026-03-10T12:00", "2027-01-02"),
        ("FREQ=DAILY", "2026-01-01T09:00", "2026-03-10T08:59", "2026-03-10T09:00"),
        ("FREQ=DAILY", "2026-01-01T09:00", "2026-03-10T09:00", "2026-03-11T09:00"),
        ("FREQ=DAILY;INTERVAL=3", "2026-01-01T09:00", "2026-06-10T12:00", "2026-06-12T09:00"),
        # The fourth of a week that started in the old year.
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=4", "2025-12-25", "2026-01-01T12:00", "2026-01-01"),
        ("FREQ=MONTHLY;COUNT=5", "2026-01-31T09:00", "2026-07-31T12:00", "2026-08-31T09:00"),
    ],
)
def test_what_would_have_been_due_meanwhile_is_skipped(rule: str, due: str, now: str, expected: str):
    occurrence = following(rule, due_of(due), now=local(now))
    assert occurrence is not None
    assert occurrence.due == due_of(expected)


@pytest.mark.parametrize(
    ("rule", "due", "now", "expected"),
    [
        ("FREQ=DAILY;INTERVAL=3", "2026-01-01", "2026-06-10T00:00", "2026-06-13"),
        ("FREQ=DAILY;INTERVAL=3", "2026-01-01T09:00", "2026-06-10T23:59", "2026-06-13T09:00"),
        ("FREQ=DAILY", "2026-01-01T09:00", "2026-06-10T08:00", "2026-06-11T09:00"),
        ("FREQ=DAILY", "2026-01-01", "2026-06-10T08:00", "2026-06-11"),
        ("FREQ=WEEKLY", "2026-01-01", "2026-06-10T08:00", "2026-06-17"),
        ("FREQ=WEEKLY;BYDAY=MO", "2026-01-05", "2026-06-10T08:00", "2026-06-15"),
        ("FREQ=MONTHLY", "2026-01-05", "2026-05-31T08:00", "2026-07-31"),
        ("FREQ=YEARLY", "2025-01-05", "2026-05-31T08:00", "2027-05-31"),
        ("FREQ=YEARLY;BYWEEKNO=20", "2025-01-05", "2026-05-15T08:00", "2027-05-21"),
        ("FREQ=DAILY;INTERVAL=3", "2026-06-20", "2026-06-10T08:00", "2026-06-22"),
        ("FREQ=DAILY;INTERVAL=5", "2026-06-20T09:00", "2026-06-10T08:00", "2026-06-25T09:00"),
        ("FREQ=DAILY;INTERVAL=5;UNTIL=20260615", "2026-01-20", "2026-06-10T08:00", "2026-06-15"),
        ("FREQ=DAILY", "2026-01-20T02:30", "2026-03-28T08:00", "2026-03-29T03:00"),
    ],
)
def test_from_completion(rule: str, due: str, now: str, expected: str):
    occurrence = following(rule, due_of(due), now=local(now), from_completion=True)
    assert occurrence is not None
    assert occurrence.due == due_of(expected)


@pytest.mark.parametrize(
    ("zone", "now", "expected", "from_completion"),
    [
        (KIRITIMATI, "2026-06-09T10:00:00+00:00", "2026-06-10", False),
        (KIRITIMATI, "2026-06-09T09:59:59+00:00", "2026-06-09", False),
        (PAGO_PAGO, "2026-06-10T10:59:59+00:00", "2026-06-09", False),
        (PAGO_PAGO, "2026-06-10T20:00:00+09:00", "2026-06-10", False),
        (KIRITIMATI, "2026-06-09T10:00:00+00:00", "2026-06-11", True),
        (PAGO_PAGO, "2026-06-10T10:59:59+00:00", "2026-06-10", True),
    ],
)
def test_the_day_is_that_of_the_zone(zone: ZoneInfo, now: str, expected: str, from_completion: bool):
    moment = datetime.fromisoformat(now)
    occurrence = following("FREQ=DAILY", date(2026, 1, 1), zone=zone, now=moment, from_completion=from_completion)
    assert occurrence == (date.fromisoformat(expected), "FREQ=DAILY")


def test_count_goes_down_to_the_end():
    rule, due, texts = "freq=daily;Count=003;byday=mo,tu,we,th,fr,sa,su", date(2026, 1, 1), []
    while occurrence := following(rule, due):
        due, rule = occurrence
        texts.append(rule)
    assert due == date(2026, 1, 3)
    assert texts == [f"FREQ=DAILY;COUNT={left};BYDAY=MO,TU,WE,TH,FR,SA,SU" for left in (2, 1)]


@pytest.mark.parametrize(
    ("until", "zone", "due", "goes_on"),
    [
        ("20260110", BERLIN, "2026-01-09", True),
        ("20260109", BERLIN, "2026-01-09", False),
        ("20250109", BERLIN, "2026-01-09", False),
        ("20260110", BERLIN, "2026-01-09T23:59", True),
        ("20260109", BERLIN, "2026-01-09T00:00", False),
        ("20260110", KIRITIMATI, "2026-01-09T23:59", True),
        ("20260109", KIRITIMATI, "2026-01-09T01:00", False),
        ("20260110", PAGO_PAGO, "2026-01-09T23:59", True),
        ("20260110T080000Z", BERLIN, "2026-01-09T09:00", True),
        ("20260110T075959Z", BERLIN, "2026-01-09T09:00", False),
        ("20260110T080000Z", BERLIN, "2026-01-09T09:00:00.000001", False),
        # Of a due that is a day, the day that is written counts, wherever it is.
        ("20260109T235959Z", BERLIN, "2026-01-09", False),
        ("20260110T000000Z", BERLIN, "2026-01-09", True),
        ("20260109T235959Z", KIRITIMATI, "2026-01-09", False),
        ("20260110T000000Z", KIRITIMATI, "2026-01-09", True),
        ("20260110T000000Z", PAGO_PAGO, "2026-01-09", True),
        ("20260109T235959Z", PAGO_PAGO, "2026-01-09", False),
    ],
)
def test_until(until: str, zone: ZoneInfo, due: str, goes_on: bool):
    rule = f"FREQ=DAILY;UNTIL={until}"
    occurrence = following(rule, due_of(due, zone), zone=zone)
    assert occurrence == ((due_of(due.replace("-09", "-10"), zone), rule) if goes_on else None)


def test_until_ends_what_would_never_fire():
    assert following("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;UNTIL=20300101", date(2026, 1, 1)) is None
    assert following("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;UNTIL=20360101", date(2026, 1, 1)) is None
    with pytest.raises(NeverFires):
        following("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;UNTIL=20360102", date(2026, 1, 1))


@pytest.mark.parametrize(
    ("rule", "years"),
    [
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", 10),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=2", 10),
        ("FREQ=DAILY;BYDAY=MO;BYSETPOS=2", 10),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", 10),
        ("FREQ=WEEKLY;BYDAY=MO;BYSETPOS=-2", 10),
        ("FREQ=WEEKLY;INTERVAL=600", 10),
        ("FREQ=MONTHLY;BYDAY=6MO", 400),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=-30", 400),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTH=2", 400),
        ("FREQ=YEARLY;BYYEARDAY=1;BYMONTH=2", 400),
        ("FREQ=YEARLY;BYWEEKNO=30;BYMONTH=1", 400),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29", 1600),
    ],
)
@pytest.mark.parametrize("due", ["2026-01-05", "2026-01-05T09:00"])
def test_a_rule_that_never_fires_is_told_how_far_it_was_followed(rule: str, years: int, due: str):
    sentence = f"This rule never falls on a day within {years} years, the bound of {rule.partition(';')[0]}."
    with pytest.raises(NeverFires) as raised:
        following(rule, due_of(due), now=local("2026-01-05T09:00"))
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("rule", "due", "dues"),
    [
        ("FREQ=YEARLY;INTERVAL=15", "2026-05-01", ["2041-05-01", "2056-05-01"]),
        ("FREQ=YEARLY;INTERVAL=1000", "2026-05-01", ["3026-05-01"]),
        # Leap days every third year, every fifteenth and every hundredth one.
        ("FREQ=YEARLY;INTERVAL=3", "2024-02-29", ["2036-02-29", "2048-02-29"]),
        ("FREQ=YEARLY;INTERVAL=3;BYMONTH=2;BYMONTHDAY=29", "2025-01-01", ["2028-02-29", "2040-02-29"]),
        ("FREQ=YEARLY;INTERVAL=15", "2024-02-29", ["2084-02-29", "2144-02-29", "2204-02-29"]),
        ("FREQ=YEARLY;INTERVAL=100", "2000-02-29", ["2400-02-29"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU", "2004-02-29", ["2032-02-29"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "2072-02-29", ["2112-02-29"]),
        ("FREQ=MONTHLY;INTERVAL=1000", "2026-01-15", ["2109-05-15"]),
        ("FREQ=MONTHLY;INTERVAL=12", "2024-02-29", ["2028-02-29"]),
    ],
)
def test_seldom_is_not_never(rule: str, due: str, dues: list[str]):
    assert series(rule, date.fromisoformat(due), len(dues)) == dues


ENDS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59))),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=-23))),
    datetime(9999, 12, 30, 12, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=23))),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-23, minutes=-59))),
]


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize(
    "text",
    [
        "FREQ=DAILY",
        "FREQ=WEEKLY;WKST=SU;BYDAY=SU,MO;BYSETPOS=1",
        "FREQ=YEARLY;BYWEEKNO=-1,1;BYDAY=SA",
        "FREQ=DAILY;UNTIL=99991231T235959Z",
        "FREQ=DAILY;UNTIL=00010101T000000Z",
    ],
)
def test_the_ends_of_the_calendar(zone: ZoneInfo, text: str):
    rule = parse_rule(text)
    for due in (*ENDS, date.min, date.max):
        for now in ENDS:
            for from_completion in (False, True):
                try:
                    occurrence = next_occurrence(rule, due, zone, now=now, from_completion=from_completion)
                except NeverFires:
                    continue
                assert occurrence is None or is_later(occurrence.due, due)


def is_later(one: Due, other: Due) -> bool:
    if isinstance(one, datetime) and isinstance(other, datetime):
        return one > other
    return not isinstance(one, datetime) and not isinstance(other, datetime) and one > other


def test_the_calendar_begins():
    # The clocks of New York still showed the year before, which is taken for the first day.
    occurrence = following("FREQ=DAILY", datetime(1, 1, 1, 1, tzinfo=UTC), zone=NEW_YORK, now=ENDS[0])
    assert occurrence == (datetime(1, 1, 3, 1, tzinfo=UTC), "FREQ=DAILY")


def test_the_calendar_ends():
    assert following("FREQ=DAILY", date(9999, 12, 30)) == (date.max, "FREQ=DAILY")
    with pytest.raises(NeverFires):
        following("FREQ=DAILY", date.max)
    with pytest.raises(NeverFires):
        following("FREQ=DAILY", local("9999-12-30T20:00", PAGO_PAGO), zone=PAGO_PAGO)


def test_a_rule_is_kept_as_its_client_wrote_it_but_in_one_spelling():
    text = "wkst=su;byday=we,+2mo,-01Fr;interval=02;freq=Monthly"
    kept = "WKST=SU;BYDAY=WE,2MO,-1FR;INTERVAL=2;FREQ=MONTHLY"
    assert parse_rule(text).text == kept
    assert following(text, date(2026, 1, 1)) == (date(2026, 1, 7), kept)
    until = "FREQ=DAILY;BYMONTH=2,10;UNTIL=09991231T010203Z"
    assert parse_rule(until.replace("=2", "=+02").replace("+", "")).text == until


def test_until_is_understood():
    assert parse_rule("FREQ=DAILY;UNTIL=20281231").until == date(2028, 12, 31)
    assert parse_rule("FREQ=DAILY;UNTIL=20281231T235958z").until == datetime(2028, 12, 31, 23, 59, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;INTERVAL=1000;COUNT=1000000",
        "FREQ=YEARLY;BYMONTH=1,12;BYDAY=-53MO,53SU;BYYEARDAY=366,-366;BYMONTHDAY=31,-31;BYSETPOS=-366,366",
        "FREQ=YEARLY;BYWEEKNO=53,-53;BYDAY=MO;WKST=SA",
        "FREQ=MONTHLY;BYMONTH=2;BYSETPOS=1",
        "FREQ=WEEKLY;BYMONTH=2",
        "FREQ=DAILY;BYDAY=MO;BYMONTHDAY=1",
        f"FREQ=DAILY;COUNT=123;BYDAY={'MO,' * 157}MO",
    ],
)
def test_accepted(rule: str):
    assert parse_rule(rule).text == rule


@pytest.mark.parametrize(
    ("rule", "fragment"),
    [
        ("", "parts such as"),
        (";", "parts such as"),
        ("FREQ", "parts such as"),
        ("FREQ=", "parts such as"),
        ("=DAILY", "parts such as"),
        ("FREQ=DAILY;", "parts such as"),
        ("FREQ=DAILY;BYDAY=", "parts such as"),
        ("FREQ=DAILY;;COUNT=2", "parts such as"),
        ("RRULE:FREQ=DAILY", "without the RRULE:"),
        ("rrule:freq=daily", "without the RRULE:"),
        (f"FREQ=DAILY;COUNT=1234;BYDAY={'MO,' * 157}MO", "at most 500"),
        ("FREQ=DAILY ", "spaces"),
        ("FREQ=DAILY;\tCOUNT=2", "spaces"),
        ("FREQ=DAILY\n", "spaces"),
        ("FREQ=DAILY;COUNT=\u0663", "ASCII"),
        ("FREQ=DAILY;\u0131NTERVAL=2", "ASCII"),
        ("FREQ=DAILY\ud800", "ASCII"),
        ("FREQ=DAILY;BYHOUR=9", "BYHOUR"),
        ("FREQ=DAILY;BYMINUTE=9", "BYHOUR"),
        ("FREQ=DAILY;BYSECOND=9", "BYHOUR"),
        ("FREQ=DAILY;BYEASTER=0", "other parts than FREQ, INTERVAL"),
        ("FREQ=DAILY;X-PART=0", "other parts than FREQ, INTERVAL"),
        ("FREQ=DAILY\x00;COUNT=2", "FREQ of DAILY"),
        ("FREQ=HOURLY", "FREQ of DAILY"),
        ("FREQ=MINUTELY", "FREQ of DAILY"),
        ("FREQ=SECONDLY", "FREQ of DAILY"),
        ("FREQ=DAILY=2", "FREQ of DAILY"),
        ("INTERVAL=2", "have a FREQ."),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ twice"),
        ("FREQ=DAILY;BYDAY=MO;byday=TU", "BYDAY twice"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL a whole number from 1 to 1000."),
        ("FREQ=DAILY;INTERVAL=1001", "INTERVAL a whole number from 1 to 1000."),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL a whole number from 1 to 1000."),
        ("FREQ=DAILY;INTERVAL=+1", "INTERVAL a whole number from 1 to 1000."),
        ("FREQ=DAILY;INTERVAL=1_0", "INTERVAL a whole number from 1 to 1000."),
        ("FREQ=DAILY;INTERVAL=" + "9" * 480, "INTERVAL a whole number from 1 to 1000."),
        ("FREQ=DAILY;COUNT=0", "COUNT a whole number from 1 to 1000000."),
        ("FREQ=DAILY;COUNT=1000001", "COUNT a whole number from 1 to 1000000."),
        ("FREQ=DAILY;COUNT=2,3", "COUNT a whole number from 1 to 1000000."),
        ("FREQ=DAILY;COUNT=2;UNTIL=20261231", "both COUNT and UNTIL"),
        ("FREQ=DAILY;UNTIL=20261231T235959", "with a Z"),
        ("FREQ=DAILY;UNTIL=20260231", "as UNTIL a day"),
        ("FREQ=DAILY;UNTIL=00000101", "as UNTIL a day"),
        ("FREQ=DAILY;UNTIL=2026-12-31", "as UNTIL a day"),
        ("FREQ=DAILY;UNTIL=2026W101", "as UNTIL a day"),
        ("FREQ=DAILY;UNTIL=20261231T240000Z", "as UNTIL a day"),
        ("FREQ=DAILY;UNTIL=20261231T236000Z", "as UNTIL a day"),
        ("FREQ=DAILY;UNTIL=20261331T235959Z", "as UNTIL a day"),
        ("FREQ=DAILY;UNTIL=20261231T235959+0100", "as UNTIL a day"),
        ("FREQ=DAILY;BYMONTH=0", "BYMONTH numbers from 1 to 12,"),
        ("FREQ=DAILY;BYMONTH=13", "BYMONTH numbers from 1 to 12,"),
        ("FREQ=DAILY;BYMONTH=-1", "BYMONTH numbers from 1 to 12,"),
        ("FREQ=DAILY;BYMONTH=1,,2", "BYMONTH numbers from 1 to 12,"),
        ("FREQ=DAILY;BYMONTH=001", "BYMONTH numbers from 1 to 12,"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY numbers from 1 to 31 or from -31 to -1,"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY numbers from 1 to 31 or from -31 to -1,"),
        ("FREQ=MONTHLY;BYMONTHDAY=-32", "BYMONTHDAY numbers from 1 to 31 or from -31 to -1,"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,", "BYMONTHDAY numbers from 1 to 31 or from -31 to -1,"),
        ("FREQ=YEARLY;BYYEARDAY=367", "BYYEARDAY numbers from 1 to 366 or from -366 to -1,"),
        ("FREQ=YEARLY;BYYEARDAY=-0", "BYYEARDAY numbers from 1 to 366 or from -366 to -1,"),
        ("FREQ=YEARLY;BYWEEKNO=54", "BYWEEKNO numbers from 1 to 53 or from -53 to -1,"),
        ("FREQ=YEARLY;BYWEEKNO=--1", "BYWEEKNO numbers from 1 to 53 or from -53 to -1,"),
        ("FREQ=YEARLY;BYDAY=MO;BYSETPOS=367", "BYSETPOS numbers from 1 to 366 or from -366 to -1,"),
        ("FREQ=YEARLY;BYDAY=MO;BYSETPOS=0", "BYSETPOS numbers from 1 to 366 or from -366 to -1,"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY weekdays"),
        ("FREQ=MONTHLY;BYDAY=54MO", "BYDAY weekdays"),
        ("FREQ=MONTHLY;BYDAY=-54MO", "BYDAY weekdays"),
        ("FREQ=MONTHLY;BYDAY=MON", "BYDAY weekdays"),
        ("FREQ=MONTHLY;BYDAY=MO(1)", "BYDAY weekdays"),
        ("FREQ=MONTHLY;BYDAY=1", "BYDAY weekdays"),
        ("FREQ=MONTHLY;BYDAY=MO,,TU", "BYDAY weekdays"),
        ("FREQ=DAILY;WKST=1MO", "WKST a weekday"),
        ("FREQ=DAILY;WKST=MO,TU", "WKST a weekday"),
        ("FREQ=DAILY;BYDAY=1MO", "only with FREQ=MONTHLY or FREQ=YEARLY"),
        ("FREQ=WEEKLY;BYDAY=MO,-1TU", "only with FREQ=MONTHLY or FREQ=YEARLY"),
        ("FREQ=YEARLY;BYDAY=1MO;BYWEEKNO=2", "together with BYWEEKNO"),
        ("FREQ=MONTHLY;BYWEEKNO=2", "BYWEEKNO only with FREQ=YEARLY"),
        ("FREQ=DAILY;BYYEARDAY=2", "BYYEARDAY only with FREQ=YEARLY"),
        ("FREQ=WEEKLY;BYYEARDAY=2", "BYYEARDAY only with FREQ=YEARLY"),
        ("FREQ=MONTHLY;BYYEARDAY=2", "BYYEARDAY only with FREQ=YEARLY"),
        ("FREQ=WEEKLY;BYMONTHDAY=2", "BYMONTHDAY with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS only together"),
        ("FREQ=MONTHLY;BYSETPOS=1;WKST=MO;COUNT=2", "BYSETPOS only together"),
    ],
)
def test_refused(rule: str, fragment: str):
    with pytest.raises(RuleError) as refusal:
        parse_rule(rule)
    sentence = str(refusal.value)
    assert fragment in sentence
    assert sentence.startswith("This must ")
    assert sentence.endswith(".")


PIECES = st.sampled_from(
    [
        *WEEKDAYS, *"=;,+-:. 0129Zz\n\0", "FREQ=", "DAILY", "YEARLY", "UNTIL=", "COUNT=", "INTERVAL=", "BYDAY=",
        "WKST=", "BYWEEKNO=", "BYMONTH=", "BYMONTHDAY=", "BYYEARDAY=", "BYSETPOS=", "BYHOUR=", "20261231", "T235959",
        "\u0661", "\u0131", "\ud800", "²", "366",
    ]
)  # fmt: skip


@settings(max_examples=sized(100, 20_000), deadline=None, database=None)
@given(st.text() | st.lists(PIECES, max_size=40).map("".join) | st.text("FREQ=DAILY;BY0123,MOU-+", max_size=60))
@example("FREQ=DAILY;" * 1_000_000)
def test_nothing_but_a_refusal_is_raised(text: str):
    with suppress(RuleError):
        parse_rule(text)


LAST_YEAR_OF_DATEUTIL = 2046


@pytest.fixture(scope="module")
def other() -> Iterator[Callable[[str, datetime], Iterator[datetime]]]:
    """What dateutil finds, which looks for days up to the last year of a calendar that ends early here."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(dateutil_rrule, "datetime", SimpleNamespace(**{**vars(dt), "MAXYEAR": LAST_YEAR_OF_DATEUTIL}))
    yield lambda text, start: iter(dateutil_rrule.rrulestr(text, dtstart=start))
    monkeypatch.undo()


def signed(high: int) -> st.SearchStrategy[int]:
    return st.integers(1, high).flatmap(lambda number: st.sampled_from([number, -number]))


def listed(members: st.SearchStrategy[Any], most: int = 5) -> st.SearchStrategy[str]:
    return st.lists(members, min_size=1, max_size=most).map(lambda values: ",".join(map(str, values)))


# Only what dateutil reads as RFC 5545 has it: weeks that do not reach over the ends of years, and numbers before all
# weekdays or before none.
WEEK_NUMBERS = st.integers(2, 51).flatmap(lambda number: st.sampled_from([number, -number]))
EACH_WEEKDAY = listed(st.sampled_from(WEEKDAYS))
NUMBERED_WEEKDAYS = listed(st.tuples(signed(5), st.sampled_from(WEEKDAYS)).map(lambda pair: f"{pair[0]}{pair[1]}"))
PARTS = {
    "DAILY": {"BYMONTH", "BYMONTHDAY", "BYDAY"},
    "WEEKLY": {"BYMONTH", "BYDAY"},
    "MONTHLY": {"BYMONTH", "BYMONTHDAY", "BYDAY"},
    "YEARLY": {"BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY"},
}
LISTS = {
    "BYMONTH": listed(st.integers(1, 12)),
    "BYWEEKNO": listed(WEEK_NUMBERS),
    "BYYEARDAY": listed(signed(366)),
    "BYMONTHDAY": listed(signed(31)),
    "BYDAY": EACH_WEEKDAY,
}


@st.composite
def rules(draw: st.DrawFn) -> dict[str, str]:
    freq = draw(st.sampled_from(list(PARTS)))
    names = draw(st.lists(st.sampled_from(sorted(PARTS[freq])), unique=True, max_size=3))
    parts = {"FREQ": freq} | {name: draw(LISTS[name]) for name in names}
    if freq in {"MONTHLY", "YEARLY"} and "BYDAY" in names and "BYWEEKNO" not in names:
        parts["BYDAY"] = draw(EACH_WEEKDAY | NUMBERED_WEEKDAYS)
    if draw(st.booleans()) and names:
        parts["BYSETPOS"] = draw(listed(signed(5), 3))
    if draw(st.booleans()):
        parts["INTERVAL"] = str(draw(st.integers(1, 6)))
    if draw(st.booleans()):
        parts["WKST"] = draw(st.sampled_from(WEEKDAYS))
    return parts


def as_dateutil_reads_it(parts: dict[str, str], start: datetime) -> tuple[str, datetime]:
    """The rule and its start, so that dateutil takes the same: it begins a first week where the series starts, and
    takes a week by its number whole.
    """
    parts = dict(parts)
    if parts["FREQ"] == "WEEKLY" or ("BYWEEKNO" in parts and not parts.keys() & {"BYYEARDAY", "BYMONTHDAY"}):
        parts.setdefault("BYDAY", WEEKDAYS[start.weekday()])
    if parts["FREQ"] == "WEEKLY":
        start -= timedelta((start.weekday() - WEEKDAYS.index(parts.get("WKST", "MO"))) % 7)
    return text_of(parts), start


def text_of(parts: dict[str, str]) -> str:
    return ";".join(f"{name}={value}" for name, value in parts.items())


MOMENTS = st.datetimes(datetime(2019, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=sized(100, 10_000), deadline=None, database=None)
@given(
    parts=rules(),
    due=MOMENTS | MOMENTS.map(datetime.date),
    late=st.timedeltas(timedelta(-400), timedelta(1500)),
    zone=st.sampled_from(ZONES),
    from_completion=st.booleans(),
)
def test_dateutil_finds_the_same_day(
    other, *, parts: dict[str, str], due: Due, late: timedelta, zone: ZoneInfo, from_completion: bool
):
    moment = due if isinstance(due, datetime) else datetime.combine(due, time(12), UTC)
    now = moment + late
    today = now.astimezone(zone).date()
    wall = due.astimezone(zone).replace(tzinfo=None, fold=0) if isinstance(due, datetime) else None
    start = wall or datetime.combine(due, time())
    if from_completion:
        start = datetime.combine(today, start.time())

    def is_next(found: datetime) -> bool:
        if found.date() <= start.date() or not (today < found.date() or not from_completion):
            return False
        if isinstance(due, datetime):
            return found.replace(tzinfo=zone).astimezone(UTC) > max(due, now)
        return found.date() > due and found.date() >= today

    # It leaves out microseconds.
    text, their_start = as_dateutil_reads_it(parts, start)
    days = (found.replace(microsecond=start.microsecond) for found in other(text, their_start))
    expected = next(filter(is_next, days), None)
    # Days and weeks are followed less far than it does.
    far = expected is not None and (expected.date() - max(start.date(), today)).days >= 3650
    assume(not far or parts["FREQ"] in {"MONTHLY", "YEARLY"})
    # Of a time that the zone skips it knows nothing.
    assume(expected is None or not isinstance(due, datetime) or exists(expected.replace(tzinfo=zone)))
    try:
        occurrence = following(text_of(parts), due, zone=zone, now=now, from_completion=from_completion)
    except NeverFires:
        assert expected is None
        return
    assert occurrence is not None
    if expected is None:
        assert occurrence.due.year >= LAST_YEAR_OF_DATEUTIL
        return
    assert occurrence.due == (
        expected.replace(tzinfo=zone).astimezone(UTC) if isinstance(due, datetime) else expected.date()
    )


def exists(moment: datetime) -> bool:
    return moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) == moment.replace(tzinfo=None)


def filled(rule: str, members: list[str]) -> str:
    """With as many of the members as fit."""
    while members and len(rule) + len(members[0]) < 500:
        rule += members.pop(0) + ","
    return rule.rstrip(",")


MONTHS = ",".join(str(number) for number in range(1, 13))
MONTH_DAYS = ",".join(str(number) for number in [*range(1, 32), *range(-31, 0)])
WEEKS = ",".join(str(number) for number in [*range(1, 54), *range(-53, 0)])
ALL = ",".join(WEEKDAYS)
UP_TO_366 = [str(number) for number in range(2, 367)]
NUMBERED = [f"{number}{day}" for number in [*range(1, 6), *range(-5, 0)] for day in WEEKDAYS]
WORST = {
    "each day": "FREQ=DAILY",
    "no day": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "seldom": "FREQ=DAILY;INTERVAL=1000;BYDAY=MO,TU,WE,TH,FR,SA;BYMONTHDAY=31;BYMONTH=2",
    "days": filled(f"FREQ=DAILY;BYDAY={ALL};BYMONTH={MONTHS};BYMONTHDAY={MONTH_DAYS};BYSETPOS=", [*UP_TO_366]),
    "positions": filled(f"FREQ=DAILY;BYDAY={ALL};BYSETPOS=", [*UP_TO_366]),
    "weeks": f"FREQ=WEEKLY;WKST=SU;BYMONTH={MONTHS};BYDAY={ALL};BYSETPOS=8,-8",
    "months": filled(f"FREQ=MONTHLY;BYSETPOS=366;BYMONTH={MONTHS};BYMONTHDAY={MONTH_DAYS};BYDAY=", [*NUMBERED]),
    "numbered weekdays": filled("FREQ=MONTHLY;BYSETPOS=366;BYDAY=", [*NUMBERED]),
    "numbered in years": filled(
        "FREQ=YEARLY;BYSETPOS=-366;BYDAY=", [f"{number}{day}" for number in range(1, 54) for day in WEEKDAYS]
    ),
    "leap years": filled(f"FREQ=YEARLY;BYSETPOS=-366;INTERVAL=3;BYMONTH={MONTHS};BYDAY=", [*NUMBERED]),
    "year days": filled("FREQ=YEARLY;BYSETPOS=366;BYYEARDAY=", [*UP_TO_366]),
    "numbered weeks": f"FREQ=YEARLY;BYSETPOS=-366;BYDAY={ALL};BYWEEKNO={WEEKS}",
}


@pytest.fixture
def untraced() -> Iterator[None]:
    """Coverage multiplies the time."""
    trace = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(trace)


@pytest.mark.costs
@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("rule", WORST.values(), ids=list(WORST))
@pytest.mark.parametrize("due", ["0001-01-01", "1970-01-01", "1970-01-01T09:00", "2026-06-01T09:00", "9999-12-31"])
def test_it_is_found_in_20_milliseconds_of_the_processor(rule: str, due: str):
    def took(from_completion: bool) -> float:
        start = process_time()
        with suppress(NeverFires):
            following(rule, due_of(due), now=datetime(2026, 6, 1, 12, tzinfo=UTC), from_completion=from_completion)
        return process_time() - start

    assert min(took(False) for _ in range(5)) < allowed(0.02)
    assert min(took(True) for _ in range(5)) < allowed(0.02)


def due_of(text: str, zone: ZoneInfo = BERLIN) -> Due:
    return local(text, zone) if "T" in text else date.fromisoformat(text)

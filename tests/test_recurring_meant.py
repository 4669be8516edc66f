"""A series keeps the local time that was meant, over hours that a zone skips and over those that it has twice."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from dateutil import tz as dateutil_tz
from hypothesis import given, settings
from hypothesis import strategies as st

from taskward.tasks.row import TaskRow
from taskward.tasks.schedule.consistency import following
from taskward.tasks.schedule.local_time import kept_for, moment_of, wall_clock
from tests.sizes import sized
from tests.test_recurring_tasks import complete
from tests.test_recurring_tasks import following as next_of
from tests.users import NewUser, User

TASKS = "/api/v1/tasks"
LONG_AGO = datetime(1, 1, 5, tzinfo=UTC)
NO_ID = UUID(int=0)


def go_on(task: TaskRow) -> datetime:
    """Let a task be the next one of its series, and say when that is due."""
    found = following(task, now=LONG_AGO)
    assert found is not None
    (task.due_date, task.due_at, task.meant_at), task.recurrence = found
    assert task.due_at is not None
    return task.due_at


def dues(rule: str, first: str, zone: str, length: int, *, fold: int = 0) -> list[str]:
    """When the tasks of a series are due, each completed before it is, as clocks in the zone show it."""
    tz = ZoneInfo(zone)
    due = datetime.fromisoformat(first).replace(tzinfo=tz, fold=fold).astimezone(UTC)
    task = TaskRow.new(id=NO_ID, title="x", due_at=due, time_zone=zone, recurrence=rule)
    found = []
    for _ in range(length):
        wall = go_on(task).astimezone(tz)
        found.append(f"{wall:%Y-%m-%d %H:%M}{' again' * wall.fold}")
    return found


@pytest.mark.parametrize(
    ("zone", "rule", "first", "expected"),
    [
        ("America/Santiago", "FREQ=DAILY", "2027-09-04T00:00", ["2027-09-05 01:00", "2027-09-06 00:00"]),
        ("Africa/Cairo", "FREQ=DAILY", "2027-04-29T00:30", ["2027-04-30 01:00", "2027-05-01 00:30"]),
        ("America/Havana", "FREQ=DAILY", "2027-03-13T00:15", ["2027-03-14 01:00", "2027-03-15 00:15"]),
        ("Asia/Beirut", "FREQ=DAILY", "2027-03-27T00:00", ["2027-03-28 01:00", "2027-03-29 00:00"]),
        ("America/New_York", "FREQ=WEEKLY", "2027-03-07T02:30", ["2027-03-14 03:00", "2027-03-21 02:30"]),
        ("Australia/Lord_Howe", "FREQ=DAILY", "2027-10-02T02:10", ["2027-10-03 02:30", "2027-10-04 02:10"]),
        # The first instant after the gap is on the next day, and the series stays on Saturdays.
        ("America/Scoresbysund", "FREQ=WEEKLY", "2027-03-20T23:30", ["2027-03-28 00:00", "2027-04-03 23:30"]),
        ("America/Scoresbysund", "FREQ=DAILY", "2027-03-26T23:30", ["2027-03-28 00:00", "2027-03-28 23:30"]),
        # The zone had no thirtieth, which was a Friday.
        ("Pacific/Apia", "FREQ=WEEKLY", "2011-12-23T09:00", ["2011-12-31 09:00", "2012-01-06 09:00"]),
        ("Pacific/Apia", "FREQ=DAILY", "2011-12-29T09:00", ["2011-12-31 09:00", "2012-01-01 09:00"]),
    ],
)
def test_a_day_without_the_time_takes_the_end_of_the_gap_and_the_days_after_it_the_time(
    zone: str, rule: str, first: str, expected: list[str]
):
    assert dues(rule, first, zone, 2) == expected


def test_of_a_time_that_is_twice_the_one_that_was_written_is_meant_also_a_year_later():
    first = dues("FREQ=YEARLY;BYMONTH=11;BYDAY=1SU", "2026-11-01T01:30", "America/New_York", 2)
    second = dues("FREQ=YEARLY;BYMONTH=11;BYDAY=1SU", "2026-11-01T01:30", "America/New_York", 2, fold=1)
    assert first == ["2027-11-07 01:30", "2028-11-05 01:30"]
    assert second == [f"{one} again" for one in first]
    days = dues("FREQ=WEEKLY", "2026-11-01T01:30", "America/New_York", 53, fold=1)
    assert [one for one in days if one.endswith("again")] == ["2027-11-07 01:30 again"]
    assert {one[11:16] for one in days} == {"01:30"}


ZONES = ("America/Santiago", "Africa/Cairo", "America/Havana", "Asia/Beirut", "America/New_York", "Europe/Berlin")


@settings(max_examples=sized(25, 1_000), deadline=None, database=None)
@given(
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2019, 1, 1), datetime(2031, 1, 1)),  # noqa: DTZ001
    step=st.integers(1, 9),
)
def test_every_day_has_the_time_that_was_meant_or_none_has(zone: str, start: datetime, step: int):
    tz = ZoneInfo(zone)
    start = start.replace(microsecond=0, minute=start.minute // 15 * 15, second=0, hour=start.hour % 4)
    first = start.replace(tzinfo=tz).astimezone(UTC)
    meant = wall_clock(first, tz)
    task = TaskRow.new(id=NO_ID, title="x", due_at=first, time_zone=zone, recurrence=f"FREQ=DAILY;INTERVAL={step}")
    for number in range(1, 120):
        due = go_on(task)
        local = datetime.combine(meant.date() + timedelta(number * step), meant.time())
        # dateutil knows by itself what a zone skips.
        if dateutil_tz.datetime_exists(local, dateutil_tz.gettz(zone)):
            assert wall_clock(due, tz) == local
        else:
            before = due - timedelta(microseconds=1)
            assert before.astimezone(tz).utcoffset() != due.astimezone(tz).utcoffset()
            assert wall_clock(before, tz) < local < wall_clock(due, tz)


@settings(max_examples=sized(40, 2_000), deadline=None, database=None)
@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(date(1950, 1, 1), date(2060, 1, 1)),
    local=st.times().map(lambda one: one.replace(tzinfo=None)),
)
def test_days_take_a_time_in_their_order(zone: str, day: date, local: time):
    found = [moment_of(day + timedelta(number), local, ZoneInfo(zone)) for number in range(3)]
    assert all(one is not None and two is not None and one < two for one, two in pairwise(found))
    assert found[0] is not None
    kept = kept_for(found[0], ZoneInfo(zone), datetime.combine(day, local))
    assert kept is None or kept.startswith(day.isoformat())


async def gap_task(user: User) -> dict[str, Any]:
    """A task that is due at 01:00 where 00:00 is meant."""
    task = await user.create(due_at="2027-09-04T00:00:00-04:00", time_zone="America/Santiago", recurrence="FREQ=DAILY")
    made = await next_of(user, await complete(user, task))
    assert made["due_at"] == "2027-09-05T04:00:00.000000Z"
    return made


async def due_after(user: User, task: dict[str, Any]) -> str:
    return str((await next_of(user, await complete(user, task)))["due_at"])


MIDNIGHT, ONE = "2027-09-06T03:00:00.000000Z", "2027-09-06T04:00:00.000000Z"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "Other"}, MIDNIGHT),
        ({"recurrence": "FREQ=DAILY;COUNT=9"}, MIDNIGHT),
        ({"due_at": "2027-09-05T01:00:00-03:00"}, MIDNIGHT),
        ({"time_zone": "America/Santiago"}, MIDNIGHT),
        # What a client writes is what is meant: 01:30 there, and 06:00 in Berlin.
        ({"due_at": "2027-09-05T01:30:00-03:00"}, "2027-09-06T04:30:00.000000Z"),
        ({"time_zone": "Europe/Berlin"}, ONE),
        ({"due_at": "2027-09-04T01:00:00-04:00"}, "2027-09-05T04:00:00.000000Z"),
    ],
)
async def test_the_time_that_is_meant_is_that_which_was_written_last(
    alice: User, changes: dict[str, Any], expected: str
):
    made = await gap_task(alice)
    changed = await alice.http.patch(f"{TASKS}/{made['id']}", json=changes)
    assert changed.status_code == 200
    assert await due_after(alice, made) == expected


async def test_what_was_read_and_put_back_still_means_it(alice: User):
    made = await gap_task(alice)
    assert (await alice.http.put(f"{TASKS}/{made['id']}", json={**made, "title": "Put back"})).status_code == 200
    put = await alice.http.put(f"{TASKS}/{made['id']}", json={**made, "completed": True})
    assert (await next_of(alice, put))["due_at"] == MIDNIGHT


async def test_reopening_and_completing_in_a_batch_keep_it(alice: User):
    made = await gap_task(alice)
    operations = [{"op": "complete", "id": made["id"]} for _ in range(3)]
    results = (await alice.http.post(f"{TASKS}/batch", json={"operations": operations})).json()["results"]
    found = (await alice.http.get(f"{TASKS}/{results[-1]['next_id']}")).json()
    assert found["due_at"] == MIDNIGHT


async def test_an_export_has_it_and_an_import_keeps_it_where_the_zone_agrees(alice: User, new_user: NewUser):
    made = await gap_task(alice)
    export = (await alice.http.get("/api/v1/me/export")).text
    (line,) = [one for one in map(json.loads, export.splitlines()) if one.get("id") == made["id"]]
    assert line["meant_at"] == "2027-09-05T00:00:00"
    for written, expected in (("2027-09-05T00:00:00", MIDNIGHT), ("2027-09-05T02:00:00", ONE), ("x", ONE)):
        carol = await new_user("carol")
        body = json.dumps({**line, "meant_at": written})
        headers = {"Content-Type": "application/x-ndjson"}
        assert (await carol.http.post("/api/v1/me/import", content=body, headers=headers)).status_code == 200
        assert await due_after(carol, made) == expected


async def test_an_export_has_an_until_of_the_type_of_the_due(alice: User):
    for due, until in (
        ({"due_date": "2027-12-01"}, "20271203T000000Z"),
        ({"due_date": "2027-12-01"}, "20271203"),
        ({"due_at": "2027-12-01T12:00:00Z"}, "20271203T000000Z"),
        ({"due_at": "2027-12-01T12:00:00Z"}, "20271203"),
    ):
        rule = f"FREQ=DAILY;UNTIL={until}"
        await alice.create('"recurrence": "x', **due, time_zone="America/New_York", recurrence=rule, metadata={
            "recurrence": rule
        })  # fmt: skip
    export = (await alice.http.get("/api/v1/me/export")).text
    lines = [one for one in map(json.loads, export.splitlines()) if one["type"] == "task"]
    assert [line["recurrence"].partition("UNTIL=")[2] for line in lines] == [
        "20271203", "20271203", "20271203T000000Z", "20271204T045959Z",
    ]  # fmt: skip
    assert [line["metadata"]["recurrence"].partition("UNTIL=")[2] for line in lines] == [
        "20271203T000000Z", "20271203", "20271203T000000Z", "20271203",
    ]  # fmt: skip


async def test_an_until_at_midnight_keeps_the_last_day_west_of_greenwich(alice: User):
    task = await alice.create(
        due_date="2027-12-02", time_zone="America/New_York", recurrence="FREQ=DAILY;UNTIL=20271203T000000Z"
    )
    last = await next_of(alice, await complete(alice, task))
    assert last["due_date"] == "2027-12-03"
    assert "link" not in (await complete(alice, last)).headers

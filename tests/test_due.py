"""Dues: days that no zone shifts, instants that are the same everywhere, and what is overdue where."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.test_task_members import pointers
from tests.users import User

MOMENTS = (
    "due_before", "due_after", "due_on", "updated_since", "created_since", "completed_since", "completed_before",
)  # fmt: skip
TASKS = "/api/v1/tasks"
FIRST, LAST = "Pacific/Kiritimati", "Pacific/Pago_Pago"
EVERYWHERE = [FIRST, "UTC", LAST, "Asia/Kathmandu", "America/St_Johns"]


async def titles(user: User, **params: Any) -> list[str]:
    response = await user.http.get(TASKS, params={"sort": "due", "limit": 200, **params})
    assert response.status_code == 200, response.text
    return [task["title"] for task in response.json()]


async def refused(user: User, members: dict[str, Any]) -> list[str]:
    """What every way to write refuses of these members; nothing is written."""
    task = await user.create()
    path = f"{TASKS}/{task['id']}"
    said = [
        pointers(await user.http.post(TASKS, json={"title": "x", **members})),
        pointers(await user.http.patch(path, json={"title": "x", **members})),
        pointers(await user.http.put(path, json={"title": "x", **members})),
    ]
    assert said[1:] == said[:-1]
    assert (await user.http.get(path)).json() == task
    await user.http.delete(f"{path}?permanent=true")
    return said[0]


def today(zone: str) -> date:
    return datetime.now(ZoneInfo(zone)).date()


@pytest.mark.parametrize("zone", [None, *EVERYWHERE])
@pytest.mark.parametrize("day", ["2026-01-10", "2028-02-29", "2000-02-29", "2026-03-29", "0002-01-01", "9998-12-31"])
async def test_a_day_is_the_same_in_every_zone(alice: User, zone: str | None, day: str):
    task = await alice.create(due_date=day, time_zone=zone)
    path = f"{TASKS}/{task['id']}"
    assert (task["due_date"], task["due_at"], task["time_zone"]) == (day, None, zone)
    for other in EVERYWHERE:
        changed = (await alice.http.patch(path, json={"time_zone": other})).json()
        assert changed["due_date"] == day
        (listed,) = (await alice.http.get(TASKS, params={"tz": other, "sort": "due"})).json()
        assert listed == changed
    assert (await alice.http.put(path, json=(await alice.http.get(path)).json())).json()["due_date"] == day


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-01-12T08:00:00Z", "2026-01-12T08:00:00.000000Z"),
        ("2026-01-12t08:00:00z", "2026-01-12T08:00:00.000000Z"),
        ("2026-01-12T09:00:00+01:00", "2026-01-12T08:00:00.000000Z"),
        ("2026-01-12T22:00:00+14:00", "2026-01-12T08:00:00.000000Z"),
        ("2026-01-11T20:00:00-12:00", "2026-01-12T08:00:00.000000Z"),
        ("2026-01-12T13:45:00+05:45", "2026-01-12T08:00:00.000000Z"),
        ("2026-01-12T08:00:00-00:00", "2026-01-12T08:00:00.000000Z"),
        ("2026-01-12T08:00:00.5Z", "2026-01-12T08:00:00.500000Z"),
        ("2026-01-12T08:00:00.123456789Z", "2026-01-12T08:00:00.123456Z"),
        ("2028-02-29T23:59:59.999999Z", "2028-02-29T23:59:59.999999Z"),
        ("0002-01-01T00:00:00Z", "0002-01-01T00:00:00.000000Z"),
        ("9998-12-31T23:59:59.999999Z", "9998-12-31T23:59:59.999999Z"),
    ],
)
async def test_an_instant_is_kept_whatever_offset_it_was_written_with(alice: User, sent: str, kept: str):
    for zone in (FIRST, "Europe/Berlin"):
        task = await alice.create(due_at=sent, time_zone=zone)
        assert (task["due_at"], task["time_zone"], task["due_date"]) == (kept, zone, None)
        path = f"{TASKS}/{task['id']}"
        assert (await alice.http.patch(path, json={"time_zone": LAST})).json()["due_at"] == kept
        assert (await alice.http.put(path, json={"due_at": sent})).json()["due_at"] == kept


@pytest.mark.parametrize(
    "day",
    ["2027-02-29", "1900-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00", "2026-1-1", "20260110", "",
     "x", "2026-01-10T00:00:00Z", "2026-W02-6", "2026-010", " 2026-01-10", "2026-01-10\n", "+2026-01-10", "٢٠٢٦-01-10",
     "0000-01-01", "0001-01-01", "9999-12-31", "12026-01-10", "infinity", "today", 0, 20260110, True, [], {}],
)  # fmt: skip
async def test_what_is_no_day_is_refused(alice: User, day: object):
    assert await refused(alice, {"due_date": day}) == ["/due_date"]


@pytest.mark.parametrize(
    "instant",
    ["2026-01-12", "2026-01-12T08:00:00", "2026-01-12T08:00Z", "2026-01-12 08:00:00Z", "2026-01-12T24:00:00Z",
     "2026-01-12T08:60:00Z", "2027-02-29T08:00:00Z", "2026-01-12T08:00:00+24:00", "2026-01-12T08:00:00+0100",
     "2026-01-12T08:00:00.Z", "2026-01-12T08:00:00,5Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
     "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "infinity", "", "now", 0, 1768204800, 1.5,
     True, [], {}],
)  # fmt: skip
async def test_what_is_no_instant_is_refused(alice: User, instant: object):
    assert await refused(alice, {"due_at": instant, "time_zone": "UTC"}) == ["/due_at"]


@pytest.mark.parametrize(
    "zone",
    ["Europe/Atlantis", "europe/berlin", "CET+1", "+01:00", "Z", "", " UTC", "UTC ", "Europe/", "../UTC", "/etc/passwd",
     "localtime", "Factory", "posixrules", "UTC\0", "Europe/Berlin\n", 0, True, [], {}],
)  # fmt: skip
async def test_what_is_no_zone_is_refused(alice: User, zone: object):
    assert await refused(alice, {"time_zone": zone}) == ["/time_zone"]
    if isinstance(zone, str):
        assert pointers(await alice.http.get(TASKS, params={"tz": zone})) == ["/tz"]


async def test_a_due_is_a_day_or_an_instant_and_that_needs_a_zone(alice: User):
    instant = "2026-01-12T08:00:00Z"
    assert await refused(alice, {"due_at": instant}) == ["/time_zone"]
    assert await refused(alice, {"due_at": instant, "time_zone": None}) == ["/time_zone"]
    assert await refused(alice, {"due_at": instant, "time_zone": "UTC", "due_date": "2026-01-12"}) == ["/due_date"]
    assert await refused(alice, {"due_at": instant, "due_date": "2026-01-12"}) == ["/due_date", "/time_zone"]
    assert (await alice.create(time_zone="UTC"))["time_zone"] == "UTC"
    task = await alice.create(due_at=instant, time_zone="UTC")
    path = f"{TASKS}/{task['id']}"
    for verb in ("PATCH", "PUT"):
        assert pointers(await alice.http.request(verb, path, json={"due_date": "2026-01-12"})) == ["/due_date"]
        assert pointers(await alice.http.request(verb, path, json={"time_zone": None})) == ["/time_zone"]
    assert (await alice.http.get(path)).json() == task
    day = await alice.http.patch(path, json={"due_date": "2026-01-12", "due_at": None, "time_zone": None})
    assert (day.json()["due_date"], day.json()["due_at"], day.json()["time_zone"]) == ("2026-01-12", None, None)


async def test_a_day_is_overdue_when_it_has_ended_where_the_reader_is(alice: User):
    days = {zone: today(zone) for zone in (FIRST, "UTC", LAST)}
    # At every moment the first zone has begun a day that has not begun in the last.
    assert days[FIRST] > days[LAST]
    dues = {
        "first today": days[FIRST], "last today": days[LAST], "last eve": days[LAST] - timedelta(days=1),
        "utc eve": days["UTC"] - timedelta(days=1),
    }  # fmt: skip
    for title, day in dues.items():
        await alice.create(title, due_date=str(day))
    await alice.create("done", due_date="2026-01-10", completed=True)
    await alice.create("never")
    overdue = {zone: set(await titles(alice, overdue="true", tz=zone)) for zone in days}
    assert overdue == {zone: {title for title, due in dues.items() if due < day} for zone, day in days.items()}
    assert "last today" in overdue[FIRST] - overdue[LAST]
    assert "last eve" in overdue[LAST]
    assert "first today" not in overdue[FIRST]
    assert set(await titles(alice, overdue="true")) == overdue["UTC"]
    assert days == {zone: today(zone) for zone in days}, "midnight passed meanwhile"
    for zone in days:
        others = set(await titles(alice, overdue="false", tz=zone))
        assert others == {*dues, "done", "never"} - overdue[zone]


async def test_an_instant_is_overdue_when_it_has_passed_in_every_zone(alice: User):
    now = datetime.now(UTC)
    for title, due in [("past", now - timedelta(seconds=1)), ("soon", now + timedelta(hours=1))]:
        await alice.create(title, due_at=due.isoformat(), time_zone="UTC")
    for zone in EVERYWHERE:
        assert await titles(alice, overdue="true", tz=zone) == ["past"]
        assert await titles(alice, overdue="false", tz=zone) == ["soon"]
    (late,) = (await alice.http.get(TASKS, params={"overdue": "true"})).json()
    await alice.http.patch(f"{TASKS}/{late['id']}/complete")
    assert await titles(alice, overdue="true") == []


async def test_a_listing_that_depends_on_the_time_of_day_has_no_etag(alice: User):
    await alice.create()
    for value in ("true", "false"):
        answer = await alice.http.get(TASKS, params={"overdue": value}, headers={"If-None-Match": "*"})
        assert (answer.status_code, "etag" in answer.headers) == (200, False)
        assert answer.headers["cache-control"] == "no-store"


async def some_dues(user: User) -> None:
    """Around the tenth of January, by days and by instants."""
    for day in ("2026-01-09", "2026-01-10", "2026-01-11"):
        await user.create(day[-2:], due_date=day)
    for title, instant in [
        ("09T23:59", "2026-01-09T23:59:59.999999Z"), ("10T00", "2026-01-10T00:00:00Z"),
        ("10T12", "2026-01-10T12:00:00Z"),
        ("10T24", "2026-01-10T23:59:59.999999Z"), ("11T00", "2026-01-11T00:00:00Z"),
    ]:  # fmt: skip
        await user.create(title, due_at=instant, time_zone="Europe/Berlin")
    await user.create("none")


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"due_before": "2026-01-10"}, "09 09T23:59"),
        ({"due_after": "2026-01-10"}, "11T00 11"),
        ({"due_before": "2026-01-10T12:00:00Z"}, "09 09T23:59 10T00"),
        ({"due_after": "2026-01-10T12:00:00Z"}, "10 10T24 11T00 11"),
        ({"due_after": "2026-01-10T00:00:00Z", "due_before": "2026-01-11"}, "10T12 10 10T24"),
        ({"due_before": "2026-01-10T14:00:00+02:00"}, "09 09T23:59 10T00"),
        ({"due_before": "2026-01-10", "tz": FIRST}, "09"),
        ({"due_after": "2026-01-10", "tz": FIRST}, "10T12 10T24 11T00 11"),
        ({"due_before": "2026-01-10", "tz": LAST}, "09T23:59 10T00 09"),
        ({"due_after": "2026-01-09", "tz": LAST}, "10T12 10T24 11T00 10 11"),
        ({"due_before": "2026-01-10T12:00:00Z", "tz": FIRST}, "09 09T23:59 10T00 10"),
        ({"due_before": "2026-01-10T10:00:00Z", "tz": LAST}, "09T23:59 10T00"),
    ],
    ids=str,
)
async def test_ranges_are_by_day_or_by_time_and_a_day_counts_as_its_end(
    alice: User, params: dict[str, str], found: str
):
    await some_dues(alice)
    assert set(await titles(alice, **params)) == set(found.split())


@pytest.mark.parametrize(
    ("zone", "order"),
    [
        # The ends of the ninth and of the tenth are also instants of this listing, made later.
        ("UTC", "09,09T23:59 10T00 10T12 10,10T24 11T00 11"),
        (FIRST, "09 09T23:59 10T00 10 10T12 10T24 11T00 11"),
        (LAST, "09T23:59 10T00 09 10T12 10T24 11T00 10 11"),
    ],
)
async def test_days_and_instants_are_sorted_together_with_none_last_in_both_directions(
    alice: User, zone: str, order: str
):
    await some_dues(alice)
    groups = [group.split(",") for group in order.split()]
    up, down = list(chain(*groups)), list(chain(*reversed(groups)))
    assert await titles(alice, sort="due", tz=zone) == [*up, "none"]
    assert await titles(alice, sort="-due", tz=zone) == [*down, "none"]


@pytest.mark.parametrize("name", MOMENTS)
async def test_a_bound_is_a_day_or_a_time(alice: User, name: str):
    for value in (
        "2026-01-10",
        "2028-02-29",
        "2026-01-10T00:00:00Z",
        "2026-01-10T00:00:00 01:00",
        "0002-01-01",
        "9998-12-31",
    ):
        for zone in EVERYWHERE:
            assert (await alice.http.get(TASKS, params={name: value, "tz": zone})).status_code == 200, value
    for value in ("", "x", "2027-02-29", "0001-01-01", "9999-01-01", "2026-01-10T00:00:00", "today", "20260110", "\0"):
        assert pointers(await alice.http.get(TASKS, params={name: value})) == [f"/{name}"], value

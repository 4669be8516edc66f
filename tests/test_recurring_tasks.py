"""Tasks that recur, over HTTP: what is made when one is completed, and what is unmade when it is reopened."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from tests.test_task_members import WHOLE, make_list, pointers
from tests.users import NewUser, User

TASKS = "/api/v1/tasks"
BERLIN = ZoneInfo("Europe/Berlin")
DAILY: dict[str, Any] = {"recurrence": "FREQ=DAILY", "time_zone": "UTC"}
WAYS: dict[str, tuple[str, str, Any]] = {
    "PATCH": ("PATCH", "", {"completed": True}),
    "PUT": ("PUT", "", {"completed": True}),
    "toggle": ("PATCH", "/complete", None),
    "set": ("PATCH", "/complete", {"completed": True}),
}


def today(zone: str = "UTC") -> date:
    return datetime.now(ZoneInfo(zone)).date()


async def complete(user: User, task: dict[str, Any], way: str = "set", **members: Any) -> httpx2.Response:
    verb, sub, body = WAYS[way]
    path = f"{TASKS}/{task['id']}{sub}"
    response = await user.http.request(verb, path, json={**body, **members} if body else None)
    assert response.status_code == 200, response.text
    assert response.json()["completed"] is True
    return response


async def following(user: User, response: httpx2.Response) -> dict[str, Any]:
    link = response.headers["link"]
    assert link.startswith(f"<{TASKS}/")
    assert link.endswith('>; rel="next-occurrence"')
    read = await user.http.get(link[1 : link.index(">")])
    assert read.status_code == 200
    return read.json()  # type: ignore[no-any-return]


async def reopen(user: User, task: dict[str, Any]) -> httpx2.Response:
    response = await user.http.patch(f"{TASKS}/{task['id']}/complete", json={"completed": False})
    assert (response.status_code, response.json()["completed"]) == (200, False)
    assert "link" not in response.headers
    return response


async def count(user: User, **params: str) -> int:
    return len((await user.http.get(TASKS, params={"limit": "200", **params})).json())


@pytest.mark.parametrize("way", WAYS)
async def test_completing_keeps_the_task_and_makes_the_next_with_all_that_was_written(alice: User, way: str):
    due = datetime.now(UTC).replace(microsecond=123456) + timedelta(days=2)
    members = {
        **{name: value for name, value in WHOLE.items() if name != "completed"},
        "title": "Water the plants", "description": "All\tof them", "priority": "high", "tags": ["b", "a"],
        "due_at": due.isoformat().replace("+00:00", "Z"), "time_zone": "Asia/Kathmandu", "recurs_from": "due",
        "recurrence": "FREQ=DAILY;INTERVAL=3;COUNT=4", "list_id": await make_list(alice),
        "parent_id": (await alice.create("Parent"))["id"], "metadata": {"n": 1.0, "a": [{"b": "\u2028"}]},
    }  # fmt: skip
    task = await alice.create(**members)
    child = await alice.create("A part", parent_id=task["id"])
    await alice.http.post(f"{TASKS}/{task['id']}/move", json={"after": None})
    response = await complete(alice, task, way)
    done, made = response.json(), await following(alice, response)
    kept = task.keys() - {"completed", "completed_at", "version", "updated_at", "position"}
    assert {name: done[name] for name in kept} == {name: task[name] for name in kept}
    assert made["id"] > task["id"]
    assert made["position"] == done["position"]
    assert (made["completed"], made["completed_at"], made["deleted_at"]) == (False, None, None)
    assert made["recurrence"] == "FREQ=DAILY;INTERVAL=3;COUNT=3"
    assert datetime.fromisoformat(made["due_at"]) == due + timedelta(days=3)
    copied = members.keys() - {"due_at", "recurrence"}
    assert {name: made[name] for name in copied} == {name: members[name] for name in copied}
    assert made["version"] != done["version"]
    # Each row of a request takes a microsecond of its own.
    done_at, made_at = (datetime.fromisoformat(one["updated_at"]) for one in (done, made))
    assert made["created_at"] == made["updated_at"]
    assert made_at - done_at == timedelta(microseconds=made["version"] - done["version"])
    (copy,) = (await alice.http.get(TASKS, params={"parent_id": made["id"]})).json()
    assert (copy["title"], copy["completed"]) == ("A part", False)
    assert (await alice.http.get(f"{TASKS}/{child['id']}")).json() == child


async def test_what_the_completing_write_changes_is_what_goes_on(alice: User):
    task = await alice.create(due_date=str(today()), **DAILY)
    members = {"title": "Other", "recurrence": "FREQ=WEEKLY", "tags": ["x"], "metadata": {"a": 1}}
    made = await following(alice, await complete(alice, task, "PATCH", **members))
    assert {name: made[name] for name in members} == members
    assert made["due_date"] == str(today() + timedelta(days=7))
    ended = await complete(alice, made, "PUT", recurrence=None)
    assert "link" not in ended.headers


@pytest.mark.parametrize("way", ["PATCH", "PUT", "set"])
async def test_a_repeated_completion_makes_no_second(alice: User, way: str):
    task = await alice.create(due_date=str(today()), **DAILY)
    first = await complete(alice, task, way)
    again = await complete(alice, task, way)
    assert again.json()["completed_at"] == first.json()["completed_at"]
    assert await count(alice) == 2
    # Whoever did not hear the first answer learns of the next one from the second.
    assert again.headers["link"] == first.headers["link"]


async def test_two_completions_at_once_make_one_next(alice: User):
    for _ in range(10):
        task = await alice.create(due_date=str(today()), **DAILY)
        before = await count(alice)
        answers = await asyncio.gather(*(complete(alice, task, way) for way in ("PATCH", "PUT", "set")))
        assert len({answer.headers["link"] for answer in answers}) == 1
        assert await count(alice) == before + 1


async def test_creating_a_completed_task_makes_no_next(alice: User):
    await alice.create(due_date=str(today()), completed=True, **DAILY)
    assert await count(alice) == 1


async def test_reopening_takes_back_a_next_that_nobody_touched(alice: User):
    task = await alice.create(due_date=str(today()), **DAILY)
    for _ in range(3):
        made = await following(alice, await complete(alice, task))
        await reopen(alice, task)
        assert (await alice.http.get(f"{TASKS}/{made['id']}")).status_code == 404
        assert await count(alice) == 1
        assert await count(alice, deleted="true") == 0


TOUCHES: dict[str, tuple[str, str, Any]] = {
    "changed": ("PATCH", "", {"title": "Mine"}),
    "put back": ("PUT", "", {"title": "Mine"}),
    "moved": ("POST", "/move", {"after": None}),
    "completed": ("PATCH", "/complete", None),
    "trashed": ("DELETE", "", None),
}


@pytest.mark.parametrize("touch", sorted(TOUCHES.keys() - {"trashed"}))
async def test_reopening_keeps_a_next_that_was_touched_and_makes_no_other(alice: User, touch: str):
    task = await alice.create(due_date=str(today()), **DAILY)
    made = await following(alice, await complete(alice, task))
    verb, sub, body = TOUCHES[touch]
    await alice.http.request(verb, f"{TASKS}/{made['id']}{sub}", json=body)
    number = await count(alice)
    reopened = (await reopen(alice, task)).json()
    # The series goes on without it.
    assert (reopened["recurrence"], reopened["series_id"]) == (None, None)
    again = await complete(alice, task)
    assert again.json()["series_id"] == made["series_id"]
    assert await count(alice) == number
    if touch == "completed":
        assert "link" not in again.headers
    else:
        assert (await following(alice, again))["id"] == made["id"]


async def test_a_next_that_is_in_the_trash_is_made_anew_and_leaves_the_series_if_it_comes_back(alice: User):
    task = await alice.create(due_date="2026-01-10", **DAILY)
    first = await following(alice, await complete(alice, task))
    await alice.trash(first["id"])
    reopened = (await reopen(alice, task)).json()
    assert (reopened["recurrence"], reopened["series_id"]) == ("FREQ=DAILY", task["series_id"])
    second = await following(alice, await complete(alice, task))
    assert (second["id"] == first["id"], second["series_id"]) == (False, task["series_id"])
    assert [one["id"] for one in (await alice.http.get(TASKS, params={"deleted": "true"})).json()] == [first["id"]]
    restored = (await alice.http.post(f"{TASKS}/{first['id']}/restore")).json()
    assert (restored["recurrence"], restored["series_id"]) == (None, None)


@pytest.mark.parametrize("trashed", [False, True])
async def test_reopening_keeps_a_next_that_has_a_subtask(alice: User, trashed: bool):
    task = await alice.create(due_date=str(today()), **DAILY)
    made = await following(alice, await complete(alice, task))
    part = await alice.create("part", parent_id=made["id"])
    if trashed:
        await alice.trash(part["id"])
    await reopen(alice, task)
    assert (await alice.http.get(f"{TASKS}/{made['id']}")).json() == made


async def test_a_next_that_was_erased_is_made_anew(alice: User):
    task = await alice.create(due_date=str(today()), **DAILY)
    made = await following(alice, await complete(alice, task))
    await alice.http.delete(f"{TASKS}/{made['id']}?permanent=true")
    await reopen(alice, task)
    again = await following(alice, await complete(alice, task))
    assert again["id"] != made["id"]


async def test_the_last_that_has_the_rule_keeps_it_when_it_is_reopened(alice: User):
    first = await alice.create(due_date="2030-01-10", **DAILY)
    second = await following(alice, await complete(alice, first))
    third = await following(alice, await complete(alice, second))
    # It left its series, and is one of its past ones again, but without the rule.
    await reopen(alice, first)
    await complete(alice, first)
    await alice.trash(second["id"])
    await alice.http.delete(f"{TASKS}/{third['id']}?permanent=true")
    assert (await reopen(alice, first)).json()["series_id"] == first["series_id"]
    await alice.http.post(f"{TASKS}/{second['id']}/restore")
    reopened = (await reopen(alice, second)).json()
    assert reopened["recurrence"] == second["recurrence"]
    assert reopened["series_id"] not in {None, first["series_id"]}
    assert (await following(alice, await complete(alice, second)))["due_date"] == third["due_date"]


async def test_count_runs_down_to_the_end(alice: User):
    task = await alice.create(due_date=str(today()), time_zone="UTC", recurrence="FREQ=DAILY;COUNT=3")
    for left in (2, 1):
        task = await following(alice, await complete(alice, task))
        assert task["recurrence"] == f"FREQ=DAILY;COUNT={left}"
    assert "link" not in (await complete(alice, task)).headers
    assert await count(alice) == 3


async def test_until_ends_the_series(alice: User):
    until = today() + timedelta(days=1)
    rule = f"FREQ=DAILY;UNTIL={until:%Y%m%d}"
    task = await alice.create(due_date=str(today()), time_zone="UTC", recurrence=rule)
    task = await following(alice, await complete(alice, task))
    assert (task["due_date"], task["recurrence"]) == (str(until), rule)
    assert "link" not in (await complete(alice, task)).headers
    over = await alice.create(due_date="2026-01-10", time_zone="UTC", recurrence="FREQ=DAILY;UNTIL=20260120")
    assert "link" not in (await complete(alice, over)).headers


async def test_an_ended_series_answers_with_no_path_even_where_its_next_was_erased(alice: User):
    task = await alice.create(due_date=str(today()), **DAILY)
    made = await following(alice, await complete(alice, task))
    await alice.http.delete(f"{TASKS}/{made['id']}?permanent=true")
    await alice.http.patch(f"{TASKS}/{task['id']}", json={"completed": False, "recurrence": "FREQ=DAILY;COUNT=1"})
    assert "link" not in (await complete(alice, task)).headers


@pytest.mark.parametrize("recurs_from", ["due", "completion"])
async def test_months_late_what_was_missed_is_skipped(alice: User, recurs_from: str):
    due = today() - timedelta(days=100)
    rule = {"recurrence": "FREQ=DAILY;INTERVAL=7", "time_zone": "UTC", "recurs_from": recurs_from}
    day = await following(alice, await complete(alice, await alice.create(due_date=str(due), **rule)))
    # A day is late when it has ended, so that of today is still to come.
    expected = due + timedelta(days=105) if recurs_from == "due" else today() + timedelta(days=7)
    assert day["due_date"] == str(expected)
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(days=100, hours=-1)
    late = await alice.create(due_at=moment.isoformat(), **rule)
    at = datetime.fromisoformat((await following(alice, await complete(alice, late)))["due_at"])
    assert at.time() == moment.time()
    assert at > datetime.now(UTC)
    assert (at - moment).days == (105 if recurs_from == "due" else (at.date() - moment.date()).days)
    if recurs_from == "completion":
        assert at.date() == today() + timedelta(days=7)


def change_of_clocks(*, forward: bool) -> date:
    """The next Sunday on which clocks in Berlin change."""
    day = today("Europe/Berlin") + timedelta(days=2)
    while True:
        noons = [datetime(d.year, d.month, d.day, 12, tzinfo=BERLIN) for d in (day - timedelta(days=1), day)]
        gained = noons[1].utcoffset() - noons[0].utcoffset()  # type: ignore[operator]
        if gained == timedelta(hours=1 if forward else -1):
            return day
        day += timedelta(days=1)


@pytest.mark.parametrize("forward", [True, False])
async def test_nine_oclock_stays_nine_oclock_when_the_clocks_change(alice: User, forward: bool):
    day = change_of_clocks(forward=forward)
    eve = datetime(day.year, day.month, day.day, 9, tzinfo=BERLIN) - timedelta(days=1)
    task = await alice.create(due_at=eve.isoformat(), recurrence="FREQ=DAILY", time_zone="Europe/Berlin")
    made = await following(alice, await complete(alice, task))
    due = datetime.fromisoformat(made["due_at"])
    assert due.astimezone(BERLIN).isoformat()[:16] == f"{day}T09:00"
    assert due - eve.astimezone(UTC) == timedelta(hours=23 if forward else 25)
    # Elsewhere it is another hour by the clock, and the same one in that zone.
    abroad = await alice.create(due_at=eve.isoformat(), recurrence="FREQ=DAILY", time_zone="Asia/Tokyo")
    due = datetime.fromisoformat((await following(alice, await complete(alice, abroad)))["due_at"])
    assert due - eve.astimezone(UTC) == timedelta(hours=24)


@pytest.mark.parametrize("verb", ["POST", "PATCH", "PUT"])
async def test_rules_about_recurrence_are_named(alice: User, verb: str):
    task = await alice.create()
    path = TASKS if verb == "POST" else f"{TASKS}/{task['id']}"
    due = {"due_date": str(today())}
    broken: list[tuple[dict[str, Any], list[str]]] = [
        ({**due, "time_zone": "UTC", "recurrence": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, ["/recurrence"]),
        ({**due, "time_zone": "UTC", "recurrence": "FREQ=HOURLY"}, ["/recurrence"]),
        ({**due, "time_zone": "UTC", "recurrence": ""}, ["/recurrence"]),
        ({**due, "time_zone": "UTC", "recurrence": "RRULE:FREQ=DAILY"}, ["/recurrence"]),
        ({**due, "time_zone": "UTC", "recurrence": 1}, ["/recurrence"]),
        ({"time_zone": "UTC", "recurrence": "FREQ=DAILY"}, ["/recurrence"]),
        ({**due, "recurrence": "FREQ=DAILY"}, ["/time_zone"]),
        ({"recurrence": "FREQ=DAILY"}, ["/time_zone", "/recurrence"]),
        ({"recurs_from": "start"}, ["/recurs_from"]),
    ]
    for members, named in broken:
        response = await alice.http.request(verb, path, json={"title": "x", **members})
        assert pointers(response) == named, members
    assert (await alice.http.get(TASKS)).json() == [task]


@pytest.mark.parametrize("cleared", ["due_date", "time_zone"])
async def test_what_a_recurrence_needs_cannot_be_cleared_alone(alice: User, cleared: str):
    task = await alice.create(due_date=str(today()), **DAILY)
    path = f"{TASKS}/{task['id']}"
    named = {"due_date": ["/recurrence"], "time_zone": ["/time_zone"]}[cleared]
    assert pointers(await alice.http.patch(path, json={cleared: None})) == named
    assert (await alice.http.patch(path, json={cleared: None, "recurrence": None})).status_code == 200


async def test_a_task_of_ones_own_under_the_id_of_a_next_one_that_was_erased_stays(alice: User):
    task = await alice.create(due_date="2026-01-10", time_zone="UTC", recurrence="FREQ=DAILY")
    next_id = (await following(alice, await complete(alice, task)))["id"]
    assert (await alice.http.delete(f"{TASKS}/{next_id}", params={"permanent": "true"})).status_code == 204
    before = (await alice.http.get(f"{TASKS}/{task['id']}")).json()
    mine = await alice.create("Mine", id=next_id)
    assert (await alice.http.get(f"{TASKS}/{task['id']}")).json() == before
    await reopen(alice, task)
    assert (await alice.http.get(f"{TASKS}/{next_id}")).json() == mine
    assert (await following(alice, await complete(alice, task)))["id"] != next_id


async def test_a_next_one_in_the_trash_is_not_linked_to(alice: User):
    task = await alice.create(due_date="2026-01-10", time_zone="UTC", recurrence="FREQ=DAILY")
    next_id = (await following(alice, await complete(alice, task)))["id"]
    await alice.trash(next_id)
    assert "link" not in (await complete(alice, task)).headers
    assert await count(alice) == 1


async def test_a_next_one_that_was_changed_is_still_touched_after_an_import(alice: User, new_user: NewUser):
    task = await alice.create(due_date="2026-01-10", **DAILY)
    made = await following(alice, await complete(alice, task))
    await alice.http.patch(f"{TASKS}/{made['id']}", json={"title": "Mine"})
    untouched = await alice.create(due_date="2026-01-10", **DAILY)
    left = await following(alice, await complete(alice, untouched))
    done = await following(alice, await complete(alice, made))
    carol = await new_user("carol")
    export = (await alice.http.get("/api/v1/me/export")).content
    lines = {"Content-Type": "application/x-ndjson"}
    assert (await carol.http.post("/api/v1/me/import", content=export, headers=lines)).status_code == 200
    before = {one["id"] for one in (await carol.http.get(TASKS)).json()}
    for one in (task, made, untouched):
        await reopen(carol, one)
    # Whether nobody had touched it is not known any more, so nothing is removed.
    assert {one["id"] for one in (await carol.http.get(TASKS)).json()} == before
    assert (await carol.http.get(f"{TASKS}/{made['id']}")).json()["title"] == "Mine"
    assert before >= {left["id"], done["id"]}


async def test_a_next_one_that_was_completed_stays(alice: User):
    task = await alice.create(due_date="2026-01-10", **DAILY)
    made = await following(alice, await complete(alice, task))
    await complete(alice, made)
    await reopen(alice, task)
    assert (await alice.http.get(f"{TASKS}/{made['id']}")).json()["completed"] is True


async def test_the_occurrences_of_a_series_have_its_id_and_no_other_task_has_it(alice: User):
    first, other = [await alice.create(due_date=str(today()), **DAILY) for _ in range(2)]
    assert first["series_id"] not in {None, other["series_id"]}
    following_one = await following(alice, await complete(alice, first))
    third = await following(alice, await complete(alice, following_one, "PATCH", recurrence="FREQ=WEEKLY"))
    assert {one["series_id"] for one in (following_one, third)} == {first["series_id"]}
    plain = await alice.create()
    assert plain["series_id"] is None
    path = f"{TASKS}/{plain['id']}"
    begun = (await alice.http.patch(path, json={"due_date": str(today()), **DAILY})).json()["series_id"]
    assert begun not in {None, first["series_id"], other["series_id"]}
    ended = (await alice.http.patch(path, json={"recurrence": None})).json()
    assert (ended["recurrence"], ended["series_id"]) == (None, begun)


@pytest.mark.parametrize("verb", ["POST", "PATCH"])
async def test_nobody_writes_the_id_of_a_series_but_what_was_read_can_be_put_back(alice: User, verb: str):
    task = await alice.create(due_date=str(today()), **DAILY)
    path = TASKS if verb == "POST" else f"{TASKS}/{task['id']}"
    assert pointers(await alice.http.request(verb, path, json={"title": "x", "series_id": task["id"]})) == [
        "/series_id"
    ]
    put = await alice.http.put(f"{TASKS}/{task['id']}", json={**task, "series_id": task["id"]})
    assert put.json()["series_id"] == task["series_id"]

"""Filters by what a task does not have, by the day of its due, by when it was done, by several tags, by its series."""

from __future__ import annotations

from typing import Any

import pytest

from taskward.tasks.filters import TaskFilters
from tests.task_values import FILTERS, MEMBERS, OF_MEMBERS
from tests.users import User

TASKS = "/api/v1/tasks"


async def titles(user: User, **params: Any) -> set[str]:
    answer = await user.http.get(TASKS, params=params)
    assert answer.status_code == 200, answer.text
    return {task["title"] for task in answer.json()}


async def test_a_day_is_the_zones(alice: User, bob: User):
    await bob.create("his", due_date="2026-03-29")
    await alice.create("day", due_date="2026-03-29")
    await alice.create("next day", due_date="2026-03-30")
    # In Berlin the day has 23 hours, from 23:00 to 22:00 UTC.
    for title, moment in [
        ("just before", "2026-03-28T22:59:59.999999Z"), ("first", "2026-03-28T23:00:00Z"),
        ("last", "2026-03-29T21:59:59.999999Z"), ("just after", "2026-03-29T22:00:00Z"),
    ]:  # fmt: skip
        await alice.create(title, due_at=moment, time_zone="UTC")
    await alice.create("never")
    berlin = {"day", "first", "last"}
    assert await titles(alice, due_on="2026-03-29", tz="Europe/Berlin") == berlin
    assert await titles(alice, due_on="2026-03-29T12:00:00+02:00", tz="Europe/Berlin") == berlin
    assert await titles(alice, due_on="2026-03-29") == {"day", "last", "just after"}
    assert await titles(alice, due_on="2026-03-30") == {"next day"}
    assert await titles(alice, due="none") == {"never"}
    assert await titles(alice, due="none", due_on="2026-03-29") == set()


async def test_what_was_done_is_found_by_when(alice: User):
    await alice.create("open")
    times = []
    for title in ("a", "b", "c"):
        task = await alice.create(title)
        done = (await alice.http.patch(f"{TASKS}/{task['id']}/complete", json={"completed": True})).json()
        times.append(done["completed_at"])
    assert await titles(alice, completed_since=times[1]) == {"b", "c"}
    assert await titles(alice, completed_before=times[1]) == {"a"}
    assert await titles(alice, completed_since=times[0], completed_before=times[2]) == {"a", "b"}
    assert await titles(alice, completed_since="2000-01-01") == {"a", "b", "c"}
    assert await titles(alice, completed_before="2000-01-01") == set()
    task = await alice.create("again", completed=True)
    await alice.http.patch(f"{TASKS}/{task['id']}", json={"completed": False})
    assert await titles(alice, completed_since="2000-01-01") == {"a", "b", "c"}


async def test_any_all_or_no_tag(alice: User):
    for title, tags in {"ab": ["a", "b"], "b": ["b"], "c": ["c"], "none": ["none"], "bare": []}.items():
        await alice.create(title, tags=tags)
    assert await titles(alice, tag_any=["a", "c"]) == {"ab", "c"}
    assert await titles(alice, tag_any="b") == {"ab", "b"}
    assert await titles(alice, tag_any=["b", "c"], tag="a") == {"ab"}
    assert await titles(alice, tag="none") == {"bare"}
    assert await titles(alice, tag_any="none") == {"none"}, "a tag may have that name"
    assert await titles(alice, tag=["none", "none"]) == {"bare"}
    assert await titles(alice, tag=["none", "a"]) == set()
    assert await titles(alice, tag_any=["nobody's"]) == set()


async def test_a_series_is_all_its_occurrences_and_nobody_elses(alice: User, bob: User):
    rule = {"recurrence": "FREQ=DAILY", "due_date": "2026-03-29", "time_zone": "UTC"}
    for user in (alice, bob):
        await user.create("other", **rule)
        await user.create("single")
    first = await alice.create("mine", **rule)
    await alice.http.patch(f"{TASKS}/{first['id']}/complete", json={"completed": True})
    found = (await alice.http.get(TASKS, params={"series": first["series_id"]})).json()
    assert [(task["title"], task["completed"]) for task in found] == [("mine", False), ("mine", True)]
    assert {task["series_id"] for task in found} == {first["series_id"]}
    assert await titles(bob, series=first["series_id"]) == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("due", "any"), ("due", "2026-03-29"), ("due_on", "29.3."), ("completed_since", "x"), ("completed_before", ""),
        ("tag_any", ""), ("tag_any", ["a"] * 21), ("series", "none"), ("series", ""),
    ],
)  # fmt: skip
async def test_what_is_no_value_is_refused(alice: User, name: str, value: Any):
    answer = await alice.http.get(TASKS, params={name: value})
    assert answer.status_code == 422
    assert {error["pointer"].split("/")[1] for error in answer.json()["errors"]} == {name}


@pytest.mark.parametrize(
    ("query", "dear"),
    [
        (b"", False), (b"limit=50&completed=false", False), (b"limit=99", False), (b"tag=limit&cursor=Yq", False),
        (b"limit=100", True), (b"completed=true&limit=200", True), (b"sort=due", True), (b"a=1&q=x", True),
        (b"count=true", True), (b"%6cimit=200", True), (b"limit=0200", True), (b"limit=0099", False),
    ],
)  # fmt: skip
def test_a_listing_that_takes_long_is_known_by_its_query(query: bytes, dear: bool):
    assert (TaskFilters.dear.search(query) is not None) is dear


@pytest.mark.parametrize("name", sorted(FILTERS))
async def test_what_a_filter_may_not_be_is_refused(alice: User, name: str):
    assert FILTERS[name].bad
    for value in FILTERS[name].bad:
        answer = await alice.http.get(TASKS, params={name: value})
        assert answer.status_code == 422, value
        assert {error["pointer"].split("/")[1] for error in answer.json()["errors"]} == {name}


# Of a priority there may be several, and of one it is the task's.
@pytest.mark.parametrize("name", ["priority", *OF_MEMBERS])
async def test_a_filter_by_a_member_finds_the_tasks_that_have_the_value(alice: User, name: str):
    values = [value for value in MEMBERS[name].good if value is not None]
    made = {str(value): (await alice.create("x", **{name: value}))["id"] for value in values}
    await alice.create("with the usual value")
    for value, task_id in made.items():
        found = {task["id"]: task for task in (await alice.http.get(TASKS, params={name: value})).json()}
        assert task_id in found
        assert {str(task[name]) for task in found.values()} == {value}

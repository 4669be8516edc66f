"""What completing and reopening a recurring task do: the next one, the parts that it takes, and who leaves the series.

Ids of copies of parts are told in no answer. Until they are listed, such a row has an id of the oracle's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import httpx2

from tests.reference_request import TASK, TASKS, Ask
from tests.reference_series import following, instant
from tests.reference_trees import DEEPEST, UNTOLD, above, below, children, height, leave, others_open
from tests.reference_world import Row, User
from tests.task_values import DECLARED

_numbers = count(1)
_COPIED_PART = tuple(name for name, member in DECLARED.items() if member.copied == "always")
_COPIED = (*(name for name, member in DECLARED.items() if member.copied != "never"), "series_id", "_moved", "position")
NEW: Row = {
    **dict.fromkeys(("recurrence", "series_id", "completed_at", "deleted_at", "_next", "_root", "_moved")),
    "completed": False, "_made": (),
}  # fmt: skip


def completed(
    user: User,
    ask: Ask,
    answer: httpx2.Response,
    task: Row,
    *,
    said: int | None,
    done: bool,
    leaving: bool,
    renewed: bool,
) -> bool:
    """Note that a task was completed or reopened, and what this does to its series.

    Args:
        said: When it was completed, where the client has said so.
        leaving: Whether parts are left where they are.
        renewed: Whether it was given another rule with this.

    Returns:
        Whether there is an open one that follows it.
    """
    was = task["completed"]
    task["completed"] = done
    task["completed_at"] = (said or task["completed_at"] or user.changes) if done else None
    if done and not was:
        _complete(user, ask, answer, task, leaving=leaving)
    elif was and not done and task["series_id"] is not None:
        _reopen(user, ask, answer, task, renewed=renewed)
    found = user.tasks.get(task["_next"]) if done else None
    return found is not None and found["deleted_at"] is None and not found["completed"]


def _complete(user: User, ask: Ask, answer: httpx2.Response, task: Row, *, leaving: bool) -> None:
    before = _follower(user, task)
    due = None
    if task["recurrence"] is not None and (before is None or before["deleted_at"] is not None):
        due = following(task, answer.json()["completed_at"])
        if due is None:
            user.note(ask, "series ended")
    if due is None:
        found = user.tasks.get(task["_next"])
        if task["series_id"] is None and found is not None:
            task["series_id"] = found["series_id"]
        return
    told = re.fullmatch(rf'<{TASKS}/([-0-9a-f]+)>; rel="next-occurrence"', answer.headers["link"])
    assert told is not None
    made = user.new({**NEW, **{name: task[name] for name in _COPIED}, **due, "id": told[1]})
    user.tasks.add(made)
    task.update(_next=made["id"], _made=[made["id"]])
    user.note(ask, "next made")
    if not leaving:
        _take_parts(user, task, task, made, (_day(made) - _day(task)).days)
        if len(task["_made"]) > 1:
            user.note(ask, "parts copied")


def _take_parts(user: User, task: Row, from_: Row, to: Row, days: int) -> None:
    for part in sorted(children(user, from_["id"]), key=lambda one: (one["position"], one["id"])):
        if part["deleted_at"] is not None:
            continue
        if part["recurrence"] is not None:
            if not part["completed"]:
                user.touch(part)
                part.update(parent_id=to["id"], _moved=from_["id"])
            continue
        shifted = {"due_date": _later(part, days), "due_at": _later_at(part, days)}
        place = {"id": f"{UNTOLD}{next(_numbers):09}", "parent_id": to["id"], "position": part["position"]}
        copy = user.new({**NEW, **{name: part[name] for name in _COPIED_PART}, **shifted, **place})
        user.tasks.add(copy)
        task["_made"].append(copy["id"])
        user.untold.append(copy)
        _take_parts(user, task, part, copy, days)


def _reopen(user: User, ask: Ask, answer: httpx2.Response, task: Row, *, renewed: bool) -> None:
    follower = _follower(user, task)
    if follower is not None and _take_back(user, task, follower):
        user.note(ask, "next removed")
        return
    others = others_open(user, task)
    goes_on = follower is not None and follower["deleted_at"] is None
    if goes_on or others:
        is_last = not goes_on and not any(one["recurrence"] for one in others)
        leave(user, task, answer.json()["series_id"] if renewed or is_last else None)
        user.note(ask, "next kept")


def _take_back(user: User, task: Row, follower: Row) -> bool:
    made, moved = [follower], list[Row]()
    for one in made:
        for part in children(user, one["id"]):
            (made if part["_moved"] is None else moved).append(part)
    is_open = all(one["deleted_at"] is None and not one["completed"] for one in made)
    untouched = all(one["_at"] == one["created_at"] for one in made)
    if not (is_open and untouched and {one["id"] for one in made} == set(task["_made"])):
        return False
    places = [_place_before(user, part, task) for part in moved]
    if None in places:
        return False
    for part, place in zip(moved, places, strict=True):
        user.touch(part)
        part.update(parent_id=place, _moved=None)
    for one in reversed(made):
        del user.tasks[one["id"]]
    task["_made"] = ()
    return True


def _place_before(user: User, part: Row, task: Row) -> str | None:
    known = {task["id"], *(one["id"] for one in below(user, task["id"]) if one["deleted_at"] is None)}
    for place in (part["_moved"], task["id"]):
        there = [*above(user, place)] if place in known else [part["id"]]
        if part["id"] not in there and len(there) + height(user, part["id"]) <= DEEPEST:
            return str(place)
    return None


def _follower(user: User, task: Row) -> Row | None:
    found = user.tasks.get(task["_next"])
    same = found is not None and task["series_id"] is not None and found["series_id"] == task["series_id"]
    return found if same else None


def _day(task: Row) -> date:
    if task["due_at"] is None:
        return date.fromisoformat(task["due_date"])
    return datetime.fromisoformat(task["due_at"]).astimezone(ZoneInfo(task["time_zone"])).date()


def _later(part: Row, days: int) -> str | None:
    return part["due_date"] and (date.fromisoformat(part["due_date"]) + timedelta(days)).isoformat()


def _later_at(part: Row, days: int) -> str | None:
    if part["due_at"] is None:
        return None
    zone = ZoneInfo(part["time_zone"])
    local = datetime.fromisoformat(part["due_at"]).astimezone(zone).replace(tzinfo=None)
    return instant((local + timedelta(days)).replace(tzinfo=zone))


def to_learn(user: User) -> Iterator[Ask]:
    """What to ask so that no row has an id of the oracle's own; `learn` takes each answer before the next is asked."""
    while user.untold:
        row = user.untold[0]
        if row["series_id"] == UNTOLD:
            yield Ask("GET", TASK, row["id"])
        else:
            params = {"parent_id": row["parent_id"], "limit": "200", "sort": "position,id"}
            yield Ask("GET", TASKS, params=params)


def learn(user: User, ask: Ask, answer: httpx2.Response) -> None:
    """Take ids from an answer."""
    assert answer.status_code == 200, answer.text
    found: Any = answer.json()
    if ask.path == TASK:
        row = user.untold.pop(0)
        leave(user, {**row, "series_id": None}, found["series_id"])
        row["series_id"] = found["series_id"]
        return
    beside = [one for one in user.untold if one["parent_id"] == ask.params["parent_id"] and one["series_id"] is None]
    new = [one for one in found if one["id"] not in user.tasks]
    for row, told in zip(sorted(beside, key=lambda one: (one["position"], one["id"])), new, strict=True):
        user.untold.remove(row)
        user.tasks.rename(row["id"], told["id"])

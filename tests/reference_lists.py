"""What the routes of lists must answer, and what the end of a list does to tasks."""

from __future__ import annotations

import re
from typing import Any

import httpx2

from tests.reference_request import LISTS, Ask
from tests.reference_trees import above, below, trash
from tests.reference_world import Row, User


def in_order(user: User) -> list[Row]:
    return sorted(user.lists.values(), key=lambda one: (one["position"], one["id"]))


def understood(body: Row) -> Row:
    """The members that a body sets, as they are kept."""
    kept: dict[str, Any] = {"id": str.lower, "name": str.strip, "color": str.lower}
    return {name: body[name] and keep(body[name]) for name, keep in kept.items() if name in body}


def listing(user: User, ask: Ask, answer: httpx2.Response) -> None:
    if user.collection(ask, answer):
        found, known = answer.json(), in_order(user)
        assert len(found) == len(known)
        for row, one in zip(found, known, strict=True):
            inside = [task for task in user.tasks.values() if task["list_id"] == one["id"] and not task["deleted_at"]]
            done = sum(task["completed"] for task in inside)
            assert (row.pop("open_tasks"), row.pop("done_tasks")) == (len(inside) - done, done)
            user.same(row, one)


def create(user: User, ask: Ask, answer: httpx2.Response) -> None:
    sent = understood(ask.body)
    if sent.get("id") in user.lists:
        user.problem(ask, answer, 409)
        return
    assert answer.status_code == 201, answer.text
    user.change()
    one = user.new({"color": None, "id": answer.json()["id"], **sent})
    user.lists.add(one)
    user.entity(answer, one, status=201)
    assert answer.headers["location"] == f"{LISTS}/{one['id']}"


def update(user: User, ask: Ask, answer: httpx2.Response) -> None:
    one = user.find(ask, answer)
    if one is None:
        return
    changes = understood(ask.body)
    if changes:
        user.change(one)
        one.update(changes)
    user.entity(answer, one)


def move(user: User, ask: Ask, answer: httpx2.Response) -> None:
    one = user.find(ask, answer)
    if one is None:
        return
    others = [other for other in in_order(user) if other is not one]
    order = [other["id"] for other in others]
    after = (ask.body.get("after") or "").lower() or None
    if after is not None and after not in order:
        user.unknown(ask, answer, "/after")
        return
    place = 0 if after is None else order.index(after) + 1
    user.change(one)
    one["position"] = found = answer.json()["position"]
    assert re.fullmatch("[-0-9a-z]{1,48}", found)
    assert all(other["position"] < found for other in others[:place])
    assert all(other["position"] > found for other in others[place:])
    user.entity(answer, one)


def delete(user: User, ask: Ask, answer: httpx2.Response) -> None:
    one = user.find(ask, answer)
    if one is None:
        return
    inside = [task for task in user.tasks.values() if task["list_id"] == one["id"]]
    live = [task for task in inside if task["deleted_at"] is None]
    todo = ask.params.get("tasks")
    if live and todo is None:
        user.invalid(ask, answer, "/tasks")
        return
    assert (answer.status_code, answer.content) == (204, b"")
    if live and todo == "trash":
        trash(user, _trees(user, live))
    else:
        user.change()
    user.touch(*inside)
    for task in inside:
        task.update(list_id=None, position=task["id"])
    del user.lists[one["id"]]
    if live:
        user.note(ask, f"with tasks to {todo}")


def _trees(user: User, tasks: list[Row]) -> list[tuple[Row, str]]:
    """Live tasks and the live ones below them, each with the topmost of these tasks that it is below of."""
    ids = {task["id"] for task in tasks}
    whole = {one["id"]: one for task in tasks for one in (task, *below(user, task["id"])) if one["deleted_at"] is None}
    return [(task, [one for one in above(user, task["id"]) if one in ids][-1]) for task in whole.values()]

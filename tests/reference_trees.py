"""Tasks below and beside others: where one may be put, and what goes to the trash, comes back and is erased with it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2

from taskward.kit.ordering import spread
from tests.reference_request import Ask
from tests.reference_world import Row, User

DEEPEST = 8
UNTOLD = "told by no answer "
"""Begins the id of what no answer has told yet."""


def children(user: User, task_id: str) -> list[Row]:
    return [task for task in user.tasks.values() if task["parent_id"] == task_id]


def below(user: User, task_id: str) -> Iterator[Row]:
    """All that is below a task, in any state."""
    for child in children(user, task_id):
        yield child
        yield from below(user, child["id"])


def above(user: User, task_id: str | None) -> Iterator[str]:
    """A task and all that it is a part of."""
    while task_id is not None:
        yield task_id
        task_id = user.tasks[task_id]["parent_id"]


def height(user: User, task_id: str) -> int:
    return 1 + max((height(user, child["id"]) for child in children(user, task_id)), default=0)


def is_live(user: User, task_id: str) -> bool:
    return task_id in user.tasks and user.tasks[task_id]["deleted_at"] is None


def beside_each_other(one: Row, other: Row) -> bool:
    place = "list_id" if one["parent_id"] is None else "parent_id"
    return bool(one["id"] != other["id"] and one["parent_id"] == other["parent_id"] and one[place] == other[place])


def siblings(user: User, task: Row) -> list[Row]:
    """The other live tasks where a task is, in their order."""
    found = [one for one in user.tasks.values() if one["deleted_at"] is None and beside_each_other(one, task)]
    return sorted(found, key=lambda other: (other["position"], other["id"]))


def refused(user: User, ask: Ask, answer: httpx2.Response, task: Row, changes: Row) -> bool:
    """Whether a task cannot be put where it shall be, which the answer must tell then.

    What is not the caller's is told of in the same words as what is not there.

    Args:
        task: As it is, or of a new one what no member says.
    """
    list_id, parent_id = changes.get("list_id"), changes.get("parent_id")
    if list_id not in {None, task["list_id"]} and list_id not in user.lists:
        user.unknown(ask, answer, "/list_id")
    elif parent_id in {None, task["parent_id"]}:
        return False
    elif not is_live(user, parent_id):
        user.unknown(ask, answer, "/parent_id")
    elif task["id"] in above(user, parent_id):
        user.problem(ask, answer, 409, slug="cycle")
        user.note(ask, "cycle")
    elif len([*above(user, parent_id)]) + height(user, task["id"]) > DEEPEST:
        user.invalid(ask, answer, "/parent_id")
        user.note(ask, "too deep")
    else:
        return False
    return True


def put(user: User, task: Row, changes: Row) -> None:
    """Change members; in another place, a task stands where it was made. Parts go along to another list."""
    if changes.get("list_id", task["list_id"]) != task["list_id"]:
        for part in below(user, task["id"]):
            if part["list_id"] == task["list_id"]:
                user.touch(part)
                part["list_id"] = changes["list_id"]
    if changes.get("parent_id", task["parent_id"]) != task["parent_id"]:
        task["_moved"] = None
    if any(name in changes and changes[name] != task[name] for name in ("list_id", "parent_id")):
        task["position"] = task["id"]
    task.update(changes)


def move(user: User, ask: Ask, answer: httpx2.Response) -> None:
    task = user.find(ask, answer)
    changes = {name: ask.body[name] and ask.body[name].lower() for name in ("list_id", "parent_id") if name in ask.body}
    if task is None or refused(user, ask, answer, task, changes):
        return
    beside = siblings(user, {**task, **changes})
    order = [other["id"] for other in beside]
    after = (ask.body.get("after") or "").lower() or None
    if after is not None and after not in order:
        user.unknown(ask, answer, "/after")
        return
    place = 0 if after is None else order.index(after) + 1
    before, beyond = beside[place - 1 : place], beside[place : place + 1]
    user.change(task)
    put(user, task, changes)
    task["position"] = found = answer.json()["position"]
    _make_room(user, ask, task, after)
    assert task["position"] == found
    assert re.fullmatch("[-0-9a-z]{1,48}", found)
    assert all(other["position"] < found for other in before)
    assert all(other["position"] > found for other in beyond)
    # Nor is it that of one in the trash, which may come back.
    assert all(other["position"] != found for other in user.tasks.values() if beside_each_other(other, task))
    if before and beyond:
        user.note(ask, "between")
    user.entity(answer, task)


def _make_room(user: User, ask: Ask, task: Row, after: str | None) -> None:
    """Space all anew that are beside a task, those in the trash as well, where it comes between two that have the same
    position, as a done task and the next of its series have.
    """
    others = [one for one in user.tasks.values() if beside_each_other(one, task)]
    others.sort(key=lambda one: (one["position"], one["id"]))
    place = next((index for index, one in enumerate(others, 1) if one["id"] == after), 0)
    if 0 < place < len(others) and others[place - 1]["position"] == others[place]["position"]:
        others.insert(place, task)
        for one, position in zip(others, spread(len(others)), strict=True):
            user.touch(one)
            one["position"] = position
        user.note(ask, "spaced anew")


def delete(user: User, ask: Ask, answer: httpx2.Response) -> None:
    permanent = ask.params.get("permanent") == "true"
    task = user.find(ask, answer, trashed=permanent)
    if task is None:
        return
    assert (answer.status_code, answer.content) == (204, b"")
    tree = [*below(user, task["id"]), task]
    if permanent:
        user.change()
        for one in tree:
            del user.tasks[one["id"]]
    else:
        trash(user, [(one, task["id"]) for one in tree if one["deleted_at"] is None])
    if len(tree) > 1:
        user.note(ask, "tree erased" if permanent else "tree trashed")


def empty_trash(user: User, ask: Ask, answer: httpx2.Response) -> None:
    if ask.params != {"deleted": "true"}:
        user.problem(ask, answer, 422)
        return
    assert (answer.status_code, answer.content) == (204, b"")
    gone = [task_id for task_id, task in user.tasks.items() if task["deleted_at"] is not None]
    if gone:
        user.change()
        user.note(ask, "emptied")
    for task_id in gone:
        del user.tasks[task_id]


def clear_completed(user: User, ask: Ask, answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.content) == (204, b"")
    list_id = ask.params.get("list_id", "")
    trashed: dict[str, tuple[Row, str]] = {}
    for task in sorted(user.tasks.values(), key=lambda one: str(one["id"])):
        tree = [one for one in (task, *below(user, task["id"])) if one["deleted_at"] is None]
        is_in = not list_id or task["list_id"] == (None if list_id == "none" else list_id)
        if is_in and task in tree and task["id"] not in trashed:
            left = [one for one in tree if one["id"] not in trashed]
            if all(one["completed"] for one in left):
                trashed |= {one["id"]: (one, task["id"]) for one in left}
    if trashed:
        trash(user, list(trashed.values()))
        user.note(ask, "cleared")


def trash(user: User, tasks: list[tuple[Row, str]]) -> None:
    """Move tasks to the trash, each with the one that it shall come back with."""
    at = user.change()
    for task, root in tasks:
        user.touch(task)
        task.update(deleted_at=at, _root=root)


def restore(user: User, ask: Ask, answer: httpx2.Response) -> None:
    task = user.find(ask, answer, trashed=True)
    if task is None:
        return
    if task["deleted_at"] is not None:
        root = task["_root"]
        tree = [one for one in (task, *below(user, task["id"])) if one["_root"] == root]
        user.change(*tree)
        for one in tree:
            one.update(deleted_at=None, _root=None)
            join(user, one, answer)
        if task["parent_id"] is not None and not is_live(user, task["parent_id"]):
            put(user, task, {"parent_id": None})
            user.note(ask, "without its parent")
        if len(tree) > 1:
            user.note(ask, "tree restored")
    user.entity(answer, task)


def join(user: User, task: Row, answer: httpx2.Response) -> None:
    """Note what becomes of a task that comes out of the trash when its series has another open one."""
    if task["completed"] or task["series_id"] is None:
        return
    if others := others_open(user, task):
        keeps = task["recurrence"] is not None and not any(one["recurrence"] for one in others)
        told = answer.json()["series_id"] if answer.json()["id"] == task["id"] else UNTOLD
        leave(user, task, told if keeps else None)
        if task["series_id"] == UNTOLD:
            user.untold.append(task)


def leave(user: User, task: Row, series_id: str | None) -> None:
    """Let a task leave its series, for one of its own where that has an id."""
    if series_id is None or task["recurrence"] is None:
        task.update(recurrence=None, series_id=None)
        return
    assert all(one["series_id"] != series_id for one in user.tasks.values())
    task["series_id"] = series_id


def others_open(user: User, task: Row) -> list[Row]:
    """Other open tasks of the series."""
    series_id = task["series_id"]
    return [
        one
        for one in user.tasks.values()
        if one is not task and one["series_id"] == series_id and one["deleted_at"] is None and not one["completed"]
    ]

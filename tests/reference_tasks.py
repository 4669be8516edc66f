"""What the writes of a task must answer and change: its members, its completion and what follows it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import httpx2

from tests.reference_next import NEW, completed
from tests.reference_request import TASKS, Ask
from tests.reference_series import SCHEDULE, broken, instant, merged
from tests.reference_trees import put, refused
from tests.reference_world import LONG_AGO, Row, User
from tests.task_values import DEFAULTS, MEMBERS

WRITABLE = ("title", *DEFAULTS)


def understood(body: Row) -> Row:
    """The members that a body sets, as they are kept."""
    kept = {name: body[name] for name in ("id", *WRITABLE) if name in body}
    for name, value in kept.items():
        if isinstance(value, str):
            kept[name] = _kept(name, value)
        elif name == "tags":
            kept[name] = [tag.strip() for tag in value]
    if kept.pop("completed_at", None) is not None:
        kept["completed_at"] = LONG_AGO
    return kept


def _kept(name: str, text: str) -> Any:
    if name == "id":
        return text.lower()
    return instant(datetime.fromisoformat(text)) if name == "due_at" else MEMBERS[name].kept(text)


def create(user: User, ask: Ask, answer: httpx2.Response) -> None:
    sent = understood(ask.body)
    wrong = broken({**DEFAULTS, **sent})
    if sent.get("id") in user.tasks:
        # What is wrong without a look at what there is may be told first.
        user.problem(ask, answer, 409, *[422] * bool(wrong))
    elif wrong:
        user.invalid(ask, answer, *wrong)
    elif not refused(user, ask, answer, {**DEFAULTS, "id": sent.get("id", "")}, sent):
        assert answer.status_code == 201, answer.text
        at = user.change()
        place = {} if sent.get("parent_id") is None else {"list_id": user.tasks[sent["parent_id"]]["list_id"]}
        task = user.new({**NEW, **DEFAULTS, "id": answer.json()["id"], **place, **sent})
        if task["completed"]:
            task["completed_at"] = task["completed_at"] or at
        _number_series(user, task, answer)
        user.tasks.add(task)
        user.entity(answer, task, status=201)
        assert answer.headers["location"] == f"{TASKS}/{task['id']}"


def update(user: User, ask: Ask, answer: httpx2.Response) -> None:
    task = user.find(ask, answer)
    if task is None:
        return
    changes = understood(ask.body)
    changes.pop("id", None)
    if "metadata" in changes and ask.method == "PATCH":
        changes["metadata"] = merged(task["metadata"], changes["metadata"])
    wrong = broken({**task, **changes}) if changes.keys() & set(SCHEDULE) else []
    if wrong:
        user.invalid(ask, answer, *wrong)
    elif not refused(user, ask, answer, task, changes):
        _change(user, ask, answer, task, changes)


def complete(user: User, ask: Ask, answer: httpx2.Response) -> None:
    task = user.find(ask, answer)
    if task is not None:
        body = ask.body or {}
        changes = {"completed": not task["completed"], **understood(body)}
        _change(user, ask, answer, task, changes, leaving=body.get("subtasks") == "leave")


def _change(user: User, ask: Ask, answer: httpx2.Response, task: Row, changes: Row, *, leaving: bool = False) -> None:
    assert answer.status_code == 200, answer.text
    done, said = changes.pop("completed", None), changes.pop("completed_at", None)
    follows = False
    if changes or done is not None:
        renewed = changes.get("recurrence", task["recurrence"]) not in {None, task["recurrence"]}
        user.change(task)
        put(user, task, changes)
        _number_series(user, task, answer)
        if done is not None:
            follows = completed(user, ask, answer, task, said=said, done=done, leaving=leaving, renewed=renewed)
    user.entity(answer, task)
    # A series may go on with one that was made before.
    link = f'<{TASKS}/{task["_next"]}>; rel="next-occurrence"'
    assert answer.headers.get("link") == (link if follows else None)


def _number_series(user: User, task: Row, answer: httpx2.Response) -> None:
    """Take the number of a series that begins from the answer; it is no other's."""
    if task["recurrence"] is not None and task["series_id"] is None:
        found = answer.json()["series_id"]
        assert re.fullmatch("[-0-9a-f]{36}", found)
        assert all(other["series_id"] != found for other in user.tasks.values())
        task["series_id"] = found

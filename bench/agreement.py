"""Before anything is timed: do all contenders give the same answers to the same requests?"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import httpx2

from bench.data import BASE, FILTERED, Dataset, Request, TaskRow, changed_title, new_task
from bench.dialect import Dialect
from bench.processes import BenchError
from bench.stage import Participant

_MEMBERS = ("user_id", "title", "description", "completed")
_SAMPLES = 5

Answers = dict[str, Any]


def require(participants: Sequence[Participant], dataset: Dataset) -> None:
    """Ask everyone the same and compare; what is changed is changed back.

    Raises:
        BenchError: Two answers differ, or a server refuses what it should serve or serves what it should refuse.
    """
    expected = _expected(dataset)
    for one in participants:
        answers = _ask(one, dataset)
        for question, answer in expected.items():
            if question.startswith("unchanged") and not one.contender.conditional:
                continue
            due = _due(answer, one)
            if answers[question] != due:
                raise BenchError(
                    f"{one.label} answers {question} with {str(answers[question])[:300]}; due is {str(due)[:300]}"
                )


def _due(answer: Any, participant: Participant) -> Any:
    """The answer with the status by which the contender says it."""
    status, *shown = answer if isinstance(answer, tuple) else (answer,)
    spoken = participant.contender.dialect.status(status)
    return (spoken, *shown) if shown else spoken


def _samples(dataset: Dataset) -> list[TaskRow]:
    # Each of another user, since what one question creates would be in the next one's list.
    firsts = {user.user_id: number for number, user in enumerate(dataset.users[:_SAMPLES])}
    own: dict[str, list[TaskRow]] = {name: [] for name in firsts}
    for task in dataset.tasks:
        if task.user_id in own:
            own[task.user_id].append(task)
    return [tasks[firsts[name] % len(tasks)] for name, tasks in own.items()]


def _expected(dataset: Dataset) -> Answers:
    answers: Answers = {}
    for task in _samples(dataset):
        own = [other for other in dataset.tasks if other.user_id == task.user_id]
        newest = sorted(own, key=lambda other: other.created_at, reverse=True)
        still_open = [other for other in newest if not other.completed]
        shown = {"id": str(task.id)} | {member: getattr(task, member) for member in _MEMBERS}
        body = json.loads(new_task(0))
        answers |= {
            f"get {task.id}": (200, shown),
            f"list of {task.user_id}": (200, _shown_rows(newest[:50])),
            f"open tasks of {task.user_id}": (200, _shown_rows(still_open[:50])),
            f"unchanged list of {task.user_id}": 304,
            f"create by {task.user_id}": (201, {"user_id": task.user_id, "completed": False} | body),
            f"patch {task.id}": (200, shown | json.loads(changed_title(0))),
            f"patch {task.id} back": (200, shown),
            f"toggle {task.id}": (200, shown | {"completed": not task.completed}),
            f"toggle {task.id} back": (200, shown),
            f"get {task.id} without a token": 401,
            f"get {task.id} as somebody else": 403,
            f"patch {task.id} as somebody else": 403,
            f"toggle {task.id} as somebody else": 403,
            f"get what is not there as {task.user_id}": 404,
        }
    return answers


def _ask(participant: Participant, dataset: Dataset) -> Answers:
    answers: Answers = {}
    dialect = participant.contender.dialect
    with httpx2.Client(base_url=participant.running.url, timeout=10, trust_env=False) as client:

        def ask(method: str, path: str, user_id: str = "", body: str = "", etag: str = "") -> httpx2.Response:
            spoken = dialect.request(Request(method, path, user_id, body))
            headers = {"Authorization": f"Bearer {participant.tokens[user_id]}"} if user_id else {}
            if body:
                headers["Content-Type"] = "application/json"
            if etag:
                headers["If-None-Match"] = etag
            return client.request(method, spoken.path, headers=headers, content=spoken.body or None)

        for task in _samples(dataset):
            mine = task.user_id
            stranger = next(user.user_id for user in dataset.users if user.user_id != mine)
            one = f"{BASE}/{task.id}"
            toggled = f"{one}/complete"
            listed = ask("GET", BASE, mine)
            still_open = ask("GET", FILTERED, mine)
            if participant.contender.conditional:
                known = ask("GET", BASE, mine, etag=listed.headers.get("etag", ""))
                answers[f"unchanged list of {mine}"] = known.status_code
            created = ask("POST", BASE, mine, new_task(0))
            back = json.dumps({"title": task.title})
            answers |= {
                f"get {task.id}": _shown(ask("GET", one, mine)),
                f"list of {mine}": (listed.status_code, _members(listed, dialect)),
                f"open tasks of {mine}": (still_open.status_code, _members(still_open, dialect)),
                f"create by {mine}": _shown(created, with_id=False),
                f"patch {task.id}": _shown(ask("PATCH", one, mine, changed_title(0))),
                f"patch {task.id} back": _shown(ask("PATCH", one, mine, back)),
                f"toggle {task.id}": _shown(ask("PATCH", toggled, mine)),
                f"toggle {task.id} back": _shown(ask("PATCH", toggled, mine)),
                f"get {task.id} without a token": ask("GET", one).status_code,
                f"get {task.id} as somebody else": ask("GET", one, stranger).status_code,
                f"toggle {task.id} as somebody else": ask("PATCH", toggled, stranger).status_code,
                f"patch {task.id} as somebody else": ask("PATCH", one, stranger, back).status_code,
                f"get what is not there as {mine}": ask(
                    "GET", f"{BASE}/{uuid.UUID(int=task.id.int ^ 1)}", mine
                ).status_code,
            }
    return answers


def _shown(answer: httpx2.Response, with_id: bool = True) -> Any:
    if not answer.is_success:
        return answer.status_code, answer.text
    body = answer.json()
    members = ("id", *_MEMBERS) if with_id else _MEMBERS
    return answer.status_code, {member: body.get(member) for member in members}


def _members(answer: httpx2.Response, dialect: Dialect) -> Any:
    if not answer.is_success:
        return answer.text
    return [{member: task[member] for member in ("id", *_MEMBERS)} for task in dialect.rows(answer.json())]


def _shown_rows(tasks: list[TaskRow]) -> list[dict[str, Any]]:
    return [{"id": str(task.id)} | {member: getattr(task, member) for member in _MEMBERS} for task in tasks]

"""Before anything is timed: do all contenders give the same answers to the same requests?"""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx2

from bench.data import BASE, FILTERED, Dataset, TaskRow, changed_title, new_task
from bench.processes import BenchError, Running

_MEMBERS = ("user_id", "title", "description", "completed")
_SAMPLES = 5

Answers = dict[str, Any]


def require(servers: list[Running], dataset: Dataset) -> None:
    """Ask every server the same and compare; what is changed is changed back.

    Raises:
        BenchError: Two answers differ, or a server refuses what it should serve or serves what it should refuse.
    """
    expected = _expected(dataset)
    for server in servers:
        answers = _ask(server, dataset)
        for question, answer in expected.items():
            if question.startswith("unchanged") and not server.contender.conditional:
                continue
            if answers[question] != answer:
                raise BenchError(
                    f"{server.label} answers {question} with {str(answers[question])[:300]}; due is {str(answer)[:300]}"
                )


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


def _ask(server: Running, dataset: Dataset) -> Answers:
    answers: Answers = {}
    with httpx2.Client(base_url=server.url, timeout=10, trust_env=False) as client:
        for task in _samples(dataset):
            mine = _bearer(dataset, task.user_id)
            stranger = next(user.user_id for user in dataset.users if user.user_id != task.user_id)
            theirs = _bearer(dataset, stranger)
            one = f"{BASE}/{task.id}"
            listed = client.get(BASE, headers=mine)
            still_open = client.get(FILTERED, headers=mine)
            if server.contender.conditional:
                known = {"If-None-Match": listed.headers.get("etag", "")}
                answers[f"unchanged list of {task.user_id}"] = client.get(BASE, headers=mine | known).status_code
            json_of_mine = mine | {"Content-Type": "application/json"}
            created = client.post(BASE, headers=json_of_mine, content=new_task(0))
            back = json.dumps({"title": task.title})
            answers |= {
                f"get {task.id}": _shown(client.get(one, headers=mine)),
                f"list of {task.user_id}": (listed.status_code, _members(listed)),
                f"open tasks of {task.user_id}": (still_open.status_code, _members(still_open)),
                f"create by {task.user_id}": _shown(created, with_id=False),
                f"patch {task.id}": _shown(client.patch(one, headers=json_of_mine, content=changed_title(0))),
                f"patch {task.id} back": _shown(client.patch(one, headers=json_of_mine, content=back)),
                f"toggle {task.id}": _shown(client.patch(one + "/complete", headers=mine)),
                f"toggle {task.id} back": _shown(client.patch(one + "/complete", headers=mine)),
                f"get {task.id} without a token": client.get(one).status_code,
                f"get {task.id} as somebody else": client.get(one, headers=theirs).status_code,
                f"toggle {task.id} as somebody else": client.patch(one + "/complete", headers=theirs).status_code,
                f"patch {task.id} as somebody else": client.patch(
                    one, headers=theirs | {"Content-Type": "application/json"}, content=back
                ).status_code,
                f"get what is not there as {task.user_id}": client.get(
                    f"{BASE}/{uuid.UUID(int=task.id.int ^ 1)}", headers=mine
                ).status_code,
            }
    return answers


def _bearer(dataset: Dataset, user_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {dataset.tokens[user_id]}"}


def _shown(answer: httpx2.Response, with_id: bool = True) -> Any:
    if not answer.is_success:
        return answer.status_code, answer.text
    body = answer.json()
    members = ("id", *_MEMBERS) if with_id else _MEMBERS
    return answer.status_code, {member: body.get(member) for member in members}


def _members(answer: httpx2.Response) -> Any:
    if not answer.is_success:
        return answer.text
    return [{member: task[member] for member in ("id", *_MEMBERS)} for task in answer.json()]


def _shown_rows(tasks: list[TaskRow]) -> list[dict[str, Any]]:
    return [{"id": str(task.id)} | {member: getattr(task, member) for member in _MEMBERS} for task in tasks]

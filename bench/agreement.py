"""Before anything is timed: do all contenders give the same answers to the same requests?"""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx

from bench.data import Dataset, TaskRow, new_task
from bench.processes import BenchError, Running

_MEMBERS = ("user_id", "title", "description", "completed")
_SAMPLES = 5

Answers = dict[str, Any]


def require(servers: list[Running], dataset: Dataset) -> None:
    """Ask every server the same and compare; completions are toggled back.

    Raises:
        BenchError: Two answers differ, or a server refuses what it should serve or serves what it should refuse.
    """
    expected = _expected(dataset)
    for server in servers:
        answers = _ask(server, dataset)
        for question, answer in expected.items():
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
        newest = sorted(own, key=lambda other: other.created_at, reverse=True)[:50]
        shown = {"id": str(task.id)} | {member: getattr(task, member) for member in _MEMBERS}
        body = json.loads(new_task(0))
        answers |= {
            f"get {task.id}": (200, shown),
            f"list of {task.user_id}": (200, [(str(other.id), other.title) for other in newest]),
            f"create by {task.user_id}": (201, {"user_id": task.user_id, "completed": False} | body),
            f"complete {task.id}": (200, shown | {"completed": True}),
            f"reopen {task.id}": (200, shown),
            f"get {task.id} without a token": 401,
            f"get {task.id} as somebody else": 403,
            f"complete {task.id} as somebody else": 403,
            f"get what is not there as {task.user_id}": 404,
        }
    return answers


def _ask(server: Running, dataset: Dataset) -> Answers:
    answers: Answers = {}
    with httpx.Client(base_url=server.url + "/api/v1", timeout=10, trust_env=False) as client:
        for task in _samples(dataset):
            mine = _bearer(dataset, task.user_id)
            stranger = next(user.user_id for user in dataset.users if user.user_id != task.user_id)
            theirs = _bearer(dataset, stranger)
            one = f"/tasks/{task.id}"
            listed = client.get("/tasks", headers=mine)
            created = client.post("/tasks", headers=mine | {"Content-Type": "application/json"}, content=new_task(0))
            answers |= {
                f"get {task.id}": _shown(client.get(one, headers=mine)),
                f"list of {task.user_id}": (listed.status_code, _titles(listed)),
                f"create by {task.user_id}": _shown(created, with_id=False),
                f"complete {task.id}": _shown(client.patch(one + "/complete", headers=mine)),
                f"reopen {task.id}": _shown(client.patch(one + "/complete", headers=mine)),
                f"get {task.id} without a token": client.get(one).status_code,
                f"get {task.id} as somebody else": client.get(one, headers=theirs).status_code,
                f"complete {task.id} as somebody else": client.patch(one + "/complete", headers=theirs).status_code,
                f"get what is not there as {task.user_id}": client.get(
                    f"/tasks/{uuid.UUID(int=task.id.int ^ 1)}", headers=mine
                ).status_code,
            }
    return answers


def _bearer(dataset: Dataset, user_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {dataset.tokens[user_id]}"}


def _shown(answer: httpx.Response, with_id: bool = True) -> Any:
    if not answer.is_success:
        return answer.status_code, answer.text
    body = answer.json()
    members = ("id", *_MEMBERS) if with_id else _MEMBERS
    return answer.status_code, {member: body.get(member) for member in members}


def _titles(answer: httpx.Response) -> Any:
    return [(task["id"], task["title"]) for task in answer.json()] if answer.is_success else answer.text

"""The same data for every contender: users, their tokens, tasks, and the requests that ask for them."""

from __future__ import annotations

import json
import random
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jose import jwt

OPERATIONS = ("get", "list", "create", "complete")
"""Get one task, list the newest 50, create one, toggle its completion."""

_REQUESTS = 4096  # prebuilt per operation; far more than connections, so that neighbours rarely meet on a row
_TOKEN_LIFE = timedelta(hours=12)
_AGE = timedelta(days=2)
_ERRANDS = ("Call the plumber", "Renew the passport", "Send the invoice", "Book a table", "Water the plants")
_NOTE = "Ask for a quote first, write down the name of whoever answers, and put the papers into the blue folder."

_random = random.Random(7)  # fixed, so that two runs load the same way


@dataclass(frozen=True)
class TaskRow:
    """One seeded task; members are named like the columns of every contender."""

    user_id: str
    id: uuid.UUID
    title: str
    description: str
    completed: bool
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class UserRow:
    """One seeded user; `clock` is the version of the user's last change."""

    user_id: str
    clock: int


@dataclass(frozen=True)
class Dataset:
    """What is in the database before a round, and who may read it."""

    users: tuple[UserRow, ...]
    tasks: tuple[TaskRow, ...]
    tokens: dict[str, str]
    """A bearer token per user id."""


def make(users: int, tasks_per_user: int, secret: str) -> Dataset:
    """Invent users with tasks.

    Args:
        users: How many.
        tasks_per_user: How many tasks each of them has.
        secret: The HS256 key that signs the tokens.
    """
    names = [f"user-{number:05d}" for number in range(users)]
    start = (datetime.now(UTC) - _AGE).replace(microsecond=0)
    tasks: list[TaskRow] = []
    # Users take turns, so that one user's rows are spread over the table as they are in life.
    for turn in range(tasks_per_user):
        for name in names:
            created = start + timedelta(milliseconds=len(tasks))
            title = f"{_random.choice(_ERRANDS)} ({turn + 1})"
            tasks.append(TaskRow(name, _uuid7(created), title, _NOTE, False, turn + 1, created, created))
    return Dataset(
        users=tuple(UserRow(name, tasks_per_user) for name in names),
        tasks=tuple(tasks),
        tokens={name: _token(name, secret) for name in names},
    )


def write_requests(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """Write the requests of each operation, one a line: method, path, token and body, separated by tabs."""
    chosen = _random.sample(dataset.tasks, min(_REQUESTS, len(dataset.tasks)))
    owners = [_random.choice(dataset.users).user_id for _ in range(_REQUESTS)]
    lines = {
        "get": [("GET", f"/api/v1/tasks/{task.id}", task.user_id, "") for task in chosen],
        "list": [("GET", "/api/v1/tasks", owner, "") for owner in owners],
        "create": [("POST", "/api/v1/tasks", owner, new_task(number)) for number, owner in enumerate(owners)],
        "complete": [("PATCH", f"/api/v1/tasks/{task.id}/complete", task.user_id, "") for task in chosen],
    }
    files = {}
    for operation in OPERATIONS:
        files[operation] = folder / f"{operation}.requests"
        files[operation].write_text(
            "".join(
                f"{method}\t{path}\t{dataset.tokens[owner]}\t{body}\n" for method, path, owner, body in lines[operation]
            )
        )
    return files


def new_task(number: int) -> str:
    """The JSON body of a create."""
    return json.dumps({"title": f"Errand number {number}", "description": _NOTE})


def _token(user_id: str, secret: str) -> str:
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + int(_TOKEN_LIFE.total_seconds())}
    return str(jwt.encode(claims, secret, algorithm="HS256"))


def _uuid7(when: datetime) -> uuid.UUID:
    # RFC 9562, section 5.7: 48 bits of Unix milliseconds, version, 12 random bits, variant, 62 random bits.
    milliseconds = int(when.timestamp() * 1000)
    value = milliseconds << 80 | 0x7 << 76 | _random.getrandbits(12) << 64 | 0b10 << 62 | _random.getrandbits(62)
    return uuid.UUID(int=value)

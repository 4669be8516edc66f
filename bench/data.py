"""The same data for every contender: users, their tokens, tasks, and the requests that ask for them."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from jose import jwt

from taskward.tasks.search import searchable

_REQUESTS = 4096  # prebuilt per operation; far more than connections, so that neighbours rarely meet on a row
_READERS = 512  # users whose listings are known already, in "unchanged"
_MIX = {"list": 70, "get": 15, "patch": 10, "create": 5}  # in percent
_TOKEN_LIFE = timedelta(hours=12)
_AGE = timedelta(days=2)
_COMPLETED = 3  # one in so many
_ERRANDS = ("Call the plumber", "Renew the passport", "Send the invoice", "Book a table", "Water the plants")
_NOTE = "Ask for a quote first, write down the name of whoever answers, and put the papers into the blue folder."

BASE = "/api/v1/tasks"
FILTERED = f"{BASE}?completed=false"


@dataclass(frozen=True)
class Operation:
    """One kind of request.

    Attributes:
        writes: Whether rows are changed or made, so that the database must be brought back to its seed afterwards.
        crowded: Whether it is also measured with very many connections.
    """

    name: str
    writes: bool = False
    crowded: bool = False


OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("get", crowded=True),
        Operation("list", crowded=True),
        Operation("filtered"),
        Operation("unchanged"),
        Operation("create", writes=True, crowded=True),
        Operation("patch", writes=True),
        Operation("complete", writes=True),
        Operation("mix", writes=True),
    )
}
"""One task; the newest 50; the newest 50 that are open; those 50 with a tag that still holds; a new task; its title
changed; its completion toggled; and a mix of the usual ones."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One seeded task; members are named like the columns of every contender."""

    user_id: str
    id: uuid.UUID
    title: str
    description: str
    completed: bool
    completed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def folded_title(self) -> str:
        return searchable(self.title)

    @property
    def folded_description(self) -> str:
        return searchable(self.description)


@dataclass(frozen=True, slots=True)
class UserRow:
    """One seeded user; `clock` is the version of the user's last change."""

    user_id: str
    clock: int

    @property
    def tasks(self) -> int:
        """How many tasks the user has, each of which was written once."""
        return self.clock

    @property
    def id(self) -> str:
        """The user's id, by the name of PocketBase's column."""
        return self.user_id

    @property
    def tokenKey(self) -> str:  # noqa: N802 - members are named like the columns
        """The user's part of the key of PocketBase's tokens, as long as the one that PocketBase makes."""
        return self.user_id.ljust(50, "-")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a user; `etag` is what an earlier answer had."""

    method: str
    path: str
    user_id: str
    body: str = ""
    etag: str = ""


@dataclass(frozen=True)
class Dataset:
    """What is in the database before a round, and who may read it."""

    users: tuple[UserRow, ...]
    tasks: tuple[TaskRow, ...]
    tokens: dict[str, str]
    """A bearer token per user id."""
    seeded_until: datetime
    """Every seeded task was created before, and every other one after this instant."""


class Lottery:
    """Draws requests; the same ones in each run.

    Args:
        dataset: Whose tasks are asked for.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._random = random.Random(11)
        self._made = 0

    def draw(self, operation: str) -> list[Request]:
        """The requests of an operation; those of "unchanged" still lack their tags."""
        if operation == "unchanged":
            users = self._random.sample(self._dataset.users, min(_READERS, len(self._dataset.users)))
            return [Request("GET", BASE, user.user_id) for user in users]
        if operation != "mix":
            return [self._one(operation) for _ in range(_REQUESTS)]
        kinds = self._random.choices(list(_MIX), list(_MIX.values()), k=_REQUESTS)
        return [self._one(kind) for kind in kinds]

    def _one(self, operation: str) -> Request:
        task = self._random.choice(self._dataset.tasks)
        match operation:
            case "get":
                return Request("GET", f"{BASE}/{task.id}", task.user_id)
            case "list":
                return Request("GET", BASE, task.user_id)
            case "filtered":
                return Request("GET", FILTERED, task.user_id)
            case "patch":
                return Request("PATCH", f"{BASE}/{task.id}", task.user_id, changed_title(self._random.randrange(1000)))
            case "complete":
                return Request("PATCH", f"{BASE}/{task.id}/complete", task.user_id)
            case "create":
                self._made += 1
                return Request("POST", BASE, task.user_id, new_task(self._made))
            case _:
                raise ValueError(f"{operation} cannot be drawn")


def make(users: int, tasks_per_user: int, secret: str) -> Dataset:
    """Invent users with tasks.

    Args:
        users: How many.
        tasks_per_user: How many tasks each of them has.
        secret: The HS256 key that signs the tokens.
    """
    return make_sized({user_id(number): tasks_per_user for number in range(users)}, secret)


def make_sized(sizes: Mapping[str, int], secret: str) -> Dataset:
    """Invent users with as many tasks as `sizes` says, by user id."""
    generator = random.Random(7)
    start = (datetime.now(UTC) - _AGE).replace(microsecond=0)
    tasks: list[TaskRow] = []
    # Users take turns, so that one user's rows are spread over the table as they are in life.
    for turn in range(max(sizes.values())):
        for name, size in sizes.items():
            if turn >= size:
                continue
            created = start + timedelta(milliseconds=len(tasks))
            title = f"{generator.choice(_ERRANDS)} ({turn + 1})"
            done = turn % _COMPLETED == _COMPLETED - 1
            id_ = task_id(created)
            tasks.append(TaskRow(name, id_, title, _NOTE, done, created if done else None, turn + 1, created, created))
    return Dataset(
        users=tuple(UserRow(name, size) for name, size in sizes.items()),
        tasks=tuple(tasks),
        tokens={name: token({"sub": name}, secret) for name in sizes},
        seeded_until=start + timedelta(milliseconds=len(tasks)),
    )


def user_id(number: int) -> str:
    return f"user-{number}"


def task_id(when: datetime) -> uuid.UUID:
    """A UUIDv7 (RFC 9562, section 5.7) of an instant, which no two tasks share."""
    # 48 bits of Unix milliseconds, version, 12 bits, variant, 62 bits; none of them random, so that pgbench, too, can
    # tell the id of a task from its number.
    return uuid.UUID(int=int(when.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62)


def new_task(number: int) -> str:
    """The JSON body of a create."""
    return json.dumps({"title": f"Errand number {number}", "description": _NOTE})


def changed_title(number: int) -> str:
    """The JSON body of a patch."""
    return json.dumps({"title": f"Errand changed {number} times"})


def token(claims: Mapping[str, object], key: str) -> str:
    """A token with these claims that holds for the whole run."""
    now = int(time.time())
    times = {"iat": now, "exp": now + int(_TOKEN_LIFE.total_seconds())}
    return str(jwt.encode({**claims, **times}, key, algorithm="HS256"))

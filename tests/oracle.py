"""What one user must be answered, request by request, kept in memory beside the service.

An `Ask` is a request. A `User` knows what is theirs, and of others only whether an id is in use; `User.check` holds an
answer against that and notes what it changed. `tests.asks` makes requests.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from tests.conftest import make_token

TASKS = "/api/v1/tasks"
TASK = f"{TASKS}/{{task_id}}"
PROBLEMS = {
    401: "invalid-token", 403: "forbidden", 404: "task-not-found", 405: "method-not-allowed", 409: "task-id-taken",
    412: "precondition-failed", 422: "invalid",
}  # fmt: skip
NO_IDS = ("x", "0" * 36, "null", "%", "'; --")
# What a row that went to the trash has and the answer, 204, does not tell.
UNTOLD = object()

# What a member of a new task is that is not sent.
DEFAULTS: dict[str, Any] = {"description": None, "completed": False}
WRITABLE = ("title", *DEFAULTS)

Route = tuple[str, str]
Seen = tuple[Route, int | str]
Task = dict[str, Any]


def new_marker() -> str:
    return f"canary-{secrets.token_hex(6)}"


def markers(answer: httpx.Response) -> set[str]:
    """Whose data an answer has in it, headers included."""
    return set(re.findall(r"canary-[0-9a-f]{12}", f"{answer.text}{answer.headers}"))


@dataclass(frozen=True)
class Ask:
    """A request.

    Attributes:
        path: As in the route table.
        fault: The status that it must have whatever there is, because something is wrong with the request itself.
        good_token: Whether it is sent with the user's token.
    """

    method: str
    path: str
    task_id: str = ""
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    fault: int = 0
    good_token: bool = True

    @property
    def url(self) -> str:
        return self.path.replace("{task_id}", quote(self.task_id, safe=""))

    @property
    def route(self) -> Route:
        return ("GET" if self.method == "HEAD" else self.method, self.path)

    def sending(self, user: User) -> dict[str, Any]:
        """The arguments for a client's `request`."""
        token = {"Authorization": f"Bearer {user.token}"} if self.good_token else {}
        # Nothing of this is anybody's identity.
        lies = {"X-User-Id": "canary", "X-Forwarded-User": "canary", "Cookie": "user_id=canary"}
        sent: dict[str, Any] = {"params": self.params, "headers": {**token, **lies, **self.headers}}
        if self.body is not None:
            sent["json"] = self.body
        return {"method": self.method, "url": self.url, **sent}


class World:
    """All users, and what they know of each other's: cursors, and the tags that listings had.

    Attributes:
        cursors: By cursor, the filters that it was made for and the id that it goes on after.
        tags: By tag, whose listing it was and which.
        seen: What came about, by route: each status, and some more that must not have been missed.
    """

    def __init__(self) -> None:
        self.users: list[User] = []
        self.cursors: dict[str, tuple[dict[str, str | None], str]] = {}
        self.tags: dict[str, tuple[Any, ...]] = {}
        self.seen: Counter[Seen] = Counter()

    def add(self, *, at_once: bool = False) -> User:
        user = User(self, at_once=at_once)
        self.users.append(user)
        return user

    def others(self, user: User) -> list[User]:
        return [other for other in self.users if other is not user]


class User:
    """A user, and what is theirs.

    Args:
        world: Where the others are.
        at_once: Whether the others act meanwhile. Then an outcome is certain only for an id that its owner never
            erases, which those in `kept` are, and for one that nobody ever had.
    """

    def __init__(self, world: World, *, at_once: bool = False) -> None:
        self.marker = new_marker()
        self.id = f"user {self.marker}"
        self.token = make_token(self.id)
        self.clock: int | None = None
        self.tasks: dict[str, Task] = {}
        self.kept: set[str] = set()
        self.ever: list[str] = []
        self.tags: dict[tuple[Any, ...], str] = {}
        self.world = world
        self._at_once = at_once

    @property
    def erased(self) -> list[str]:
        return [task_id for task_id in self.ever if task_id not in self.tasks]

    def check(self, ask: Ask, answer: httpx.Response) -> bool:
        """Hold the answer against what it must be, and note what it changed.

        Returns:
            Whether anything of this user's was written.
        """
        seen = self.world.seen
        seen[ask.route, answer.status_code] += 1
        assert markers(answer) <= {self.marker}, answer.text
        if ask.method == "HEAD":
            assert answer.content == b""
        if ask.fault:
            self._problem(ask, answer, ask.fault)
            return False
        clock = self.clock
        CHECKS[ask.route](self, ask, answer)
        if answer.status_code < 300:
            seen[ask.route, "done"] += 1
        return self.clock != clock

    def _problem(self, ask: Ask, answer: httpx.Response, *statuses: int) -> None:
        status = answer.status_code
        assert status in statuses, (ask, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "etag" not in answer.headers
        if ask.method != "HEAD":
            problem = answer.json()
            assert problem["status"] == status
            if ask.good_token:
                assert problem["type"] == f"/problems/{PROBLEMS[status]}"
            assert problem.keys() - {"version", "errors"} == {
                "type", "title", "status", "detail", "instance", "request_id"
            }  # fmt: skip
            assert ("version" in problem, "errors" in problem) == (status == 412, status == 422)

    def _of_nobody_or_others(self, task_id: str) -> set[int]:
        others = self.world.others(self)
        if not self._at_once:
            return {403} if any(task_id in other.tasks for other in others) else {404}
        if any(task_id in other.kept for other in others):
            return {403}
        return {403, 404} if any(task_id in other.ever for other in others) else {404}

    def _find(self, ask: Ask, answer: httpx.Response, *, trashed: bool = False) -> Task | None:
        """The task that is asked for; None where the answer must be, and is, that there is none to be had."""
        task_id = ask.task_id.lower()
        task = self.tasks.get(task_id)
        if task is None:
            self._problem(ask, answer, *self._of_nobody_or_others(task_id))
        elif task["deleted_at"] is not None and not trashed:
            self._problem(ask, answer, 404)
        elif not _allows(ask.headers.get("If-Match", "*"), task["version"]):
            self._problem(ask, answer, 412)
            assert answer.json()["version"] == task["version"]
        else:
            return task
        return None

    def _tick(self) -> int:
        self.clock = (self.clock or 0) + 1
        return self.clock

    def _list(self, ask: Ask, answer: httpx.Response) -> None:
        shape = {name: ask.params.get(name, left_out) for name, (left_out, _) in FILTERS.items()}
        limit = int(ask.params.get("limit", 50))
        made_for, after = self.world.cursors.get(ask.params.get("cursor", ""), (shape, ""))
        if made_for != shape:
            self._problem(ask, answer, 422)
            return
        rows = [
            task
            for task_id, task in sorted(self.tasks.items(), reverse=True)
            if all(value is None or FILTERS[name][1](task, value) for name, value in shape.items())
            and (not after or task_id < after)
        ]
        key = (self.id, self.clock, tuple(shape.items()), limit, after)
        tag = answer.headers["etag"]
        assert self.tags.setdefault(key, tag) == tag
        assert self.world.tags.setdefault(tag, key) == key
        if ask.headers.get("If-None-Match") in {"*", tag}:
            self._nothing_new(answer)
            return
        assert answer.status_code == 200
        if after and rows:
            self.world.seen[ask.route, "own page" if after in self.ever else "page of another"] += 1
        more = len(rows) > limit
        assert ("link" in answer.headers) == more
        if more:
            link = answer.headers["link"]
            cursor = parse_qs(urlsplit(link[1 : link.index(">")]).query)["cursor"][0]
            known = (shape, rows[limit - 1]["id"])
            assert self.world.cursors.setdefault(cursor, known) == known
        if ask.method != "HEAD":
            found = answer.json()
            assert len(found) == len(rows[:limit])
            for row, task in zip(found, rows, strict=False):
                self._same(row, task)

    def _same(self, row: Task, task: Task) -> None:
        for name in [name for name, value in task.items() if value is UNTOLD]:
            task[name] = row[name]
        assert row == task
        assert task["deleted_at"] in {None, task["updated_at"]}

    def _nothing_new(self, answer: httpx.Response) -> None:
        assert (answer.status_code, answer.content) == (304, b"")

    def _create(self, ask: Ask, answer: httpx.Response) -> None:
        if ask.body.get("id") in self.tasks:
            self._problem(ask, answer, 409)
            return
        assert answer.status_code == 201, answer.text
        task = answer.json()
        expected = {**DEFAULTS, "id": task["id"], **ask.body}
        times = dict.fromkeys(("created_at", "updated_at"), task["created_at"])
        ends = {"completed_at": task["created_at"] if expected["completed"] else None, "deleted_at": None}
        assert task == {**expected, **times, **ends, "user_id": self.id, "version": self._tick()}
        assert task["id"] not in self.tasks
        assert answer.headers["location"] == f"{TASKS}/{task['id']}"
        self.tasks[task["id"]] = task
        self.ever.append(task["id"])

    def _read(self, ask: Ask, answer: httpx.Response) -> None:
        # Reads have no precondition that could fail.
        task = self._find(Ask(ask.method, ask.path, ask.task_id), answer)
        if task is not None:
            assert answer.headers["etag"] == f'"{task["version"]}"'
            if ask.headers.get("If-None-Match") in {"*", answer.headers["etag"], f"W/{answer.headers['etag']}"}:
                self._nothing_new(answer)
                return
            assert answer.status_code == 200
            if ask.method != "HEAD":
                assert answer.json() == task

    def _update(self, ask: Ask, answer: httpx.Response) -> None:
        task = self._find(ask, answer)
        if task is not None:
            changes = {name: ask.body[name] for name in WRITABLE if name in ask.body}
            self._changed(task, changes, answer)

    def _complete(self, ask: Ask, answer: httpx.Response) -> None:
        task = self._find(ask, answer)
        if task is not None:
            self._changed(task, {"completed": not task["completed"], **(ask.body or {})}, answer)

    def _restore(self, ask: Ask, answer: httpx.Response) -> None:
        task = self._find(ask, answer, trashed=True)
        if task is not None:
            self._changed(task, {"deleted_at": None} if task["deleted_at"] is not None else {}, answer)

    def _changed(self, task: Task, changes: Task, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        new = answer.json()
        if changes:
            assert task["updated_at"] is UNTOLD or _time(new["updated_at"]) > _time(task["updated_at"])
            changes = {**changes, "version": self._tick(), "updated_at": new["updated_at"]}
            if "completed" in changes:
                changes["completed_at"] = (task["completed_at"] or new["updated_at"]) if changes["completed"] else None
        task.update(changes)
        assert new == task
        assert answer.headers["etag"] == f'"{task["version"]}"'

    def _delete(self, ask: Ask, answer: httpx.Response) -> None:
        permanent = ask.params.get("permanent") == "true"
        task = self._find(ask, answer, trashed=permanent)
        if task is not None:
            assert (answer.status_code, answer.content) == (204, b"")
            version = self._tick()
            if permanent:
                del self.tasks[task["id"]]
            else:
                task.update(version=version, updated_at=UNTOLD, deleted_at=UNTOLD)

    def _me(self, ask: Ask, answer: httpx.Response) -> None:
        assert answer.status_code == 200
        if ask.method != "HEAD":
            assert answer.json()["user_id"] == self.id


# By parameter: what it is where it is left out, None for no matter what; and whether a task has a value of it.
FILTERS: dict[str, tuple[str | None, Callable[[Task, str], bool]]] = {
    "completed": (None, lambda task, value: task["completed"] == (value == "true")),
    "deleted": ("false", lambda task, value: (task["deleted_at"] is not None) == (value == "true")),
}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _allows(if_match: str, version: int) -> bool:
    return if_match == "*" or str(version) in re.findall(r'(?<!W/)"(\d+)"', if_match)


CHECKS: dict[Route, Callable[[User, Ask, httpx.Response], None]] = {
    ("GET", TASKS): User._list,
    ("POST", TASKS): User._create,
    ("GET", TASK): User._read,
    ("PATCH", TASK): User._update,
    ("PUT", TASK): User._update,
    ("DELETE", TASK): User._delete,
    ("PATCH", f"{TASK}/complete"): User._complete,
    ("POST", f"{TASK}/restore"): User._restore,
    ("GET", "/api/v1/me"): User._me,
}


def everything(user: User) -> Iterator[Ask]:
    """What shows a user all that is theirs."""
    for deleted in ("false", "true"):
        yield Ask("GET", TASKS, params={"deleted": deleted, "limit": "200"})
    for task_id in user.ever:
        yield Ask("GET", TASK, task_id)

"""The app's own routes, and what a good request to each has besides its path.

The walks over all routes find a new one by themselves. Where it needs a body, a query or ids, it has one line here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi.routing import APIRoute
from uuid_utils.compat import uuid7

from taskward.app import create_app
from taskward.errors import Problem
from taskward.http.middleware import BASE_PATH
from taskward.lists.errors import ListForbidden, ListNotFound
from taskward.tasks.errors import TaskForbidden, TaskNotFound
from tests.conftest import User, make_settings

Route = tuple[str, str]

TASKS, LISTS, TAGS, ME = f"{BASE_PATH}/tasks", f"{BASE_PATH}/lists", f"{BASE_PATH}/tags", f"{BASE_PATH}/me"
TASK, LIST, TAG = f"{TASKS}/{{task_id}}", f"{LISTS}/{{list_id}}", f"{TAGS}/{{tag:path}}"
BODIES: dict[Route, Any] = {
    ("POST", TASKS): {"title": "x"},
    ("PATCH", TASK): {"title": "x"},
    ("PUT", TASK): {"title": "x"},
    ("PATCH", f"{TASK}/complete"): {"completed": True},
    ("POST", f"{TASK}/move"): {"after": None},
    ("POST", LISTS): {"name": "x"},
    ("PATCH", LIST): {"name": "x"},
    ("POST", f"{LIST}/move"): {"after": None},
    ("PATCH", TAG): {"name": "x"},
    ("POST", f"{TASKS}/batch"): {"operations": [{"op": "create", "task": {"title": "x"}}]},
    ("POST", f"{ME}/import"): {"type": "end", "lists": 0, "tasks": 0},
}
"""A good body of each route that takes one."""
QUERIES: dict[Route, tuple[str, ...]] = {
    ("DELETE", TASKS): ("deleted=true",),
    ("DELETE", TASK): ("", "permanent=true"),
    ("DELETE", LIST): ("", "tasks=trash", "tasks=keep"),
    ("DELETE", ME): ("confirm={user_id}",),
}
"""Each query of a route that makes it do something else; `{user_id}` is the caller's."""
REFERENCES = ("list_id", "parent_id", "after")
"""Members of bodies that name another row of the caller's."""

_APP = create_app(make_settings("postgresql://nobody@localhost/none"))
_ROUTES = {
    (method, route.path): route
    for route in _APP.routes
    if isinstance(route, APIRoute) and route.path.startswith(BASE_PATH)
    for method in route.methods or ()
}
ROUTES = sorted(_ROUTES)
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


def parameters_of(path: str) -> list[str]:
    return _PARAMETER.findall(path)


OF_A_TASK = [(method, path) for method, path in ROUTES if "task_id" in parameters_of(path)]
OF_A_LIST = [(method, path) for method, path in ROUTES if "list_id" in parameters_of(path)]
OF_A_TAG = [(method, path) for method, path in ROUTES if "tag" in parameters_of(path)]
OF_AN_ID = [*OF_A_TASK, *OF_A_LIST]
PROBLEMS: dict[str, tuple[type[Problem], type[Problem]]] = {
    "task_id": (TaskForbidden, TaskNotFound),
    "list_id": (ListForbidden, ListNotFound),
}
"""By the parameter of a path, what a stranger's id is answered with, and an unknown one."""


def problems_of(path: str) -> tuple[type[Problem], type[Problem]]:
    (parameter,) = parameters_of(path)
    return PROBLEMS[parameter]


def body_of(method: str, path: str) -> Any:
    """A good body, or None where there is none."""
    return BODIES.get((method, path))


def model_of(method: str, path: str) -> Any:
    """The class of a route's body, or None."""
    pending = [_ROUTES[method, path].dependant]
    while pending:
        dependant = pending.pop()
        if dependant.body_params:
            return dependant.body_params[0].field_info.annotation
        pending += dependant.dependencies
    return None


def references_of(method: str, path: str) -> list[str]:
    """The members of a route's body that name another row."""
    model = model_of(method, path)
    return [name for name in getattr(model, "model_fields", {}) if name in REFERENCES]


REFERRING = [(route, name) for route in ROUTES for name in references_of(*route)]


def target_of(path: str, value: str | UUID | None = None, *, query: str = "", user_id: str = "") -> str:
    """A path with a value for what it names, percent-encoded; by default an id that nobody has."""
    chosen = str(uuid7()) if value is None else str(value)
    found = _PARAMETER.sub(lambda _: quote(chosen, safe=""), path)
    return f"{found}?{query.replace('{user_id}', quote(user_id, safe=''))}" if query else found


def queries_of(method: str, path: str) -> tuple[str, ...]:
    return QUERIES.get((method, path), ("",))


def query_of(method: str, path: str) -> str:
    """One with which the route can succeed, whatever there is."""
    return queries_of(method, path)[-1]


@dataclass(frozen=True)
class Belongings:
    """What a user has, each with a text by which it would be known.

    Attributes:
        task: In the list, with a part, a tag, a due and metadata.
        part: A part of it, completed.
        trashed: In the trash.
        repeated: One that was completed and has a successor.
    """

    task: dict[str, Any]
    part: dict[str, Any]
    trashed: dict[str, Any]
    repeated: dict[str, Any]
    list: dict[str, Any]
    other_list: dict[str, Any]
    tag: str = field(default="Secret tag")

    @property
    def task_ids(self) -> dict[str, str]:
        """By what it is, the id of each task."""
        return {name: getattr(self, name)["id"] for name in ("task", "part", "trashed", "repeated")}

    @property
    def list_ids(self) -> dict[str, str]:
        return {name: getattr(self, name)["id"] for name in ("list", "other_list")}

    def ids_of(self, path: str) -> dict[str, str]:
        """The ids of what a path is of."""
        return self.list_ids if "list_id" in parameters_of(path) else self.task_ids


async def furnish(user: User) -> Belongings:
    """Give a user something of everything."""
    made = [await user.http.post(LISTS, json={"name": f"Secret list {n}", "color": "#2f855a"}) for n in range(2)]
    for answer in made:
        assert answer.status_code == 201, answer.text
    one, other = (answer.json() for answer in made)
    task = await user.create(
        "Secret plan", description="Secret words", list_id=one["id"], tags=["Secret tag"], priority="urgent",
        due_date="2026-01-10", metadata={"Secret": "Secret"},
    )  # fmt: skip
    part = await user.create("Secret step", parent_id=task["id"], completed=True)
    trashed = await user.create("Secret past", list_id=one["id"], tags=["Secret tag"])
    await user.trash(trashed["id"])
    repeated = await user.create(
        "Secret habit", due_at="2026-01-10T09:00:00Z", time_zone="Europe/Berlin", recurrence="FREQ=DAILY"
    )
    done = await user.http.patch(f"{TASKS}/{repeated['id']}/complete")
    assert 'rel="next-occurrence"' in done.headers["link"]
    return Belongings(task, part, trashed, repeated, one, other)

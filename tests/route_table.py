"""The app's own routes, and what a good request to each has besides its path.

The walks over all routes find a new one by themselves: its body is its example, what its ids are of is made by a POST
to the path before them, and what is answered to a stranger is what it declares. A line here says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from uuid_utils.compat import uuid7

from taskward.app import create_app
from taskward.errors import Problem, every_problem
from taskward.http.middleware import BASE_PATH
from taskward.http.openapi import PROBLEMS as DECLARED_PROBLEMS
from tests.serving import make_settings
from tests.users import User

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
"""A good body of routes whose example has more than is needed, or names other rows."""
QUERIES: dict[Route, tuple[str, ...]] = {
    ("DELETE", TASKS): ("deleted=true",),
    ("DELETE", TASK): ("", "permanent=true"),
    ("DELETE", LIST): ("", "tasks=trash", "tasks=keep"),
    ("DELETE", ME): ("confirm={user_id}",),
}
"""Each query of a route that makes it do something else; `{user_id}` is the caller's."""
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


OF_A_TAG = [(method, path) for method, path in ROUTES if "tag" in parameters_of(path)]
OF_AN_ID = [(method, path) for method, path in ROUTES if any(one.endswith("_id") for one in parameters_of(path))]
TAGGED = [
    path for method, path in ROUTES if method == "GET" and "{" not in path and 304 in _ROUTES[method, path].responses
]
"""Where collections are read, which have an ETag."""
COLLECTIONS = {one: path.partition("/{")[0] for _, path in OF_AN_ID for one in parameters_of(path)}
"""By the parameter of a path, where what it names is listed and made."""
OTHER_KINDS = sorted({one for one in COLLECTIONS if ("POST", COLLECTIONS[one]) in ROUTES} - {"task_id", "list_id"})
"""The parameters of what can be made and is neither a task nor a list."""
_BY_SLUG = {kind.slug: kind for kind in every_problem()}


def _declared(method: str, path: str, status: int) -> type[Problem]:
    (slug,) = _ROUTES[method, path].responses[status][DECLARED_PROBLEMS]
    return _BY_SLUG[slug]


PROBLEMS = {
    parameter: (_declared(method, path, 403), _declared(method, path, 404))
    for method, path in OF_AN_ID
    for parameter in parameters_of(path)
}
"""By the parameter of a path, what a stranger's id is answered with, and an unknown one."""


def problems_of(path: str) -> tuple[type[Problem], type[Problem]]:
    (parameter,) = parameters_of(path)
    return PROBLEMS[parameter]


def body_of(method: str, path: str) -> Any:
    """A good body, or None where there is none."""
    if (method, path) in BODIES:
        return BODIES[method, path]
    model = model_of(method, path)
    return None if model is None else TypeAdapter(model).json_schema()["examples"][0]


def model_of(method: str, path: str) -> Any:
    """The class of a route's body, or None."""
    route = _ROUTES.get((method, path))
    pending = [] if route is None else [route.dependant]
    while pending:
        dependant = pending.pop()
        if dependant.body_params:
            return dependant.body_params[0].field_info.annotation
        pending += dependant.dependencies
    return None


def references_of(method: str, path: str) -> list[str]:
    """The members of a route's body that name another row."""
    fields = getattr(model_of(method, path), "model_fields", {})
    return [name for name, member in fields.items() if name != "id" and "UUID" in repr(member.annotation)]


REFERRING = [(route, name) for route in ROUTES for name in references_of(*route)]
"""Each member of a body that names another row of the caller's, with its route."""


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
        others: By the parameter of a path, the id of one of each other kind.
    """

    task: dict[str, Any]
    part: dict[str, Any]
    trashed: dict[str, Any]
    repeated: dict[str, Any]
    list: dict[str, Any]
    other_list: dict[str, Any]
    others: dict[str, str]
    tag: str = field(default="Secret tag")

    @property
    def ids(self) -> dict[str, dict[str, str]]:
        """By the parameter of a path, the ids of what it names, each by what it is."""
        named = {"task_id": ("task", "part", "trashed", "repeated"), "list_id": ("list", "other_list")}
        return {
            **{parameter: {name: getattr(self, name)["id"] for name in names} for parameter, names in named.items()},
            **{parameter: {parameter: one} for parameter, one in self.others.items()},
        }

    @property
    def every_id(self) -> dict[str, str]:
        """By what it is, the id of each."""
        return {name: one for ids in self.ids.values() for name, one in ids.items()}

    def ids_of(self, path: str) -> dict[str, str]:
        """The ids of what a path is of; of a task where it is of no kind."""
        return self.ids[next(iter(parameters_of(path)), "task_id")]


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
    others = {parameter: await make(user, parameter) for parameter in OTHER_KINDS}
    return Belongings(task, part, trashed, repeated, one, other, others)


async def make(user: User, parameter: str, **members: Any) -> str:
    """Make what a path names by a parameter, and give its id."""
    path = COLLECTIONS[parameter]
    made = await user.http.post(path, json={**body_of("POST", path), **members})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])

"""Requests for each route, good and bad ones alike, made out of choices.

Where the choices come from is left to the tests: from Hypothesis step by step, or from a crowd at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from uuid_utils.compat import uuid4, uuid7

from tests.conftest import make_token
from tests.oracle import CHECKS, NO_IDS, TASK, TASKS, UNTOLD, Ask, Route, User, World


class Chooser:
    """Makes requests out of choices.

    Args:
        choose: Takes one of some; the first is the simplest.
        world: Whose ids, cursors and tags there are.
        user: Who asks.
    """

    def __init__(self, choose: Callable[[Sequence[Any]], Any], world: World, user: User) -> None:
        self._choose = choose
        self.world = world
        self.user = user

    def one(self, *options: Any) -> Any:
        return self._choose(options)

    def ask(self, route: Route) -> Ask:
        return _ASKS[route](self)

    def _of(self, ids: Sequence[str]) -> str:
        return str(self.one(*ids) if ids else uuid7())

    def task_id(self) -> str:
        """An id: of a task of one's own or of others, in any state, or of nothing at all."""
        me = self.user
        kind = self.one("own", "own", "own", "foreign", "trash", "foreign trash", "erased", "unknown", "other")
        others = self.world.others(me)
        if kind in {"own", "trash"}:
            return self._of([i for i, t in me.tasks.items() if (t["deleted_at"] is None) == (kind == "own")])
        if kind in {"foreign", "foreign trash"}:
            live = kind == "foreign"
            return self._of([i for o in others for i, t in o.tasks.items() if (t["deleted_at"] is None) == live])
        if kind == "erased":
            return self._of([*me.erased, *(task_id for other in others for task_id in other.erased)])
        if kind == "unknown":
            return str(self.one(uuid7, uuid4)())
        return str(self.one(*NO_IDS, *(task_id.upper() for task_id in me.tasks)))

    def if_match(self, task_id: str) -> dict[str, str]:
        version = self.user.tasks.get(task_id.lower(), {}).get("version", 1)
        foreign = [o.tasks[task_id]["version"] for o in self.world.others(self.user) if task_id in o.tasks]
        tag = self.one(
            None, f'"{version}"', "*", f'"{version - 1}"', f'"{version + 1}"', f'W/"{version}"', '"x"',
            f'"{(foreign or [7])[0]}"', f'"{version + 1}", "{version}"',
        )  # fmt: skip
        return {} if tag is None else {"If-Match": tag}

    def if_none_match(self, *known: str) -> dict[str, str]:
        tag = self.one(None, None, "*", '"0"', *known)
        return {} if tag is None else {"If-None-Match": tag}

    def title(self) -> str:
        return f"{self.one('Plan', 'Idea', 'Ω')} of {self.user.marker}"

    def members(self) -> dict[str, Any]:
        """Some members of a task, as they may be sent."""
        return {name: value(self) for name, value in VALUES.items() if self.one(name == "title", name != "title")}


VALUES: dict[str, Callable[[Chooser], Any]] = {
    "title": Chooser.title,
    "description": lambda of: of.one(f"About {of.user.marker}", None),
    "completed": lambda of: of.one(True, False),
}
"""Values of each member that clients may write."""
FILTERED: dict[str, tuple[str, ...]] = {"completed": ("true", "false"), "deleted": ("true", "false")}
"""Values of each filter of a listing."""


def _list(of: Chooser) -> Ask:
    params = {}
    for name, values in {**FILTERED, "limit": ("1", "2")}.items():
        value = of.one(None, *values)
        if value is not None:
            params[name] = value
    cursors = of.world.cursors
    if cursors and of.one(False, True):
        params["cursor"] = of.one(*cursors)
    known = [*of.user.tags.values()][-3:] + [*of.world.tags][-3:]
    return Ask(of.one("GET", "HEAD"), TASKS, params=params, headers=of.if_none_match(*known))


def next_page(of: Chooser) -> Ask:
    """A page after a cursor that somebody was given, with the filters that it was made for."""
    cursors = of.world.cursors
    if not cursors:
        return Ask("GET", TASKS, params={"limit": "1"})
    cursor = of.one(*reversed(cursors))
    shape, _ = cursors[cursor]
    filters = {name: value for name, value in shape.items() if value is not None}
    return Ask("GET", TASKS, params={"cursor": cursor, "limit": of.one("1", "2", "200"), **filters})


def _create(of: Chooser) -> Ask:
    body: dict[str, Any] = {**of.members(), "title": of.title()}
    if of.one(False, True):
        body["id"] = of.task_id().lower()
        if body["id"] in NO_IDS or body["id"][14] != "7":
            return Ask("POST", TASKS, body=body, fault=422)
    return Ask("POST", TASKS, body=body)


def _read(of: Chooser) -> Ask:
    task_id = of.task_id()
    version = of.user.tasks.get(task_id.lower(), {}).get("version", 1)
    headers = of.if_none_match(f'"{version}"', f'W/"{version}"', f'"{version + 1}"')
    return Ask(of.one("GET", "HEAD"), TASK, task_id, headers=headers)


def _patch(of: Chooser) -> Ask:
    task_id = of.task_id()
    return Ask("PATCH", TASK, task_id, headers=of.if_match(task_id), body=of.members())


def _put(of: Chooser) -> Ask:
    task_id = of.task_id()
    everybodys = [task for user in of.world.users for task in user.tasks.values()]
    # As somebody read it, whoever that was: the members that only the server writes are ignored.
    read = of.one({}, *everybodys)
    whole = {name: value for name, value in read.items() if value is not UNTOLD}
    whole.pop("title", None)
    whole.pop("description", None)
    return Ask("PUT", TASK, task_id, headers=of.if_match(task_id), body={**whole, **of.members()})


def _delete(of: Chooser) -> Ask:
    task_id = of.task_id()
    params = of.one({}, {"permanent": "false"}, {"permanent": "true"})
    if task_id.lower() in of.user.kept and params.get("permanent") == "true":
        params = {}
    return Ask("DELETE", TASK, task_id, params=params, headers=of.if_match(task_id))


def _complete(of: Chooser) -> Ask:
    task_id, body = of.task_id(), of.one(None, {"completed": True}, {"completed": False}, {})
    return Ask("PATCH", f"{TASK}/complete", task_id, headers=of.if_match(task_id), body=body)


def _restore(of: Chooser) -> Ask:
    task_id = of.task_id()
    return Ask("POST", f"{TASK}/restore", task_id, headers=of.if_match(task_id))


def _me(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), "/api/v1/me")


_ASKS: dict[Route, Callable[[Chooser], Ask]] = {
    ("GET", TASKS): _list,
    ("POST", TASKS): _create,
    ("GET", TASK): _read,
    ("PATCH", TASK): _patch,
    ("PUT", TASK): _put,
    ("DELETE", TASK): _delete,
    ("PATCH", f"{TASK}/complete"): _complete,
    ("POST", f"{TASK}/restore"): _restore,
    ("GET", "/api/v1/me"): _me,
}
ROUTES = sorted(_ASKS.keys() & CHECKS.keys())
"""The routes that the oracle can both ask and judge."""

_BODIES: dict[Route, Any] = {
    ("POST", TASKS): {"title": "x"}, ("PATCH", TASK): {"title": "x"}, ("PUT", TASK): {"title": "x"},
    ("PATCH", f"{TASK}/complete"): {"completed": True},
}  # fmt: skip


def without_good_token(of: Chooser) -> Ask:
    """Any request, without a token or with one that is not accepted."""
    method, path = route = of.one(*ROUTES)
    user_id = of.user.id
    token = of.one(
        None, "garbage", of.user.token[:-4], make_token(user_id, ttl=-3600), make_token(user_id, secret="other" * 9)
    )
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return Ask(method, path, of.task_id(), headers=headers, body=_BODIES.get(route), fault=401, good_token=False)


def with_a_fault(of: Chooser) -> Ask:
    """A request that breaks a rule, which is told before anybody's row is looked at."""
    method, path = route = of.one(*ROUTES)
    task_id, other = of.task_id(), of.one(*of.world.others(of.user))
    asks = [Ask(method, path, task_id, params={"user_id": other.id}, body=_BODIES.get(route), fault=422)]
    if route in _BODIES:
        forged = {**_BODIES[route], "owner": other.id}
        asks.append(Ask(method, path, task_id, body=forged, fault=422))
    if route in {("POST", TASKS), ("PATCH", TASK)}:
        asks.append(Ask(method, path, task_id, body={**_BODIES[route], "user_id": other.id}, fault=422))
    if route == ("GET", TASKS):
        asks += (Ask(method, path, params={"cursor": cursor}, fault=422) for cursor in ("", "x", "A" * 32))
    elif "{" in path:
        header = "If-None-Match" if method == "GET" else "If-Match"
        asks.append(Ask(method, path, task_id, headers={header: "no tag"}, body=_BODIES.get(route), fault=422))
    chosen: Ask = of.one(*asks)
    return chosen


def with_another_verb(of: Chooser) -> Ask:
    """A request with a method that its path does not have."""
    path = of.one(*sorted({path for _, path in ROUTES}))
    known = {method for method, of_path in ROUTES if of_path == path}
    method = of.one(*sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - known))
    return Ask(method, path, of.task_id(), fault=405)


MAKERS: tuple[Callable[[Chooser], Ask], ...] = (
    *(partial(Chooser.ask, route=route) for route in ROUTES),
    next_page,
    without_good_token,
    with_a_fault,
    with_another_verb,
)
"""Everything that can be asked."""

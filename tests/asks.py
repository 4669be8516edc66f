"""Requests for each route, good and bad ones alike, made out of choices.

Where the choices come from is left to the tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.asks_values import BAD, BAD_FILTERS, FILTERED, VALUES, Values
from tests.asks_values import TAGS as KNOWN_TAGS
from tests.conftest import make_token
from tests.oracle import BATCH, CHECKS, LIST, LISTS, ME, TAG, TAGS, TASK, TASKS, Ask, Route
from tests.oracle_account import NOTHING, as_batch
from tests.oracle_listing import can_tell, unplaced

__all__ = ["BAD", "FILTERED", "MAKERS", "ROUTES", "VALUES", "Chooser"]


class Chooser(Values):
    """Makes requests out of choices."""

    def ask(self, route: Route) -> Ask:
        return _ASKS[route](self)

    def new_id(self, row_id: str) -> tuple[dict[str, str], int]:
        """A member `id` for what is new, and the status of its fault."""
        row_id = row_id.lower()
        return {"id": row_id}, 0 if re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7.*", row_id) else 422

    def target(self, path: str) -> str:
        """What may stand in a path for its parameter."""
        if path.startswith(TAGS):
            return str(self.tag())
        return self.list_id() if path.startswith(LISTS) else self.task_id()

    def tag(self) -> str:
        kind = self.one("own", "own", "own", "known", "foreign", "none")
        users = [self.user] if kind == "own" else self.world.others(self.user)
        used = [tag for user in users for task in user.tasks.values() for tag in task["tags"]]
        if kind == "none" or (kind != "known" and not used):
            return str(self.one("nobody's", "x" * 51, "a\0b", "\n"))
        return str(self.one(*KNOWN_TAGS) if kind == "known" else self.one(*used))


def _list(of: Chooser) -> Ask:
    params = of.filters()
    params |= {
        name: value for name, value in (("limit", of.one(None, "1", "2")), ("count", of.one(None, "true"))) if value
    }
    cursors = [cursor for cursor in of.world.cursors if can_tell(of.user, cursor)]
    if cursors and of.one(False, False, True):
        params["cursor"] = of.one(*cursors)
    return Ask(of.one("GET", "GET", "HEAD"), TASKS, params=params, headers=of.if_changed())


def next_page(of: Chooser) -> Ask:
    """A page after a cursor that somebody was given, with the filters that it was made for."""
    cursors = [cursor for cursor in of.world.cursors if can_tell(of.user, cursor)]
    if not cursors:
        return Ask("GET", TASKS, params={"limit": "1"})
    cursor = of.one(*cursors[-8:])
    shape, *_ = of.world.cursors[cursor]
    filters = {name: value for name, value in shape.items() if value is not None}
    return Ask("GET", TASKS, params={"limit": of.one("1", "2", "200"), **filters, "cursor": cursor})


def _create(of: Chooser) -> Ask:
    body, fault = {**of.members(), "title": of.title()}, 0
    if of.one(False, False, True):
        more, fault = of.new_id(of.task_id())
        body |= more
    return Ask("POST", TASKS, body=body, fault=fault, pointer="/id")


def _read(of: Chooser) -> Ask:
    task_id = of.task_id()
    return Ask(of.one("GET", "HEAD"), TASK, task_id, headers=of.if_new(of.user.tasks.get(task_id.lower())))


def _patch(of: Chooser) -> Ask:
    task_id = of.task_id()
    return Ask(
        "PATCH",
        TASK,
        task_id,
        headers=of.if_match(of.user.tasks, task_id),
        body=of.mostly(of.members(), {}, {"metadata": {}}, of.members()),
    )


def _put(of: Chooser) -> Ask:
    task_id = of.task_id()
    user = of.one(of.user, *of.world.users)
    # As somebody read it, whoever that was: the members that only the server writes are ignored.
    read = of.one({}, *map(user.as_read, user.tasks.values()))
    whole = read if user is of.user else {name: value for name, value in read.items() if name not in _TOLD}
    return Ask("PUT", TASK, task_id, headers=of.if_match(of.user.tasks, task_id), body={**whole, **of.members()})


# What has a user's marker in it, or may.
_TOLD = {"title", "description", "tags", "metadata", "user_id"}


def _delete(of: Chooser) -> Ask:
    task_id = of.task_id()
    params = of.one({}, {}, {}, {"permanent": "false"}, {"permanent": "true"})
    if of.user.tasks.kept & of.of_own_tree(task_id.lower()) and params.get("permanent") == "true":
        params = {}
    return Ask("DELETE", TASK, task_id, params=params, headers=of.if_match(of.user.tasks, task_id))


def _complete(of: Chooser) -> Ask:
    series = [i for i, task in of.user.tasks.items() if task["recurrence"] and task["deleted_at"] is None]
    task_id = of.one(of.task_id(), *series[-2:])
    body = of.one(None, {"completed": True}, {"completed": False}, {})
    return Ask("PATCH", f"{TASK}/complete", task_id, headers=of.if_match(of.user.tasks, task_id), body=body)


def _restore(of: Chooser) -> Ask:
    task_id = of.task_id()
    return Ask("POST", f"{TASK}/restore", task_id, headers=of.if_match(of.user.tasks, task_id))


def _move(of: Chooser) -> Ask:
    if hidden := unplaced(of.user):
        # Where these are is known only after they have been read.
        deleted = "false" if hidden[0]["deleted_at"] is None else "true"
        return Ask("GET", TASKS, params={"limit": "200", "deleted": deleted})
    task_id = of.task_id()
    body = {name: VALUES[name](of) for name in ("list_id", "parent_id") if of.one(False, False, True)}
    task = {"list_id": None, "parent_id": None, **of.user.tasks.get(task_id.lower(), {}), **body}
    name = "parent_id" if task["parent_id"] else "list_id"
    beside = [one["id"] for one in of.user.tasks.values() if one[name] == task[name] and one["deleted_at"] is None]
    body["after"] = of.one(None, *beside, *beside, *[of._uuid(of.task_id())])
    return Ask("POST", f"{TASK}/move", task_id, headers=of.if_match(of.user.tasks, task_id), body=body)


def _of_lists(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), LISTS, headers=of.if_changed())


def _list_members(of: Chooser) -> dict[str, Any]:
    values = {
        "name": f"{of.one('Home', ' Work', 'Ω')} of {of.user.marker}",
        "color": of.one(None, "#2F855A", "#000000"),
    }
    return {name: value for name, value in values.items() if of.one(False, True)}


def _create_list(of: Chooser) -> Ask:
    body, fault = {"name": f"List of {of.user.marker}", **_list_members(of)}, 0
    if of.one(False, False, True):
        more, fault = of.new_id(of.list_id())
        body |= more
    return Ask("POST", LISTS, body=body, fault=fault, pointer="/id")


def _read_list(of: Chooser) -> Ask:
    list_id = of.list_id()
    return Ask(of.one("GET", "HEAD"), LIST, list_id, headers=of.if_new(of.user.lists.get(list_id.lower())))


def _patch_list(of: Chooser) -> Ask:
    list_id = of.list_id()
    return Ask("PATCH", LIST, list_id, headers=of.if_match(of.user.lists, list_id), body=_list_members(of))


def _move_list(of: Chooser) -> Ask:
    list_id = of.list_id()
    body = {"after": of.one(None, *of.user.lists, of._uuid(of.list_id()))}
    return Ask("POST", f"{LIST}/move", list_id, headers=of.if_match(of.user.lists, list_id), body=body)


def _delete_list(of: Chooser) -> Ask:
    list_id = of.list_id()
    headers = of.if_match(of.user.lists, list_id)
    if list_id.lower() in of.user.lists.kept:
        headers = {"If-Match": '"x"'}
    return Ask("DELETE", LIST, list_id, params=of.one({}, {"tasks": "trash"}, {"tasks": "keep"}), headers=headers)


def _of_tags(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), TAGS, headers=of.if_changed())


def _rename_tag(of: Chooser) -> Ask:
    return Ask("PATCH", TAG, of.tag(), body={"name": of.one(*KNOWN_TAGS, "new", of.user.marker)})


def _remove_tag(of: Chooser) -> Ask:
    return Ask("DELETE", TAG, of.tag())


def _me(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), ME)


def _export(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), f"{ME}/export")


def _import_nothing(_of: Chooser) -> Ask:
    return Ask("POST", f"{ME}/import", body=NOTHING)


def _erase_me(of: Chooser) -> Ask:
    # Never with one's own id: another life would begin, which the tests of the account look at.
    return Ask("DELETE", ME, params={"confirm": of.one(*of.world.others(of.user)).id})


def _batch(of: Chooser) -> Ask:
    inner = of.one(_create, _delete, _restore)(of)
    # What is no id is refused before it is looked for, in a batch.
    if inner.fault or (inner.target and not _UUID.fullmatch(inner.target)):
        inner = Ask("POST", TASKS, body={"title": of.title()})
    return as_batch(inner, atomic=of.one(True, False))


_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ASKS: dict[Route, Callable[[Chooser], Ask]] = {
    ("GET", TASKS): _list,
    ("POST", TASKS): _create,
    ("GET", TASK): _read,
    ("PATCH", TASK): _patch,
    ("PUT", TASK): _put,
    ("DELETE", TASK): _delete,
    ("PATCH", f"{TASK}/complete"): _complete,
    ("POST", f"{TASK}/restore"): _restore,
    ("POST", f"{TASK}/move"): _move,
    ("GET", LISTS): _of_lists,
    ("POST", LISTS): _create_list,
    ("GET", LIST): _read_list,
    ("PATCH", LIST): _patch_list,
    ("POST", f"{LIST}/move"): _move_list,
    ("DELETE", LIST): _delete_list,
    ("GET", TAGS): _of_tags,
    ("PATCH", TAG): _rename_tag,
    ("DELETE", TAG): _remove_tag,
    ("GET", ME): _me,
    ("GET", f"{ME}/export"): _export,
    ("POST", f"{ME}/import"): _import_nothing,
    ("POST", BATCH): _batch,
    ("DELETE", ME): _erase_me,
}
ROUTES = sorted(_ASKS.keys() & CHECKS.keys())
"""The routes that the oracle can both ask and judge."""

_BODIES: dict[Route, Any] = {
    ("POST", TASKS): {"title": "x"}, ("PATCH", TASK): {"title": "x"}, ("PUT", TASK): {"title": "x"},
    ("PATCH", f"{TASK}/complete"): {"completed": True}, ("POST", f"{TASK}/move"): {"after": None},
    ("POST", LISTS): {"name": "x"}, ("PATCH", LIST): {"name": "x"}, ("POST", f"{LIST}/move"): {"after": None},
    ("PATCH", TAG): {"name": "x"}, ("POST", f"{ME}/import"): NOTHING,
    ("POST", BATCH): {"operations": [{"op": "create", "task": {"title": "x"}}]},
}  # fmt: skip
_BAD_BODIES: dict[Route, tuple[dict[str, Any], ...]] = {
    ("POST", TASKS): ({"title": None}, {"id": "x"}),
    ("PATCH", f"{TASK}/complete"): ({"completed": None}, {"completed": "true"}),
    ("POST", f"{TASK}/move"): ({"after": "x"}, {"list_id": "x"}, {"parent_id": 1}, {"position": "x"}),
    ("POST", LISTS): ({"name": " "}, {"color": "red"}, {"id": "x"}, {"position": "x"}),
    ("PATCH", LIST): ({"name": None}, {"color": "#12345"}, {"version": 1}),
    ("POST", f"{LIST}/move"): ({"after": "x"}, {"position": "x"}),
    ("PATCH", TAG): ({"name": ""}, {"name": "x" * 51}, {"tasks": 1}),
}
_BAD_PARAMS: dict[Route, dict[str, tuple[Any, ...]]] = {
    ("GET", TASKS): BAD_FILTERS,
    ("DELETE", TASK): {"permanent": ("1", "")},
    ("DELETE", LIST): {"tasks": ("", "erase", "true")},
}


def without_good_token(of: Chooser) -> Ask:
    """Any request, without a token or with one that is not accepted."""
    method, path = route = of.one(*ROUTES)
    user_id = of.user.id
    token = of.one(
        None, "garbage", of.user.token[:-4], make_token(user_id, ttl=-3600), make_token(user_id, secret="other" * 9)
    )
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return Ask(method, path, of.target(path), headers=headers, body=_BODIES.get(route), fault=401, good_token=False)


def with_a_fault(of: Chooser) -> Ask:
    """A request that breaks a rule, which is told before anybody's row is looked at."""
    method, path = route = of.one(*ROUTES)
    target, other = of.target(path), of.one(*of.world.others(of.user))
    body = _BODIES.get(route)
    asks = [Ask(method, path, target, params={"user_id": other.id}, body=body, fault=422, pointer="/user_id")]
    for name, values in _BAD_PARAMS.get(route, {}).items():
        params = {name: of.one(*values)}
        asks.append(Ask(method, path, target, params=params, body=body, fault=422, pointer=f"/{name}"))
    # An import names what is wrong by its line.
    if body is not None and path != f"{ME}/import":
        asks += _with_a_bad_body(of, route, target, other.id)
    if "{" in path and path != TAG:
        header = "If-None-Match" if method == "GET" else "If-Match"
        asks.append(Ask(method, path, target, headers={header: "no tag"}, body=body, fault=422))
    chosen: Ask = of.one(*asks)
    return chosen


def _with_a_bad_body(of: Chooser, route: Route, target: str, other_id: str) -> list[Ask]:
    method, path = route
    wrong: list[dict[str, Any]] = [{"owner": other_id}, *_BAD_BODIES.get(route, ())]
    if method != "PUT":
        wrong.append({"user_id": other_id})
    if route in {("POST", TASKS), ("PATCH", TASK), ("PUT", TASK)}:
        # PUT takes back what it was given, and ignores what only the server writes.
        names = [name for name in BAD if name in VALUES or method != "PUT"]
        wrong += ({name: of.one(*BAD[name])} for name in names)
    return [
        Ask(method, path, target, body={**_BODIES[route], **one}, fault=422, pointer=f"/{next(iter(one))}")
        for one in wrong
    ]


def with_another_verb(of: Chooser) -> Ask:
    """A request with a method that its path does not have."""
    path = of.one(*sorted({path for _, path in ROUTES}))
    known = {method for method, pattern in ROUTES if _fits(pattern, path)}
    method = of.one(*sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - known))
    return Ask(method, path, of.target(path), fault=405)


def _fits(pattern: str, path: str) -> bool:
    """Whether a path is also one of a pattern, as a fixed one beside a parameter is."""
    return pattern == path or re.fullmatch(re.sub(r"\{[^}]*\}", "[^/{]+", pattern), path) is not None


MAKERS: tuple[Callable[[Chooser], Ask], ...] = (
    *(partial(Chooser.ask, route=route) for route in ROUTES for _ in range(3 if route[1].startswith(TASKS) else 1)),
    next_page,
    next_page,
    without_good_token,
    with_a_fault,
    with_another_verb,
)
"""Everything that can be asked, what changes tasks more often."""

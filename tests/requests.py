"""Requests for each route, good and bad ones alike, made out of choices: `_ASKS` has for each route how.

Where the choices come from is left to the tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests import requests_lists, requests_tasks
from tests.reference_account import NOTHING, as_batch
from tests.reference_model import BATCH, CHECKS, LIST, LISTS, ME, TAG, TAGS, TASK, TASKS, Ask, Route
from tests.requests_bad import BAD, BAD_FILTERS
from tests.requests_tasks import next_page
from tests.requests_values import FILTERED, VALUES, Chooser
from tests.serving import make_token

__all__ = ["BAD", "FILTERED", "MAKERS", "ROUTES", "VALUES", "Chooser"]


def _me(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), ME)


def _export(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), f"{ME}/export")


def _import_nothing(_of: Chooser) -> Ask:
    return Ask("POST", f"{ME}/import", body=NOTHING)


def _erase_me(of: Chooser) -> Ask:
    # Never with one's own id: another life would begin, which the tests of the account look at.
    return Ask("DELETE", ME, params={"confirm": of.one(*of.world.others(of.user)).id})


def _empty_trash(of: Chooser) -> Ask:
    kept = [task_id for task_id in of.user.tasks.kept if of.user.tasks[task_id]["deleted_at"] is not None]
    wrong = of.one({}, {"deleted": "false"}, {"deleted": "true", "completed": "true"}, {"permanent": "true"})
    # Rarely, or there would be no trash.
    params = wrong if kept or of.one(True, True, True, False) else {"deleted": "true"}
    return Ask("DELETE", TASKS, params=params)


def _clear_completed(of: Chooser) -> Ask:
    params = of.one({"list_id": "none"}, *({"list_id": list_id} for list_id in of.user.lists), {})
    return Ask("DELETE", f"{TASKS}/completed", params=params)


def _batch(of: Chooser) -> Ask:
    inner = of.one(requests_tasks.create, requests_tasks.delete, requests_tasks.restore)(of)
    # What is no id is refused before it is looked for, in a batch.
    if inner.fault or (inner.target and not _UUID.fullmatch(inner.target)):
        inner = Ask("POST", TASKS, body={"title": of.title()})
    return as_batch(inner, atomic=of.one(True, False))


_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ASKS: dict[Route, Callable[[Chooser], Ask]] = {
    ("GET", TASKS): requests_tasks.listing,
    ("POST", TASKS): requests_tasks.create,
    ("DELETE", TASKS): _empty_trash,
    ("DELETE", f"{TASKS}/completed"): _clear_completed,
    ("GET", TASK): requests_tasks.read,
    ("PATCH", TASK): requests_tasks.patch,
    ("PUT", TASK): requests_tasks.put,
    ("DELETE", TASK): requests_tasks.delete,
    ("PATCH", f"{TASK}/complete"): requests_tasks.complete,
    ("POST", f"{TASK}/restore"): requests_tasks.restore,
    ("POST", f"{TASK}/move"): requests_tasks.move,
    ("GET", LISTS): requests_lists.listing,
    ("POST", LISTS): requests_lists.create,
    ("GET", LIST): requests_lists.read,
    ("PATCH", LIST): requests_lists.patch,
    ("POST", f"{LIST}/move"): requests_lists.move,
    ("DELETE", LIST): requests_lists.delete,
    ("GET", TAGS): requests_lists.of_tags,
    ("PATCH", TAG): requests_lists.rename_tag,
    ("DELETE", TAG): requests_lists.remove_tag,
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
    ("PATCH", f"{TASK}/complete"): (
        *({"completed": None}, {"completed": "true"}, {"completed_at": "x"}),
        {"subtasks": "x"},
    ),
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
    ("POST", f"{ME}/import"): {
        "format": ("", "csv"), "tz": BAD_FILTERS["tz"], "name": ("", " ", "a\nb", "x" * 256, "Without a format"),
    },
}  # fmt: skip


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
    known = {method for method, of_path in ROUTES if of_path == path}
    method = of.one(*sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - known))
    return Ask(method, path, of.target(path), fault=405)


_OFTEN = dict.fromkeys(
    [("GET", TASKS), ("POST", TASKS), ("PATCH", TASK), ("PATCH", f"{TASK}/complete"), ("POST", f"{TASK}/move")], 4
) | dict.fromkeys([("DELETE", TASK), ("POST", f"{TASK}/restore"), ("PUT", TASK), ("GET", TASK)], 2)
MAKERS: tuple[Callable[[Chooser], Ask], ...] = (
    *(_ASKS[route] for route in ROUTES for _ in range(_OFTEN.get(route, 1))),
    *[next_page] * 2,
    *[without_good_token] * 3,
    *[with_a_fault] * 3,
    with_another_verb,
)
"""Everything that can be asked, what changes tasks more often."""

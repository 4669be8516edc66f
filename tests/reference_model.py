"""What one user must be answered, request by request, kept in memory beside the service.

An `Ask` is a request. A `User` knows what is theirs, and of others only whether an id is in use; `check` holds an
answer against that and notes what it changed. `CHECKS` has for each route how. `tests.requests` makes requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2

from tests import reference_account, reference_lists, reference_tags, reference_tasks, reference_trees
from tests.reference_account import BATCH, ME
from tests.reference_listing import FILTERS, SORTS, listing
from tests.reference_next import learn, to_learn
from tests.reference_request import LIST, LISTS, TAG, TAGS, TASK, TASKS, Ask, Route
from tests.reference_tasks import WRITABLE
from tests.reference_trees import UNTOLD
from tests.reference_world import Seen, Shelf, User, World, markers
from tests.task_values import DEFAULTS

__all__ = [
    "BATCH", "CHECKS", "DEFAULTS", "FILTERS", "LIST", "LISTS", "ME", "TAG", "TAGS", "TASK", "TASKS", "WRITABLE", "Ask",
    "Route", "Seen", "Shelf", "User", "World", "check", "everything", "in_every_way", "learn", "to_learn",
]  # fmt: skip


def check(user: User, ask: Ask, answer: httpx2.Response) -> bool:
    """Hold the answer against what it must be, and note what it changed.

    Returns:
        Whether anything of this user's was written.
    """
    seen = user.world.seen
    seen[ask.route, answer.status_code] += 1
    # A problem repeats the path that was asked for, and nothing else.
    asked = {ask.target} if answer.status_code >= 400 and answer.text.count(ask.target) == 1 else set()
    assert markers(answer) <= {user.marker, *asked}, answer.text
    if ask.method == "HEAD":
        assert answer.content == b""
    if ask.fault:
        user.problem(ask, answer, ask.fault)
        return False
    changes = user.changes
    CHECKS[ask.route](user, ask, answer)
    if answer.status_code < 300:
        seen[ask.route, "done"] += 1
    return user.changes != changes


def _batch(user: User, ask: Ask, answer: httpx2.Response) -> None:
    reference_account.batch(user, ask, answer, CHECKS)


CHECKS: dict[Route, Callable[[User, Ask, httpx2.Response], None]] = {
    ("GET", TASKS): listing,
    ("POST", TASKS): reference_tasks.create,
    ("DELETE", TASKS): reference_trees.empty_trash,
    ("DELETE", f"{TASKS}/completed"): reference_trees.clear_completed,
    ("GET", TASK): User.read,
    ("PATCH", TASK): reference_tasks.update,
    ("PUT", TASK): reference_tasks.update,
    ("DELETE", TASK): reference_trees.delete,
    ("PATCH", f"{TASK}/complete"): reference_tasks.complete,
    ("POST", f"{TASK}/restore"): reference_trees.restore,
    ("POST", f"{TASK}/move"): reference_trees.move,
    ("GET", LISTS): reference_lists.listing,
    ("POST", LISTS): reference_lists.create,
    ("GET", LIST): User.read,
    ("PATCH", LIST): reference_lists.update,
    ("POST", f"{LIST}/move"): reference_lists.move,
    ("DELETE", LIST): reference_lists.delete,
    ("GET", TAGS): reference_tags.listing,
    ("PATCH", TAG): reference_tags.rename,
    ("DELETE", TAG): reference_tags.remove,
    ("GET", ME): reference_account.me,
    ("GET", f"{ME}/export"): reference_account.export,
    ("POST", f"{ME}/import"): reference_account.import_nothing,
    ("POST", BATCH): _batch,
    ("DELETE", ME): reference_account.erasure_of_another,
}


def everything(user: User) -> Iterator[Ask]:
    """What shows a user all that is theirs."""
    for deleted in ("false", "true"):
        yield Ask("GET", TASKS, params={"deleted": deleted, "limit": "200"})
    for path in (LISTS, TAGS):
        yield Ask("GET", path)
    for path, shelf in ((TASK, user.tasks), (LIST, user.lists)):
        for row_id in shelf.ever:
            yield Ask("GET", path, row_id)


def in_every_way(user: User) -> Iterator[Ask]:
    """What shows a user what is live by each thing that a listing may be sorted by, and by each filter."""
    sorts = [{"sort": sign + name} for name in SORTS for sign in ("", "-")]
    # The days around those on which something is due.
    moments = ("2020-02-28", "2020-03-01", "2031-06-30", "2031-07-01T12:00:00.5Z", "2031-07-02")
    dues = [{name: moment} for name in ("due_before", "due_after", "due_on") for moment in moments]
    tasks = user.tasks.values()
    inside = [{name: value} for name in ("list_id", "parent_id") for value in {task[name] or "none" for task in tasks}]
    since = sorted(user.moments.values())[len(user.moments) // 2 :][:1]
    times = ("created_since", "updated_since", "completed_since", "completed_before")
    changed = [{name: moment} for name in times for moment in since]
    series = [{"series": value} for value in sorted({task["series_id"] for task in tasks} - {None, UNTOLD})]
    others = [{"completed": "true"}, {"priority": "none,high"}, {"overdue": "true"}, {"q": "of idea"}, {"tag": "home"}]
    others += [{"due": "none"}, {"tag": "none"}, {"tag_any": "home"}]
    for params in (*sorts, *dues, *inside, *changed, *series, *others):
        yield Ask("GET", TASKS, params={**params, "limit": "200"})

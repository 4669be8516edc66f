"""How tasks are asked for, changed and listed."""

from __future__ import annotations

from tests.reference_listing import can_tell
from tests.reference_request import TASK, TASKS, Ask
from tests.reference_trees import siblings
from tests.reference_world import SAID
from tests.requests_values import VALUES, Chooser


def listing(of: Chooser) -> Ask:
    params = of.filters()
    params |= {
        name: value
        for name, value in (("limit", of.one(None, None, None, "1", "2")), ("count", of.one(None, "true")))
        if value
    }
    cursors = [cursor for cursor in of.world.cursors if can_tell(of.user, cursor)]
    if cursors and of.one(*[False] * 5, True):
        params["cursor"] = of.one(*cursors)
    return Ask(of.one("GET", "GET", "HEAD"), TASKS, params=params, headers=of.if_changed())


def next_page(of: Chooser) -> Ask:
    """A page after a cursor that somebody was given, with the filters that it was made for."""
    cursors = [cursor for cursor in of.world.cursors if can_tell(of.user, cursor)]
    if not cursors:
        return Ask("GET", TASKS, params={"limit": "1"})
    own = [cursor for cursor in cursors if of.world.cursors[cursor][1][-1][1] in of.user.tasks.ever]
    cursor = of.one(*((own if own and of.one(False, True) else cursors)[-8:]))
    shape, *_ = of.world.cursors[cursor]
    filters = {name: value for name, value in shape.items() if value is not None}
    return Ask("GET", TASKS, params={"limit": of.one("1", "2", "200"), **filters, "cursor": cursor})


def create(of: Chooser) -> Ask:
    body, fault = {**of.members(), "title": of.title()}, 0
    if (deepest := of.deepest()) and of.one(False, False, True):
        # Nothing else may be in the way, or trees would not grow.
        return Ask("POST", TASKS, body={"title": of.title(), "parent_id": deepest, "tags": of.tags()})
    if of.one(False, False, True):
        more, fault = of.new_id(of.task_id())
        body |= more
    return Ask("POST", TASKS, body=body, fault=fault, pointer="/id")


def read(of: Chooser) -> Ask:
    task_id = of.task_id()
    return Ask(of.one("GET", "HEAD"), TASK, task_id, headers=of.if_new(of.user.tasks.get(task_id.lower())))


def patch(of: Chooser) -> Ask:
    task_id = of.task_id()
    return Ask(
        "PATCH",
        TASK,
        task_id,
        headers=of.if_match(of.user.tasks, task_id),
        body=of.mostly(of.members(), {}, {"metadata": {}}, {"parent_id": of.deepest()}),
    )


def put(of: Chooser) -> Ask:
    task_id = of.task_id()
    user = of.one(of.user, *of.world.users)
    # As somebody read it, whoever that was: the members that only the server writes are ignored.
    read = of.one({}, *map(user.as_read, user.tasks.values()))
    # It would be written; of another task's time only its own user knows in which order it is.
    read = {name: value for name, value in read.items() if name != "completed_at"}
    whole = read if user is of.user else {name: value for name, value in read.items() if name not in _TOLD}
    return Ask("PUT", TASK, task_id, headers=of.if_match(of.user.tasks, task_id), body={**whole, **of.members()})


# What has a user's marker in it, or may.
_TOLD = {"title", "description", "tags", "metadata", "user_id"}


def delete(of: Chooser) -> Ask:
    task_id = of.task_id()
    params = of.one({}, {}, {}, {"permanent": "false"}, {"permanent": "true"})
    if of.user.tasks.kept & of.of_own_tree(task_id.lower()) and params.get("permanent") == "true":
        params = {}
    return Ask("DELETE", TASK, task_id, params=params, headers=of.if_match(of.user.tasks, task_id))


def complete(of: Chooser) -> Ask:
    series = [i for i, task in of.user.tasks.items() if task["recurrence"] and task["deleted_at"] is None]
    done = [task_id for task_id in series if of.user.tasks[task_id]["completed"]]
    task_id = of.one(of.task_id(), *(of.one(*some) for some in (series, done, done) if some))
    more = ({"completed": True, "completed_at": SAID}, {"completed": True, "subtasks": "leave"})
    body = of.one(None, {"completed": True}, {"completed": False}, *more)
    return Ask("PATCH", f"{TASK}/complete", task_id, headers=of.if_match(of.user.tasks, task_id), body=body)


def restore(of: Chooser) -> Ask:
    roots = {task["_root"] for task in of.user.tasks.values() if task["_root"] in of.user.tasks}
    task_id = of.one(of.task_id(), of.task_id(), *sorted(roots)[-2:])
    return Ask("POST", f"{TASK}/restore", task_id, headers=of.if_match(of.user.tasks, task_id))


def move(of: Chooser) -> Ask:
    beside = {task["id"]: siblings(of.user, task) for task in of.user.tasks.values() if task["deleted_at"] is None}
    crowded = [task_id for task_id, others in beside.items() if len(others) > 1]
    if crowded and of.one(False, True):
        task_id = of.one(*crowded)
        return Ask(
            "POST", f"{TASK}/move", task_id, body={"after": of.one(None, *(one["id"] for one in beside[task_id]))}
        )
    task_id = of.task_id()
    body = {name: VALUES[name](of) for name in ("list_id", "parent_id") if of.one(False, False, True)}
    body |= of.one({}, {}, {"parent_id": of.deepest()})
    task = {"list_id": None, "parent_id": None, **of.user.tasks.get(task_id.lower(), {}), **body}
    name = "parent_id" if task["parent_id"] else "list_id"
    there = [one["id"] for one in of.user.tasks.values() if one[name] == task[name] and one["deleted_at"] is None]
    body |= of.one({}, *({"after": one} for one in (None, *there, *there, of.uuid(of.task_id()))))
    return Ask("POST", f"{TASK}/move", task_id, headers=of.if_match(of.user.tasks, task_id), body=body)

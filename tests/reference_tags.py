"""What the routes of tags must answer, and what they do to tasks."""

from __future__ import annotations

from collections import Counter

import httpx2

from tests.reference_request import Ask
from tests.reference_world import Row, User


def in_use(user: User) -> Counter[str]:
    """How many live tasks have each tag."""
    return Counter(tag for task in user.tasks.values() if task["deleted_at"] is None for tag in task["tags"])


def listing(user: User, ask: Ask, answer: httpx2.Response) -> None:
    if user.collection(ask, answer):
        used = in_use(user)
        assert answer.json() == [{"name": tag, "tasks": used[tag]} for tag in sorted(used)]


def _with(user: User, tag: str) -> list[Row]:
    """The tasks that have a tag, those in the trash as well."""
    return [task for task in user.tasks.values() if tag in task["tags"]]


def rename(user: User, ask: Ask, answer: httpx2.Response) -> None:
    tag, new = ask.target.strip(), ask.body["name"].strip()
    tagged = _with(user, tag)
    if not tagged:
        # A tag of others' is one that nobody has.
        user.problem(ask, answer, 404)
        return
    if tag != new:
        user.change(*tagged)
        for task in tagged:
            has_both = new in task["tags"]
            task["tags"] = [new if one == tag else one for one in task["tags"] if one != tag or not has_both]
            if has_both:
                user.note(ask, "both")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"name": new, "tasks": in_use(user)[new]}


def remove(user: User, ask: Ask, answer: httpx2.Response) -> None:
    tag = ask.target.strip()
    tagged = _with(user, tag)
    if not tagged:
        user.problem(ask, answer, 404)
        return
    assert (answer.status_code, answer.content) == (204, b"")
    user.change(*tagged)
    for task in tagged:
        task["tags"] = [one for one in task["tags"] if one != tag]

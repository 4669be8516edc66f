"""How lists and tags are asked for and changed."""

from __future__ import annotations

from typing import Any

from tests.reference_request import LIST, LISTS, TAG, TAGS, Ask
from tests.requests_values import TAGS as KNOWN_TAGS
from tests.requests_values import Chooser


def listing(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), LISTS, headers=of.if_changed())


def _list_members(of: Chooser) -> dict[str, Any]:
    values = {
        "name": f"{of.one('Home', ' Work', 'Ω')} of {of.user.marker}",
        "color": of.one(None, "#2F855A", "#000000"),
    }
    return {name: value for name, value in values.items() if of.one(False, True)}


def create(of: Chooser) -> Ask:
    body, fault = {"name": f"List of {of.user.marker}", **_list_members(of)}, 0
    if of.one(False, False, True):
        more, fault = of.new_id(of.list_id())
        body |= more
    return Ask("POST", LISTS, body=body, fault=fault, pointer="/id")


def read(of: Chooser) -> Ask:
    list_id = of.list_id()
    return Ask(of.one("GET", "HEAD"), LIST, list_id, headers=of.if_new(of.user.lists.get(list_id.lower())))


def patch(of: Chooser) -> Ask:
    list_id = of.list_id()
    return Ask("PATCH", LIST, list_id, headers=of.if_match(of.user.lists, list_id), body=_list_members(of))


def move(of: Chooser) -> Ask:
    list_id = of.list_id()
    body = of.one({}, *({"after": one} for one in (None, *of.user.lists, of.uuid(of.list_id()))))
    return Ask("POST", f"{LIST}/move", list_id, headers=of.if_match(of.user.lists, list_id), body=body)


def delete(of: Chooser) -> Ask:
    with_tasks = {task["list_id"] for task in of.user.tasks.values() if task["list_id"] is not None}
    list_id = of.one(of.list_id(), *sorted(with_tasks - of.user.lists.kept))
    headers = of.if_match(of.user.lists, list_id)
    if list_id.lower() in of.user.lists.kept:
        headers = {"If-Match": '"x"'}
    return Ask("DELETE", LIST, list_id, params=of.one({}, {"tasks": "trash"}, {"tasks": "keep"}), headers=headers)


def of_tags(of: Chooser) -> Ask:
    return Ask(of.one("GET", "HEAD"), TAGS, headers=of.if_changed())


def rename_tag(of: Chooser) -> Ask:
    tag = of.tag()
    beside = {other for task in of.user.tasks.values() if tag in task["tags"] for other in task["tags"]}
    return Ask("PATCH", TAG, tag, body={"name": of.one(*KNOWN_TAGS, "new", of.user.marker, *sorted(beside))})


def remove_tag(of: Chooser) -> Ask:
    return Ask("DELETE", TAG, of.tag())

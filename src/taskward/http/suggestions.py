"""Suggests a parameter, a member or a value to a client that used another API's name for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from taskward.runtime.suggestions import nearest

# Other APIs' names, each with ours in the order in which they are looked for. Case, `_` and `-` tell none apart.
_OTHER_NAMES = {
    "status": ("completed",), "state": ("completed",), "done": ("completed",), "is_done": ("completed",),
    "is_completed": ("completed",), "is_complete": ("completed",), "checked": ("completed",),
    "finished": ("completed",),
    "search": ("q",), "query": ("q",), "keyword": ("q",), "keywords": ("q",), "text": ("q", "title"),
    "order": ("sort",), "order_by": ("sort",), "sort_by": ("sort",), "sort_order": ("sort",), "ordering": ("sort",),
    "direction": ("sort",), "offset": ("cursor",), "page": ("cursor",), "skip": ("cursor",), "after": ("cursor",),
    "page_token": ("cursor",), "per_page": ("limit",), "page_size": ("limit",), "size": ("limit",), "take": ("limit",),
    "max_results": ("limit",), "total": ("count",), "include_deleted": ("deleted",), "trashed": ("deleted",),
    "title": ("name", "q"), "name": ("title", "q"), "task": ("title", "q"), "content": ("title",),
    "summary": ("title",), "subject": ("title",),
    "notes": ("description",), "note": ("description",), "body": ("description",), "details": ("description",),
    "due": ("due_date", "due_on"), "due_date": ("due_date", "due_on"), "deadline": ("due_date", "due_before"),
    "due_time": ("due_at",), "due_datetime": ("due_at",), "due_from": ("due_after",), "due_to": ("due_before",),
    "updated_after": ("updated_since",), "modified_since": ("updated_since",), "since": ("updated_since",),
    "created_after": ("created_since",), "completed_after": ("completed_since",),
    "timezone": ("time_zone", "tz"), "importance": ("priority",),
    "labels": ("tags", "tag"), "label": ("tags", "tag"), "tags": ("tag",), "tag": ("tags",), "category": ("list_id",),
    "project_id": ("list_id",), "project": ("list_id",), "list": ("list_id",), "folder_id": ("list_id",),
    "parent": ("parent_id",), "parent_task_id": ("parent_id",),
    "repeat": ("recurrence",), "rrule": ("recurrence",), "recurring": ("recurrence",), "colour": ("color",),
}  # fmt: skip
_OTHER_WORDS = {
    "critical": ("urgent",), "highest": ("urgent",), "important": ("high",), "normal": ("medium",),
    "med": ("medium",),
    "moderate": ("medium",), "lowest": ("low",),
    "add": ("create",), "insert": ("create",), "edit": ("update",), "patch": ("update",), "change": ("update",),
    "done": ("complete", "completion"), "finish": ("complete",), "remove": ("delete",), "trash": ("delete",),
    "undelete": ("restore",),
}  # fmt: skip
_OTHER_SORTS = {
    "due_date": ("due",), "due_at": ("due",), "deadline": ("due",), "name": ("title",), "importance": ("priority",),
    "created": ("created_at",), "creation_date": ("created_at",), "date_added": ("created_at",),
    "updated": ("updated_at",), "modified": ("updated_at",), "modified_at": ("updated_at",),
    "completed": ("completed_at",), "status": ("completed_at",), "done": ("completed_at",), "order": ("position",),
}  # fmt: skip
# These are known, and only the server writes them.
_NEVER_WRITTEN = ("user_id", "position", "version", "created_at", "updated_at", "deleted_at", "series_id")
_DIRECTION = re.compile(r"[ :.+,_-]?(?:asc|desc)(?:ending)?$", re.IGNORECASE)


def suggestion(name: str, known: Collection[str]) -> str:
    """A sentence that names what was meant, with a space before it, or nothing.

    Args:
        name: As the client wrote it.
        known: The names that it could have written there.
    """
    unwritten = {one: None for one in _NEVER_WRITTEN if one not in known}
    return _did_you_mean(name, _names(known, _OTHER_NAMES) | unwritten)


def word_suggestion(word: str, known: Collection[str]) -> str:
    """As `suggestion`, for a value of which there are few."""
    return _did_you_mean(word, _names(known, _OTHER_WORDS))


def sort_suggestion(sort: str, known: Collection[str]) -> str:
    """As `suggestion`, for what a listing is sorted by. A direction is told in our way of writing it."""
    name = sort.strip("+- ")
    plain = _DIRECTION.sub("", name)
    goes_down = sort.startswith("-") or "desc" in name[len(plain) :].lower()
    return _did_you_mean(plain, _names(known, _OTHER_SORTS), "-" if goes_down else "")


def _names(known: Collection[str], others: Mapping[str, tuple[str, ...]]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for other, ours in others.items():
        meant = next((one for one in ours if one in known), None)
        if meant is not None:
            found[other] = meant
    return found | {one: one for one in known}


def _did_you_mean(name: str, names: Mapping[str, str | None], before: str = "") -> str:
    # A name without one of ours is known and cannot be written.
    close = nearest(name, names)
    meant = None if close is None else names[close]
    return "" if meant is None else f" Did you mean {before}{meant}?"

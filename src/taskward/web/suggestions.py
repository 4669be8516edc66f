"""What a client meant that named a parameter or a member as another API does."""

from __future__ import annotations

from collections.abc import Collection

from taskward.suggestions import in_snake_case, nearest

# Other APIs' names, each with ours in the order in which they are looked for.
_OTHER_NAMES = {
    "status": ("completed",), "state": ("completed",), "done": ("completed",), "is_done": ("completed",),
    "is_completed": ("completed",), "is_complete": ("completed",), "checked": ("completed",),
    "search": ("q",), "query": ("q",), "keyword": ("q",), "text": ("q", "title"),
    "order": ("sort",), "order_by": ("sort",), "sort_by": ("sort",), "sort_order": ("sort",), "ordering": ("sort",),
    "offset": ("cursor",), "page": ("cursor",), "skip": ("cursor",), "after": ("cursor",),
    "per_page": ("limit",), "page_size": ("limit",), "size": ("limit",), "take": ("limit",),
    "name": ("title", "name"), "task": ("title",), "content": ("title",), "summary": ("title",),
    "notes": ("description",), "note": ("description",), "body": ("description",), "details": ("description",),
    "due": ("due_date", "due_on"), "due_date": ("due_date", "due_on"), "deadline": ("due_date", "due_before"),
    "due_time": ("due_at",), "due_datetime": ("due_at",),
    "timezone": ("time_zone", "tz"), "time_zone": ("time_zone", "tz"),
    "labels": ("tags", "tag"), "label": ("tags", "tag"), "tags": ("tags", "tag"), "category": ("list_id",),
    "project_id": ("list_id",), "project": ("list_id",), "list": ("list_id",),
    "parent": ("parent_id",), "repeat": ("recurrence",), "rrule": ("recurrence",), "recurring": ("recurrence",),
}  # fmt: skip
# These are known, and only the server writes them.
_NEVER_WRITTEN = frozenset({"user_id", "position", "version", "created_at", "updated_at", "deleted_at", "series_id"})


def suggestion(name: str, known: Collection[str]) -> str:
    """A sentence that names what was meant, with a space before it, or nothing.

    Args:
        name: As the client wrote it.
        known: The names that it could have written there.
    """
    plain = in_snake_case(name)
    if plain in _NEVER_WRITTEN:
        return ""
    meant = next((other for other in (plain, *_OTHER_NAMES.get(plain, ())) if other in known), None)
    meant = meant or nearest(plain, known)
    return "" if meant is None else f" Did you mean {meant}?"

"""What members and parameters must not be."""

from __future__ import annotations

from typing import Any

BAD: dict[str, tuple[Any, ...]] = {
    "title": (None, "", " ", "a\nb", "x" * 256, 1),
    "description": ("a\0b", "x" * 10_001, 1),
    "completed": (None, "true", 1),
    "priority": (None, "highest", 3),
    "due_date": ("2026-02-30", "2026-01-01T00:00:00Z", "tomorrow", 20260101),
    "due_at": ("2026-01-01", "2026-01-01T00:00:00", 1767225600),
    "time_zone": ("Mars/Olympus", "europe/berlin", "+01:00", 1),
    "recurrence": (
        "",
        "FREQ=HOURLY",
        "RRULE:FREQ=DAILY",
        "FREQ=DAILY;COUNT=2;UNTIL=20300101",
        "FREQ=DAILY;BYHOUR=9",
        1,
    ),
    "recurs_from": (None, "start"),
    "list_id": ("x", "none", 1, "0" * 32),
    "parent_id": ("x", "none", 1, "0" * 32),
    "tags": (None, "home", ["a", "a"], ["a", " a"], [""], ["x" * 51], [str(n) for n in range(21)], ["."], [1]),
    "metadata": (None, [], "x", {"x": "x" * 8192}),
    **dict.fromkeys(("position", "version", "created_at", "updated_at", "deleted_at"), ("x", None)),
    "completed_at": ("x", 1, "2026-02-30T00:00:00Z"),
}
"""What members must not be, and those that clients never write."""

BAD_FILTERS: dict[str, tuple[Any, ...]] = {
    "completed": ("yes", "1"),
    "priority": ("", "highest", "low,"),
    "tag": (("",), ("x" * 51,)),
    "tag_any": (("",), ("home", "x" * 51)),
    "list_id": ("", "x"),
    "parent_id": ("", "x"),
    "series": ("", "x", "none"),
    "due": ("", "2026-01-10", "any"),
    "due_on": ("", "today", "2026-02-30"),
    "due_before": ("", "tomorrow", "2026-02-30", "0001-01-01"),
    "due_after": ("2026",),
    "updated_since": ("yesterday",),
    "created_since": ("0",),
    "completed_since": ("never",),
    "completed_before": ("",),
    "overdue": ("maybe",),
    "tz": ("", "Mars/Olympus"),
    "q": ("a\0b", "x" * 501, " ".join(map(str, range(33)))),
    "deleted": ("all",),
    "sort": ("", "name", "id,id", "id,-id", "--id"),
    "limit": ("0", "201", "1.0", "x"),
    "cursor": ("", "x", "A" * 32),
    "count": ("yes",),
}
"""What parameters must not be."""

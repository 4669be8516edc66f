"""What other APIs call the members, the parameters and the values of tasks."""

from __future__ import annotations

from taskward.kit.suggestions import Vocabulary

OTHER_NAMES = Vocabulary(
    names={
        "status": ("completed",), "state": ("completed",), "done": ("completed",), "is_done": ("completed",),
        "is_completed": ("completed",), "is_complete": ("completed",), "checked": ("completed",),
        "finished": ("completed",), "completed_after": ("completed_since",),
        "title": ("q",), "name": ("title", "q"), "text": ("title",), "task": ("title", "q"), "content": ("title",),
        "summary": ("title",), "subject": ("title",),
        "notes": ("description",), "note": ("description",), "body": ("description",), "details": ("description",),
        "due": ("due_date", "due_on"), "due_date": ("due_date", "due_on"), "deadline": ("due_date", "due_before"),
        "due_time": ("due_at",), "due_datetime": ("due_at",), "due_from": ("due_after",), "due_to": ("due_before",),
        "importance": ("priority",), "repeat": ("recurrence",), "rrule": ("recurrence",), "recurring": ("recurrence",),
        "labels": ("tags", "tag"), "label": ("tags", "tag"), "tags": ("tag",), "tag": ("tags",),
        "project": ("list_id",), "project_id": ("list_id",), "list": ("list_id",), "folder_id": ("list_id",),
        "category": ("list_id",),
        "parent": ("parent_id",), "parent_task_id": ("parent_id",),
    },
    words={
        "critical": ("urgent",), "highest": ("urgent",), "important": ("high",), "normal": ("medium",),
        "med": ("medium",), "moderate": ("medium",), "lowest": ("low",),
        "done": ("complete", "completion"), "finish": ("complete",),
    },
    sorts={
        "due_date": ("due",), "due_at": ("due",), "deadline": ("due",), "name": ("title",),
        "importance": ("priority",),
        "completed": ("completed_at",), "status": ("completed_at",), "done": ("completed_at",),
    },
    unwritten=("series_id",),
)  # fmt: skip

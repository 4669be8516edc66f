"""What can end a request about a task, besides what can end any."""

from __future__ import annotations

from uuid import UUID

from taskward.errors import Problem


class TaskForbidden(Problem):
    """The task exists and belongs to someone else. Nothing about it is told and nothing of it was changed."""

    status, slug, title = 403, "forbidden", "Not your task"
    detail = "Use the id of a task of your own."


class TaskNotFound(Problem):
    """You have no task with this id, or it is in the trash. Trashed tasks are listed with `?deleted=true`."""

    status, slug, title = 404, "task-not-found", "No such task"
    detail = "Check the id. A task in the trash must be restored first, or can be erased with permanent=true."
    sought: UUID | None = None
    """The id, where it is not known yet whether somebody else has such a task."""


class TaskIdTaken(Problem):
    """You already have a task with the id that you chose, live or in the trash. The existing task is unchanged."""

    status, slug, title = 409, "task-id-taken", "You already have this id"
    detail = "Choose another id, or change the existing task."


class Cycle(Problem):
    """The task would become a part of itself. Nothing was written."""

    status, slug, title = 409, "cycle", "A task cannot be a part of itself"
    detail = "Choose a parent_id that is neither the task's own nor one of its subtasks'."

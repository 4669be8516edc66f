"""What can end a request about a list, besides what can end any."""

from __future__ import annotations

from taskward.errors import Problem


class ListForbidden(Problem):
    """The list exists and belongs to someone else. Nothing about it is told and nothing of it was changed."""

    status, slug, title = 403, "list-forbidden", "Not your list"
    detail = "Use the id of a list of your own."


class ListNotFound(Problem):
    """You have no list with this id. Your lists are at `/api/v1/lists`."""

    status, slug, title = 404, "list-not-found", "No such list"
    detail = "Check the id."


class ListIdTaken(Problem):
    """You already have a list with the id that you chose. The existing list is unchanged."""

    status, slug, title = 409, "list-id-taken", "You already have this id"
    detail = "Choose another id, or change the existing list."

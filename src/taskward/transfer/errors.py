"""What can end an import, besides what can end any request."""

from __future__ import annotations

from taskward.errors import Problem


class AlreadyImported(Problem):
    """You have imported this very file before in the same way, and some of what it brought is there. Nothing was
    written, so that nothing of it is there twice.
    """

    status, slug, title = 409, "already-imported", "This file was imported before"
    detail = "Look for its tasks in your lists; delete the lists and tasks that it brought to import it again."

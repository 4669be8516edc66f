"""What can end a request about a tag, besides what can end any."""

from __future__ import annotations

from taskward.errors import Problem


class TagNotFound(Problem):
    """None of your tasks has this tag. The tags in use are at `/api/v1/tags`."""

    status, slug, title = 404, "tag-not-found", "No such tag"
    detail = "Check the tag's spelling, and that it is percent-encoded."

"""How many tasks, and how many different tags on them, one user may have."""

from __future__ import annotations

from taskward.kit.limits import Limit, Limits

TASKS = Limit(
    "tasks", 100_000, "Erase some for good first; the trash counts as well.", "Those in the trash count as well."
)
TAGS = Limit("tags", 2_000, "Remove a tag first; those of tasks in the trash count as well.")


def most_with_next(limits: Limits) -> int:
    """The limit for next tasks of series: a user who may make no more tasks can still complete recurring ones."""
    most = limits[TASKS]
    return most + -(-most // 10)

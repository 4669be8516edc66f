"""How much one user may have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one user may have.

    Attributes:
        tasks: Those in the trash included.
        tags: Different ones on all tasks.
    """

    tasks: int = 100_000
    lists: int = 500
    tags: int = 2_000

    @property
    def tasks_with_next(self) -> int:
        """Up to where a series goes on: who may make no more tasks by hand can still complete those that recur."""
        return self.tasks + -(-self.tasks // 10)

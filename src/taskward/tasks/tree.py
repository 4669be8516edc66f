"""The trees that tasks make, in memory: which task is part of which, and what may be put where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from taskward.errors import Cycle, FieldError, Invalid

DEEPEST = 8
"""How many levels a tree of tasks may have."""


class Tree:
    """Tasks by what they are parts of. Above every task in it are all that it is a part of; below it, what was put."""

    def __init__(self) -> None:
        self._parents: dict[UUID, UUID | None] = {}
        self._children: defaultdict[UUID | None, set[UUID]] = defaultdict(set)

    def __contains__(self, task_id: UUID) -> bool:
        return task_id in self._parents

    def put(self, task_id: UUID, parent_id: UUID | None) -> None:
        """Put a task under another, or under none, wherever it was."""
        self._children[self._parents.get(task_id)].discard(task_id)
        self._parents[task_id] = parent_id
        self._children[parent_id].add(task_id)

    def remove(self, task_id: UUID) -> None:
        """Take a task out, below which there is nothing."""
        self._children[self._parents.pop(task_id, None)].discard(task_id)

    def children(self, task_id: UUID) -> tuple[UUID, ...]:
        """Those right below a task."""
        return tuple(self._children[task_id])

    def below(self, task_id: UUID) -> Iterator[UUID]:
        """Every task below one, those above others first."""
        for child in tuple(self._children[task_id]):
            yield child
            yield from self.below(child)

    def height(self, task_id: UUID) -> int:
        """How many levels a task and what is below it have."""
        return 1 + max((self.height(child) for child in self._children[task_id]), default=0)

    def check(self, parent_id: UUID, *, height: int, of: UUID | None = None) -> None:
        """Check that a tree of so many levels can be put under a task.

        Args:
            of: The task at its top, if it is there already.

        Raises:
            Cycle: It would become a part of itself.
            Invalid: It would be too deep.
        """
        depth = 0
        above: UUID | None = parent_id
        while above is not None:
            if above == of:
                raise Cycle
            depth += 1
            above = self._parents.get(above)
        if depth + height > DEEPEST:
            sentence = f"Tasks may be nested at most {DEEPEST} levels deep."
            raise Invalid([FieldError("body", "/parent_id", sentence)])

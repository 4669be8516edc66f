"""The trees that tasks make: which task is part of which, and what may be put where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from taskward.errors import FieldError, Invalid
from taskward.tasks.errors import Cycle

DEEPEST_TREE = 8
"""How many levels a tree of tasks may have."""

K = TypeVar("K", bound=Hashable)


class Tree(Generic[K]):
    """Which task is a part of which, by ids or other keys. It has all tasks above each of its tasks, and below it those
    that were put there.
    """

    def __init__(self) -> None:
        self._parents: dict[K, K | None] = {}
        self._children: defaultdict[K | None, set[K]] = defaultdict(set)

    def __contains__(self, key: K) -> bool:
        return key in self._parents

    def put(self, key: K, parent: K | None) -> None:
        """Put a task under another, or under none, wherever it was."""
        self._discard(key)
        self._parents[key] = parent
        self._children[parent].add(key)

    def remove(self, key: K) -> None:
        """Take a task out, below which there is nothing."""
        self._discard(key)
        self._parents.pop(key, None)
        self._children.pop(key, None)

    def parent(self, key: K) -> K | None:
        """What a task is a part of."""
        return self._parents.get(key)

    def children(self, key: K) -> tuple[K, ...]:
        """Those right below a task."""
        return tuple(self._children.get(key, ()))

    def below(self, key: K) -> Iterator[K]:
        """Every task below one, those above others first."""
        for child in self.children(key):
            yield child
            yield from self.below(child)

    def height(self, key: K) -> int:
        """How many levels a task and what is below it have."""
        return 1 + max((self.height(child) for child in self._children.get(key, ())), default=0)

    def depth(self, key: K, *, without: K | None = None) -> int:
        """How many levels a task and what is above it have.

        Args:
            without: A task that may not be one of these.

        Raises:
            Cycle: It is.
        """
        depth = 0
        above: K | None = key
        while above is not None:
            if above == without:
                raise Cycle
            depth += 1
            above = self._parents.get(above)
        return depth

    def check(self, parent: K, *, height: int, of: K | None = None) -> None:
        """Check that a tree of so many levels can be put under a task.

        Args:
            of: The task at its top, if it is there already.

        Raises:
            Cycle: It would become a part of itself.
            Invalid: It would be too deep.
        """
        if self.depth(parent, without=of) + height > DEEPEST_TREE:
            sentence = f"Tasks may be nested at most {DEEPEST_TREE} levels deep."
            raise Invalid([FieldError("body", "/parent_id", sentence)])

    def _discard(self, key: K) -> None:
        siblings = self._children.get(self._parents.get(key))
        if siblings is not None:
            siblings.discard(key)

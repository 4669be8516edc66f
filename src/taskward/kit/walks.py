"""Orders of things that are parts of each other, made in steps between which others may have their turn."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from heapq import merge
from typing import Any

_AT_ONCE = 500


def parents_first(
    parents: Sequence[int | None], places: Sequence[Any]
) -> Generator[None, None, tuple[list[int], set[int]]]:
    """An order in which each thing comes after its parent, and the children of a parent by their places; and the things
    whose parents would close a cycle. These have no parent in that order.

    Args:
        parents: Of each, by its number.
        places: Of each, comparable; equal ones stay in the order of their numbers.
    """
    closing = yield from _closing(parents)
    children: dict[int | None, list[int]] = {}
    numbers = yield from _sorted(places)
    for step, number in enumerate(numbers):
        children.setdefault(None if number in closing else parents[number], []).append(number)
        if step % _AT_ONCE == 0:
            yield
    order: list[int] = []
    waiting = children.pop(None, [])[::-1]
    while waiting:
        number = waiting.pop()
        order.append(number)
        waiting.extend(reversed(children.pop(number, ())))
        if len(order) % _AT_ONCE == 0:
            yield
    return order, closing


def ways_up(parents: Sequence[int | None]) -> Iterator[tuple[list[int], int | None]]:
    """The way up from each thing, in the order of their numbers, as far as no earlier way has led. So whatever is above
    a thing comes after it on the same way, or is on an earlier one.

    Returns:
        Each way; where it closes a cycle, with the thing on it that is the parent of its end.
    """
    done = bytearray(len(parents))
    for start in range(len(parents)):
        way: dict[int, None] = {}
        number: int | None = start
        while number is not None and not done[number]:
            done[number] = True
            way[number] = None
            number = parents[number]
        yield list(way), number if number in way else None


def _closing(parents: Sequence[int | None]) -> Generator[None, None, set[int]]:
    closing: set[int] = set()
    for step, (way, end) in enumerate(ways_up(parents)):
        if end is not None:
            closing.add(way[-1])
        if step % _AT_ONCE == 0:
            yield
    return closing


def _sorted(places: Sequence[Any]) -> Generator[None, None, Iterable[int]]:
    """The numbers in the order of their places. Parts are sorted here, and merged as far as somebody reads."""
    parts: list[array[int]] = []
    for start in range(0, len(places), _AT_ONCE):
        some = range(start, min(start + _AT_ONCE, len(places)))
        parts.append(array("q", sorted(some, key=places.__getitem__)))
        yield
    return merge(*parts, key=places.__getitem__)

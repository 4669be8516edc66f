"""How much of a property is tried: enough for a change at hand, or all that CI tries (`pytest --thorough`)."""

from __future__ import annotations

_thorough = False


def be_thorough() -> None:
    """Called before tests are collected."""
    global _thorough  # noqa: PLW0603 - decided once for the process
    _thorough = True


def sized(quick: int, thorough: int) -> int:
    """One of the two counts, by how pytest was called."""
    return thorough if _thorough else quick

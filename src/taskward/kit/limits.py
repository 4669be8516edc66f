"""How much one user may have: each slice says of what it keeps, and the settings may say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskward.errors import FieldError, Invalid


@dataclass(frozen=True, slots=True)
class Limit:
    """How many of a kind one user may have.

    Attributes:
        name: Of the kind, as in `/me`. Its setting is `TASKWARD_MAX_` and this name in capitals.
        default: What holds where no setting says otherwise.
        way: One sentence for whoever has reached it: how to make room.
        note: What counts, where it does not go without saying.
    """

    name: str
    default: int
    way: str
    note: str | None = None


class Limits:
    """How much one user may have here.

    Args:
        chosen: By a limit's name, what holds in place of its default.
    """

    __slots__ = ("_chosen",)

    def __init__(self, chosen: Mapping[str, int] | None = None) -> None:
        self._chosen = dict(chosen or {})

    def __getitem__(self, limit: Limit) -> int:
        return self._chosen.get(limit.name, limit.default)


class LimitReached(Invalid):
    """You have as many of these as one user may have here. Nothing was written.

    `limit` in the answer names the limit; `/api/v1/me` shows your counts and limits. Erase some for good: what is in
    the trash counts as well.
    """

    slug, title = "limit-reached", "A limit is reached"
    detail = "Make room first."

    def __init__(self, limit: Limit, most: int, pointer: str = "") -> None:
        self.limit = limit
        self.detail = limit.way
        super().__init__([FieldError("body", pointer, f"One user may have at most {most} {limit.name}.")])

    @property
    def members(self) -> Mapping[str, Any]:
        return {"limit": self.limit.name, **super().members}

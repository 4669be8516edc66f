"""The changes of tasks that a unit of work makes. A caller makes one object, to load for it and to carry it out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from taskward.tasks.schemas import TaskCreate

Subtasks = Literal["copy", "leave"]
Versions = list[int] | None
"""The versions that a task may have, or None for any."""


@dataclass(frozen=True, slots=True)
class Create:
    """A new task."""

    task: TaskCreate

    @property
    def task_id(self) -> UUID:
        return self.task.id


@dataclass(frozen=True, slots=True)
class Update:
    """Other members of a live task.

    Attributes:
        members: Those that are changed.
        replaces: Whether `metadata` is all of it, rather than a merge patch.
        subtasks: Whether the next task of its series has copies of its parts, or they are left where they are.
    """

    task_id: UUID
    members: dict[str, Any]
    versions: Versions = None
    replaces: bool = False
    subtasks: Subtasks = "copy"


@dataclass(frozen=True, slots=True)
class Complete:
    """The completion or the reopening of a live task.

    Attributes:
        completed: Which of them; None for whichever it is not.
        completed_at: When it was completed, where the client says so.
        subtasks: As for `Update`.
    """

    task_id: UUID
    versions: Versions = None
    completed: bool | None = None
    completed_at: datetime | None = None
    subtasks: Subtasks = "copy"


@dataclass(frozen=True, slots=True)
class Trash:
    """A live task goes to the trash, with the live ones below it."""

    task_id: UUID
    versions: Versions = None


@dataclass(frozen=True, slots=True)
class Restore:
    """A task comes out of the trash, with those below it that went there with it; a live one is left as it is."""

    task_id: UUID
    versions: Versions = None


@dataclass(frozen=True, slots=True)
class Erase:
    """A task is removed for good, live or in the trash, with all below it."""

    task_id: UUID
    versions: Versions = None


@dataclass(frozen=True, slots=True)
class Move:
    """A live task goes into a list or under another, after one of those that are there, or first.

    Attributes:
        members: `list_id` and `parent_id`, where they are changed.
        after: Which of those it comes after; None for the first place.
    """

    task_id: UUID
    members: dict[str, Any]
    after: UUID | None
    versions: Versions = None


class Exported(Protocol):
    """What a task of an export names."""

    @property
    def id(self) -> UUID: ...
    @property
    def parent_id(self) -> UUID | None: ...
    @property
    def list_id(self) -> UUID | None: ...
    @property
    def series_id(self) -> UUID | None: ...
    @property
    def tags(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class PutBack:
    """A task as it was exported; see `UnitOfWork.put_back`."""

    task: Exported


@dataclass(frozen=True, slots=True)
class CreateMany:
    """New tasks under ids that nobody has, each part of none but those; see `UnitOfWork.create`.

    Attributes:
        lists: The lists that they are in.
        has_tags: Whether any has tags.
    """

    lists: Collection[UUID]
    has_tags: bool


OfOne = Create | Update | Complete | Trash | Restore | Erase | Move
"""A change that `UnitOfWork.make` makes."""
Change = OfOne | PutBack | CreateMany
"""Whatever `UnitOfWork.load` loads for."""

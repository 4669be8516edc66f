"""A task as a row in memory, and the columns that follow from what clients write: both ways to write have them from
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from taskward.storage.row_json import Row
from taskward.tasks.metadata import dump_metadata
from taskward.tasks.schedule.consistency import SCHEDULE, Search, check_schedule
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.search import searchable

FOLDED: Final[Mapping[str, str]] = {"title": "folded_title", "description": "folded_description"}
"""The members that are searched and sorted by, each with the column that has it folded."""
_SCHEDULED = frozenset(SCHEDULE)


if TYPE_CHECKING:
    from taskward.tasks.fields import TaskFields as _Declared
else:
    from taskward.kit.declaration import row_of
    from taskward.tasks.fields import TaskFields

    _Declared = row_of(TaskFields)


@dataclass(slots=True)
class TaskRow(_Declared):
    """The columns of a task that a unit of work reads and writes, `statements.WRITTEN`: those that are declared, and
    those that `table.Task` has besides.
    """

    id: UUID = field(default_factory=uuid7)
    meant_at: str | None = None
    series_id: UUID | None = None
    next_id: UUID | None = None
    next_version: int | None = None
    next_parts: int | None = None
    moved_from: UUID | None = None
    position: str | None = None
    metadata: str = "{}"
    folded_title: str = ""
    folded_description: str | None = None
    version: int = 0
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_with: UUID | None = None

    @property
    def place(self) -> str:
        """The position. It is the id of a task that nobody has moved."""
        return self.position or str(self.id)

    @classmethod
    def new(cls, **columns: Any) -> TaskRow:
        """A row of some columns; the others have their defaults."""
        return cls(**columns)

    @classmethod
    def of(cls, columns: Row) -> TaskRow:
        """What was read."""
        return cls(*_items(columns))

    def having(self, columns: Mapping[str, Any]) -> TaskRow:
        """A copy with other values in some columns, which a client has named."""
        row = TaskRow(*_values(self))
        for name, value in columns.items():
            setattr(row, name, value)
        return row

    def anew(self, names: Iterable[str]) -> TaskRow:
        """A new task at the same place, which has some columns of this one, among them its texts."""
        row = TaskRow.new(title=self.title, position=self.place)
        row.folded_title, row.folded_description = self.folded_title, self.folded_description
        for name in names:
            setattr(row, name, getattr(self, name))
        return row

    def written(self) -> dict[str, Any]:
        """The columns by their names."""
        return dict(zip(_NAMES, _values(self), strict=True))


_NAMES = tuple(column.name for column in fields(TaskRow))
_values, _items = attrgetter(*_NAMES), itemgetter(*_NAMES)


def columns_of(members: dict[str, Any]) -> dict[str, Any]:
    """The columns that are written for members which a client has sent: those of their names, and the folded texts.

    Args:
        members: They become the columns.

    Raises:
        ValueError: Metadata are not as they may be; see `dump_metadata`.
    """
    columns = members
    if "metadata" in columns:
        columns["metadata"] = dump_metadata(columns["metadata"])
    if columns.get("due_at") is not None:
        # A value that does not come from JSON may be in another zone. PostgreSQL keeps UTC.
        columns["due_at"] = columns["due_at"].astimezone(UTC)
    for name, folded in FOLDED.items():
        if name in columns:
            text = columns[name]
            columns[folded] = None if text is None else searchable(text)
    return columns


def new_columns(task: TaskCreate, names: Iterable[str], *, now: datetime | None = None) -> dict[str, Any]:
    """The columns that are written for some members of a new task, and the series that its rule begins.

    Args:
        now: Its time by the database, where that is known; else this machine's has to do.

    Raises:
        Invalid: Its members do not go together.
    """
    if not _SCHEDULED.isdisjoint(task.model_fields_set):
        check_schedule(task, now=now or datetime.now(UTC))
    columns = columns_of({name: getattr(task, name) for name in names})
    if task.recurrence is not None:
        columns["series_id"] = series_for(task.recurrence, None)
    return columns


def series_for(recurrence: str | None, before: UUID | None) -> UUID | None:
    """The series of a task: a rule begins one, where the task is of none before."""
    return uuid7() if recurrence is not None and before is None else before


def check_changed(row: TaskRow, members: Iterable[str], *, now: datetime) -> Search | None:
    """Check a task of which a client has changed some members; returns and raises as `check_schedule`."""
    return None if _SCHEDULED.isdisjoint(members) else check_schedule(row, now=now)


def completed_since(
    completed: bool,  # noqa: FBT001
    said: datetime | None,
    before: datetime | None,
    now: datetime,
) -> datetime | None:
    """Since when a task is completed: as the client has said, or since it was before, or since now.

    Args:
        completed: Whether it is; one that is open has no such time.
    """
    return (said or before or now) if completed else None

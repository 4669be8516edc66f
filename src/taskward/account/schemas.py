"""The account as clients are sent it, and the lines of an export. No SQL lives here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, StringConstraints, Tag, TypeAdapter
from pydantic.json_schema import SkipJsonSchema

from taskward.kit.types import UNION_TAG, NewId, Reference
from taskward.lists.schemas import ListCreate
from taskward.tasks.row import TaskRow, columns_of, completed_since
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.types import DueAt

_COUNTS: dict[str, JsonValue] = {"tasks": 12, "open": 9, "completed": 3, "trash": 1, "lists": 2, "tags": 4}


class AccountCounts(BaseModel):
    """How much there is."""

    tasks: int = Field(description="Live tasks.")
    open: int
    completed: int
    trash: int = Field(description="Tasks in the trash.")
    lists: int
    tags: int = Field(description="Different tags, those of tasks in the trash included.")


class AccountLimits(BaseModel):
    """How much there may be."""

    tasks: int = Field(description="Those in the trash count as well.")
    lists: int
    tags: int


class Me(BaseModel):
    """Who the token says you are, and how much you have."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "alice",
                    "expires_at": "2026-01-10T10:30:00Z",
                    "scopes": ["tasks:read", "tasks:write"],
                    "counts": _COUNTS,
                    "limits": {"tasks": 100_000, "lists": 500, "tags": 2_000},
                }
            ]
        }
    )

    user_id: str = Field(description="The token's user claim; every task of yours has it.")
    expires_at: datetime | None = Field(description="When the token expires; null if that is after the year 9999.")
    scopes: list[str] = Field(description="What the token allows; Taskward goes by it only where it is told to.")
    counts: AccountCounts
    limits: AccountLimits


class ImportLoss(BaseModel):
    """Something that an import could not carry over as it was."""

    line: int | None = Field(description="The line of a CSV file, from 1; null where there are no lines.")
    item: str = Field(description="The title of the task or list; empty where it is the whole file.")
    what: str = Field(description="Its kind, such as reminder or assignee.")
    detail: str


class ImportCounts(BaseModel):
    """What became of one kind of thing in a file of another service."""

    kept: int = Field(description="How many have a place of their own.")
    metadata: int = Field(description="How many are in the metadata of their tasks, under the service's name.")
    lost: int = Field(description="How many were left out or changed.")


class ImportReport(BaseModel):
    """What an import did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lists": 1,
                    "tasks": 12,
                    "unchanged": 0,
                    "whole": True,
                    "counts": {
                        "assignee": {"kept": 0, "metadata": 3, "lost": 0},
                        "indent": {"kept": 0, "metadata": 0, "lost": 1},
                        "task": {"kept": 12, "metadata": 0, "lost": 0},
                    },
                    "losses": [
                        {
                            "line": 7,
                            "item": "Call Bob",
                            "what": "indent",
                            "detail": "The indent “x” is no level; it was taken for 1.",
                        }
                    ],
                    "losses_left_out": 0,
                }
            ]
        }
    )

    lists: int = Field(description="Lists that were made.")
    tasks: int = Field(description="Tasks that were made.")
    unchanged: int = Field(description="Lists and tasks that were there already and were left as they are.")
    whole: bool = Field(description="Whether an export's end was in the file; without it, lines may be missing.")
    counts: dict[str, ImportCounts] = Field(
        description="By kind, such as comment or reminder, what became of what another service's file has."
    )
    losses: list[ImportLoss] = Field(description="What could not be carried over, at most 1,000 of it.")
    losses_left_out: int = Field(description="How many more losses there are.")


_Position = Annotated[str, StringConstraints(pattern="^[-0-9a-z]{1,48}$")]
_Meant = Annotated[str, StringConstraints(max_length=40)]
_Ignored = SkipJsonSchema[Any]


class ListLine(ListCreate):
    """A list in an export."""

    type: Literal["list"]
    id: NewId
    position: _Position | None = None
    user_id: _Ignored = None
    version: _Ignored = None
    created_at: _Ignored = None
    updated_at: _Ignored = None

    def values(self) -> dict[str, Any]:
        """The columns that are written."""
        return {"id": self.id, "name": self.name, "color": self.color, "position": _moved(self.position, self.id)}


class TaskLine(TaskCreate):
    """A task in an export."""

    type: Literal["task"]
    id: NewId
    position: _Position | None = None
    meant_at: _Meant | None = None
    series_id: Reference | None = None
    next_id: Reference | None = None
    moved_from: Reference | None = None
    deleted_at: DueAt | None = None
    deleted_with: Reference | None = None
    user_id: _Ignored = None
    version: _Ignored = None
    created_at: _Ignored = None
    updated_at: _Ignored = None


class EndLine(BaseModel):
    """The last line of an export, by which one can see that it is whole."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["end"]
    lists: int
    tasks: int


def _moved(position: str | None, row_id: UUID) -> str | None:
    return None if position == str(row_id) else position


def task_row(line: TaskLine, now: datetime) -> TaskRow:
    """The columns that are written for a line; without its list, it is in that of its parent.

    Args:
        now: When a task was completed of which the line does not say; nothing was completed or trashed later.
    """
    row = TaskRow(**columns_of({name: getattr(line, name) for name in TaskCreate.model_fields}))
    said = None if line.completed_at is None else min(line.completed_at, now)
    row.completed_at = completed_since(line.completed, said, None, now)
    row.position = _moved(line.position, line.id)
    row.meant_at = line.meant_at
    row.series_id, row.next_id, row.moved_from = line.series_id, line.next_id, line.moved_from
    if line.deleted_at is not None:
        # What were trashed later than now would stay when the trash is emptied.
        row.deleted_at, row.deleted_with = min(line.deleted_at, now), line.deleted_with or line.id
    return row


def _kind(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    return f"{UNION_TAG}{kind}" if isinstance(kind, str) else None


Line = Annotated[
    Annotated[ListLine, Tag(f"{UNION_TAG}list")]
    | Annotated[TaskLine, Tag(f"{UNION_TAG}task")]
    | Annotated[EndLine, Tag(f"{UNION_TAG}end")],
    Discriminator(
        _kind, custom_error_type="export_line", custom_error_message="This must have a type: list, task or end."
    ),
]
LINE: TypeAdapter[Line] = TypeAdapter(Line)

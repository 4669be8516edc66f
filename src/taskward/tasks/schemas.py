"""The task as clients send it and are sent it. No SQL lives here.

These are Pydantic's own models: to SQLModel's, `metadata` is something else.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from taskward.kit.fields import Line, NewId, Reference, merge_patch
from taskward.tasks.fields import (
    EXAMPLE_ID,
    MOST_TAGS,
    Description,
    DueAt,
    DueDate,
    Metadata,
    Priority,
    Recurrence,
    RecursFrom,
    Tags,
    TimeZone,
)

EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "user_id": "alice",
    "title": "Water the plants",
    "description": "Those on the balcony, too",
    "completed": False,
    "completed_at": None,
    "priority": "high",
    "due_date": None,
    "due_at": "2026-01-12T08:00:00.000000Z",
    "time_zone": "Europe/Berlin",
    "recurrence": "FREQ=WEEKLY;BYDAY=MO,TH",
    "recurs_from": "due",
    "list_id": "01944f5c-7a10-7c3d-8e21-5b6c7d8e9f01",
    "parent_id": None,
    "position": EXAMPLE_ID,
    "tags": ["home", "garden"],
    "series_id": "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8d",
    "metadata": {"icon": "leaf"},
    "version": 42,
    "created_at": "2026-01-10T09:30:00.123456Z",
    "updated_at": "2026-01-10T09:30:00.123456Z",
    "deleted_at": None,
}


_COMPLETED_AT = "When it was done, beside `completed: true`, not in the future; null or left out: now."
_DUE_DATE = "The day on which it is due, in no zone; excludes due_at."
_DUE_AT = "The instant at which it is due; needs time_zone, excludes due_date."
_TIME_ZONE = "The zone that due_at and recurrence are meant in."
_RECURRENCE = "An RRULE value (RFC 5545); needs a due and time_zone."
_RECURS_FROM = "What the next occurrence is counted from."
_LIST_ID = "The list that it is in; null for none."
_PARENT_ID = "The task that it is part of; null for none."
_TAGS = "Labels, in your order."
_METADATA = "Your app's own data; PATCH merges it member by member, PUT replaces it."


class _Members(BaseModel):
    """What a task may have besides its title, when it is made and when it is changed."""

    description: Description | None = Field(default=None, description="Anything more about it; null for nothing.")
    completed: bool = Field(default=False, description="Whether it is done.")
    completed_at: DueAt | None = Field(default=None, description=_COMPLETED_AT)
    priority: Priority = Field(default="none", description="How urgent it is.")
    due_date: DueDate | None = Field(default=None, description=_DUE_DATE)
    due_at: DueAt | None = Field(default=None, description=_DUE_AT)
    time_zone: TimeZone | None = Field(default=None, description=_TIME_ZONE)
    recurrence: Recurrence | None = Field(default=None, description=_RECURRENCE)
    recurs_from: RecursFrom = Field(default="due", description=_RECURS_FROM)
    list_id: Reference | None = Field(default=None, description=_LIST_ID)
    parent_id: Reference | None = Field(default=None, description=_PARENT_ID)
    tags: Tags = Field(default_factory=list, max_length=MOST_TAGS, description=_TAGS)
    metadata: Metadata = Field(default_factory=dict, description=_METADATA)


class TaskCreate(_Members):
    """A new task."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"title": "Buy milk", "description": "The one with the blue cap"},
                {
                    "title": "Water the plants",
                    "priority": "high",
                    "due_at": "2026-01-12T09:00:00+01:00",
                    "time_zone": "Europe/Berlin",
                    "recurrence": "FREQ=WEEKLY;BYDAY=MO,TH",
                    "tags": ["home", "garden"],
                },
            ]
        },
    )

    id: NewId = Field(
        default_factory=uuid7, description="A UUIDv7 of your own, for creating offline; else one is made."
    )
    title: Line = Field(description="What is to be done.")


class TaskUpdate(_Members):
    """A merge patch (RFC 7396): members that are left out stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra=merge_patch(
            {"title": "Buy oat milk", "priority": "high"},
            {"due_at": None, "time_zone": None, "due_date": "2026-01-12", "tags": []},
        ),
    )

    title: Line = Field(default="", description="What is to be done.")

    def changes(self) -> dict[str, Any]:
        """The members that were sent."""
        sent = {name: getattr(self, name) for name in TaskUpdate.model_fields if name in self.model_fields_set}
        if self.completed_at is None:
            sent.pop("completed_at", None)
        return sent


class TaskReplace(TaskUpdate):
    """A task as it was read, changed. Members that are left out stay; those that only the server writes are ignored."""

    # A list of one's own is nothing that an example can know.
    model_config = ConfigDict(json_schema_extra=merge_patch({**EXAMPLE, "title": "Water all plants", "list_id": None}))

    id: Any = Field(default=None, json_schema_extra={"readOnly": True})
    user_id: Any = Field(default=None, json_schema_extra={"readOnly": True})
    position: Any = Field(default=None, json_schema_extra={"readOnly": True})
    series_id: Any = Field(default=None, json_schema_extra={"readOnly": True})
    version: Any = Field(default=None, json_schema_extra={"readOnly": True})
    created_at: Any = Field(default=None, json_schema_extra={"readOnly": True})
    updated_at: Any = Field(default=None, json_schema_extra={"readOnly": True})
    deleted_at: Any = Field(default=None, json_schema_extra={"readOnly": True})

    def changes(self) -> dict[str, Any]:
        """The members that were sent. When a task was done says nothing where the client has reopened it."""
        sent = super().changes()
        if not sent.get("completed"):
            sent.pop("completed_at", None)
        return sent


class TaskCompletion(BaseModel):
    """Whether a task is done; without `completed`, toggle."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=merge_patch({"completed": True}))

    completed: bool
    completed_at: DueAt | None = Field(default=None, description=_COMPLETED_AT)
    subtasks: Literal["copy", "leave"] = Field(
        default="copy",
        description="Whether the next task of a series has copies of this one's parts; else it has none.",
    )

    def changes(self) -> dict[str, Any]:
        """The members of the task that were sent."""
        at = {} if self.completed_at is None else {"completed_at": self.completed_at}
        return {"completed": self.completed, **at}


def no_completion() -> TaskCompletion:
    """What stands for a body that was left out: toggle."""
    return TaskCompletion.model_construct()  # type: ignore[call-arg]  # it has no member


class TaskMove(BaseModel):
    """Where a task shall be: in which list, under which task, after which of the tasks there."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra=merge_patch({"after": None}, {"list_id": None, "parent_id": None, "after": None}),
    )

    list_id: Reference | None = Field(default=None, description=f"{_LIST_ID} Left out: as it is.")
    parent_id: Reference | None = Field(default=None, description=f"{_PARENT_ID} Left out: as it is.")
    after: Reference | None = Field(
        default=None, description="The task there that it shall come after; null, or left out, for the first place."
    )

    def changes(self) -> dict[str, Any]:
        """The members that were sent, but for `after`."""
        return {name: getattr(self, name) for name in ("list_id", "parent_id") if name in self.model_fields_set}


class TaskRead(BaseModel):
    """A task."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: UUID = Field(description="A UUIDv7, made before it is written: created_at has the order of creation.")
    user_id: str = Field(description="The owner: your token's user claim.")
    title: str
    description: str | None
    completed: bool
    completed_at: datetime | None = Field(description="When it was completed.")
    priority: Priority
    due_date: date | None = Field(description=_DUE_DATE)
    due_at: datetime | None = Field(description=_DUE_AT)
    time_zone: str | None = Field(description=_TIME_ZONE)
    recurrence: str | None = Field(description=_RECURRENCE)
    recurs_from: RecursFrom = Field(description=_RECURS_FROM)
    list_id: UUID | None = Field(description=_LIST_ID)
    parent_id: UUID | None = Field(description=_PARENT_ID)
    position: str = Field(description="Orders the tasks of one list or one parent, compared byte by byte.")
    tags: list[str] = Field(description=_TAGS)
    series_id: UUID | None = Field(description="What the occurrences of one series have in common; null for none.")
    metadata: dict[str, Any] = Field(description=_METADATA)
    version: int = Field(description="The owner's clock at the last change; the ETag is this in double quotes.")
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = Field(description="When it went to the trash.")

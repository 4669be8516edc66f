"""The task as clients send it and are sent it. No SQL lives here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from taskward.kit.declaration import Member, example_of, ignoring, members_of, partial, reading
from taskward.kit.types import NewId, Reference, merge_patch
from taskward.tasks.fields import TaskMembers
from taskward.tasks.types import EXAMPLE_ID, DueAt

_SENTENCES = {name: member.description for name, member in members_of(TaskMembers).items()}


@reading(("id", "user_id", "title"), ("parent_id", "position", "tags", "series_id", "metadata"))
class TaskRead(TaskMembers):
    """A task."""

    id: Annotated[
        UUID, Member("A UUIDv7, made before it is written: created_at has the order of creation.", EXAMPLE_ID)
    ]
    user_id: Annotated[str, Member("The owner: your token's user claim.", "alice")]
    position: Annotated[str, Member("Orders the tasks of one list or one parent, compared byte by byte.", EXAMPLE_ID)]
    series_id: Annotated[
        UUID | None,
        Member(
            "What the occurrences of one series have in common; null for none.",
            "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8d",
            usual=True,
        ),
    ]
    version: Annotated[
        int, Member("The owner's clock at the last change; the ETag is this in double quotes.", example=42)
    ]
    created_at: Annotated[datetime, Member("When it was made.", "2026-01-10T09:30:00.123456Z")]
    updated_at: Annotated[datetime, Member("When it was last changed.", "2026-01-10T09:30:00.123456Z")]
    deleted_at: Annotated[datetime | None, Member("When it went to the trash.")]


EXAMPLE = example_of(TaskRead)


class TaskCreate(TaskMembers):
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


@partial
class TaskUpdate(TaskMembers):
    """A merge patch (RFC 7396): members that are left out stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra=merge_patch(
            {"title": "Buy oat milk", "priority": "high"},
            {"due_at": None, "time_zone": None, "due_date": "2026-01-12", "tags": []},
        ),
    )

    def changes(self) -> dict[str, Any]:
        """The members that were sent."""
        sent = {name: getattr(self, name) for name in TaskUpdate.model_fields if name in self.model_fields_set}
        if self.completed_at is None:
            sent.pop("completed_at", None)
        return sent


@ignoring(TaskRead)
class TaskReplace(TaskUpdate):
    """A task as it was read, changed. Members that are left out stay; those that only the server writes are ignored."""

    # A list of one's own is nothing that an example can know.
    model_config = ConfigDict(json_schema_extra=merge_patch({**EXAMPLE, "title": "Water all plants", "list_id": None}))

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
    completed_at: DueAt | None = Field(default=None, description=_SENTENCES["completed_at"])
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

    list_id: Reference | None = Field(default=None, description=f"{_SENTENCES['list_id']} Left out: as it is.")
    parent_id: Reference | None = Field(default=None, description=f"{_SENTENCES['parent_id']} Left out: as it is.")
    after: Reference | None = Field(
        default=None, description="The task there that it shall come after; null, or left out, for the first place."
    )

    def changes(self) -> dict[str, Any]:
        """The members that were sent, but for `after`."""
        return {name: getattr(self, name) for name in ("list_id", "parent_id") if name in self.model_fields_set}

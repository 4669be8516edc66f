"""What a task has: the members that clients write, each with its type, its default and what is to be known of it.

The table, the rights on it, the schemas, the JSON, copies, exports and the documentation follow from this class.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from taskward.kit.declaration import Member, declared
from taskward.kit.types import Line, Reference
from taskward.tasks.types import (
    MOST_TAGS,
    Description,
    DistinctTags,
    DueAt,
    DueDate,
    Metadata,
    Priority,
    Recurrence,
    RecursFrom,
    TimeZone,
)


@declared
class TaskFields(BaseModel):
    """The members with a column of their own."""

    title: Annotated[Line, Member("What is to be done.", "Water the plants", alone=True)]
    description: Annotated[
        Description | None,
        Member("Anything more about it; null for nothing.", "Those on the balcony, too", alone=True),
    ] = None
    completed: Annotated[bool, Member("Whether it is done.", example=False, alone=True, copied="never")] = False
    completed_at: Annotated[
        DueAt | None,
        Member(
            "When it was done, beside `completed: true`, not in the future; null or left out: now.",
            read="When it was completed.",
            copied="never",
        ),
    ] = None
    priority: Annotated[Priority, Member("How urgent it is.", "high", usual=True, alone=True)] = "none"
    due_date: Annotated[
        DueDate | None, Member("The day on which it is due, in no zone; excludes due_at.", usual=True)
    ] = None
    due_at: Annotated[
        DueAt | None,
        Member(
            "The instant at which it is due; needs time_zone, excludes due_date.",
            "2026-01-12T08:00:00.000000Z",
            usual=True,
        ),
    ] = None
    time_zone: Annotated[
        TimeZone | None, Member("The zone that due_at and recurrence are meant in.", "Europe/Berlin", usual=True)
    ] = None
    recurrence: Annotated[
        Recurrence | None,
        Member(
            "An RRULE value (RFC 5545); needs a due and time_zone.",
            "FREQ=WEEKLY;BYDAY=MO,TH",
            usual=True,
            copied="next",
        ),
    ] = None
    recurs_from: Annotated[RecursFrom, Member("What the next occurrence is counted from.", "due", usual=True)] = "due"
    list_id: Annotated[
        Reference | None,
        Member("The list that it is in; null for none.", "01944f5c-7a10-7c3d-8e21-5b6c7d8e9f01", usual=True),
    ] = None
    parent_id: Annotated[
        Reference | None, Member("The task that it is part of; null for none.", usual=True, copied="next")
    ] = None
    tags: Annotated[DistinctTags, Member("Labels, in your order.", ["home", "garden"], usual=True)] = Field(
        default_factory=list, max_length=MOST_TAGS
    )


@declared
class TaskMembers(TaskFields):
    """All members. `metadata` stands apart: a table has something else by this name."""

    metadata: Annotated[
        Metadata,
        Member("Your app's own data; PATCH merges it member by member, PUT replaces it.", {"icon": "leaf"}, usual=True),
    ] = Field(default_factory=dict)

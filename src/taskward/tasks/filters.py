"""What a listing may be asked: its filters, each with its type, its condition and its sentence; its order; its page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import ConfigDict
from sqlmodel import Field, SQLModel

from taskward.storage.tables import columns
from taskward.tasks.conditions import (
    Filter,
    before,
    either,
    equal,
    is_due_after,
    is_due_before,
    is_due_on,
    is_overdue,
    one_of,
    reference,
    since,
    with_any_tag,
    with_tags,
    with_words,
    without_due,
)
from taskward.tasks.parameters import (
    SORTS,
    Boolean,
    Cursor,
    MomentParameter,
    OnlyNone,
    Priorities,
    QueryBoolean,
    QueryReference,
    SomeTags,
    SortOrder,
    Uuid,
    WholeNumber,
    Words,
    named,
)
from taskward.tasks.table import Task
from taskward.tasks.types import MOST_TAGS, PRIORITIES, TimeZone

_task = columns(Task)
_NO_FILTERS = frozenset({"tz", "deleted", "sort", "limit", "cursor", "count"})


class TaskFilters(SQLModel):
    """Which tasks a listing shows, in which order.

    Attributes:
        dear: Finds in a query string what makes the database look at every task of the caller, or asks for many tasks.
            An encoded name may be any of these.
    """

    # Requests that ask for nothing in particular share one.
    model_config = ConfigDict(frozen=True)  # type: ignore[assignment] # SQLModel declares its own, which is no other

    dear: ClassVar[re.Pattern[bytes]] = re.compile(rb"%|\b(?:q|sort|count)=|\blimit=0*[1-9]\d\d")

    completed: Annotated[Boolean, either(_task.completed)] = Field(
        default=None, description="Only those that are done, or only those not."
    )
    priority: Annotated[Priorities, one_of(_task.priority)] = Field(
        default=None, description=f"Only these, with commas between them: {named(PRIORITIES)}."
    )
    tag: Annotated[SomeTags, with_tags] = Field(
        default_factory=list,
        max_length=MOST_TAGS,
        description="Only those with this tag; given several times, with all; `none`: without any.",
    )
    tag_any: Annotated[SomeTags, with_any_tag] = Field(
        default_factory=list,
        max_length=MOST_TAGS,
        description="Only those with this tag; given several times, with one of them at least.",
    )
    list_id: Annotated[QueryReference, reference(_task.list_id)] = Field(
        default=None, description="Only those in this list; `none`: in no list."
    )
    parent_id: Annotated[QueryReference, reference(_task.parent_id)] = Field(
        default=None, description="Only the parts of this task; `none`: of no other task."
    )
    series: Annotated[Uuid, equal(_task.series_id)] = Field(
        default=None, description="Only the occurrences of this series, see `series_id`."
    )
    due: Annotated[OnlyNone, without_due] = Field(default=None, description="`none`: only those without a due.")
    due_on: Annotated[MomentParameter, is_due_on] = Field(
        default=None, description="Only those due on this day, or on the day of this time."
    )
    due_before: Annotated[MomentParameter, is_due_before] = Field(
        default=None, description="Only those due before this day or time."
    )
    due_after: Annotated[MomentParameter, is_due_after] = Field(
        default=None, description="Only those due after this day or time."
    )
    updated_since: Annotated[MomentParameter, since(_task.updated_at)] = Field(
        default=None, description="Only those changed from this day or time on."
    )
    created_since: Annotated[MomentParameter, since(_task.created_at)] = Field(
        default=None, description="Only those created from this day or time on."
    )
    completed_since: Annotated[MomentParameter, since(_task.completed_at)] = Field(
        default=None, description="Only those done from this day or time on."
    )
    completed_before: Annotated[MomentParameter, before(_task.completed_at)] = Field(
        default=None, description="Only those done before this day or time."
    )
    overdue: Annotated[Boolean, is_overdue] = Field(
        default=None, description="Only open tasks whose due has passed, or only the others."
    )
    tz: TimeZone = Field(default="UTC", description="The IANA zone that says when a day begins and ends.")
    q: Annotated[Words, with_words] = Field(
        default=None,
        description='Only those with these words in title or description: words, "phrases", -without, one or another.',
    )
    deleted: QueryBoolean = Field(default=False, description="The trash instead of the live tasks.")
    sort: SortOrder = Field(
        # As clients write it, for it is told to them.
        default="-id",
        description=f"By what, with commas between, the first first; `-` before one for descending: {named(SORTS)}.",
        schema_extra={"validate_default": True},
    )
    limit: WholeNumber = Field(default=50, ge=1, le=200, description="The most tasks in one answer.")
    cursor: Cursor = Field(
        default=None,
        max_length=4000,
        description="Where to go on; take the whole URL from the Link header instead.",
    )
    count: QueryBoolean = Field(default=False, description="Say in X-Total-Count how many there are on all pages.")


def _filter_of(name: str) -> Filter:
    found = [one for one in TaskFilters.model_fields[name].metadata if isinstance(one, Filter)]
    if len(found) != 1:
        # In a class a member hides what else has its name, and a filter without a condition would show every task.
        raise TypeError(f"the filter {name} needs one condition")
    return found[0]


FILTERS: Mapping[str, Filter] = {name: _filter_of(name) for name in TaskFilters.model_fields if name not in _NO_FILTERS}
"""How each filter narrows a listing."""

"""What other services have exported, as the lists and tasks that it becomes and what is lost of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import ValidationError

from taskward.account.records import LONGEST_ITEM, Loss, LossKind, Reading, UnreadableExport, shortened
from taskward.account.todoist import read_todoist
from taskward.account.vikunja import read_vikunja
from taskward.errors import FieldError, Invalid
from taskward.limits import Limits
from taskward.lists.models import ListCreate
from taskward.tasks.models import TaskCreate
from taskward.tasks.plan import PLAN

ForeignFormat = Literal["todoist", "vikunja"]

_LOST: dict[Any, LossKind] = {"tags": "tag", "time_zone": "time_zone", "recurrence": "recurrence"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a file comes from, and what it does not say itself.

    Attributes:
        zone: The IANA zone that times are meant in.
        list_name: What to call the list of a project that Todoist exported.
        now: When what repeats begins; aware.
    """

    format: ForeignFormat
    zone: str
    list_name: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a file becomes."""

    lists: list[ListCreate]
    tasks: list[TaskCreate]
    losses: list[Loss]

    def lose(self, task: TaskCreate, what: LossKind, detail: str) -> None:
        self.losses.append(Loss(None, shortened(task.title, LONGEST_ITEM), what, detail))


def read_foreign(file: bytes, origin: Origin, limits: Limits) -> Foreign:
    """Read a file.

    Raises:
        Invalid: It is not such an export.
        LimitReached: It has more than one user may have.
    """
    try:
        if origin.format == "todoist":
            list_name, zone = origin.list_name, origin.zone
            reading = read_todoist(file, now=origin.now, list_name=list_name, zone=zone, limits=limits)
        else:
            reading = read_vikunja(file, zone=origin.zone, limits=limits)
    except UnreadableExport as error:
        raise Invalid([FieldError("body", "", str(error))]) from None
    lists = {record["key"]: ListCreate(name=record["name"], color=record["color"]) for record in reading.lists}
    tasks = list(_tasks_of(reading, {key: one.id for key, one in lists.items()}))
    return Foreign(list(lists.values()), tasks, reading.losses)


def _tasks_of(reading: Reading, lists: dict[Any, UUID]) -> Iterator[TaskCreate]:
    ids: dict[Any, UUID] = {}
    for record in reading.tasks:
        members = {name: value for name, value in record.items() if name not in {"key", "list", "parent"}}
        members |= {"list_id": lists.get(record.get("list")), "parent_id": ids.get(record.get("parent"))}
        task = _task(reading, members)
        ids[record["key"]] = task.id
        yield task


def _task(reading: Reading, members: dict[str, Any]) -> TaskCreate:
    """A task with all that it may have. What it may not, such as a due in the year 9999, is lost."""
    try:
        return TaskCreate(**members)
    except ValidationError as error:
        wrong = {(*found["loc"],) for found in error.errors(include_url=False, include_input=False)}
    kept = {name: value for name, value in members.items() if (name,) not in wrong}
    for place in wrong:
        detail = f"Its {place[0]} is not one that tasks may have."
        reading.losses.append(
            Loss(None, shortened(members["title"], LONGEST_ITEM), _LOST.get(place[0], "date"), detail)
        )
    if "tags" in kept:
        kept["tags"] = [tag for index, tag in enumerate(kept["tags"]) if ("tags", index) not in wrong]
    if not kept.keys() & {"due_date", "due_at"}:
        kept = {name: value for name, value in kept.items() if name not in PLAN}
    return TaskCreate(**kept)

"""Imports: an export of one's own is put back, exports of other services are carried over as far as they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from pydantic import ValidationError

from taskward.account.models import LINE, ListLine, TaskLine, task_values
from taskward.account.records import LONGEST_ITEM, Loss, LossKind, Reading, UnreadableExport, shortened
from taskward.account.store import AccountStore
from taskward.account.todoist import read_todoist
from taskward.account.vikunja import read_vikunja
from taskward.database.session import Session
from taskward.errors import Cycle, FieldError, Invalid, Problem
from taskward.limits import Limits
from taskward.lists.models import ListCreate
from taskward.lists.store import ListStore
from taskward.tasks.metadata import dump_metadata
from taskward.tasks.models import TaskCreate
from taskward.tasks.plan import PLAN
from taskward.tasks.work import UnitOfWork

Format = Literal["taskward", "todoist", "vikunja"]

_LOST: dict[Any, LossKind] = {"tags": "tag", "time_zone": "time_zone", "recurrence": "recurrence"}
MOST_ERRORS = 100
"""How many lines of an export are named that cannot be read."""


class Unreadable(Exception):
    """Lines of an export break rules.

    Attributes:
        errors: Of each line its number, from 1, and what Pydantic found.
    """

    def __init__(self, errors: Sequence[tuple[int, list[Any]]]) -> None:
        self.errors = errors
        super().__init__(len(errors))


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: how many lists and tasks it made, how many there were already, what was lost."""

    lists: int
    tasks: int
    unchanged: int
    losses: Sequence[Loss] = ()


class Importer:
    """Imports into the account of the session's owner."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self._session = session
        self._limits = limits

    async def put_back(self, export: bytes) -> Imported:
        """Make what an export of Taskward has, as it was, but for what is there already.

        Raises:
            Unreadable: Lines are not as an export has them.
            Invalid: A line's members do not go together, or name what is not there.
            LimitReached, Cycle: See `errors`.
        """
        lines = list(_lines(export))
        lists = [line for _, line in lines if isinstance(line, ListLine)]
        tasks = {line.id: (number, line) for number, line in lines if isinstance(line, TaskLine)}
        work = await UnitOfWork.begin(self._session, self._limits)
        made_lists = await ListStore(self._session, self._limits).put_back(work.turn, [one.values() for one in lists])
        await self._load(work, [line for _, line in tasks.values()])
        made = 0
        for number, line in _parents_first(tasks):
            try:
                made += work.put_back(task_values(line, dump_metadata(line.metadata), work.turn.now))
            except Problem as problem:
                raise _of_line(problem, number) from None
        await work.flush(())
        return Imported(made_lists, made, len(lists) - made_lists + len(tasks) - made)

    async def carry_over(self, file: bytes, format_: Format, zone: str, list_name: str) -> Imported:
        """Make what another service has exported.

        Args:
            zone: The zone that times are meant in, where the file does not say.
            list_name: What to call the list of a file that does not say it, which is one of Todoist.

        Raises:
            Invalid: The file is not such an export.
            AlreadyImported: It was imported before.
            LimitReached: See `errors`.
        """
        # The turn comes before the reading, which goes by the database's clock.
        work = await UnitOfWork.begin(self._session, self._limits)
        try:
            if format_ == "todoist":
                reading = read_todoist(file, now=work.turn.now, list_name=list_name, zone=zone)
            else:
                reading = read_vikunja(file, zone=zone)
        except UnreadableExport as error:
            raise Invalid([FieldError("body", "", str(error))]) from None
        await AccountStore(self._session).remember_import(blake2b(file, digest_size=32).digest())
        lists = {record["key"]: ListCreate(name=record["name"], color=record["color"]) for record in reading.lists}
        rows = [{"id": one.id, "name": one.name, "color": one.color, "position": None} for one in lists.values()]
        await ListStore(self._session, self._limits).put_back(work.turn, rows)
        tasks = list(_tasks_of(reading, {key: one.id for key, one in lists.items()}))
        await self._load(work, tasks)
        for task in tasks:
            work.create(task)
        await work.flush(())
        return Imported(len(lists), len(tasks), 0, reading.losses)

    async def _load(self, work: UnitOfWork, tasks: Sequence[TaskCreate]) -> None:
        await work.load(
            {task.id for task in tasks},
            parents={task.parent_id for task in tasks if task.parent_id is not None},
            lists={task.list_id for task in tasks if task.list_id is not None},
            tags=any(task.tags for task in tasks),
        )


def _lines(export: bytes) -> Iterator[tuple[int, Any]]:
    errors: list[tuple[int, list[Any]]] = []
    for number, text in enumerate(export.split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            yield number, LINE.validate_json(text)
        except ValidationError as error:
            errors.append((number, error.errors(include_url=False, include_input=False)))
        if len(errors) == MOST_ERRORS:
            break
    if errors:
        raise Unreadable(errors)


def _parents_first(tasks: dict[UUID, tuple[int, TaskLine]]) -> Iterator[tuple[int, TaskLine]]:
    """The lines in an order in which each comes after the one that it is a part of.

    Raises:
        Cycle: Some are parts of each other.
    """
    done: set[UUID] = set()
    for task_id in tasks:
        waiting: dict[UUID, None] = {}
        above: UUID | None = task_id
        while above in tasks and above not in done:
            if above in waiting:
                raise _of_line(Cycle(), tasks[above][0])
            waiting[above] = None
            above = tasks[above][1].parent_id
        for one in reversed(waiting):
            done.add(one)
            yield tasks[one]


def _of_line(problem: Problem, number: int) -> Problem:
    """The same problem, which says of which line it is."""
    if isinstance(problem, Invalid):
        problem.errors = [FieldError(e.location, f"/{number}{e.pointer}", e.detail) for e in problem.errors]
    else:
        problem.index = number
    return problem


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

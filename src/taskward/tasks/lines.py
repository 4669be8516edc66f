"""Tasks in exports and imports: whole trees, of which what is above comes first, and what is put elsewhere meanwhile is
neither missed nor met twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from struct import Struct
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from pydantic import StringConstraints

from taskward.errors import Problem
from taskward.kit.limits import Limits
from taskward.kit.ordering import Position, written_position
from taskward.kit.pointers import of_line
from taskward.kit.types import Ignored, NewId, Reference
from taskward.kit.walks import ways_up
from taskward.lists.schemas import EXAMPLE as A_LIST
from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.export_lines import BEFORE_ALL, ID_BYTES, ROWS, ExportLines, Page, is_last, text_of
from taskward.storage.session import Session
from taskward.tasks import statements
from taskward.tasks.changes import PutBack
from taskward.tasks.errors import Cycle
from taskward.tasks.row import TaskRow, columns_of, completed_since
from taskward.tasks.schedule.consistency import rule_for_others
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from taskward.tasks.table import Task
from taskward.tasks.tree import DEEPEST_TREE
from taskward.tasks.types import EXAMPLE_ID, DueAt
from taskward.tasks.unit_of_work import UnitOfWork

_ID = Struct(f"{ID_BYTES}s")
_RULE = re.compile('"recurrence":"[^"]*"')
_Meant = Annotated[str, StringConstraints(max_length=40)]


class TaskLine(TaskCreate):
    """A task in an export."""

    type: Literal["task"]
    id: NewId
    position: Position | None = None
    meant_at: _Meant | None = None
    series_id: Reference | None = None
    next_id: Reference | None = None
    moved_from: Reference | None = None
    deleted_at: DueAt | None = None
    deleted_with: Reference | None = None
    user_id: Ignored = None
    version: Ignored = None
    created_at: Ignored = None
    updated_at: Ignored = None


def task_row(line: TaskLine, now: datetime) -> TaskRow:
    """The columns that are written for a line; without its list, it is in that of its parent.

    Args:
        now: When a task was completed of which the line does not say; nothing was completed or trashed later.
    """
    row = TaskRow(**columns_of({name: getattr(line, name) for name in TaskCreate.model_fields}))
    said = None if line.completed_at is None else min(line.completed_at, now)
    row.completed_at = completed_since(line.completed, said, None, now)
    row.position = written_position(line.position, line.id)
    row.meant_at = line.meant_at
    row.series_id, row.next_id, row.moved_from = line.series_id, line.next_id, line.moved_from
    if line.deleted_at is not None:
        # What were trashed later than now would stay when the trash is emptied.
        row.deleted_at, row.deleted_with = min(line.deleted_at, now), line.deleted_with or line.id
    return row


class _Reader:
    """Reads the tasks of one level of their trees after the other, then those that have changed since it began.

    It keeps their ids, in as little memory as those take.
    """

    def __init__(self) -> None:
        self._ids = bytearray()
        # The owner's clock at the beginning. Only what has changed since can be met twice.
        self._since = 0
        self._level = 0
        self._after = BEFORE_ALL
        self._version = 0

    def __len__(self) -> int:
        return len(self._ids) // ID_BYTES

    async def begin(self, session: Session) -> int:
        account = await TaskStore(session).account()
        if account is None:
            return 0
        self._since = self._version = account["clock"]
        tasks: int = account["tasks"]
        return ID_BYTES * tasks

    async def read(self, session: Session, most: int) -> Page:
        rows = await session.fetch(statements.export_page(self._level), after=self._after, rows=ROWS, most=most)
        if is_last(rows):
            self._level += 1
            self._after = BEFORE_ALL
        else:
            self._after = rows[-1]["id"]
        return Page(text_of(self._new(rows)), self._level == DEEPEST_TREE)

    async def read_again(self, session: Session, most: int) -> Page:
        rows = await session.fetch(statements.export_changed(), after=self._version, rows=ROWS, most=most)
        if rows:
            self._version = rows[-1]["version"]
        return Page(text_of(self._new(rows)), is_last(rows))

    def _new(self, rows: Sequence[asyncpg.Record]) -> list[str]:
        """The lines of those that were not read before."""
        changed = {row["id"].bytes for row in rows if row["version"] > self._since}
        known = {found for (found,) in _ID.iter_unpack(self._ids) if found in changed} if changed else ()
        new = [row for row in rows if row["id"].bytes not in known]
        for row in new:
            self._ids += row["id"].bytes
        return [_line(row) for row in new]


def _line(row: asyncpg.Record) -> str:
    """The line of a task, its rule in the form that others expect."""
    line, rule = str(row["line"]), row["recurrence"]
    if rule is None or "UNTIL=" not in rule:
        return line
    # The first of that name is the task's own: before it there are no objects, and in texts quotes are escaped.
    return _RULE.sub(f'"recurrence":"{rule_for_others(rule, row["due_at"], row["time_zone"])}"', line, count=1)


class _Writer(Sequence[int | None]):
    """The tasks of an import by their places, each the last line of those with its id; as a sequence, of each the place
    of the one that it is a part of, where that is there.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[int, TaskLine]] = []
        self._places: dict[UUID, int] = {}

    def add(self, number: int, line: TaskLine) -> None:
        place = self._places.setdefault(line.id, len(self._lines))
        # In place of one before, or behind the last one.
        self._lines[place : place + 1] = [(number, line)]

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, place: Any) -> Any:
        parent_id = self._lines[place][1].parent_id
        return None if parent_id is None else self._places.get(parent_id)

    async def write(self, session: Session, lock: AccountLock, limits: Limits) -> int:
        work = UnitOfWork(session, lock, limits)
        await work.load(PutBack(line) for _, line in self._lines)
        made = 0
        async for number, line in cooperatively(self._parents_first()):
            if work.has(line.id):
                continue
            made += 1
            try:
                work.put_back(task_row(line, lock.now), is_in_list="list_id" in line.model_fields_set)
            except Problem as problem:
                raise of_line(problem, number) from None
        await work.write(())
        return made

    def _parents_first(self) -> Iterator[tuple[int, TaskLine]]:
        """The lines in an order in which each comes after the one that it is a part of.

        Raises:
            Cycle: Some are parts of each other.
        """
        for way, end in ways_up(self):
            if end is not None:
                raise of_line(Cycle(), self._lines[end][0])
            for place in reversed(way):
                yield self._lines[place]


LINES = ExportLines(
    kind="task",
    plural="tasks",
    table=Task,
    line=TaskLine,
    example={"id": EXAMPLE_ID, "title": "Water the plants", "list_id": A_LIST["id"], "tags": ["home"]},
    reader=_Reader,
    writer=_Writer,
    problems=(Cycle,),
)

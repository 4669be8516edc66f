"""Imports: an export of one's own is put back, exports of other services are carried over as far as they go."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from pydantic import ValidationError

from taskward.account.schemas import LINE, EndLine, Line, ListLine, TaskLine, task_row
from taskward.account.store import AccountStore
from taskward.errors import Invalid, Problem
from taskward.formats.walks import ways_up
from taskward.kit.limits import Limits
from taskward.kit.pointers import point_into
from taskward.lists.store import ListStore
from taskward.runtime.fairness import cooperatively
from taskward.storage.session import Session
from taskward.strict_json.bounds import TooMuchJson
from taskward.strict_json.curtailing import MOST_ERRORS, KnownMembers
from taskward.strict_json.mistakes import NotJson
from taskward.strict_json.reading import parse
from taskward.tasks.changes import CreateMany, PutBack
from taskward.tasks.errors import Cycle
from taskward.tasks.unit_of_work import UnitOfWork
from taskward.transfer.foreign import Foreign, ForeignFormat
from taskward.transfer.records import Fate, Loss, Thing

Format = Literal["taskward", ForeignFormat]

_KNOWN = KnownMembers(Line)
_INK = re.compile(rb"[^ \t\r\n\v\f]")
_AT_ONCE = 64 * 1024


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
    """What an import did: how many lists and tasks it made, how many there were already, whether the file has the end
    of an export, what became of what another service has, what was lost of it, and how many losses are not named.
    """

    lists: int
    tasks: int
    unchanged: int
    is_whole: bool = True
    counts: Counter[tuple[Thing, Fate]] = field(default_factory=Counter)
    losses: Sequence[Loss] = ()
    losses_left_out: int = 0


class _Tasks(Sequence[int | None]):
    """The tasks of an export by their places, each the last line of those with its id; as a sequence, of each the place
    of the one that it is a part of, where that is there.

    Attributes:
        lines: With their numbers, from 1.
    """

    def __init__(self) -> None:
        self.lines: list[tuple[int, TaskLine]] = []
        self._places: dict[UUID, int] = {}

    def add(self, number: int, line: TaskLine) -> None:
        place = self._places.setdefault(line.id, len(self.lines))
        # In place of one before, or behind the last one.
        self.lines[place : place + 1] = [(number, line)]

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, place: Any) -> Any:
        parent_id = self.lines[place][1].parent_id
        return None if parent_id is None else self._places.get(parent_id)

    def parents_first(self) -> Iterator[tuple[int, TaskLine]]:
        """The lines in an order in which each comes after the one that it is a part of.

        Raises:
            Cycle: Some are parts of each other.
        """
        for way, end in ways_up(self):
            if end is not None:
                raise _of_line(Cycle(), self.lines[end][0])
            for place in reversed(way):
                yield self.lines[place]


class Importer:
    """Imports into the account of the session's owner."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self._session = session
        self._limits = limits

    async def import_own(self, export: bytes) -> Imported:
        """Make what an export of Taskward has, as it was, but for what is there already.

        Raises:
            Unreadable: Lines are not as an export has them.
            Invalid: A line's members do not go together, or name what is not there.
            LimitReached, Cycle: See `errors`.
        """
        lists: list[ListLine] = []
        tasks = _Tasks()
        is_whole = False
        async for number, line in cooperatively(_lines(export)):
            if isinstance(line, ListLine):
                lists.append(line)
            elif isinstance(line, TaskLine):
                tasks.add(number, line)
            elif isinstance(line, EndLine):
                is_whole = True
        work = await UnitOfWork.begin(self._session, self._limits)
        made_lists = await ListStore(self._session, self._limits).insert_exported(
            work.lock, [one.values() for one in lists]
        )
        await work.load(PutBack(line) for _, line in tasks.lines)
        made = 0
        async for number, line in cooperatively(tasks.parents_first()):
            if work.has(line.id):
                continue
            made += 1
            try:
                work.put_back(task_row(line, work.lock.now), is_in_list="list_id" in line.model_fields_set)
            except Problem as problem:
                raise _of_line(problem, number) from None
        await work.flush(())
        return Imported(made_lists, made, len(lists) - made_lists + len(tasks) - made, is_whole)

    async def import_foreign(self, found: Foreign) -> Imported:
        """Make what another service has exported.

        Raises:
            AlreadyImported: It was imported before in the same way, and some of it is there.
            LimitReached: See `errors`.
        """
        work = await UnitOfWork.begin(self._session, self._limits)
        account = AccountStore(self._session)
        await account.check_import(found.digest)
        lists = found.lists.values()
        rows = [{"id": one.id, "name": one.name, "color": one.color, "position": None} for one in lists]
        await ListStore(self._session, self._limits).insert_exported(work.lock, rows)
        made = [one.id for one in lists]
        await work.load([CreateMany(tuple(made), found.has_tags)])
        async for task, completed_at in cooperatively(found.tasks()):
            # By the database's clock nothing may have been completed later than now.
            completed = None if completed_at is None else min(completed_at, work.lock.now)
            try:
                work.create(task, completed_at=completed)
            except Invalid as problem:
                if [error.pointer for error in problem.errors] != ["/recurrence"]:
                    raise
                plain = task.model_copy(update={"recurrence": None, "recurs_from": "due"})
                work.create(plain, completed_at=completed)
                found.lose(task, "recurrence", problem.errors[0].detail)
            made.append(task.id)
            await work.relieve()
        await account.remember_import(found.digest, made)
        await work.flush(())
        reading = found.reading
        return Imported(
            len(lists),
            len(made) - len(lists),
            0,
            counts=found.counts,
            losses=reading.losses,
            losses_left_out=reading.losses_left_out,
        )


def _lines(export: bytes) -> Iterator[tuple[int, Any]]:
    """The lines that have something on them, each with its number; None in place of what may have taken long."""
    errors: list[tuple[int, list[Any]]] = []
    room = MOST_ERRORS
    start, number = 0, 1
    while start < len(export) and room:
        end = min(start + _AT_ONCE, len(export))
        ink = _INK.search(export, start, end)
        begin = end if ink is None else max(export.rfind(b"\n", start, ink.start()) + 1, start)
        number += export.count(b"\n", start, begin)
        start = begin
        line = None
        if ink is not None:
            end = export.find(b"\n", ink.start())
            start = len(export) if end < 0 else end
            try:
                line = LINE.validate_python(_KNOWN.curtail(parse(export[begin:start])))
            except (NotJson, TooMuchJson) as error:
                errors.append((number, [_not_read(error)]))
                room -= 1
            except ValidationError as error:
                found = error.errors(include_url=False)[:room]
                errors.append((number, found))
                room -= len(found)
        yield number, line
    if errors:
        raise Unreadable(errors)


def _not_read(error: NotJson | TooMuchJson) -> dict[str, Any]:
    if isinstance(error, NotJson):
        return {"type": "json_invalid", "loc": (), "ctx": {"mistake": error.in_line}}
    return {"type": "value_error", "loc": (), "ctx": {"error": error}}


def _of_line(problem: Problem, number: int) -> Problem:
    """The same problem, which says of which line it is."""
    if isinstance(problem, Invalid):
        point_into(problem, f"/{number}")
    else:
        problem.index = number
    return problem

"""Imports: an export of one's own is put back, exports of other services are carried over as far as they go."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from taskward.errors import Invalid
from taskward.kit.limits import Limits
from taskward.kit.unions import told_apart
from taskward.lists.store import ListStore
from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.export_lines import ExportLines
from taskward.storage.session import Session
from taskward.strict_json.bounds import TooMuchJson
from taskward.strict_json.curtailing import MOST_ERRORS, KnownMembers
from taskward.strict_json.mistakes import NotJson
from taskward.strict_json.reading import parse
from taskward.tasks.changes import CreateMany
from taskward.tasks.unit_of_work import UnitOfWork
from taskward.transfer.foreign import Foreign, ForeignFormat
from taskward.transfer.records import Fate, Loss, Thing
from taskward.transfer.store import ImportedFiles

Format = Literal["taskward", ForeignFormat]

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
    """What an import did: how many rows it made by their kinds' plurals, how many there were already, whether the file
    has the end of an export, what became of what another service has, what was lost of it, and how many losses are not
    named.
    """

    made: Mapping[str, int]
    unchanged: int
    is_whole: bool = True
    counts: Counter[tuple[Thing, Fate]] = field(default_factory=Counter)
    losses: Sequence[Loss] = ()
    losses_left_out: int = 0


class OwnFormat:
    """An export of Taskward's: lines of several kinds, and the last line, by which one can see that it is whole.

    Attributes:
        kinds: In an order in which each comes after those that it refers to.
    """

    def __init__(self, kinds: Sequence[ExportLines]) -> None:
        self.kinds = kinds
        # An export that was made before there was a kind does not count it.
        members: dict[str, Any] = {"type": (Literal["end"], ...), **{one.plural: (int, 0) for one in kinds}}
        end = create_model("EndLine", __config__=ConfigDict(extra="forbid", strict=True), **members)
        line = told_apart("type", {**{one.kind: one.line for one in kinds}, "end": end})
        self._lines: TypeAdapter[Any] = TypeAdapter(line)
        self._known = KnownMembers(line)

    def read(self, export: bytes) -> Iterator[tuple[int, Any]]:
        """The lines that have something on them, each with its number; None in place of what may have taken long.

        Raises:
            Unreadable: Some are not as an export has them.
        """
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
                    line = self._lines.validate_python(self._known.curtail(parse(export[begin:start])))
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


class Importer:
    """Imports into the account of the session's owner."""

    def __init__(self, session: Session, limits: Limits, own: OwnFormat) -> None:
        self._session = session
        self._limits = limits
        self._own = own

    async def import_own(self, export: bytes) -> Imported:
        """Make what an export of Taskward has, as it was, but for what is there already.

        Raises:
            Unreadable: Lines are not as an export has them.
            Problem: A line's members do not go together, or name what is not there, or there would be more than one
                may have.
        """
        writers = {one.line: one.writer() for one in self._own.kinds}
        is_whole = False
        async for number, line in cooperatively(self._own.read(export)):
            if line is None:
                continue
            writer = writers.get(type(line))
            if writer is None:
                is_whole = True
            else:
                writer.add(number, line)
        lock = await AccountLock.acquire(self._session)
        made: dict[str, int] = {}
        for one in self._own.kinds:
            made[one.plural] = await writers[one.line].write(self._session, lock, self._limits)
        await lock.save()
        return Imported(made, sum(map(len, writers.values())) - sum(made.values()), is_whole)

    async def import_foreign(self, found: Foreign) -> Imported:
        """Make what another service has exported.

        Raises:
            AlreadyImported: It was imported before in the same way, and some of it is there.
            LimitReached: See `errors`.
        """
        work = await UnitOfWork.begin(self._session, self._limits)
        files = ImportedFiles(self._session)
        await files.check(found.digest)
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
        await files.remember(found.digest, made)
        await work.flush(())
        reading = found.reading
        return Imported(
            {"lists": len(lists), "tasks": len(made) - len(lists)},
            0,
            counts=found.counts,
            losses=reading.losses,
            losses_left_out=reading.losses_left_out,
        )


def _not_read(error: NotJson | TooMuchJson) -> dict[str, Any]:
    if isinstance(error, NotJson):
        return {"type": "json_invalid", "loc": (), "ctx": {"mistake": error.in_line}}
    return {"type": "value_error", "loc": (), "ctx": {"error": error}}

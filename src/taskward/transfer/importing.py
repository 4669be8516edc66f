"""Imports of one's own export: each slice puts its lines back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from taskward.kit.limits import Limits
from taskward.kit.unions import told_apart
from taskward.runtime.fairness import cooperatively
from taskward.storage.account_lock import AccountLock
from taskward.storage.export_lines import ExportLines
from taskward.storage.session import Session
from taskward.strict_json.bounds import TooMuchJson
from taskward.strict_json.curtailing import MOST_ERRORS, KnownMembers
from taskward.strict_json.mistakes import NotJson
from taskward.strict_json.reading import parse

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
    """What an import did.

    Attributes:
        made: How many rows it made, by the plurals of their kinds.
        unchanged: How many were there already.
        is_whole: Whether the file has the end of an export.
    """

    made: Mapping[str, int]
    unchanged: int = 0
    is_whole: bool = True


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


async def import_own(session: Session, limits: Limits, own: OwnFormat, export: bytes) -> Imported:
    """Make what an export of Taskward has, as it was, but for what is there already.

    Raises:
        Unreadable: Lines are not as an export has them.
        Problem: A line's members do not go together, or name what is not there, or there would be more than one may
            have.
    """
    writers = {one.line: one.writer() for one in own.kinds}
    is_whole = False
    async for number, line in cooperatively(own.read(export)):
        if line is None:
            continue
        writer = writers.get(type(line))
        if writer is None:
            is_whole = True
        else:
            writer.add(number, line)
    lock = await AccountLock.acquire(session)
    made: dict[str, int] = {}
    for one in own.kinds:
        made[one.plural] = await writers[one.line].write(session, lock, limits)
    await lock.save()
    return Imported(made, sum(map(len, writers.values())) - sum(made.values()), is_whole)


def _not_read(error: NotJson | TooMuchJson) -> dict[str, Any]:
    if isinstance(error, NotJson):
        return {"type": "json_invalid", "loc": (), "ctx": {"mistake": error.in_line}}
    return {"type": "value_error", "loc": (), "ctx": {"error": error}}

"""Rows as lines of JSON: how all that an owner has is exported, and how it is put back. Each slice says it of its rows;
for a table whose rows hang on no others of it, `flat_reader` and `flat_writer` are enough.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import asyncpg
from pydantic import BaseModel
from sqlalchemy import BigInteger, ColumnElement, Uuid, bindparam, func
from sqlmodel import select

from taskward.errors import Problem
from taskward.kit.limits import Limits
from taskward.storage.account_lock import AccountLock
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.row_json import within_bytes
from taskward.storage.scoping import OWNER
from taskward.storage.session import Session
from taskward.storage.tables import OwnedTable, columns, table_of

ROWS = 200
"""Rows at which a page of an export ends."""
BEFORE_ALL = UUID(int=0)
ID_BYTES = 16


class Page(NamedTuple):
    """Some lines of an export, and whether they are the last of their kind."""

    lines: bytes
    is_last: bool


class Reader(Protocol):
    """Reads the rows of one kind for one export, page by page, each in a transaction of its own."""

    def __len__(self) -> int:
        """How many were read."""

    async def begin(self, session: Session) -> int:
        """Look at what there is before anything is read.

        Returns:
            Bytes that this will keep in memory, where they may be many.
        """

    async def read(self, session: Session, most: int) -> Page:
        """The next page.

        Args:
            most: Bytes that it may have, unless one row has more.
        """

    async def read_again(self, session: Session, most: int) -> Page:
        """The next page of what was made or put elsewhere since, and was not read; as `read`."""


class Writer(Protocol):
    """Puts the lines of one kind of one import back."""

    def add(self, number: int, line: Any) -> None:
        """Take a line.

        Args:
            number: Of the line in the file, from 1.
        """

    def __len__(self) -> int:
        """How many rows the lines are."""

    async def write(self, session: Session, lock: AccountLock, limits: Limits) -> int:
        """Make the rows, but for those that are there.

        Args:
            lock: The owner's turn, which ends with what else is imported.

        Returns:
            How many were made.

        Raises:
            Problem: One cannot be made.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLines:
    """How the rows of a slice are exported and put back.

    Attributes:
        kind: The `type` of a line.
        plural: What tells how many there are, in an export's last line and an import's report.
        table: Lines of tables that others refer to come before those of the others.
        line: What a line has when it is put back.
        example: The members of one, in the documentation.
        reader: Makes what reads the rows.
        writer: Makes what puts lines back.
        problems: Those of its own by which it may refuse lines.
    """

    kind: str
    plural: str
    table: type[OwnedTable]
    line: type[BaseModel]
    example: Mapping[str, Any]
    reader: Callable[[], Reader]
    writer: Callable[[], Writer]
    problems: tuple[type[Problem], ...] = ()


def in_order(kinds: Iterable[ExportLines]) -> tuple[ExportLines, ...]:
    """The kinds in an order in which each comes after those that it refers to."""
    tables = OwnedTable.metadata.sorted_tables
    return tuple(sorted(kinds, key=lambda one: tables.index(table_of(one.table))))


def text_of(lines: Iterable[str]) -> bytes:
    """Lines as they are sent."""
    return b"".join([f"{line}\n".encode() for line in lines])


def is_last(rows: Sequence[asyncpg.Record]) -> bool:
    """Whether no rows come after those of a page, whose statement has counted as `found` how many there were."""
    return not rows or len(rows) == rows[0]["found"] < ROWS


def page_by_id(table: type[OwnedTable], line_of: Callable[[Any], ColumnElement[str]]) -> Statement:
    """The statement of `flat_reader`.

    Args:
        line_of: Makes the line from the columns of a sub-query.
    """
    own = columns(table)
    mine = select(*own).where(own.user_id == OWNER, own.id > bindparam("after", type_=Uuid()))
    page = mine.order_by(own.id).limit(bindparam("rows", type_=BigInteger())).subquery("page")
    found = func.count(page.c.id).over().label("found")
    lines: Any = select(page.c.id, line_of(page.c).label("line"), found)
    return compile_statement(within_bytes(lines, "id"))


def flat_reader(page: Callable[[], Statement]) -> Callable[[], Reader]:
    """What makes readers of rows by their ids.

    Args:
        page: A page of rows after the id `after`, each with its `id` and as a `line`: the first `rows` of them, or as
            many as have `most` bytes together; `found` says how many there were.
    """
    return lambda: _FlatReader(page)


def flat_writer(make: Callable[[Session, AccountLock, Limits, Sequence[Any]], Awaitable[int]]) -> Callable[[], Writer]:
    """What makes writers of rows that hang on no others of their table.

    Args:
        make: Makes rows for the lines, as `Writer.write`.
    """
    return lambda: _FlatWriter(make)


class _FlatReader:
    def __init__(self, page: Callable[[], Statement]) -> None:
        self._page = page
        self._after = BEFORE_ALL
        self._read = _Ids()

    def __len__(self) -> int:
        return len(self._read)

    async def begin(self, session: Session) -> int:
        del session
        return 0

    async def read(self, session: Session, most: int) -> Page:
        rows = await session.fetch(self._page(), after=self._after, rows=ROWS, most=most)
        ends = is_last(rows)
        # Whatever was made meanwhile may have any id.
        self._after = BEFORE_ALL if ends else rows[-1]["id"]
        return Page(text_of([row["line"] for row in rows if self._read.add(row["id"])]), ends)

    read_again = read


class _Ids:
    """Ids in their order, in as little memory as they take."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes) // ID_BYTES

    def __getitem__(self, place: int) -> bytes:
        return bytes(self._bytes[ID_BYTES * place : ID_BYTES * (place + 1)])

    def add(self, row_id: UUID) -> bool:
        """Add an id, and say whether it is new."""
        place = bisect_left(self, row_id.bytes)
        if self[place] == row_id.bytes:
            return False
        self._bytes[ID_BYTES * place : ID_BYTES * place] = row_id.bytes
        return True


class _FlatWriter:
    def __init__(self, make: Callable[[Session, AccountLock, Limits, Sequence[Any]], Awaitable[int]]) -> None:
        self._make = make
        self._lines: list[Any] = []

    def add(self, number: int, line: Any) -> None:
        del number
        self._lines.append(line)

    def __len__(self) -> int:
        return len(self._lines)

    async def write(self, session: Session, lock: AccountLock, limits: Limits) -> int:
        return await self._make(session, lock, limits, self._lines)

"""Listings: which statement a set of filters becomes, and the cursor between its pages."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Text, Uuid, bindparam, cast
from sqlmodel import select

from taskward.database.documents import json_object
from taskward.database.statements import OWNER, Statement, compile_statement
from taskward.database.tables import Account, columns, table_of
from taskward.errors import FieldError, Invalid
from taskward.tasks.models import Task, TaskFilters, TaskRead

_task = columns(Task)
_MEMBERS = tuple(TaskRead.model_fields)


def read_from(source: Any) -> tuple[ColumnElement[Any], ...]:
    """What is read of a task, from the table's columns or a sub-query's: its `id`, its `version`, and as `task` the
    JSON that clients read.
    """
    return source.id, source.version, json_object({name: source[name] for name in _MEMBERS}).label("task")


# A cursor and an ETag hold for one listing, told apart by these. A limit and a cursor only choose a page of it.
_FILTERS = tuple(name for name in TaskFilters.model_fields if name not in {"limit", "cursor"})

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing, understood.

    Attributes:
        statement: Yields the account's epoch and clock and a task in each row, see `read_from`; one row without a
            task's id where there is none, and no row where the account does not exist.
        parameters: Its parameters.
        limit: The most tasks of one page; the statement fetches one more, to know whether there is a next page.
        fingerprint: Says which listing this is, page included.
    """

    statement: Statement
    parameters: dict[str, Any]
    limit: int
    fingerprint: str

    filters: TaskFilters

    def next_cursor(self, last: UUID) -> str:
        """The cursor of the page after the task with the id `last`."""
        return urlsafe_b64encode(_digest(self.filters) + last.bytes).rstrip(b"=").decode("ascii")


def listing(filters: TaskFilters) -> Listing:
    """Understand a listing's filters.

    Raises:
        Invalid: The cursor is malformed, or of another listing.
    """
    after = None if filters.cursor is None else _read_cursor(filters)
    parameters: dict[str, Any] = {"rows": filters.limit + 1}
    if after is not None:
        parameters["after"] = after
    statement = _list_statement(filters.completed, filters.deleted, after is not None)
    return Listing(statement, parameters, filters.limit, f"{_shape(filters)};{filters.limit};{after}", filters)


@cache
def _list_statement(completed: bool | None, deleted: bool, paged: bool) -> Statement:  # noqa: FBT001
    page = select(*(_task[name] for name in _MEMBERS)).where(_task.user_id == OWNER)
    page = page.where(_task.deleted_at.is_not(None) if deleted else _task.deleted_at.is_(None))
    if completed is not None:
        page = page.where(_task.completed if completed else ~_task.completed)
    if paged:
        page = page.where(_task.id < bindparam("after", type_=Uuid()))
    found = page.order_by(_task.id.desc()).limit(bindparam("rows", type_=BigInteger())).subquery("page")
    account = columns(Account)
    statement = (
        select(cast(account.epoch, Text).label("epoch"), account.clock, *read_from(found.c))
        .select_from(table_of(Account).outerjoin(found, found.c.user_id == account.user_id))
        .where(account.user_id == OWNER)
        .order_by(found.c.id.desc())
    )
    return compile_statement(statement)


def _shape(filters: TaskFilters) -> str:
    return "".join([f"{name}={getattr(filters, name)!r};" for name in _FILTERS]) + "sort=-id"


def _digest(filters: TaskFilters) -> bytes:
    return blake2b(_shape(filters).encode(), digest_size=_DIGEST_BYTES).digest()


def _read_cursor(filters: TaskFilters) -> UUID:
    cursor = filters.cursor or ""
    try:
        data = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        canonical = urlsafe_b64encode(data).rstrip(b"=").decode("ascii") == cursor
    except (binascii.Error, ValueError):
        canonical, data = False, b""
    if not canonical or len(data) != _DIGEST_BYTES + 16:
        raise Invalid([FieldError("query", "/cursor", "This is not a cursor; take the URL from the Link header.")])
    if data[:_DIGEST_BYTES] != _digest(filters):
        raise Invalid([FieldError("query", "/cursor", "This cursor is of a listing with other filters.")])
    return UUID(bytes=data[_DIGEST_BYTES:])

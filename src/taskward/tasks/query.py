"""Listings: which statement a set of filters becomes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Interval,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    true,
)
from sqlmodel import select

from taskward.errors import FieldError, Invalid
from taskward.runtime.fairness import in_thread
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.scoping import OWNER, Constant
from taskward.storage.tables import Account, columns, position_of, table_of
from taskward.tasks.conditions import When
from taskward.tasks.cursors import read_cursor, write_cursor
from taskward.tasks.filters import FILTERS, TaskFilters
from taskward.tasks.parameters import Order
from taskward.tasks.table import Task
from taskward.tasks.task_json import MEMBERS, json_of, size_of
from taskward.tasks.types import PRIORITIES

_task = columns(Task)

# A due that is a day counts as the end of that day.
_UP_TO_ITS_END = timedelta(days=1, microseconds=-1)
_INSTANT = DateTime(timezone=True)


class _Sort(NamedTuple):
    """What a listing may be sorted by: its SQL, its type in a cursor and in SQL, and whether it may be NULL."""

    key: Callable[[Any], ColumnElement[Any]]
    kind: type
    sql: Any
    nullable: bool = False


def _due(source: Any) -> ColumnElement[Any]:
    end_of_day = source.due_date + bindparam("up_to_its_end", type_=Interval())
    return func.coalesce(source.due_at, func.pg_catalog.timezone(bindparam("tz", type_=Text()), end_of_day))


def _urgency(source: Any) -> ColumnElement[Any]:
    return case(*((source.priority == Constant(name), Constant(rank)) for rank, name in enumerate(PRIORITIES)))


_SORTS: dict[str, _Sort] = {
    "created_at": _Sort(lambda source: source.created_at, datetime, _INSTANT),
    "updated_at": _Sort(lambda source: source.updated_at, datetime, _INSTANT),
    "completed_at": _Sort(lambda source: source.completed_at, datetime, _INSTANT, nullable=True),
    "due": _Sort(_due, datetime, _INSTANT, nullable=True),
    "priority": _Sort(_urgency, int, Integer()),
    # As much as a cursor can carry in a URL.
    "title": _Sort(lambda source: func.pg_catalog.left(source.folded_title, Constant(255)), str, Text()),
    "position": _Sort(position_of, str, Text()),
}

# A statement fetches one of these numbers of rows, which is written into its SQL. If the number were a parameter,
# PostgreSQL would plan the statement anew each time, which takes as long as to run it.
_ROWS = (2, 11, 21, 51, 101, 201)

# Clients decide on the shapes, so only so many are kept; asyncpg keeps fewer.
_MOST_SHAPES = 512
_written: dict[Any, None] = {}
_unasked: list[Listing] = []

# A cursor and an ETag hold for one listing, told apart by these. A limit and a cursor only choose a page of it.
_SHAPE = tuple(name for name in TaskFilters.model_fields if name not in {"limit", "cursor", "count"})
_NOT_ASKED = {name: getattr(TaskFilters(), name) for name in _SHAPE}


class Conditions(NamedTuple):
    """Which conditions a listing has, without their values: what its statement is compiled for.

    Attributes:
        deleted: Whether it is one of the trash.
        asked: The names of the filters that are asked, each with what is asked of it.
    """

    deleted: bool
    asked: tuple[tuple[str, Hashable], ...]

    @property
    def depend_on_time(self) -> bool:
        return any(FILTERS[name].depends_on_time for name, _ in self.asked)

    def where(self) -> list[ColumnElement[bool]]:
        """The conditions as SQL, the owner's first."""
        return [
            _task.user_id == OWNER,
            _task.deleted_at.is_not(None) if self.deleted else _task.deleted_at.is_(None),
            *(FILTERS[name].condition(name, shape) for name, shape in self.asked),
        ]


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing, understood.

    Attributes:
        statement: Yields the account's epoch and clock, as `tasks` the JSON of each in their order, and their sort keys
            as `key_0` and so on; these are NULL where there is no task, and there is no row where the account does not
            exist. A task of more than `most_each` bytes has their number in place of its JSON, in digits.
        counting: Yields the number of tasks on all pages, or None where nobody asks.
        parameters: The parameters of both.
        limit: The most tasks of one page; the statement fetches more, so that one knows whether there is a next page.
        fingerprint: Says which listing this is, page included.
        depends_on_time: Whether it may change without a write.
    """

    statement: Statement
    counting: Statement | None
    parameters: dict[str, Any]
    limit: int
    fingerprint: str
    depends_on_time: bool

    shape: str
    keys: int

    def next_cursor(self, last_id: UUID, keys: Sequence[Any] = ()) -> str:
        """The cursor of the page after the one whose last task has this id and these sort keys."""
        return write_cursor(self.shape, last_id, keys)


def listing(filters: TaskFilters, *, now: datetime | None = None) -> Listing:
    """Understand a listing's filters.

    Args:
        now: What `overdue` goes by; the present by default.

    Raises:
        Invalid: The cursor is malformed, or of another listing.
    """
    return _understood(filters, now).listing()


async def prepared_listing(filters: TaskFilters) -> Listing:
    """As `listing`. To write the statement of a shape that nobody has asked for lately takes tens of milliseconds, so
    that is done where others go on.
    """
    if not filters.model_fields_set:
        # Most ask for nothing in particular.
        if not _unasked:
            _unasked.append(await in_thread(listing, filters))
        return _unasked[0]
    understood = _understood(filters, None)
    known = understood.shape in _written
    if not known:
        await in_thread(understood.listing)
    # In the order of their use, as the statements themselves are kept.
    _written.pop(understood.shape, None)
    _written[understood.shape] = None
    if len(_written) > _MOST_SHAPES:
        del _written[next(iter(_written))]
    return understood.listing()


class _Understood(NamedTuple):
    """A listing's filters, understood: the shape for which its statements are written, and all else."""

    shape: tuple[Conditions, Order, tuple[bool, ...] | None, int, bool]
    others: tuple[dict[str, Any], int, str, bool, str, int]

    def listing(self) -> Listing:
        conditions, order, nulls, rows, counts = self.shape
        counting = _count_statement(conditions) if counts else None
        return Listing(_list_statement(conditions, order, nulls, rows), counting, *self.others)


def _understood(filters: TaskFilters, now: datetime | None) -> _Understood:
    order = _ended(filters.sort)
    names = [name for name, _ in order[:-1]]
    shape = _shape(filters)
    parameters: dict[str, Any] = {}
    nulls: tuple[bool, ...] | None = None
    if filters.cursor is not None:
        try:
            after, keys = read_cursor(filters.cursor, shape, [_SORTS[name].kind for name in names])
        except ValueError as error:
            raise Invalid([FieldError("query", "/cursor", str(error))]) from None
        nulls = tuple(key is None for key in keys)
        parameters |= {"after": after, **{f"after_{index}": key for index, key in enumerate(keys)}}
    conditions = _asked(filters, parameters, now or datetime.now(UTC))
    if "due" in names:
        parameters |= {"up_to_its_end": _UP_TO_ITS_END, "tz": filters.tz}
    fingerprint = f"{shape};{filters.limit};{filters.cursor}"
    return _Understood(
        (conditions, order, nulls, next(rows for rows in _ROWS if rows > filters.limit), filters.count),
        (parameters, filters.limit, fingerprint, conditions.depend_on_time, shape, len(names)),
    )


def _asked(filters: TaskFilters, parameters: dict[str, Any], now: datetime) -> Conditions:
    """The conditions that filters make, and, added to `parameters`, their values."""
    when, values, sent = When(filters.tz, now), vars(filters), filters.model_fields_set
    asked: list[tuple[str, Hashable]] = []
    for name, one in FILTERS.items():
        value = values[name] if name in sent else None
        # A filter without a tag, or without a word, asks for nothing either.
        if value is None or value in ([], ()):
            continue
        shape, of_filter = one.asked(name, value, when)
        asked.append((name, shape))
        parameters |= of_filter
    return Conditions(filters.deleted, tuple(asked))


def _ended(order: Order) -> Order:
    """An order without ties: it ends with the id."""
    names = [name for name, _ in order]
    return order[: names.index("id") + 1] if "id" in names else (*order, ("id", False))


def _shape(filters: TaskFilters) -> str:
    # Made only from the filters that are asked, so a cursor stays valid when a newer version has more filters.
    chosen = [(name, getattr(filters, name)) for name in _SHAPE]
    return "".join([f"{name}={value!r};" for name, value in chosen if value != _NOT_ASKED[name]])


@lru_cache(maxsize=_MOST_SHAPES)
def _list_statement(conditions: Conditions, order: Order, nulls: tuple[bool, ...] | None, rows: int) -> Statement:
    keys = [(f"key_{index}", _SORTS[name], down) for index, (name, down) in enumerate(order[:-1])]
    _, id_down = order[-1]
    chosen = [_task[name] for name in MEMBERS] + [sort.key(_task).label(label) for label, sort, _ in keys]
    page = select(*chosen).where(*conditions.where())
    if nulls is not None:
        page = page.where(_beyond([(sort, down) for _, sort, down in keys], nulls, id_down=id_down))
    ordered = [_ordered(sort.key(_task), down, nullable=sort.nullable) for _, sort, down in keys]
    page = page.order_by(*ordered, _ordered(_task.id, id_down)).limit(Constant(rows))
    found = page.subquery("page")
    # Of each by itself: a sum over the page would keep every row once more, which takes a seventh of the time for it.
    size = size_of(found.c)
    is_small = size <= bindparam("most_each", type_=BigInteger())
    # In one row: each row by itself costs PostgreSQL and the worker a message, a tenth of a listing.
    gathered = {"tasks": case((is_small, json_of(found.c)), else_=cast(size, Text))} | {
        label: found.c[label] for label, _, _ in keys
    }
    last = _ordered(found.c.id, id_down)
    by = [*(_ordered(found.c[label], down, nullable=sort.nullable) for label, sort, down in keys), last]
    in_order = {name: func.pg_catalog.array_agg(one).aggregate_order_by(*by) for name, one in gathered.items()}
    whole = select(*(many.label(name) for name, many in in_order.items())).select_from(found).subquery("whole")
    account = columns(Account)
    statement = (
        select(cast(account.epoch, Text).label("epoch"), account.clock, *whole.c)
        .select_from(table_of(Account).outerjoin(whole, true()))
        .where(account.user_id == OWNER)
    )
    return compile_statement(statement)


@lru_cache(maxsize=_MOST_SHAPES)
def _count_statement(conditions: Conditions) -> Statement:
    return compile_statement(select(func.count(_task.id).label("count")).where(*conditions.where()))


def _ordered(key: ColumnElement[Any], down: bool, *, nullable: bool = False) -> Any:  # noqa: FBT001
    ordered = key.desc() if down else key.asc()
    return ordered.nulls_last() if nullable else ordered


def _beyond(keys: list[tuple[_Sort, bool]], nulls: tuple[bool, ...], *, id_down: bool) -> ColumnElement[bool]:
    """Whether a row comes after the row of the cursor. NULL is last: where the key of the cursor's row was NULL, no row
    comes after it by this key.
    """
    last = bindparam("after", type_=Uuid())
    condition: ColumnElement[bool] = _task.id < last if id_down else _task.id > last
    for index in reversed(range(len(keys))):
        sort, down = keys[index]
        key = sort.key(_task)
        if nulls[index]:
            condition = and_(key.is_(None), condition)
            continue
        value = bindparam(f"after_{index}", type_=sort.sql)
        further = key < value if down else key > value
        if sort.nullable:
            further = or_(further, key.is_(None))
        condition = or_(further, and_(key == value, condition))
    return condition

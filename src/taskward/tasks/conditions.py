"""Which tasks a listing shows: filters as conditions, whose shape is compiled and whose values are parameters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    DateTime,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    false,
    func,
    not_,
    or_,
)

from taskward.storage.scoping import OWNER, Constant
from taskward.storage.tables import columns
from taskward.tasks.filters import NONE, TaskFilters, bounds_after, bounds_before, bounds_on, start_of
from taskward.tasks.search import parse_query
from taskward.tasks.table import Task

_task = columns(Task)
_INSTANT = DateTime(timezone=True)
_MOMENTS = ("updated_since", "created_since", "completed_since", "completed_before")


class Conditions(NamedTuple):
    """Which conditions a listing has, without their values: what its statement is compiled for."""

    completed: bool | None
    deleted: bool
    priority: bool
    tags: int  # how many, but for `none`
    untagged: bool
    tag_any: int
    series: bool
    list_id: bool | None  # whether it is one, rather than none
    parent_id: bool | None
    no_due: bool
    due_on: bool
    due_before: bool
    due_after: bool
    updated_since: bool
    created_since: bool
    completed_since: bool
    completed_before: bool
    overdue: bool | None
    terms: tuple[tuple[bool, ...], ...]  # whether each is negated


def bind(filters: TaskFilters, parameters: dict[str, Any], now: datetime) -> Conditions:
    """The conditions that filters make, and, added to `parameters`, their values."""
    query = parse_query(filters.q) if filters.q else ()
    tags = [tag for tag in filters.tag if tag != NONE]
    parameters.update(
        {f"term_{i}_{j}": term.pattern for i, terms in enumerate(query) for j, term in enumerate(terms)}
        | {f"tag_{index}": tag for index, tag in enumerate(tags)}
        | {f"any_tag_{index}": tag for index, tag in enumerate(filters.tag_any)}
    )
    for name in ("priority", "series", "list_id", "parent_id"):
        if (value := getattr(filters, name)) and value != NONE:
            parameters[name] = value
    zone = filters.tz
    if filters.due_on is not None:
        parameters["due_from"], parameters["due_until"], parameters["due_on_day"] = bounds_on(filters.due_on, zone)
    if filters.due_before is not None:
        parameters["due_before"], parameters["due_before_day"] = bounds_before(filters.due_before, zone)
    if filters.due_after is not None:
        parameters["due_after"], parameters["due_after_day"] = bounds_after(filters.due_after, zone)
    for name in _MOMENTS:
        if (moment := getattr(filters, name)) is not None:
            parameters[name] = start_of(moment, zone)
    if filters.overdue is not None:
        parameters |= {"now": now, "today": now.astimezone(ZoneInfo(zone)).date()}
    return Conditions(
        completed=filters.completed,
        deleted=filters.deleted,
        priority=filters.priority is not None,
        tags=len(tags),
        untagged=NONE in filters.tag,
        tag_any=len(filters.tag_any),
        series=filters.series is not None,
        list_id=None if filters.list_id is None else filters.list_id != NONE,
        parent_id=None if filters.parent_id is None else filters.parent_id != NONE,
        no_due=filters.due is not None,
        due_on=filters.due_on is not None,
        due_before=filters.due_before is not None,
        due_after=filters.due_after is not None,
        updated_since=filters.updated_since is not None,
        created_since=filters.created_since is not None,
        completed_since=filters.completed_since is not None,
        completed_before=filters.completed_before is not None,
        overdue=filters.overdue,
        terms=tuple(tuple(term.negated for term in terms) for terms in query),
    )


def where(wanted: Conditions) -> list[ColumnElement[bool]]:
    """The conditions as SQL, the owner's first."""
    return [
        _task.user_id == OWNER,
        _task.deleted_at.is_not(None) if wanted.deleted else _task.deleted_at.is_(None),
        *_equal(wanted),
        *_between(wanted),
        *_found(wanted),
    ]


def _equal(wanted: Conditions) -> Iterator[ColumnElement[bool]]:
    if wanted.completed is not None:
        yield _task.completed if wanted.completed else ~_task.completed
    if wanted.priority:
        yield _task.priority == any_(bindparam("priority", type_=ARRAY(Text())))
    for index in range(wanted.tags):
        yield bindparam(f"tag_{index}", type_=Text()) == any_(_task.tags)
    if wanted.untagged:
        yield _task.tags == Constant("{}")
    if wanted.tag_any:
        names = [f"any_tag_{index}" for index in range(wanted.tag_any)]
        yield or_(*(bindparam(name, type_=Text()) == any_(_task.tags) for name in names))
    if wanted.series:
        yield _task.series_id == bindparam("series", type_=Uuid())
    for name, one in (("list_id", wanted.list_id), ("parent_id", wanted.parent_id)):
        if one is not None:
            yield _task[name] == bindparam(name, type_=Uuid()) if one else _task[name].is_(None)


def _between(wanted: Conditions) -> Iterator[ColumnElement[bool]]:
    if wanted.no_due:
        yield and_(_task.due_at.is_(None), _task.due_date.is_(None))
    if wanted.due_on:
        since, until = (bindparam(name, type_=_INSTANT) for name in ("due_from", "due_until"))
        within = and_(_task.due_at >= since, _task.due_at < until)
        yield or_(within, _task.due_date == bindparam("due_on_day", type_=Date()))
    if wanted.due_before:
        day = bindparam("due_before_day", type_=Date())
        yield or_(_task.due_at < bindparam("due_before", type_=_INSTANT), _task.due_date < day)
    if wanted.due_after:
        day = bindparam("due_after_day", type_=Date())
        yield or_(_task.due_at > bindparam("due_after", type_=_INSTANT), _task.due_date >= day)
    if wanted.updated_since:
        yield _task.updated_at >= bindparam("updated_since", type_=_INSTANT)
    if wanted.created_since:
        yield _task.created_at >= bindparam("created_since", type_=_INSTANT)
    if wanted.completed_since:
        yield _task.completed_at >= bindparam("completed_since", type_=_INSTANT)
    if wanted.completed_before:
        yield _task.completed_at < bindparam("completed_before", type_=_INSTANT)
    if wanted.overdue is not None:
        has_passed = or_(
            _task.due_at < bindparam("now", type_=_INSTANT), _task.due_date < bindparam("today", type_=Date())
        )
        late = and_(~_task.completed, func.coalesce(has_passed, false()))
        yield late if wanted.overdue else not_(late)


def _found(wanted: Conditions) -> Iterator[ColumnElement[bool]]:
    if wanted.terms:
        yield or_(*(and_(*_matching(index, terms)) for index, terms in enumerate(wanted.terms)))


def _matching(alternative: int, negated: tuple[bool, ...]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for index, is_negated in enumerate(negated):
        pattern = bindparam(f"term_{alternative}_{index}", type_=Text())
        in_title = func.pg_catalog.strpos(_task.folded_title, pattern) > Constant(0)
        in_description = func.coalesce(
            func.pg_catalog.strpos(_task.folded_description, pattern), Constant(0)
        ) > Constant(0)
        found = or_(in_title, in_description)
        conditions.append(not_(found) if is_negated else found)
    return conditions

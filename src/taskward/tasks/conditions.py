"""How a filter narrows a listing: a condition in SQL, compiled once for what is asked, and the values as parameters."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    DateTime,
    Text,
    and_,
    any_,
    bindparam,
    false,
    func,
    not_,
    or_,
)

from taskward.storage.scoping import Constant
from taskward.storage.tables import columns
from taskward.tasks.parameters import NONE, Moment
from taskward.tasks.search import Query
from taskward.tasks.table import Task

_task = columns(Task)
_INSTANT = DateTime(timezone=True)


class When(NamedTuple):
    """By which zone and which present a filter is meant."""

    zone: str
    now: datetime


Asked = tuple[Hashable, Mapping[str, Any]]
"""What a request asks of a filter: its shape, for which a statement is compiled and which has no values in it, and its
parameters.
"""


def _value(name: str, value: Any, _: When) -> Asked:
    return True, {name: value}


@dataclass(frozen=True, slots=True)
class Filter:
    """How a filter narrows a listing; it stands in the annotation of its member of `TaskFilters`.

    Attributes:
        condition: Makes the condition, given the filter's name, which its parameter has, and what is asked.
        asked: Makes what is asked, given the name and the value; by default the value is the one parameter.
        depends_on_time: Whether what it shows may change without a write.
    """

    condition: Callable[[str, Any], ColumnElement[bool]]
    asked: Callable[[str, Any, When], Asked] = _value
    depends_on_time: bool = False


def equal(column: ColumnElement[Any]) -> Filter:
    """The column has the value."""
    return Filter(lambda name, _: column == bindparam(name, type_=column.type))


def one_of(column: ColumnElement[Any]) -> Filter:
    """The column has one of several texts."""
    return Filter(lambda name, _: column == any_(bindparam(name, type_=ARRAY(Text()))))


def either(column: ColumnElement[bool]) -> Filter:
    """The column is true, or false."""
    return Filter(lambda _, is_true: column if is_true else ~column, lambda _, value, __: (value, {}))


def reference(column: ColumnElement[Any]) -> Filter:
    """The column has an id, or none."""

    def asked(name: str, value: Any, _: When) -> Asked:
        return (False, {}) if value == NONE else (True, {name: value})

    return Filter(
        lambda name, is_one: column == bindparam(name, type_=column.type) if is_one else column.is_(None), asked
    )


def since(column: ColumnElement[Any]) -> Filter:
    """The column is an instant from a moment on."""
    return Filter(lambda name, _: column >= bindparam(name, type_=_INSTANT), _start)


def before(column: ColumnElement[Any]) -> Filter:
    """The column is an instant before a moment."""
    return Filter(lambda name, _: column < bindparam(name, type_=_INSTANT), _start)


def _start(name: str, moment: Moment, when: When) -> Asked:
    return True, {name: _start_of(moment, when.zone)}


def _tags_asked(_: str, tags: list[str], __: When) -> Asked:
    named = [tag for tag in tags if tag != NONE]
    return (len(named), NONE in tags), {f"tag_{index}": tag for index, tag in enumerate(named)}


def _has_tags(_: str, asked: tuple[int, bool]) -> ColumnElement[bool]:
    count, untagged = asked
    each = [bindparam(f"tag_{index}", type_=Text()) == any_(_task.tags) for index in range(count)]
    return and_(*each, *([_task.tags == Constant("{}")] if untagged else []))


with_tags = Filter(_has_tags, _tags_asked)


def _any_tag_asked(_: str, tags: list[str], __: When) -> Asked:
    return len(tags), {f"any_tag_{index}": tag for index, tag in enumerate(tags)}


def _has_any_tag(_: str, count: int) -> ColumnElement[bool]:
    return or_(*(bindparam(f"any_tag_{index}", type_=Text()) == any_(_task.tags) for index in range(count)))


with_any_tag = Filter(_has_any_tag, _any_tag_asked)

without_due = Filter(
    lambda *_: and_(_task.due_at.is_(None), _task.due_date.is_(None)), lambda *_: (True, dict[str, Any]())
)


def _due_on_asked(_: str, moment: Moment, when: When) -> Asked:
    day = _day_of(moment, when.zone)
    since, until = _start_of(day, when.zone), _start_of(day + timedelta(days=1), when.zone)
    return True, {"due_from": since, "due_until": until, "due_on_day": day}


def _due_on(*_: Any) -> ColumnElement[bool]:
    since, until = (bindparam(name, type_=_INSTANT) for name in ("due_from", "due_until"))
    within = and_(_task.due_at >= since, _task.due_at < until)
    return or_(within, _task.due_date == bindparam("due_on_day", type_=Date()))


is_due_on = Filter(_due_on, _due_on_asked)


def _due_before_asked(_: str, moment: Moment, when: When) -> Asked:
    return True, {"due_before": _start_of(moment, when.zone), "due_before_day": _day_of(moment, when.zone)}


def _due_before(*_: Any) -> ColumnElement[bool]:
    day = bindparam("due_before_day", type_=Date())
    return or_(_task.due_at < bindparam("due_before", type_=_INSTANT), _task.due_date < day)


is_due_before = Filter(_due_before, _due_before_asked)


def _due_after_asked(_: str, moment: Moment, when: When) -> Asked:
    if isinstance(moment, datetime):
        return True, {"due_after": moment, "due_after_day": _day_of(moment, when.zone)}
    # A day counts as its end.
    following = moment + timedelta(days=1)
    last = _start_of(following, when.zone) - timedelta(microseconds=1)
    return True, {"due_after": last, "due_after_day": following}


def _due_after(*_: Any) -> ColumnElement[bool]:
    day = bindparam("due_after_day", type_=Date())
    return or_(_task.due_at > bindparam("due_after", type_=_INSTANT), _task.due_date >= day)


is_due_after = Filter(_due_after, _due_after_asked)


def _overdue_asked(_: str, value: bool, when: When) -> Asked:  # noqa: FBT001
    return value, {"now": when.now, "today": _day_of(when.now, when.zone)}


def _is_overdue(_: str, late: bool) -> ColumnElement[bool]:  # noqa: FBT001
    has_passed = or_(_task.due_at < bindparam("now", type_=_INSTANT), _task.due_date < bindparam("today", type_=Date()))
    overdue = and_(~_task.completed, func.coalesce(has_passed, false()))
    return overdue if late else not_(overdue)


is_overdue = Filter(_is_overdue, _overdue_asked, depends_on_time=True)


def _words_asked(_: str, query: Query, __: When) -> Asked:
    patterns = {f"term_{i}_{j}": term.pattern for i, terms in enumerate(query) for j, term in enumerate(terms)}
    return tuple(tuple(term.negated for term in terms) for terms in query), patterns


def _has_words(_: str, alternatives: tuple[tuple[bool, ...], ...]) -> ColumnElement[bool]:
    return or_(*(and_(*_matching(index, negated)) for index, negated in enumerate(alternatives)))


def _matching(alternative: int, negated: tuple[bool, ...]) -> Iterator[ColumnElement[bool]]:
    for index, is_negated in enumerate(negated):
        pattern = bindparam(f"term_{alternative}_{index}", type_=Text())
        in_title = func.pg_catalog.strpos(_task.folded_title, pattern) > Constant(0)
        in_description = func.coalesce(
            func.pg_catalog.strpos(_task.folded_description, pattern), Constant(0)
        ) > Constant(0)
        found = or_(in_title, in_description)
        yield not_(found) if is_negated else found


with_words = Filter(_has_words, _words_asked)


def _start_of(moment: Moment, zone: str) -> datetime:
    """An instant; of a day the one at which it begins in a zone."""
    if isinstance(moment, datetime):
        return moment
    return datetime(moment.year, moment.month, moment.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _day_of(moment: Moment, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date() if isinstance(moment, datetime) else moment

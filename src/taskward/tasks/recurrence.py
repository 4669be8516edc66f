"""What is due after a recurring task that is completed (RFC 5545, section 3.3.10).

The search has bounds of its own, so that no rule of any client can keep the server busy. It works on ordinals, see
`date.toordinal`, which are no dates before the first and after the last day of the calendar, but never overflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import accumulate, chain, groupby, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from taskward.tasks.rules import LEAP_MONTH_LENGTHS, LEAP_YEAR, MONTH_LENGTHS, WEEKDAYS, Rule, RuleError

_COUNT = re.compile("(?<=COUNT=)[0-9]+")

_DAY = timedelta(days=1)
# The longest ten years.
_HORIZON = 3653
# No zone reaches from between these over the ends of the calendar.
_EARLY = datetime(1, 1, 3, tzinfo=UTC)
_LATE = datetime(9999, 12, 29, tzinfo=UTC)
_LAST_DAY = date.max.toordinal()


class NeverFires(RuleError):
    """Nothing but the rule itself keeps it from ever coming true."""

    def __init__(self) -> None:
        super().__init__("This rule never falls on a day within ten years.")


class Occurrence(NamedTuple):
    """The task after a completed one.

    Attributes:
        due: A day where the completed task was due on a day, otherwise a moment in UTC.
        rule: The text of its rule.
    """

    due: date | datetime
    rule: str


def next_occurrence(
    rule: Rule, due: date | datetime, zone: ZoneInfo, *, now: datetime, from_completion: bool
) -> Occurrence | None:
    """What follows a task that is completed.

    A moment keeps its wall-clock time in `zone`. One that the zone skips is read with the offset before the gap, of
    one that it has twice the first is taken. A day counts as its end.

    Args:
        due: When the completed task was due, a day or an aware moment.
        now: When it is completed, aware.
        from_completion: Whether the rule starts at the day of completion; otherwise it starts at `due`, and what would
            have been due before `now` is skipped.

    Raises:
        NeverFires: There is no next one within ten years, though neither COUNT nor UNTIL has ended the rule.

    Returns:
        None if COUNT or UNTIL has ended the rule.
    """
    if rule.count == 1:
        return None
    today = _wall_clock(now, zone).toordinal()
    wall = _wall_clock(due, zone) if isinstance(due, datetime) else None
    day = (wall or due).toordinal()
    horizon = max(day, today) + _HORIZON
    last = _LAST_DAY if rule.until is None else _last_day(rule.until, zone)
    # Where a zone skips a day, what falls on it happens a day later.
    earliest = today + 1 if from_completion else today if wall is None else today - 1
    days = _days(rule, today if from_completion else day, max(day + 1, earliest), min(horizon, last))
    if wall is None:
        following: date | None = next(map(date.fromordinal, days), None)
    else:
        following = _first_moment(days, wall.time(), zone, after=now)
    if following is None and (rule.until is None or last > horizon):
        raise NeverFires
    if following is None or _is_over(rule.until, following):
        return None
    return Occurrence(following, _COUNT.sub(lambda count: str(int(count[0]) - 1), rule.text))


def _wall_clock(moment: datetime, zone: ZoneInfo) -> datetime:
    """What clocks in the zone show. Beyond the calendar, the time on its first or last day."""
    inner = min(max(moment, _EARLY), _LATE)
    beyond = moment - inner
    wall = inner.astimezone(zone).replace(tzinfo=None)
    try:
        return wall + beyond
    except OverflowError:
        return datetime.combine(date.max if beyond > timedelta() else date.min, (wall + beyond % _DAY).time())


def _moment(day: int, wall: time, zone: ZoneInfo) -> datetime | None:
    """In UTC, where the last days of the calendar may end too early to have it."""
    try:
        return datetime.combine(date.fromordinal(day), wall.replace(fold=0), zone).astimezone(UTC)
    except OverflowError:
        return None


def _first_moment(days: Iterable[int], wall: time, zone: ZoneInfo, *, after: datetime) -> datetime | None:
    moments = (_moment(day, wall, zone) for day in days)
    return next((moment for moment in moments if moment is not None and moment > after), None)


def _last_day(until: date | datetime, zone: ZoneInfo) -> int:
    return (_wall_clock(until, zone) if isinstance(until, datetime) else until).toordinal()


def _is_over(until: date | datetime | None, due: date | datetime) -> bool:
    """For a due that is not after the day of UNTIL."""
    return isinstance(until, datetime) and isinstance(due, datetime) and due > until


def _days(rule: Rule, anchor: int, first: int, last: int) -> Iterator[int]:
    """The days of a rule that starts at the day `anchor`, from `first` to `last`."""
    rule = _with_defaults(rule, date.fromordinal(anchor))
    started = _period(rule, anchor)
    # Whole periods, since BYSETPOS counts in them, and weeks do not end with years.
    years = range(_year_of(first - 6), _year_of(last + 6) + 1)
    days = chain.from_iterable(_days_of_year(rule, year) for year in years)
    for period, members in groupby(days, key=partial(_period, rule)):
        if (period - started) % rule.interval == 0:
            for day in _at_positions(rule, list(members)):
                if day > last:
                    return
                if day >= first:
                    yield day


def _with_defaults(rule: Rule, start: date) -> Rule:
    """With what a rule takes from the day on which it starts."""
    if rule.by_year_day or rule.by_month_day or rule.by_day or rule.freq == "DAILY":
        return rule
    if rule.freq == "WEEKLY" or rule.by_week_no:
        return replace(rule, by_day=frozenset({(0, start.weekday())}))
    month = {start.month} if rule.freq == "YEARLY" else set()
    return replace(rule, by_month=rule.by_month or frozenset(month), by_month_day=frozenset({start.day}))


def _period(rule: Rule, day: int) -> int:
    """Which of the periods that INTERVAL counts a day is in."""
    if rule.freq == "DAILY":
        return day
    if rule.freq == "WEEKLY":
        return (day - 1 - rule.wkst) // len(WEEKDAYS)
    when = date.fromordinal(day)
    return when.year if rule.freq == "YEARLY" else when.year * 12 + when.month


def _at_positions(rule: Rule, days: list[int]) -> list[int]:
    if not rule.by_set_pos:
        return days
    size, positions = len(days), rule.by_set_pos
    return [day for at, day in enumerate(days) if at + 1 in positions or at - size in positions]


def _days_of_year(rule: Rule, year: int) -> list[int]:
    """The days that every BY part but BYSETPOS allows."""
    whole = range(_new_year(year), _new_year(year + 1))
    lengths = LEAP_MONTH_LENGTHS if len(whole) == LEAP_YEAR else MONTH_LENGTHS
    months = [range(*ends) for ends in pairwise(accumulate(lengths, initial=whole.start))]
    days = set(whole)
    if rule.by_month:
        days.intersection_update(chain.from_iterable(months[number - 1] for number in rule.by_month))
    if rule.by_week_no:
        days &= _days_of_weeks(rule, year)
    if rule.by_year_day:
        days &= _counted([whole], rule.by_year_day)
    if rule.by_month_day:
        days &= _counted(months, rule.by_month_day)
    if rule.by_day:
        days &= _weekdays(months if rule.by_month or rule.freq == "MONTHLY" else [whole], rule.by_day)
    return sorted(days)


def _days_of_weeks(rule: Rule, year: int) -> set[int]:
    """A year's first and last days may be in weeks of its neighbours."""
    starts = [_first_week(year + offset, rule.wkst) for offset in (-1, 0, 1, 2)]
    weeks = _counted([range(*ends, len(WEEKDAYS)) for ends in pairwise(starts)], rule.by_week_no)
    return {day for start in weeks for day in range(start, start + len(WEEKDAYS))}


def _counted(spans: Sequence[range], numbers: Iterable[int]) -> set[int]:
    """The members of each span that have these numbers, counted from 1, or from -1 backwards."""
    return {
        span[number - 1 if number > 0 else number] for span in spans for number in numbers if abs(number) <= len(span)
    }


def _weekdays(spans: Sequence[range], by_day: Iterable[tuple[int, int]]) -> set[int]:
    days: set[int] = set()
    for number, weekday in by_day:
        same = [span[(weekday - span.start + 1) % len(WEEKDAYS) :: len(WEEKDAYS)] for span in spans]
        days.update(_counted(same, [number]) if number else chain.from_iterable(same))
    return days


def _first_week(year: int, wkst: int) -> int:
    """The first day of the first week that has at least four days in the year."""
    fourth = _new_year(year) + 3
    return fourth - (fourth - 1 - wkst) % len(WEEKDAYS)


def _new_year(year: int) -> int:
    """The ordinal of its first day, also for years that the calendar does not have."""
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + 1


def _year_of(day: int) -> int:
    """The nearest that the calendar has."""
    return date.fromordinal(min(max(day, 1), _LAST_DAY)).year

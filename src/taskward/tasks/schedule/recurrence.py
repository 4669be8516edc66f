"""What is due after a recurring task that is completed (RFC 5545, section 3.3.10).

The search has bounds of its own, so that no rule of any client can keep the server busy. It works on ordinals, see
`date.toordinal`, which are no dates before the first and after the last day of the calendar, but never overflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from itertools import accumulate, chain, groupby, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from taskward.tasks.schedule.local_time import moment_of, wall_clock
from taskward.tasks.schedule.rrule import LEAP_MONTH_LENGTHS, LEAP_YEAR, MONTH_LENGTHS, WEEKDAYS, Rule, RuleError

_COUNT = re.compile("(?<=COUNT=)[0-9]+")

# How many years are searched. After 400, the calendar repeats itself; for a yearly rule, only the years count that
# INTERVAL names. To search so many years by days or weeks would take too long.
_YEARS = {"DAILY": 10, "WEEKLY": 10, "MONTHLY": 400, "YEARLY": 400}
_FOUR_YEARS = 1461
_MONTHS = len(MONTH_LENGTHS)
_LAST_DAY = date.max.toordinal()


class NeverFires(RuleError):
    """The rule has no other day within the bounds of the search, though neither COUNT nor UNTIL has ended it."""

    def __init__(self, rule: Rule) -> None:
        years = _searched_years(rule)
        super().__init__(f"This rule never falls on a day within {years} years, the bound of FREQ={rule.freq}.")


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
    """What follows a task that is completed, as `find_next` has it, where its due shows the time that is meant."""
    found = find_next(rule, due, zone, now=now, from_completion=from_completion)
    return None if found is None else found[0]


def find_next(
    rule: Rule,
    due: date | datetime,
    zone: ZoneInfo,
    *,
    now: datetime,
    from_completion: bool,
    meant: datetime | None = None,
) -> tuple[Occurrence, date] | None:
    """What follows a task that is completed, and the day of the rule on which it falls.

    A moment keeps the local time that is meant; see `meant.moment_of` for days that lack it or have it twice. A day
    counts as its end.

    Args:
        due: When the completed task was due, a day or an aware moment.
        now: When it is completed, aware.
        from_completion: Whether the rule starts at the day of completion; otherwise it starts at `due`, and what would
            have been due before `now` is skipped.
        meant: The local time that a moment means, where it does not show it.

    Raises:
        NeverFires: There is no next one within the bound of its FREQ, though neither COUNT nor UNTIL has ended the
            rule.

    Returns:
        None if COUNT or UNTIL has ended the rule.
    """
    if rule.count == 1:
        return None
    today = wall_clock(now, zone).toordinal()
    local = (meant or wall_clock(due, zone)) if isinstance(due, datetime) else None
    day = (local or due).toordinal()
    horizon = max(day, today) + _searched_years(rule) * _FOUR_YEARS // 4
    last = _LAST_DAY if rule.until is None else _last_day(rule.until, due, zone)
    # Where a zone skips a day, what falls on it happens a day later.
    earliest = today + 1 if from_completion else today if local is None else today - 1
    days = _days(rule, today if from_completion else day, max(day + 1, earliest), min(horizon, last))
    following: date | datetime | None
    if isinstance(due, datetime) and local is not None:
        falls_on, following = _first_moment(days, local.time(), zone, after=max(now, due))
    else:
        falls_on = following = next(map(date.fromordinal, days), None)
    if following is None and (rule.until is None or last > horizon):
        raise NeverFires(rule)
    if falls_on is None or following is None or _is_over(rule.until, following):
        return None
    return Occurrence(following, _COUNT.sub(lambda count: str(int(count[0]) - 1), rule.text)), falls_on


def _searched_years(rule: Rule) -> int:
    return _YEARS[rule.freq] * (rule.interval if rule.freq == "YEARLY" else 1)


def _first_moment(
    days: Iterable[int], local: time, zone: ZoneInfo, *, after: datetime
) -> tuple[date, datetime] | tuple[None, None]:
    for day in map(date.fromordinal, days):
        moment = moment_of(day, local, zone)
        if moment is not None and moment > after:
            return day, moment
    return None, None


def _last_day(until: date | datetime, due: date | datetime, zone: ZoneInfo) -> int:
    """The last day that a rule may fall on. Of a due that is a day, only the day of UNTIL counts, as it is written."""
    is_moment = isinstance(until, datetime) and isinstance(due, datetime)
    return (wall_clock(until, zone) if is_moment and isinstance(until, datetime) else until).toordinal()


def _is_over(until: date | datetime | None, due: date | datetime) -> bool:
    """For a due that is not after the day of UNTIL."""
    return isinstance(until, datetime) and isinstance(due, datetime) and due > until


def _days(rule: Rule, anchor: int, first: int, last: int) -> Iterator[int]:
    """The days of a rule that starts at the day `anchor`, from `first` to `last`."""
    rule = _with_defaults(rule, date.fromordinal(anchor))
    started = _period(rule, anchor)
    # Whole periods, since BYSETPOS counts in them, and weeks do not end with years.
    years = range(_year_of(first - 6), _year_of(last + 6) + 1)
    if rule.freq == "YEARLY":
        years = years[(started - years.start) % rule.interval :: rule.interval]
    if rule.by_set_pos and min(map(abs, rule.by_set_pos)) > _most_days(rule):
        return
    for day in _at_weekly_positions(rule, _days_of_years(rule, started, years)):
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
    return when.year if rule.freq == "YEARLY" else when.year * _MONTHS + when.month - 1


def _days_of_years(rule: Rule, started: int, years: Iterable[int]) -> Iterator[int]:
    """The days of a rule in some years. BYSETPOS is not yet applied to the days of weeks."""
    # Years have the same days if they begin on the same weekday and are equally long, and the years before them are,
    # too.
    kinds: dict[tuple[int, int, int], list[list[int]]] = {}
    for year in years:
        start = _new_year(year)
        kind = (start % len(WEEKDAYS), _new_year(year + 1) - start, start - _new_year(year - 1))
        if kind not in kinds:
            kinds[kind] = _periods_of_year(rule, year)
        for number, offsets in enumerate(kinds[kind]):
            if rule.freq == "MONTHLY" and (year * _MONTHS + number - started) % rule.interval:
                continue
            days = [start + offset for offset in offsets]
            if rule.interval > 1 and rule.freq == "DAILY":
                days = [day for day in days if (day - started) % rule.interval == 0]
            elif rule.interval > 1 and rule.freq == "WEEKLY":
                week = 1 + rule.wkst + len(WEEKDAYS) * started
                days = [day for day in days if (day - week) // len(WEEKDAYS) % rule.interval == 0]
            yield from days


def _periods_of_year(rule: Rule, year: int) -> list[list[int]]:
    """The days of the rule in a year, counted from the first, which is 0; of a monthly rule, those of each month."""
    start, days = _new_year(year), _days_of_year(rule, year)
    if rule.freq in {"DAILY", "WEEKLY"}:
        return [_counted_from(start, days)]
    periods = [days]
    if rule.freq == "MONTHLY":
        periods = [[] for _ in range(_MONTHS)]
        for day in days:
            periods[date.fromordinal(day).month - 1].append(day)
    return [_counted_from(start, _at_positions(rule, period)) for period in periods]


def _counted_from(start: int, days: Iterable[int]) -> list[int]:
    return [day - start for day in days]


def _most_days(rule: Rule) -> int:
    """How many days a period has at most, among which BYSETPOS chooses."""
    return {"DAILY": 1, "WEEKLY": len(rule.by_day), "MONTHLY": max(MONTH_LENGTHS), "YEARLY": LEAP_YEAR}[rule.freq]


def _at_weekly_positions(rule: Rule, days: Iterator[int]) -> Iterator[int]:
    """Of a weekly rule, the days at the positions in their weeks."""
    if rule.freq != "WEEKLY" or not rule.by_set_pos:
        return days
    weeks = groupby(days, key=lambda day: (day - 1 - rule.wkst) // len(WEEKDAYS))
    return chain.from_iterable(_at_positions(rule, list(members)) for _, members in weeks)


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
    numbers: dict[int, set[int]] = {}
    for number, weekday in by_day:
        numbers.setdefault(weekday, set()).add(number)
    days: set[int] = set()
    for weekday, wanted in numbers.items():
        same = [span[(weekday - span.start + 1) % len(WEEKDAYS) :: len(WEEKDAYS)] for span in spans]
        days.update(chain.from_iterable(same) if 0 in wanted else _counted(same, wanted))
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

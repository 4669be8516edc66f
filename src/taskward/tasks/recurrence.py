"""Recurrence rules (RFC 5545, section 3.3.10): what clients may write, and the due of the task after a completed one.

The search has bounds of its own, so that no rule of any client can keep the server busy. It works on ordinals, see
`date.toordinal`, which are no dates before the first and after the last day of the calendar, but never overflow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import accumulate, chain, groupby, pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

_LONGEST = 500
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_TIMES = {"BYHOUR", "BYMINUTE", "BYSECOND"}

_WHOLE_NUMBER = re.compile("[0-9]+")
_WEEKDAY = re.compile(f"([+-]?[0-9]{{1,2}})?({'|'.join(_WEEKDAYS)})")
_UNTIL = re.compile("[0-9]{8}(?:T(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9](Z?))?")
_COUNT = re.compile("(?<=COUNT=)[0-9]+")
_LAST_WEEK = 53

_DAY = timedelta(days=1)
# The longest ten years.
_HORIZON = 3653
# No zone reaches from between these over the ends of the calendar.
_EARLY = datetime(1, 1, 3, tzinfo=UTC)
_LATE = datetime(9999, 12, 29, tzinfo=UTC)
_LAST_DAY = date.max.toordinal()

_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LEAP_MONTH_LENGTHS = (31, 29, *_MONTH_LENGTHS[2:])
_LEAP_YEAR = sum(_LEAP_MONTH_LENGTHS)


class RuleError(ValueError):
    """A rule that is refused; the message is a sentence for the client, which does not repeat the rule."""


class NeverFires(RuleError):
    """Nothing but the rule itself keeps it from ever coming true."""

    def __init__(self) -> None:
        super().__init__("This rule never falls on a day within ten years.")


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule, understood. Parts that are lists are empty where the rule does not have them.

    Attributes:
        text: The rule as it is kept: in upper case, otherwise as the client wrote it.
        until: A day, or a moment in UTC.
        by_day: Pairs of a number and a weekday, Monday being 0; the number 0 stands for each such weekday.
        wkst: The day on which weeks start, Monday being 0.
    """

    text: str
    freq: str
    interval: int = 1
    count: int | None = None
    until: date | datetime | None = None
    by_month: frozenset[int] = frozenset()
    by_week_no: frozenset[int] = frozenset()
    by_year_day: frozenset[int] = frozenset()
    by_month_day: frozenset[int] = frozenset()
    by_day: frozenset[tuple[int, int]] = frozenset()
    by_set_pos: frozenset[int] = frozenset()
    wkst: int = 0


class Occurrence(NamedTuple):
    """The task after a completed one.

    Attributes:
        due: A day where the completed task was due on a day, otherwise a moment in UTC.
        rule: The text of its rule.
    """

    due: date | datetime
    rule: str


def parse_rule(text: str) -> Rule:
    """Understand the value of an RRULE, such as `FREQ=WEEKLY;BYDAY=MO,WE`.

    Raises:
        RuleError: It is not one, or one that tasks cannot have.
    """
    value = _checked_text(text)
    parts = _split(value)
    if "FREQ" not in parts:
        raise RuleError("This must have a FREQ.")
    members = {_READERS[name][0]: _READERS[name][1](part) for name, part in parts.items()}
    rule = Rule(text=value, **members)
    _check_together(rule, parts.keys())
    return rule


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


def _checked_text(text: str) -> str:
    if len(text) > _LONGEST:
        raise RuleError(f"This must have at most {_LONGEST} characters.")
    if not text.isascii():
        raise RuleError("This must have ASCII characters only.")
    if any(character.isspace() for character in text):
        raise RuleError("This must not have spaces or line breaks.")
    value = text.upper()
    if value.startswith("RRULE:"):
        raise RuleError("This must be the value of an RRULE, without the RRULE: before it.")
    return value


def _split(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if not name or not value:
            raise RuleError("This must be parts such as FREQ=WEEKLY, each with a value, and semicolons between them.")
        if name in _TIMES:
            raise RuleError("This must not have BYHOUR, BYMINUTE or BYSECOND; the time of day is that of the due.")
        if name not in _READERS:
            raise RuleError(f"This must not have other parts than {', '.join(_READERS)}.")
        if name in parts:
            raise RuleError(f"This must not have {name} twice.")
        parts[name] = value
    return parts


def _check_together(rule: Rule, names: Iterable[str]) -> None:
    has = set(names)
    numbered = any(number for number, _ in rule.by_day)
    refused = {
        "This must not have both COUNT and UNTIL.": {"COUNT", "UNTIL"} <= has,
        "This must have BYWEEKNO only with FREQ=YEARLY.": "BYWEEKNO" in has and rule.freq != "YEARLY",
        "This must have BYYEARDAY only with FREQ=YEARLY.": "BYYEARDAY" in has and rule.freq != "YEARLY",
        "This must not have BYMONTHDAY with FREQ=WEEKLY.": "BYMONTHDAY" in has and rule.freq == "WEEKLY",
        "This must have numbers in BYDAY only with FREQ=MONTHLY or FREQ=YEARLY.": (
            numbered and rule.freq in {"DAILY", "WEEKLY"}
        ),
        "This must not have numbers in BYDAY together with BYWEEKNO.": numbered and "BYWEEKNO" in has,
        "This must have BYSETPOS only together with another part that starts with BY.": (
            "BYSETPOS" in has and sum(name.startswith("BY") for name in has) == 1
        ),
    }
    for sentence, applies in refused.items():
        if applies:
            raise RuleError(sentence)


def _freq(value: str) -> str:
    if value not in _FREQUENCIES:
        raise RuleError("This must have a FREQ of DAILY, WEEKLY, MONTHLY or YEARLY.")
    return value


def _number(value: str, *, name: str, high: int) -> int:
    if not _WHOLE_NUMBER.fullmatch(value) or not 1 <= int(value) <= high:
        raise RuleError(f"This must have as {name} a whole number from 1 to {high}.")
    return int(value)


def _months_of(value: str) -> frozenset[int]:
    numbers = value.split(",")
    if not all(re.fullmatch("[0-9]{1,2}", number) and 1 <= int(number) <= len(_MONTH_LENGTHS) for number in numbers):
        raise RuleError("This must have in BYMONTH numbers from 1 to 12, with commas between them.")
    return frozenset(map(int, numbers))


def _numbers(value: str, *, name: str, high: int) -> frozenset[int]:
    numbers = value.split(",")
    digits = re.compile(f"[+-]?[0-9]{{1,{len(str(high))}}}")
    if not all(digits.fullmatch(number) and 1 <= abs(int(number)) <= high for number in numbers):
        raise RuleError(
            f"This must have in {name} numbers from 1 to {high} or from -{high} to -1, with commas between them."
        )
    return frozenset(map(int, numbers))


def _by_day(value: str) -> frozenset[tuple[int, int]]:
    return frozenset(map(_numbered_weekday, value.split(",")))


def _numbered_weekday(value: str) -> tuple[int, int]:
    match = _WEEKDAY.fullmatch(value)
    if match is None or (match[1] and not 1 <= abs(int(match[1])) <= _LAST_WEEK):
        raise RuleError(
            "This must have in BYDAY weekdays, MO to SU, with commas between them, before each perhaps a number from "
            f"1 to {_LAST_WEEK} or from -{_LAST_WEEK} to -1."
        )
    return int(match[1] or 0), _WEEKDAYS.index(match[2])


def _wkst(value: str) -> int:
    if value not in _WEEKDAYS:
        raise RuleError("This must have as WKST a weekday, MO to SU.")
    return _WEEKDAYS.index(value)


def _until(value: str) -> date | datetime:
    match = _UNTIL.fullmatch(value)
    if match is not None and match[1] == "":
        raise RuleError("This must have an UNTIL in UTC, with a Z at its end, or one without a time.")
    with suppress(ValueError):
        if match is not None:
            return datetime.fromisoformat(value) if match[1] else date.fromisoformat(value)
    raise RuleError("This must have as UNTIL a day or a moment in UTC, such as 20261231 or 20261231T235959Z.")


_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "FREQ": ("freq", _freq),
    "INTERVAL": ("interval", partial(_number, name="INTERVAL", high=1000)),
    "COUNT": ("count", partial(_number, name="COUNT", high=1_000_000)),
    "UNTIL": ("until", _until),
    "BYMONTH": ("by_month", _months_of),
    "BYWEEKNO": ("by_week_no", partial(_numbers, name="BYWEEKNO", high=_LAST_WEEK)),
    "BYYEARDAY": ("by_year_day", partial(_numbers, name="BYYEARDAY", high=_LEAP_YEAR)),
    "BYMONTHDAY": ("by_month_day", partial(_numbers, name="BYMONTHDAY", high=max(_MONTH_LENGTHS))),
    "BYDAY": ("by_day", _by_day),
    "BYSETPOS": ("by_set_pos", partial(_numbers, name="BYSETPOS", high=_LEAP_YEAR)),
    "WKST": ("wkst", _wkst),
}


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
        return (day - 1 - rule.wkst) // len(_WEEKDAYS)
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
    lengths = _LEAP_MONTH_LENGTHS if len(whole) == _LEAP_YEAR else _MONTH_LENGTHS
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
    weeks = _counted([range(*ends, len(_WEEKDAYS)) for ends in pairwise(starts)], rule.by_week_no)
    return {day for start in weeks for day in range(start, start + len(_WEEKDAYS))}


def _counted(spans: Sequence[range], numbers: Iterable[int]) -> set[int]:
    """The members of each span that have these numbers, counted from 1, or from -1 backwards."""
    return {
        span[number - 1 if number > 0 else number] for span in spans for number in numbers if abs(number) <= len(span)
    }


def _weekdays(spans: Sequence[range], by_day: Iterable[tuple[int, int]]) -> set[int]:
    days: set[int] = set()
    for number, weekday in by_day:
        same = [span[(weekday - span.start + 1) % len(_WEEKDAYS) :: len(_WEEKDAYS)] for span in spans]
        days.update(_counted(same, [number]) if number else chain.from_iterable(same))
    return days


def _first_week(year: int, wkst: int) -> int:
    """The first day of the first week that has at least four days in the year."""
    fourth = _new_year(year) + 3
    return fourth - (fourth - 1 - wkst) % len(_WEEKDAYS)


def _new_year(year: int) -> int:
    """The ordinal of its first day, also for years that the calendar does not have."""
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + 1


def _year_of(day: int) -> int:
    """The nearest that the calendar has."""
    return date.fromordinal(min(max(day, 1), _LAST_DAY)).year

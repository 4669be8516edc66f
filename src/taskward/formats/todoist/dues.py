"""What the date of a task of Todoist says: when it is due and, where it repeats, by which rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from taskward.formats.todoist.dates import (
    CLOCK,
    DAY_OF_YEAR,
    NUMBER,
    clock_of,
    day_of_year,
    names_no_year,
    read_todoist_date,
)
from taskward.tasks.schedule.recurrence import next_occurrence
from taskward.tasks.schedule.rrule import WEEKDAYS, Rule, parse_rule
from taskward.tasks.types import FIRST_YEAR, LAST_YEAR
from taskward.transfer.records import Thing, instant

_LONGEST_DATE = 100
_WEEKDAY = r"(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs?(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_WEEKDAY_LIST = rf"{_WEEKDAY}(?:(?:, ?|,? and | ?& ?| ){_WEEKDAY})*"
_DAY_LIST = rf"last day|{NUMBER}(?:(?:, ?|,? and | ?& ?){NUMBER})*"
# Whether the second Friday is that of a month or every other one is not certain.
_NTH = r"first|third|fourth|fifth|last|[1-5](?:st|nd|rd|th)"
_OF_MONTH = r"(?: of (?:the|every|each) month)?"
_RECURRING = re.compile(
    r"(?:(?P<adverb>daily|weekly|monthly|quarterly|yearly|annually)"
    r"|after (?:(?P<after>[0-9]{1,3}|a) )?(?P<after_unit>hour|day|week|month|quarter|year)s?"
    r"|ev(?:ery)?(?P<completion>!)? (?:"
    r"(?:(?P<count>[0-9]{1,3}|other) )?(?P<unit>hour|day|week|month|quarter|year)s?"
    rf"(?: on (?:the )?(?:(?P<on_weekdays>{_WEEKDAY_LIST})"
    rf"|(?:(?P<on_days>{_DAY_LIST})|(?P<on_nth>{_NTH}) (?P<on_nth_weekday>{_WEEKDAY})){_OF_MONTH}))?"
    rf"|(?P<weekdays>weekday|workday|weekend|{_WEEKDAY_LIST})"
    rf"|other (?P<alternate>{_WEEKDAY})"
    rf"|(?:(?P<month_days>{_DAY_LIST})|(?P<nth>{_NTH}) (?P<nth_weekday>{_WEEKDAY})){_OF_MONTH}"
    rf"|(?P<yearly>{DAY_OF_YEAR})"
    # A time of day by itself is every day's.
    r"|(?=morning|afternoon|evening|night)))"
    rf"(?:(?:^| |(?<= ))(?:at |in the )?{CLOCK})?"
    r"(?: (?:starting|from) (?P<start>.+?))?(?: (?:ending|until) (?P<end>.+))?"
)
_YEAR_ON = re.compile(r"(ev(?:ery)?!? )year on (?:the )?")
_REPEATS = re.compile(r"(?:ev(?:ery)?!? |after |daily|weekly|monthly|yearly|quarterly|annually)")
_HOURS_A_DAY = 24
_UNITS = {
    **dict.fromkeys(("day", "daily"), ("DAILY", 1)),
    **dict.fromkeys(("week", "weekly"), ("WEEKLY", 1)),
    **dict.fromkeys(("month", "monthly"), ("MONTHLY", 1)),
    **dict.fromkeys(("quarter", "quarterly"), ("MONTHLY", 3)),
    **dict.fromkeys(("year", "yearly", "annually"), ("YEARLY", 1)),
}
# A weekend is one occasion to Todoist, on its first day.
_WEEKDAYS = {"weekday": "MO,TU,WE,TH,FR", "workday": "MO,TU,WE,TH,FR", "weekend": "SA"}
_ORDINALS = {"first": "1", "third": "3", "fourth": "4", "fifth": "5", "last": "-1"}
_EACH_DAY = parse_rule("FREQ=DAILY")


class NotCertain(ValueError):
    """The meaning of a date is not certain, or is one that a task cannot have.

    Attributes:
        what: The kind of the loss.
        why: What is to be said of the date.
        due: What of it is certain all the same, if anything.
    """

    def __init__(self, what: Thing, why: str, due: ReadDue | None = None) -> None:
        self.what = what
        self.why = why
        self.due = due
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class ReadDue:
    """When a task is due, once it is known in which zone, and how it repeats.

    Attributes:
        start: A day, or a moment that is local to the task's zone where it has none itself, on or after which the rule
            begins; None where the text does not say one.
        clock: The time of day at which a rule comes true, where `start` has none.
    """

    start: date | datetime | None
    clock: time | None = None
    rule: Rule | None = None
    from_completion: bool = False
    is_year_guessed: bool = False

    def members(self, zone: ZoneInfo, now: datetime) -> dict[str, str]:
        """Those of the task.

        Args:
            now: A rule that has no start begins then, or at its next day or moment.

        Raises:
            NotCertain: A task may not have them.
        """
        try:
            return self._members(zone, now)
        except (ValueError, OverflowError):
            raise _unclear(repeats=self.rule is not None) from None

    def _members(self, zone: ZoneInfo, now: datetime) -> dict[str, str]:
        first = self._first(zone, now)
        if isinstance(first, datetime):
            first = (first if first.tzinfo else first.replace(tzinfo=zone)).astimezone(UTC)
            members = {"due_at": instant(first), "time_zone": zone.key}
        else:
            members = {"due_date": first.isoformat()}
        if not FIRST_YEAR <= first.year <= LAST_YEAR:
            raise ValueError("no task is due then")
        if self.rule:
            # Of one that never comes true again the text is kept.
            next_occurrence(self.rule, first, zone, now=now, from_completion=self.from_completion)
            members |= {"time_zone": zone.key, "recurrence": self.rule.text}
        if self.from_completion:
            members["recurs_from"] = "completion"
        return members

    def _first(self, zone: ZoneInfo, now: datetime) -> date | datetime:
        start = now.astimezone(zone).date() if self.start is None else self.start
        if self.rule is None or (isinstance(start, datetime) and start.tzinfo):
            return start
        clock = start.time() if isinstance(start, datetime) else self.clock
        day_before = date(start.year, start.month, start.day) - timedelta(days=1)
        before = datetime.combine(day_before, clock or time(), zone)
        after = now if self.start is None else before
        # INTERVAL counts from the first day, and a rule that names no days takes them from it, so that any day will do.
        rule = replace(self.rule, interval=1) if _names_days(self.rule) else _EACH_DAY
        found = next_occurrence(rule, before if clock else day_before, zone, now=after, from_completion=False)
        if found is None or (isinstance(self.rule.until, date) and _day_of(found.due, zone) > self.rule.until):
            raise ValueError("it has ended before it begins")
        return found.due


def read_due(text: str, today: date) -> ReadDue:
    """What the text, in English or as numbers and in lower case, says.

    Args:
        today: Where the task is. What names a day without a year means the nearest one to this.

    Raises:
        NotCertain: It may be meant otherwise, or there is no such date.
    """
    if len(text) > _LONGEST_DATE:
        raise unclear(text)
    recurring = _RECURRING.fullmatch(_YEAR_ON.sub(r"\1", text))
    if recurring is None:
        start = _read_date(text, today)
        if start is None:
            raise unclear(text)
        return ReadDue(start, is_year_guessed=names_no_year(text))
    start = _read_date(recurring["start"]) if recurring["start"] else None
    if recurring["start"] and start is None:
        raise NotCertain("recurrence", _FROM_WHAT)
    try:
        clock = clock_of(recurring)
        rule = parse_rule(_rule(recurring) + _until(recurring))
    except _ByTheHour:
        due = ReadDue(start) if isinstance(start, datetime) else None
        raise NotCertain("recurrence", "repeats by the hour, which tasks cannot", due) from None
    except ValueError:
        raise unclear(text) from None
    # A first date with an offset of its own may be another weekday where the task is.
    is_elsewhere = isinstance(start, datetime) and start.tzinfo is not None and _names_days(rule)
    if (clock and isinstance(start, datetime)) or is_elsewhere:
        raise NotCertain("recurrence", _FROM_WHAT)
    return ReadDue(start, clock, rule, bool(recurring["completion"] or recurring["after_unit"]))


_FROM_WHAT = "repeats from what is not certain to be one date"


class _ByTheHour(Exception):
    """It repeats by hours that make no whole days."""


def unclear(text: str) -> NotCertain:
    """What is to be said of a text that is not understood."""
    return _unclear(repeats=_REPEATS.match(text) is not None)


def _unclear(*, repeats: bool) -> NotCertain:
    if repeats:
        return NotCertain("recurrence", "repeats in a way that cannot be carried over")
    return NotCertain("date", "is not certain to be one date")


def _read_date(text: str, today: date | None = None) -> date | datetime | None:
    try:
        return read_todoist_date(text, today=today)
    except ValueError:
        return None


def _until(said: re.Match[str]) -> str:
    if not said["end"]:
        return ""
    end = read_todoist_date(said["end"])
    if end is None or isinstance(end, datetime):
        raise ValueError("the end is not certain")
    return f";UNTIL={end:%Y%m%d}"


def _rule(said: re.Match[str]) -> str:
    if said["weekdays"]:
        return f"FREQ=WEEKLY;BYDAY={_WEEKDAYS.get(said['weekdays']) or _weekdays(said['weekdays'])}"
    if said["alternate"]:
        return f"FREQ=WEEKLY;INTERVAL=2;BYDAY={_weekdays(said['alternate'])}"
    if said["month_days"] or said["nth"]:
        return f"FREQ=MONTHLY{_days(said['month_days'], said['nth'], said['nth_weekday'])}"
    if said["yearly"]:
        month, day = day_of_year(said)
        return f"FREQ=YEARLY;BYMONTH={month};BYMONTHDAY={day}"
    counted = said["count"] or said["after"] or "1"
    count = {"other": 2, "a": 1}.get(counted) or int(counted)
    unit = said["unit"] or said["adverb"] or said["after_unit"] or "day"
    if unit == "hour":
        count, rest = divmod(count, _HOURS_A_DAY)
        if rest:
            raise _ByTheHour
        unit = "day"
    frequency, each = _UNITS[unit]
    interval = "" if count * each == 1 else f";INTERVAL={count * each}"
    return f"FREQ={frequency}{interval}{_on(said, frequency)}"


def _on(said: re.Match[str], frequency: str) -> str:
    """On which days of each week or month."""
    if said["on_weekdays"]:
        if frequency != "WEEKLY":
            raise ValueError("weekdays of what")
        return f";BYDAY={_weekdays(said['on_weekdays'])}"
    if said["on_days"] or said["on_nth"]:
        if frequency != "MONTHLY":
            raise ValueError("days of what")
        return _days(said["on_days"], said["on_nth"], said["on_nth_weekday"])
    return ""


def _days(days: str | None, nth: str | None, weekday: str | None) -> str:
    if nth and weekday:
        return f";BYDAY={_ORDINALS.get(nth) or nth[0]}{_weekdays(weekday)}"
    numbers = dict.fromkeys(re.findall("[0-9]+", days or "")) or ["-1"]
    return f";BYMONTHDAY={','.join(numbers)}"


def _weekdays(text: str) -> str:
    named = {word[:2].upper() for word in re.split("[ ,&]+", text) if word != "and"}
    return ",".join(day for day in WEEKDAYS if day in named)


def _day_of(due: date | datetime, zone: ZoneInfo) -> date:
    return due.astimezone(zone).date() if isinstance(due, datetime) else due


def _names_days(rule: Rule) -> bool:
    return bool(rule.by_day or rule.by_month_day)

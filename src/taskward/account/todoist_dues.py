"""What the date of a task of Todoist says: when it is due and, where it repeats, by which rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from taskward.account.records import LossKind, instant
from taskward.account.todoist_dates import CLOCK, DAY_OF_YEAR, NUMBER, clock_of, day_of_year, read_date
from taskward.tasks.members import FIRST_YEAR, LAST_YEAR
from taskward.tasks.recurrence import next_occurrence
from taskward.tasks.rules import WEEKDAYS, Rule, parse_rule

_LONGEST_DATE = 100
_WEEKDAY = r"(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs?(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_COMMA = "(?:, ?|,? and )"
_RECURRING = re.compile(
    r"(?:(?P<adverb>daily|weekly|monthly|quarterly|yearly|annually)"
    r"|ev(?:ery)?(?P<completion>!)? (?:"
    r"(?:(?P<count>[0-9]{1,3}|other) )?(?P<unit>day|week|month|quarter|year)s?"
    rf"|(?P<weekdays>weekday|workday|weekend|{_WEEKDAY}(?:(?:{_COMMA}| ){_WEEKDAY})*)"
    rf"|other (?P<alternate>{_WEEKDAY})"
    rf"|(?P<month_days>last day|{NUMBER}(?:{_COMMA}{NUMBER})*)"
    rf"|(?P<nth>first|last|[1-5](?:st|nd|rd|th)) (?P<nth_weekday>{_WEEKDAY})"
    rf"|(?P<yearly>{DAY_OF_YEAR})))"
    rf"(?: (?:at )?{CLOCK})?"
    r"(?: (?:starting|from) (?P<start>.+))?"
)
_REPEATS = re.compile(r"(?:ev(?:ery)?!? |after |daily|weekly|monthly|yearly|quarterly|annually)")
_UNITS = {
    **dict.fromkeys(("day", "daily"), ("DAILY", 1)),
    **dict.fromkeys(("week", "weekly"), ("WEEKLY", 1)),
    **dict.fromkeys(("month", "monthly"), ("MONTHLY", 1)),
    **dict.fromkeys(("quarter", "quarterly"), ("MONTHLY", 3)),
    **dict.fromkeys(("year", "yearly", "annually"), ("YEARLY", 1)),
}
# A weekend is one occasion to Todoist, on its first day.
_WEEKDAYS = {"weekday": "MO,TU,WE,TH,FR", "workday": "MO,TU,WE,TH,FR", "weekend": "SA"}
_NTH = {"first": 1, "last": -1}
_EACH_DAY = parse_rule("FREQ=DAILY")


class NotCertain(ValueError):
    """What a date says is not certain, or is nothing that a task may have.

    Attributes:
        what: The kind of the loss.
        why: What is to be said of the date.
    """

    def __init__(self, what: LossKind, why: str) -> None:
        self.what = what
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Due:
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
        assert found is not None, "the rule has neither COUNT nor UNTIL"  # noqa: S101
        return found.due


def read_due(text: str, *, english: bool) -> Due:
    """What the text, in lower case, says.

    Raises:
        NotCertain: It may be meant otherwise, or there is no such date.
    """
    recurring = _RECURRING.fullmatch(text) if english and len(text) <= _LONGEST_DATE else None
    if recurring is None:
        start = _read_date(text, english=english)
        if start is None:
            raise _unclear(repeats=_REPEATS.match(text) is not None)
        return Due(start)
    try:
        clock, rule = clock_of(recurring), parse_rule(_rule(recurring))
    except ValueError:
        raise _unclear(repeats=True) from None
    start = _read_date(recurring["start"], english=True) if recurring["start"] else None
    is_moment = isinstance(start, datetime)
    # A first date with an offset of its own may be another weekday where the task is.
    is_elsewhere = isinstance(start, datetime) and start.tzinfo is not None and _names_days(rule)
    if (recurring["start"] and start is None) or (clock and is_moment) or is_elsewhere:
        raise NotCertain("recurrence", "repeats from what is not certain to be one date")
    return Due(start, clock, rule, bool(recurring["completion"]))


def _unclear(*, repeats: bool) -> NotCertain:
    if repeats:
        return NotCertain("recurrence", "repeats in a way that cannot be carried over")
    return NotCertain("date", "is not certain to be one date")


def _read_date(text: str, *, english: bool) -> date | datetime | None:
    try:
        return read_date(text, english=english)
    except ValueError:
        return None


def _rule(said: re.Match[str]) -> str:
    if said["weekdays"]:
        return f"FREQ=WEEKLY;BYDAY={_WEEKDAYS.get(said['weekdays']) or _weekdays(said['weekdays'])}"
    if said["alternate"]:
        return f"FREQ=WEEKLY;INTERVAL=2;BYDAY={_weekdays(said['alternate'])}"
    if said["month_days"]:
        days = dict.fromkeys(re.findall("[0-9]+", said["month_days"])) or ["-1"]
        return f"FREQ=MONTHLY;BYMONTHDAY={','.join(days)}"
    if said["nth"]:
        return f"FREQ=MONTHLY;BYDAY={_NTH.get(said['nth']) or said['nth'][0]}{_weekdays(said['nth_weekday'])}"
    if said["yearly"]:
        month, day = day_of_year(said)
        return f"FREQ=YEARLY;BYMONTH={month};BYMONTHDAY={day}"
    frequency, each = _UNITS[said["unit"] or said["adverb"]]
    count = each * (2 if said["count"] == "other" else int(said["count"] or 1))
    return f"FREQ={frequency}" if count == 1 else f"FREQ={frequency};INTERVAL={count}"


def _weekdays(text: str) -> str:
    named = {word[:2].upper() for word in re.split("[ ,]+", text) if word != "and"}
    return ",".join(day for day in WEEKDAYS if day in named)


def _names_days(rule: Rule) -> bool:
    return bool(rule.by_day or rule.by_month_day)

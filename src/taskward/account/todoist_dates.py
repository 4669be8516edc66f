"""Dates as people write them in Todoist: as far as they are certain, they are a due, and a rule where it repeats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from taskward.account.records import instant
from taskward.tasks.rules import LARGEST_INTERVAL

_LONGEST_DATE = 100


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


_DAYS = ["mo", "tu", "we", "th", "fr", "sa", "su"]


_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)


_DAY = r"(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs?(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"


_CLOCK = r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2}))?(?: ?(?P<half>[ap]m))?"


_ISO = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[t ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:z|[+-][0-9]{2}:[0-9]{2})?))?"
)


_ENGLISH = re.compile(
    rf"(?:(?P<d1>[0-9]{{1,2}})(?:st|nd|rd|th)? (?P<m1>{_MONTH})|(?P<m2>{_MONTH}) (?P<d2>[0-9]{{1,2}})(?:st|nd|rd|th)?)"
    rf",? (?P<year>[0-9]{{4}})(?:,? (?:at )?{_CLOCK})?"
)


_RECURRING = re.compile(
    r"ev(?:ery)?(?P<completion>!)? "
    r"(?:(?:(?P<count>[0-9]{1,3}|other) )?(?P<unit>day|week|month|year)s?"
    rf"|(?P<days>weekday|workday|{_DAY}(?:(?:, ?| and | ){_DAY})*))"
    rf"(?: (?:at )?{_CLOCK})?"
    r"(?: (?:starting|from) (?P<first>.+))"
)


REPEATS = re.compile(r"(?:ev(?:ery)?!? |after |daily|weekly|monthly|yearly|quarterly|annually)")


_FREQUENCIES = {"day": "DAILY", "week": "WEEKLY", "month": "MONTHLY", "year": "YEARLY"}


@dataclass(frozen=True, slots=True)
class _Due:
    """A day, or a moment that is local to the task's zone where it has none itself, and how it repeats."""

    first: date | datetime
    rule: str = ""
    from_completion: bool = False

    def members(self, zone: str) -> dict[str, str]:
        if isinstance(self.first, datetime):
            moment = self.first if self.first.tzinfo else self.first.replace(tzinfo=ZoneInfo(zone))
            members = {"due_at": instant(moment), "time_zone": zone}
        else:
            members = {"due_date": self.first.isoformat()}
        if self.rule:
            members |= {"time_zone": zone, "recurrence": self.rule}
        if self.from_completion:
            members["recurs_from"] = "completion"
        return members


def read_due(text: str, *, english: bool) -> _Due | None:
    """What the text says; None if that is not certain.

    Raises:
        ValueError: There is no such date.
        OverflowError: The calendar ends before.
    """
    if len(text) > _LONGEST_DATE:
        return None
    recurring = _RECURRING.fullmatch(text) if english else None
    if recurring is None:
        first = _read_date(text, english=english)
        return _Due(first) if first else None
    first = _read_date(recurring["first"], english=True)
    if first is None or (recurring["hour"] and isinstance(first, datetime)):
        return None
    days = _days(recurring["days"])
    # A first date with an offset of its own may be another weekday where the task is.
    if days and isinstance(first, datetime) and first.tzinfo:
        return None
    while days and _DAYS[first.weekday()] not in days:
        first += timedelta(days=1)
    first = _at(first, recurring) if recurring["hour"] else first
    rule = _rule(recurring, days)
    return _Due(first, rule, bool(recurring["completion"])) if rule else None


def _read_date(text: str, *, english: bool) -> date | datetime | None:
    if iso := _ISO.fullmatch(text):
        day = date.fromisoformat(iso["day"])
        return datetime.fromisoformat(f"{iso['day']}T{iso['clock'].upper()}") if iso["clock"] else day
    named = _ENGLISH.fullmatch(text) if english else None
    if not named:
        return None
    month = _MONTHS.index((named["m1"] or named["m2"])[:3]) + 1
    day = date(int(named["year"]), month, int(named["d1"] or named["d2"]))
    return _at(day, named) if named["hour"] else day


def _at(day: date, clock: re.Match[str]) -> datetime:
    hour, minute = int(clock["hour"]), int(clock["minute"] or 0)
    if clock["half"]:
        if not 1 <= hour <= 12:  # noqa: PLR2004
            raise ValueError("no such hour")
        hour = hour % 12 + (12 if clock["half"] == "pm" else 0)
    elif not clock["minute"]:
        raise ValueError("a number is not yet a time")
    return datetime.combine(day, time(hour, minute))


def _days(text: str | None) -> list[str]:
    if not text:
        return []
    if text in {"weekday", "workday"}:
        return _DAYS[:5]
    named = {word[:2] for word in re.split("[ ,]+", text) if word != "and"}
    return [day for day in _DAYS if day in named]


def _rule(recurring: re.Match[str], days: list[str]) -> str:
    if days:
        return f"FREQ=WEEKLY;BYDAY={','.join(days).upper()}"
    count = 2 if recurring["count"] == "other" else int(recurring["count"] or 1)
    if not 1 <= count <= LARGEST_INTERVAL:
        return ""
    frequency = f"FREQ={_FREQUENCIES[recurring['unit']]}"
    return frequency if count == 1 else f"{frequency};INTERVAL={count}"

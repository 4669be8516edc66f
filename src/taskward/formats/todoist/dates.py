"""Days and times of day as people write them in Todoist, as far as they are certain."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime, time

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
NUMBER = r"[0-9]{1,2}(?:st|nd|rd|th)?"
"""Of a day in its month."""
DAY_OF_YEAR = rf"(?:(?P<d1>{NUMBER}) (?P<m1>{_MONTH})|(?P<m2>{_MONTH}) (?P<d2>{NUMBER}))"
CLOCK = (
    r"(?:(?P<named>noon|midnight|morning|afternoon|evening|night)"
    r"|(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2}))?(?: ?(?P<half>[ap]m))?)"
)
# What Todoist takes them for.
_NAMED_CLOCKS = {"midnight": 0, "morning": 9, "afternoon": 12, "noon": 12, "evening": 19, "night": 22}
_LONGEST_GUESS = 184
"""Days that a date without a year may be away; others are those of leap years."""
_ISO = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[t ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:z|[+-][0-9]{2}:[0-9]{2})?))?"
)
_ENGLISH = re.compile(rf"{DAY_OF_YEAR}(?:,? (?P<year>[0-9]{{4}}))?(?:,? (?:at )?{CLOCK})?")


def read_todoist_date(text: str, *, today: date | None = None) -> date | datetime | None:
    """The day or moment that the text, in lower case, says; None if that is not certain.

    Args:
        today: A day without a year is the nearest one to this; where it is not given, it is not certain.

    Raises:
        ValueError: There is no such date.
    """
    if iso := _ISO.fullmatch(text):
        day = date.fromisoformat(iso["day"])
        return datetime.fromisoformat(f"{iso['day']}T{iso['clock'].upper()}") if iso["clock"] else day
    named = _ENGLISH.fullmatch(text)
    if not named or not (named["year"] or today):
        return None
    clock = clock_of(named)
    day = date(int(named["year"]), *day_of_year(named)) if named["year"] else _nearest(*day_of_year(named), today)
    return day if clock is None else datetime.combine(day, clock)


def names_no_year(text: str) -> bool:
    """Whether it is a day of any year."""
    named = _ENGLISH.fullmatch(text)
    return named is not None and not named["year"]


def _nearest(month: int, day: int, today: date | None) -> date:
    assert today is not None, "it was asked for"  # noqa: S101
    found: list[date] = []
    for year in (today.year - 1, today.year, today.year + 1):
        with suppress(ValueError):
            found.append(date(year, month, day))
    nearest = min(found, key=lambda one: abs(one - today), default=None)
    if nearest is None or abs(nearest - today).days > _LONGEST_GUESS:
        raise ValueError("there is no such day near")
    return nearest


def day_of_year(found: re.Match[str]) -> tuple[int, int]:
    """The month and the day that `DAY_OF_YEAR` has found."""
    return _MONTHS.index((found["m1"] or found["m2"])[:3]) + 1, int((found["d1"] or found["d2"]).rstrip("stndrh"))


def clock_of(found: re.Match[str]) -> time | None:
    """The time of day that `CLOCK` has found.

    Raises:
        ValueError: There is no such time.
    """
    if found["named"]:
        return time(_NAMED_CLOCKS[found["named"]])
    if not found["hour"]:
        return None
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:  # noqa: PLR2004
            raise ValueError("no such hour")
        hour = hour % 12 + (12 if found["half"] == "pm" else 0)
    elif not found["minute"]:
        raise ValueError("a number is not yet a time")
    return time(hour, minute)

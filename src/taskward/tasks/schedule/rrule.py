"""Recurrence rules (RFC 5545, section 3.3.10) as clients write them, understood or refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

_LONGEST = 500
LARGEST_INTERVAL = 1000
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_TIMES = {"BYHOUR", "BYMINUTE", "BYSECOND"}
_WHOLE_NUMBER = re.compile("[0-9]+")
_WEEKDAY = re.compile(f"([+-]?[0-9]{{1,2}})?({'|'.join(WEEKDAYS)})")
_UNTIL = re.compile("[0-9]{8}(?:T(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9](Z?))?")
# RFC 5545 permits a plus sign and a second digit, which other readers of rules do not all know.
_SPELLING = re.compile("(^|,|-)[+]?0*(?=[1-9])")
_LAST_WEEK = 53
MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
LEAP_MONTH_LENGTHS = (31, 29, *MONTH_LENGTHS[2:])
LEAP_YEAR = sum(LEAP_MONTH_LENGTHS)


class RuleError(ValueError):
    """A rule that is refused; the message is a sentence for the client, which does not repeat the rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule, understood. Parts that are lists are empty where the rule does not have them.

    Attributes:
        text: The rule as it is kept: in upper case, its numbers without a plus sign and without zeros before them,
            otherwise as the client wrote it.
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


def parse_rule(text: str) -> Rule:
    """Understand the value of an RRULE, such as `FREQ=WEEKLY;BYDAY=MO,WE`.

    Raises:
        RuleError: It is not one, or one that tasks cannot have.
    """
    parts = _split(_checked_text(text))
    if "FREQ" not in parts:
        raise RuleError("This must have a FREQ.")
    members = {_READERS[name][0]: _READERS[name][1](part) for name, part in parts.items()}
    rule = Rule(text=";".join(f"{name}={_canonical(name, part)}" for name, part in parts.items()), **members)
    _check_together(rule, parts.keys())
    return rule


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


def _canonical(name: str, value: str) -> str:
    return value if name == "UNTIL" else _SPELLING.sub(r"\1", value)


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
    if not all(re.fullmatch("[0-9]{1,2}", number) and 1 <= int(number) <= len(MONTH_LENGTHS) for number in numbers):
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
    return int(match[1] or 0), WEEKDAYS.index(match[2])


def _wkst(value: str) -> int:
    if value not in WEEKDAYS:
        raise RuleError("This must have as WKST a weekday, MO to SU.")
    return WEEKDAYS.index(value)


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
    "INTERVAL": ("interval", partial(_number, name="INTERVAL", high=LARGEST_INTERVAL)),
    "COUNT": ("count", partial(_number, name="COUNT", high=1_000_000)),
    "UNTIL": ("until", _until),
    "BYMONTH": ("by_month", _months_of),
    "BYWEEKNO": ("by_week_no", partial(_numbers, name="BYWEEKNO", high=_LAST_WEEK)),
    "BYYEARDAY": ("by_year_day", partial(_numbers, name="BYYEARDAY", high=LEAP_YEAR)),
    "BYMONTHDAY": ("by_month_day", partial(_numbers, name="BYMONTHDAY", high=max(MONTH_LENGTHS))),
    "BYDAY": ("by_day", _by_day),
    "BYSETPOS": ("by_set_pos", partial(_numbers, name="BYSETPOS", high=LEAP_YEAR)),
    "WKST": ("wkst", _wkst),
}

"""Dates of Todoist in other languages than English, in the English words for them: as far as every word is known.

The words are in `words.toml`.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

_ENGLISH_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ENGLISH_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_FILE = Path(__file__).with_name("words.toml")
# Where years, months and days have signs of their own.
_CHINESE = re.compile("(?:([0-9]{4})年)?([0-9]{1,2})月([0-9]{1,2})日")
_KOREAN = re.compile("(?:([0-9]{4})년 ?)?([0-9]{1,2})월 ?([0-9]{1,2})일")
_ADVERBS = ("daily", "weekly", "monthly", "yearly")
_WHOLE = {
    "ja": (_CHINESE, dict(zip(("毎日", "毎週", "毎月", "毎年"), _ADVERBS, strict=True))),
    "ko": (_KOREAN, dict(zip(("매일", "매주", "매월", "매년"), _ADVERBS, strict=True))),
    "zh": (_CHINESE, dict(zip(("每天", "每周", "每月", "每年"), _ADVERBS, strict=True))),
}
_ALIASES = {"no": "nb"}
# A clock, a whole date, a number with what makes it an ordinal, another number.
_NUMBERS = re.compile(
    r"(?P<clock>[0-9]{1,2}[:.h][0-9]{2}(?![0-9.]))|(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9]))"
    r"|(?P<hour>[0-9]{1,2})(?= uhr| uur|h(?!\w))h?|(?P<number>[0-9]{1,4})(?P<ordinal>\.|er|º|ª|°|:e|:a)?"
)
_GAP = re.compile(r"[ ,]+")


def in_english(text: str, language: str) -> str | None:
    """The text, in lower case, in English words; None where one of its words is not known.

    Args:
        language: Its code, such as `de` or `pt_BR`; empty for English.
    """
    code = re.split("[-_]", language.lower())[0]
    code = _ALIASES.get(code, code)
    if code in {"", "en"}:
        return text
    if code in _WHOLE:
        return _signs(text, code)
    return _words(text, code) if code in _tables() else None


def _signs(text: str, code: str) -> str | None:
    day, words = _WHOLE[code]
    if text in words:
        return words[text]
    found = day.fullmatch(text)
    if not found:
        return None
    month = int(found[2])
    name = _ENGLISH_MONTHS[month - 1] if 1 <= month <= len(_ENGLISH_MONTHS) else "none"
    return f"{found[3]} {name} {found[1] or ''}".strip()


def _words(text: str, code: str) -> str | None:
    table, pattern = _table(code)
    said: list[str] = []
    at = 0
    while at < len(text):
        if gap := _GAP.match(text, at):
            at = gap.end()
            if "," in gap[0]:
                said.append("and")
        elif number := _NUMBERS.match(text, at):
            at = number.end()
            said.append(_number(number))
        elif word := pattern.match(text, at):
            at = word.end()
            if table[word[0]]:
                said.append(table[word[0]])
        else:
            return None
    # In some languages this is every third Friday as well as that of each month.
    if any(one.endswith("th") and after in _ENGLISH_DAYS for one, after in pairwise(said)):
        return None
    return " ".join(said)


def _number(found: re.Match[str]) -> str:
    if found["clock"]:
        return re.sub("[.h]", ":", found["clock"])
    if found["hour"]:
        return f"{found['hour']}:00"
    return found["date"] or found["number"] + ("th" if found["ordinal"] else "")


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


@cache
def _table(code: str) -> tuple[dict[str, str], re.Pattern[str]]:
    said = _tables()[code]
    table = {word: english for english, words in said.get("words", {}).items() for word in words}
    for english, names in zip(_ENGLISH_MONTHS, said["months"], strict=True):
        table |= {spelling: english for name in names for spelling in (name, f"{name}.")}
    for english, names in zip(_ENGLISH_DAYS, said.get("weekdays", ()), strict=False):
        table |= dict.fromkeys(names, english)
    longest_first = sorted(table, key=len, reverse=True)
    words = "|".join(re.escape(word) for word in longest_first)
    return table, re.compile(rf"(?:{words})(?![\w!])")

"""Runs by the system's Python, which has Debian's gir1.2-ical-3.0: as `engines.mjs`, for libical."""

import json
import sys

import gi  # type: ignore[import-not-found]

gi.require_version("ICalGLib", "3.0")
from gi.repository import ICalGLib  # type: ignore[import-not-found]  # noqa: E402


def after(rule: str, start: str, count: int) -> object:
    recurrence = ICalGLib.Recurrence.new_from_string(rule)
    if recurrence is None:
        return "refused"
    basic = start.replace("-", "").replace(":", "")
    try:
        iterator = ICalGLib.RecurIterator.new(recurrence, ICalGLib.Time.new_from_string(basic))
    except TypeError:
        return "refused"
    found: list[str] = []
    while len(found) < count:
        time = iterator.next()
        if time is None or time.is_null_time():
            break
        if time.as_ical_string() > basic:
            found.append(
                f"{time.get_year():04}-{time.get_month():02}-{time.get_day():02}"
                f"T{time.get_hour():02}:{time.get_minute():02}:{time.get_second():02}"
            )
    return found


print(json.dumps([{"libical": after(*case)} for case in json.loads(sys.argv[1])]))  # noqa: T201

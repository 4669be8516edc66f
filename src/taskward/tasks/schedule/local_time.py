"""The local time that a due means: days that lack it or have it twice show another, the days after them show it again.

A zone skips local times when its clocks go forward, and has others twice when they go back. A *local time* here is a
datetime without a zone; of one that a day has twice, `fold` says which is meant (PEP 495), also on days that have it
once.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_TEXT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?)( fold=1)?", re.ASCII)
# Between these, the offset of no zone leads out of the calendar.
_EARLY = datetime(1, 1, 3, tzinfo=UTC)
_LATE = datetime(9999, 12, 29, tzinfo=UTC)


def wall_clock(moment: datetime, zone: ZoneInfo) -> datetime:
    """What clocks in the zone show. Beyond the calendar, the time on its first or last day."""
    inner = min(max(moment, _EARLY), _LATE)
    wall = inner.astimezone(zone).replace(tzinfo=None)
    beyond = moment - inner
    if not beyond:
        return wall
    try:
        return wall + beyond
    except OverflowError:
        return datetime.combine(date.max if beyond > timedelta() else date.min, (wall + beyond % DAY).time())


def moment_of(day: date, local: time, zone: ZoneInfo) -> datetime | None:
    """The instant, in UTC, at which a day has a local time.

    Where the zone skips that time, it is the first instant after the gap. Where it skips the whole day, what falls on
    it is a day later. None where the last days of the calendar end too early to have it.
    """
    wall = datetime.combine(day, local)
    try:
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == wall:
            return moment
        before, after = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    except OverflowError:
        return None
    return after if after - before >= DAY else _change(before, after, zone)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """When the clocks of a zone change between two instants. They do it at a full second."""
    low, high = before.replace(microsecond=0), after.replace(microsecond=0)
    offset = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // (2 * _SECOND) * _SECOND
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high


def meant_by(due_at: datetime, zone: ZoneInfo, kept: str | None) -> datetime:
    """The local time that a due means.

    Args:
        kept: As `kept_for` gives it, or None where it is the one that the due shows.
    """
    return wall_clock(due_at, zone) if kept is None else _read(kept)


def kept_for(due_at: datetime, zone: ZoneInfo, meant: datetime) -> str | None:
    """What is to be kept with a due, so that it goes on to mean this local time: None where it shows it."""
    shown = wall_clock(due_at, zone)
    if (shown, shown.fold) == (meant, meant.fold):
        return None
    return f"{meant.replace(fold=0).isoformat()}{' fold=1' * meant.fold}"


def is_meant(due_at: datetime, zone: ZoneInfo, kept: str) -> bool:
    """Whether a text is one that `kept_for` can have given for a due."""
    if not _TEXT.fullmatch(kept):
        return False
    try:
        meant = _read(kept)
    except ValueError:
        return False
    return moment_of(meant.date(), meant.timetz(), zone) == due_at


def _read(kept: str) -> datetime:
    text, _, fold = kept.partition(" ")
    return datetime.fromisoformat(text).replace(fold=1 if fold else 0)

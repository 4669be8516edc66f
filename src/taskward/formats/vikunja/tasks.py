"""What a task that Vikunja exported becomes: members of its own, metadata, or a loss."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from taskward.formats.html_text import plain_text
from taskward.formats.vikunja.members import NEVER, is_whole, items_of, number_of, text_of, typed, user_name
from taskward.tasks.schedule.rrule import LARGEST_INTERVAL
from taskward.transfer.records import (
    Extras,
    Subject,
    Thing,
    append_comment,
    description_of,
    instant,
    kept_text,
    one_line,
    quoted,
    tags_of,
)

SERVICE = "vikunja"
_DAY = 86_400
_WEEK = 7 * _DAY
_PRIORITIES = ["", "low", "medium", "high", "urgent", "urgent"]
_DO_NOW = 5
_ON_SCHEDULE, _MONTHLY, _FROM_COMPLETION = range(3)
LONGEST_TEXT = 100_000
"""Characters that are read of a text: ten times what a description may have, as there may be HTML in it."""
_MOST_KEPT = 100
"""How many things of a kind are kept. A task may have any number."""
_MOST_LABELS = 200
_MOST_RELATIONS = 2_000
"""A part of more than so many names its parent itself."""
_MOST_UNKNOWN = 50
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9:]{5})"
)
_PARENTS = {"subtask", "parenttask"}
# Members that are read below, and those that only repeat them.
_READ = {
    *("id", "title", "description", "done", "done_at", "due_date", "repeat_after", "repeat_mode", "priority", "labels"),
    *("related_tasks", "project_id", "list_id", "comments", "comment_count", "position", "bucket_id", "deleted_at"),
    *("assignees", "attachments", "reminders", "reminder_dates", "reactions", "subscription", "created_by"),
}
# Members that metadata keep as they are.
_KEPT: dict[str, Thing] = {
    "identifier": "number",
    "index": "number",
    "start_date": "start",
    "end_date": "end",
    "percent_done": "progress",
    "hex_color": "color",
    "is_favorite": "favorite",
    "is_unread": "favorite",
    "created": "time",
    "updated": "time",
    "kanban_position": "position",
    "buckets": "bucket",
    "cover_image_attachment_id": "attachment",
}


@dataclass(slots=True)
class ReadTask:
    """A task whose place is not known yet.

    Attributes:
        relations: Pairs of a kind and another's id.
        position: By which it is ordered in its list, where the file does not say it elsewhere.
        bucket: The id of the bucket that it is in.
    """

    record: dict[str, Any]
    subject: Subject
    extras: Extras
    identifier: int | None
    relations: list[tuple[str, int]] = field(default_factory=list)
    position: float = 0.0
    bucket: int | None = None


def read_task(raw: dict[str, Any], subject: Subject, zone: str, now: datetime) -> Generator[None, None, ReadTask]:
    """Read a task.

    Args:
        zone: The IANA zone of its due date, which is an instant.
        now: Nothing was completed later.

    Yields:
        Nothing, wherever others may have their turn.
    """
    extras = Extras(subject, SERVICE)
    identifier = raw.get("id")
    task = ReadTask({"title": subject.title}, subject, extras, identifier if is_whole(identifier) else None)
    if task.identifier is not None:
        extras.keep("identity", "id", task.identifier)
    description = description_of(subject, (yield from _html(subject, raw, "description")))
    description = yield from _with_comments(subject, raw, description)
    members = {
        "description": description,
        **_completion(subject, extras, raw, now),
        "priority": _priority(subject, extras, raw),
        "tags": tags_of(subject, _labels(subject, raw)),
    }
    task.record |= {name: value for name, value in members.items() if value}
    subject.keep("tag", len(task.record.get("tags", ())))
    task.record |= _due(subject, extras, raw, zone)
    relations = _relations(subject, raw)
    task.relations = list(islice(relations, _MOST_RELATIONS))
    yield
    if rest := sum(1 for _ in relations):
        subject.lose("relation", f"More than {_MOST_RELATIONS} relations; the rest was left out.", rest)
    task.position = number_of(raw.get("position"))
    bucket = raw.get("bucket_id")
    task.bucket = bucket if is_whole(bucket) and bucket else None
    _keep_people(subject, extras, raw)
    _keep_rest(subject, extras, raw)
    return task


def _html(subject: Subject, raw: dict[str, Any], member: str) -> Generator[None, None, str]:
    html = text_of(subject, raw, member)
    if len(html) > LONGEST_TEXT:
        subject.lose("description", f"A text had more than {LONGEST_TEXT} characters; the rest was left out.")
    text, complete = yield from plain_text(html[:LONGEST_TEXT])
    if not complete:
        subject.lose("attachment", "Pictures that were part of its description were left out.")
    return text


def _with_comments(subject: Subject, raw: dict[str, Any], description: str) -> Generator[None, None, str]:
    for comment in items_of(subject, raw, "comments", "comment"):
        yield
        text = (yield from _html(subject, comment, "comment")).strip()
        if not text:
            continue
        created = comment.get("created")
        when = created if isinstance(created, str) and created != NEVER and _INSTANT.fullmatch(created) else ""
        heading = ", ".join(part for part in (user_name(comment.get("author")), when) if part)
        description = append_comment(subject, description, heading and f"{heading}:", text)
        if reactions := comment.get("reactions"):
            count = len(reactions) if isinstance(reactions, dict) else 1
            subject.lose("reaction", "Reactions to a comment were left out.", count)
    return description


def _completion(subject: Subject, extras: Extras, raw: dict[str, Any], now: datetime) -> dict[str, Any]:
    done = typed(subject, raw, "done", bool, "completed") or False
    value = text_of(subject, raw, "done_at", "completed")
    if not value or value == NEVER:
        return {"completed": done}
    moment = _moment(value)
    if done and moment is not None and moment <= now:
        subject.keep("completed")
        return {"completed": True, "completed_at": moment}
    # A task that repeats has here when it was last done.
    extras.keep("completed", "done_at", kept_text(value))
    return {"completed": done}


def _priority(subject: Subject, extras: Extras, raw: dict[str, Any]) -> str:
    value = typed(subject, raw, "priority", int, "priority") or 0
    if not 0 <= value < len(_PRIORITIES):
        subject.lose("priority", "Its priority is not one of 0 to 5.")
        return ""
    if value == _DO_NOW:
        # To be done now became urgent, which is the most there is.
        extras.keep("priority", "priority", value)
    elif value:
        subject.keep("priority")
    return _PRIORITIES[value]


def _labels(subject: Subject, raw: dict[str, Any]) -> Iterator[str]:
    labels = items_of(subject, raw, "labels", "tag")
    for label in islice(labels, _MOST_LABELS):
        if label.get("hex_color"):
            subject.reading.lose_once("color", "Labels had colors, which tags have not.")
        if label.get("description"):
            subject.reading.lose_once("description", "Labels had descriptions, which tags have not.")
        yield text_of(subject, label, "title", "tag")
    if rest := sum(1 for _ in labels):
        subject.lose("tag", f"More than {_MOST_LABELS} labels; the rest was left out.", rest)


def _due(subject: Subject, extras: Extras, raw: dict[str, Any], zone: str) -> dict[str, str]:
    value = text_of(subject, raw, "due_date", "date")
    members = _due_at(subject, extras, value, zone) if value and value != NEVER else {}
    after = typed(subject, raw, "repeat_after", int, "recurrence") or 0
    mode = typed(subject, raw, "repeat_mode", int, "recurrence") or _ON_SCHEDULE
    if not after and mode in {_ON_SCHEDULE, _FROM_COMPLETION}:
        return members
    rule = "FREQ=MONTHLY" if mode == _MONTHLY else _rule(after)
    if not members:
        subject.lose("recurrence", "It repeats but has no due date to count from.")
    elif not rule or mode not in {_ON_SCHEDULE, _MONTHLY, _FROM_COMPLETION}:
        subject.lose("recurrence", "It repeats neither monthly nor after some whole days or weeks.")
    else:
        subject.keep("recurrence")
        return members | {"recurrence": rule} | ({"recurs_from": "completion"} if mode == _FROM_COMPLETION else {})
    if is_whole(after) and is_whole(mode):
        extras.keep("recurrence", "repeat", {"after": after, "mode": mode})
    return members


def _due_at(subject: Subject, extras: Extras, value: str, zone: str) -> dict[str, str]:
    moment = _moment(value)
    if moment is not None:
        subject.keep("date")
        return {"due_at": instant(moment), "time_zone": zone}
    subject.lose("date", f"The due date {quoted(value)} is no moment of the calendar.")
    extras.keep("date", "due_date", kept_text(value))
    return {}


def _moment(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC) if _INSTANT.fullmatch(value) else None
    except (ValueError, OverflowError):
        return None


def _rule(seconds: int) -> str:
    unit, frequency = (_DAY, "DAILY") if seconds % _WEEK else (_WEEK, "WEEKLY")
    count, rest = divmod(seconds, unit)
    if rest or not 1 <= count <= LARGEST_INTERVAL:
        return ""
    return f"FREQ={frequency}" if count == 1 else f"FREQ={frequency};INTERVAL={count}"


def _relations(subject: Subject, raw: dict[str, Any]) -> Iterator[tuple[str, int]]:
    related = typed(subject, raw, "related_tasks", dict, "relation") or {}
    for kind in related:
        for other in items_of(subject, related, kind, "relation"):
            identifier = other.get("id")
            if is_whole(identifier):
                yield kind, identifier
            else:
                subject.lose("relation", f"A task that it names as {quoted(kind)} has no id.")


def keep_relations(extras: Extras, others: list[tuple[str, int]]) -> None:
    """Keep the relations in metadata that make no task a part of another."""
    by_kind: dict[str, list[int]] = {}
    for kind, identifier in others:
        by_kind.setdefault(kept_text(one_line(kind)), []).append(identifier)
    if by_kind:
        extras.keep("relation", "relations", by_kind, len(others))


def is_parental(kind: str) -> bool:
    return kind in _PARENTS


def _keep_people(subject: Subject, extras: Extras, raw: dict[str, Any]) -> None:
    def keep(what: Thing, member: str, read: Callable[[dict[str, Any]], Any]) -> None:
        items = list(items_of(subject, raw, member, what))
        kept = [value for value in map(read, items[:_MOST_KEPT]) if value]
        if kept:
            extras.keep(what, member, kept, len(kept))
        if len(items) > len(kept):
            subject.lose(what, f"Some of its {quoted(member)} were left out.", len(items) - len(kept))

    keep("assignee", "assignees", user_name)
    keep("attachment", "attachments", _attachment)
    keep("reminder", "reminders", _reminder)
    attachments = raw.get("attachments")
    if isinstance(attachments, list) and attachments:
        subject.reading.lose_once("file", "The contents of attachments are not kept.", len(attachments))
    dates = typed(subject, raw, "reminder_dates", list, "reminder") or []
    kept = [kept_text(one) for one in dates if isinstance(one, str)][:_MOST_KEPT]
    if kept:
        extras.keep("reminder", "reminder_dates", kept, len(kept))
    if len(dates) > len(kept):
        subject.lose("reminder", "Some of its “reminder_dates” were left out.", len(dates) - len(kept))
    if author := user_name(raw.get("created_by")):
        extras.keep("author", "created_by", author)
    if raw.get("subscription"):
        extras.keep("subscription", "is_subscribed", value=True)
    reactions = typed(subject, raw, "reactions", dict, "reaction") or {}
    some = islice(reactions.items(), _MOST_KEPT)
    counts = {kept_text(name): len(users) for name, users in some if isinstance(users, list)}
    if counts:
        extras.keep("reaction", "reactions", counts, len(counts))


def _attachment(raw: dict[str, Any]) -> dict[str, Any]:
    file = raw.get("file")
    members = {name: file.get(name) for name in ("name", "mime", "size")} if isinstance(file, dict) else {}
    texts = {name: kept_text(value) for name, value in members.items() if isinstance(value, str) and value}
    return texts | {name: value for name, value in members.items() if is_whole(value)}


def _reminder(raw: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    at, period, to = raw.get("reminder"), raw.get("relative_period"), raw.get("relative_to")
    if isinstance(at, str) and at not in {"", NEVER}:
        kept["reminder"] = kept_text(at)
    if isinstance(to, str) and to:
        kept["relative_to"] = kept_text(to)
        kept["relative_period"] = period if is_whole(period) else 0
    return kept


def _keep_rest(subject: Subject, extras: Extras, raw: dict[str, Any]) -> None:
    unknown = 0
    for member, value in raw.items():
        if member in _READ or not value or value == NEVER:
            continue
        what = _KEPT.get(member)
        if what is None:
            unknown += 1
            if unknown <= _MOST_UNKNOWN:
                subject.reading.lose_once("member", f"The member {quoted(member)} is not known and was left out.")
        elif isinstance(value, str):
            extras.keep(what, member, kept_text(value))
        elif isinstance(value, bool) or is_whole(value) or (isinstance(value, float) and math.isfinite(value)):
            extras.keep(what, member, value)
        else:
            subject.lose(what, f"Its {quoted(member)} is of an unknown type and was left out.")
    if unknown > _MOST_UNKNOWN:
        subject.lose("member", "It has many members that are not known, which were left out.", unknown - _MOST_UNKNOWN)

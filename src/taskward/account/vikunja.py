"""Reading the `data.json` of what Vikunja exports as a user's data: projects with their tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard, TypeVar

from taskward.account.html_text import plain_text
from taskward.account.records import (
    Loss,
    LossKind,
    Reading,
    Subject,
    Tree,
    UnreadableExport,
    decoded,
    description_of,
    instant,
    parents_first,
    parsed,
    quoted,
    tags_of,
)
from taskward.limits import Limits
from taskward.members import LONGEST_LINE
from taskward.tasks.rules import LARGEST_INTERVAL

_T = TypeVar("_T")
_DAY = 86_400
_WEEK = 7 * _DAY
_PRIORITIES = ["", "low", "medium", "high", "urgent", "urgent"]
_DO_NOW = 5
_ON_SCHEDULE, _MONTHLY, _FROM_COMPLETION = range(3)
# Go's zero time: there is none.
_NEVER = "0001-01-01T00:00:00Z"
_COLOR = re.compile("#?([0-9a-fA-F]{6})")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9:]{5})"
)

_READ_OF_PROJECT = {"id", "title", "hex_color", "parent_project_id", "child_projects", "tasks"}
_READ_OF_TASK = {
    *("id", "title", "description", "done", "due_date", "repeat_after", "repeat_mode", "priority", "labels"),
    *("related_tasks", "project_id"),
}
_UNKEPT: dict[str, tuple[LossKind, str]] = {
    "assignees": ("assignee", "It was assigned to somebody."),
    "attachments": ("attachment", "Its attachments were left out."),
    "background_information": ("attachment", "Its background was left out."),
    "bucket_id": ("bucket", "Its bucket has no counterpart."),
    "buckets": ("bucket", "Its buckets have no counterpart."),
    "comments": ("comment", "Its comments were left out."),
    "end_date": ("end", "Its end date has no counterpart."),
    "is_archived": ("archived", "It was archived, which lists cannot be."),
    "is_favorite": ("favorite", "It was a favorite, which has no counterpart."),
    "percent_done": ("progress", "How far it was done has no counterpart."),
    "reactions": ("reaction", "Reactions to it were left out."),
    "reminders": ("reminder", "Its reminders were left out."),
    "start_date": ("start", "Its start date has no counterpart."),
    "subscription": ("subscription", "That you subscribed to it has no counterpart."),
    "views": ("view", "Its views have no counterpart."),
}
_OF_PROJECTS: dict[str, tuple[LossKind, str]] = {
    "description": ("description", "Its description was left out, since lists have none."),
}
_OF_TASKS: dict[str, tuple[LossKind, str]] = {
    "hex_color": ("color", "Its color was left out, since only lists have one."),
}
# Nearly everything has these, so that they are reported once for the file.
_UNKEPT_EVERYWHERE: dict[str, tuple[LossKind, str]] = {
    "created": ("time", "When things were created, changed and done is not kept."),
    "updated": ("time", "When things were created, changed and done is not kept."),
    "done_at": ("time", "When things were created, changed and done is not kept."),
    "created_by": ("author", "Who created things is not kept."),
    "owner": ("author", "Who created things is not kept."),
    "identifier": ("number", "The short numbers of tasks and the letters before them are not kept."),
    "index": ("number", "The short numbers of tasks and the letters before them are not kept."),
    "position": ("position", "An order that was made by hand is not kept; tasks come in the file's order."),
}


@dataclass(slots=True)
class _Project:
    key: str
    raw: dict[str, Any]
    subject: Subject
    parent: str | None = None


@dataclass(slots=True)
class _Task:
    record: dict[str, Any]
    raw: dict[str, Any]
    subject: Subject


@dataclass(slots=True)
class _Keys:
    """A key for each thing that has an id, and for each that has none or another's."""

    prefix: str
    of_ids: dict[int, str] = field(default_factory=dict)
    _made: int = 0

    def make(self, identifier: object) -> str:
        if _is_whole(identifier) and identifier not in self.of_ids:
            key = self.of_ids[identifier] = f"{self.prefix}-{identifier}"
            return key
        self._made += 1
        return f"{self.prefix}-without-id-{self._made}"

    def find(self, identifier: object) -> str | None:
        return self.of_ids.get(identifier) if _is_whole(identifier) else None


def read_vikunja(data: bytes, *, zone: str = "UTC", limits: Limits | None = None) -> Reading:
    """The user's lists and tasks.

    Args:
        data: The file `data.json`.
        zone: The IANA zone of the user; due dates are instants, and it is not in the file.
        limits: How much one user may have.

    Raises:
        UnreadableExport: It is no such file.
        LimitReached: It has more than that.
    """
    try:
        projects = parsed(decoded(data))
    except UnreadableExport:
        raise
    except ValueError:
        raise UnreadableExport("The file is not JSON, as the data.json of an export is.") from None
    if not isinstance(projects, list):
        raise UnreadableExport("The JSON is not an array of projects, as the data.json of an export is.")
    if projects and not any(isinstance(raw, dict) and ("tasks" in raw or "title" in raw) for raw in projects):
        raise UnreadableExport("The JSON has no project with a title or tasks, as the data.json of an export does.")
    export = _Export(Reading(limits=limits or Limits()), zone)
    export.read(projects)
    return export.reading


class _Export:
    """What has been read so far."""

    def __init__(self, reading: Reading, zone: str) -> None:
        self.reading = reading
        self._zone = zone
        self._once: set[str] = set()
        self._projects: dict[str, _Project] = {}
        self._project_keys = _Keys("project")
        self._tasks: dict[str, _Task] = {}
        self._task_keys = _Keys("task")

    def read(self, projects: list[Any]) -> None:
        self._collect(projects)
        self._add_lists()
        for project in self._projects.values():
            for raw in _items(project.subject, project.raw, "tasks", "task"):
                self._read_task(raw, project.key)
        self._add_tasks()

    def _collect(self, projects: list[Any]) -> None:
        waiting: list[tuple[Any, str | None]] = [(raw, None) for raw in reversed(projects)]
        while waiting:
            raw, parent = waiting.pop()
            if not isinstance(raw, dict):
                self._lose_once("list", "An element of the array is no project.")
                continue
            subject = _subject(self.reading, raw)
            if _is_pseudo(raw):
                subject.lose("filter", "It shows tasks of other projects and is no list of its own.")
                continue
            self.reading.count("lists")
            key = self._project_keys.make(raw.get("id"))
            self._projects[key] = _Project(key, raw, subject, parent)
            children = [(child, key) for child in _items(subject, raw, "child_projects", "list")]
            waiting.extend(reversed(children))

    def _add_lists(self) -> None:
        parents = {key: project.parent or self._parent_of(project) for key, project in self._projects.items()}
        order, closing = parents_first(parents)
        names: dict[str, str] = {}
        for key in order:
            subject, parent = self._projects[key].subject, parents[key]
            name = subject.overflow or subject.title
            if key in closing:
                subject.lose("relation", "It is below itself; it became a list on the top level.")
            elif parent is not None:
                name = f"{names[parent]} / {name}"
            names[key] = name[:LONGEST_LINE].rstrip()
            if len(name) > LONGEST_LINE:
                subject.lose("title", f"The list's name was cut at {LONGEST_LINE} characters.")
            self.reading.lists.append({"key": key, "name": names[key], "color": _color(self._projects[key])})
            self._report_rest(subject, self._projects[key].raw, _READ_OF_PROJECT, _OF_PROJECTS)

    def _parent_of(self, project: _Project) -> str | None:
        identifier = project.raw.get("parent_project_id")
        parent = self._project_keys.find(identifier)
        if identifier and parent is None:
            project.subject.lose("relation", "The project that it is below is not in the file.")
        return parent

    def _read_task(self, raw: dict[str, Any], list_key: str) -> None:
        self.reading.count("tasks")
        subject = _subject(self.reading, raw)
        key = self._task_keys.make(raw.get("id"))
        record: dict[str, Any] = {"key": key, "title": subject.title}
        members = {
            "description": description_of(subject, _description(subject, raw)),
            "completed": _typed(subject, raw, "done", bool, "completed"),
            "priority": _priority(subject, raw),
            "tags": tags_of(subject, self._labels(subject, raw)),
        }
        record |= {name: value for name, value in members.items() if value}
        record |= _due(subject, raw, self._zone)
        record["list"] = list_key
        self._tasks[key] = _Task(record, raw, subject)
        self._report_rest(subject, raw, _READ_OF_TASK, _OF_TASKS)

    def _labels(self, subject: Subject, raw: dict[str, Any]) -> Iterator[str]:
        for label in _items(subject, raw, "labels", "tag"):
            if label.get("hex_color"):
                self._lose_once("color", "Labels had colors, which tags have not.")
            if label.get("description"):
                self._lose_once("description", "Labels had descriptions, which tags have not.")
            yield _text(subject, label, "title", "tag")

    def _add_tasks(self) -> None:
        parents = self._task_parents()
        order, closing = parents_first(parents)
        tree = Tree()
        for key in order:
            task = self._tasks[key]
            if key in closing:
                task.subject.lose("relation", "It is a subtask of itself; it became a task on the top level.")
            parent = None if key in closing else parents[key]
            self.reading.tasks.append(task.record | tree.place(key, parent, task.subject))

    def _task_parents(self) -> dict[str, str | None]:
        parents: dict[str, str | None] = dict.fromkeys(self._tasks)
        refused: set[tuple[str, str]] = set()
        for child, parent in self._relations():
            if parents[child] is None:
                parents[child] = parent
            elif parents[child] != parent and (child, parent) not in refused:
                refused.add((child, parent))
                title = quoted(self._tasks[parent].subject.title)
                self._tasks[child].subject.lose("relation", f"It is also a subtask of {title}, but has another parent.")
        return parents

    def _relations(self) -> Iterator[tuple[str, str]]:
        for key, task in self._tasks.items():
            related = _typed(task.subject, task.raw, "related_tasks", dict, "relation") or {}
            for kind in related:
                others = list(_items(task.subject, related, kind, "relation"))
                if kind not in {"subtask", "parenttask"}:
                    if others:
                        task.subject.lose("relation", f"Relations of the kind {quoted(kind)} have no counterpart.")
                    continue
                for other in (self._task_keys.find(raw.get("id")) for raw in others):
                    if other is None:
                        task.subject.lose("relation", f"A task that it names as {kind} is not in the file.")
                    else:
                        yield (other, key) if kind == "subtask" else (key, other)

    def _report_rest(
        self, subject: Subject, raw: dict[str, Any], read: set[str], own: dict[str, tuple[LossKind, str]]
    ) -> None:
        for member, value in raw.items():
            if member in read or not value or value == _NEVER:
                continue
            loss = own.get(member) or _UNKEPT.get(member)
            if loss:
                subject.lose(*loss)
            elif member in _UNKEPT_EVERYWHERE:
                self._lose_once(*_UNKEPT_EVERYWHERE[member])
            elif member != "cover_image_attachment_id":  # one of the attachments
                self._lose_once("member", f"The member {quoted(member)} is not known and was left out.")

    def _lose_once(self, what: LossKind, detail: str) -> None:
        if detail not in self._once:
            self._once.add(detail)
            self.reading.losses.append(Loss(None, "", what, detail))


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pseudo(raw: dict[str, Any]) -> bool:
    # Favorites and saved filters.
    return _is_whole(raw.get("id")) and raw["id"] < 0 and not (raw.get("tasks") or raw.get("child_projects"))


def _subject(reading: Reading, raw: dict[str, Any]) -> Subject:
    title = raw.get("title")
    return Subject(reading, title if isinstance(title, str) else "")


def _typed(subject: Subject, raw: dict[str, Any], member: str, kind: type[_T], what: LossKind) -> _T | None:
    """The member; None if it is missing, null or of another type, which is a loss."""
    value = raw.get(member)
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    subject.lose(what, f"Its {quoted(member)} is of an unknown type and was left out.")
    return None


def _text(subject: Subject, raw: dict[str, Any], member: str, what: LossKind = "description") -> str:
    return _typed(subject, raw, member, str, what) or ""


def _description(subject: Subject, raw: dict[str, Any]) -> str:
    text, complete = plain_text(_text(subject, raw, "description"))
    if not complete:
        subject.lose("attachment", "Pictures that were part of its description were left out.")
    return text


def _items(subject: Subject, raw: dict[str, Any], member: str, what: LossKind) -> Iterator[dict[str, Any]]:
    broken = 0
    for item in _typed(subject, raw, member, list, what) or []:
        if isinstance(item, dict):
            yield item
        else:
            broken += 1
    if broken:
        subject.lose(what, f"Of its {quoted(member)}, {broken} are of an unknown type and were left out.")


def _color(project: _Project) -> str | None:
    value = _typed(project.subject, project.raw, "hex_color", str, "color")
    color = _COLOR.fullmatch(value or "")
    if value and not color:
        project.subject.lose("color", f"The color {quoted(value)} is none of six hexadecimal digits.")
    return f"#{color[1].lower()}" if color else None


def _priority(subject: Subject, raw: dict[str, Any]) -> str:
    value = _typed(subject, raw, "priority", int, "priority") or 0
    if not 0 <= value < len(_PRIORITIES):
        subject.lose("priority", "Its priority is not one of 0 to 5.")
        return ""
    if value == _DO_NOW:
        subject.lose("priority", "To be done now became urgent, which is the most there is.")
    return _PRIORITIES[value]


def _due(subject: Subject, raw: dict[str, Any], zone: str) -> dict[str, str]:
    value = _text(subject, raw, "due_date", "date")
    members = _due_at(subject, value, zone) if value and value != _NEVER else {}
    after = _typed(subject, raw, "repeat_after", int, "recurrence") or 0
    mode = _typed(subject, raw, "repeat_mode", int, "recurrence") or _ON_SCHEDULE
    if not after and mode in {_ON_SCHEDULE, _FROM_COMPLETION}:
        return members
    rule = "FREQ=MONTHLY" if mode == _MONTHLY else _rule(after)
    if not members:
        subject.lose("recurrence", "It repeats but has no due date to count from.")
    elif not rule or mode not in {_ON_SCHEDULE, _MONTHLY, _FROM_COMPLETION}:
        subject.lose("recurrence", "It repeats neither monthly nor after some whole days or weeks.")
    else:
        members["recurrence"] = rule
        if mode == _FROM_COMPLETION:
            members["recurs_from"] = "completion"
    return members


def _due_at(subject: Subject, value: str, zone: str) -> dict[str, str]:
    try:
        if _INSTANT.fullmatch(value):
            return {"due_at": instant(datetime.fromisoformat(value.upper())), "time_zone": zone}
    except (ValueError, OverflowError):
        pass
    subject.lose("date", f"The due date {quoted(value)} is no moment of the calendar.")
    return {}


def _rule(seconds: int) -> str:
    unit, frequency = (_DAY, "DAILY") if seconds % _WEEK else (_WEEK, "WEEKLY")
    count, rest = divmod(seconds, unit)
    if rest or not 1 <= count <= LARGEST_INTERVAL:
        return ""
    return f"FREQ={frequency}" if count == 1 else f"FREQ={frequency};INTERVAL={count}"

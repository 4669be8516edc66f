"""Reading a project that Todoist exported as CSV. Of its dates, those are carried over that can mean one thing only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from zoneinfo import ZoneInfo

from taskward.formats.csv_rows import rows_of
from taskward.formats.todoist.dues import NotCertain, ReadDue, read_due, unclear
from taskward.formats.todoist.languages import in_english
from taskward.kit.types import LONGEST_LINE
from taskward.lists.limits import LISTS
from taskward.tasks.limits import TASKS
from taskward.tasks.types import zones
from taskward.transfer.records import (
    Extras,
    Nesting,
    Reading,
    Subject,
    Thing,
    UnreadableExport,
    append_comment,
    description_of,
    kept_text,
    one_line,
    quoted,
    tags_of,
)

SERVICE = "todoist"
_COLUMNS = {
    "META",
    *("TYPE", "CONTENT", "DESCRIPTION", "IS_COLLAPSED", "PRIORITY", "INDENT", "AUTHOR", "RESPONSIBLE"),
    *("DATE", "DATE_LANG", "TIMEZONE", "DURATION", "DURATION_UNIT", "DEADLINE", "DEADLINE_LANG"),
}
_PRIORITIES = {"1": "urgent", "2": "high", "3": "medium", "4": "none", "": "none"}
# Todoist lets no label have these characters, so that a word with one is no label.
_LABEL = re.compile(r"""@([^\s"(),|&!@]+)""")
_FILE = "[[file "
_NUMBER = re.compile(r"[0-9]{1,9}")
_LONGEST_KEPT_DATE = 100
# A date of numbers alone is one in every language.
_NUMBERS = re.compile(r"[0-9tz:.+ -]+")
# Of a task that nobody completes, such as a heading.
_UNCOMPLETABLE = "* "
_FALSE = {"", "0", "false"}


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "").strip()


def read_todoist(file: IO[bytes], reading: Reading, *, now: datetime, list_name: str, zone: str) -> Iterator[None]:
    """Read the tasks of one project.

    Args:
        file: The CSV file.
        reading: To which the list and its tasks are added.
        now: When what repeats begins, where the file does not say; aware.
        list_name: What to call their list; the file does not say it.
        zone: The IANA zone of times in rows that name none.

    Yields:
        Nothing, wherever others may have their turn.

    Raises:
        UnreadableExport: It is no such file.
        LimitReached: It has more than one user may have.
    """
    project = _Project(reading, list_name, zone, now)
    for row in _rows(file, project):
        project.read(row)
        yield
    project.end()


@dataclass(slots=True)
class _Noted:
    """The task that the next notes belong to."""

    task: dict[str, Any]
    subject: Subject


class _Project:
    """What has been read so far."""

    def __init__(self, reading: Reading, list_name: str, zone: str, now: datetime) -> None:
        self.reading = reading
        reading.count(LISTS)
        self._list = f"project-{len(reading.lists)}"
        self.subject = Subject(self.reading, list_name)
        self._zone = zone
        self._now = now
        self._tree = Nesting()
        self._section = ("", "")
        # The tasks that the next one may be below, with their indents.
        self._open: list[tuple[int, str]] = []
        self._noted: _Noted | None = None
        if self.subject.overflow:
            self.subject.lose("title", f"The list's name was cut at {LONGEST_LINE} characters.")
        self.reading.lists.append({"key": self._list, "name": self.subject.title, "color": None})
        self.subject.keep("list")

    def read(self, row: _Row) -> None:
        match row["TYPE"].lower():
            case "task":
                self._task(row)
            case "note":
                self._note(row)
            case "section":
                self._begin_section(row)
            case "meta":
                self.lose(row, "view", f"The project's setting {quoted(row['CONTENT'])} has no counterpart.")
            case unknown:
                self.lose(row, "row", f"A row of type {quoted(unknown)} with {quoted(row['CONTENT'])} was left out.")
                # What is unknown may have been a task.
                self.reading.counts["task", "lost"] += 1

    def end(self) -> None:
        """No more notes come for the last task."""
        if self._noted is not None:
            self.reading.tasks.append(self._noted.task)
            self._noted = None

    def lose(self, row: _Row, what: Thing, detail: str) -> None:
        """Put a loss down to the list."""
        self.subject.line = row.line
        self.subject.lose(what, detail)

    def _task(self, row: _Row) -> None:
        self.end()
        self.reading.count(TASKS)
        content, labels = _without_labels(row["CONTENT"])
        is_uncompletable = content.startswith(_UNCOMPLETABLE)
        subject = Subject(self.reading, content.removeprefix(_UNCOMPLETABLE), row.line)
        extras = Extras(subject, SERVICE)
        key = f"{self._list}-{row.line}"
        task: dict[str, Any] = {"key": key, "title": subject.title, "list": self._list}
        description = description_of(subject, row["DESCRIPTION"])
        priority = _priority(subject, row["PRIORITY"])
        tag, section = self._section
        tags = tags_of(subject, [tag, *labels] if tag else labels)
        subject.keep("tag", len(tags))
        members = {"description": description, "priority": priority, "tags": tags}
        task |= {name: value for name, value in members.items() if value}
        task |= _due_of(subject, extras, row, self._zone, self._now)
        task |= self._tree.place(key, self._parent(subject, row, key), subject)
        if is_uncompletable:
            extras.keep("uncompletable", "uncompletable", value=True)
        if section != tag:
            extras.keep("section", "section", kept_text(section))
        _keep_rest(extras, row)
        subject.keep("task")
        self._noted = _Noted(task | extras.members(), subject)

    def _parent(self, subject: Subject, row: _Row, key: str) -> str | None:
        indent = _indent(subject, row["INDENT"])
        while self._open and self._open[-1][0] >= indent:
            self._open.pop()
        level, parent = self._open[-1] if self._open else (0, None)
        if indent > level + 1:
            subject.lose("indent", f"It is indented to level {indent}, but there is no task on the level above.")
        self._open.append((indent, key))
        return parent

    def _begin_section(self, row: _Row) -> None:
        self._open.clear()
        self.end()
        self.subject.line = row.line
        tag = next(iter(tags_of(self.subject, [row["CONTENT"]] if row["CONTENT"] else [])), "")
        self._section = (tag, row["CONTENT"])
        if tag:
            self.subject.keep("section")
            self.reading.lose_once("section", "There are no sections; they became tags of their tasks.", count=0)
        else:
            self.lose(row, "section", "A section without a name has none to become a tag.")
        self._report_cells(row, ("DESCRIPTION", "AUTHOR", "RESPONSIBLE", "DATE", "DEADLINE"))
        if row["IS_COLLAPSED"].lower() not in _FALSE:
            self.lose(row, "view", "Its tasks were collapsed.")

    def _note(self, row: _Row) -> None:
        self._report_cells(row, ("DESCRIPTION", "RESPONSIBLE", "DEADLINE"))
        text, attached = _without_file(row["CONTENT"])
        if not text:
            return
        if self._noted is None:
            self.lose(row, "comment", f"The note {quoted(text)} follows no task.")
            return
        task, subject = self._noted.task, self._noted.subject
        subject.line = row.line
        if attached:
            subject.lose("attachment", "A note's file is not in the export; its name and address were kept.")
        heading = ", ".join(one_line(part) for part in (row["AUTHOR"], row["DATE"]) if part)
        task["description"] = append_comment(subject, task.get("description", ""), heading and f"{heading}:", text)
        if not task["description"]:
            del task["description"]

    def _report_cells(self, row: _Row, columns: tuple[str, ...]) -> None:
        filled = [f"{column} {quoted(row[column])}" for column in columns if row[column]]
        if filled:
            self.lose(row, "row", f"A {row['TYPE'].lower()} has no {', '.join(filled)}.")


def _rows(file: IO[bytes], project: _Project) -> Iterator[_Row]:
    lines = rows_of(file)
    header = [name.strip().upper() for name in next(lines, (1, []))[1]]
    missing = [column for column in ("TYPE", "CONTENT") if column not in header]
    if missing:
        raise UnreadableExport(f"The first row does not name {' and '.join(missing)}, as that of an export does.")
    for line, cells in lines:
        row = _Row(line, {})
        for index, cell in enumerate(cells):
            column = header[index] if index < len(header) else ""
            if column in _COLUMNS and column not in row.cells:
                row.cells[column] = cell
            elif cell.strip():
                detail = f"Cells of the column {quoted(column)}, unknown or named twice, were left out."
                project.reading.lose_once("column", detail)
        yield row


def _without_labels(content: str) -> tuple[str, list[str]]:
    words = content.split()
    labels = [match[1] for word in words if (match := _LABEL.fullmatch(word))]
    if not labels:
        return content, []
    return " ".join(word for word in words if not _LABEL.fullmatch(word)), labels


def _without_file(content: str) -> tuple[str, bool]:
    """The note with its file, which is JSON in brackets, as a name and an address; and whether it has one."""
    before, marker, after = content.partition(_FILE)
    if not marker or not after.endswith("]]"):
        return content, False
    try:
        file = json.loads(after.removesuffix("]]"))
    except (ValueError, RecursionError):
        return content, False
    if not isinstance(file, dict):
        return content, False
    name, address = file.get("file_name"), file.get("file_url")
    if not isinstance(name, str) or not isinstance(address, str):
        return content, True
    return f"{before.strip()}\n{one_line(name)} ({one_line(address)})".strip(), True


def _priority(subject: Subject, text: str) -> str:
    priority = _PRIORITIES.get(text)
    if priority is None:
        subject.lose("priority", f"The priority {quoted(text)} is not one of 1 to 4.")
    elif priority != "none":
        subject.keep("priority")
    return priority if priority and priority != "none" else ""


def _indent(subject: Subject, text: str) -> int:
    if not text:
        return 1
    if _NUMBER.fullmatch(text) and int(text) > 0:
        return int(text)
    subject.lose("indent", f"The indent {quoted(text)} is no level; it was taken for 1.")
    return 1


def _keep_rest(extras: Extras, row: _Row) -> None:
    if row["AUTHOR"]:
        extras.keep("author", "author", kept_text(row["AUTHOR"]))
    if row["RESPONSIBLE"]:
        extras.keep("assignee", "responsible", kept_text(row["RESPONSIBLE"]))
    if row["DURATION"].lower() not in {"", "0", "none"}:
        extras.keep("duration", "duration", kept_text(f"{row['DURATION']} {row['DURATION_UNIT']}".strip()))
    if row["DEADLINE"]:
        extras.keep("deadline", "deadline", kept_text(row["DEADLINE"]))
    if row["IS_COLLAPSED"].lower() not in _FALSE:
        extras.keep("view", "is_collapsed", value=True)
    if row["META"]:
        extras.keep("member", "meta", kept_text(row["META"]))


def _due_of(subject: Subject, extras: Extras, row: _Row, zone: str, now: datetime) -> dict[str, Any]:
    written, language = row["DATE"], row["DATE_LANG"]
    if not written and row["DEADLINE"]:
        # A task that had a deadline only was due then.
        written, language = row["DEADLINE"], row["DEADLINE_LANG"]
    text = " ".join(written.lower().split())
    if not text:
        return {}
    place = ZoneInfo(_zone_of(subject, row, zone))
    try:
        due = _read(text, language, place, now)
        members = due.members(place, now)
    except NotCertain as error:
        kept = "its text is" if len(written) <= _LONGEST_KEPT_DATE else f"its first {_LONGEST_KEPT_DATE} characters are"
        subject.lose(error.what, f"{quoted(written)} {error.why}; {kept} in the metadata as todoist.date.")
        extras.keep(error.what, "date", kept_text(written)[:_LONGEST_KEPT_DATE])
        return _part_of(error.due, place, now)
    if due.start is None or due.is_year_guessed:
        taken = members.get("due_date") or datetime.fromisoformat(members["due_at"]).astimezone(place).date()
        lacks = "its year" if due.is_year_guessed else "its first date"
        subject.lose("date", f"{quoted(written)} does not say {lacks}; {taken} was taken.")
    subject.keep("date")
    if due.rule:
        subject.keep("recurrence")
    return members


def _read(text: str, language: str, place: ZoneInfo, now: datetime) -> ReadDue:
    english = in_english(text, language)
    if english is None:
        if not _NUMBERS.fullmatch(text):
            raise unclear(text)
        english = text
    return read_due(english, now.astimezone(place).date())


def _part_of(due: ReadDue | None, place: ZoneInfo, now: datetime) -> dict[str, Any]:
    try:
        return {} if due is None else due.members(place, now)
    except NotCertain:
        return {}


def _zone_of(subject: Subject, row: _Row, zone: str) -> str:
    named = row["TIMEZONE"]
    if not named or named in zones():
        return named or zone
    subject.lose("time_zone", f"The time zone {quoted(named)} is not known; {zone} was taken.")
    return zone

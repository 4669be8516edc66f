"""Reading a project that Todoist exported as CSV. Of its dates, those are carried over that can mean one thing only."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from taskward.account.records import (
    LossKind,
    Reading,
    Subject,
    Tree,
    UnreadableExport,
    decoded,
    description_of,
    one_line,
    parsed,
    quoted,
    tags_of,
)
from taskward.account.todoist_dues import NotCertain, read_due
from taskward.limits import Limits
from taskward.members import LONGEST_LINE
from taskward.tasks.members import LONGEST_DESCRIPTION, zones

_LIST = "project"
_COLUMNS = {
    *("TYPE", "CONTENT", "DESCRIPTION", "IS_COLLAPSED", "PRIORITY", "INDENT", "AUTHOR", "RESPONSIBLE"),
    *("DATE", "DATE_LANG", "TIMEZONE", "DURATION", "DURATION_UNIT", "DEADLINE", "DEADLINE_LANG"),
}
_PRIORITIES = {"1": "urgent", "2": "high", "3": "medium", "4": "none", "": "none"}
# Todoist lets no label have these characters, so that a word with one is no label.
_LABEL = re.compile(r"""@([^\s"(),|&!@]+)""")
_FILE = "[[file "
_NUMBER = re.compile(r"[0-9]{1,9}")
_KEPT_DATE = "todoist_date"
_LONGEST_KEPT_DATE = 100


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "").strip()


def read_todoist(
    data: bytes, *, now: datetime, list_name: str = "Todoist", zone: str = "UTC", limits: Limits | None = None
) -> Reading:
    """The tasks of one project.

    Args:
        data: The CSV file.
        now: When what repeats begins, where the file does not say; aware.
        list_name: What to call their list; the file does not say it.
        zone: The IANA zone of times in rows that name none.
        limits: How much one user may have.

    Raises:
        UnreadableExport: It is no such file.
        LimitReached: It has more than that.
    """
    project = _Project(Reading(limits=limits or Limits()), list_name, zone, now)
    for row in _rows(decoded(data), project):
        project.read(row)
    project.report_authors()
    return project.reading


class _Project:
    """What has been read so far."""

    def __init__(self, reading: Reading, list_name: str, zone: str, now: datetime) -> None:
        self.reading = reading
        self.subject = Subject(self.reading, list_name)
        self._zone = zone
        self._now = now
        self._tree = Tree()
        self._section = ""
        self._authors: dict[str, None] = {}
        # The tasks that the next one may be below, with their indents, and the one that notes belong to.
        self._open: list[tuple[int, str]] = []
        self._noted: dict[str, Any] | None = None
        if self.subject.overflow:
            self.subject.lose("title", f"The list's name was cut at {LONGEST_LINE} characters.")
        self.reading.lists.append({"key": _LIST, "name": self.subject.title, "color": None})

    def read(self, row: _Row) -> None:
        if row["AUTHOR"]:
            self._authors[row["AUTHOR"]] = None
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

    def lose(self, row: _Row, what: LossKind, detail: str) -> None:
        """Put a loss down to the list."""
        self.subject.line = row.line
        self.subject.lose(what, detail)

    def report_authors(self) -> None:
        self.subject.line = None
        if self._authors:
            names = quoted(", ".join(self._authors))
            self.subject.lose("author", f"Who wrote tasks and notes is not kept: {names}.")

    def _task(self, row: _Row) -> None:
        self.reading.count("tasks")
        content, labels = _without_labels(row["CONTENT"])
        subject = Subject(self.reading, content, row.line)
        key = f"line-{row.line}"
        task: dict[str, Any] = {"key": key, "title": subject.title, "list": _LIST}
        description = description_of(subject, row["DESCRIPTION"])
        priority = _priority(subject, row["PRIORITY"])
        tags = tags_of(subject, [self._section, *labels] if self._section else labels)
        members = {"description": description, "priority": priority, "tags": tags}
        task |= {name: value for name, value in members.items() if value}
        task |= _due_of(subject, row, self._zone, self._now)
        task |= self._tree.place(key, self._parent(subject, row, key), subject)
        _report_unkept(subject, row)
        self.reading.tasks.append(task)
        self._noted = task

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
        self._noted = None
        self.subject.line = row.line
        self._section = next(iter(tags_of(self.subject, [row["CONTENT"]] if row["CONTENT"] else [])), "")
        became = f"became the tag {quoted(self._section)}" if self._section else "has no name to become a tag"
        self.lose(row, "section", f"There are no sections; {quoted(row['CONTENT'])} {became}.")
        self._report_cells(row)

    def _note(self, row: _Row) -> None:
        self._report_cells(row)
        text, attached = _without_file(row["CONTENT"])
        if not text:
            return
        if self._noted is None:
            self.lose(row, "comment", f"The note {quoted(text)} follows no task.")
            return
        subject = Subject(self.reading, self._noted["title"], row.line)
        if attached:
            subject.lose("attachment", "A note's file is not in the export; its name and address were kept.")
        before = self._noted.get("description")
        if (len(before) + 2 if before else 0) + len(text) > LONGEST_DESCRIPTION:
            subject.lose("comment", f"The description has no room for the note {quoted(text)}.")
        else:
            self._noted["description"] = f"{before}\n\n{text}" if before else text

    def _report_cells(self, row: _Row) -> None:
        columns = ("DESCRIPTION", "RESPONSIBLE", "DATE", "DEADLINE")
        filled = [f"{column} {quoted(row[column])}" for column in columns if row[column]]
        if filled:
            self.lose(row, "row", f"A {row['TYPE'].lower()} has no {', '.join(filled)}.")


def _rows(text: str, project: _Project) -> Iterator[_Row]:
    lines = _lines(text)
    header = [name.strip().upper() for name in next(lines, (1, []))[1]]
    missing = [column for column in ("TYPE", "CONTENT") if column not in header]
    if missing:
        raise UnreadableExport(f"The first row does not name {' and '.join(missing)}, as that of an export does.")
    unknown: dict[str, None] = {}
    for line, cells in lines:
        row = _Row(line, {})
        for index, cell in enumerate(cells):
            column = header[index] if index < len(header) else ""
            if column in _COLUMNS and column not in row.cells:
                row.cells[column] = cell
            elif cell.strip():
                unknown[column] = None
        yield row
    for column in unknown:
        project.subject.line = None
        project.subject.lose("column", f"Cells of the column {quoted(column)}, unknown or named twice, were left out.")


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    # Strict, since a quote that is not closed would swallow the rows after it.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error:
            raise UnreadableExport(f"The row at line {line} lacks a closing quote or is too long for CSV.") from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


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
        file = parsed(after.removesuffix("]]"))
    except ValueError:
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
    return priority if priority and priority != "none" else ""


def _indent(subject: Subject, text: str) -> int:
    if not text:
        return 1
    if _NUMBER.fullmatch(text) and int(text) > 0:
        return int(text)
    subject.lose("indent", f"The indent {quoted(text)} is no level; it was taken for 1.")
    return 1


def _report_unkept(subject: Subject, row: _Row) -> None:
    if row["RESPONSIBLE"]:
        subject.lose("assignee", f"It was assigned to {quoted(row['RESPONSIBLE'])}.")
    if row["DURATION"].lower() not in {"", "0", "none"}:
        subject.lose("duration", f"It was to take {quoted(row['DURATION'] + ' ' + row['DURATION_UNIT'])}.")
    if row["DEADLINE"]:
        subject.lose("deadline", f"Besides its date it had the deadline {quoted(row['DEADLINE'])}.")
    if row["IS_COLLAPSED"].lower() in {"1", "true"}:
        subject.lose("view", "Its subtasks were collapsed.")


def _due_of(subject: Subject, row: _Row, zone: str, now: datetime) -> dict[str, Any]:
    written = row["DATE"]
    text = " ".join(written.lower().split())
    if not text:
        return {}
    try:
        due = read_due(text, english=row["DATE_LANG"].lower()[:2] in {"", "en"})
        place = ZoneInfo(_zone_of(subject, row, zone))
        members = due.members(place, now)
    except NotCertain as error:
        kept = "its text is" if len(written) <= _LONGEST_KEPT_DATE else f"its first {_LONGEST_KEPT_DATE} characters are"
        subject.lose(error.what, f"{quoted(written)} {error.why}; {kept} in the metadata as {_KEPT_DATE}.")
        return {"metadata": {_KEPT_DATE: written[:_LONGEST_KEPT_DATE]}}
    if due.start is None:
        taken = members.get("due_date") or datetime.fromisoformat(members["due_at"]).astimezone(place).date()
        subject.lose("date", f"{quoted(written)} does not say its first date; {taken} was taken.")
    return members


def _zone_of(subject: Subject, row: _Row, zone: str) -> str:
    named = row["TIMEZONE"]
    if not named or named in zones():
        return named or zone
    subject.lose("time_zone", f"The time zone {quoted(named)} is not known; {zone} was taken.")
    return zone

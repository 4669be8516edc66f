"""What other services have exported, as the lists and tasks that it becomes and what is lost of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import IO, Any, Literal
from uuid import UUID

from pydantic import ValidationError

from taskward.errors import FieldError, Invalid
from taskward.formats.json_text import JsonText
from taskward.formats.todoist.reading import read_todoist
from taskward.formats.vikunja.reading import read_vikunja
from taskward.kit.limits import Limits
from taskward.lists.schemas import ListCreate
from taskward.runtime.fairness import cooperatively
from taskward.tasks.schedule.consistency import SCHEDULE
from taskward.tasks.schemas import TaskCreate
from taskward.transfer.archives import Member, is_archive, members_of
from taskward.transfer.record_file import Records, Spool
from taskward.transfer.records import Reading, Subject, Thing, UnreadableExport

ForeignFormat = Literal["todoist", "vikunja"]

UNPACKED = 4
"""How many times the bytes of the largest file an archive may have in it that are read."""
_LIST_NAME = "Todoist"
_LOST: dict[Any, Thing] = {"tags": "tag", "time_zone": "time_zone", "recurrence": "recurrence", "metadata": "member"}
_KEYS = {"key", "list", "parent", "completed_at"}
# Todoist puts the id of a project behind its name.
_PROJECT_FILE = re.compile(r"(?P<name>.*?)(?: \[[0-9A-Za-z]+\])?\.csv", re.IGNORECASE | re.DOTALL)
_DATA, _FILTERS, _VERSION = "data.json", "filters.json", "VERSION"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a file comes from, and what it does not say itself.

    Attributes:
        zone: The IANA zone that times are meant in.
        list_name: What to call the list of a project that Todoist exported, where the file does not say.
        now: When what repeats begins; aware.
    """

    format: ForeignFormat
    zone: str
    list_name: str | None
    now: datetime

    def digest(self, content: bytes) -> bytes:
        """A digest of what a file becomes, which depends on all of this but the time.

        Args:
            content: A digest of the file.
        """
        said = "\0".join((self.format, self.zone, self.list_name or ""))
        return blake2b(said.encode() + content, digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a file becomes.

    Attributes:
        digest: Of the file and of how it was to be read.
    """

    reading: Reading
    lists: dict[Any, ListCreate]
    digest: bytes

    @property
    def has_tags(self) -> bool:
        return self.reading.tasks.has_tags

    def tasks(self) -> Iterator[tuple[TaskCreate, datetime | None]]:
        """Each task, those above it first, and when it was completed."""
        ids: dict[Any, UUID] = {}
        for record in self.reading.tasks:
            members = {name: value for name, value in record.items() if name not in _KEYS}
            members |= {"list_id": self.lists[record["list"]].id, "parent_id": ids.get(record.get("parent"))}
            task = _task(self.reading, members)
            if record["key"] in self.reading.tasks.parents:
                ids[record["key"]] = task.id
            yield task, record.get("completed_at")

    def lose(self, task: TaskCreate, what: Thing, detail: str) -> None:
        self.reading.lose(what, detail, item=task.title)


async def read_foreign(
    file: IO[bytes], digest: bytes, origin: Origin, limits: Limits, *, largest: int, spool: Spool | None = None
) -> Foreign:
    """Read a file, in parts between which others may have their turn.

    Args:
        digest: Of its content.
        largest: Bytes that such a file may have.
        spool: Where what it becomes waits, which is memory else.

    Raises:
        Invalid: It is not such an export, or there is nothing in it.
        LimitReached: It has more than one user may have.
    """
    reading = Reading(tasks=Records(spool), limits=limits)
    try:
        async for _ in cooperatively(_read(file, origin, reading, largest * UNPACKED)):
            pass
        reading.check()
    except UnreadableExport as error:
        raise Invalid([FieldError("body", "", str(error))]) from None
    lists = {record["key"]: ListCreate(name=record["name"], color=record["color"]) for record in reading.lists}
    return Foreign(reading, lists, origin.digest(reading.content or digest))


def _read(file: IO[bytes], origin: Origin, reading: Reading, largest: int) -> Iterator[None]:
    if not is_archive(file):
        yield from _READERS[origin.format](file, origin, reading, origin.list_name or _LIST_NAME)
    elif origin.format == "todoist":
        yield from _read_projects(file, origin, reading, largest)
    else:
        yield from _read_data(file, origin, reading, largest)


def _todoist(file: IO[bytes], origin: Origin, reading: Reading, name: str) -> Iterator[None]:
    return read_todoist(file, reading, now=origin.now, list_name=name, zone=origin.zone)


def _vikunja(file: IO[bytes], origin: Origin, reading: Reading, _name: str) -> Iterator[None]:
    return read_vikunja(file, reading, now=origin.now, zone=origin.zone)


_READERS: dict[ForeignFormat, Callable[[IO[bytes], Origin, Reading, str], Iterator[None]]] = {
    "todoist": _todoist,
    "vikunja": _vikunja,
}


def _read_projects(file: IO[bytes], origin: Origin, reading: Reading, largest: int) -> Iterator[None]:
    """Read an archive of Todoist's: a CSV file for each project, which has its name."""
    members, others = members_of(file, lambda name: bool(_PROJECT_FILE.fullmatch(name)), largest=largest)
    yield
    if not members:
        raise UnreadableExport("The ZIP archive has no CSV file, as one of Todoist's has for each project.")
    reading.content = _content(members)
    if origin.list_name is not None:
        raise UnreadableExport("The files in a ZIP archive name their lists; send it without the parameter name.")
    for member in members:
        found = _PROJECT_FILE.fullmatch(member.name)
        name = found["name"] if found else member.name
        with member.open() as part:
            try:
                yield from _todoist(part, origin, reading, name)
            except UnreadableExport as error:
                subject = Subject(reading, name)
                raise UnreadableExport(f"The project {subject.title}: {error}") from None
    _report_others(reading, others)


def _read_data(file: IO[bytes], origin: Origin, reading: Reading, largest: int) -> Iterator[None]:
    """Read an archive of Vikunja's: `data.json`, and what it refers to."""
    members, others = members_of(file, {_DATA, _FILTERS}.__contains__, largest=largest)
    yield
    data = [member for member in members if member.name == _DATA]
    if len(data) != 1:
        raise UnreadableExport("The ZIP archive has not one data.json, as one of Vikunja's has.")
    reading.content = _content(data)
    with data[0].open() as part:
        yield from _vikunja(part, origin, reading, "")
    for member in members:
        if member.name == _FILTERS:
            with member.open() as part:
                yield from _report_filters(part, reading)
    _report_others(reading, [name for name in others if name != _VERSION])


def _content(members: list[Member]) -> bytes:
    """What tells an archive from others: not when it was packed."""
    return repr(sorted((member.name, member.content) for member in members)).encode()


def _report_filters(file: IO[bytes], reading: Reading) -> Iterator[None]:
    text = JsonText(file)
    count = 0
    try:
        if text.take(b"["):
            while text.next_of(b"]", is_first=count == 0):
                yield from text.value()
                count += 1
    except UnreadableExport:
        reading.lose_once("filter", "The file filters.json cannot be read.")
    if count:
        reading.lose_once("filter", "Saved filters have no counterpart.", count)


def _report_others(reading: Reading, names: Iterable[str]) -> None:
    count = sum(1 for _ in names)
    if count:
        reading.lose_once("file", "Files in the ZIP archive that are no tasks were left out.", count)


def _task(reading: Reading, members: dict[str, Any]) -> TaskCreate:
    """A task with all that it may have. What it may not, such as a due in the year 9999, is lost."""
    try:
        return TaskCreate(**members)
    except ValidationError as error:
        wrong = {(*found["loc"],) for found in error.errors(include_url=False, include_input=False)}
    kept = {name: value for name, value in members.items() if (name,) not in wrong}
    for place in wrong:
        detail = f"Its {place[0]} is not one that tasks may have."
        reading.lose(_LOST.get(place[0], "date"), detail, item=members["title"])
    if "tags" in kept:
        kept["tags"] = [tag for index, tag in enumerate(kept["tags"]) if ("tags", index) not in wrong]
    if not kept.keys() & {"due_date", "due_at"}:
        kept = {name: value for name, value in kept.items() if name not in SCHEDULE}
    return TaskCreate(**kept)

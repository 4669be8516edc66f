"""Reading the `data.json` of what Vikunja exports as a user's data: its projects become lists, its tasks tasks.

What hangs together by ids is put together when all is read, since anything may be named before it comes.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from typing import IO, Any

from taskward.formats.vikunja.file import Project, ProjectReader
from taskward.formats.vikunja.members import NEVER, is_whole, number_of, typed
from taskward.formats.vikunja.tasks import LONGEST_TEXT, SERVICE, is_parental, keep_relations, read_task
from taskward.kit.types import LONGEST_LINE
from taskward.kit.walks import parents_first
from taskward.lists.limits import LISTS
from taskward.tasks.limits import TASKS
from taskward.transfer.records import Extras, Nesting, Reading, Subject, Thing, kept_text, one_line, quoted

_COLOR = re.compile("#?([0-9a-fA-F]{6})")
_END = float("inf")
# Beyond what ids may be.
_NO_ID = -(2**63)
_EVERY = 200
"""Tasks after which others may have their turn."""
_READ = {"id", "title", "hex_color", "parent_project_id", "position", "namespace_id"}
_UNKEPT: dict[str, tuple[Thing, str]] = {
    "background_information": ("attachment", "Its background was left out."),
    "background_blur_hash": ("attachment", "Its background was left out."),
    "background_file_id": ("attachment", "Its background was left out."),
    "description": ("description", "Its description was left out, since lists have none."),
    "is_archived": ("archived", "It was archived, which lists cannot be."),
    "is_favorite": ("favorite", "It was a favorite, which has no counterpart."),
    "subscription": ("subscription", "That you subscribed to it has no counterpart."),
}
# Nearly every project has these, so that they are reported once for the file.
_UNKEPT_EVERYWHERE: dict[str, tuple[Thing, str]] = {
    "buckets": ("bucket", "Buckets are kept only as names, in the metadata of their tasks."),
    "created": ("time", "When projects were created and changed is not kept."),
    "identifier": ("number", "The letters before the numbers of projects' tasks are not kept."),
    "max_permission": ("member", "What you might do with projects is not kept."),
    "owner": ("author", "Whose projects were is not kept."),
    "updated": ("time", "When projects were created and changed is not kept."),
    "views": ("view", "Views of projects have no counterpart."),
}


def read_vikunja(file: IO[bytes], reading: Reading, *, now: datetime, zone: str) -> Iterator[None]:
    """Read the user's lists and tasks.

    Args:
        file: The file `data.json`.
        reading: To which they are added.
        now: Nothing was completed later; aware.
        zone: The IANA zone of the user; due dates are instants, and it is not in the file.

    Yields:
        Nothing, wherever others may have their turn.

    Raises:
        UnreadableExport: It is no such file.
        LimitReached: It has more than one user may have.
    """
    export = _Export(reading, zone, now)
    yield from export.projects.read(file)
    yield from export.finish()


class _Places(Sequence[tuple[int, float]]):
    """By what tasks are ordered: their projects' numbers, and in each their positions, or the end."""

    def __init__(self) -> None:
        self.projects = array("q")
        self.positions = array("d")

    def __len__(self) -> int:
        return len(self.projects)

    def __getitem__(self, index: Any) -> Any:
        return self.projects[index], self.positions[index] or _END


class _Export:
    """What has been read so far. Memory holds only what decides on the place of each task."""

    def __init__(self, reading: Reading, zone: str, now: datetime) -> None:
        self.projects = ProjectReader(reading, self._read_task)
        self._reading = reading
        self._zone = zone
        self._now = now
        self._by_id: dict[int, int] = {}
        self._places = _Places()
        self._ids = array("q")
        self._numbers = array("q")
        # Those that name others, which may not be there yet.
        self._related = array("q")

    def _read_task(self, raw: dict[str, Any], project: Project, is_cut: bool) -> Generator[None, None, None]:  # noqa: FBT001
        deleted = raw.get("deleted_at")
        if isinstance(deleted, str) and deleted not in {"", NEVER}:
            self._reading.lose_once("task", "Tasks that were in the trash were left out.")
            return
        self._reading.count(TASKS)
        subject = _subject(self._reading, raw)
        if is_cut:
            subject.lose("member", "It has more in it than can be read, and the rest was left out.")
        task = yield from read_task(raw, subject, self._zone, self._now)
        index = len(self._places)
        if task.identifier is not None:
            self._by_id.setdefault(task.identifier, index)
        self._ids.append(_NO_ID if task.identifier is None else task.identifier)
        if task.relations:
            self._related.append(index)
        self._places.projects.append(project.number)
        self._places.positions.append(task.position)
        record = {"key": str(index), **task.record, "list": project.number, **task.extras.members()}
        self._numbers.append(self._reading.tasks.keep(record, [task.bucket, task.relations]))

    def finish(self) -> Iterator[None]:
        """Put together what was read."""
        yield from self._add_lists()
        parents = yield from self._parents()
        yield from self._find_places()
        yield from self._add_tasks(parents)

    def _add_lists(self) -> Generator[None, None, None]:
        projects = self.projects.projects
        subjects = [_subject(self._reading, one.members) if one.is_one else None for one in projects]
        parents = self._parents_of_projects(subjects)
        places = [number_of(one.members.get("position")) or float("inf") for one in projects]
        order, closing = yield from parents_first(parents, places)
        names: dict[int, str] = {}
        for number in order:
            project, subject = projects[number], subjects[number]
            above = None if number in closing else parents[number]
            prefix = "" if above is None else names[above]
            if subject is None:
                names[number] = prefix
                self._reading.lose_once("list", "An element of the array is no project.")
                continue
            if number in closing:
                subject.lose("relation", "It is below itself; it became a list on the top level.")
            name = subject.overflow or subject.title
            name = f"{prefix} / {name}" if prefix else name
            names[number] = name[:LONGEST_LINE].rstrip()
            if len(name) > LONGEST_LINE:
                subject.lose("title", f"The list's name was cut at {LONGEST_LINE} characters.")
            if project.is_list:
                self._reading.count(LISTS)
                self._reading.lists.append({"key": number, "name": names[number], "color": _color(subject, project)})
                subject.keep("list")
            elif not project.is_space:
                subject.lose("filter", "It shows tasks of other projects and is no list of its own.")
                continue
            self._report_rest(subject, project)
            yield

    def _parents_of_projects(self, subjects: list[Subject | None]) -> list[int | None]:
        projects = self.projects.projects
        by_id: dict[int, int] = {}
        for project in projects:
            identifier = project.members.get("id")
            if is_whole(identifier) and not project.is_space:
                by_id.setdefault(identifier, project.number)
        parents: list[int | None] = []
        for project, subject in zip(projects, subjects, strict=True):
            identifier = project.members.get("parent_project_id")
            found = by_id.get(identifier) if is_whole(identifier) else None
            if project.outer is not None:
                found = project.outer.number
            elif identifier and found is None and subject is not None:
                subject.lose("relation", "The project that it is below is not in the file.")
            parents.append(found)
        return parents

    def _report_rest(self, subject: Subject, project: Project) -> None:
        for member, value in project.members.items():
            if member in _READ or not value or value == NEVER:
                continue
            count = len(value) if isinstance(value, list) else 1
            if member in _UNKEPT:
                subject.lose(*_UNKEPT[member])
            elif member in _UNKEPT_EVERYWHERE:
                self._reading.lose_once(*_UNKEPT_EVERYWHERE[member], count)
            else:
                self._reading.lose_once("member", f"The member {quoted(member)} is not known and was left out.")
                if isinstance(value, list):
                    # A version that is not known may have its tasks elsewhere.
                    self._reading.counts["task", "lost"] += sum(
                        isinstance(one, dict) and "title" in one for one in value
                    )

    def _parents(self) -> Generator[None, None, list[int | None]]:
        parents: list[int | None] = [None] * len(self._places)
        for index in self._related:
            record, (_, relations) = self._reading.tasks.kept(self._numbers[index])
            subject = Subject(self._reading, record["title"])
            for step, (kind, identifier) in enumerate(relations, start=1):
                if step % _EVERY == 0:
                    yield
                pair = self._pair(index, kind, identifier)
                if pair is not None:
                    child, parent = pair
                    if parents[child] is None:
                        parents[child] = parent
                        subject.keep("relation")
                elif is_parental(kind):
                    subject.lose("relation", f"A task that it names as {kind} is not in the file.")
            yield
        return parents

    def _pair(self, index: int, kind: str, identifier: int) -> tuple[int, int] | None:
        """Which task is a part of which by a relation, if it says so and both are there."""
        other = self._by_id.get(identifier) if is_parental(kind) else None
        if other is None:
            return None
        return (other, index) if kind == "subtask" else (index, other)

    def _find_places(self) -> Iterator[None]:
        """Where projects say the places of their tasks, these count."""
        places = self._places
        for index, (number, identifier) in enumerate(zip(places.projects, self._ids, strict=True)):
            places.positions[index] = self.projects.projects[number].place_of(identifier) or places.positions[index]
            self._reading.counts["position", "kept"] += bool(places.positions[index])
            if index % _EVERY == 0:
                yield

    def _add_tasks(self, parents: list[int | None]) -> Iterator[None]:
        order, closing = yield from parents_first(parents, self._places)
        tree = Nesting()
        for step, index in enumerate(order):
            record, (bucket, relations) = self._reading.tasks.kept(self._numbers[index])
            subject = Subject(self._reading, record["title"])
            parent = None if index in closing else parents[index]
            if index in closing:
                subject.lose("relation", "It is a subtask of itself; it became a task on the top level.")
            project = self.projects.projects[self._places.projects[index]]
            bucket = project.buckets.get(self._ids[index], bucket)
            others = [(kind, other) for kind, other in relations if not self._is_carried(parents, index, kind, other)]
            added: dict[str, Any] = {}
            if others or bucket is not None:
                extras = Extras(subject, SERVICE, record)
                keep_relations(extras, others)
                _keep_bucket(extras, project, bucket)
                added = extras.members()
            added |= tree.place(record["key"], None if parent is None else str(parent), subject)
            self._reading.tasks.place(self._numbers[index], added)
            subject.keep("task")
            if step % _EVERY == 0 or len(relations) > _EVERY:
                yield

    def _is_carried(self, parents: list[int | None], index: int, kind: str, identifier: int) -> bool:
        """Whether a relation became one of ours."""
        pair = self._pair(index, kind, identifier)
        return pair is not None and parents[pair[0]] == pair[1]


def _subject(reading: Reading, raw: dict[str, Any]) -> Subject:
    title = raw.get("title")
    return Subject(reading, title[:LONGEST_TEXT] if isinstance(title, str) else "")


def _color(subject: Subject, project: Project) -> str | None:
    value = typed(subject, project.members, "hex_color", str, "color")
    color = _COLOR.fullmatch(value or "")
    if value and not color:
        subject.lose("color", f"The color {quoted(value)} is none of six hexadecimal digits.")
    if color:
        subject.keep("color")
    return f"#{color[1].lower()}" if color else None


def _keep_bucket(extras: Extras, project: Project, bucket: int | None) -> None:
    if bucket is not None:
        title = project.title_of(bucket)
        extras.keep("bucket", "bucket", bucket if title is None else kept_text(one_line(title)))

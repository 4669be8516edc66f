"""The structure of what Vikunja exports: arrays of projects, in projects and, before version 0.21, in spaces.

The file is read once from its beginning to its end. Tasks are handed on one by one; of projects, what is not an array
of tasks or of their places is kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from taskward.formats.json_text import JsonText, Steps, name_in, parse_in_parts, parsed
from taskward.formats.vikunja.members import is_whole, number_of
from taskward.kit.limits import LimitReached
from taskward.lists.limits import LISTS
from taskward.transfer.records import Reading, Thing, UnreadableExport, quoted

_BRIEF = "related_tasks"
_DEEPEST = 100
# Of spaces; what they hold had these names, one after the other.
_OF_SPACES = {"projects", "lists"}
_NESTED = _OF_SPACES | {"child_projects"}
_STREAMED: dict[str, Thing] = {"tasks": "task", "positions": "position", "task_buckets": "bucket"}
_MOST_OTHERS = 100
"""Spaces, favorites and saved filters, which are no lists."""
_MOST_MEMBERS = 100
_EVERY = 50
"""Members and elements after which others may have their turn."""
# By which kind of view tasks are ordered, if there are several.
_VIEWS = ("list", "table", "gantt", "kanban")


@dataclass(slots=True, eq=False)
class Project:
    """A project, or a space.

    Attributes:
        outer: The one that it is written in.
        members: What it has besides projects, tasks and their places.
        positions: Of each view the ids of tasks, and the position of each.
        buckets: The ids of tasks' buckets, by the tasks' ids.
        tasks: How many it has, or None where it has no array for them.
    """

    number: int
    outer: Project | None
    members: dict[str, Any] = field(default_factory=dict)
    positions: dict[int, tuple[array[int], array[float]]] = field(default_factory=dict)
    buckets: dict[int, int] = field(default_factory=dict)
    tasks: int | None = None
    is_space: bool = False
    _order: dict[int, float] | None = None
    _titles: dict[int, str] | None = None

    @property
    def is_one(self) -> bool:
        return self.tasks is not None or self.is_space or isinstance(self.members.get("title"), str)

    @property
    def is_list(self) -> bool:
        """Whether it is to be a list; favorites and saved filters are not, nor are spaces."""
        identifier = self.members.get("id")
        is_pseudo = is_whole(identifier) and identifier < 0
        return bool(self.tasks) or (self.is_one and not self.is_space and not is_pseudo)

    def place_of(self, task: int) -> float:
        """The position of a task in the view that shows the project as a list; 0 where it has none."""
        if self._order is None:
            raw = self.members.get("views")
            views = [one for one in raw if isinstance(one, dict)] if isinstance(raw, list) else []
            kinds = {one.get("id"): one.get("view_kind") for one in views if is_whole(one.get("id"))}
            ranks = {kind: rank for rank, kind in enumerate(_VIEWS)}
            ids = sorted(self.positions, key=lambda view: (_rank(ranks, kinds.get(view)), view))
            self._order = dict(zip(*self.positions[ids[0]], strict=True)) if ids else {}
            self.positions.clear()
        return self._order.get(task, 0.0)

    def title_of(self, bucket: int) -> str | None:
        """How a bucket is called."""
        if self._titles is None:
            raw = self.members.get("buckets")
            buckets = [one for one in raw if isinstance(one, dict)] if isinstance(raw, list) else []
            self._titles = {
                one["id"]: one["title"]
                for one in buckets
                if is_whole(one.get("id")) and isinstance(one.get("title"), str)
            }
        return self._titles.get(bucket)


def _rank(ranks: dict[str, int], kind: object) -> int:
    return ranks.get(kind, len(ranks)) if isinstance(kind, str) else len(ranks)


class ProjectReader:
    """Reads projects.

    Args:
        on_task: What is done with the JSON of a task; whether there was more of it than is kept.

    Attributes:
        projects: Those that were read, in the order in which they begin.
    """

    def __init__(self, reading: Reading, on_task: Callable[[dict[str, Any], Project, bool], Steps]) -> None:
        self.projects: list[Project] = []
        self._reading = reading
        self._on_task = on_task
        # What is open, the outermost first: arrays by their names, and projects; each with whether nothing of it was
        # read yet.
        self._open: list[str | Project] = []
        self._is_first: list[bool] = []

    def read(self, file: IO[bytes]) -> Steps:
        """Read a file.

        Raises:
            UnreadableExport: It has no projects.
        """
        text = JsonText(file)
        if text.peek() == b"":
            raise UnreadableExport("The file is empty.")
        if not text.take(b"["):
            # What is not JSON shall be called so.
            parsed((yield from text.value()))
            raise UnreadableExport("The JSON is not an array of projects, as the data.json of an export is.")
        self._begin("projects")
        steps = 0
        while self._open:
            steps += 1
            if steps % _EVERY == 0:
                yield
            within = self._open[-1]
            is_first, self._is_first[-1] = self._is_first[-1], False
            if not text.next_of(b"}" if isinstance(within, Project) else b"]", is_first=is_first):
                self._open.pop()
                self._is_first.pop()
            elif isinstance(within, Project):
                yield from self._member(text, within)
            else:
                yield from self._element(text, within)
        if text.peek():
            raise UnreadableExport("There is more in the file after the JSON of an export.")
        if (self.projects or self._reading.losses) and not any(one.is_one for one in self.projects):
            raise UnreadableExport("The JSON has no project with a title or tasks, as the data.json of an export does.")

    def _begin(self, one: str | Project) -> None:
        if len(self._open) > _DEEPEST:
            raise UnreadableExport("The file is nested too deeply to be such an export.")
        self._open.append(one)
        self._is_first.append(True)

    def _member(self, text: JsonText, project: Project) -> Steps:
        """Read a member of a project, or begin to, where it is one of the arrays."""
        name = yield from name_in(text)
        if name in _NESTED | _STREAMED.keys() and text.take(b"["):
            if name == "tasks":
                project.tasks = project.tasks or 0
            project.is_space |= name in _OF_SPACES
            self._begin(name)
            return
        value, is_cut = yield from parse_in_parts((yield from text.value()), "")
        if name in _NESTED | _STREAMED.keys():
            if value is not None:
                detail = f"The member {quoted(name)} of a project is of an unknown type and was left out."
                self._reading.lose_once(_STREAMED.get(name, "list"), detail)
        elif is_cut or (len(project.members) >= _MOST_MEMBERS and name not in project.members):
            self._reading.lose_once("member", "Of a project there is more than can be read, and some was left out.")
        else:
            project.members[name] = value

    def _element(self, text: JsonText, array: str) -> Steps:
        """Read an element of an array, or begin to, where it is a project."""
        outer = next((one for one in reversed(self._open) if isinstance(one, Project)), None)
        if array in _NESTED and text.take(b"{"):
            most = self._reading.limits[LISTS]
            if len(self.projects) >= most + _MOST_OTHERS:
                raise LimitReached(LISTS, most)
            self.projects.append(Project(len(self.projects), outer))
            self._begin(self.projects[-1])
            return
        element, is_cut = yield from parse_in_parts((yield from text.value()), _BRIEF)
        if array in _NESTED or outer is None:
            self._reading.lose_once("list", "An element of the array is no project.")
        elif not isinstance(element, dict):
            self._reading.lose_once(_STREAMED[array], f"Elements of the array {quoted(array)} are no objects.")
        elif array == "tasks":
            outer.tasks = (outer.tasks or 0) + 1
            yield from self._on_task(element, outer, is_cut)
        else:
            self._place(element, array, outer)
        yield

    def _place(self, raw: dict[str, Any], kind: str, project: Project) -> None:
        # Until they were given names of their own, some members had those of Go.
        named = {name.replace("_", "").lower(): value for name, value in raw.items()}
        task, view, bucket = named.get("taskid"), named.get("projectviewid"), named.get("bucketid")
        if kind == "positions" and is_whole(task) and is_whole(view):
            tasks, positions = project.positions.setdefault(view, (array("q"), array("d")))
            tasks.append(task)
            positions.append(number_of(named.get("position")))
        elif kind == "task_buckets" and is_whole(task) and is_whole(bucket):
            project.buckets[task] = bucket
        else:
            self._reading.lose_once(_STREAMED[kind], f"Elements of the array {quoted(kind)} name no task.")

"""What the readers of other apps' exports share: records in the API's form and within its bounds, and what was lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from taskward.kit.limits import Limit, LimitReached, Limits
from taskward.kit.types import LONGEST_LINE
from taskward.tasks.metadata import LARGEST_METADATA
from taskward.tasks.tree import DEEPEST_TREE, Tree
from taskward.tasks.types import LONGEST_DESCRIPTION, LONGEST_TAG, MOST_TAGS
from taskward.transfer.record_file import Records

LONGEST_ITEM = 80
MOST_LOSSES = 1000
"""How many losses are named."""
LONGEST_KEPT = 1000
"""Characters that a text in metadata may have."""
_MOST_ONCE = 200
# Numbers may be written a little longer than they are measured.
_SPARE = 64
# JSON can spell half of a surrogate pair, which UTF-8 cannot.
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

Thing = Literal[
    "archived",
    "assignee",
    "attachment",
    "author",
    "bucket",
    "color",
    "column",
    "comment",
    "completed",
    "date",
    "deadline",
    "depth",
    "description",
    "duration",
    "end",
    "favorite",
    "file",
    "filter",
    "identity",
    "indent",
    "list",
    "member",
    "number",
    "position",
    "priority",
    "progress",
    "reaction",
    "recurrence",
    "relation",
    "reminder",
    "row",
    "section",
    "start",
    "subscription",
    "tag",
    "task",
    "time",
    "time_zone",
    "title",
    "uncompletable",
    "view",
]
"""What there may be in a file of another service."""
Fate = Literal["kept", "metadata", "lost"]
"""What becomes of it: it has a place of its own, or one in the metadata of its task, or none."""


class UnreadableExport(ValueError):
    """The file is not such an export; the message is one sentence that says what is missing."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that was not carried over as it was.

    Attributes:
        line: The line of a CSV file on which the row begins, from 1; None where there are no lines.
        item: The title of the task or list, shortened; empty where it is the whole file.
        what: Its kind.
        detail: One sentence.
    """

    line: int | None
    item: str
    what: Thing
    detail: str


@dataclass(slots=True)
class Reading:
    """What an export holds: records in the API's form, parents before their children, and what became of the rest.

    Attributes:
        tasks: Not in memory, since there may be many.
        losses: The first of them, each named.
        counts: How many things there were, by kind and fate.
        content: What tells it from others, where that is not the file as a whole.
    """

    lists: list[dict[str, Any]] = field(default_factory=list)
    tasks: Records = field(default_factory=Records)
    losses: list[Loss] = field(default_factory=list)
    losses_left_out: int = 0
    counts: Counter[tuple[Thing, Fate]] = field(default_factory=Counter)
    limits: Limits = field(default_factory=Limits)
    content: bytes | None = None
    _counts: Counter[str] = field(default_factory=Counter)
    _once: set[tuple[Thing, str]] = field(default_factory=set)

    def lose(self, what: Thing, detail: str, *, line: int | None = None, item: str = "", count: int = 1) -> None:
        """Put down that things are lost."""
        self.counts[what, "lost"] += count
        if len(self.losses) < MOST_LOSSES:
            self.losses.append(Loss(line, shortened(item, LONGEST_ITEM), what, detail))
        else:
            self.losses_left_out += 1

    def lose_once(self, what: Thing, detail: str, count: int = 1) -> None:
        """Put down that things are lost of which nearly every task has one: they are named once for the file."""
        if (what, detail) in self._once:
            self.counts[what, "lost"] += count
        elif len(self._once) < _MOST_ONCE:
            self._once.add((what, detail))
            self.lose(what, detail, count=count)
        else:
            self.counts[what, "lost"] += count
            self.losses_left_out += 1

    def check(self) -> None:
        """Check that there is something to import.

        Raises:
            UnreadableExport: Of all tasks none was read, or there is nothing at all.
        """
        lost = self.counts["task", "lost"]
        if not self.tasks and lost:
            raise UnreadableExport(f"Of the {lost} tasks of the file none can be read, so nothing was imported.")
        if not self.tasks and not self.lists:
            raise UnreadableExport("The file has neither projects nor tasks, so nothing was imported.")

    def count(self, limit: Limit) -> None:
        """Count a list or a task that is about to be read: a file of more than anybody may have is not read to its end.

        Raises:
            LimitReached: There are more.
        """
        self._counts[limit.name] += 1
        most = self.limits[limit]
        if self._counts[limit.name] > most:
            raise LimitReached(limit, most)


class Subject:
    """The task or list that is being read. Losses are reported under its title.

    Attributes:
        title: Its title within the API's bounds.
        overflow: The whole title where it had to be cut, else empty.
    """

    def __init__(self, reading: Reading, text: str, line: int | None = None) -> None:
        whole = one_line(text)
        self.reading = reading
        self.line = line
        self.title = whole[:LONGEST_LINE].rstrip() or "Untitled"
        self.overflow = whole if len(whole) > LONGEST_LINE else ""
        if not whole:
            self.lose("title", "It has no title and is called Untitled.")
        elif whole != text.strip():
            self.lose("title", "Line breaks and other characters that a title cannot have were replaced.")

    def lose(self, what: Thing, detail: str, count: int = 1) -> None:
        self.reading.lose(what, detail, line=self.line, item=self.title, count=count)

    def keep(self, what: Thing, count: int = 1) -> None:
        """Count what has a place of its own."""
        self.reading.counts[what, "kept"] += count


class Extras:
    """What a task cannot have and its metadata can, under the name of the service.

    Args:
        service: That name.
        before: The record, where some was kept already.
    """

    def __init__(self, subject: Subject, service: str, before: Mapping[str, Any] | None = None) -> None:
        self._subject = subject
        self._service = service
        self._members: dict[str, Any] = (before or {}).get("metadata", {}).get(service, {})
        # Braces, the service's name and its colon; then each member with a comma.
        self._size = len(orjson.dumps({service: {}})) + _SPARE
        self._size += sum(len(orjson.dumps({name: value})) for name, value in self._members.items())

    def keep(self, what: Thing, name: str, value: Any, count: int = 1) -> None:
        """Keep a value of JSON that is none of the file's own unbounded ones; one that has no room is lost."""
        size = len(orjson.dumps({name: value}))
        if self._size + size > LARGEST_METADATA:
            self._subject.lose(what, f"The metadata have no room for its {name}.", count)
            return
        self._size += size
        self._members[name] = value
        self._subject.reading.counts[what, "metadata"] += count

    def members(self) -> dict[str, Any]:
        """The member `metadata` of the task, if there is one."""
        return {"metadata": {self._service: self._members}} if self._members else {}


def append_comment(subject: Subject, before: str, heading: str, text: str) -> str:
    """A description with a comment below it, if there is room.

    Args:
        before: The description.
        heading: Who wrote the comment, and when; may be empty.
    """
    comment = plain(f"{heading}\n{text}" if heading else text)
    if (len(before) + 2 if before else 0) + len(comment) > LONGEST_DESCRIPTION:
        subject.lose("comment", f"The description has no room for the comment {quoted(text)}.")
        return before
    subject.keep("comment")
    return f"{before}\n\n{comment}" if before else comment


class Nesting:
    """Where tasks hang, so that none is deeper than the API allows. They come with those below them one after another,
    so that only those above the last one are remembered.
    """

    def __init__(self) -> None:
        self._tree: Tree[str] = Tree()
        # Those above the last one, and it, as the file has them.
        self._way: list[str] = []

    def place(self, key: str, parent: str | None, subject: Subject) -> dict[str, str]:
        """The member `parent`, if there is one, of a task whose parent was placed before."""
        while self._way and self._way[-1] != parent:
            self._tree.remove(self._way.pop())
        if parent is not None and self._tree.depth(parent) == DEEPEST_TREE:
            parent = self._tree.parent(parent)
            sentence = f"It was deeper than {DEEPEST_TREE} levels and hangs on the last that may have subtasks."
            subject.lose("depth", sentence)
        self._tree.put(key, parent)
        self._way.append(key)
        return {} if parent is None else {"parent": parent}


def one_line(text: str) -> str:
    """The text without characters that titles and tags cannot have."""
    return _SURROGATE.sub("\ufffd", _CONTROLS.sub(" ", text)).strip()


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def plain(text: str) -> str:
    """The text without characters that descriptions and metadata cannot have."""
    return _SURROGATE.sub("\ufffd", text.replace("\0", "\ufffd"))


def kept_text(text: str) -> str:
    """A text as metadata keep it."""
    return plain(text)[:LONGEST_KEPT]


def quoted(text: str) -> str:
    """A value of the file as a sentence can have it."""
    return f"“{shortened(one_line(text), LONGEST_ITEM)}”"


def description_of(subject: Subject, text: str) -> str:
    """The description within the API's bounds, after the whole title where that had to be cut."""
    clean = plain(text)
    if clean != text:
        subject.lose("description", "Characters that a description cannot have were replaced.")
    if not clean.strip():
        clean = ""
    if subject.overflow:
        clean = f"{subject.overflow}\n\n{clean}" if clean else subject.overflow
        subject.lose("title", f"It was cut at {LONGEST_LINE} characters; the description begins with the whole title.")
    if len(clean) > LONGEST_DESCRIPTION:
        subject.lose("description", f"It was cut at {LONGEST_DESCRIPTION} characters.")
    return clean[:LONGEST_DESCRIPTION]


def tags_of(subject: Subject, names: Iterable[str]) -> list[str]:
    """The tags within the API's bounds, each once."""
    tags: dict[str, None] = {}
    changed = False
    for name in names:
        tag = one_line(name)[:LONGEST_TAG].rstrip()
        changed |= tag != name
        if tag:
            tags[tag] = None
    if changed:
        subject.lose("tag", f"Tags were brought to 1 to {LONGEST_TAG} characters on one line.")
    if len(tags) > MOST_TAGS:
        left_out = ", ".join(list(tags)[MOST_TAGS:])
        subject.lose("tag", f"More than {MOST_TAGS} tags; without {quoted(left_out)}.")
    return list(tags)[:MOST_TAGS]


def instant(moment: datetime) -> str:
    """The moment in UTC as RFC 3339 has it.

    Raises:
        OverflowError: In UTC it lies outside of the calendar.
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

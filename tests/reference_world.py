"""Requests, users, and what the oracle remembers of each: rows, and in which change each came to be as it is.

Nobody is told the moment and the versions of a change that is answered with 204, nor those of the other rows that a
request has changed. So a row remembers the number of its change. All times that a row has of one change are the same
moment, moments and versions rise from change to change and within one in the order of ids, and each is given once: that
is checked as soon as one is seen.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from typing import Any

import httpx2

from tests.reference_request import Ask, Route
from tests.serving import make_token

_COMMON = {401: "invalid-token", 405: "method-not-allowed", 412: "precondition-failed", 422: "invalid"}
_PROBLEMS = {
    "tasks": {403: "forbidden", 404: "task-not-found", 409: "task-id-taken"},
    "lists": {403: "list-forbidden", 404: "list-not-found", 409: "list-id-taken"},
    "tags": {404: "tag-not-found"},
}
LONG_AGO, SAID = -1, "2021-02-03T04:05:06.000000Z"
"""A change before all others, in which a task was done whose client says so, and its time."""
_TIMES = ("created_at", "updated_at", "completed_at", "deleted_at")

Seen = tuple[Route, int | str]
When = tuple[int, str]
Row = dict[str, Any]
"""What clients read of a task or a list, but with the number of a change in place of a time, and None for a version
that nobody was told; and what only the oracle knows, under names that begin with `_`: `_at`, the last change, and of a
task `_next`, what followed it in its series, `_made`, all that was made with that, `_moved`, what it was a part of
before a next one took it over, and `_root`, with which it went to the trash.
"""


def new_marker() -> str:
    return f"canary-{secrets.token_hex(6)}"


def markers(answer: httpx2.Response) -> set[str]:
    """Whose data an answer has in it, headers included."""
    return set(re.findall(r"canary-[0-9a-f]{12}", f"{answer.text}{answer.headers}"))


class Shelf(dict[str, Row]):
    """The rows of one kind that a user has, in any state, by id.

    Attributes:
        ever: The ids of all that there ever were.
        kept: Those that their owner never erases.
    """

    def __init__(self) -> None:
        self.ever: list[str] = []
        self.kept: set[str] = set()

    def add(self, row: Row) -> None:
        assert row["id"] not in self
        self[row["id"]] = row
        self.ever.append(row["id"])

    def __delitem__(self, row_id: str) -> None:
        super().__delitem__(row_id)
        for row in self.values():
            if row.get("_next") == row_id:
                row["_next"] = None

    def rename(self, row_id: str, told: str) -> None:
        """Give a row the id that was told of it."""
        row = self.pop(row_id)
        row["id"] = told
        self.ever.remove(row_id)
        self.add(row)
        for other in self.values():
            if other["parent_id"] == row_id:
                other["parent_id"] = told
            if row_id in other["_made"]:
                other["_made"] = [told if one == row_id else one for one in other["_made"]]

    @property
    def erased(self) -> list[str]:
        return [row_id for row_id in self.ever if row_id not in self]


class World:
    """All users, and what they know of each other's: cursors, and the tags that listings had.

    Attributes:
        cursors: By cursor, the filters that it was made for, where it goes on, and who alone can tell what comes there.
        tags: By tag, whose listing it was and which.
        words: By what is named, in which words it is told that there is no such thing for the one who asks.
        seen: What came about, by route: each status, and some more that must not have been missed.
    """

    def __init__(self) -> None:
        self.users: list[User] = []
        self.cursors: dict[str, tuple[dict[str, Any], Any, str]] = {}
        self.tags: dict[str, tuple[Any, ...]] = {}
        self.words: dict[tuple[str, str], Any] = {}
        self.seen: Counter[Seen] = Counter()

    def add(self, *, at_once: bool = False) -> User:
        user = User(self, at_once=at_once)
        self.users.append(user)
        return user

    def others(self, user: User) -> list[User]:
        return [other for other in self.users if other is not user]


class User:
    """A user, and what is theirs.

    Args:
        world: Where the others are.
        at_once: Whether the others act meanwhile. Then an outcome is certain only for an id that its owner never
            erases, which those kept are, and for one that nobody ever had.

    Attributes:
        changes: How many requests have changed anything.
        moments: By change and row, its time as clients read it, where it was seen.
        versions: By version, its change and row, where it was seen.
        tags: By all that a collection's tag stands for, the tag.
        untold: Rows with an id, or in a series with an id, that no answer has told yet.
    """

    def __init__(self, world: World, *, at_once: bool = False) -> None:
        self.marker = new_marker()
        self.id = f"user {self.marker}"
        self.token = make_token(self.id)
        self.tasks = Shelf()
        self.lists = Shelf()
        self.changes = 0
        self.untold: list[Row] = []
        self.moments: dict[When, str] = {}
        self.versions: dict[int, When] = {}
        self.tags: dict[tuple[Any, ...], str] = {}
        self.world = world
        self._at_once = at_once

    def shelf(self, ask: Ask) -> Shelf:
        return self.lists if ask.resource == "lists" else self.tasks

    def note(self, ask: Ask, what: str) -> None:
        """Count something that must not have been missed."""
        self.world.seen[ask.route, what] += 1

    def change(self, *rows: Row) -> int:
        """Begin a change, of these rows.

        Returns:
            Its number.
        """
        self.changes += 1
        self.touch(*rows)
        return self.changes

    def touch(self, *rows: Row) -> None:
        """Note that rows belong to the change at hand as well."""
        for row in rows:
            row.update(version=None, updated_at=self.changes, _at=self.changes)

    def new(self, members: Row) -> Row:
        """A row that is made in the change at hand; it stands where it was made."""
        made = {"user_id": self.id, "position": members["id"], "created_at": self.changes, **members}
        self.touch(made)
        return made

    def as_read(self, row: Row) -> Row:
        """What clients have read of a row; without what nobody was told."""
        known = {name: value for name, value in row.items() if not name.startswith("_")}
        times = {name: self.moments.get((row[name], row["id"])) for name in _TIMES if row.get(name) is not None}
        return {name: value for name, value in {**known, **times}.items() if isinstance(value, _JSON)}

    def problem(self, ask: Ask, answer: httpx2.Response, *statuses: int, slug: str = "") -> None:
        """Hold an answer against the problem that it must be."""
        status = answer.status_code
        assert status in statuses, (ask, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "etag" not in answer.headers
        if ask.method == "HEAD":
            return
        problem = answer.json()
        assert problem["status"] == status
        if ask.good_token:
            slug = slug or {**_COMMON, **_PROBLEMS.get(ask.resource, {})}[status]
            assert problem["type"] == f"/problems/{slug}"
        assert problem.keys() - {"version", "errors"} == {
            "type", "title", "status", "detail", "instance", "request_id"
        }  # fmt: skip
        assert ("version" in problem, "errors" in problem) == (status == 412, status == 422)
        if ask.fault == 422 and ask.pointer:
            assert any(error["pointer"].startswith(ask.pointer) for error in problem["errors"]), (ask, problem)

    def invalid(self, ask: Ask, answer: httpx2.Response, *pointers: str) -> None:
        """Hold an answer against a 422 of the state, which names these members."""
        self.problem(ask, answer, 422)
        assert [error["pointer"] for error in answer.json()["errors"]] == list(pointers), (ask, answer.text)
        self.note(ask, " ".join(pointers))

    def unknown(self, ask: Ask, answer: httpx2.Response, pointer: str) -> None:
        """Hold an answer against a 422 of what is not there for this user, which says the same whatever there is."""
        self.invalid(ask, answer, pointer)
        words = answer.json()["detail"], answer.json()["errors"]
        assert self.world.words.setdefault((ask.resource, pointer), words) == words

    def find(self, ask: Ask, answer: httpx2.Response, *, trashed: bool = False) -> Row | None:
        """What is asked for; None where the answer must be, and is, that there is none to be had."""
        row_id = ask.target.lower()
        row = self.shelf(ask).get(row_id)
        if row is None:
            self.problem(ask, answer, *self._of_nobody_or_others(ask, row_id))
        elif row.get("deleted_at") is not None and not trashed:
            self.problem(ask, answer, 404)
        elif not self._allows(ask.headers.get("If-Match", "*"), row["version"]):
            self.problem(ask, answer, 412)
            assert answer.json()["version"] == self.version(row, answer.json()["version"])
        else:
            return row
        return None

    def _of_nobody_or_others(self, ask: Ask, row_id: str) -> set[int]:
        shelves = [other.shelf(ask) for other in self.world.others(self)]
        if not self._at_once:
            return {403} if any(row_id in shelf for shelf in shelves) else {404}
        if any(row_id in shelf.kept for shelf in shelves):
            return {403}
        return {403, 404} if any(row_id in shelf.ever for shelf in shelves) else {404}

    def _allows(self, if_match: str, version: int | None) -> bool:
        named = {int(number) for number in re.findall(r'"(\d+)(?:-gzip)?"', if_match)}
        # Where the version is not known, those named are known to be of other changes.
        assert version is not None or named <= self.versions.keys()
        return if_match == "*" or version in named

    def version(self, row: Row, found: int) -> int:
        """The version that a row must have where this one was found."""
        if row["version"] is None:
            assert found not in self.versions
            at = row["_at"], row["id"]
            assert all((other < found) == (earlier < at) for other, earlier in self.versions.items())
            self.versions[found] = at
            row["version"] = found
        return int(row["version"])

    def moment(self, change: int, row: Row, found: str) -> str:
        """The time that a row must have of a change where this one was found."""
        if change == LONG_AGO:
            return SAID
        when = change, row["id"]
        if when not in self.moments:
            assert all((other < found) == (earlier < when) for earlier, other in self.moments.items())
            self.moments[when] = found
        return self.moments[when]

    def same(self, found: Row, row: Row) -> None:
        """Hold what a client reads against what it must be."""
        wanted = {name: value for name, value in row.items() if not name.startswith("_")}
        assert found.keys() == wanted.keys()
        for name in _TIMES:
            if wanted.get(name) is not None:
                assert found[name] is not None, (name, found)
                wanted[name] = self.moment(wanted[name], row, found[name])
        wanted["version"] = self.version(row, found["version"])
        assert found == wanted

    def entity(self, answer: httpx2.Response, row: Row, *, status: int = 200) -> None:
        """Hold an answer against a row that it must be."""
        assert answer.status_code == status, answer.text
        self.same(answer.json(), row)
        assert answer.headers["etag"] == f'"{row["version"]}"'

    def read(self, ask: Ask, answer: httpx2.Response) -> None:
        """Hold an answer against one of this user's rows, or against that there is none."""
        # Reads have no precondition that could fail.
        row = self.find(Ask(ask.method, ask.path, ask.target), answer)
        if row is None:
            return
        tag = answer.headers["etag"]
        assert tag == f'"{self.version(row, int(tag.strip(chr(34))))}"'
        if ask.headers.get("If-None-Match") in {"*", tag, f"W/{tag}"}:
            nothing_new(answer)
        elif ask.method != "HEAD":
            self.entity(answer, row)
        else:
            assert answer.status_code == 200

    def collection(self, ask: Ask, answer: httpx2.Response, *which: Any) -> bool:
        """Hold a collection's tag against all others: it stays while nothing of this user's changes, and is no other's.

        Returns:
            Whether there is an answer beyond the tag, since the client does not have it.
        """
        key = (self.id, self.changes, ask.path, *which)
        tag = answer.headers["etag"]
        assert self.tags.setdefault(key, tag) == tag
        assert self.world.tags.setdefault(tag, key) == key
        if ask.headers.get("If-None-Match") in {"*", tag}:
            nothing_new(answer)
            return False
        assert answer.status_code == 200, answer.text
        return ask.method != "HEAD"


_JSON = (str, int, bool, list, dict, type(None))


def nothing_new(answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.content) == (304, b"")

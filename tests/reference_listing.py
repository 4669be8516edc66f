"""Which tasks a listing must show, and in which order: filters, sorts, pages and tags."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import httpx2

from tests import task_values
from tests.reference_request import TASKS, Ask
from tests.reference_world import LONG_AGO, Row, User

PRIORITIES = ("none", "low", "medium", "high", "urgent")
Shape = dict[str, Any]
# A listing by the time of day is not judged where something is due as near to now.
_TOO_NEAR = timedelta(minutes=2)
_TIMES = {"created_at", "updated_at", "completed_at"}
_BY_TIME = ("updated_since", "created_since", "completed_since", "completed_before")


class Down(str):
    """A text that comes before those that are less."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)

    def __gt__(self, other: str) -> bool:
        return str.__lt__(self, other)


def _words(text: str | None) -> list[str]:
    """The words of a text without differences of case and accents."""
    letters = unicodedata.normalize("NFKD", text or "").casefold()
    plain = (letter for letter in letters if not unicodedata.combining(letter))
    return "".join(letter if letter.isalnum() else " " for letter in plain).split()


def _has(task: Row, wanted: str) -> bool:
    """Whether a task has these words one after the other; `*` at the end: or words that the last one begins."""
    texts = (f" {' '.join(_words(task[name]))} " for name in ("title", "description"))
    pattern = f" {wanted[:-1]}" if wanted.endswith("*") else f" {wanted} "
    return any(pattern in text for text in texts)


QUERIES: dict[str, Callable[[Row], bool]] = {
    "": lambda _: True,
    "PLÁN": lambda task: _has(task, "plan*"),
    "pla": lambda task: _has(task, "pla*"),
    "pla of": lambda task: _has(task, "pla") and _has(task, "of*"),
    "of idea": lambda task: _has(task, "of") and _has(task, "idea*"),
    '"idea of"': lambda task: _has(task, "idea of"),
    '"of idea"': lambda task: _has(task, "of idea"),
    "of -about": lambda task: _has(task, "of") and not _has(task, "about"),
    "idea or ω": lambda task: _has(task, "idea") or _has(task, "ω*"),
}


def due(task: Row, zone: str) -> datetime | None:
    """When a task is due; a day counts as its end."""
    if task["due_at"] is not None:
        return datetime.fromisoformat(task["due_at"])
    return None if task["due_date"] is None else _end_of_day(date.fromisoformat(task["due_date"]), zone)


def _end_of_day(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(23, 59, 59, 999999), ZoneInfo(zone)).astimezone(UTC)


def _due_before(_: User, task: Row, value: str, shape: Shape) -> bool:
    moment, zone = due(task, shape["tz"]), shape["tz"]
    start = (
        datetime.fromisoformat(value) if "T" in value else datetime.fromisoformat(value).replace(tzinfo=ZoneInfo(zone))
    )
    return moment is not None and moment < start


def _due_after(_: User, task: Row, value: str, shape: Shape) -> bool:
    moment, zone = due(task, shape["tz"]), shape["tz"]
    end = datetime.fromisoformat(value) if "T" in value else _end_of_day(date.fromisoformat(value), zone)
    return moment is not None and moment > end


def _due_on(_: User, task: Row, value: str, shape: Shape) -> bool:
    zone = ZoneInfo(shape["tz"])
    day = datetime.fromisoformat(value).astimezone(zone).date() if "T" in value else date.fromisoformat(value)
    moment = due(task, shape["tz"])
    return moment is not None and moment.astimezone(zone).date() == day


def _has_all(tags: list[str], wanted: tuple[str, ...]) -> bool:
    return all(not tags if tag == "none" else tag in tags for tag in wanted)


def _is_overdue(task: Row, zone: str) -> bool:
    moment = due(task, zone)
    return not task["completed"] and moment is not None and moment < datetime.now(UTC)


def _since(member: str) -> Callable[[User, Row, str, Shape], bool]:
    def holds(user: User, task: Row, value: str, _: Shape) -> bool:
        # Moments rise with changes, so one that nobody was told can be compared as well.
        known = [when for when, moment in user.moments.items() if moment == value]
        if task[member] is None:
            return False
        return (task[member], task["id"]) >= known[0] if known else value < "2026"

    return holds


def _reference(member: str) -> Callable[[User, Row, str, Shape], bool]:
    return lambda _, task, value, __: value == ("none" if task[member] is None else str(task[member]))


FILTERS: dict[str, tuple[Any, Callable[[User, Row, Any, Shape], bool]]] = {
    # By one of which nobody knows more, the member of its name has the value.
    **{name: (None, _reference(name)) for name, values in task_values.FILTERS.items() if values.good},
    "completed": (None, lambda _, task, value, __: task["completed"] == (value == "true")),
    "priority": (None, lambda _, task, value, __: task["priority"] in value.split(",")),
    "tag": ((), lambda _, task, value, __: _has_all(task["tags"], value)),
    "tag_any": ((), lambda _, task, value, __: not value or not set(value).isdisjoint(task["tags"])),
    "series": (None, lambda _, task, value, __: task["series_id"] == value),
    "due": (None, lambda _, task, __, shape: due(task, shape["tz"]) is None),
    "due_on": (None, _due_on),
    "list_id": (None, _reference("list_id")),
    "parent_id": (None, _reference("parent_id")),
    "due_before": (None, _due_before),
    "due_after": (None, _due_after),
    "updated_since": (None, _since("updated_at")),
    "created_since": (None, _since("created_at")),
    "completed_since": (None, _since("completed_at")),
    "completed_before": (None, lambda *asked: asked[1]["completed"] and not _since("completed_at")(*asked)),
    "overdue": (None, lambda _, task, value, shape: _is_overdue(task, shape["tz"]) == (value == "true")),
    "tz": ("UTC", lambda *_: True),
    "q": (None, lambda _, task, value, __: QUERIES[value](task)),
    "deleted": ("false", lambda _, task, value, __: (task["deleted_at"] is not None) == (value == "true")),
    "sort": ("-id", lambda *_: True),
}
"""By parameter: what it is where it is left out, None for no matter what; and whether a task has a value of it."""

SORTS: dict[str, Callable[[Row, str], Any]] = {
    "id": lambda task, _: task["id"],
    **{name: lambda task, _, name=name: _when(task, name) for name in sorted(_TIMES)},  # type: ignore[misc]
    "due": lambda task, zone: (moment := due(task, zone)) and moment.timestamp(),
    "priority": lambda task, _: PRIORITIES.index(task["priority"]),
    "title": lambda task, _: f" {' '.join(_words(task['title']))} ",
    "position": lambda task, _: task["position"],
}


def _when(task: Row, name: str) -> str | None:
    """What orders times: the change, and the row in it."""
    if task[name] is None:
        return None
    # What a client has said is one moment, whichever task it is of.
    return f"{task[name]:09} {'' if task[name] == LONG_AGO else task['id']}"


def key(task: Row, shape: Shape) -> tuple[Any, ...]:
    """What a listing goes by, so that the least comes first: what a task does not have comes last either way."""
    keys: list[Any] = []
    for part in [*shape["sort"].split(","), "id"]:
        value = SORTS[part.removeprefix("-")](task, shape["tz"])
        if part.startswith("-") and value is not None:
            value = Down(value) if isinstance(value, str) else -value
        keys.append((value is None, value if value is not None else 0))
    return tuple(keys)


def shape_of(params: dict[str, Any]) -> Shape:
    shape = {name: params.get(name, left_out) for name, (left_out, _) in FILTERS.items()}
    several = {name: (one,) if isinstance(one := shape[name], str) else tuple(one) for name in ("tag", "tag_any")}
    return {**shape, **several}


def can_tell(user: User, cursor: str) -> bool:
    """Whether it is certain what a user is shown after a cursor: only its owner's moments are known."""
    return user.world.cursors[cursor][2] in {"", user.id}


def listing(user: User, ask: Ask, answer: httpx2.Response) -> None:
    shape = shape_of(ask.params)
    cursor = ask.params.get("cursor")
    made_for, after, _ = user.world.cursors[cursor] if cursor else (shape, None, "")
    if made_for != shape:
        user.problem(ask, answer, 422)
        return
    chosen = [
        task
        for task in user.tasks.values()
        if all(value is None or FILTERS[name][1](user, task, value, shape) for name, value in shape.items())
    ]
    ordered = sorted(chosen, key=lambda task: key(task, shape))
    rows = [task for task in ordered if after is None or key(task, shape) > after]
    limit = int(ask.params.get("limit", 50))
    if cursor and not rows and _is_gone(user, shape):
        user.invalid(ask, answer, "/cursor")
        return
    if shape["overdue"] is None:
        has_body = user.collection(ask, answer, tuple(shape.items()), limit, cursor)
        if answer.status_code == 304:
            return
    else:
        assert (answer.status_code, answer.headers.get("etag")) == (200, None)
        has_body = ask.method != "HEAD"
        moments = (due(task, shape["tz"]) for task in user.tasks.values())
        if any(moment and abs(moment - datetime.now(UTC)) < _TOO_NEAR for moment in moments):
            return
    assert answer.headers.get("x-total-count") == (str(len(chosen)) if ask.params.get("count") == "true" else None)
    if cursor and rows and after is not None:
        user.note(ask, "own page" if after[-1][1] in user.tasks.ever else "page of another")
    _page(user, ask, answer, rows, limit)
    if has_body:
        found = answer.json()
        assert [row["id"] for row in found] == [row["id"] for row in rows[:limit]], ask
        for row, task in zip(found, rows[:limit], strict=True):
            user.same(row, task)
        _note(user, ask, shape, len(found), len(user.tasks))


def _is_gone(user: User, shape: Shape) -> bool:
    """Whether a listing is of a list or a parent that the user does not have."""
    named = ((shape["list_id"], user.lists), (shape["parent_id"], user.tasks))
    return any(one not in {None, "none"} and one.lower() not in shelf for one, shelf in named)


def _page(user: User, ask: Ask, answer: httpx2.Response, rows: list[Row], limit: int) -> None:
    shape = shape_of(ask.params)
    assert ("link" in answer.headers) == (len(rows) > limit)
    if len(rows) > limit:
        link = answer.headers["link"]
        assert link.endswith('>; rel="next"')
        target = urlsplit(link[1 : link.index(">")])
        sent = httpx2.QueryParams({name: value for name, value in ask.params.items() if name != "cursor"})
        given = parse_qsl(target.query, keep_blank_values=True)
        assert (target.path, given[:-1]) == (TASKS, sent.multi_items())
        is_by_own = any(part.removeprefix("-") in {*_TIMES, "position"} for part in shape["sort"].split(","))
        owner = user.id if is_by_own or any(shape[name] for name in _BY_TIME) else ""
        known = (shape, key(rows[limit - 1], shape), owner)
        assert user.world.cursors.setdefault(dict(given)["cursor"], known) == known


def _note(user: User, ask: Ask, shape: Shape, shown: int, there: int) -> None:
    """Count which filters have shown something and left something out, and which orders there were."""
    if 0 < shown < there:
        for name, value in shape.items():
            if value != FILTERS[name][0]:
                user.note(ask, f"by {name}")
    if shown > 1:
        for part in shape["sort"].split(","):
            user.note(ask, f"sorted by {part}")

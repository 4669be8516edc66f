"""What members and parameters may be, and what may be asked for, made out of choices."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from uuid_utils.compat import uuid4, uuid7

from tests.reference_listing import QUERIES, SORTS
from tests.reference_request import BASE, LISTS, NO_IDS
from tests.reference_series import NEVER, RULES, SCHEDULE
from tests.reference_trees import UNTOLD, above, below, is_live
from tests.reference_world import SAID, Row, Shelf, User, World
from tests.task_values import FILTERS, MEMBERS


class Chooser:
    """Makes requests and what is in them out of choices.

    Args:
        choose: Takes one of some.
        world: Whose ids, cursors and tags there are.
        user: Who asks.
    """

    def __init__(self, choose: Callable[[Sequence[Any]], Any], world: World, user: User) -> None:
        self._choose = choose
        self.world = world
        self.user = user

    def one(self, *options: Any) -> Any:
        return self._choose(options)

    def mostly(self, usual: Any, *options: Any) -> Any:
        """The usual one, more often than not."""
        return self.one(*options) if self.one(False, False, True) else usual

    def _of(self, ids: Sequence[str]) -> str:
        # In a crowd, another user may be about to ask for the id of a row.
        told = [one for one in ids if not one.startswith(UNTOLD)]
        return str(self.one(*told) if told else uuid7())

    def task_id(self) -> str:
        """An id: of a task of one's own or of others, in any state, or of nothing at all."""
        me = self.user
        kind = self.one(
            "own", "own", "own", "own", "own", "own", "trash", "trash", "foreign", "foreign trash", "erased", "unknown",
            "other",
        )  # fmt: skip
        others = self.world.others(me)
        if kind in {"own", "trash"}:
            return self._of([i for i, t in me.tasks.items() if (t["deleted_at"] is None) == (kind == "own")])
        if kind in {"foreign", "foreign trash"}:
            live = kind == "foreign"
            return self._of([i for o in others for i, t in o.tasks.items() if (t["deleted_at"] is None) == live])
        return self._other_id(kind, [user.tasks for user in (me, *others)], me.lists)

    def list_id(self) -> str:
        """An id: of a list of one's own or of others, or of nothing at all."""
        kind = self.one("own", "own", "own", "own", "foreign", "erased", "unknown", "other")
        others = self.world.others(self.user)
        if kind == "own":
            return self._of([*self.user.lists])
        if kind == "foreign":
            return self._of([i for other in others for i in other.lists])
        return self._other_id(kind, [user.lists for user in (self.user, *others)], self.user.tasks)

    def _other_id(self, kind: str, shelves: list[Shelf], of_another_kind: Shelf) -> str:
        if kind == "erased":
            return self._of([row_id for shelf in shelves for row_id in shelf.erased])
        if kind == "unknown":
            return str(self.one(uuid7, uuid4)())
        return str(self.one(*NO_IDS, *(row_id.upper() for row_id in shelves[0]), *of_another_kind))

    def list_ref(self) -> str | None:
        """What a task may be said to be in."""
        kind = self.one("none", "own", "own", "own", "own", "other", "foreign")
        if kind == "none":
            return None
        if kind == "foreign":
            return self._of([i for other in self.world.others(self.user) for i in other.lists])
        own = [*self.user.lists]
        return self.uuid(self.list_id()) if kind == "other" or not own else str(self.one(*own, own[-1].upper()))

    def parent_ref(self) -> str | None:
        """What a task may be said to be a part of: the deepest one more often, so that trees grow."""
        kind = self.one("none", "own", "own", "deepest", "deepest", "deepest", "trash", "other", "foreign")
        live = [task_id for task_id in self.user.tasks if is_live(self.user, task_id)]
        if kind == "none":
            return None
        if kind == "foreign":
            return self._of([i for other in self.world.others(self.user) for i in other.tasks])
        if kind == "trash":
            return self._of([task_id for task_id in self.user.tasks if task_id not in live])
        if kind == "other" or not live:
            return self.uuid(self.task_id())
        return self.deepest() if kind == "deepest" else str(self.one(*live, live[-1].upper()))

    def deepest(self) -> str | None:
        """The live task that is a part of the most others."""
        live = [task_id for task_id in self.user.tasks if is_live(self.user, task_id)]
        return max(live, key=lambda task_id: (len([*above(self.user, task_id)]), task_id), default=None)

    def uuid(self, text: str) -> str:
        return str(uuid7()) if text in NO_IDS else text

    def if_match(self, shelf: Shelf, row_id: str) -> dict[str, str]:
        row_id = row_id.lower()
        others = [o.lists if shelf is self.user.lists else o.tasks for o in self.world.others(self.user)]
        version = shelf.get(row_id, {"version": 1})["version"]
        stale = max(self.user.versions, default=1)
        tags: list[str | None] = ["*", '"x"', f'W/"{stale}"']
        if version is None:
            # Nobody was told it, but it is none of those that were told.
            tags += [f'"{stale}"'] * bool(self.user.versions)
        else:
            foreign = [other[row_id]["version"] for other in others if row_id in other]
            tags += [f'"{version}"', f'"{version}"', f'"{version - 1}"', f'W/"{version}"', f'"{version + 1}"']
            tags += [f'"{(foreign or [7])[0] or 7}"', f'"{version + 1}", "{version}"']
        tag = self.mostly(None, *tags)
        return {} if tag is None else {"If-Match": tag}

    def if_none_match(self, *known: str) -> dict[str, str]:
        tag = self.one(None, None, None, "*", '"0"', *known)
        return {} if tag is None else {"If-None-Match": tag}

    def if_new(self, row: Row | None) -> dict[str, str]:
        """`If-None-Match` for what may be there."""
        version = (row or {"version": 1})["version"]
        return self.if_none_match(*(f'"{version}"', f'W/"{version}"', f'"{version + 1}"') if version else ())

    def if_changed(self) -> dict[str, str]:
        """`If-None-Match` for a collection."""
        return self.if_none_match(*[*self.user.tags.values()][-3:], *[*self.world.tags][-3:])

    def new_id(self, row_id: str) -> tuple[dict[str, str], int]:
        """A member `id` for what is new, and the status of its fault."""
        row_id = row_id.lower()
        return {"id": row_id}, 0 if re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7.*", row_id) else 422

    def target(self, path: str) -> str:
        """What may stand in a path for its parameter."""
        if path.startswith(f"{BASE}/tags"):
            return str(self.tag())
        return self.list_id() if path.startswith(LISTS) else self.task_id()

    def tag(self) -> str:
        kind = self.one("own", "own", "own", "known", "foreign", "none")
        users = [self.user] if kind == "own" else self.world.others(self.user)
        used = [tag for user in users for task in user.tasks.values() for tag in task["tags"]]
        if kind == "none" or (kind != "known" and not used):
            return str(self.one("nobody's", "x" * 51, "a\0b", "\n"))
        return str(self.one(*TAGS) if kind == "known" else self.one(*used))

    def title(self) -> str:
        return f"{self.one('Plan', 'Idea', 'Ω', 'Pla', ' idea')} of {self.user.marker}"

    def tags(self) -> list[str]:
        chosen = [self.one(*TAGS) for _ in range(self.one(0, 1, 2, 3))]
        # Around a tag there may be spaces, which do not make it another.
        wanted = [*{tag.strip(): tag for tag in chosen}.values()]
        return [*wanted, self.user.marker] if self.one(False, True) else wanted

    def members(self) -> dict[str, Any]:
        """Some members of a task, as they may be sent."""
        names = [name for name in VALUES if name not in SCHEDULE and self.one(False, False, True)]
        sent = {name: VALUES[name](self) for name in names}
        plan = self.one("", "", "due_date", "due_at", "none", "loose", "loose")
        if plan == "loose":
            sent |= {name: VALUES[name](self) for name in SCHEDULE if self.one(False, True)}
        elif plan == "none":
            sent |= dict.fromkeys(SCHEDULE) | {"recurs_from": "due"}
        elif plan:
            sent |= {"due_date": None, "due_at": None, plan: self.one(*_DUES[plan]), "time_zone": self.one(*ZONES)}
            sent |= {"recurrence": self.one(None, *RULES, *RULES), "recurs_from": self.one("due", "completion")}
        if not sent.get("completed") and sent.get("completed_at"):
            sent["completed_at"] = None
        return sent

    def of_own_tree(self, task_id: str) -> set[str]:
        """A task and all below it."""
        return {task_id, *(task["id"] for task in below(self.user, task_id))}

    def filters(self) -> dict[str, Any]:
        """Some filters of a listing."""
        names = [name for name in FILTERED if self.one(True, *[False] * (1 if name == "sort" else 7))]
        chosen = {name: None if name not in names else self.one(*options(self)) for name, options in FILTERED.items()}
        return {name: value for name, value in chosen.items() if value is not None}


def _one_of(values: Sequence[Any], of: Chooser) -> Any:
    return of.one(*values)


_NOW = datetime.now(UTC)
# Far from now, and so is what follows by any of the rules.
_DUES = {
    "due_date": ("2020-02-29", "2031-07-01", f"{_NOW + timedelta(days=40):%Y-%m-%d}"),
    "due_at": (
        f"{_NOW - timedelta(days=3, hours=-6):%Y-%m-%dT%H:%M:%SZ}",
        "2020-03-28T23:30:00+02:00",
        "2031-07-01T12:00:00.5Z",
    ),
}
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
TAGS = ("home", "Garden", " home", "ω b", "a/b", "50%", "x;y")
"""Tags that anybody may have; some need to be encoded in a path."""
PRIORITIES = ("none", "low", "medium", "high", "urgent")

_CHOSEN: dict[str, Callable[[Chooser], Any]] = {
    "title": Chooser.title,
    "description": lambda of: of.one(f"About {of.user.marker}", "About it", None),
    "completed": lambda of: of.one(True, False),
    "completed_at": lambda of: of.one(None, SAID),
    "priority": lambda of: of.one(*PRIORITIES),
    "due_date": lambda of: of.one(None, *_DUES["due_date"]),
    "due_at": lambda of: of.one(None, *_DUES["due_at"]),
    "time_zone": lambda of: of.one(None, *ZONES),
    "recurrence": lambda of: of.one(None, NEVER, *RULES),
    "recurs_from": lambda of: of.one("due", "completion"),
    "list_id": Chooser.list_ref,
    "parent_id": Chooser.parent_ref,
    "tags": Chooser.tags,
    "metadata": lambda of: of.one(
        {}, {"of": of.user.marker}, {"a": {"b": 1, "c": [None]}}, {"a": {"b": None}, "of": 2}
    ),
}
VALUES: dict[str, Callable[[Chooser], Any]] = {
    **{name: partial(_one_of, values.good) for name, values in MEMBERS.items()},
    **_CHOSEN,
}
"""Chooser of each member that clients may write."""


def _since(of: Chooser) -> list[str]:
    return ["2020-01-01", "2100-01-01", *[*of.user.moments.values()][-4:]]


def _all_of(values: Sequence[Any], _: Chooser) -> Sequence[Any]:
    return values


def _ids(shelf: Callable[[User], Shelf], who: Chooser) -> list[str]:
    of_others = [row_id for other in who.world.others(who.user) for row_id in shelf(other)]
    return ["none", *shelf(who.user), *of_others[-2:], "01944f5c-7a10-7c3d-8e21-5b6c7d8e9f01"]


def _series(of: Chooser) -> list[str]:
    known = {task["series_id"] for user in of.world.users for task in user.tasks.values()} - {None}
    return [*sorted(known), "01944f5c-7a10-7c3d-8e21-5b6c7d8e9f01"]


def _parents(of: Chooser) -> list[str]:
    tasks = of.user.tasks.values()
    return [
        "none",
        *{task["parent_id"] for task in tasks if task["parent_id"]},
        *_ids(lambda user: user.tasks, of)[-3:],
    ]


_MOMENTS = (
    "2020-02-28",
    "2020-02-29",
    "2020-03-01",
    "2026-01-10T09:30:00Z",
    "2031-07-01",
    "2031-07-01T12:00:00.5Z",
    "2031-07-02",
)

FILTERED: dict[str, Callable[[Chooser], Sequence[Any]]] = {
    **{name: partial(_all_of, values.good) for name, values in FILTERS.items() if values.good},
    "completed": lambda _: ("true", "false"),
    "priority": lambda _: ("none", "high,urgent", "low,none,medium"),
    "tag": lambda of: (
        ("home",),
        ("none",),
        ("none", "home"),
        ("home", "ω b"),
        ("a/b",),
        (of.one("Garden", "50%", "nobody's"),),
    ),
    "tag_any": lambda of: (("home",), ("nobody's", "ω b"), (of.one("Garden", "50%"), "a/b"), ("none",)),
    "series": _series,
    "due": lambda _: ("none",),
    "due_on": lambda _: _MOMENTS,
    "list_id": lambda of: _ids(lambda user: user.lists, of),
    "parent_id": _parents,
    "due_before": lambda _: _MOMENTS,
    "due_after": lambda _: _MOMENTS,
    "updated_since": _since,
    "created_since": _since,
    "completed_since": _since,
    "completed_before": _since,
    "overdue": lambda _: ("true", "false"),
    "tz": lambda _: ZONES,
    "q": lambda _: [*QUERIES],
    "deleted": lambda _: ("true", "false"),
    "sort": lambda of: (
        *SORTS,
        *(f"-{name}" for name in SORTS),
        *(f"-priority,{name}" for name in SORTS if name != "priority"),
        of.one("completed_at,-due,title", "due,-title", "-completed_at,id,title"),
    ),
}
"""Chooser of each filter of a listing."""

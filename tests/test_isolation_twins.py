"""Two users of whom everything is alike, ids, names and keys, but for the state that it is in: neither is answered by
what the other has.

Whatever is asked, is asked in two lives: of one user who is alone with their ids, and of one of whose ids another has
rows in other states. Answers and rows must be the same in both, step by step, and the other's rows stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from tests.databases import Superuser, rows_of
from tests.route_table import (
    COLLECTIONS,
    LISTS,
    ME,
    OTHER_KINDS,
    PROBLEMS,
    ROUTES,
    TAGS,
    TASKS,
    body_of,
    make,
    model_of,
    parameters_of,
    queries_of,
    references_of,
    target_of,
)
from tests.users import NewUser, User

NAMES = (
    "list", "other list", "removed list", "task", "part", "trashed", "repeated", "sibling", "erased", "leaf",
    *(f"level {level}" for level in range(1, 5)),
)  # fmt: skip
Ids = dict[str, str]
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00)?")
# What was moved has a position between those of others, which are ids or begin as they do.
_POSITION = re.compile(r"\b01[0-9a-f]{6}-[-0-9a-z]*")
_CURSOR = re.compile("cursor=[A-Za-z0-9_-]+")
FILE = "TYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,DATE,TIMEZONE\ntask,Buy milk @food,,1,1,2026-12-24,UTC\n"
IMPORTED = {"params": {"format": "todoist"}, "content": FILE, "headers": {"Content-Type": "text/csv"}}


def new_ids() -> Ids:
    return {name: str(uuid7()) for name in NAMES}


async def post(user: User, path: str, body: Any, key: str) -> None:
    answer = await user.http.post(path, json=body, headers={"Idempotency-Key": key.replace(" ", "-")})
    assert answer.status_code == 201, answer.text


async def live(user: User, ids: Ids) -> None:
    """The life of which both have one."""
    for name in ("list", "other list", "removed list"):
        await post(user, LISTS, {"id": ids[name], "name": name}, name)
    await user.http.delete(f"{LISTS}/{ids['removed list']}")
    await post(user, TASKS, {"id": ids["task"], "title": "task", "list_id": ids["list"], "tags": ["tag", "old"]}, "1")
    await post(user, TASKS, {"id": ids["part"], "title": "part", "parent_id": ids["task"]}, "2")
    await post(user, TASKS, {"id": ids["sibling"], "title": "sibling", "list_id": ids["list"]}, "3")
    await post(user, TASKS, {"id": ids["trashed"], "title": "trashed", "tags": ["tag"]}, "4")
    await user.trash(ids["trashed"])
    due = {"due_at": "2026-01-10T09:00:00Z", "time_zone": "Europe/Berlin", "recurrence": "FREQ=YEARLY"}
    await post(user, TASKS, {"id": ids["repeated"], "title": "repeated", **due}, "5")
    await post(user, TASKS, {"id": ids["erased"], "title": "erased"}, "6")
    await user.http.delete(f"{TASKS}/{ids['erased']}?permanent=true")
    above = None
    for level in range(1, 5):
        task_id = ids[f"level {level}"]
        await post(user, TASKS, {"id": task_id, "title": f"level {level}", "parent_id": above}, f"level {level}")
        above = task_id
    in_list = {"list_id": ids["list"], "parent_id": ids["level 1"]}
    await post(user, TASKS, {"id": ids["leaf"], "title": "leaf", **in_list}, "7")
    assert (await user.http.post(f"{ME}/import", **IMPORTED)).status_code == 200  # type: ignore[arg-type]
    await make_others(user, ids)


async def make_others(user: User, ids: Ids) -> None:
    """One of each kind that is neither task nor list, all with the id of a task."""
    for parameter in OTHER_KINDS:
        await make(user, parameter, id=ids["leaf"])


async def live_otherwise(user: User, ids: Ids) -> None:
    """A life with the same ids, in which everything hangs elsewhere, is in another state or is another's part."""
    mark = f"Secret of {user.id}"
    for name in ("removed list", "other list", "list"):
        await post(user, LISTS, {"id": ids[name], "name": mark, "color": "#000000"}, name)
    await user.http.delete(f"{LISTS}/{ids['other list']}")
    await user.http.post(f"{LISTS}/{ids['list']}/move", json={"after": None})
    above = None
    for level in range(4, 0, -1):
        task_id = ids[f"level {level}"]
        await post(user, TASKS, {"id": task_id, "title": mark, "parent_id": above}, f"level {level}")
        above = task_id
    await post(user, TASKS, {"id": ids["part"], "title": mark, "parent_id": above, "tags": ["tag", "new", "x"]}, "1")
    await post(user, TASKS, {"id": ids["task"], "title": mark, "parent_id": ids["part"]}, "2")
    await post(user, TASKS, {"id": ids["trashed"], "title": mark, "list_id": ids["list"], "tags": ["old"]}, "3")
    await post(user, TASKS, {"id": ids["erased"], "title": mark, "priority": "urgent", "due_date": "2026-01-10"}, "4")
    await post(user, TASKS, {"id": ids["repeated"], "title": mark, "completed": True, "parent_id": ids["task"]}, "5")
    await post(user, TASKS, {"id": ids["sibling"], "title": mark, "parent_id": ids["task"]}, "6")
    await user.http.post(f"{TASKS}/{ids['repeated']}/move", json={"after": None})
    await user.trash(ids["sibling"])
    await user.trash(ids["task"])
    for number in range(5):
        await post(user, TASKS, {"title": mark, "list_id": ids["list"], "tags": [f"{number}"]}, f"more {number}")
    await make_others(user, ids)


async def live_still_otherwise(user: User, ids: Ids) -> None:
    """Another such life, in which all is live, and in what bob has nothing in."""
    mark = f"Secret of {user.id}"
    for name in ("other list", "list", "removed list"):
        await post(user, LISTS, {"id": ids[name], "name": mark}, name)
    for number, (name, parent, in_list) in enumerate(
        (
            ("task", None, "other list"), ("level 1", "task", "list"), ("part", "level 1", "other list"),
            ("level 2", "part", "other list"), ("level 3", "task", "removed list"), ("level 4", "level 3", "list"),
            ("sibling", None, "other list"), ("repeated", "sibling", None), ("trashed", "sibling", "list"),
            ("erased", "part", "removed list"), ("leaf", None, "other list"),
        )
    ):  # fmt: skip
        where = {"parent_id": parent and ids[parent], "list_id": in_list and ids[in_list]}
        await post(user, TASKS, {"id": ids[name], "title": mark, "tags": ["x", "new"], **where}, f"{number}")


def bodies_of(method: str, path: str, ids: Ids) -> Iterator[Any]:
    """What a route may be sent, of every kind that looks at other rows."""
    good = body_of(method, path)
    yield good
    members = getattr(model_of(method, path), "model_fields", {})
    if good is None:
        return
    if not any(member.is_required() for member in members.values()):
        yield {}
    for name in references_of(method, path):
        yield from ({**good, name: one} for one in ids.values())
        yield {**good, name: None}
    for name, values in {
        "tags": (["tag", "x"], []), "id": tuple(ids.values()), "completed": (False, True), "name": ("tag", "new"),
        "recurrence": (None,), "metadata": ({"x": 1},),
    }.items():  # fmt: skip
        if name in members:
            yield from ({**good, name: value} for value in values)
    if path == f"{TASKS}/batch":
        for one in ids.values():
            operations = [{"op": "update", "id": one, "task": {"title": "x", "list_id": ids["list"]}}]
            operations += [{"op": op, "id": one} for op in ("complete", "delete", "restore")]
            yield {"operations": operations, "atomic": False}
            yield {"operations": [{"op": "create", "task": {"title": "x", "id": str(uuid7()), "parent_id": one}}]}


def targets_of(path: str, ids: Ids) -> list[str]:
    tags = ["tag", "old", "new", "x"]
    kinds = [tags if parameter == "tag" else list(ids.values()) for parameter in parameters_of(path)]
    return [target for kind in kinds for target in kind] or [""]


READS = (
    TASKS, f"{TASKS}?deleted=true", f"{TASKS}?count=true&limit=2", f"{TASKS}?sort=due,-title",
    f"{TASKS}?tag=tag", f"{TASKS}?q=secret", f"{TASKS}?parent_id=none", f"{TASKS}?overdue=true", LISTS, TAGS, ME,
    f"{ME}/export", *(COLLECTIONS[parameter] for parameter in OTHER_KINDS),
)  # fmt: skip


class Life:
    """One of the two lives, whose ids, times and name are left out of what it is answered."""

    def __init__(self, user: User, ids: Ids) -> None:
        self.user = user
        self.ids = ids
        self.named = {one: name for name, one in ids.items()}

    def shown(self, text: str) -> str:
        text = _TIME.sub("<time>", _CURSOR.sub("cursor", text)).replace(self.user.id, "<me>")
        text = _UUID.sub(lambda found: f"<{self.named.get(found[0], 'new')}>", text)
        return _POSITION.sub("<position>", text)

    def translated(self, text: str, other: Life) -> str:
        """A text with this life's ids in place of the other's."""
        return _UUID.sub(lambda found: self.ids.get(other.named.get(found[0], ""), found[0]), text)

    def answer(self, response: httpx2.Response) -> Any:
        kept = {name: response.headers.get(name) for name in ("etag", "link", "location", "x-total-count")}
        if kept["etag"] and not kept["etag"].strip('"').isdigit():
            kept["etag"] = "a collection's"
        text = re.sub(r'"(request_id|expires_at)":("[^"]*"|\d+)', "", response.text)
        status = response.status_code
        # That an id is another's is told, and nothing else of it.
        if forbidden := [pair for pair in PROBLEMS.values() if pair[0].detail in text]:
            ((of_another, of_nobody),) = forbidden
            for told in ("slug", "title", "detail"):
                text = text.replace(f'{getattr(of_another, told)}"', f'{getattr(of_nobody, told)}"')
            text = text.replace('"status":403', '"status":404')
            status = 404 if status == of_another.status else status
        return status, self.shown(text), {n: self.shown(v) for n, v in kept.items() if v is not None}

    async def rows(self, superuser: Superuser) -> list[str]:
        rows = []
        for table, text in await rows_of(superuser, self.user.id):
            # The digest of a request is of its ids, and its answer was compared when it was given.
            whole = text.partition(',"')[0] if table == "stored_answer" else text
            rows.append(self.shown(f"{table} {whole}"))
        return sorted(rows)


async def same(lives: tuple[Life, Life], method: str, url: str, **sent: Any) -> None:
    """Ask in both lives the same; what is sent has the ids of the first."""
    told = []
    for life in lives:
        its_url, its_own = json.loads(life.translated(json.dumps([url, sent]), lives[0]))
        told.append(life.answer(await life.user.http.request(method, its_url, **its_own)))
    assert told[0] == told[1], (method, url, sent)


# Each asks several hundred times.
_AT_HAND = {
    ("GET", "/api/v1/me"),
    ("PATCH", "/api/v1/tasks/{task_id}/complete"),
    ("DELETE", "/api/v1/lists/{list_id}"),
}


@pytest.mark.parametrize(
    ("method", "path"), [pytest.param(*route, marks=() if route in _AT_HAND else pytest.mark.long) for route in ROUTES]
)
async def test_what_another_has_changes_no_answer_and_no_row(
    new_user: NewUser, superuser: Superuser, method: str, path: str
):
    # One of the others comes before him in every index, one after him.
    alone, twin, alice, zoe = [await new_user(name) for name in ("bob", "bob", "alice", "zoe")]
    ids, shared = new_ids(), new_ids()
    lives = Life(alone, ids), Life(twin, shared)
    await live_otherwise(alice, shared)
    await live_still_otherwise(zoe, shared)
    before = [await rows_of(superuser, other.id) for other in (alice, zoe)]
    for life in lives:
        await live(life.user, life.ids)
    assert await lives[0].rows(superuser) == await lives[1].rows(superuser)
    for target in targets_of(path, ids):
        for query in queries_of(method, path):
            for body in bodies_of(method, path, ids):
                key = blake2b(f"{target}{query}{body}".encode(), digest_size=8).hexdigest()
                headers = {"Idempotency-Key": key} if method == "POST" else {}
                url = target_of(path, target, query=query.replace("{user_id}", "somebody"))
                await same(lives, method, url, json=body, headers=headers)
        assert await lives[0].rows(superuser) == await lives[1].rows(superuser)
    # Positions are compared among siblings; those of others say nothing of each other.
    siblings = [f"list_id={ids[name]}&parent_id=none" for name in ("list", "other list")]
    siblings += [f"parent_id={one}" for name, one in ids.items() if "list" not in name]
    for url in (*READS, *(f"{TASKS}?sort=position&{one}" for one in siblings)):
        await same(lives, "GET", url)
    # A key that all have used already, for a request that was another's.
    await same(lives, "POST", TASKS, json={"title": "replayed"}, headers={"Idempotency-Key": "more-1"})
    await same(lives, "POST", f"{ME}/import", **IMPORTED)
    # What fails as a whole frees its key, and what fails in its parts leaves no account where there was none.
    of_nobody = {"operations": [{"op": "delete", "id": str(uuid7())}]}
    await same(lives, "POST", f"{TASKS}/batch", json=of_nobody, headers={"Idempotency-Key": "more-2"})
    newcomer = await new_user("carol")
    nothing = await newcomer.http.post(f"{TASKS}/batch", json={**of_nobody, "atomic": False})
    assert (nothing.status_code, await rows_of(superuser, newcomer.id)) == (200, [])
    for life in lives:
        erased = await life.user.http.delete(ME, params={"confirm": life.user.id})
        assert erased.status_code == 204
        assert await life.rows(superuser) == []
    assert [await rows_of(superuser, other.id) for other in (alice, zoe)] == before

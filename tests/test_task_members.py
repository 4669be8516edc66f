"""What each member of a task may be, and that a change of one leaves every other as it was."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from tests.conftest import User

TASKS = "/api/v1/tasks"
WHOLE: dict[str, Any] = {
    "title": "Kauf Milch — ミルク 🥛", "description": " Blue cap\n\tand\u202edrow\u0301 ", "completed": True,
}  # fmt: skip
CHANGED: dict[str, Any] = {"title": "Other", "description": "Else", "completed": False}
NEVER = {
    "user_id": "x", "completed_at": None, "version": 1, "deleted_at": None,
    "created_at": "2026-01-10T09:30:00Z", "updated_at": "2026-01-10T09:30:00Z",
}  # fmt: skip
EMOJI = "👩‍👩‍👧‍👦"


def uuid7_at(seconds: float) -> str:
    value = int(seconds * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(UUID(int=value))


def pointers(response: Any) -> list[str]:
    assert response.status_code == 422, response.text
    return [error["pointer"] for error in response.json()["errors"]]


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
@pytest.mark.parametrize("member", WHOLE)
async def test_changing_one_member_leaves_every_other_byte_identical(alice: User, verb: str, member: str):
    task = await alice.create(**WHOLE)
    assert {name: task[name] for name in WHOLE} == WHOLE
    response = await alice.http.request(verb, f"{TASKS}/{task['id']}", json={member: CHANGED[member]})
    changed = response.json()
    assert response.status_code == 200
    assert changed[member] == CHANGED[member]
    moved = {member, "version", "updated_at"} | ({"completed_at"} if member == "completed" else set())
    for name in task.keys() - moved:
        assert json.dumps(changed[name]) == json.dumps(task[name])


async def test_every_writable_member_is_among_those_tried(alice: User):
    for verb, sub in [("POST", ""), ("PATCH", f"/{uuid7()}")]:
        document = (await alice.http.get("/openapi.json")).json()["components"]["schemas"]
        schema = document["TaskCreate" if verb == "POST" else "TaskUpdate"]
        assert schema["properties"].keys() - {"id"} == WHOLE.keys(), sub


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
async def test_null_clears_a_description_and_nothing_else(alice: User, verb: str):
    task = await alice.create(**WHOLE)
    path = f"{TASKS}/{task['id']}"
    changed = (await alice.http.request(verb, path, json={"description": None})).json()
    assert changed["description"] is None
    assert changed["title"] == task["title"]
    for member in ("title", "completed"):
        assert pointers(await alice.http.request(verb, path, json={member: None})) == [f"/{member}"]
    assert (await alice.http.get(path)).json() == changed


async def test_an_empty_description_is_not_null(alice: User):
    assert (await alice.create(description=""))["description"] == ""


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("  Buy milk  ", "Buy milk"),
        ("\t\r\n\u00a0\u3000Buy\u2009milk\u2003", "Buy\u2009milk"),
        ("x", "x"),
        ("x" * 255, "x" * 255),
        (" " * 100 + "x" * 255 + " " * 100, "x" * 255),
        ("😀" * 255, "😀" * 255),
        (EMOJI, EMOJI),
        ("שלום עולם", "שלום עולם"),
        ("\u202etfel ot thgir\u202c", "\u202etfel ot thgir\u202c"),
        ("e\u0301 is not \u00e9", "e\u0301 is not \u00e9"),
        ("'; DROP TABLE task; --", "'; DROP TABLE task; --"),
        ("\\' E'\\\\ $1 %s {x}", "\\' E'\\\\ $1 %s {x}"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("NaN and -Infinity", "NaN and -Infinity"),
        ("null", "null"),
        ("\U0010ffff\ufffe\ufeff", "\U0010ffff\ufffe\ufeff"),
    ],
)
async def test_a_title_is_kept_character_for_character_but_for_the_space_around_it(alice: User, sent: str, kept: str):
    task = await alice.create(sent)
    assert task["title"] == kept
    assert (await alice.http.get(f"{TASKS}/{task['id']}")).json()["title"] == kept
    changed = await alice.http.patch(f"{TASKS}/{task['id']}", json={"title": sent + " "})
    assert changed.json()["title"] == kept


@pytest.mark.parametrize(
    "title",
    ["", "   ", "\n\t", "\u3000", "x" * 256, "😀" * 256, "a\x00b", "a\nb", "a\tb", "a\x1bb", "a\x7fb", "a\x85b",
     "a\x9fb", "\x01", 1, 1.5, True, None, [], ["x"], {}],
)  # fmt: skip
async def test_a_title_that_breaks_a_rule_is_refused_on_every_write(alice: User, title: object):
    task = await alice.create()
    path = f"{TASKS}/{task['id']}"
    for response in [
        await alice.http.post(TASKS, json={"title": title}),
        await alice.http.patch(path, json={"title": title, "completed": True}),
        await alice.http.put(path, json={"title": title, "completed": True}),
    ]:
        assert pointers(response) == ["/title"]
    assert (await alice.http.get(TASKS)).json() == [task]


@pytest.mark.parametrize(
    "text",
    ["x" * 10_000, "😀" * 10_000, "a\nb\r\n\tc", " around ", "\x01\x1b\x7f\x85", EMOJI, "\u200f\u05d0", "\\u0000"],
)
async def test_a_description_is_kept_character_for_character(alice: User, text: str):
    task = await alice.create(description=text)
    assert task["description"] == text
    assert (await alice.http.get(f"{TASKS}/{task['id']}")).json()["description"] == text


@pytest.mark.parametrize("text", ["x" * 10_001, "😀" * 10_001, "a\x00b", 1, False, [], {}])
async def test_a_description_that_breaks_a_rule_is_refused(alice: User, text: object):
    assert pointers(await alice.http.post(TASKS, json={"title": "x", "description": text})) == ["/description"]


@pytest.mark.parametrize("value", ["true", "yes", 1, 0, 1.0, None, [], {}])
async def test_completed_is_true_or_false_and_nothing_like_it(alice: User, value: object):
    task = await alice.create()
    for response in [
        await alice.http.post(TASKS, json={"title": "x", "completed": value}),
        await alice.http.patch(f"{TASKS}/{task['id']}", json={"completed": value}),
        await alice.http.put(f"{TASKS}/{task['id']}", json={"completed": value}),
        await alice.http.patch(f"{TASKS}/{task['id']}/complete", json={"completed": value}),
    ]:
        assert pointers(response) == ["/completed"]
    assert (await alice.http.get(TASKS)).json() == [task]


@pytest.mark.parametrize("member", [*NEVER, "nonsense", "Title", ""])
async def test_a_member_that_cannot_be_written_is_refused_by_name(alice: User, member: str):
    task = await alice.create()
    value = NEVER.get(member, "x")
    path = f"{TASKS}/{task['id']}"
    for response in [
        await alice.http.post(TASKS, json={"title": "x", member: value}),
        await alice.http.patch(path, json={"title": "x", member: value}),
        await alice.http.patch(f"{path}/complete", json={"completed": True, member: value}),
    ]:
        assert pointers(response) == [f"/{member}"]
    assert (await alice.http.get(TASKS)).json() == [task]


async def test_every_wrong_member_is_named_at_once(alice: User):
    response = await alice.http.post(TASKS, json={"title": "", "completed": 1, "a/b~c": 0})
    assert sorted(pointers(response)) == ["/a~1b~0c", "/completed", "/title"]


async def test_patch_refuses_the_id(alice: User):
    task = await alice.create()
    assert pointers(await alice.http.patch(f"{TASKS}/{task['id']}", json={"id": task["id"]})) == ["/id"]


async def test_a_client_may_choose_the_id(alice: User):
    chosen = str(uuid7())
    assert (await alice.create(id=chosen.upper()))["id"] == chosen
    assert UUID((await alice.create())["id"]).version == 7
    old, soon = uuid7_at(0), uuid7_at(time.time() + 86_000)
    assert (await alice.create(id=old))["id"] == old
    assert (await alice.create(id=soon))["id"] == soon


REFUSED_IDS: dict[str, Callable[[], object]] = {
    "version 4": lambda: str(uuid4()),
    "more than a day ahead": lambda: uuid7_at(time.time() + 90_000),
    "nil": lambda: str(UUID(int=0)),
    "max": lambda: str(UUID(int=2**128 - 1)),
    "without hyphens": lambda: uuid7().hex,
    "in braces": lambda: f"{{{uuid7()}}}",
    "as a URN": lambda: f"urn:uuid:{uuid7()}",
    "with a digit that is not ASCII": lambda: str(uuid7()).replace("7", "\uff17", 1),
    "empty": str,
    "short": lambda: "x",
    "a number": lambda: 1,
    "null": lambda: None,
}


@pytest.mark.parametrize("kind", REFUSED_IDS)
async def test_an_id_that_is_not_a_uuidv7_of_about_now_or_before_is_refused(alice: User, kind: str):
    assert pointers(await alice.http.post(TASKS, json={"title": "x", "id": REFUSED_IDS[kind]()})) == ["/id"]


async def test_an_id_of_ones_own_is_taken_whether_live_or_in_the_trash(alice: User):
    task = await alice.create()
    for _ in ("live", "trashed"):
        response = await alice.http.post(TASKS, json={"title": "Other", "id": task["id"]})
        assert response.status_code == 409
        assert response.json()["type"] == "/problems/task-id-taken"
        await alice.http.delete(f"{TASKS}/{task['id']}")
    (kept,) = (await alice.http.get(TASKS, params={"deleted": "true"})).json()
    assert kept["title"] == "Buy milk"
    assert (await alice.create())["version"] == kept["version"] + 1


async def test_another_users_id_does_not_collide(alice: User, bob: User):
    task = await alice.create("Hers")
    his = await bob.create("His", id=task["id"])
    path = f"{TASKS}/{task['id']}"
    assert (await bob.http.patch(path, json={"title": "Still his"})).json()["title"] == "Still his"
    assert (await alice.http.get(path)).json() == task
    assert (await bob.http.delete(path, params={"permanent": "true"})).status_code == 204
    assert his["version"] == 1
    assert (await bob.http.get(path)).status_code == 403
    assert (await alice.http.get(path)).json() == task


async def test_a_path_takes_one_spelling_of_an_id_in_either_case(alice: User):
    task = await alice.create()
    spelt = task["id"]
    assert (await alice.http.get(f"{TASKS}/{spelt.upper()}")).json() == task
    moved = spelt.replace("-", "")
    for other in (moved, f"{{{spelt}}}", f"urn:uuid:{spelt}", f"-{moved[:10]}-{moved[10:20]}-{moved[20:]}-",
                  f"{spelt[:7]}_{spelt[7:]}"[:36], f" {spelt}", f"{spelt}%20"):  # fmt: skip
        assert (await alice.http.get(f"{TASKS}/{other}")).status_code == 404, other

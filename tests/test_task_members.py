"""What each member of a task may be, and that a change of one leaves every other as it was."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from taskward.tasks.schemas import TaskUpdate
from tests.task_values import MEMBERS
from tests.users import User

TASKS = "/api/v1/tasks"
WHOLE: dict[str, Any] = {
    **{name: values.good[0] for name, values in MEMBERS.items() if len(values.good) > 1},
    "title": "Kauf Milch — ミルク 🥛", "description": " Blue cap\n\tand\u202edrow\u0301 ", "completed": True,
    "priority": "high", "due_at": "2026-01-12T09:00:00.123456+01:00", "time_zone": "Europe/Berlin",
    "recurrence": "FREQ=WEEKLY;BYDAY=MO,TH;COUNT=7", "recurs_from": "completion",
    "tags": ["z", "Ä/ö%", "e\u0301", "a b", '"', "🥛"],
    "metadata": {
        "1.0": 1.0, "-0": -0.0, "tiny": 5e-324, "big": 12345678901234567890123, "odd": 0.1, "e": 1e22, "": "",
        "escapes": '"\\/\b\u2028😀\x7f', "b": None, "a": [{"z": 1, "a": [[], {}]}], "__proto__": {"x": False},
    },
}  # fmt: skip
CHANGED: dict[str, Any] = {
    **{name: values.good[1] for name, values in MEMBERS.items() if len(values.good) > 1},
    "title": "Other", "description": "Else", "completed": False, "priority": "none", "due_date": "2026-02-28",
    "due_at": "2026-01-11T00:00:00.000000Z", "time_zone": "Asia/Tokyo", "recurrence": "FREQ=DAILY",
    "recurs_from": "due", "list_id": None, "parent_id": None, "tags": ["a b"], "metadata": {"icon": "leaf"},
}  # fmt: skip
NEVER = {
    "user_id": "x", "version": 1, "deleted_at": None, "position": "a", "series_id": None,
    "next_id": None, "next_version": 1,
    "folded_title": "x", "deleted_with": None,
    "created_at": "2026-01-10T09:30:00Z", "updated_at": "2026-01-10T09:30:00Z",
}  # fmt: skip
EMOJI = "👩‍👩‍👧‍👦"


def pointers(response: Any) -> list[str]:
    assert response.status_code == 422, response.text
    return [error["pointer"] for error in response.json()["errors"]]


def _ink(text: str, at: int) -> int:
    """Where the white space at a place of JSON ends."""
    while text[at].isspace():
        at += 1
    return at


def members_of(text: str) -> dict[str, str]:
    """The members of a JSON object, each as it is written there."""
    decoder = json.JSONDecoder()
    text = text.rstrip("\n")
    found, at = {}, 1
    while at < len(text):
        name, at = decoder.raw_decode(text, _ink(text, at))
        at = _ink(text, _ink(text, at) + 1)
        _, end = decoder.raw_decode(text, at)
        found[name], at = text[at:end], end + 1
    return found


async def make_list(user: User) -> str:
    return str((await user.http.post("/api/v1/lists", json={"name": "Home"})).json()["id"])


async def whole_task(user: User, **members: Any) -> httpx2.Response:
    """A task with a value for every member, none of them the default, at a place of its own."""
    places = {"list_id": await make_list(user), "parent_id": (await user.create("Parent"))["id"]}
    await user.create("Sibling", **places)
    task = await user.create(**{**WHOLE, **places, **members})
    assert {name: task[name] for name in WHOLE if name not in {"due_at", *members}} == {
        name: value for name, value in WHOLE.items() if name not in {"due_at", *members}
    }
    moved = await user.http.post(f"{TASKS}/{task['id']}/move", json={"after": None})
    assert moved.json()["position"] < task["position"]
    return moved


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
@pytest.mark.parametrize("member", CHANGED)
async def test_changing_one_member_leaves_every_other_byte_identical(alice: User, verb: str, member: str):
    of_a_day = {"due_at": None, "due_date": "2028-02-29"} if member == "due_date" else {}
    before = await whole_task(alice, **of_a_day)
    task = before.json()
    value = CHANGED[member]
    if member == "list_id":
        value = await make_list(alice)
    elif member == "parent_id":
        value = (await alice.create("Another parent"))["id"]
    response = await alice.http.request(verb, f"{TASKS}/{task['id']}", json={member: value})
    assert response.status_code == 200, response.text
    merged = {**WHOLE["metadata"], **value} if (verb, member) == ("PATCH", "metadata") else value
    assert response.json()[member] == merged
    moved = {member, "version", "updated_at"}
    moved |= {"completed": {"completed_at"}, "list_id": {"position"}, "parent_id": {"position"}}.get(member, set())
    old, new = members_of(before.text), members_of(response.text)
    assert old.keys() == new.keys()
    assert {name: new[name] for name in old.keys() - moved} == {name: old[name] for name in old.keys() - moved}
    assert new["version"] != old["version"]
    assert (await alice.http.get(f"{TASKS}/{task['id']}")).text == response.text
    (listed,) = [one for one in (await alice.http.get(TASKS)).json() if one["id"] == task["id"]]
    assert listed == response.json()


@pytest.mark.parametrize(
    ("verb", "sub", "body"),
    [("POST", "/move", {"after": None}), ("PATCH", "/complete", None), ("DELETE", "", None), ("PUT", "", {"x": 0})],
    ids=["move", "complete", "trash and restore", "put back"],
)
async def test_every_other_write_leaves_what_clients_write_byte_identical(alice: User, verb: str, sub: str, body: Any):
    before = await whole_task(alice, completed=False)
    path = f"{TASKS}/{before.json()['id']}"
    if body == {"x": 0}:
        await alice.http.request(verb, path, content=before.content, headers={"Content-Type": "application/json"})
    else:
        await alice.http.request(verb, path + sub, json=body)
    if verb == "DELETE":
        await alice.http.post(f"{path}/restore")
    old, new = members_of(before.text), members_of((await alice.http.get(path)).text)
    names = CHANGED.keys() - ({"completed"} if sub == "/complete" else set())
    assert {name: new[name] for name in names} == {name: old[name] for name in names}
    assert new["version"] != old["version"]


async def test_every_writable_member_is_among_those_tried(alice: User):
    for verb, sub in [("POST", ""), ("PATCH", f"/{uuid7()}")]:
        document = (await alice.http.get("/openapi.json")).json()["components"]["schemas"]
        schema = document["TaskCreate" if verb == "POST" else "TaskUpdate"]
        # When it was done goes with `completed` only, and its null says nothing.
        assert schema["properties"].keys() - {"id", "completed_at"} == CHANGED.keys(), sub
    assert CHANGED.keys() == WHOLE.keys() | {"due_date", "list_id", "parent_id"}


NULLABLE = tuple(
    name
    for name, schema in TaskUpdate.model_json_schema()["properties"].items()
    if {"type": "null"} in schema.get("anyOf", ()) and name != "completed_at"
)


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
@pytest.mark.parametrize("member", NULLABLE)
async def test_null_clears_a_member_and_nothing_else(alice: User, verb: str, member: str):
    # A due with a zone needs that, and a recurrence needs both.
    bare = {"recurrence": None} if member in {"due_date", "due_at", "time_zone"} else {}
    day = {"due_at": None, "due_date": "2026-01-10"} if member in {"due_date", "time_zone"} else {}
    before = await whole_task(alice, **bare, **day)
    path = f"{TASKS}/{before.json()['id']}"
    changed = await alice.http.request(verb, path, json={member: None})
    assert (changed.status_code, changed.json()[member]) == (200, None)
    moved = {member, "version", "updated_at"} | ({"position"} if member in {"list_id", "parent_id"} else set())
    old, new = members_of(before.text), members_of(changed.text)
    assert old[member] != "null"
    assert {name: new[name] for name in old.keys() - moved} == {name: old[name] for name in old.keys() - moved}
    assert (await alice.http.get(path)).text == changed.text


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
async def test_null_clears_nothing_that_is_never_null(alice: User, verb: str):
    task = (await whole_task(alice)).json()
    path = f"{TASKS}/{task['id']}"
    for member in CHANGED.keys() - set(NULLABLE):
        assert pointers(await alice.http.request(verb, path, json={member: None})) == [f"/{member}"]
        assert pointers(await alice.http.post(TASKS, json={"title": "x", member: None})) == [f"/{member}"]
    assert (await alice.http.get(path)).json() == task


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

"""What a priority, tags, metadata and references may be; what breaks a rule is named, and nothing is written."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from tests.test_task_members import make_list, pointers
from tests.users import User

TASKS = "/api/v1/tasks"
ODD = ["a,b", "a/b", "%2F", "...", "{a}", "NULL", '"', "\\", "'"]
PRIORITIES = ["none", "low", "medium", "high", "urgent"]


async def refused_everywhere(user: User, member: str, value: object, pointer: str | None = None) -> None:
    task = await user.create()
    path = f"{TASKS}/{task['id']}"
    for response in [
        await user.http.post(TASKS, json={"title": "x", member: value}),
        await user.http.patch(path, json={"title": "x", member: value}),
        await user.http.put(path, json={"title": "x", member: value}),
    ]:
        assert pointers(response) == [pointer or f"/{member}"]
    assert (await user.http.get(path)).json() == task
    await user.trash(task["id"])


async def test_a_priority_is_one_of_five(alice: User):
    for priority in PRIORITIES:
        assert (await alice.create(priority=priority))["priority"] == priority
    wrong: tuple[object, ...] = ("High", "", "none ", "critical", 0, 1, None, True, [], {})
    for value in wrong:
        await refused_everywhere(alice, "priority", value)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([], []),
        (["b", "a", "B"], ["b", "a", "B"]),
        ([" home ", "\u3000x\n"], ["home", "x"]),
        (["x" * 50, "😀" * 50], ["x" * 50, "😀" * 50]),
        ([f"{n}" for n in range(20)], [f"{n}" for n in range(20)]),
        (ODD, ODD),
        (["é", "e\u0301"], ["é", "e\u0301"]),
    ],
)  # fmt: skip
async def test_tags_are_kept_in_their_order_without_the_space_around_them(alice: User, sent: Any, kept: Any):
    task = await alice.create(tags=sent)
    assert task["tags"] == kept
    path = f"{TASKS}/{task['id']}"
    assert (await alice.http.patch(path, json={"tags": kept[::-1]})).json()["tags"] == kept[::-1]
    assert (await alice.http.put(path, json={"tags": sent})).json()["tags"] == kept
    assert (await alice.http.get(path)).json()["tags"] == kept


@pytest.mark.parametrize(
    ("tags", "pointer"),
    [
        ("home", "/tags"), (None, "/tags"), ({}, "/tags"), (1, "/tags"), ([f"{n}" for n in range(21)], "/tags"),
        (["a", "a"], "/tags"), (["a", " a "], "/tags"), ([""], "/tags/0"), (["a", " "], "/tags/1"), ([1], "/tags/0"),
        ([None], "/tags/0"), ([["a"]], "/tags/0"), (["x" * 51], "/tags/0"), (["a\nb"], "/tags/0"), (["\0"], "/tags/0"),
        (["."], "/tags/0"), ([" .. "], "/tags/0"), (["a\x7f"], "/tags/0"),
    ],
)  # fmt: skip
async def test_tags_that_break_a_rule_are_refused(alice: User, tags: Any, pointer: str):
    await refused_everywhere(alice, "tags", tags, pointer)


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels - 1):
        value = {"a": value}
    return value  # type: ignore[no-any-return]


def of_size(size: int, character: str = "x") -> dict[str, Any]:
    length, rest = divmod(size - len('{"a":""}'), len(character.encode()))
    return {"a": character * length + "x" * rest}


@pytest.mark.parametrize(
    "metadata",
    [
        {}, {"": {"": []}}, {"a": None}, {"ø": "\u2028\x7f\ufffe\U0010ffff"}, {"\\u0000": "\\u0000 \\\\u0000"},
        nested(50), of_size(8192), of_size(8192, "😀"), of_size(8192, "ß"), {"constructor": {"__proto__": 1}},
        {"title": "x", "id": 1},
        {"n": [0, -1, 1.5, 1e300, 2**63, -(2**64)]}, {f"k{n}": n for n in range(600)},
    ],
    ids=lambda metadata: json.dumps(metadata)[:30],
)  # fmt: skip
async def test_metadata_are_kept_as_they_are(alice: User, metadata: dict[str, Any]):
    task = await alice.create(metadata=metadata)
    path = f"{TASKS}/{task['id']}"
    assert json.dumps(task["metadata"]) == json.dumps(metadata)
    put = await alice.http.put(path, json={"metadata": metadata, "tags": ["a"]})
    assert json.dumps(put.json()["metadata"]) == json.dumps(metadata)
    assert (await alice.http.get(path)).json() == put.json()
    assert (await alice.http.delete(path)).status_code == 204
    assert (await alice.http.post(f"{path}/restore")).json()["metadata"] == metadata


@pytest.mark.parametrize(
    "metadata",
    [None, [], "{}", 1, True, nested(51), of_size(8193), of_size(8193, "😀"), {"a": "\0"}, {"\0": 1},
     {"a": [{"b": "x\0"}]}, {"a": "\\\0"}, {"a": "\\\\\0"}],
    ids=lambda metadata: json.dumps(metadata)[:30],
)  # fmt: skip
async def test_metadata_that_break_a_rule_are_refused(alice: User, metadata: Any):
    await refused_everywhere(alice, "metadata", metadata)


# The examples of RFC 7396, appendix A, in which target and patch are objects.
MERGES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({"a": "foo"}, {"b": {"c": None}}, {"a": "foo", "b": {}}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"a": 1}, {}, {"a": 1}),
]


@pytest.mark.parametrize(("target", "patch", "result"), MERGES)
async def test_patch_merges_metadata_and_put_replaces_them(alice: User, target: Any, patch: Any, result: Any):
    path = f"{TASKS}/{(await alice.create(metadata=target))['id']}"
    assert (await alice.http.patch(path, json={"metadata": patch})).json()["metadata"] == result
    assert (await alice.http.put(path, json={"metadata": patch})).json()["metadata"] == patch


async def test_metadata_that_become_too_large_or_too_deep_by_a_patch_are_refused(alice: User):
    task = await alice.create(metadata={"b": of_size(4000), "deep": nested(49)})
    path = f"{TASKS}/{task['id']}"
    for patch in (of_size(4200), {"deep": nested(50)}, {"a": "\0"}):
        assert pointers(await alice.http.patch(path, json={"metadata": patch, "title": "x"})) == ["/metadata"]
    assert (await alice.http.get(path)).json() == task
    assert (await alice.http.patch(path, json={"metadata": {"b": None, **of_size(4200)}})).status_code == 200


async def test_patches_of_different_metadata_at_once_are_all_kept(alice: User):
    path = f"{TASKS}/{(await alice.create(metadata={'kept': True}))['id']}"
    await asyncio.gather(*(alice.http.patch(path, json={"metadata": {f"k{n}": n}}) for n in range(20)))
    assert (await alice.http.get(path)).json()["metadata"] == {"kept": True, **{f"k{n}": n for n in range(20)}}


async def test_a_list_or_parent_that_is_not_the_callers_is_refused_in_the_same_words_whether_it_exists(
    alice: User, bob: User
):
    task = await alice.create()
    path = f"{TASKS}/{task['id']}"
    places = {"list_id": await make_list(bob), "parent_id": (await bob.create())["id"]}
    for member, theirs in places.items():
        said = set()
        for value in (theirs, str(uuid7())):
            writes: list[tuple[str, str, dict[str, Any]]] = [
                ("POST", TASKS, {"title": "x"}), ("PATCH", path, {}), ("PUT", path, {}),
                ("POST", f"{path}/move", {"after": None}),
            ]  # fmt: skip
            for verb, url, extra in writes:
                response = await alice.http.request(verb, url, json={**extra, member: value})
                assert pointers(response) == [f"/{member}"], (verb, url)
                said.add(json.dumps(response.json()["errors"]))
        assert len(said) == 1
    assert (await alice.http.get(TASKS)).json() == [task]


@pytest.mark.parametrize("member", ["list_id", "parent_id"])
@pytest.mark.parametrize("value", ["", "x", "none", 1, True, [], {}, "0194 4f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c"])
async def test_a_reference_is_a_uuid_in_its_one_spelling(alice: User, member: str, value: object):
    await refused_everywhere(alice, member, value)
    for spelling in (uuid7().hex, f"{{{uuid7()}}}"):
        await refused_everywhere(alice, member, spelling)

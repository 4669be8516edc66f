"""`Prefer: return=representation` (RFC 7240): a DELETE answers with what it has deleted."""

from __future__ import annotations

from time import process_time

import pytest

from taskward.http.preferences import _wants_representation
from tests.costs import allowed
from tests.users import User

TASKS = "/api/v1/tasks"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("return=representation", True), ("Return=Representation", True), ('return="representation"', True),
        ("return = representation", True), ("respond-async, return=representation; x=1", True),
        ('x="a, return=minimal", return=representation', True), ("return=minimal", False), ("return", False),
        ("return=minimal, return=representation", False), ('x="return=representation"', False), ("", False),
        (',;="', False), ('x="a, return=representation', False), ('return=representation, x="\\', True),
    ],
)  # fmt: skip
async def test_a_deleted_task_is_answered_where_that_is_preferred(alice: User, prefer: str, applied: bool):
    task = await alice.create(tags=["home"])
    answer = await alice.http.delete(f"{TASKS}/{task['id']}", headers={"Prefer": prefer})
    assert answer.status_code == (200 if applied else 204)
    assert answer.headers.get("preference-applied") == ("return=representation" if applied else None)
    (trashed,) = (await alice.http.get(TASKS, params={"deleted": "true"})).json()
    if applied:
        assert answer.json() == trashed
        assert answer.json()["deleted_at"] is not None
        assert answer.headers["etag"] == f'"{trashed["version"]}"'
        restored = await alice.http.post(f"{TASKS}/{task['id']}/restore", headers={"If-Match": answer.headers["etag"]})
        assert restored.status_code == 200
    else:
        assert answer.content == b""


async def test_of_what_is_erased_there_is_no_representation(alice: User, bob: User):
    preferred = {"Prefer": "return=representation"}
    task = await alice.create()
    other = await bob.http.delete(f"{TASKS}/{task['id']}", headers=preferred)
    assert other.status_code == 403
    assert task["title"] not in other.text
    answer = await alice.http.delete(f"{TASKS}/{task['id']}?permanent=true", headers=preferred)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "preference-applied" not in answer.headers


@pytest.mark.costs
@pytest.mark.parametrize(
    "prefer", ['"' + '\\"' * 30_000, "return=" + " " * 60_000 + "x x", '"a\\' * 15_000, " " * 60_000, ',"' * 30_000]
)
def test_a_long_preference_is_read_in_no_time(prefer: str):
    since = process_time()
    assert _wants_representation(prefer) is False
    assert process_time() - since < allowed(1)

"""Tags where there are none."""

from __future__ import annotations

from tests.users import User


async def test_without_a_tag_there_is_an_empty_array_with_and_without_an_account(alice: User):
    assert (await alice.http.get("/api/v1/tags")).json() == []
    task = await alice.create(tags=["home"])
    assert (await alice.http.get("/api/v1/tags")).json() == [{"name": "home", "tasks": 1}]
    await alice.trash(task["id"])
    assert (await alice.http.get("/api/v1/tags")).json() == []

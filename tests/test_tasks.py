"""What a user can do with tasks of their own."""

from __future__ import annotations

from tests.conftest import User

TASKS = "/api/v1/tasks"


async def test_a_created_task_is_answered_whole_with_its_location_and_etag(alice: User):
    response = await alice.http.post(TASKS, json={"title": "  Buy milk  ", "description": "Blue cap"})
    task = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{TASKS}/{task['id']}"
    assert response.headers["etag"] == f'"{task["version"]}"'
    assert task["title"] == "Buy milk"
    assert task["user_id"] == alice.id
    assert (await alice.http.get(response.headers["location"])).json() == task

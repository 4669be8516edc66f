"""One series against few rules, whatever is done to its tasks, in any order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sizes import sized
from tests.users import NewUser, User

TASKS = "/api/v1/tasks"
LISTS = "/api/v1/lists"
DAILY: dict[str, Any] = {"due_date": "2030-01-10", "time_zone": "UTC", "recurrence": "FREQ=DAILY"}
ENDING: dict[str, Any] = {**DAILY, "recurrence": "FREQ=DAILY;COUNT=3"}
OPERATIONS = ("complete", "toggle", "reopen", "edit", "due", "trash", "restore", "erase", "move", "put", "list")
ACTIONS = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 3), st.booleans())


class Machine:
    """A series of a user, and what must be true of it.

    Attributes:
        tasks: All of the user's, in any state, by their ids.
    """

    def __init__(self, user: User, first: dict[str, Any]) -> None:
        self.user = user
        self.series_id = first["series_id"]
        self.tasks: dict[str, dict[str, Any]] = {first["id"]: first}

    async def read(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for deleted in ("false", "true"):
            page = await self.user.http.get(TASKS, params={"limit": "200", "deleted": deleted})
            found |= {task["id"]: task for task in page.json()}
        return found

    async def act(self, operation: str, place: int, in_batch: bool) -> None:
        before = await self.read()
        # The newest first: those at the end of a series, where it goes on, more often than its old ones.
        task = sorted(before.values(), key=lambda one: str(one["id"]), reverse=True)[min(place, len(before) - 1)]
        answer = await self._ask(operation, task, in_batch)
        self.tasks = await self.read()
        removed = before.keys() - self.tasks.keys()
        if operation == "erase":
            assert removed <= {task["id"]}
        else:
            # Reopening takes back what it had made, and nothing that anybody has touched.
            assert len(removed) <= (operation in {"reopen", "toggle"})
            assert all(before[one]["created_at"] == before[one]["updated_at"] for one in removed)
        self._check(before, task["id"], answer)

    async def _ask(self, operation: str, task: dict[str, Any], in_batch: bool) -> str | None:
        """Do it, and say what the answer names as the next one."""
        path, http = f"{TASKS}/{task['id']}", self.user.http
        if operation == "list":
            new = (await http.post(LISTS, json={"name": "x"})).json()["id"]
            moved = await http.patch(path, json={"list_id": new})
            assert moved.status_code == (404 if task["deleted_at"] else 200)
            assert (await http.delete(f"{LISTS}/{new}", params={"tasks": "trash"})).status_code == 204
            return None
        batched: dict[str, dict[str, Any]] = {
            "complete": {"op": "complete", "task": {"completed": True}},
            "toggle": {"op": "complete"},
            "reopen": {"op": "update", "task": {"completed": False}},
            "edit": {"op": "update", "task": {"title": "Mine"}},
            "due": {"op": "update", "task": {"due_date": "2030-02-02"}},
            "trash": {"op": "delete"},
            "restore": {"op": "restore"},
        }
        if in_batch and operation in batched:
            operations = {"operations": [{"id": task["id"], **batched[operation]}], "atomic": False}
            (result,) = (await http.post(f"{TASKS}/batch", json=operations)).json()["results"]
            assert result["status"] in {200, 204, 404}, result
            return result.get("next_id")  # type: ignore[no-any-return]
        ways: dict[str, tuple[str, str, Any]] = {
            "complete": ("PATCH", "/complete", {"completed": True}),
            "toggle": ("PATCH", "/complete", None),
            "reopen": ("PATCH", "/complete", {"completed": False}),
            "edit": ("PATCH", "", {"title": "Mine"}),
            "due": ("PATCH", "", {"due_date": "2030-02-02"}),
            "trash": ("DELETE", "", None),
            "restore": ("POST", "/restore", None),
            "erase": ("DELETE", "?permanent=true", None),
            "move": ("POST", "/move", {"after": None}),
            "put": ("PUT", "", {**task, "title": "Put back"}),
        }
        method, sub, body = ways[operation]
        answer = await http.request(method, f"{path}{sub}", json=body)
        assert answer.status_code in {200, 204, 404}, answer.text
        link = answer.headers.get("link")
        return None if link is None else link[1 : link.index(">")].rpartition("/")[2]

    def _check(self, before: dict[str, dict[str, Any]], touched: str, linked: str | None) -> None:
        live = [one for one in self.tasks.values() if one["deleted_at"] is None]
        still_open = [one for one in live if not one["completed"] and one["series_id"] == self.series_id]
        assert len(still_open) <= 1
        ruled = [one for one in live if not one["completed"] and one["recurrence"] is not None]
        assert len(ruled) <= 1
        if linked is not None:
            assert self.tasks[linked]["deleted_at"] is None
            assert not self.tasks[linked]["completed"]
        had = before[touched]
        now = self.tasks.get(touched)
        is_completed = now is not None and now["completed"] and not had["completed"] and now["deleted_at"] is None
        if is_completed and had["recurrence"] is not None and "COUNT=1" not in had["recurrence"]:
            # A rule that has occurrences left goes on.
            assert linked is not None
            assert [one["id"] for one in ruled] == [linked]
        was_ruled = [
            one for one in before.values() if not one["completed"] and not one["deleted_at"] and one["recurrence"]
        ]
        if was_ruled and not ruled:
            # It has come to its end by what was done to it, and by nothing else.
            (one,) = was_ruled
            assert one["id"] == touched
            assert now is None or now["deleted_at"] is not None or "COUNT=1" in one["recurrence"]


@pytest.mark.parametrize("rule", [DAILY, ENDING], ids=["endless", "of three"])
async def test_a_series_keeps_its_rules_in_any_order_of_changes(new_user: NewUser, rule: dict[str, Any]):
    loop = asyncio.get_running_loop()
    users: list[User] = []

    async def play(user: User, actions: list[tuple[str, int, bool]]) -> None:
        await user.http.delete("/api/v1/me", params={"confirm": user.id})
        machine = Machine(user, await user.create(**rule))
        for action in actions:
            if machine.tasks:
                await machine.act(*action)

    @settings(max_examples=sized(8, 300), deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(ACTIONS, min_size=4, max_size=14))
    def any_order(actions: list[tuple[str, int, bool]]) -> None:
        asyncio.run_coroutine_threadsafe(play(users[0], actions), loop).result(120)

    users.append(await new_user("series"))
    await asyncio.to_thread(any_order)

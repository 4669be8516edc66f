"""A stranger's id and an unknown one: what tells them apart is what the contract says, and nothing else."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from taskward.errors import TaskForbidden, TaskNotFound
from tests.conftest import User
from tests.services import eventually
from tests.sizes import sized
from tests.test_isolation_http import OF_A_TASK, body_of

EVERY_QUESTION = [
    (method, path, query, headers)
    for method, path in OF_A_TASK
    for query in (("", "?permanent=true") if method == "DELETE" else ("",))
    for headers in ({}, {"If-Match": '"1"'}, {"If-None-Match": "*"})
]


async def test_a_strangers_id_and_an_unknown_one_are_told_apart_by_the_contracts_members_alone(alice: User, bob: User):
    live, trashed = await alice.create("Secret plan"), await alice.create("Secret past")
    await alice.trash(trashed["id"])
    for method, path, query, headers in EVERY_QUESTION:
        unknown_id = str(uuid7())
        answers = []
        for task_id in (live["id"], trashed["id"], unknown_id):
            url = re.sub(r"\{\w+\}", task_id, path)
            sent = {"json": body_of(method, path), "headers": {**headers, "X-Request-Id": "the-same"}}
            answer = await bob.http.request(method, url + query, **sent)
            problem = answer.json()
            assert problem.pop("instance") == url
            told = dict(answer.headers)
            assert int(told.pop("content-length")) == len(answer.content)
            told.pop("date", None)
            answers.append((answer.status_code, problem, list(answer.headers), told))
        of_live, of_trashed, of_unknown = answers
        assert of_live == of_trashed
        for (status, problem, _, _), kind in ((of_live, TaskForbidden), (of_unknown, TaskNotFound)):
            assert status == kind.status
            assert problem == {
                "type": f"/problems/{kind.slug}", "title": kind.title, "status": kind.status, "detail": kind.detail,
                "request_id": "the-same",
            }  # fmt: skip
        assert of_live[2:] == of_unknown[2:]


@pytest.mark.parametrize(("method", "path"), OF_A_TASK)
async def test_a_strangers_id_asks_the_database_the_same_as_an_unknown_one(
    app: FastAPI, alice: User, bob: User, method: str, path: str
):
    strangers = (await alice.create())["id"]
    asked: list[str] = []
    told: dict[str, list[str]] = {}

    def note(query: Any) -> None:
        # Whether a reading transaction was left for this one to end depends on the request before.
        asked.append(query.query.removeprefix("COMMIT;"))

    connections = [lease.connection for lease in app.state.database.pool._idle]
    for connection in connections:
        connection.add_query_logger(note)
    try:
        for kind, task_id in (("strangers", strangers), ("unknown", str(uuid7()))):
            asked.clear()
            url = re.sub(r"\{\w+\}", task_id, path)
            answer = await bob.http.request(method, url, json=body_of(method, path))
            assert answer.status_code == {"strangers": 403, "unknown": 404}[kind]
            # The last is noted a moment after the answer was sent.
            assert await asyncio.to_thread(eventually, lambda: asked[-1:] == ["ROLLBACK"])
            told[kind] = list(asked)
    finally:
        for connection in connections:
            connection.remove_query_logger(note)
    assert told["strangers"] == told["unknown"]
    assert any("task_exists" in query for query in told["unknown"])


async def samples(bob: User, method: str, path: str, kinds: dict[str, list[UUID]], count: int) -> dict[str, float]:
    """The median seconds of each kind, asked in turn, so that whatever else the machine does meets both alike."""
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(count):
        for kind, ids in sorted(kinds.items(), reverse=number % 2 == 1):
            url = re.sub(r"\{\w+\}", str(ids[number % len(ids)]), path)
            began = time.perf_counter()
            await bob.http.request(method, url, json=body_of(method, path))
            taken[kind].append(time.perf_counter() - began)
    return {kind: statistics.median(seconds) for kind, seconds in taken.items()}


@pytest.mark.parametrize(("method", "path"), OF_A_TASK)
async def test_a_strangers_id_takes_about_as_long_as_an_unknown_one(alice: User, bob: User, method: str, path: str):
    # This sees what is coarse: a pause, a table that is scanned, a wait for somebody's lock. A round trip more is seen
    # by the test above, and microseconds, such as those of an index that is hit or missed, by none of them: no promise
    # is made about those. An id says nothing to who was not given it.
    strangers = [UUID((await alice.create())["id"]) for _ in range(5)]
    kinds = {"strangers": strangers, "unknown": [uuid7() for _ in strangers]}
    gaps: list[float] = []
    for _ in range(3):
        medians = await samples(bob, method, path, kinds, sized(25, 150))
        gaps.append((medians["strangers"] - medians["unknown"]) / min(medians.values()))
        # A difference that is there each time has the same sign each time.
        if abs(gaps[-1]) < 0.3 or gaps[-1] * gaps[0] < 0:
            return
    pytest.fail(f"one of them takes longer each time: {gaps}")

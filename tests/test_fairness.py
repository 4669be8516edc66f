"""However much work a request is, others are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from taskward.runtime.fairness import LongWork, cooperatively, give_way, in_thread
from taskward.tasks.search import fold, searchable
from tests.costs import allowed
from tests.users import User

TASKS, IMPORT = "/api/v1/tasks", "/api/v1/me/import"
MARKS = "a" + "\u0301" * 5000 + "\u0316" * 4999


async def test_others_run_between_items_whenever_these_have_taken_their_time():
    ran = 0

    async def other() -> None:
        nonlocal ran
        while True:
            ran += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    async for _ in cooperatively(range(10)):
        time.sleep(0.006)  # noqa: ASYNC251 - the work of an item
    assert 9 <= ran <= 11
    async for _ in cooperatively(range(100)):
        pass
    assert ran <= 12
    running.cancel()


@pytest.mark.parametrize("text", [MARKS, "\u0f73" * 9999, "\uff9e\u0301" * 4999, "\u0344\u0316" * 4999], ids=len)
def test_a_run_of_marks_is_folded_in_time_that_grows_with_it(text: str):
    begun = time.process_time()
    fold(text)
    assert time.process_time() - begun < allowed(0.05)


def test_marks_of_a_word_fold_as_they_did_however_many_there_are():
    assert fold("e\u0301\u0316") == fold("é\u0316") == "e"
    assert searchable("Cafe" + "\u0301" * 100) == " cafe "
    few, many = "か" + "\u3099" + "\u0301" * 5, "か" + "\u3099" + "\u0301" * 500
    assert fold(few) == fold(many) == "が"


def work_of(kind: str) -> dict[str, Any]:
    if kind == "batch":
        task = {"title": "x", "description": MARKS}
        return {"url": f"{TASKS}/batch", "json": {"operations": [{"op": "create", "task": task}] * 25}}
    if kind == "large letters":
        operations = [{"op": "create", "task": {"title": "x", "description": "\ufdfa" * 9999}}] * 30
        return {"url": f"{TASKS}/batch", "json": {"operations": operations}}
    if kind == "vikunja":
        body = json.dumps([{"tasks": [{}] * 340_000}], separators=(",", ":"))
        return {"url": IMPORT, "params": {"format": "vikunja"}, "content": body[: 1 << 20]}
    rows = "TYPE,CONTENT\n" + "task,a\n" * 60_000
    return {"url": IMPORT, "params": {"format": "todoist"}, "content": rows, "headers": {"Content-Type": "text/csv"}}


@pytest.mark.costs
@pytest.mark.parametrize("kind", ["batch", "large letters", "vikunja", "todoist"])
async def test_nobody_waits_long_for_the_work_of_another(alice: User, bob: User, kind: str):
    await bob.create()
    asked = work_of(kind)
    asked.setdefault("headers", {"Content-Type": "application/json"})
    working = asyncio.create_task(alice.http.post(**asked, timeout=120))
    waits = []
    started = time.monotonic()
    while not working.done():
        begun = time.monotonic()
        assert (await bob.http.get(TASKS)).status_code == 200
        waits.append(time.monotonic() - begun)
        await asyncio.sleep(0.01)
    assert (await working).status_code in {200, 422}
    # Who does not yield keeps the other waiting nearly as long as the work takes.
    assert max(waits) < max(allowed(1.2), (time.monotonic() - started) / 2), (max(waits), len(waits))


async def test_long_work_of_one_user_is_one_at_a_time_and_of_several_side_by_side():
    work = LongWork()
    running: list[str] = []
    most = 0

    async def one(user_id: str) -> None:
        nonlocal most
        async with work.of(user_id):
            running.append(user_id)
            most = max(most, running.count(user_id))
            await asyncio.sleep(0.005)
            both.append(len(set(running)))
            running.remove(user_id)

    both: list[int] = []
    tasks = [asyncio.create_task(one(user_id)) for user_id in ("alice", "bob") * 5]
    await asyncio.sleep(0)
    # One that waits, and one that has just been let in.
    tasks[8].cancel()
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (most, max(both), len(both)) == (1, 2, 8)
    assert work._waiting == {}


async def test_a_turn_of_one_who_is_cancelled_as_it_is_given_is_passed_on():
    work = LongWork()
    entered = asyncio.Event()

    async def one() -> None:
        async with work.of("alice"):
            entered.set()

    async with work.of("alice"):
        first, second = (asyncio.create_task(one()) for _ in range(2))
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert entered.is_set()
    assert work._waiting == {}


async def test_long_work_waits_for_short_requests_but_not_for_ever():
    work = LongWork()
    work.short = 1
    begun = time.monotonic()
    async with work.of("alice"):
        # Nobody ended it.
        assert time.monotonic() - begun >= 0.005
        giving_way = asyncio.create_task(give_way())
        await asyncio.sleep(0.001)
        assert not giving_way.done()
        work.ended()
        await asyncio.wait_for(giving_way, 1)
        assert (work.short, work._giving_way) == (0, [])
        # Nobody is there to wait for.
        await give_way()
    assert work._waiting == {}


async def test_a_request_that_has_ended_in_whatever_way_is_waited_for_no_more(app: FastAPI, alice: User):
    task = await alice.create()
    await alice.http.get(f"{TASKS}/{task['id']}")
    await alice.http.get(f"{TASKS}/nothing")
    await alice.http.post(TASKS, json={"title": ""})
    await alice.http.post(TASKS, content=b"{", headers={"Content-Type": "application/json"})
    await alice.http.get(TASKS, params={"sort": "title", "count": "true", "q": "x"})
    assert app.state.long_work.short == 0
    assert app.state.long_work._waiting == {}


@pytest.mark.parametrize(("announced", "expected"), [("13", 1), ("32768", 1), ("32769", 0), (None, 0)])
async def test_long_work_waits_for_a_short_body_while_it_comes(
    app: FastAPI, alice: User, announced: str | None, expected: int
):
    counted = []

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        for _ in range(20):
            await asyncio.sleep(0.01)
            counted.append(app.state.long_work.short)
        yield b'"title":"x"}'.ljust(int(announced or 0) - 1)

    headers = {"Content-Type": "application/json", **({} if announced is None else {"Content-Length": announced})}
    answer = await alice.http.post(TASKS, content=body(), headers=headers)
    assert (answer.status_code, max(counted), app.state.long_work.short) == (201, expected, 0)


async def test_threads_change_sooner_while_there_is_long_work_and_no_longer():
    usual = sys.getswitchinterval()
    may_end = threading.Event()

    def fail() -> None:
        assert may_end.wait(10)
        raise LookupError(sys.getswitchinterval())

    running = [asyncio.create_task(in_thread(fail)) for _ in range(2)]
    assert await in_thread(sys.getswitchinterval) < usual / 5
    may_end.set()
    for task in running:
        with pytest.raises(LookupError):
            await task
    assert sys.getswitchinterval() == usual
    async with LongWork().of("alice"):
        assert sys.getswitchinterval() < usual / 5
    assert sys.getswitchinterval() == usual

"""Limits of one length with one timer."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from taskward.runtime.timeouts import Expired, Timeouts


async def test_what_is_not_ended_in_time_is_called():
    struck: list[int] = []
    timeouts = Timeouts(0.05)
    kept = timeouts.start(lambda: struck.append(0))
    missed = timeouts.start(lambda: struck.append(1))
    kept.end()
    await asyncio.sleep(0.15)
    assert struck == [1]
    assert (kept.expired, missed.expired) == (False, True)


async def test_each_is_called_once_at_its_own_time_as_a_timer_of_the_loop_is():
    happened: list[tuple[str, int]] = []
    times: list[float] = []
    loop = asyncio.get_running_loop()
    timeouts = Timeouts(0.1)
    began = loop.time()

    def strike(number: int) -> None:
        happened.append(("limit", number))
        times.append(loop.time() - began)

    for number in range(3):
        timeouts.start(partial(strike, number))
        # However busy the machine is, what was due before this timer is done before it.
        loop.call_later(0.1, happened.append, ("timer", number))
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    assert sorted(happened) == [(kind, number) for kind in ("limit", "timer") for number in range(3)]
    assert all(happened.index(("limit", number)) < happened.index(("timer", number)) for number in range(3))
    assert all(at >= 0.1 + 0.05 * number for number, at in enumerate(times))


async def test_what_has_ended_is_not_kept():
    timeouts = Timeouts(60)
    for _ in range(1000):
        timeouts.start(lambda: None).end()
    assert len(timeouts._running) <= 1
    for deadline in list(timeouts._running):
        deadline.end()
    assert timeouts._timer is not None
    timeouts._timer.cancel()


async def test_it_goes_on_after_everything_ended():
    struck: list[int] = []
    timeouts = Timeouts(0.03)
    timeouts.start(lambda: None).end()
    await asyncio.sleep(0.06)
    timeouts.start(lambda: struck.append(1))
    await asyncio.sleep(0.08)
    assert struck == [1]


async def test_a_task_that_takes_too_long_is_told_so_and_not_cancelled():
    with pytest.raises(Expired), Timeouts(0.01).limit():
        await asyncio.sleep(10)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_task_that_is_cancelled_within_a_limit_is_cancelled():
    timeouts = Timeouts(10)

    async def work() -> None:
        with timeouts.limit():
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limit_that_is_ended_within_strikes_nobody():
    with Timeouts(0.01).limit() as deadline:
        deadline.end()
        await asyncio.sleep(0.05)

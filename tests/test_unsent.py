"""The account of what waits to be sent: who gets room, when, and that all of it comes back."""

from __future__ import annotations

import asyncio

import pytest

from taskward.errors import AnswersUntaken
from taskward.runtime.unsent import SMALL_ANSWER, TIGHT, NeedsRoom, Room, Unsent


def account(of_one: int = 10, of_all: int = 20, patience: float = 60) -> Unsent:
    return Unsent(of_one, of_all, patience)


async def waits(unsent: Unsent, user_id: str, size: int) -> asyncio.Task[None]:
    task = asyncio.create_task(unsent.take(user_id, size))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_room_is_had_at_once_where_there_is_some():
    unsent = account()
    await unsent.take("alice", 4)
    await unsent.take("alice", 6)
    await unsent.take("bob", 10)
    assert (unsent.of("alice"), unsent.of("bob"), unsent.total) == (10, 10, 20)


async def test_what_is_larger_than_all_goes_alone():
    unsent = account()
    await unsent.take("alice", 100)
    bob = await waits(unsent, "bob", 100)
    unsent.give("alice", 100)
    await bob
    assert unsent.total == 100


async def test_one_who_is_at_the_limit_does_not_keep_others_waiting():
    unsent = account()
    await unsent.take("alice", 10)
    alice = await waits(unsent, "alice", 1)
    await unsent.take("bob", 5)
    unsent.give("alice", 10)
    await alice


async def test_who_has_least_is_first_and_then_who_came_first():
    unsent = account(of_one=15)
    await unsent.take("alice", 14)
    await unsent.take("bob", 6)
    order: list[str] = []

    async def take(user_id: str, name: str) -> None:
        await unsent.take(user_id, 1)
        order.append(name)

    tasks = [
        asyncio.create_task(take(*one))
        for one in [("alice", "alice"), ("bob", "bob 1"), ("bob", "bob 2"), ("carol", "carol")]
    ]
    await asyncio.sleep(0)
    for _ in tasks:
        unsent.give("alice", 1)
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["carol", "bob 1", "bob 2", "alice"]


async def test_small_ones_do_not_pass_by_a_large_one_for_ever():
    unsent = account(of_one=20)
    await unsent.take("alice", 15)
    large = await waits(unsent, "bob", 20)
    small = await waits(unsent, "carol", 1)
    unsent.give("alice", 15)
    await large
    assert not small.done()
    unsent.give("bob", 20)
    await small


async def test_nobody_waits_for_ever():
    unsent = account(patience=0.01)
    await unsent.take("alice", 20)
    with pytest.raises(AnswersUntaken):
        await unsent.take("bob", 1)
    unsent.give("alice", 20)
    await unsent.take("bob", 1)
    assert unsent.total == 1


async def test_who_leaves_while_waiting_takes_nothing_along():
    unsent = account()
    await unsent.take("alice", 20)
    bob, carol = await waits(unsent, "bob", 1), await waits(unsent, "carol", 2)
    bob.cancel()
    await asyncio.sleep(0)
    unsent.give("alice", 20)
    # Granted, and cancelled before it was known.
    carol.cancel()
    for task in (bob, carol):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert unsent.total == 0


async def test_who_leaves_while_first_lets_others_have_what_there_is():
    unsent = account()
    await unsent.take("alice", 10)
    large = await waits(unsent, "bob", 20)
    small = await waits(unsent, "carol", 5)
    large.cancel()
    await asyncio.wait_for(small, 1)
    assert (unsent.of("bob"), unsent.of("carol"), unsent.total) == (0, 5, 15)


async def test_who_gives_up_while_first_lets_others_have_what_there_is():
    unsent = account(patience=0.1)
    await unsent.take("alice", 10)
    large = await waits(unsent, "bob", 20)
    await asyncio.sleep(0.07)
    small = await waits(unsent, "carol", 5)
    with pytest.raises(AnswersUntaken):
        await large
    await small
    assert unsent.total == 15


async def test_a_room_is_given_back_once():
    unsent = account(of_one=SMALL_ANSWER * 10, of_all=SMALL_ANSWER * 20)
    room = Room(unsent, "alice")
    assert room.most == SMALL_ANSWER
    await room.ask(SMALL_ANSWER * 2)
    assert room.most > SMALL_ANSWER * 2
    assert unsent.total > SMALL_ANSWER * 2
    room.settle(TIGHT)
    assert unsent.total == 0
    room.settle(TIGHT + 1)
    assert unsent.total == TIGHT + 1
    for _ in range(2):
        room.give_back()
        assert unsent.total == 0


async def test_who_is_over_reads_little_without_asking():
    unsent = account(of_one=SMALL_ANSWER, of_all=SMALL_ANSWER * 20)
    unsent.add("alice", SMALL_ANSWER)
    assert (Room(unsent, "alice").most, Room(unsent, "bob").most) == (TIGHT, SMALL_ANSWER)
    over = Room(unsent, "alice")
    with pytest.raises(NeedsRoom) as needs:
        over.check()
    Room(unsent, "bob").check()
    waiting = asyncio.create_task(over.ask(needs.value.size))
    await asyncio.sleep(0)
    assert not waiting.done()
    unsent.give("alice", SMALL_ANSWER)
    await waiting
    unsent.add("alice", SMALL_ANSWER * 2)
    over.check()


async def test_who_asks_for_much_at_once_is_over_as_soon_as_answers_are_there():
    unsent = account(of_one=SMALL_ANSWER * 3, of_all=SMALL_ANSWER * 20)
    rooms = [Room(unsent, "alice") for _ in range(10)]
    for room in rooms:
        room.settle(room.most)
    assert unsent.of("alice") == SMALL_ANSWER * 3


async def test_where_all_is_full_who_has_more_than_a_small_answer_there_is_over():
    unsent = account(of_one=SMALL_ANSWER * 10, of_all=SMALL_ANSWER * 20)
    unsent.add("alice", SMALL_ANSWER + 1)
    unsent.add("bob", SMALL_ANSWER)
    assert not unsent.is_over("alice")
    unsent.add("carol", SMALL_ANSWER * 19)
    assert [unsent.is_over(name) for name in ("alice", "bob", "dave")] == [True, False, False]
    unsent.give("carol", SMALL_ANSWER * 19)
    assert not unsent.is_over("alice")


async def test_what_can_be_read_again_is_let_go_where_there_is_no_room():
    unsent = account(of_one=SMALL_ANSWER * 4, of_all=SMALL_ANSWER * 6)
    unsent.add("alice", SMALL_ANSWER)
    room = Room(unsent, "alice")
    # Small ones never wait, nor does what was changed, and cannot be asked for once more.
    room.settle(SMALL_ANSWER, may_wait=True)
    room.settle(SMALL_ANSWER * 9)
    room.give_back()
    with pytest.raises(NeedsRoom) as more_than_she_may_have:
        room.settle(SMALL_ANSWER * 3 + 1, may_wait=True)
    assert (more_than_she_may_have.value.size, unsent.total) == (SMALL_ANSWER * 3 + 1, SMALL_ANSWER)
    with pytest.raises(NeedsRoom):
        Room(unsent, "bob").settle(SMALL_ANSWER * 5 + 1, may_wait=True)
    unsent.give("alice", SMALL_ANSWER)
    # One that is larger than all may be goes alone.
    Room(unsent, "bob").settle(SMALL_ANSWER * 9, may_wait=True)
    with pytest.raises(NeedsRoom):
        room.settle(SMALL_ANSWER + 1, may_wait=True)
    unsent.give("bob", SMALL_ANSWER * 9)
    # Whoever has waited for room has it, and a little more.
    await room.ask(SMALL_ANSWER * 2)
    unsent.add("bob", SMALL_ANSWER * 4)
    room.settle(SMALL_ANSWER * 2 + SMALL_ANSWER // 2, may_wait=True)
    assert unsent.of("alice") == SMALL_ANSWER * 2 + SMALL_ANSWER // 2

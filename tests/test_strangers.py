"""A stranger's id and an unknown one: what tells them apart is what the contract says, and nothing else."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7

from taskward.storage import wire
from tests.databases import Superuser, rows_of
from tests.route_table import (
    OF_A_TAG,
    OF_AN_ID,
    REFERRING,
    ROUTES,
    body_of,
    furnish,
    parameters_of,
    problems_of,
    queries_of,
    target_of,
)
from tests.services import eventually
from tests.sizes import sized
from tests.users import User

EVERY_QUESTION = [
    (method, path, query, headers)
    for method, path in OF_AN_ID
    for query in queries_of(method, path)
    for headers in ({}, {"If-Match": '"1"'}, {"If-None-Match": "*"})
]


async def test_a_strangers_id_and_an_unknown_one_are_told_apart_by_the_contracts_members_alone(alice: User, bob: User):
    hers = await furnish(alice)
    for method, path, query, headers in EVERY_QUESTION:
        forbidden, not_found = problems_of(path)
        answers = []
        for one in (*hers.ids_of(path).values(), str(uuid7())):
            url = target_of(path, one)
            sent = {"json": body_of(method, path), "headers": {**headers, "X-Request-Id": "the-same"}}
            answer = await bob.http.request(method, target_of(path, one, query=query), **sent)
            problem = answer.json()
            assert problem.pop("instance") == url
            told = dict(answer.headers)
            assert int(told.pop("content-length")) == len(answer.content)
            told.pop("date", None)
            answers.append((answer.status_code, problem, list(answer.headers), told))
        *of_hers, of_unknown = answers
        assert of_hers == [of_hers[0]] * len(of_hers)
        for (status, problem, _, _), kind in ((of_hers[0], forbidden), (of_unknown, not_found)):
            assert status == kind.status
            assert problem == {
                "type": f"/problems/{kind.slug}", "title": kind.title, "status": kind.status, "detail": kind.detail,
                "request_id": "the-same",
            }  # fmt: skip
        assert of_hers[0][2:] == of_unknown[2:]


BOUNDS = {"BEGIN", "COMMIT", "ROLLBACK"}
Told = Callable[[], Awaitable[list[str]]]


@pytest.fixture
def told(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Tells what the database was asked since it was last called."""
    asked: list[str] = []
    pool, run = app.state.database.pool, wire.run_prepared

    async def noted(connection: Any, opening: bytes, statement: Any, arguments: Any, **options: Any) -> Any:
        if opening.startswith(wire.Opening("tw_begin").bound()):
            asked.append("BEGIN")
        asked.append(statement.query)
        return await run(connection, opening, statement, arguments, **options)

    def noting(method: Callable[..., Any]) -> Callable[..., Any]:
        async def ask(connection: Any, query: str, *arguments: Any, **options: Any) -> Any:
            asked.append(query)
            return await method(connection, query, *arguments, **options)

        return ask

    async def told() -> list[str]:
        # The last is noted a moment after the answer was sent.
        ended = lambda: asked.count("BEGIN") == asked.count("COMMIT") + asked.count("ROLLBACK")  # noqa: E731
        assert await asyncio.to_thread(eventually, lambda: asked and ended() and not pool.in_use)
        # Whether a transaction begins by itself depends on what the connection has prepared.
        found = [query for query in asked if query not in BOUNDS and "transaction_isolation" not in query]
        asked.clear()
        return found

    monkeypatch.setattr(wire, "run_prepared", noted)
    for name in ("execute", "fetch"):
        monkeypatch.setattr(asyncpg.Connection, name, noting(getattr(asyncpg.Connection, name)))
    return told


@pytest.mark.parametrize(("method", "path"), OF_AN_ID)
async def test_a_strangers_id_asks_the_database_the_same_as_an_unknown_one(
    told: Told, alice: User, bob: User, method: str, path: str
):
    hers = await furnish(alice)
    forbidden, not_found = problems_of(path)
    probe = f"{parameters_of(path)[0].removesuffix('_id')}_ids_in_use"
    await told()
    for query in queries_of(method, path):
        everything = []
        for one in (*hers.ids_of(path).values(), str(uuid7())):
            url = target_of(path, one, query=query)
            answer = await bob.http.request(method, url, json=body_of(method, path))
            assert answer.status_code in {forbidden.status, not_found.status}
            everything.append(await told())
        assert answer.status_code == not_found.status
        assert everything == [everything[0]] * len(everything)
        assert any(probe in query for query in everything[0])


@pytest.mark.parametrize(("route", "name"), REFERRING, ids=str)
async def test_a_reference_to_a_strangers_row_asks_the_database_the_same_as_one_to_nothing(
    told: Told, alice: User, bob: User, route: tuple[str, str], name: str
):
    method, path = route
    hers, his = await furnish(alice), await furnish(bob)
    url = target_of(path, next(iter(his.ids_of(path).values())))
    await told()
    everything = []
    for reference in (*hers.every_id.values(), str(uuid7())):
        body = {**body_of(method, path), name: reference}
        assert (await bob.http.request(method, url, json=body)).status_code == 422
        everything.append(await told())
    assert everything == [everything[0]] * len(everything)


@pytest.mark.parametrize(("method", "path"), OF_A_TAG)
async def test_anothers_tag_asks_the_database_the_same_as_one_that_nobody_has(
    told: Told, alice: User, bob: User, method: str, path: str
):
    hers = await furnish(alice)
    await told()
    everything = []
    for tag in (hers.tag, "Nobody's tag"):
        answer = await bob.http.request(method, target_of(path, tag), json=body_of(method, path))
        assert answer.status_code == 404
        everything.append(await told())
    assert everything[0] == everything[1]


async def test_nobody_waits_for_what_another_is_writing(alice: User, bob: User, superuser: Superuser):
    hers, his = await furnish(alice), await furnish(bob)
    tables = {table for table, _ in await rows_of(superuser, alice.id)}
    assert tables >= {"account", "list", "task"}
    async with superuser.transaction():
        for table in tables:
            await superuser.fetch(f"SELECT FROM taskward.{table} WHERE user_id = $1 FOR UPDATE", alice.id)
        async with asyncio.timeout(60):
            # What erases comes after what writes, the account last.
            for method, path in sorted(ROUTES, key=lambda route: (route[0] == "DELETE", "{" not in route[1])):
                known = parameters_of(path)
                values = [hers.tag] if known == ["tag"] else [*hers.ids_of(path).values(), *his.ids_of(path).values()]
                for value in values if known else [None]:
                    for query in queries_of(method, path):
                        url = target_of(path, value, query=query, user_id=bob.id)
                        answer = await bob.http.request(method, url, json=body_of(method, path), timeout=5)
                        assert answer.status_code < 500, (method, url)
    assert await rows_of(superuser, bob.id) == []


async def samples(bob: User, method: str, path: str, kinds: dict[str, list[UUID]], count: int) -> dict[str, float]:
    """The median seconds of each kind, asked in turn, so that whatever else the machine does meets both alike."""
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(count):
        for kind, ids in sorted(kinds.items(), reverse=number % 2 == 1):
            url = target_of(path, ids[number % len(ids)])
            began = time.perf_counter()
            await bob.http.request(method, url, json=body_of(method, path))
            taken[kind].append(time.perf_counter() - began)
    return {kind: statistics.median(seconds) for kind, seconds in taken.items()}


@pytest.mark.parametrize(("method", "path"), OF_AN_ID)
async def test_a_strangers_id_takes_about_as_long_as_an_unknown_one(alice: User, bob: User, method: str, path: str):
    # This sees what is coarse: a pause, a table that is scanned, a wait for somebody's lock. A round trip more is seen
    # by the test above, and microseconds, such as those of an index that is hit or missed, by none of them: no promise
    # is made about those. An id says nothing to who was not given it.
    hers = [await furnish(alice) for _ in range(2)]
    ids_in_use = [UUID(one) for belongings in hers for one in belongings.ids_of(path).values()]
    kinds = {"strangers": ids_in_use, "unknown": [uuid7() for _ in ids_in_use]}
    gaps: list[float] = []
    for _ in range(3):
        medians = await samples(bob, method, path, kinds, sized(25, 150))
        gaps.append((medians["strangers"] - medians["unknown"]) / min(medians.values()))
        # A difference that is there each time has the same sign each time.
        if abs(gaps[-1]) < 0.3 or gaps[-1] * gaps[0] < 0:
            return
    pytest.fail(f"one of them takes longer each time: {gaps}")

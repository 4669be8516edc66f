"""What a user with many tasks asks takes no time by the square of their number, where PostgreSQL's statistics know of
none: it expects one row then, and one plan costs as much as another.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import httpx2
import pytest
from uuid_utils.compat import uuid7

from taskward.app import create_app, lifespan
from tests.clusters import Cluster
from tests.costs import allowed
from tests.databases import connected, name_of
from tests.serving import NO_TLS, make_settings, make_token

ME, LISTS = "/api/v1/me", "/api/v1/lists"
MANY = 10_000


@pytest.fixture
async def alice(new_database: str, cluster: Cluster) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a database as after the erasure of a large account: many pages of the table, and few rows."""
    app = create_app(make_settings(new_database))
    async with (
        lifespan(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {make_token('alice')}"},
            verify=NO_TLS,
        ) as client,
        connected(cluster.url(name_of(new_database), superuser=True)) as connection,
    ):
        await put_back(client, MANY)
        await connection.execute(
            "UPDATE taskward.task SET user_id = 'bob' WHERE id IN (SELECT id FROM taskward.task ORDER BY id LIMIT 30);"
            "DELETE FROM taskward.task WHERE user_id = 'alice'; UPDATE taskward.account SET tasks = 0"
        )
        await connection.execute("VACUUM (ANALYZE, TRUNCATE false) taskward.task")
        yield client


async def put_back(client: httpx2.AsyncClient, count: int, **members: str) -> None:
    tasks = [json.dumps({"type": "task", "id": str(uuid7()), "title": "x", **members}) for _ in range(count)]
    lists = [json.dumps({"type": "list", "id": of_list, "name": "x"}) for of_list in members.values()]
    answer = await client.post(
        f"{ME}/import", content="\n".join(lists + tasks), headers={"Content-Type": "application/x-ndjson"}, timeout=60
    )
    assert answer.json()["tasks"] == count, answer.text


async def seconds_of(client: httpx2.AsyncClient, path: str, **query: str) -> float:
    begun = time.monotonic()
    assert (await client.delete(path, params=query, timeout=60)).status_code == 204
    return time.monotonic() - begun


@pytest.mark.costs
async def test_an_account_is_erased_soon(alice: httpx2.AsyncClient):
    await put_back(alice, MANY)
    # 0.2; with an index by which PostgreSQL looked for each row's key through all rows it took 10.
    assert await seconds_of(alice, ME, confirm="alice") < allowed(2)


@pytest.mark.costs
@pytest.mark.parametrize("tasks", ["trash", "keep"])
async def test_a_list_of_a_user_who_has_more_than_others_is_removed_soon(
    alice: httpx2.AsyncClient, new_database: str, cluster: Cluster, tasks: str
):
    async with connected(cluster.url(name_of(new_database), superuser=True)) as connection:
        await connection.execute(
            "INSERT INTO taskward.task (user_id, id, title, folded_title, version)"
            " SELECT 'u' || u, gen_random_uuid(), 't', ' t ', n"
            " FROM generate_series(1, 400) u, generate_series(1, 40) n; ANALYZE taskward.task"
        )
    of_list = str(uuid7())
    await put_back(alice, MANY * 2 // 3, list_id=of_list)
    # Where the whole list was looked through for the parent of each task it took 6.
    assert await seconds_of(alice, f"{LISTS}/{of_list}", tasks=tasks) < allowed(2)

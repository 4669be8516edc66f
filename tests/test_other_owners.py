"""A slice may open sessions for an owner that is not its caller: the kernel mixes neither up with the other."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response

from taskward.app import create_app, lifespan
from taskward.http.dependencies import CurrentCaller, session_of
from taskward.http.entering import yields
from taskward.http.idempotency import IdempotencyKey, Once, idempotent
from taskward.http.routing import PrecompiledRoute
from taskward.identity import Owner
from taskward.storage.row_json import Row
from taskward.storage.session import Session
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from tests.clusters import Cluster
from tests.serving import NO_TLS, make_settings, make_token

TEAM = Owner(f"team-{secrets.token_hex(4)}")
router = APIRouter(route_class=PrecompiledRoute)


@yields
def team_session(request: Request, _caller: CurrentCaller) -> AbstractAsyncContextManager[Session]:
    """A session as the team, of which everybody is one here."""
    return session_of(request, TEAM)


TeamSession = Annotated[Session, Depends(team_session)]


def once_in_team(request: Request, session: TeamSession, caller: CurrentCaller, key: IdempotencyKey = None) -> Once:
    return Once(request, session, caller, key)


@router.post("/team/tasks")
@partial(idempotent, once=once_in_team)
async def create(session: TeamSession, task: TaskCreate) -> Response:
    row = await TaskStore(session).add(task)
    return Response(json.dumps([row["user_id"], row["title"]]), 201)


@router.get("/team/tasks")
async def titles(session: TeamSession) -> Response:
    page = await TaskStore(session).list(listing(TaskFilters()))
    return Response(json.dumps([json.loads(task)["title"] for task in page.tasks]))


class Told:
    """What is told of accounts after writes."""

    def __init__(self) -> None:
        self.owners: list[Owner] = []

    def consider(self, account: Row, owner: Owner) -> None:  # noqa: ARG002 - it is told of all
        self.owners.append(owner)

    async def close(self) -> None:
        pass


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def app(cluster: Cluster, template: str, told: Told) -> AsyncIterator[FastAPI]:
    app = create_app(make_settings(cluster.url(template)))
    app.router.routes.extend(router.routes)
    app.state.after_writes = (told,)
    async with lifespan(app):
        yield app


async def post(app: FastAPI, user_id: str, title: str, key: str | None = None) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {make_token(user_id)}"} | ({"Idempotency-Key": key} if key else {})
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x", headers=headers, verify=NO_TLS) as client:
        return await client.post("/team/tasks", json={"title": title})


@pytest.fixture
def users() -> tuple[str, str]:
    return f"alice-{secrets.token_hex(4)}", f"bob-{secrets.token_hex(4)}"


async def test_what_is_written_is_the_owners_and_of_it_is_told(app: FastAPI, told: Told, users: tuple[str, str]):
    for user_id in users:
        assert (await post(app, user_id, "Ours")).json() == [TEAM.user_id, "Ours"]
    assert told.owners == [TEAM, TEAM]
    for user_id in users:
        async with app.state.database.session(Owner(user_id), read_only=True) as session:
            assert not (await TaskStore(session).list(listing(TaskFilters()))).tasks


async def test_each_of_its_callers_has_keys_of_its_own(app: FastAPI, users: tuple[str, str]):
    for user_id in users:
        for title, is_replayed in (("Mine", False), ("Mine", True)):
            answer = await post(app, user_id, title, "a-key")
            assert (answer.status_code, "idempotency-replayed" in answer.headers) == (201, is_replayed)
    other = await post(app, users[0], "Another", "a-key")
    assert other.json()["type"] == "/problems/key-reused"
    for user_id in users:
        assert (await post(app, user_id, "Mine", "a-key")).headers["idempotency-replayed"] == "true"

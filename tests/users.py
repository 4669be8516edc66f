"""The session's service and its users. Users are kept apart by the very thing under test, so a test needs no clean
database but users of its own, which the fixtures `alice` and `bob` are.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from taskward.app import create_app
from tests.clusters import Cluster
from tests.serving import NO_TLS, make_settings, make_token, serving


@pytest.fixture(scope="session")
def app(cluster: Cluster, template: str) -> FastAPI:
    """The app as shipped, on the session's database."""
    return create_app(make_settings(cluster.url(template)))


@pytest.fixture(scope="session")
def base_url(app: FastAPI) -> Iterator[str]:
    """Where the session's app is served, over real HTTP."""
    with serving(app) as url:
        yield url


@dataclass(frozen=True)
class User:
    """A user with a token and a client that sends it."""

    id: str
    token: str
    http: httpx2.AsyncClient

    async def create(self, title: str = "Buy milk", **members: Any) -> dict[str, Any]:
        response = await self.http.post("/api/v1/tasks", json={"title": title, **members})
        assert response.status_code == 201, response.text
        return response.json()  # type: ignore[no-any-return]

    async def trash(self, task_id: str) -> None:
        assert (await self.http.delete(f"/api/v1/tasks/{task_id}")).status_code == 204


NewUser = Callable[[str], Awaitable[User]]


@pytest.fixture
async def new_user(base_url: str) -> AsyncIterator[NewUser]:
    """Makes users with an id that no other test has."""
    clients: list[httpx2.AsyncClient] = []

    async def make(name: str) -> User:
        user_id = f"{name}-{secrets.token_hex(4)}"
        token = make_token(user_id)
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=30, verify=NO_TLS)
        clients.append(client)
        return User(user_id, token, client)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def alice(new_user: NewUser) -> User:
    return await new_user("alice")


@pytest.fixture
async def bob(new_user: NewUser) -> User:
    return await new_user("bob")


@pytest.fixture
async def nobody(base_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a token."""
    async with httpx2.AsyncClient(base_url=base_url, timeout=30, verify=NO_TLS) as client:
        yield client

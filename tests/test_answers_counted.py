"""Every answer counts towards what answers may take while they wait to be sent, whichever route has made it."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from typing import Any

import httpx2
import pytest

from taskward.app import create_app
from taskward.http import plans
from taskward.runtime import unsent
from taskward.runtime.unsent import TIGHT, Unsent
from tests.clusters import Cluster
from tests.route_table import ME, ROUTES, TASKS, body_of, furnish, make, parameters_of, query_of, target_of
from tests.services import eventually
from tests.serving import NO_TLS, make_settings, make_token, serving
from tests.users import User

_LAST = ("DELETE", ME)
_EXPORT = ("GET", f"{ME}/export")
MEBI = 1024 * 1024


class Noting(Unsent):
    """An account that notes what was counted."""

    def __init__(self) -> None:
        super().__init__(8 * MEBI, 32 * MEBI, 10)
        self.noted: list[tuple[str, int]] = []

    def add(self, user_id: str, size: int) -> None:
        self.noted.append((user_id, size))
        super().add(user_id, size)


async def test_every_route_counts_its_answer(cluster: Cluster, template: str, monkeypatch: pytest.MonkeyPatch):
    # Whatever a route answers, something may be as large one day.
    for module in (unsent, plans):
        monkeypatch.setattr(module, "TIGHT", 0)
    app = create_app(make_settings(cluster.url(template)))
    account = app.state.unsent = Noting()
    user_id = f"alice-{secrets.token_hex(4)}"
    token = make_token(user_id)
    counted = 0
    with serving(app) as url:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30, verify=NO_TLS) as http:
            user = User(user_id, token, http)
            await furnish(user)
            for method, path in sorted(ROUTES, key=lambda route: route == _LAST):
                target = await _target(user, method, path)
                key = {"Idempotency-Key": f'"{secrets.token_hex(8)}"'} if method == "POST" else {}
                for _ in range(2 if key else 1):
                    account.noted.clear()
                    response = await _ask(user, method, path, target, key)
                    assert response.status_code < 300, (method, path, response.text)
                    sizes = [size for _, size in account.noted]
                    assert all(name == user_id for name, _ in account.noted), (method, path)
                    if (method, path) == _EXPORT:
                        assert sizes[0] > len(response.content), sizes
                    elif response.content:
                        assert sizes == [len(response.content)], (method, path)
                        counted += 1
                assert bool(key) == ("idempotency-replayed" in response.headers), (method, path)
            assert await asyncio.to_thread(eventually, lambda: account.total == 0)
    assert counted > 20


async def _target(user: User, method: str, path: str) -> str:
    value: Any = None
    for parameter in parameters_of(path):
        if parameter == "tag":
            value = secrets.token_hex(4)
            await user.create("x", tags=[value])
        else:
            value = await make(user, parameter)
    return target_of(path, value, query=query_of(method, path), user_id=user.id)


async def _ask(user: User, method: str, path: str, target: str, headers: dict[str, str]) -> httpx2.Response:
    body = body_of(method, path)
    if body is None:
        return await user.http.request(method, target, headers=headers)
    kind = "application/x-ndjson" if path.endswith("/import") else "application/json"
    return await user.http.request(method, target, headers={**headers, "Content-Type": kind}, content=json.dumps(body))


async def test_one_task_waits_where_its_user_has_no_room(cluster: Cluster, template: str):
    app = create_app(make_settings(cluster.url(template), send_timeout=60, unsent_per_user=MEBI))
    account = app.state.unsent
    user_id = f"silent-{secrets.token_hex(4)}"
    token = make_token(user_id)
    most = 0
    with serving(app) as url:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30, verify=NO_TLS) as http:
            made = await http.post(
                TASKS, json={"title": "x", "description": "\1" * 10_000, "metadata": {"n": "x" * 8_000}}
            )
        assert len(made.content) > TIGHT
        request = f"GET {made.headers['location']} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        connections = [socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) for _ in range(20)]
        try:
            for connection in connections:
                # The system takes some of them.
                connection.sendall(request.encode() * 120)
            assert await asyncio.to_thread(eventually, lambda: account.of(user_id) > MEBI // 2, 60)
            for _ in range(20):
                most = max(most, account.of(user_id))
                await asyncio.sleep(0.1)
        finally:
            for connection in connections:
                connection.close()
        assert MEBI // 2 < most <= MEBI
        idle = lambda: account.total == 0 and app.state.database.pool.in_use == 0  # noqa: E731
        assert await asyncio.to_thread(eventually, idle, 30)

"""Clients that ask for much and read nothing: what they cost, when they are cut off, and who goes on meanwhile.

Against `taskward serve` as a process, over real sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import httpx2
import psutil
import pytest
from uuid_utils.compat import uuid7

from taskward.app import create_app
from tests.clusters import Cluster
from tests.databases import Superuser
from tests.services import Service, eventually
from tests.serving import NO_TLS, SECRET, make_settings, make_token, serving

pytestmark = pytest.mark.processes
LISTING = "/api/v1/tasks?limit=200"
EXPORT = "/api/v1/me/export"
TASKS = 200
MEBI = 1024 * 1024
Serve = Callable[..., Service]
_opened: list[socket.socket] = []


@pytest.fixture
def serve(cluster: Cluster, template: str, tmp_path: Path) -> Iterator[Serve]:
    """Starts a service on the template's database."""
    started: list[Service] = []

    def start(**settings: str) -> Service:
        data = tmp_path / f"data{len(started)}"
        data.mkdir()
        base = {"DATABASE_URL": cluster.url(template), "TASKWARD_JWT_SECRET": SECRET, "HOME": str(tmp_path)}
        started.append(Service(data, settings={**base, **settings}).ready())
        return started[-1]

    yield start
    for service in started:
        service.end()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


async def big_user(superuser: Superuser, tasks: int = TASKS) -> str:
    """A user whose listing of 200 tasks has 9 MiB."""
    user_id = f"reader-{os.urandom(6).hex()}"
    text, metadata = "\N{GRINNING FACE}" * 10_000, json.dumps({"n": "x" * 8_000})
    rows = [(user_id, uuid7(), f"Task {n}", f" task {n} ", text, text, metadata, n + 1) for n in range(tasks)]
    names = ["user_id", "id", "title", "folded_title", "description", "folded_description", "metadata", "version"]
    await superuser.execute(
        "INSERT INTO taskward.account (user_id, clock, tasks) VALUES ($1, $2, $2)", user_id, tasks + 1
    )
    await superuser.copy_records_to_table("task", schema_name="taskward", records=rows, columns=names)
    return user_id


def ask(service: Service, user_id: str, target: str, times: int = 1) -> socket.socket:
    """A connection on which something was asked for, and from which nothing is read."""
    return _ask(service.port, user_id, target, times)


def _ask(port: int, user_id: str, target: str, times: int = 1) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    _opened.append(connection)
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {make_token(user_id)}\r\n\r\n"
    connection.sendall(request.encode() * times)
    return connection


def client(service: Service, user_id: str, **options: Any) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {make_token(user_id)}"}
    return httpx2.Client(base_url=service.url, headers=headers, timeout=30, verify=NO_TLS, **options)


def resident(service: Service) -> float:
    """The workers' memory in MB."""
    return sum(worker.memory_info().rss for worker in service.workers) / 1e6


@contextlib.contextmanager
def watched(service: Service) -> Iterator[list[float]]:
    """What the memory of the workers was meanwhile."""
    seen, done = [resident(service)], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            with contextlib.suppress(psutil.NoSuchProcess):
                seen.append(resident(service))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def warm(service: Service, user_id: str) -> None:
    """Let a worker open its connections and prepare its statements."""

    def use(_number: int) -> None:
        with client(service, user_id) as http:
            for target in (LISTING, EXPORT, "/api/v1/tasks"):
                # On a busy machine ten connections may not be there in time.
                answers = (http.get(target) for _ in range(3))
                assert any(answer.status_code == 200 for answer in answers), service.stderr

    with client(service, user_id) as http:
        assert http.post("/api/v1/tasks", json={"title": "x"}).status_code == 201
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(use, range(50)))


def are_gone(service: Service, connections: list[socket.socket], seconds: float = 30) -> bool:
    """Whether the service has ended the connections, now or soon."""
    mine = {connection.getsockname()[1] for connection in connections}

    def none_left() -> bool:
        there = {one.raddr.port for worker in service.workers for one in worker.net_connections() if one.raddr}
        return not mine & there

    return eventually(none_left, seconds)


@pytest.mark.parametrize("target", [EXPORT, LISTING])
@pytest.mark.parametrize("users", [1, 10])
async def test_silent_readers_cost_little_and_leave_nothing(
    serve: Serve, superuser: Superuser, target: str, users: int
):
    service = serve()
    ids = [await big_user(superuser) for _ in range(users)]
    other = f"other-{os.urandom(6).hex()}"
    warm(service, other)
    before = resident(service)
    with watched(service) as seen, client(service, other) as http:
        connections = [ask(service, ids[n % users], target) for n in range(200)]
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert http.get("/api/v1/tasks").status_code == 200
    assert max(seen) - before < 60
    for connection in connections:
        connection.close()
    assert eventually(lambda: resident(service) - before < 30, 20), resident(service) - before


async def test_strangers_who_read_nothing_of_the_documentation_cost_little(serve: Serve):
    service = serve()
    warm(service, f"other-{os.urandom(6).hex()}")
    before = resident(service)
    with watched(service) as seen:
        targets = ("/docs/assets/swagger-ui-bundle.js", "/openapi.json")
        connections = [ask(service, "nobody", targets[n % 2], times=20) for n in range(200)]
        await asyncio.sleep(3)
    assert max(seen) - before < 60
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("target", "times"), [(EXPORT, 1), (LISTING, 1), ("/api/v1/tasks?limit=1", 40), ("/docs/assets/swagger-ui.css", 9)]
)
async def test_who_takes_nothing_is_cut_off(serve: Serve, superuser: Superuser, target: str, times: int):
    service = serve(TASKWARD_SEND_TIMEOUT="2")
    user = await big_user(superuser)
    connections = [ask(service, user, target, times) for _ in range(5)]
    assert are_gone(service, connections)
    with client(service, user) as http:
        assert len(http.get(LISTING).json()) == TASKS
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("target", [EXPORT, LISTING])
async def test_who_reads_slowly_is_not(serve: Serve, superuser: Superuser, target: str):
    service = serve(TASKWARD_SEND_TIMEOUT="4")
    user = await big_user(superuser)
    connection = ask(service, user, target.replace("?", "?count=false&"))
    received = bytearray()
    for _ in range(30):
        received += connection.recv(64 * 1024)
        await asyncio.sleep(0.3)
    answer = http.client.HTTPResponse(cast("socket.socket", _Replayed(bytes(received), connection)))
    answer.begin()
    body = answer.read()
    assert answer.status == 200
    if target == EXPORT:
        assert json.loads(body.splitlines()[-1]) == {"type": "end", "lists": 0, "tasks": TASKS}
    else:
        assert len(json.loads(body)) == TASKS
    connection.close()


class _Replayed(io.RawIOBase):
    """What was received, and then the rest, as a file and as the socket that it is made from."""

    def __init__(self, received: bytes, connection: socket.socket) -> None:
        self._received = received
        self._connection = connection

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._received:
            count = min(len(buffer), len(self._received))
            buffer[:count], self._received = self._received[:count], self._received[count:]
            return count
        return self._connection.recv_into(buffer)


async def test_others_and_small_answers_go_on_and_nobody_waits_with_a_connection(serve: Serve, superuser: Superuser):
    service = serve(TASKWARD_POOL_SIZE="2", TASKWARD_SEND_TIMEOUT="60")
    silent, other = await big_user(superuser), await big_user(superuser)
    connections = [ask(service, silent, target) for target in [LISTING, EXPORT] * 20]
    await asyncio.sleep(1)
    with client(service, other) as theirs, client(service, silent) as own:
        assert own.post("/api/v1/tasks", json={"title": "x"}).status_code == 201
        for _ in range(5):
            assert len(theirs.get(LISTING).json()) == TASKS
            assert own.post("/api/v1/tasks", json={"title": "x"}).status_code == 201
            assert own.get("/api/v1/tasks?limit=1").status_code == 200
        refused = own.get(LISTING)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/answers-untaken")
        assert refused.headers["retry-after"] == "2"
        batch = {"operations": [{"op": "create", "task": {"title": "x"}}]}
        assert own.post("/api/v1/tasks/batch", json=batch).status_code == 503
        for connection in connections:
            connection.close()
        assert eventually(lambda: own.get(LISTING).status_code == 200, 30)
        assert len(own.get("/api/v1/tasks?limit=5").json()) == 5


async def test_what_json_makes_larger_takes_no_room_from_others(serve: Serve, superuser: Superuser):
    service = serve(TASKWARD_SEND_TIMEOUT="60")
    silent, other = f"silent-{os.urandom(6).hex()}", await big_user(superuser)
    with client(service, silent) as own:
        # Of each character, JSON makes six.
        for _ in range(6):
            assert own.post("/api/v1/tasks", json={"title": "x", "description": "\1" * 10_000}).status_code == 201
    connections = [ask(service, silent, LISTING) for _ in range(100)]
    await asyncio.sleep(2)
    with client(service, other) as theirs:
        assert len(theirs.get(LISTING).json()) == TASKS
    for connection in connections:
        connection.close()


async def user_of_everything(superuser: Superuser) -> tuple[str, list[str]]:
    """A user with as many lists and tags as one may have, and some large tasks, and the ids of these."""
    user = await big_user(superuser, 30)
    found = await superuser.fetch("SELECT id FROM taskward.task WHERE user_id = $1", user)
    names = ["user_id", "id", "name", "version"]
    rows = [(user, uuid7(), "\N{GRINNING FACE}" * 255, n + 100) for n in range(500)]
    await superuser.copy_records_to_table("list", schema_name="taskward", records=rows, columns=names)
    tasks = [
        (user, uuid7(), "x", " x ", [f"{n} {tag} " + "\N{GRINNING FACE}" * 40 for tag in range(20)], 601 + n)
        for n in range(99)
    ]
    names = ["user_id", "id", "title", "folded_title", "tags", "version"]
    await superuser.copy_records_to_table("task", schema_name="taskward", records=tasks, columns=names)
    await superuser.execute("UPDATE taskward.account SET clock = 700, lists = 500 WHERE user_id = $1", user)
    return user, [str(row["id"]) for row in found]


@pytest.mark.parametrize("target", ["/api/v1/lists", "/api/v1/tags"])
async def test_what_is_no_task_is_counted_as_well(cluster: Cluster, template: str, superuser: Superuser, target: str):
    app = create_app(make_settings(cluster.url(template), send_timeout=60))
    user, _ = await user_of_everything(superuser)
    with serving(app) as url:
        port = int(url.rpartition(":")[2])
        # The system takes some of them.
        connections = [_ask(port, user, target, 40) for _ in range(5)]
        assert await _becomes(lambda: app.state.unsent.of(user) > MEBI)
        for connection in connections:
            connection.close()
        assert await _becomes(lambda: app.state.unsent.total == 0 and app.state.database.pool.in_use == 0)


# Of ten users the whole pool's answers are made at once, beside what everybody's may take.
@pytest.mark.parametrize(
    ("target", "users", "most"),
    [
        ("/api/v1/lists", 1, 60),
        ("/api/v1/tags", 1, 60),
        ("/api/v1/tasks/batch", 1, 60),
        ("/api/v1/lists", 10, 90),
        ("/api/v1/tags", 10, 90),
    ],
)
async def test_a_burst_of_requests_costs_little(serve: Serve, superuser: Superuser, target: str, users: int, most: int):
    service = serve(TASKWARD_SEND_TIMEOUT="60")
    everyone = [await user_of_everything(superuser) for _ in range(users)]
    warm(service, f"other-{os.urandom(6).hex()}")
    requests = []
    for user, ids in everyone:
        # Nothing is in the trash, so each is answered as it is.
        body = json.dumps({"operations": [{"op": "restore", "id": one} for one in ids]})
        head = f"Host: x\r\nAuthorization: Bearer {make_token(user)}\r\n"
        if target.endswith("batch"):
            head = f"POST {target} HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            requests.append(f"{head}\r\n{body}".encode())
        else:
            requests.append(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
    connections = [socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in range(200)]
    _opened.extend(connections)
    before = resident(service)
    with watched(service) as seen:
        for n, connection in enumerate(connections):
            connection.sendall(requests[n % users])
        await asyncio.sleep(5)
    assert max(seen) - before < most
    # Which of them came first is not known.
    assert any(connection.recv(15).startswith(b"HTTP/1.1 200") for connection in connections)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_what_is_asked_and_not_sent_takes_no_room(serve: Serve, superuser: Superuser, method: str):
    service = serve(TASKWARD_SEND_TIMEOUT="60")
    user = await big_user(superuser)
    with client(service, user) as http:
        tag = http.get(LISTING).headers["etag"]
        headers = {"If-None-Match": tag} if method == "GET" else {}
        statuses = [http.request(method, LISTING, headers=headers).status_code for _ in range(10)]
        assert statuses == [200 if method == "HEAD" else 304] * 10
        assert http.head(EXPORT).status_code == 200
        assert http.get(LISTING).status_code == 200


async def test_another_server_lets_go_of_what_nobody_takes(cluster: Cluster, template: str, superuser: Superuser):
    app = create_app(make_settings(cluster.url(template), send_timeout=1, unsent_per_user=4 * MEBI))
    unsent = app.state.unsent
    user = await big_user(superuser)
    with serving(app) as url:
        port = int(url.rpartition(":")[2])
        connections = [_ask(port, user, target) for target in [LISTING, EXPORT] * 4]
        assert await _becomes(lambda: unsent.total > 0)
        assert await _becomes(lambda: unsent.total == 0)
        pool = app.state.database.pool
        assert await _becomes(lambda: pool.in_use == 0)
        for connection in connections:
            connection.close()


async def test_an_export_that_the_database_holds_up_ends(cluster: Cluster, template: str, superuser: Superuser):
    app = create_app(make_settings(cluster.url(template), send_timeout=60, request_timeout=2))
    user = await big_user(superuser)
    with serving(app) as url:
        connection = _ask(int(url.rpartition(":")[2]), user, EXPORT)
        # It waits for the client then, in the middle.
        assert await _becomes(lambda: app.state.unsent.total > 0 and app.state.database.pool.in_use == 0)
        await asyncio.sleep(1)
        async with superuser.transaction():
            await superuser.execute("LOCK TABLE taskward.task IN ACCESS EXCLUSIVE MODE")
            body = await asyncio.to_thread(_all_of, connection)
            assert await _becomes(lambda: app.state.database.pool.in_use == 0)
    assert body.startswith(b"HTTP/1.1 200")
    assert b'{"type":"end"' not in body


def _all_of(connection: socket.socket) -> bytes:
    received = bytearray()
    while chunk := connection.recv(MEBI):
        received += chunk
    return bytes(received)


async def test_leaving_gives_everything_back(cluster: Cluster, template: str, superuser: Superuser):
    app = create_app(make_settings(cluster.url(template), send_timeout=60, unsent_per_user=4 * MEBI))
    unsent = app.state.unsent
    user = await big_user(superuser)
    with serving(app) as url:
        port = int(url.rpartition(":")[2])
        connections = [_ask(port, user, target) for target in [LISTING, EXPORT] * 4]
        assert await _becomes(lambda: unsent.total > 0)
        for connection in connections:
            connection.close()
        assert await _becomes(lambda: unsent.total == 0 and app.state.database.pool.in_use == 0)


async def _becomes(condition: Callable[[], bool], seconds: float = 30) -> bool:
    return await asyncio.to_thread(eventually, condition, seconds)

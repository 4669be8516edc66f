"""What the log says, read from the standard error of real services: one line for each failure, and which one it was."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import asyncpg
import httpx2
import psutil
import pytest
from uuid_utils.compat import uuid7

from taskward.cli.serve import _stop_without
from taskward.postgres import EmbeddedServer
from taskward.runtime.log import Thinner, without_data
from tests.clusters import Cluster
from tests.databases import execute, name_of
from tests.folders import new_folder
from tests.raw import exchange, request
from tests.services import Service, eventually
from tests.serving import NO_TLS, PLAIN, SECRET, make_token

TASKS = "/api/v1/tasks"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # pytest's own folders are closed to the account that root gives the database.
    path = new_folder("taskward-log-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(folder: Path, new_database: str) -> Iterator[Callable[..., Service]]:
    """Starts services on a database of their own, which end with the test."""
    started: list[Service] = []

    def make(*arguments: str, **settings: str) -> Service:
        chosen = {"DATABASE_URL": new_database, "TASKWARD_JWT_SECRET": SECRET, **settings}
        started.append(Service(folder / "data", *arguments, settings=chosen))
        return started[-1].ready()

    yield make
    for service in started:
        service.end()


def ask(
    service: Service, path: str = TASKS, method: str = "GET", token: str | None = None, **sent: Any
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token or make_token('alice')}"}
    return httpx2.request(method, service.url + path, headers=headers, timeout=30, verify=NO_TLS, **sent)


def the_one(service: Service, event: str, answer: httpx2.Response) -> dict[str, Any]:
    """The only line of an answer."""
    assert eventually(lambda: service.named(event, request_id=answer.headers["X-Request-Id"]))
    [line] = [one for one in service.events if one.get("request_id") == answer.headers["X-Request-Id"]]
    assert line["event"] == event
    assert line["status"] == answer.status_code
    assert line["ms"] >= 0
    return line


@pytest.mark.processes
def test_a_database_away_is_a_line_for_each_request_that_says_so(
    start: Callable[..., Service], cluster: Cluster, new_database: str
):
    service = start()
    assert ask(service).status_code == 200
    name = name_of(new_database)
    asyncio.run(execute(cluster.superuser, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
    try:
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        asyncio.run(execute(cluster.superuser, cut))
        for _ in range(2):
            line = the_one(service, "request failed", ask(service, f"{TASKS}/{uuid7()}"))
            assert (line["status"], line["problem"], line["level"]) == (503, "unavailable", "warning")
            assert line["reason"].startswith("cannot connect to the database: ObjectNotInPrerequisiteStateError: ")
            assert (line["method"], line["route"]) == ("GET", f"{TASKS}/{{task_id}}")
        for _ in range(2):
            assert httpx2.get(f"{service.url}/readyz", **PLAIN).status_code == 503
    finally:
        asyncio.run(execute(cluster.superuser, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    assert httpx2.get(f"{service.url}/readyz", **PLAIN).status_code == 200
    assert eventually(lambda: service.named("ready again"))
    assert [one["event"] for one in service.events if "ready" in one["event"]] == ["ready", "not ready", "ready again"]


@pytest.mark.processes
def test_time_that_is_over_and_a_pool_that_ran_out_are_told_apart(
    start: Callable[..., Service], cluster: Cluster, new_database: str
):
    service = start(TASKWARD_POOL_SIZE="2", TASKWARD_REQUEST_TIMEOUT="8")

    async def hold() -> list[httpx2.Response]:
        connection = await asyncpg.connect(cluster.url(name_of(new_database), superuser=True))
        try:
            patient = httpx2.AsyncClient(base_url=service.url, timeout=30, verify=NO_TLS)
            async with connection.transaction(), patient as client:
                await connection.execute("LOCK TABLE taskward.account")
                users = ["a", "b", "a", "c"]
                return await asyncio.gather(
                    *(
                        client.post(TASKS, json={"title": "x"}, headers={"Authorization": f"Bearer {make_token(user)}"})
                        for user in users
                    )
                )
        finally:
            await connection.close()

    answers = asyncio.run(hold())
    lines = [the_one(service, "request failed", answer) for answer in answers]
    assert sorted((line["problem"], line["reason"]) for line in lines) == [
        ("pool-exhausted", "all 2 connections of this worker were busy for 5 s"),
        ("pool-exhausted", "the user has had all 1 connections of one user's for 5 s"),
        ("unavailable", "it took longer than 8 s"),
        ("unavailable", "it took longer than 8 s"),
    ]
    assert all(line["ms"] > 4_900 and line["route"] == TASKS and line["method"] == "POST" for line in lines)


@pytest.mark.processes
def test_a_lost_connection_and_a_defect_say_what_it_was_and_no_value(
    start: Callable[..., Service], cluster: Cluster, new_database: str
):
    service = start()
    made = ask(service, method="POST", json={"title": "canary-title"})
    admin = cluster.url(name_of(new_database), superuser=True)
    asyncio.run(execute(admin, "ALTER TABLE taskward.task ADD CONSTRAINT odd CHECK (title <> 'canary-other')"))
    answer = ask(service, method="POST", json={"title": "canary-other"})
    line = the_one(service, "request failed", answer)
    assert (line["status"], line["level"], line["reason"]) == (500, "error", "a defect")
    assert line["exception"].startswith("asyncpg.exceptions.CheckViolationError at ErrorBoundary.__call__ (")
    assert "\n" not in line["exception"]
    assert made.status_code == 201
    assert "canary" not in service.stderr
    assert "alice" not in service.stderr


@pytest.mark.processes
def test_refusals_say_why_and_a_flood_of_them_is_counted(start: Callable[..., Service]):
    service = start(TASKWARD_SCOPES="enforced")
    theirs = ask(service, method="POST", token=make_token("bob", scope="tasks:write"), json={"title": "x"}).json()["id"]
    good = make_token("alice", scope="tasks:read tasks:write")
    cases = [
        (ask(service, token=make_token("alice", ttl=-3600)), 401, "it has expired"),
        (ask(service, token="nonsense"), 401, "it is not three segments of canonical base64url"),
        (ask(service, token=make_token("alice", secret="x" * 40)), 401, "its signature is wrong"),
        (httpx2.get(service.url + TASKS, **PLAIN), 401, "there is no Authorization header"),
        (ask(service), 403, "the token does not have the scope tasks:read"),
        (ask(service, f"{TASKS}/{theirs}", token=good), 403, "Not your task"),
    ]
    for answer, status, reason in cases:
        line = the_one(service, "request refused", answer)
        assert (line["status"], line["reason"], line["level"]) == (status, reason, "warning")
    for _ in range(30):
        assert ask(service, token=make_token("alice", ttl=-3600)).status_code == 401
    assert len(service.named("request refused", reason="it has expired")) == 1
    assert service.stop() == 0
    counted = service.named("more requests refused", reason="it has expired", status=401, problem="invalid-token")
    assert sum(one["count"] for one in counted) == 30
    assert theirs not in service.stderr
    assert "bob" not in service.stderr


@pytest.mark.processes
async def test_a_body_that_does_not_come_is_a_line(start: Callable[..., Service]):
    service = await asyncio.to_thread(start, TASKWARD_REQUEST_TIMEOUT="1")
    headers = [("Authorization", f"Bearer {make_token('alice')}"), ("Content-Type", "application/json")]
    head = request("POST", TASKS, [*headers, ("Content-Length", "20")])
    assert (await exchange(service.url, head, b'{"title', method=b"POST", pause=3)).status == 408
    assert await asyncio.to_thread(eventually, lambda: service.named("request refused", status=408))
    [line] = service.named("request refused", status=408)
    assert (line["problem"], line["reason"]) == ("body-timeout", "the body did not come within 1 s")


@pytest.mark.processes
async def test_a_client_that_goes_away_is_a_line(start: Callable[..., Service]):
    service = await asyncio.to_thread(start)
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    headers = [("Authorization", f"Bearer {make_token('alice')}"), ("Content-Type", "application/json")]
    writer.write(request("POST", TASKS, [*headers, ("Content-Length", "20")]) + b'{"title')
    await writer.drain()
    await asyncio.sleep(0.5)
    writer.close()
    assert await asyncio.to_thread(eventually, lambda: service.named("request refused"))
    [line] = service.named("request refused")
    assert (line["status"], line["reason"]) == (408, "the client went away before its body had come")


@pytest.mark.processes
def test_the_embedded_database_is_told_of_as_the_workers_are(folder: Path):
    service = Service(folder / "embedded")
    try:
        # Making the database waits for the disk.
        assert eventually(lambda: "Taskward answers" in service.stdout, 60), service.stderr
        [made], [started] = service.named("making a PostgreSQL server"), service.named("database started")
        assert made["data_dir"] == str(folder / "embedded")
        assert service.named("schema migrated", version="0001")
        postgres = psutil.Process(started["database_pid"])
        assert "postgres" in postgres.name()
        postgres.kill()
        assert service.process.wait(20) == 1
    finally:
        service.end()
    [died], [stopped] = service.named("database died"), service.named("stopped")
    assert (died["database_pid"], died["signal"], died["level"]) == (started["database_pid"], "SIGKILL", "error")
    assert (stopped["code"], stopped["reason"]) == (1, service.other_words.removeprefix("taskward: ").strip())


def test_a_database_that_is_stopped_with_the_service_has_not_died(monkeypatch: pytest.MonkeyPatch):
    over = threading.Event()

    class Stopped:
        @property
        def alive(self) -> bool:
            over.set()
            return False

    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    _stop_without(cast("EmbeddedServer", Stopped()), over)
    assert not killed


@pytest.mark.processes
def test_another_server_decides_what_becomes_of_the_log(folder: Path, new_database: str):
    command = [sys.executable, "-m", "uvicorn", "taskward.app:create_app", "--factory"]
    settings = {"DATABASE_URL": new_database, "TASKWARD_JWT_SECRET": SECRET, "TASKWARD_LOG_FORMAT": "json"}
    service = Service(folder / "uvicorn", command=command, settings=settings)
    try:
        service.ready()
        answer = ask(service, token="nonsense")
        text = f"request refused request_id={answer.headers['X-Request-Id']} method=GET route={TASKS} status=401 "
        assert eventually(lambda: text in service.stderr)
    finally:
        service.end()
    assert service.events == []


@pytest.mark.processes
def test_what_lives_and_dies_is_told_with_its_pid_and_its_end(start: Callable[..., Service]):
    service = start("--workers", "2")
    assert eventually(lambda: len(service.named("ready")) == 2)
    [starting] = service.named("starting")
    assert (starting["pid"], starting["workers"]) == (service.process.pid, 2)
    workers = {one["worker"]: one["worker_pid"] for one in service.named("worker started")}
    assert {one["pid"] for one in service.named("ready")} == set(workers.values())
    psutil.Process(workers[1]).kill()
    assert eventually(lambda: service.named("worker died"))
    [died] = service.named("worker died")
    assert (died["worker"], died["worker_pid"], died["signal"], died["level"]) == (1, workers[1], "SIGKILL", "error")
    assert died["pid"] == service.process.pid
    assert eventually(lambda: len(service.named("ready")) == 3)
    assert service.stop(signal.SIGINT) == 0
    [stopping], [stopped] = service.named("stopping"), service.named("stopped")
    assert stopping["signal"] == stopped["signal"] == "SIGINT"
    assert (stopped["code"], stopped["pid"], stopped["level"]) == (0, service.process.pid, "info")
    assert sorted((one["worker"], one["code"]) for one in service.named("worker stopped")) == [(1, 0), (2, 0)]
    assert service.events[0] == starting
    assert service.events[-1] == stopped
    assert service.other_words == ""


@pytest.mark.processes
def test_the_access_log_has_a_line_for_each_request_and_is_off_by_default(start: Callable[..., Service]):
    preflight = {"Origin": "https://other.example", "Access-Control-Request-Method": "GET"}
    quiet, loud = start(), start(TASKWARD_ACCESS_LOG="true", TASKWARD_CORS_ORIGINS="https://app.example")
    for service in (quiet, loud):
        answers = [
            ask(service),
            ask(service, method="HEAD"),
            ask(service, "/api/v1/tags/canary", "DELETE"),
            ask(service, "/canary?token=canary"),
            ask(service, f"{TASKS}?q=canary"),
            httpx2.request("BREW", service.url + TASKS, **PLAIN),
            httpx2.options(service.url + TASKS, headers=preflight, **PLAIN),
        ]
    assert quiet.named("request") == []
    expected = [
        ("GET", TASKS, 200), ("HEAD", TASKS, 200), ("DELETE", "/api/v1/tags/{tag}", 404), ("GET", None, 404),
        ("GET", TASKS, 200), ("other", TASKS, 405), ("OPTIONS", None, 400),
    ]  # fmt: skip

    def heard() -> list[dict[str, Any]]:
        return [one for one in loud.named("request") if one["route"] != "/healthz"]

    # A line is written when its answer has been sent.
    assert eventually(lambda: len(heard()) >= len(expected))
    told = heard()
    assert [(one["method"], one["route"], one["status"]) for one in told] == expected
    assert [one["request_id"] for one in told] == [answer.headers["X-Request-Id"] for answer in answers]
    assert "canary" not in loud.stderr + quiet.stderr


@pytest.mark.processes
@pytest.mark.parametrize(
    ("level", "events"), [("error", {"request failed"}), ("warning", {"request failed", "request refused"})]
)
def test_the_level_says_what_is_too_little(
    start: Callable[..., Service], cluster: Cluster, new_database: str, level: str, events: set[str]
):
    service = start(TASKWARD_LOG_LEVEL=level)
    admin = cluster.url(name_of(new_database), superuser=True)
    asyncio.run(execute(admin, "ALTER TABLE taskward.task RENAME TO elsewhere"))
    assert ask(service).status_code == 500
    assert ask(service, token="nonsense").status_code == 401
    assert service.stop() == 0
    assert {one["event"] for one in service.events} == events


@contextmanager
def at_a_terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


@pytest.mark.processes
def test_a_person_at_a_terminal_reads_text_and_the_address_is_on_standard_output(folder: Path, new_database: str):
    settings = {"DATABASE_URL": new_database, "TASKWARD_JWT_SECRET": SECRET}
    with at_a_terminal() as (ours, theirs):
        service = Service(folder / "data", settings=settings, stderr=theirs)
        os.close(theirs)
        try:
            service.announced()
            assert service.stop() == 0
        finally:
            service.end()
        said = os.read(ours, 1 << 16).decode()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert plain != said
    assert re.match(r"20\S+Z \[info +\] starting +\[taskward\.serve\] pid=\d+ version=\S+ workers=1", plain)
    assert "{" not in plain


@pytest.mark.processes
def test_the_format_may_be_chosen(start: Callable[..., Service]):
    service = start(TASKWARD_LOG_FORMAT="text")
    answer = ask(service, token="nonsense")
    assert service.stop() == 0
    [line] = [line for line in service.stderr.splitlines() if answer.headers["X-Request-Id"] in line]
    assert "request refused" in line
    assert "reason='it is not three segments of canonical base64url'" in line
    assert "\x1b" not in service.stderr


async def test_what_was_counted_is_told_once_for_each_period_and_never_lost():
    told: list[tuple[dict[str, Any], int]] = []
    thinner = Thinner(lambda kind, count: told.append((dict(kind), count)), seconds=1)
    assert [thinner.is_first(reason="x") for _ in range(4)] == [True, False, False, False]
    assert thinner.is_first(reason="y")
    async with asyncio.timeout(30):
        while not told:  # noqa: ASYNC110 - it is told by the clock
            await asyncio.sleep(0.01)
    assert told == [({"reason": "x"}, 3)]
    # The period of y, which began a moment later, ends as well; that of x has begun again.
    await asyncio.sleep(0.2)
    assert not thinner.is_first(reason="x"), "the flood goes on"
    assert thinner.is_first(reason="y")
    thinner.flush()
    assert told == [({"reason": "x"}, 3), ({"reason": "x"}, 1)]
    await asyncio.sleep(1.2)
    assert len(told) == 2
    assert thinner.is_first(reason="x")


def test_an_exception_is_told_in_one_line_without_its_message():
    def deeper(n: int) -> None:
        if n:
            deeper(n - 1)
        raise KeyError("canary")

    try:
        try:
            deeper(100)
        except KeyError as error:
            raise ValueError("canary\ncanary") from error
    except ValueError as error:
        said = without_data(error)
    assert said.startswith("ValueError at ")
    assert " caused by KeyError at " in said
    assert said.count(" at ") <= 31
    assert "canary" not in said
    assert "\n" not in said

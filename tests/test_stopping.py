"""How `taskward serve` ends, told to or not: what was asked is answered, what was answered stays, nothing is left."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import httpx2
import psutil
import pytest

from taskward.postgres import read_dsn
from tests.folders import new_folder
from tests.services import BASE_ENVIRONMENT, Service, eventually, free_port

pytestmark = pytest.mark.processes
TASKS = "/api/v1/tasks"
ROUNDS = int(os.environ.get("STARTS_TO_INTERRUPT", "3"))


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory that every service here uses, one after the other."""
    folder = new_folder("taskward-stop-")
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(data: Path) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def one(*arguments: str, port: int | None = None) -> Service:
        service = Service(data, *arguments, port=port)
        started.append(service)
        return service

    yield one
    # They share their data, so the last one may be running still.
    for service in reversed(started):
        service.end()


class SlowRequest:
    """A task that is being created while another transaction keeps the table."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.status = 0
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        with self._service.client() as client:
            self.status = client.post(TASKS, json={"title": "Buy milk"}).status_code

    async def run_while(self, act: Callable[[], None], seconds: float) -> None:
        connection = await asyncpg.connect(read_dsn(self._service.data))
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE taskward.task")
                self._thread.start()
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                while not await connection.fetchval(waiting):  # noqa: ASYNC110 - PostgreSQL has no such event
                    await asyncio.sleep(0.01)
                act()
                await asyncio.sleep(seconds)
                assert self._service.process.poll() is None
        finally:
            await connection.close()
        self._thread.join()


@pytest.mark.parametrize(
    ("signals", "group", "workers", "seconds"),
    [
        # A worker is told again and again meanwhile.
        ([signal.SIGTERM], False, 1, 2.5),
        ([signal.SIGINT, signal.SIGINT, signal.SIGTERM], True, 2, 0.3),
    ],
)
def test_a_running_request_is_answered_before_the_service_ends(
    start: Callable[..., Service], signals: list[int], group: bool, workers: int, seconds: float
):
    service = start("--workers", str(workers)).announced()
    request = SlowRequest(service)

    def tell() -> None:
        for signum in signals:
            service.send(signum, group=group)
            time.sleep(0.05)

    asyncio.run(request.run_while(tell, seconds))
    assert request.status == 201
    assert service.process.wait(60) == 0
    assert service.gone()
    # A machine with fewer cores than workers is told so; nothing else is worth a word.
    assert not re.search("Traceback|Killing|Unexpected", service.stderr), service.stderr


@pytest.mark.parametrize("workers", [1, 4])
def test_what_was_answered_survives_a_killed_parent_and_nothing_else_does(start: Callable[..., Service], workers: int):
    service = start("--workers", str(workers)).announced()
    user = f"killed-{workers}"
    written: list[str] = []
    refused: list[int] = []

    def write() -> None:
        with service.client(user) as client:
            while True:
                try:
                    answer = client.post(TASKS, json={"title": "Buy milk"})
                except httpx2.TransportError:
                    return
                (
                    written.append(answer.json()["id"])
                    if answer.status_code == 201
                    else refused.append(answer.status_code)
                )

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    assert eventually(lambda: len(written) > 100)
    service.send(signal.SIGKILL)
    assert eventually(lambda: not service.answers(), 3)
    assert service.gone(), service.family()
    for writer in writers:
        writer.join()
    assert set(refused) <= {503}

    secret = service.data.joinpath("development-secret").read_text()
    again = start().announced()
    assert again.data.joinpath("development-secret").read_text() == secret
    with again.client(user) as client:
        found: set[str] = set()
        url: str | None = f"{TASKS}?limit=200"
        while url:
            page = client.get(url)
            found |= {task["id"] for task in page.json()}
            url = page.links.get("next", {}).get("url")
    assert set(written) <= found
    assert again.stop() == 0


def test_a_killed_worker_is_replaced_and_a_killed_database_ends_the_service(start: Callable[..., Service]):
    service = start("--workers", "2").announced()
    before = service.workers
    assert len(before) == 2
    before[0].kill()
    assert eventually(lambda: len(service.workers) == 2 and before[0] not in service.workers)
    assert before[1] in service.workers
    # The other one may have been starting still: it is the first that is ready which announces the service.
    assert eventually(lambda: all(service.answers() for _ in range(5)))

    postgres = next(child for child in psutil.Process(service.process.pid).children() if "postgres" in child.name())
    postgres.kill()
    assert service.process.wait(60) == 1
    assert service.stderr.endswith(
        f"taskward: The embedded server has ended; {service.data}/postgresql.log says why. Start again.\n"
    )
    assert service.gone()


@pytest.mark.parametrize(("signum", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGTERM, True)])
def test_workers_that_have_just_been_started_are_stopped_as_well(
    start: Callable[..., Service], signum: int, group: bool
):
    service = start("--workers", "2")
    assert eventually(lambda: len(service.workers) == 2, 20)
    service.send(signum, group=group)
    assert service.process.wait(60) == 0
    assert service.gone()


# Python drops what is raised in a destructor, and imports have such places, too short to be hit on purpose.
TOLD_IN_A_DESTRUCTOR = """
import os, sys

event, first_argument, signum = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))

class Told:
    def __del__(self):
        os.kill(os.getpid(), signum)
        sum(range(1000))

told = []

def tell_once(happened, arguments):
    if happened == event and first_argument in ("", arguments[0]) and not told:
        told.append(event)
        Told()

sys.addaudithook(tell_once)
from taskward.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("event", "argument", "signum", "code"),
    [
        ("import", "fastapi", signal.SIGINT, -signal.SIGINT),
        ("import", "fastapi", signal.SIGTERM, -signal.SIGTERM),
        ("subprocess.Popen", "", signal.SIGINT, 0),
        ("subprocess.Popen", "", signal.SIGTERM, 0),
    ],
)
def test_a_signal_whose_interrupt_would_be_dropped_ends_the_start_all_the_same(
    data: Path, event: str, argument: str, signum: int, code: int
):
    command = [sys.executable, "-c", TOLD_IN_A_DESTRUCTOR, event, argument, str(int(signum)), "serve"]
    service = Service(data, command=command)
    try:
        # What was dropped is noticed when all is started, and a first start makes a cluster before that.
        assert service.process.wait(60) == code
        assert ("Exception ignored in: <function Told.__del__" in service.stderr) == (code == 0)
        assert service.gone()
    finally:
        service.end()


def test_a_start_may_be_interrupted_at_any_moment(start: Callable[..., Service], monkeypatch: pytest.MonkeyPatch):
    # Where coverage is measured, Python imports it before anything of ours, and what it runs drops every exception.
    for name in [name for name in BASE_ENVIRONMENT if name.startswith("COVERAGE_")]:
        monkeypatch.delitem(BASE_ENVIRONMENT, name)
    port = free_port()
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    for _ in range(ROUNDS):
        moment, signum, group = (
            chance.uniform(0, 1.2),
            chance.choice([signal.SIGTERM, signal.SIGINT]),
            chance.random() < 0.5,
        )
        story = f"seed {seed}: {signal.Signals(signum).name} after {moment:.3f} s{' to the group' if group else ''}"
        service = start("--workers", str(chance.randint(1, 2)), port=port)
        time.sleep(moment)
        service.send(signum, group=group)
        try:
            code = service.process.wait(60)
        except Exception as error:
            raise AssertionError(story) from error
        # Python itself says 1 when it is interrupted before it runs anything of ours.
        cut_short = signum == signal.SIGINT and "Fatal Python error: init_import_site" in service.stderr
        assert (cut_short and code == 1) or code in {0, 130, -signum}, f"{story}: exit code {code}\n{service.stderr}"
        assert service.gone(), f"{story}: {service.family()}"
    assert start().announced().stop() == 0

"""Nothing of a user is in any log, nor in anybody else's answer."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx2
import pytest
from uuid_utils.compat import uuid7

from taskward.app import create_app
from tests.citus import on_one_machine
from tests.clusters import Cluster
from tests.databases import execute, name_of
from tests.route_table import (
    COLLECTIONS,
    LISTS,
    ME,
    OTHER_KINDS,
    ROUTES,
    TAGS,
    body_of,
    parameters_of,
    query_of,
    target_of,
)
from tests.services import BASE_ENVIRONMENT, Service, eventually
from tests.serving import NO_TLS, make_settings, make_token, serving
from tests.test_isolation_http import bad_tokens

TASKS = "/api/v1/tasks"


# What is named in an address, which whoever serves, forwards or sends it may write down.
SPOKEN = "spoken"


class Canaries:
    """Values that are nowhere else, so that wherever one turns up it has escaped."""

    def __init__(self) -> None:
        self.secret = self.make("secret")
        self.user_id = self.make("user")
        self.claim = self.make("claim")
        self.title = self.make("title")
        self.description = self.make("description")
        self.tag = self.make("tag")[:50]
        self.metadata = self.make("metadata")
        self.list_name = self.make("list")
        self.malformed = self.make("malformed")
        self.token = make_token(self.user_id, secret=self.secret, email=f"{self.claim}@example.org")
        self.bad = bad_tokens(self.user_id)
        self.bad["expired"] = make_token(self.user_id, secret=self.secret, ttl=-3600)

    @staticmethod
    def make(kind: str) -> str:
        return f"canary-{kind}-{secrets.token_hex(16)}"

    @property
    def unspeakable(self) -> set[str]:
        """What is in no answer, to whomever."""
        tokens = (self.token, *self.bad.values())
        segments = {part for token in tokens for part in re.split(r"[. ]", token) if len(part) > 20}
        return {self.secret, self.claim, self.malformed, *segments}

    @property
    def everything(self) -> set[str]:
        return self.unspeakable | {
            self.user_id, self.title, self.description, self.tag, self.metadata, self.list_name,
        }  # fmt: skip

    @property
    def task(self) -> dict[str, Any]:
        return {
            "title": self.title, "description": self.description, "tags": [self.tag, SPOKEN],
            "metadata": {self.metadata: self.metadata},
        }  # fmt: skip

    def body_of(self, method: str, path: str) -> Any:
        """A good body of a route, with canaries for its texts."""
        body = body_of(method, path)
        if body is None or path in {f"{ME}/import", f"{TASKS}/batch"}:
            return body
        if "title" in body:
            return self.task
        text = {LISTS: self.list_name, TAGS: self.tag}.get(path.partition("/{")[0], self.title)
        return {name: text if isinstance(value, str) else value for name, value in body.items()}

    def escaped(self, text: str) -> set[str]:
        """Those of them that a text has, shortened."""
        return {canary[:30] for canary in self.everything if canary in text}


def malformed(canary: str) -> list[bytes]:
    return [
        canary.encode(),
        json.dumps({"title": canary})[:-1].encode(),
        json.dumps({"title": "x", "owner": canary}).encode(),
        json.dumps({"title": [canary], "completed": canary}).encode(),
        json.dumps({"title": f"{canary}\0"}).encode(),
        json.dumps({"title": canary, "description": canary * 1000}).encode(),
        json.dumps({"id": canary, "version": canary}).encode(),
        json.dumps({"title": "x", "tags": [canary, canary], "metadata": canary, "time_zone": canary}).encode(),
        json.dumps({"title": "x", "recurrence": canary, "list_id": canary, "parent_id": canary}).encode(),
        json.dumps({"name": f"{canary}\0", "color": canary}).encode(),
        json.dumps({"after": canary}).encode(),
        json.dumps(canary).encode(),
    ]


def make_others(ask: Callable[..., httpx2.Response], canaries: Canaries) -> dict[str, str]:
    """One of each kind that is neither task nor list, by the parameter of its path."""
    made = {
        parameter: ask("POST", path, canaries.token, json=canaries.body_of("POST", path))
        for parameter, path in COLLECTIONS.items()
        if parameter in OTHER_KINDS
    }
    return {parameter: answer.json().get("id", str(uuid7())) for parameter, answer in made.items()}


def exercise(url: str, canaries: Canaries, *statuses: int) -> None:
    """Ask for everything, as somebody with a good token, with bad ones, and as a stranger.

    Args:
        statuses: Those that must come about.
    """
    stranger = make_token("stranger", secret=canaries.secret)
    seen = set()
    # A connection for each: one whose request was refused before its body was read may be closed.
    limits = httpx2.Limits(max_keepalive_connections=0)
    with httpx2.Client(base_url=url, timeout=30, verify=NO_TLS, limits=limits) as client:

        def ask(method: str, path: str, token: str, **sent: Any) -> httpx2.Response:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            with client.stream(method, path, **{**sent, "headers": {**headers, **sent.get("headers", {})}}) as begun:
                content = b""
                try:
                    for chunk in begun.iter_bytes():
                        content += chunk
                except (httpx2.RemoteProtocolError, httpx2.ReadError):
                    # An export that has begun when something goes wrong is cut, so that it is not taken for a whole.
                    assert path == f"{ME}/export"
                    assert not {500, 503}.isdisjoint(statuses)
            answer = httpx2.Response(begun.status_code, content=content)
            seen.add(answer.status_code)
            text = f"{answer.text}{begun.headers}"
            assert [canary for canary in canaries.unspeakable if canary in text] == []
            if token != canaries.token:
                assert canaries.escaped(text) == set()
            return answer

        body, of_list = canaries.task, {"name": canaries.list_name}
        list_id = ask("POST", LISTS, canaries.token, json=of_list).json().get("id", str(uuid7()))
        made = ask("POST", TASKS, canaries.token, json=body)
        task_id = made.json().get("id", str(uuid7()))
        ask("POST", TASKS, canaries.token, json={**body, "id": task_id})
        ask("POST", TASKS, canaries.token, json={**body, "list_id": str(uuid7())})
        ask("PATCH", f"{TASKS}/{task_id}", canaries.token, json={"list_id": list_id, "parent_id": task_id})
        ask("GET", f"{TASKS}?q=canary&tag={SPOKEN}&count=true", canaries.token)
        ask("GET", f"{TASKS}?q=canary&tag={SPOKEN}&count=true", stranger)
        ids = {"task_id": task_id, "list_id": list_id, "tag": SPOKEN, **make_others(ask, canaries)}
        # What erases comes after what reads.
        for method, path in sorted(ROUTES, key=lambda route: (route[0] == "DELETE", route)):
            of = next((ids[parameter] for parameter in parameters_of(path)), None)
            place = target_of(path, of, query=query_of(method, path), user_id=SPOKEN)
            sent = body_of(method, path)
            good = canaries.body_of(method, path)
            for token in (stranger, *canaries.bad.values()):
                ask(method, place, token, json=sent)
            ask(method, place, canaries.token, json=good)
            ask(method, place, canaries.token, content=canaries.malformed, headers={"Content-Type": "text/plain"})
            for broken in malformed(canaries.malformed):
                ask(method, place, canaries.token, content=broken)
                ask(method, place, stranger, content=broken)
            ask(method, place, canaries.token, json=good, headers={"If-Match": '"0"', "If-None-Match": '"0"'})
            ask(method, place, canaries.token, json=good, headers={"If-Match": canaries.malformed})
    assert seen >= set(statuses)


class Everything(logging.Handler):
    """Takes every record of every library, with its arguments and exceptions."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.__dict__}")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def listening() -> Iterator[Everything]:
    """AccountLock up every logger that there is, and hear them all."""
    handler = Everything()
    loggers = [logging.root, *(x for x in logging.root.manager.loggerDict.values() if isinstance(x, logging.Logger))]
    before = [(logger, logger.level, logger.propagate, logger.disabled) for logger in loggers]
    logging.root.addHandler(handler)
    for logger in loggers:
        logger.setLevel(1)
        logger.propagate, logger.disabled = True, False
    try:
        yield handler
    finally:
        logging.root.removeHandler(handler)
        for logger, level, propagate, disabled in before:
            logger.setLevel(level)
            logger.propagate, logger.disabled = propagate, disabled


HIDE = "ALTER TABLE taskward.task RENAME TO elsewhere"
SHOW = "ALTER TABLE taskward.elsewhere RENAME TO task"
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.long
def test_no_logger_at_any_level_is_told_anything_of_anybody(cluster: Cluster, new_database: str):
    canaries, name = Canaries(), name_of(new_database)
    password = unquote(urlsplit(new_database).password or "")
    admin = cluster.url(name, superuser=True)

    def run(url: str, *statements: str) -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(execute(url, *statements))

    app = create_app(make_settings(new_database, jwt_secret=canaries.secret))
    with serving(app) as url, listening() as heard:
        exercise(url, canaries, 200, 201, 204, 401, 403, 404, 409, 412, 415, 422)
        run(admin, HIDE)
        exercise(url, canaries, 200, 401, 500)
        run(admin, SHOW)
        run(cluster.superuser, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            run(cluster.superuser, CUT.replace("current_database()", f"'{name}'"))
            exercise(url, canaries, 401, 503)
        finally:
            run(cluster.superuser, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    names = {line.split()[1].partition(".")[0].rstrip(":") for line in heard.lines}
    assert names >= {"taskward", "httpx2"}
    assert re.search(r"ERROR taskward\.requests: request failed request_id=.*asyncpg\.exceptions\.Undef", heard.text)
    assert "cannot connect to the database" in heard.text
    assert canaries.escaped(heard.text) == set()
    assert password
    assert password not in heard.text


# In the process under test, before anything else runs: each logger speaks, at whatever level, whatever is configured.
LOUD = """
import logging, logging.config
configure = logging.config.dictConfig
def louder(config):
    configure(config)
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.setLevel(1)
            logger.propagate = True
logging.config.dictConfig = louder
logging.basicConfig(level=1, format="loud %(levelname)s %(name)s: %(message)s")
"""


@pytest.fixture
def outside() -> Iterator[Path]:
    # pytest's own folders are closed to the account that root gives the database.
    with tempfile.TemporaryDirectory(prefix="taskward-canary-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.mark.processes
def test_a_service_and_its_database_write_nothing_of_anybody_down(outside: Path):
    canaries = Canaries()
    (outside / "loud").mkdir()
    (outside / "loud" / "sitecustomize.py").write_text(LOUD)
    settings = {
        "TASKWARD_DATA_DIR": str(outside / "data"),
        "TASKWARD_JWT_SECRET": canaries.secret,
        "PYTHONPATH": str(outside / "loud"),
    }
    service = Service(outside / "data", settings=settings)
    try:
        service.ready()
        exercise(service.url, canaries, 200, 201, 204, 401, 403, 404, 409, 412, 415, 422)
        passwords = json.loads((service.data / "credentials.json").read_text())
        address = {"host": str(service.data / "run"), "user": "postgres", "password": passwords["postgres"]}

        def create() -> int:
            headers = {"Authorization": f"Bearer {canaries.token}"}
            return httpx2.post(
                service.url + TASKS, headers=headers, json=canaries.task, timeout=30, verify=NO_TLS
            ).status_code

        async def misfortunes() -> None:
            connection = await asyncpg.connect(**address, database="taskward")
            try:
                await connection.execute(HIDE)
                await asyncio.to_thread(exercise, service.url, canaries, 401, 500)
                await connection.execute(SHOW)
                await connection.execute(CUT)
                await asyncio.to_thread(exercise, service.url, canaries, 200, 201, 204, 401, 403)
                async with connection.transaction():
                    await connection.execute("LOCK TABLE taskward.account")
                    creating = asyncio.create_task(asyncio.to_thread(create))
                    async with asyncio.timeout(10):
                        while not await connection.fetchval(WAITING):  # noqa: ASYNC110 - no event tells of it
                            await asyncio.sleep(0.01)
                    # What was tried first in its transaction is tried once more.
                    while not creating.done():
                        # Within a transaction activity is seen as it was at first.
                        await connection.execute("SELECT pg_stat_clear_snapshot()")
                        await connection.execute(CUT)
                        await asyncio.sleep(0.05)
                    assert await creating == 503
            finally:
                await connection.close()

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(misfortunes())
        assert service.stop() == 0
        database_log = (service.data / "postgresql.log").read_text()
        logs = service.stdout + service.stderr + database_log
    finally:
        service.end()
    assert re.search('"level":"debug",.*"logger":"asyncio"', service.stderr)
    assert "UndefinedTableError" in service.stderr
    assert "the database failed: " in service.stderr
    assert "database system is ready" in database_log
    assert canaries.escaped(logs) == set()
    assert [name for name, password in passwords.items() if password in logs] == []


@on_one_machine("a cluster may trust who connects to it")
@pytest.mark.processes
def test_a_service_that_cannot_use_its_database_does_not_say_the_password(outside: Path, new_database: str):
    password = Canaries.make("password")
    old = urlsplit(new_database)
    wrong = new_database.replace(old.netloc, f"{old.username}:{password}@")
    settings = {**BASE_ENVIRONMENT, "DATABASE_URL": wrong, "TASKWARD_JWT_SECRET": Canaries.make("secret")}
    service = Service(outside / "data", settings=settings)
    try:
        assert eventually(lambda: service.process.poll() is not None, 20)
        assert "password authentication failed" in service.stderr
        assert "canary" not in service.stdout + service.stderr
    finally:
        service.end()

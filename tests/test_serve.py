"""`taskward serve`, with real processes: how it starts, what it says, and when it refuses."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

import taskward
from tests.clusters import Cluster
from tests.costs import allowed, processor_seconds
from tests.folders import new_folder
from tests.issuer import issuer
from tests.services import BASE_ENVIRONMENT, Service, eventually
from tests.serving import PLAIN, SECRET, make_token

pytestmark = pytest.mark.processes
TASKS = "/api/v1/tasks"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # pytest's own folders are closed to the account that root gives the database.
    path = new_folder("taskward-serve-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def fresh(folder: Path) -> Iterator[Service]:
    """A service on a data directory that did not exist, started where a proxy is configured that does not exist."""
    settings = {"TASKWARD_DATA_DIR": str(folder / "data"), "http_proxy": "http://127.0.0.1:9"}
    service = Service(folder / "data", settings=settings)
    yield service.announced()
    service.end()


def test_a_fresh_start_says_where_it_is_and_what_to_try(fresh: Service):
    assert processor_seconds([psutil.Process(fresh.process.pid), *fresh.family()]) < allowed(10)
    lines = fresh.stdout.splitlines()
    assert lines[:3] == [f"Taskward answers at {fresh.url}", f"  docs:  {fresh.url}/docs", f"  data:  {fresh.data}"]
    assert fresh.other_words == ""
    [made] = fresh.named("making a PostgreSQL server")
    assert made["data_dir"] == str(fresh.data)
    assert httpx2.get(f"{fresh.url}/docs", **PLAIN).status_code == 200
    assert httpx2.get(f"{fresh.url}/readyz", **PLAIN).json() == {"status": "ok"}


def test_the_request_that_it_proposes_works(fresh: Service):
    program, url, *headers, data_flag, body = fresh.curl
    # Not `--json`, which curl has since 7.82 only.
    assert (program, url, headers[::2], data_flag) == ("curl", f"{fresh.url}{TASKS}", ["-H", "-H"], "-d")
    response = httpx2.post(url, headers=dict(header.split(": ") for header in headers[1::2]), content=body, **PLAIN)
    assert response.status_code == 201
    assert response.json()["title"] == "Buy milk"
    assert response.json()["user_id"] == "alice"
    if curl := shutil.which("curl"):
        done = subprocess.run(
            [curl, "-sS", "-w", "%{http_code}", *fresh.curl[1:]], capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("201"), done.stdout


def test_the_development_secret_is_its_owners_and_stays(fresh: Service, folder: Path):
    file = fresh.data / "development-secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().strip()) == 64
    token = subprocess.run(
        [sys.executable, "-m", "taskward", "token", "--sub", "bob"],
        cwd=folder, env={**BASE_ENVIRONMENT, "TASKWARD_DATA_DIR": str(fresh.data)},
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    response = httpx2.get(f"{fresh.url}{TASKS}", headers={"Authorization": f"Bearer {token}"}, **PLAIN)
    assert (response.status_code, response.json()) == (200, [])


def test_a_second_one_on_the_same_data_is_refused(fresh: Service):
    said = Service(fresh.data).refusal_beside(fresh)
    assert said == (
        f"Another taskward serve (pid {fresh.process.pid}) uses the data directory {fresh.data}: "
        "stop it, or give this one another TASKWARD_DATA_DIR."
    )


def test_a_port_that_is_taken_is_refused_before_anything_is_made(fresh: Service, folder: Path):
    other = folder / "other"
    said = Service(other, port=fresh.port).refusal_beside(fresh)
    taken = f"127.0.0.1 port {fresh.port}: address already in use"
    assert said == f"Cannot listen on {taken}; choose another with --port or --host."
    assert not other.exists()


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_refused(folder: Path, host: str):
    said = Service(folder / "other", "--host", host).refusal()
    assert said.startswith(f"Cannot listen on {host} port ")
    assert said.endswith("; choose another with --port or --host.")
    assert not folder.joinpath("other").exists()


@pytest.mark.parametrize(
    "variable", [{}, {"TASKWARD_PUBLIC_KEY": "/nowhere"}, {"TASKWARD_PUBLIC_KEY": issuer("ES256").private_pem}]
)
def test_a_database_without_a_usable_key_is_refused(folder: Path, variable: dict[str, str]):
    settings = {"DATABASE_URL": "postgresql://app:hunter2@127.0.0.1:1/tasks", **variable}
    said = Service(folder / "other", settings=settings).refusal()
    assert said.startswith("TASKWARD_PUBLIC_KEY " if variable else "There is no key to verify tokens with")


def test_a_wrong_key_is_refused_before_a_database_is_made(folder: Path):
    other = folder / "other"
    settings = {"TASKWARD_DATA_DIR": str(other), "TASKWARD_PUBLIC_KEY": "/nowhere"}
    assert "neither a PEM key nor a file" in Service(other, settings=settings).refusal()
    assert not other.exists()


def test_a_database_that_is_behind_is_refused_or_migrated(folder: Path, empty_database: str):
    settings = {"DATABASE_URL": empty_database, "BETTER_AUTH_SECRET": SECRET}
    said = Service(folder / "given", settings={**settings, "TASKWARD_MIGRATE": "off"}).refusal()
    assert said == "The schema is not there; run: taskward migrate"
    service = Service(folder / "given", "--host", "localhost", settings=settings)
    try:
        service.announced()
        assert "data:" not in service.stdout
        assert "Bearer" not in service.stdout
        headers = {"Authorization": f"Bearer {make_token('alice')}"}
        assert (
            httpx2.post(f"{service.url}{TASKS}", headers=headers, json={"title": "Buy milk"}, **PLAIN).status_code
            == 201
        )
        assert service.stop() == 0
        assert service.other_words == ""
        assert {one["level"] for one in service.events} == {"info"}
    finally:
        service.end()


def test_a_database_that_is_out_of_reach_is_refused_in_one_sentence(folder: Path, cluster: Cluster):
    for url in ("postgresql://app:hunter2@127.0.0.1:1/tasks", cluster.owner.replace("taskward:", "taskward:hunter2")):
        said = Service(folder / "x", settings={"DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET}).refusal()
        assert "in DATABASE_URL" in said
        assert "hunter2" not in said


def test_an_owner_that_is_out_of_reach_is_told_from_the_database(folder: Path, empty_database: str):
    owner = "postgresql://owner:hunter2@127.0.0.1:1/tasks"
    settings = {"DATABASE_URL": empty_database, "TASKWARD_MIGRATE_URL": owner, "BETTER_AUTH_SECRET": SECRET}
    said = Service(folder / "x", settings=settings).refusal()
    assert said.endswith("Check host and port in TASKWARD_MIGRATE_URL.")
    assert "hunter2" not in said


def test_another_server_runs_the_app_in_several_workers(folder: Path, new_database: str):
    command = [sys.executable, "-m", "uvicorn", "taskward.app:create_app", "--factory", "--workers", "2"]
    settings = {"DATABASE_URL": new_database, "BETTER_AUTH_SECRET": SECRET}
    service = Service(folder / "uvicorn", command=command, settings=settings)
    try:
        service.ready()
        headers = {"Authorization": f"Bearer {make_token('alice')}"}
        made = httpx2.post(f"{service.url}{TASKS}", headers=headers, json={"title": "Buy milk"}, **PLAIN).json()
        for _ in range(10):
            assert [task["id"] for task in httpx2.get(f"{service.url}{TASKS}", headers=headers, **PLAIN).json()] == [
                made["id"]
            ]
        service.stop()
    finally:
        service.end()


def test_a_reloading_one_starts_answers_and_stops(folder: Path, new_database: str):
    settings = {"DATABASE_URL": new_database, "BETTER_AUTH_SECRET": SECRET}
    service = Service(folder / "reload", "--reload", settings=settings)
    try:
        service.announced()
        assert service.stop() == 0
    finally:
        service.end()


def readable_python(folder: Path, user: str) -> list[str] | None:
    """A Python that another account can run, with the environment that lets it find what this one has."""
    found = os.pathsep.join(
        [str(Path(taskward.__file__).parents[1]), *(path for path in sys.path if "site-packages" in path)]
    )
    for program in (sys.executable, "/usr/bin/python3"):
        line = ["env", f"PYTHONPATH={found}", program]
        try:
            done = subprocess.run(
                [*line, "-c", "import taskward.app"],
                cwd=folder,
                user=user,
                group=pwd.getpwnam(user).pw_gid,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return line
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another account")
def test_an_ordinary_account_has_its_data_at_home(folder: Path):
    account = pwd.getpwnam("nobody")
    line = readable_python(folder, "nobody")
    if line is None:
        pytest.skip("no Python here that another account can run")
    home = folder / "home"
    home.mkdir()
    os.chown(home, account.pw_uid, account.pw_gid)
    data = home / ".local" / "share" / "taskward"
    service = Service(
        home, command=[*line, "-m", "taskward", "serve"], settings={"HOME": str(home)}, cwd=home,
        user=account.pw_uid, group=account.pw_gid, extra_groups=[],
    )  # fmt: skip
    service.data = data
    try:
        service.announced()
        assert f"  data:  {data}\n" in service.stdout
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert stat.S_IMODE(data.joinpath("development-secret").stat().st_mode) == 0o600
        assert all(process.uids().real == account.pw_uid for process in service.family())
        assert len(service.family()) > 3
        assert service.stop() == 0
        assert service.other_words == ""
        assert len(service.named("making a PostgreSQL server", data_dir=str(data))) == 1
    finally:
        service.end()


def test_it_listens_where_it_is_told_and_nowhere_else(fresh: Service):
    listening = [
        connection.laddr
        for process in fresh.family()
        for connection in process.net_connections("inet")
        if connection.status == "LISTEN"
    ]
    assert {(address.ip, address.port) for address in listening} == {("127.0.0.1", fresh.port)}
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", fresh.port), timeout=1):
        pass
    assert eventually(fresh.answers)

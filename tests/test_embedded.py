"""The embedded server, with real processes: as root, and as an ordinary user."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from taskward.postgres import EmbeddedServerError, default_data_dir, read_dsn, running
from taskward.postgres.directory import LOG_LIMIT
from tests.services import eventually, runs
from tests.starters import (  # noqa: F401 - some are fixtures
    ROOT,
    SYSTEM_15,
    Serving,
    Starter,
    base_fixture,
    family,
    made_fixture,
    mode,
    needs_15,
    only_linux,
    only_root,
    pgdata_fixture,
    query,
    refusal,
    serving,
    starter_fixture,
    tidy_fixture,
)

pytestmark = pytest.mark.processes


@needs_15
def test_the_systems_postgresql_15_works_and_another_major_version_is_refused(starter: Starter) -> None:
    data_dir = starter.fresh()
    with serving(starter, data_dir, SYSTEM_15) as server:
        assert server["version"].startswith("15.")
        query(server["dsn"], "CREATE ROLE made NOLOGIN", "GRANT made TO taskward", "SET ROLE made")
    said = refusal(starter, data_dir)
    assert f"The data in {data_dir}/postgresql-15 are of PostgreSQL 15" in said
    assert "TASKWARD_POSTGRES_BIN" in said
    assert "pg_upgrade" in said
    assert not data_dir.joinpath("postgresql-18").exists()


def test_a_mislabelled_cluster_is_refused(starter: Starter, made: Path, pgdata: Path) -> None:
    label = pgdata / "PG_VERSION"
    version = label.read_text()
    try:
        label.write_text("12\n")
        assert "are of PostgreSQL 12" in refusal(starter, made)
    finally:
        label.write_text(version)


@pytest.mark.parametrize("name", ["long-" * 22, "with, comma", "it's with spaces", "percent%20ü"])
def test_odd_paths_are_served(starter: Starter, made: Path, name: str) -> None:
    data_dir = starter.fresh().with_name(name)
    if starter.uid == 0:  # the other starter makes the folder by the start itself
        starter.supply(data_dir, made)
    for _ in range(2):
        with serving(starter, data_dir) as server:
            assert query(server["dsn"], "SELECT 1") == 1
            assert server["again"] == server["dsn"]
            place = Path(parse_qs(urlsplit(server["dsn"]).query)["host"][0])
            assert mode(place) == 0o700
    assert place == data_dir / "run" or not place.exists()


@pytest.mark.parametrize("name", ['a"quote', "a$(touch x)", "a`touch x`", "a\nline"])
def test_paths_that_a_shell_would_read_are_refused(starter: Starter, name: str) -> None:
    data_dir = starter.fresh() / name
    assert refusal(starter, data_dir).startswith(f"PostgreSQL cannot work in {data_dir}: ")
    assert not data_dir.parent.exists()


def test_nothing_is_open_to_other_accounts(starter: Starter, made: Path, pgdata: Path) -> None:
    root = starter.uid == 0
    assert mode(made) == (0o711 if root else 0o700)
    assert made.stat().st_uid == starter.uid
    for private in (pgdata, made / "run"):
        assert mode(private) == 0o700
        assert (private.stat().st_uid != starter.uid) is root
    for private in (made / "credentials.json", made / "postgresql.log", made / "lock"):
        assert mode(private) == 0o600
        assert private.stat().st_uid == starter.uid
    for copied in made.joinpath("binaries").rglob("*"):
        assert copied.stat().st_uid == 0
        assert mode(copied) & 0o022 == 0


def test_the_servers_account_is_not_root_and_has_no_other_groups(starter: Starter, made: Path) -> None:
    with serving(starter, made) as server:
        for process in family(server["pid"]):
            assert process.uids().real == process.uids().effective != 0
            assert process.gids().real != 0
        groups = Path(f"/proc/{server['pid']}/status").read_text().split("Groups:")[1].splitlines()[0]
        # An ordinary account keeps its own groups; root's would be too many.
        assert groups.split() == ([] if ROOT else [str(group) for group in os.getgroups()])


def test_the_role_that_logs_in_owns_the_database_and_is_not_superuser(starter: Starter, made: Path) -> None:
    with serving(starter, made) as server:
        query(server["dsn"], "CREATE ROLE requests NOLOGIN", "DROP ROLE requests")
        assert query(
            server["dsn"],
            "SELECT rolname = 'taskward' AND rolcreaterole AND NOT (rolsuper OR rolbypassrls OR rolreplication) "
            "AND oid = (SELECT datdba FROM pg_database WHERE datname = current_database()) "
            "FROM pg_roles WHERE rolname = session_user",
        )
        assert query(server["dsn"], "SHOW fsync") == query(server["dsn"], "SHOW synchronous_commit") == "on"
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(server["dsn"].replace("taskward:", "taskward:x"))
        assert server["dsn"] not in server["shown"]
        assert not server["imported"]


def test_there_is_no_tcp_listener(starter: Starter, made: Path) -> None:
    with serving(starter, made) as server:
        assert all(not process.net_connections("inet") for process in family(server["pid"]))
        assert query(server["dsn"], "SHOW listen_addresses") == ""


def test_taskwards_environment_is_kept_from_the_server(
    starter: Starter, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKWARD_JWT_SECRET", "confidential")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with serving(starter, made) as server:
        environment = psutil.Process(server["pid"]).environ()
    assert not {"TASKWARD_JWT_SECRET", "PGDATA"} & set(environment)


def test_no_task_content_reaches_the_log(starter: Starter, made: Path) -> None:
    with serving(starter, made) as server:
        for statement in (
            "SELECT 'milk'::int",
            "SELECT milk",
            "DO $$ BEGIN RAISE WARNING 'milk'; END $$",
            "DO $$ BEGIN CREATE TEMP TABLE x (a text, b int NOT NULL); INSERT INTO x VALUES ('milk'); END $$",
            "SELECT 1; SELECT 'milk' FROM generate_series(1, 2) n WHERE 1 / (n - 1) > 0",
        ):
            with contextlib.suppress(asyncpg.PostgresError):
                query(server["dsn"], statement)
        crash_while_running(server["dsn"], "SELECT 'milk', pg_sleep(30)")
        # The postmaster brings the server back by itself.
        assert eventually(lambda: answers(server["dsn"]))
    log = made.joinpath("postgresql.log").read_text()
    assert "was terminated by signal" in log
    assert "milk" not in log


def crash_while_running(dsn: str, statement: str) -> None:
    async def crash() -> None:
        connection = await asyncpg.connect(dsn)
        pid = connection.get_server_pid()
        running_statement = asyncio.create_task(connection.execute(statement))
        await asyncio.sleep(0.2)
        os.kill(pid, signal.SIGSEGV)
        with contextlib.suppress(Exception):
            await running_statement

    asyncio.run(crash())


def answers(dsn: str) -> bool:
    try:
        return bool(query(dsn, "SELECT 1") == 1)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def test_stop_leaves_no_process_even_with_a_client_at_work(starter: Starter, made: Path) -> None:
    process = Serving(starter, made)
    answer = process.answer()

    def linger() -> None:
        with contextlib.suppress(Exception):
            query(answer["dsn"], "SELECT pg_sleep(3600)")

    client = threading.Thread(target=linger)
    client.start()
    time.sleep(0.2)
    processes = family(answer["pid"])
    process.stop()
    client.join(60)
    assert not client.is_alive()
    assert not any(runs(each) for each in processes)
    assert not made.joinpath("run", ".s.PGSQL.5432").exists()


def test_read_dsn_says_when_no_server_runs(starter: Starter, made: Path) -> None:
    with serving(starter, made) as server:
        assert server["again"] == server["dsn"]
    for data_dir in (made, made / "missing"):
        with pytest.raises(EmbeddedServerError, match=r"^No embedded server runs on .*: start taskward serve, or "):
            read_dsn(data_dir)


def test_lost_credentials_are_replaced(starter: Starter, made: Path) -> None:
    data_dir = starter.copy(made)
    with serving(starter, data_dir) as before:
        pass
    data_dir.joinpath("credentials.json").unlink()
    with serving(starter, data_dir) as after:
        assert query(after["dsn"], "SELECT 1") == 1
    assert before["dsn"] != after["dsn"]


def test_a_long_log_is_set_aside(starter: Starter, made: Path) -> None:
    log = made / "postgresql.log"
    os.truncate(log, LOG_LIMIT + 1)
    with serving(starter, made):
        assert log.stat().st_size < LOG_LIMIT
    log.with_name("postgresql.log.1").unlink()


def test_missing_binaries_are_explained(starter: Starter, made: Path) -> None:
    said = refusal(starter, made, Path("/nowhere"))
    assert said.startswith("There is no `postgres` in /nowhere: ")
    assert "TASKWARD_POSTGRES_BIN" in said
    assert "DATABASE_URL" in said


def test_old_binaries_are_refused(starter: Starter, made: Path) -> None:
    old = Path(tempfile.mkdtemp(dir=starter.base))
    old.chmod(0o755)
    for name in ("postgres", "initdb"):
        old.joinpath(name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
        old.joinpath(name).chmod(0o755)
    assert refusal(starter, made, old).startswith(f"PostgreSQL 14.9 in {old} is too old: ")


def test_a_start_that_fails_shows_the_log(starter: Starter, made: Path, pgdata: Path) -> None:
    control = pgdata / "global" / "pg_control"
    control.rename(control.with_name("aside"))
    try:
        said = refusal(starter, made)
    finally:
        control.with_name("aside").rename(control)
    assert said.startswith("PostgreSQL did not start (exit code ")
    assert "could not find the database system" in said


def test_a_directory_of_ours_that_all_may_write_is_refused(starter: Starter, made: Path) -> None:
    data_dir = starter.fresh()
    data_dir.mkdir()
    data_dir.chmod(0o777)
    os.chown(data_dir, starter.uid, -1)
    assert refusal(starter, data_dir).startswith(f"Every account can write to the data directory {data_dir}: ")
    data_dir.chmod(0o755)
    starter.supply(data_dir, made)
    with serving(starter, data_dir):
        assert mode(data_dir) == 0o755


@only_root
def test_an_ordinary_user_is_told_of_a_directory_it_may_not_write(base: Path) -> None:
    nobody = Starter(base, pwd.getpwnam("nobody").pw_uid, None)
    root = Starter(base, 0, None)
    theirs = root.fresh()
    assert f"This account may not use {theirs}" in refusal(nobody, theirs)
    with serving(root, theirs):
        assert "This account may not use" in refusal(nobody, theirs)


@only_root
def test_root_refuses_a_directory_of_another_account(base: Path) -> None:
    root = Starter(base, 0, None)
    data_dir = root.fresh()
    data_dir.mkdir()
    os.chown(data_dir, pwd.getpwnam("nobody").pw_uid, -1)
    assert "belongs to the account with uid" in refusal(root, data_dir)


@only_root
def test_a_way_closed_to_the_service_account_is_named(base: Path) -> None:
    root = Starter(base, 0, None)
    data_dir = root.fresh()
    data_dir.parent.chmod(0o700)
    said = refusal(root, data_dir)
    assert f"cannot get through {data_dir.parent} to the data directory {data_dir}" in said
    assert mode(data_dir.parent) == 0o700


@only_root
@only_linux
def test_a_full_disk_is_named(base: Path) -> None:
    root = Starter(base, 0, None)
    disk = root.fresh()
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=0711", "none", disk], check=False).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        # With the wheel the copy of the binaries fills it; without, the database does.
        assert refusal(root, disk / "data").startswith(f"The disk of {disk / 'data'} is full: ")
        if SYSTEM_15.exists():
            assert refusal(root, disk / "system", SYSTEM_15).startswith(f"The disk of {disk / 'system'} is full: ")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_it_is_started_from_the_main_thread_only(base: Path) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        try:
            with running(base / "never"):
                pass
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert errors
    assert not base.joinpath("never").exists()


def test_the_default_data_directory_is_the_accounts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/home/someone/data")
    assert default_data_dir() == Path("/var/lib/taskward" if ROOT else "/home/someone/data/taskward")

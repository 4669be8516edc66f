"""What an embedded server, or whoever started it, leaves behind when it ends badly is no obstacle to the next start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.services import eventually, runs
from tests.starters import (  # noqa: F401 - some are fixtures
    ROOT,
    Serving,
    Starter,
    base_fixture,
    family,
    made_fixture,
    only_linux,
    pgdata_fixture,
    query,
    refusal,
    serving,
    starter_fixture,
    tidy_fixture,
)

pytestmark = pytest.mark.processes


def test_data_survive_a_restart(starter: Starter) -> None:
    data_dir = starter.fresh()
    with serving(starter, data_dir) as cold:
        query(cold["dsn"], "CREATE TABLE kept AS SELECT 42 AS answer")
    with serving(starter, data_dir) as warm:
        assert query(warm["dsn"], "SELECT answer FROM kept") == 42
        assert warm["dsn"] == cold["dsn"]


def test_a_second_start_is_refused_in_one_sentence_that_names_the_first(starter: Starter, made: Path) -> None:
    first = Serving(starter, made)
    dsn = first.answer()["dsn"]
    said = refusal(starter, made)
    assert said.startswith(f"Another taskward serve (pid {first.pid}) uses the data directory {made}: ")
    assert said.count(".") == 1 + str(made).count(".")
    assert query(dsn, "SELECT 1") == 1
    first.stop()
    with serving(starter, made):
        pass


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
time.sleep(0.3)
"""


def test_a_lock_that_is_about_to_be_given_up_is_waited_for(starter: Starter, made: Path) -> None:
    """As a child has it that was forked just before its parent was killed."""
    command = [sys.executable, "-c", HOLD, str(made / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with serving(starter, made) as server:
            assert query(server["dsn"], "SELECT 1") == 1


@only_linux
def test_a_killed_parent_takes_the_server_with_it(starter: Starter, made: Path) -> None:
    process = Serving(starter, made)
    answer = process.answer()
    query(answer["dsn"], "CREATE TABLE IF NOT EXISTS parent AS SELECT 1 AS one")
    processes = family(answer["pid"])
    process.kill()
    assert eventually(lambda: not any(runs(each) for each in processes))
    with serving(starter, made) as again:
        assert query(again["dsn"], "SELECT count(*) FROM parent") == 1


def test_a_parent_killed_and_restarted_at_once_finds_its_data(starter: Starter, made: Path) -> None:
    process = Serving(starter, made)
    process.answer()
    process.kill()
    with serving(starter, made) as again:
        assert query(again["dsn"], "SELECT 1") == 1


def test_a_first_start_killed_at_any_moment_is_made_good_by_the_next(starter: Starter) -> None:
    data_dir = starter.fresh()
    for milliseconds in (5, 30, 80, 160, 320, 400, 450, 500, 600):
        process = Serving(starter, data_dir)
        time.sleep(milliseconds / 1000)
        process.kill()
        os.close(process._told)
    with serving(starter, data_dir) as server:
        assert query(server["dsn"], "SELECT current_user::text") == "taskward"
    assert not list(data_dir.glob(".new-*"))


WRITE = """
import os, sys, time
os.chdir(sys.argv[1])
deadline = time.monotonic() + 0.7
print(flush=True)
try:
    while time.monotonic() < deadline:
        open(str(time.monotonic()), "w").close()
except OSError:
    pass
"""


def test_what_is_still_written_after_a_killed_first_start_is_cleared(starter: Starter, made: Path) -> None:
    data_dir = starter.copy(made)
    leftover = data_dir / ".new-left"
    leftover.mkdir()
    os.chown(leftover, starter.uid, -1)
    with subprocess.Popen([sys.executable, "-c", WRITE, str(leftover)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with serving(starter, data_dir) as server:
            assert query(server["dsn"], "SELECT 1") == 1
    assert not leftover.exists()


def test_a_killed_server_with_a_busy_backend_is_waited_for(starter: Starter, made: Path) -> None:
    process = Serving(starter, made)
    answer = process.answer()

    def work() -> None:
        with contextlib.suppress(Exception):
            query(answer["dsn"], "SELECT count(*) FROM generate_series(1, 12000000)")

    busy = threading.Thread(target=work)
    busy.start()
    time.sleep(0.3)
    processes = family(answer["pid"])
    os.kill(answer["pid"], signal.SIGKILL)
    process.stop()
    assert any(runs(each) for each in processes[1:]), "the query ended too soon to show anything"
    try:
        with serving(starter, made) as again:
            assert query(again["dsn"], "SELECT 1") == 1
    finally:
        busy.join()


def test_a_stale_pid_file_of_a_dead_process_is_no_obstacle(starter: Starter, made: Path, pgdata: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    leave_pid_file(pgdata, dead.pid)
    with serving(starter, made) as server:
        assert query(server["dsn"], "SELECT 1") == 1


def test_an_empty_pid_file_is_no_obstacle(starter: Starter, made: Path, pgdata: Path) -> None:
    leave_pid_file(pgdata, None)
    with serving(starter, made) as server:
        assert query(server["dsn"], "SELECT 1") == 1


def test_a_stranger_with_the_pid_of_a_dead_server_is_not_signalled(starter: Starter, made: Path, pgdata: Path) -> None:
    owner = pgdata.stat()
    stranger = subprocess.Popen(["sleep", "60"], **as_owner(owner))
    try:
        leave_pid_file(pgdata, stranger.pid)
        with serving(starter, made) as server:
            assert query(server["dsn"], "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_server_of_another_directory_is_not_signalled(starter: Starter, made: Path, pgdata: Path) -> None:
    with serving(starter, starter.copy(made)) as other:
        leave_pid_file(pgdata, other["pid"])
        with serving(starter, made):
            assert query(other["dsn"], "SELECT 1") == 1


def test_an_orphan_is_stopped_before_the_start(starter: Starter, made: Path, pgdata: Path) -> None:
    with serving(starter, made) as server:
        program = psutil.Process(server["pid"]).exe()
    # Not the child of a Taskward, as after a kill where the kernel does not end a child with its parent.
    orphan = subprocess.Popen(
        [program, "-D", str(pgdata), "-k", str(made / "run"), "-c", "listen_addresses="],
        stderr=subprocess.DEVNULL,
        **as_owner(pgdata.stat()),
    )
    assert eventually(lambda: pgdata.joinpath("postmaster.pid").exists())
    with serving(starter, made) as server:
        assert orphan.wait(1) == 0
        assert query(server["dsn"], "SELECT 1") == 1


def leave_pid_file(pgdata: Path, pid: int | None) -> None:
    path = pgdata / "postmaster.pid"
    path.write_text(f"{pid}\n{pgdata}\n0\n5432\n/nowhere\n\n        0         0\nready   \n" if pid else "")
    os.chown(path, pgdata.stat().st_uid, pgdata.stat().st_gid)


def as_owner(owner: os.stat_result) -> dict[str, Any]:
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": [], "cwd": "/"} if ROOT else {}

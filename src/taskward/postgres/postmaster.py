"""The server's process: recognised by its pid file, started, waited for, stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskward.postgres import processes
from taskward.postgres.directory import log_path, open_log
from taskward.postgres.errors import EmbeddedServerError
from taskward.runtime.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskward.postgres.accounts import ServiceAccount
    from taskward.postgres.binaries import Binaries

_log = get_logger(__name__)

START_SECONDS = 30.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.005
_RETRY_SECONDS = 0.1
# One write-ahead log segment.
_ROOM_NEEDED = 16 * 1024 * 1024
_LINES = 8


@dataclass(frozen=True)
class PidFile:
    """What `postmaster.pid` says; see "Database File Layout" and miscadmin.h in PostgreSQL's documentation and source.

    Attributes:
        pid: The postmaster, or a single-user backend.
        host: The socket's directory, or the address where there is no socket.
        port: Part of the socket's name, or the TCP port.
        ready: Whether connections are accepted.
    """

    pid: int
    host: str
    port: int
    ready: bool


def read_pid_file(pgdata: Path) -> PidFile | None:
    """Return what the pid file says, None where it is missing or incomplete.

    Raises:
        OSError: It cannot be read.
    """
    try:
        lines = pgdata.joinpath("postmaster.pid").read_text("utf-8", "surrogateescape").splitlines()
        # A single-user backend writes its pid negative, and no more than five lines.
        lines += [""] * (_LINES - len(lines))
        return PidFile(abs(int(lines[0])), lines[4] or lines[5], int(lines[3] or 0), lines[7].strip() == "ready")
    except (FileNotFoundError, ValueError):
        return None


def is_postmaster(pid: int, pgdata: Path) -> bool:
    """Tell whether a process is a PostgreSQL server of this very cluster, and not a later owner of its pid."""
    if sys.platform == "win32":
        return False
    try:
        if sys.platform == "linux":
            process = Path(f"/proc/{pid}")
            name = process.joinpath("cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "surrogateescape")
            # PostgreSQL makes the cluster its working directory, however the command line spelled it.
            here = process.joinpath("cwd").samefile(pgdata) and process.stat().st_uid == pgdata.stat().st_uid
        else:
            shown = subprocess.run(  # noqa: S603 - the pid is a number
                ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607 - where ps lives differs
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            name, _, arguments = shown.strip().partition(" -D ")
            here = arguments.startswith(f"{pgdata} ")
    except OSError:
        return False
    return here and Path(name).name in ("postgres", "postmaster")


def clear(pgdata: Path, binaries: Binaries) -> int | None:
    """End what an earlier Taskward left behind; call it under the lock.

    Returns:
        The pid in a pid file that is stale but names a living process; `start` must be told. The file stays:
        PostgreSQL finds through it memory that backends of a dead postmaster still share.

    Raises:
        EmbeddedServerError: An orphaned server does not stop.
    """
    found = read_pid_file(pgdata)
    if found is None:
        # Empty after a power cut; PostgreSQL would refuse to start.
        pgdata.joinpath("postmaster.pid").unlink(missing_ok=True)
        return None
    if sys.platform == "win32":
        _pg_ctl_stop(pgdata, binaries)
        return None
    for signum in (signal.SIGINT, signal.SIGQUIT):
        if not is_postmaster(found.pid, pgdata):
            return found.pid
        os.kill(found.pid, signum)
        if _wait(lambda: not is_postmaster(found.pid, pgdata), STOP_SECONDS):
            _log.info("orphaned database ended", database_pid=found.pid)
            return None
    msg = f"The PostgreSQL server with pid {found.pid} still runs in {pgdata} and does not stop: stop it yourself."
    raise EmbeddedServerError(msg)


def start(
    data_dir: Path,
    pgdata: Path,
    binaries: Binaries,
    account: ServiceAccount | None,
    *,
    settings: Mapping[str, str],
    stale_pid: int | None,
) -> tuple[subprocess.Popen[bytes], PidFile]:
    """Start the server and wait until it accepts connections, 30 s at most.

    Args:
        data_dir: Holds the log.
        pgdata: The cluster.
        binaries: Of its version.
        account: Whom root changes to.
        settings: PostgreSQL's, given on the command line, where nothing in the cluster overrides them.
        stale_pid: What `clear` returned.

    Raises:
        EmbeddedServerError: It ended first or was not ready in time; with the last lines of its log.
        OSError: The log cannot be written or the program not be started.
    """
    command: list[str] = [str(binaries.program("postgres")), "-D", str(pgdata)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    # PostgreSQL takes any living pid in its pid file for a server, but for its parent's and this one.
    environment = {"PG_GRANDPARENT_PID": str(stale_pid)} if stale_pid else {}
    deadline = time.monotonic() + START_SECONDS
    while True:
        ready = None
        with open_log(data_dir) as log:
            offset = os.fstat(log.fileno()).st_size
            process = processes.spawn(command, account, log=log, environment=environment)
        try:
            ready = _await_ready(process, pgdata, deadline)
        finally:
            if ready is None:
                stop(process, pgdata, binaries)
        if ready is not None:
            return process, ready
        said = _read_from(log_path(data_dir), offset)
        # Backends of a postmaster that was killed need a moment to notice.
        if "shared memory block" not in said or time.monotonic() > deadline:
            raise _failure(data_dir, said, process.returncode)
        time.sleep(_RETRY_SECONDS)


def _await_ready(process: subprocess.Popen[bytes], pgdata: Path, deadline: float) -> PidFile | None:
    while process.poll() is None and time.monotonic() < deadline:
        found = read_pid_file(pgdata)
        if found is not None and found.ready and found.pid == process.pid:
            return found
        time.sleep(_POLL_SECONDS)
    return None


def _read_from(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read().decode("utf-8", "replace")


def _failure(data_dir: Path, said: str, code: int | None) -> EmbeddedServerError:
    if shutil.disk_usage(data_dir).free < _ROOM_NEEDED:
        return EmbeddedServerError(f"PostgreSQL did not start because the disk of {data_dir} is full: free some space.")
    lines = "\n".join(said.strip().splitlines()[-10:]) or "(nothing)"
    msg = f"PostgreSQL did not start (exit code {code}); the last lines of {log_path(data_dir)} say why:\n{lines}"
    return EmbeddedServerError(msg)


def stop(process: subprocess.Popen[bytes], pgdata: Path, binaries: Binaries) -> None:
    """End the server: orderly, then at once, each for 10 s, then by force. It is gone afterwards."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        _pg_ctl_stop(pgdata, binaries)
    else:
        for signum in (signal.SIGINT, signal.SIGQUIT):
            process.send_signal(signum)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return
    process.kill()
    process.wait()


def _pg_ctl_stop(pgdata: Path, binaries: Binaries) -> None:
    processes.run_program(
        [binaries.program("pg_ctl"), "stop", "-m", "fast", "-t", f"{STOP_SECONDS:.0f}", "-D", str(pgdata)]
    )


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True

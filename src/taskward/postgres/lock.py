"""One Taskward per data directory: an exclusive lock held for the life of the server."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskward.postgres.errors import EmbeddedServerError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Seconds for which whoever holds the lock may still be ending: a program that a Taskward was about to start when it
# was killed has the lock until it notices.
_PATIENCE = 1.0
# Windows locks bytes against reading too, so the locked one lies beyond the pid.
_WINDOWS_OFFSET = 1 << 20


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Hold `<data_dir>/lock`. The kernel releases it with the process, however that ends.

    Raises:
        EmbeddedServerError: Another process holds it.
        OSError: The file cannot be written.
    """
    path = data_dir / "lock"
    # Python's descriptors are not inherited by exec, so the server does not keep the lock of a dead parent.
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if not _lock(fd):
            holder = os.read(fd, 32).decode("utf-8", "replace").strip() or "unknown"
            msg = (
                f"Another taskward serve (pid {holder}) uses the data directory {data_dir}: "
                "stop it, or give this one another TASKWARD_DATA_DIR."
            )
            raise EmbeddedServerError(msg)
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while not _try_lock(fd):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _try_lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(fd, _WINDOWS_OFFSET, os.SEEK_SET)
            try:
                msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(fd, 0, os.SEEK_SET)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True

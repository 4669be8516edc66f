"""Folders for the servers of tests: in memory where there is room, since to make a database is to make 300 files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder that is made in it is ours alone
_ROOM = 4 * 1024**3
"""Bytes that must be free: what the databases of two processes take at most, several times."""


def new_folder(prefix: str) -> Path:
    """A folder that a service account may traverse, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if _serves(_MEMORY) else None))
    folder.chmod(0o711)
    return folder


def _serves(place: Path) -> bool:
    if not place.is_dir() or not os.access(place, os.W_OK):
        return False
    # A service account's copy of PostgreSQL is run from here; containers often forbid that, or give 64 MB.
    return not os.statvfs(place).f_flag & os.ST_NOEXEC and shutil.disk_usage(place).free >= _ROOM

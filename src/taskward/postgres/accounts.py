"""Which account of the operating system the server runs under.

PostgreSQL refuses to run as root, so a root-started Taskward gives the server an account of its own.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskward.postgres.errors import EmbeddedServerError

if sys.platform != "win32":
    import pwd

if TYPE_CHECKING:
    from pathlib import Path

# `nobody` is shared with other daemons, so it comes last.
CANDIDATES = ("taskward", "postgres", "nobody")


@dataclass(frozen=True)
class ServiceAccount:
    """An account that root changes to before it starts a PostgreSQL program."""

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    """Tell whether this process has root's rights; never so on Windows."""
    return sys.platform != "win32" and os.geteuid() == 0


def service_account(pgdata: Path) -> ServiceAccount | None:
    """Choose the account for the server of a data directory.

    Args:
        pgdata: The cluster's directory. Where it exists its owner is kept, so that an account created later
            does not lock the server out of its own files.

    Returns:
        None when this process is not root: the server then runs as whoever started it.

    Raises:
        EmbeddedServerError: The cluster belongs to root, or no candidate exists.
    """
    if not is_root():
        return None
    if pgdata.exists():
        uid = pgdata.stat().st_uid
        if uid == 0:
            msg = (
                f"{pgdata} belongs to root, and PostgreSQL does not run as root: "
                f"give it to a service account with `chown -R postgres {pgdata}`."
            )
            raise EmbeddedServerError(msg)
        # An account of another container has no name here; its number is enough to run under.
        return _look_up(uid) or ServiceAccount(str(uid), uid, pgdata.stat().st_gid)
    for name in CANDIDATES:
        account = _look_up(name)
        if account is not None:
            return account
    msg = (
        "PostgreSQL does not run as root and there is no account to run it under: "
        "create one with `useradd --system taskward`, or start Taskward as an ordinary user."
    )
    raise EmbeddedServerError(msg)


def _look_up(key: str | int) -> ServiceAccount | None:
    if sys.platform != "win32":
        try:
            entry = pwd.getpwnam(key) if isinstance(key, str) else pwd.getpwuid(key)
        except KeyError:
            return None
        return ServiceAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)
    return None

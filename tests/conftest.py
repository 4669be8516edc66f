"""How the tests are run: what the default run leaves out, at which size, and how transactions begin."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskward.storage import pool
from taskward.storage.leases import Lease, LiteralLease
from tests import sizes

pytest_plugins = ("tests.databases", "tests.users")
LEFT_OUT = ("processes", "costs", "long")
"""Markers of what the default run leaves out, and CI runs."""
_LEFT_OUT = pytest.StashKey[int]()
OPENINGS: dict[str, type[Lease]] = {"begun": Lease, "literals": LiteralLease}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="try properties, fuzzers and crowds at full size, as CI does"
    )
    parser.addoption("--all", action="store_true", help="leave out no test: see the markers in pyproject.toml")
    parser.addoption("--opening", choices=OPENINGS, help="how all transactions begin, wherever the database is")
    parser.addoption("--no-skip", action="store_true", help="a test that cannot run here fails, as it does in CI")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background deaf to Ctrl-C, and so would be every process that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if opening := config.getoption("--opening"):
        pool.kind_for = lambda address: OPENINGS[opening]  # noqa: ARG005 - whatever it is
    if config.getoption("--thorough"):
        sizes.be_thorough()


def _leaves_out(config: pytest.Config) -> bool:
    """Whether this is the default run. One that is asked for files, tests or markers is given all that these have."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS and not any(Path(arg).is_dir() for arg in config.args)
    return not (named or config.getoption("--all") or config.getoption("markexpr"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not _leaves_out(config):
        return
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (left_out if any(item.get_closest_marker(name) for name in LEFT_OUT) else kept).append(item)
    config.stash[_LEFT_OUT] = len(left_out)
    if hasattr(config, "workeroutput"):
        # The process that writes the summary collects nothing by itself.
        config.workeroutput["left_out"] = len(left_out)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Every process collects the same tests.
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if count := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} tests were left out, which start processes, take long or bound processor time;"
            " `uv run pytest --all` runs them as well, and CI does."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--no-skip"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{item.nodeid} cannot run here: {reason}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_configuration_from_outside() -> Iterator[None]:
    # A developer's own settings must not reach the tests.
    found = {
        n: v for n, v in os.environ.items() if n.startswith("TASKWARD_") or n in {"DATABASE_URL", "BETTER_AUTH_SECRET"}
    }
    for name in found:
        del os.environ[name]
    yield
    os.environ.update(found)

"""How the tests are run: what the default run leaves out, at which size, and how transactions begin."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskward.storage import pool
from taskward.storage.dsn import Address
from taskward.storage.leases import Lease
from tests import sizes

pytest_plugins = ("tests.databases", "tests.users")
LEFT_OUT = ("processes", "costs", "long")
"""Markers of what the default run leaves out, and CI runs."""
ON_CITUS = "citus"
"""Marker of what needs a cluster that somebody else runs, and so only runs where it is asked for."""
_LEFT_OUT = pytest.StashKey[tuple[int, int]]()
OPENINGS: dict[str, Callable[[Address], type[Lease]]] = {
    "begun": lambda _: Lease,
    "citus": partial(pool.kind_for, is_distributed=True),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="try properties, fuzzers and crowds at full size, as CI does"
    )
    parser.addoption(
        "--all", action="store_true", help="leave out no test that needs no cluster: see the markers in pyproject.toml"
    )
    parser.addoption("--opening", choices=OPENINGS, help="how all transactions begin, wherever the database is")
    parser.addoption("--no-skip", action="store_true", help="a test that cannot run here fails, as it does in CI")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background deaf to Ctrl-C, and so would be every process that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if opening := config.getoption("--opening"):
        pool.kind_for = lambda address, **_: OPENINGS[opening](address)
    if config.getoption("--thorough"):
        sizes.be_thorough()


def _left_out(config: pytest.Config) -> tuple[str, ...]:
    """The markers of what is left out. A run that is asked for files, tests or markers is given all that these have."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS and not any(Path(arg).is_dir() for arg in config.args)
    if named or config.getoption("markexpr"):
        return ()
    return (ON_CITUS,) if config.getoption("--all") else (*LEFT_OUT, ON_CITUS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    markers = _left_out(config)
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (left_out if any(item.get_closest_marker(name) for name in markers) else kept).append(item)
    if not left_out:
        return
    on_citus = sum(item.get_closest_marker(ON_CITUS) is not None for item in left_out)
    config.stash[_LEFT_OUT] = len(left_out) - on_citus, on_citus
    if hasattr(config, "workeroutput"):
        # The process that writes the summary collects nothing by itself.
        config.workeroutput["left_out"] = config.stash[_LEFT_OUT]
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Every process collects the same tests.
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", (0, 0))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    count, on_citus = config.stash.get(_LEFT_OUT, (0, 0))
    if count:
        terminalreporter.write_line(
            f"{count} tests were left out, which start processes, take long or bound processor time;"
            " `uv run pytest --all` runs them as well, and CI does."
        )
    if on_citus:
        terminalreporter.write_line(
            f"{on_citus} tests were left out, which need a Citus cluster; `uv run pytest -m citus` runs them, on one"
            " of which TASKWARD_TEST_CITUS_URL names a superuser."
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

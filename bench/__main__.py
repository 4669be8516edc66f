"""`python -m bench`: start the contenders, see that they agree, load them in turn, and report."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import agreement, cluster, data, databases, load, report
from bench.contenders import CONTENDERS, Contender, Fill
from bench.processes import BenchError, Running, free_port, prepare, serving

_RESULTS = Path(__file__).with_name("results")
_WARM_SECONDS = 2
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the bench.

    Returns:
        0; 1 when it could not be carried out or a ratio is below `--check`; 130 after Ctrl-C.
    """
    options = _options()
    # SIGINT too: a shell starts background jobs with it ignored.
    for number in _ENDING:
        signal.signal(number, _interrupt)
    try:
        load.require_wrk()
        with ExitStack() as stack:
            rounds = _measure(options, stack)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; everything started was ended.", file=sys.stderr)
        return 130
    return _judge(rounds, options.check)


def _measure(options: argparse.Namespace, stack: ExitStack) -> report.Rounds:
    folder = Path(tempfile.mkdtemp(prefix="taskward-bench-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    if options.database_url:
        postgresql = cluster.Cluster(options.database_url, None)
    else:
        _say("starting PostgreSQL")
        postgresql = stack.enter_context(cluster.temporary(folder, options.postgres_bin))
    facts = databases.server_facts(postgresql.admin_dsn)
    secret = secrets.token_hex(32)
    dataset = data.make(options.users, options.tasks, secret)
    requests = data.write_requests(dataset, folder)

    servers: list[Running] = []
    stores: list[databases.Database] = []
    for label, contender in _labelled(options.contenders).items():
        _say(f"starting {label}")
        database = stack.enter_context(databases.created(postgresql.admin_dsn, contender))
        fill = Fill(login=database.login, secret=secret, pool=options.pool, port=free_port())
        workplace = folder / label
        workplace.mkdir()
        prepare(contender, fill, workplace)
        database.seed(contender, dataset)
        servers.append(stack.enter_context(serving(contender, label, fill, workplace)))
        stores.append(database)
    # From here on a second Ctrl-C would only interrupt the clean-up, which is short.
    stack.callback(_hold_signals)

    agreement.require(servers, dataset)
    _say(f"{len(servers)} servers agree on {options.users} users × {options.tasks} tasks")
    busy = os.getloadavg()[0]
    if busy > 1:
        _say(f"the machine was busy before (load average {busy:.1f}); ratios suffer less than absolute numbers")

    rounds: report.Rounds = {}
    for operation in options.operations:
        rounds[operation] = {server.label: [] for server in servers}
        for number in range(options.rounds + 1):
            warming = number == 0
            for server, store in zip(servers, stores, strict=True):
                store.reset(server.contender)
                seconds = min(_WARM_SECONDS, options.seconds) if warming else options.seconds
                seen = load.run(server, requests[operation], seconds, options.connections, postgresql.process)
                if not warming:
                    rounds[operation][server.label].append(seen)
                    _say(f"{operation} {number}/{options.rounds} {server.label}: {seen.per_second:,.0f} requests/s")
    path = _RESULTS / f"{options.name}.json"
    packages = {server.label: list(server.contender.packages) for server in servers}
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    asked["database_url"] = bool(options.database_url)  # it has a password
    report.write(path, rounds, asked, facts, packages)
    _say(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return rounds


def _judge(rounds: report.Rounds, check: float | None) -> int:
    print("\n" + report.table(rounds))
    if check is None:
        return 0
    short = [
        f"{operation} against {peer} is {compared.lower:.2f}×"
        for operation, peers in report.ratios(rounds).items()
        for peer, compared in peers.items()
        if compared.lower < check
    ]
    if short:
        print(f"\nbench: below {check}×: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=_positive, default=5, help="rounds per operation and contender (5)")
    add("--seconds", type=_positive, default=5, help="seconds per round (5)")
    add("--connections", type=_positive, default=32, help="kept-alive connections (32)")
    add("--pool", type=_positive, default=10, help="database connections of each server (10)")
    add("--users", type=_two_or_more, default=200, help="seeded users (200)")
    add("--tasks", type=_positive, default=100, help="seeded tasks per user (100)")
    add("--operations", type=_operations, default=list(data.OPERATIONS), help="comma list of get list create complete")
    add("--quick", action="store_true", help="3 rounds of 1 second: does it work, not how fast is it")
    add("--check", type=float, metavar="RATIO", help="exit 1 when any ratio is below")
    add("--database-url", help="a superuser's address of a running PostgreSQL, instead of a temporary one")
    add("--postgres-bin", type=Path, help="the bin folder of PostgreSQL for the temporary one")
    add("--name", default=f"{datetime.now(UTC):%Y%m%d-%H%M%S}", help="the file in bench/results (the time)")
    # The first is the subject; naming one twice measures the harness's own noise.
    add("--contenders", type=_contenders, default=["taskward", "common"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 3, 1
    return options


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _two_or_more(text: str) -> int:
    value = int(text)
    if value < 2:  # one of them is the stranger who must be refused
        raise argparse.ArgumentTypeError("must be at least 2")
    return value


def _operations(text: str) -> list[str]:
    return _among(text, data.OPERATIONS)


def _contenders(text: str) -> list[str]:
    return _among(text, tuple(CONTENDERS))


def _among(text: str, known: tuple[str, ...]) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
    return names


def _labelled(names: list[str]) -> dict[str, Contender]:
    labelled = {}
    for position, name in enumerate(names):
        again = names[:position].count(name)
        labelled[f"{name}-{again + 1}" if again else name] = CONTENDERS[name]
    return labelled


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _hold_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


_started = time.monotonic()


def _say(what: str) -> None:
    print(f"[{time.monotonic() - _started:5.0f} s] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench`: start the contenders, see that they agree, load them in turn, and report."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import agreement, alone, cores, crowd, data, endurance, growth, load, plot, report, throughput
from bench.contenders import CONTENDERS, checkout
from bench.processes import BenchError
from bench.progress import say
from bench.stage import Options, Participant, Stage

_RESULTS = Path(__file__).with_name("results")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CROWD = 256
_EXTRAS = ("growth", "endurance", "crowd", "cores", "alone")
_SUBJECT = "taskward"
_COMPARED = "common"


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
        load.require("wrk", *(["hey"] if "crowd" in options.extras else []))
        with ExitStack() as stack:
            results = _measure(options, stack)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; everything started was ended.", file=sys.stderr)
        return 130
    return _judge(results, options.check)


def _measure(options: argparse.Namespace, stack: ExitStack) -> report.Results:
    say("starting PostgreSQL")
    stage = Stage(Options(options.pool, options.database_url, options.postgres_bin), stack)
    dataset = stage.dataset(options.users, options.tasks)
    participants = []
    contenders = {label: CONTENDERS[name] for label, name in _labelled(options.contenders).items()}
    if options.before:
        contenders["before"] = checkout(options.before.resolve())
    for label, contender in contenders.items():
        say(f"starting {label}")
        participants.append(stack.enter_context(stage.participant(contender, dataset, label)))
    floor = None
    if options.floor and stage.postgres is not None:
        say("preparing the floor")
        floor = stack.enter_context(stage.floor(dataset))
    # From here on a second Ctrl-C would only interrupt the clean-up, which is short.
    stack.callback(_hold_signals)

    agreement.require(participants, dataset)
    say(f"{len(participants)} servers agree on {options.users} users × {options.tasks} tasks")
    busy = os.getloadavg()[0]
    if busy > 1:
        say(f"the machine was busy before (load average {busy:.1f}); ratios suffer less than absolute numbers")

    plan = throughput.Plan(
        tuple(data.OPERATIONS[name] for name in options.operations),
        options.rounds,
        options.seconds,
        options.connections,
        options.crowd,
    )
    results = report.Results(
        options={name: value.name if isinstance(value, Path) else value for name, value in vars(options).items()}
        | {"database_url": bool(options.database_url)},  # it has a password
        postgresql=stage.facts,
        versions={one.label: report.versions(one.contender) for one in participants},
    )
    watch = endurance.Watch(participants[0]) if "endurance" in options.extras else None
    results.rounds = throughput.Turns(stage, dataset, participants, floor, watch).run(plan)
    if watch is not None:
        results.endurance = watch.until(options.requests, stage, dataset, options.connections)
    _extras(options, stage, dataset, participants, results)
    path = _RESULTS / f"{options.name}.json"
    report.write(path, results)
    plot.throughput(results, path.with_suffix(".svg"))
    if results.growth:
        plot.growth(results, path.with_name(f"{options.name}-growth.svg"))
    say(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return results


def _extras(
    options: argparse.Namespace,
    stage: Stage,
    dataset: data.Dataset,
    participants: list[Participant],
    results: report.Results,
) -> None:
    subject = participants[0]
    if "cores" in options.extras:
        say("all cores")
        results.cores = cores.run(stage, dataset, participants, options.seconds, options.connections)
    if "crowd" in options.extras:
        say("1,000 connections")
        results.crowd = crowd.run(subject, dataset)
    if "alone" in options.extras:
        say("one user alone")
        results.alone = alone.run(
            stage,
            subject,
            dataset,
            rounds=options.rounds,
            seconds=options.seconds,
            connections=options.connections,
        )
    if "growth" in options.extras:
        say("growth")
        results.growth = growth.run(stage, subject, dataset, options.rounds)


def _judge(results: report.Results, check: float | None) -> int:
    print("\n" + report.text(results))
    if check is None:
        return 0
    short = [
        f"{title} against {_COMPARED} is {compared.lower:.2f}×"
        for title, peers in report.ratios(results.rounds).items()
        for peer, compared in peers.items()
        if peer == _COMPARED and compared.lower < check
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
    add("--crowd", type=int, default=_CROWD, help="connections of get, list and create once more, or 0 (256)")
    add("--pool", type=_positive, default=10, help="database connections of each server (10)")
    add("--users", type=_two_or_more, default=10_000, help="seeded users (10,000)")
    add("--tasks", type=_positive, default=100, help="seeded tasks per user (100)")
    add("--requests", type=_positive, default=1_000_000, help="requests after which memory is judged (1,000,000)")
    add("--operations", type=_operations, default=list(data.OPERATIONS), help="comma list (all)")
    add("--contenders", type=_contenders, default=list(CONTENDERS), help="comma list; the first is compared (all)")
    add("--before", type=Path, metavar="FOLDER", help="a checkout of another version, as one contender more")
    add("--extras", type=_extra_names, help="comma list of further measurements, or none (all)")
    add("--no-floor", dest="floor", action="store_false", help="without PostgreSQL alone")
    add("--quick", action="store_true", help="less data, 2 rounds of 1 second, no extras: does it work")
    add("--check", type=float, metavar="RATIO", help=f"exit 1 when any ratio to {_COMPARED} is below")
    add("--database-url", help="a superuser's address of a running PostgreSQL, instead of a temporary one")
    add("--postgres-bin", type=Path, help="the bin folder of PostgreSQL for the temporary one")
    add("--name", default=f"{datetime.now(UTC):%Y%m%d-%H%M%S}", help="the files in bench/results (the time)")
    options = parser.parse_args()
    if options.extras is None:
        options.extras = [] if options.quick or options.contenders[0] != _SUBJECT else list(_EXTRAS)
    if options.extras and options.contenders[0] != _SUBJECT:
        parser.error(f"--extras are measured of {_SUBJECT}, which must be the first of --contenders")
    if options.check is not None and _COMPARED not in options.contenders[1:]:
        parser.error(f"--check needs {_COMPARED} among --contenders, and not as the first")
    if options.quick:
        options.rounds, options.seconds, options.users = 2, 1, min(options.users, 500)
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
    return _among(text, tuple(data.OPERATIONS))


def _contenders(text: str) -> list[str]:
    return _among(text, tuple(CONTENDERS))


def _extra_names(text: str) -> list[str]:
    return [] if text == "none" else _among(text, _EXTRAS)


def _among(text: str, known: tuple[str, ...]) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
    return names


def _labelled(names: list[str]) -> dict[str, str]:
    # Naming one twice measures the harness's own noise.
    labelled = {}
    for position, name in enumerate(names):
        again = names[:position].count(name)
        labelled[f"{name}-{again + 1}" if again else name] = name
    return labelled


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _hold_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())

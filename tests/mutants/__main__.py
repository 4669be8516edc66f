"""`python -m tests.mutants`: try every mutant, or those whose names have one of the given words in them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.catalogue import EQUIVALENT, catalogue
from tests.mutants.running import job_of, run_all
from tests.mutants.source import Mutant, MutantError, Source, together
from tests.mutants.verdicts import Verdict, judge, table

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Try mutants.

    Returns:
        0 where every one had the outcome that is expected of it; else 1.
    """
    options = _options()
    began = time.monotonic()
    source = Source(ROOT)
    try:
        chosen = _chosen(catalogue(source), options.names)
        if options.list:
            for mutant in chosen:
                print(f"{mutant.name}\n    {' '.join(mutant.tests)}")
            return 0
        verdicts = list(_try(source, chosen))
    except MutantError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1
    print("\n" + table(verdicts))
    bad = [verdict for verdict in verdicts if not verdict.good]
    print(f"\n{len(verdicts)} in {time.monotonic() - began:.0f} s, {len(bad)} not as expected")
    for verdict in bad:
        print(f"  {verdict.name}: {verdict.outcome}")
    return 1 if bad else 0


def _chosen(mutants: list[Mutant], words: list[str]) -> list[Mutant]:
    chosen = [mutant for mutant in mutants if not words or any(word in mutant.name for word in words)]
    if not chosen:
        raise MutantError("no mutant has such a name")
    return chosen


def _try(source: Source, mutants: list[Mutant]) -> Iterator[Verdict]:
    files: dict[str, list[str]] = {}
    for test in dict.fromkeys(test for mutant in mutants for test in mutant.tests):
        files.setdefault(test.partition("::")[0], []).append(test)
    unchanged = [
        Mutant(f"nothing changed: {file}", (), (file,) if file in tests else tuple(tests), stays_green=True)
        for file, tests in files.items()
    ]
    red = []
    for verdict in _run(source, unchanged):
        yield verdict
        if not verdict.good:
            red.append(verdict.name)
    if red:
        raise MutantError(f"tests that fail without a mutant say nothing about one; {'; '.join(red)}")
    # No test fails because of them, so that each takes as long as all its tests: most are tried at once.
    groups = together(source, [mutant for mutant in mutants if mutant.name in EQUIVALENT])
    members = {group.name: group_of for group, group_of in groups}
    alone = [mutant for mutant in mutants if mutant.name not in EQUIVALENT]
    for verdict in _run(source, [group for group, _ in groups]):
        if verdict.good:
            yield verdict
        else:
            alone += members[verdict.name]
    yield from _run(source, alone)


def _run(source: Source, mutants: list[Mutant]) -> Iterator[Verdict]:
    jobs, known = [], {mutant.name: mutant for mutant in mutants}
    for mutant in mutants:
        try:
            jobs.append(job_of(source, mutant))
        except MutantError as error:
            raise MutantError(f"{mutant.name}: {error}") from None
    for job, report in run_all(ROOT, jobs):
        verdict = judge(known[job.name], report, EQUIVALENT)
        print(verdict.line, flush=True)
        if not verdict.good:
            print("\n".join(f"    {line}" for line in report.output.splitlines()[-12:]), flush=True)
        yield verdict


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="words in the names of the mutants to try")
    parser.add_argument("--list", action="store_true", help="name the mutants and their tests, and try none")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

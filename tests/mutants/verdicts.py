"""What a run of the tests says about a mutant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.mutants.running import Report
from tests.mutants.source import Mutant


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        good: Whether it is what was to become of it.
    """

    name: str
    outcome: str
    seconds: float
    good: bool

    @property
    def line(self) -> str:
        return f"{'ok ' if self.good else 'BAD'} {self.seconds:5.1f} s  {self.name} -- {self.outcome}"


def judge(mutant: Mutant, report: Report, equivalent: Mapping[str, str]) -> Verdict:
    """Say whether a mutant's tests did what they should.

    Args:
        equivalent: Why mutants, by name, cannot be noticed.
    """
    reason = equivalent.get(mutant.name)
    if report.failed is not None:
        failed = report.failed.removeprefix("tests/")
        if mutant.stays_green:
            outcome, good = f"must stay green, but {failed} failed", False
        elif reason is not None:
            outcome, good = f"is on the list of those that cannot be noticed, and {failed} noticed it", False
        else:
            outcome, good = f"killed by {failed}", True
    elif report.error is not None:
        outcome, good = f"ERROR: {report.error}", False
    elif mutant.stays_green:
        outcome, good = f"holds: {report.passed} tests stay green", True
    elif reason is not None:
        outcome, good = f"cannot be noticed: {reason}", True
    else:
        tried = ", ".join(test.removeprefix("tests/") for test in mutant.tests)
        outcome, good = f"SURVIVED {report.passed} tests ({tried}): write one that fails, or name one that does", False
    return Verdict(mutant.name, outcome, report.seconds, good)


def table(verdicts: Sequence[Verdict]) -> str:
    """All of them, one a line, in the order of their names."""
    width = max(len(verdict.name) for verdict in verdicts)
    ordered = sorted(verdicts, key=lambda verdict: verdict.name)
    return "\n".join(f"{v.name:{width}}  {v.seconds:5.1f} s  {v.outcome}" for v in ordered)

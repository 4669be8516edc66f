"""What the rounds amount to: medians, ratios, a table for people and a file for machines."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import Round

Rounds = dict[str, dict[str, list[Round]]]
"""By operation, then by contender's label; rounds in the order in which they were run."""


@dataclass(frozen=True)
class Ratio:
    """How many times a peer's requests per second the subject answers."""

    of_medians: float
    pairwise: float
    """The median of the ratios of rounds that followed each other; a slow phase of the machine cancels out."""

    @property
    def lower(self) -> float:
        """The less flattering one."""
        return min(self.of_medians, self.pairwise)


def ratio(subject: list[Round], peer: list[Round]) -> Ratio:
    """Compare two contenders in one operation."""
    return Ratio(
        of_medians=_rate(subject) / _rate(peer),
        pairwise=median(mine.per_second / theirs.per_second for mine, theirs in zip(subject, peer, strict=True)),
    )


def ratios(rounds: Rounds) -> dict[str, dict[str, Ratio]]:
    """By operation and peer; the first contender is the subject."""
    compared = {}
    for operation, by_label in rounds.items():
        subject, *peers = by_label
        compared[operation] = {peer: ratio(by_label[subject], by_label[peer]) for peer in peers}
    return compared


def table(rounds: Rounds) -> str:
    """The results as text, one line per operation and contender."""
    head = ("", "", "requests/s (min–max)", "p50 ms", "p99 ms", "CPU µs", "db CPU µs", "ratio", "pairwise")
    lines: list[tuple[str, ...]] = [head]
    compared = ratios(rounds)
    for operation, by_label in rounds.items():
        for position, (label, seen) in enumerate(by_label.items()):
            rates = [one.per_second for one in seen]
            against = compared[operation].get(label)
            database = [one.database_cpu_us for one in seen if one.database_cpu_us is not None]
            lines.append(
                (
                    "" if position else operation,
                    label,
                    f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",
                    f"{median(one.p50_ms for one in seen):.1f}",
                    f"{median(one.p99_ms for one in seen):.1f}",
                    f"{median(one.server_cpu_us for one in seen):,.0f}",
                    f"{median(database):,.0f}" if database else "-",
                    f"{against.of_medians:.2f}×" if against else "",
                    f"{against.pairwise:.2f}×" if against else "",
                )
            )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write(
    path: Path, rounds: Rounds, options: dict[str, Any], server: dict[str, str], packages: dict[str, list[str]]
) -> None:
    """Write everything that was seen, and on what, as JSON.

    Args:
        path: The file, overwritten.
        rounds: All rounds.
        options: What the bench was asked to do.
        server: Facts about PostgreSQL.
        packages: Distribution names per contender, whose versions are noted.
    """
    document = {
        "options": options,
        "machine": _machine(),
        "postgresql": server,
        "versions": {label: {name: _version(name) for name in names} for label, names in packages.items()},
        "ratios": {
            operation: {peer: asdict(compared) for peer, compared in peers.items()}
            for operation, peers in ratios(rounds).items()
        },
        "medians": {
            operation: {label: _medians(seen) for label, seen in by_label.items()}
            for operation, by_label in rounds.items()
        },
        "rounds": {
            operation: {label: [asdict(one) for one in seen] for label, seen in by_label.items()}
            for operation, by_label in rounds.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(document), indent=2) + "\n")


def _rate(seen: list[Round]) -> float:
    return median(one.per_second for one in seen)


def _medians(seen: list[Round]) -> dict[str, float]:
    rows = [asdict(one) for one in seen]
    return {name: median(row[name] for row in rows) for name in rows[0] if rows[0][name] is not None}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: _rounded(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_rounded(member) for member in value]
    return value


def _machine() -> dict[str, Any]:
    cpu_info = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpu_info.read_text().splitlines() if cpu_info.exists() else ())
        if line.startswith("model name")
    ]
    return {
        "processors": os.cpu_count(),
        "processor": models[0] if models else platform.processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

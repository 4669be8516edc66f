"""What the measurements amount to: medians, ratios, a text for people and a file for machines."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil

from bench.alone import Alone
from bench.contenders import Contender
from bench.crowd import Crowd
from bench.endurance import Endurance
from bench.growth import Growth
from bench.load import Round
from bench.processes import BenchError
from bench.throughput import Rounds

_FAST_BUILD = ("--enable-optimizations", "--with-lto")


@dataclass
class Results:
    """Everything that was seen, and on what.

    Attributes:
        options: What the bench was asked to do.
        postgresql: Facts about the server.
        versions: By contender, of the packages that it is made of, and how its Python was built.
    """

    options: dict[str, Any]
    postgresql: dict[str, str]
    versions: dict[str, dict[str, str]]
    rounds: Rounds = field(default_factory=dict)
    cores: dict[str, dict[str, Round]] = field(default_factory=dict)
    crowd: Crowd | None = None
    endurance: Endurance | None = None
    growth: Growth | None = None
    alone: Alone | None = None


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
        of_medians=rate(subject) / rate(peer),
        pairwise=median(mine.per_second / theirs.per_second for mine, theirs in zip(subject, peer, strict=True)),
    )


@dataclass(frozen=True)
class Cost:
    """How many times a peer's processor time per request the subject takes, PostgreSQL's included."""

    pairwise: float
    """The median of the ratios of rounds that followed each other."""
    quartiles: tuple[float, float]
    """The middle half of these ratios."""

    def __str__(self) -> str:
        return f"{self.pairwise:.2f} ({self.quartiles[0]:.2f}–{self.quartiles[1]:.2f})"


def cost(subject: list[Round], peer: list[Round]) -> Cost | None:
    """Compare the processor time of two contenders in one operation; None if it was not measured."""
    pairs = [(_processor(mine), _processor(theirs)) for mine, theirs in zip(subject, peer, strict=True)]
    compared = [mine / theirs for mine, theirs in pairs if mine and theirs]
    if len(compared) < 2:
        return None
    lower, middle, upper = quantiles(compared, n=4, method="inclusive")
    return Cost(middle, (lower, upper))


def _processor(one: Round) -> float | None:
    if one.server_cpu_us is None or one.database_cpu_us is None:
        return None
    return one.server_cpu_us + one.database_cpu_us


def ratios(rounds: Rounds) -> dict[str, dict[str, Ratio]]:
    """By what was measured and by peer; the first contender is the subject."""
    compared = {}
    for title, by_label in rounds.items():
        subject, *peers = by_label
        compared[title] = {peer: ratio(by_label[subject], by_label[peer]) for peer in peers}
    return compared


def rate(seen: Sequence[Round]) -> float:
    """The median of the requests per second."""
    return median(one.per_second for one in seen)


def versions(contender: Contender) -> dict[str, str]:
    """The installed versions of what a contender is made of.

    Raises:
        BenchError: Something is not installed.
    """
    if (folder := contender.node_modules) is None:
        python = {"python": _python(contender.python)} if contender.python else {}
        return python | {name: _version(name) for name in contender.packages}
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    manifests = {name: json.loads((folder / name / "package.json").read_text()) for name in contender.packages}
    return {"node": node} | {name: manifest["version"] for name, manifest in manifests.items()}


def pythons(made_of: Mapping[str, Mapping[str, str]]) -> str:
    """The interpreters among the versions, and whose each is."""
    labels: dict[str, list[str]] = {}
    for label, packages in made_of.items():
        if "python" in packages:
            labels.setdefault(packages["python"], []).append(label)
    return "; ".join(f"{python} ({', '.join(whose)})" for python, whose in labels.items())


def text(results: Results) -> str:
    """The results for people."""
    parts = [table(results.rounds)]
    if built := pythons(results.versions):
        parts.append(f"Python {built}")
    if results.cores:
        parts.append(
            "all cores, requests/s: "
            + "; ".join(
                f"{operation}: " + ", ".join(f"{label} {one.per_second:,.0f}" for label, one in by_label.items())
                for operation, by_label in results.cores.items()
            )
        )
    if crowd := results.crowd:
        parts.append(
            f"{crowd.connections:,} connections at {crowd.per_second:,.0f} requests/s: p50 {crowd.p50_ms:.0f} ms, "
            f"p95 {crowd.p95_ms:.0f} ms, p99 {crowd.p99_ms:.0f} ms, slowest {crowd.slowest_ms:.0f} ms; "
            f"answers {crowd.answers}; errors: {crowd.errors or 'none'}"
        )
    if endurance := results.endurance:
        parts.append(
            f"memory of the worker: {endurance.megabytes[0]:.0f} MB at first, {endurance.megabytes[-1]:.0f} MB after "
            f"{endurance.requests[-1]:,} requests"
            + (f", the last quarter {endurance.growth:.3f} × the one before" if endurance.growth else "")
        )
    if alone := results.alone:
        parts.append(
            f"creates of one user alone on {alone.connections} connections: {median(alone.one):,.0f} requests/s, "
            f"{alone.ratio():.2f} times those of many users"
        )
    if growth := results.growth:
        parts.append("\n".join(f"{title}: {value:.2f} times as dear" for title, value in growth.ratios().items()))
    return "\n\n".join(parts)


def table(rounds: Rounds) -> str:
    """The rounds as text, one line per thing measured and contender."""
    head = ("", "", "requests/s (min–max)", "p50 ms", "p99 ms", "CPU µs", "db CPU µs", "ratio", "pairwise", "CPU ratio")
    lines: list[tuple[str, ...]] = [head]
    compared = ratios(rounds)
    for title, by_label in rounds.items():
        subject = next(iter(by_label))
        for position, (label, seen) in enumerate(by_label.items()):
            rates = [one.per_second for one in seen]
            against = compared[title].get(label)
            medians = _medians(seen)
            lines.append(
                (
                    "" if position else title,
                    label,
                    f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",
                    *(_number(medians.get(name), 1) for name in ("p50_ms", "p99_ms")),
                    *(_number(medians.get(name), 0) for name in ("server_cpu_us", "database_cpu_us")),
                    f"{against.of_medians:.2f}×" if against else "",
                    f"{against.pairwise:.2f}×" if against else "",
                    str(cost(by_label[subject], seen) or "-") if against else "",
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


def write(path: Path, results: Results) -> None:
    """Write everything that was seen, and on what, as JSON; the file is overwritten."""
    document = {
        "options": results.options,
        "machine": _machine(),
        "postgresql": results.postgresql,
        "versions": results.versions,
        "ratios": {
            title: {peer: asdict(compared) for peer, compared in peers.items()}
            for title, peers in ratios(results.rounds).items()
        },
        "costs": {
            title: {
                peer: compared and asdict(compared)
                for peer in list(by_label)[1:]
                for compared in [cost(by_label[next(iter(by_label))], by_label[peer])]
            }
            for title, by_label in results.rounds.items()
        },
        "medians": {
            title: {label: _medians(seen) for label, seen in by_label.items()}
            for title, by_label in results.rounds.items()
        },
        "rounds": {
            title: {label: [asdict(one) for one in seen] for label, seen in by_label.items()}
            for title, by_label in results.rounds.items()
        },
        "cores": {
            operation: {label: asdict(one) for label, one in by_label.items()}
            for operation, by_label in results.cores.items()
        },
        "crowd": results.crowd and asdict(results.crowd),
        "endurance": results.endurance and asdict(results.endurance) | {"growth": results.endurance.growth},
        "alone": results.alone and asdict(results.alone) | {"ratio": results.alone.ratio()},
        "growth": results.growth and asdict(results.growth) | {"ratios": results.growth.ratios()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(document), indent=2) + "\n")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _medians(seen: Sequence[Round]) -> dict[str, float]:
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
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": models[0] if models else platform.processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _python(program: str) -> str:
    """The version of an interpreter, and whether it was built to be fast."""
    asked = "import platform, sysconfig as s; print(platform.python_version(), s.get_config_var('CONFIG_ARGS'))"
    done = subprocess.run([program, "-c", asked], capture_output=True, text=True, check=True)
    version, _, arguments = done.stdout.partition(" ")
    built = ", ".join(f"{'with' if option in arguments else 'without'} {option}" for option in _FAST_BUILD)
    return f"{version} {built}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise BenchError(f"The package {name} is not installed; run `uv sync --group bench`.") from None

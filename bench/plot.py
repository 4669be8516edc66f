"""The plots of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bench.report import Results, rate

# Text stays text, and two plots of the same numbers are the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "taskward", "font.family": "sans-serif"})

_SUBJECT = "#0b7285"
_PEER = "#adb5bd"
_YARDSTICK = "#e9ecef"
_YARDSTICKS = ("floor", "bare")
_SHOWN = ("get", "list", "create", "mix")


def throughput(results: Results, path: Path) -> None:
    """Requests per second of each contender in the commonest operations."""
    titles = [title for title in _SHOWN if title in results.rounds] or list(results.rounds)[:4]
    figure = Figure(figsize=(3.1 * len(titles), 3.2), layout="constrained")
    for number, title in enumerate(titles):
        by_label = results.rounds[title]
        subject = next(iter(by_label))
        labels = sorted(by_label, key=lambda label: rate(by_label[label]))
        axes: Any = figure.add_subplot(1, len(titles), number + 1)
        colours = [_SUBJECT if one == subject else _YARDSTICK if one in _YARDSTICKS else _PEER for one in labels]
        bars = axes.barh(labels, [rate(by_label[label]) for label in labels], color=colours)
        axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.set_xticks([])
        axes.set_xlim(right=1.25 * max(rate(seen) for seen in by_label.values()))
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.supxlabel("requests per second with one worker; palest: yardsticks", fontsize=8)
    _save(figure, path)


def growth(results: Results, path: Path) -> None:
    """What more data costs the subject."""
    found = results.growth
    assert found is not None, "it was measured"  # noqa: S101
    figure = Figure(figsize=(9, 3), layout="constrained")
    users = {f"{name}\n100 × users": many / few for name, (few, many) in found.users.items()}
    for number, (title, rates) in enumerate(
        (
            ("first page, by the user's tasks", {f"{int(size):,}": value for size, value in found.tasks.items()}),
            ("of 100,000 tasks, by the page", {f"{int(page):,}": value for page, value in found.pages.items()}),
            ("against 1/100 of the users", users),
        )
    ):
        axes: Any = figure.add_subplot(1, 3, number + 1)
        bars = axes.bar(list(rates), list(rates.values()), color=_SUBJECT)
        axes.bar_label(bars, fmt="{:,.0f}" if number < 2 else "{:.2f}", fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.set_ylim(bottom=0, top=1.15 * max(rates.values()))
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("requests per second; at the right, their ratio", fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(path, metadata={"Date": None})

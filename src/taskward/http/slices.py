"""What a slice of the API brings along. `app.py` lists the slices and takes from them what the app needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import APIRouter

from taskward.kit.limits import Limit
from taskward.kit.suggestions import Vocabulary
from taskward.storage.counts import Counts
from taskward.storage.export_lines import ExportLines


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One subject of the API, with all that belongs to it in a folder of its own.

    Its tables and its problems need no mention here: a table's class and a problem's base know of them.

    Attributes:
        name: Of its operations in the OpenAPI document.
        description: Of these, there; None where they are among those of another slice.
        router: Its routes.
        limits: How many of what it keeps one user may have.
        other_names: What clients that know other APIs may call what it has.
        counts: How many of it there are.
        lines: How its rows are exported and put back.
    """

    name: str
    description: str | None = None
    router: APIRouter
    limits: tuple[Limit, ...] = ()
    other_names: Vocabulary = field(default_factory=Vocabulary)
    counts: Counts | None = None
    lines: ExportLines | None = None

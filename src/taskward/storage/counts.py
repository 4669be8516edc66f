"""What an account has: each slice counts its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from taskward.storage.compiling import Statement


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is of what a slice keeps.

    Attributes:
        model: The counts as clients read them, with an example of all.
        statement: Reads them: one row, whose columns have their names.
    """

    model: type[BaseModel]
    statement: Callable[[], Statement]

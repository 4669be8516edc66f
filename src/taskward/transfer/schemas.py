"""What an import has done, as clients are sent it. No SQL lives here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from taskward.kit.sentences import capitalized, listed


class ImportLoss(BaseModel):
    """Something that an import could not carry over as it was."""

    line: int | None = Field(description="The line of a CSV file, from 1; null where there are no lines.")
    item: str = Field(description="The title of the task or list; empty where it is the whole file.")
    what: str = Field(description="Its kind, such as reminder or assignee.")
    detail: str


class ImportCounts(BaseModel):
    """What became of one kind of thing in a file of another service."""

    kept: int = Field(description="How many have a place of their own.")
    metadata: int = Field(description="How many are in the metadata of their tasks, under the service's name.")
    lost: int = Field(description="How many were left out or changed.")


class _Report(BaseModel):
    """What an import says besides how many rows it made and left as they are."""

    whole: bool = Field(description="Whether an export's end was in the file; without it, lines may be missing.")
    counts: dict[str, ImportCounts] = Field(
        description="By kind, such as comment or reminder, what became of what another service's file has."
    )
    losses: list[ImportLoss] = Field(description="What could not be carried over, at most 1,000 of it.")
    losses_left_out: int = Field(description="How many more losses there are.")


# Of a file of another service, which has nothing but lists and tasks.
_EXAMPLE: dict[str, Any] = {
    "lists": 1,
    "tasks": 12,
    "unchanged": 0,
    "whole": True,
    "counts": {
        "assignee": {"kept": 0, "metadata": 3, "lost": 0},
        "indent": {"kept": 0, "metadata": 0, "lost": 1},
        "task": {"kept": 12, "metadata": 0, "lost": 0},
    },
    "losses": [
        {
            "line": 7,
            "item": "Call Bob",
            "what": "indent",
            "detail": "The indent “x” is no level; it was taken for 1.",
        }
    ],
    "losses_left_out": 0,
}


def import_report(plurals: Collection[str]) -> type[BaseModel]:
    """The model of a report.

    Args:
        plurals: The kinds of rows that it counts.
    """
    made: dict[str, Any] = {name: (int, Field(description=f"{capitalized(name)} that were made.")) for name in plurals}
    left = f"{capitalized(listed(plurals, 'and'))} that were there already and were left as they are."
    others: dict[str, Any] = {name: (field.annotation, field) for name, field in _Report.model_fields.items()}
    example = {**dict.fromkeys(made, 0), **_EXAMPLE}
    return create_model(
        "ImportReport",
        __doc__="What an import did.",
        __config__=ConfigDict(json_schema_extra={"examples": [example]}),
        **made,
        unchanged=(int, Field(description=left)),
        **others,
    )

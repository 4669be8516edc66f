"""Rows of a CSV file of any size, one after another, within bounds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import IO

from taskward.transfer.records import UnreadableExport

_LONGEST_ROW = 512 * 1024
"""Characters; the longest that Todoist writes are descriptions and comments of 16,000."""


def rows_of(file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line on which it begins, from 1.

    Raises:
        UnreadableExport: The file is empty, not CSV in UTF-8, or has a row that is too long.
    """
    lines = _Lines(file)
    # Strict, since a quote that is not closed would swallow the rows after it.
    reader = csv.reader(lines, strict=True)
    is_blank = True
    while True:
        line = reader.line_num + 1
        lines.begin_row()
        try:
            cells = next(reader, None)
        except csv.Error:
            raise UnreadableExport(f"The row at line {line} lacks a closing quote or is too long for CSV.") from None
        except UnicodeDecodeError:
            raise UnreadableExport("The file is not UTF-8, as the export is.") from None
        if cells is None:
            break
        if any(cell.strip() for cell in cells):
            is_blank = False
            yield line, cells
    if is_blank:
        raise UnreadableExport("The file is empty.")


class _Lines:
    """Lines with their ends, until a row becomes too long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        self._left = 0

    def begin_row(self) -> None:
        self._left = _LONGEST_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST_ROW + 1)
        self._left -= len(line)
        if self._left < 0:
            raise UnreadableExport(f"A row of the file is longer than {_LONGEST_ROW} characters.")
        if "\0" in line:
            raise UnreadableExport("The file has NUL characters and is no text in UTF-8, as the export is.")
        if not line:
            raise StopIteration
        return line

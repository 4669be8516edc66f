"""The database of a contender that keeps its data in a file of SQLite: seeded, and brought back to the seed."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

from bench.contenders import Contender
from bench.data import Dataset

_SECONDS = 30  # to wait for the contender's own writes


@dataclass(frozen=True)
class File:
    """A file of which the contender has made the tables."""

    path: Path
    login: str = ""
    """Nobody logs in."""

    def seed(self, contender: Contender, dataset: Dataset) -> None:
        """Fill the contender's tables."""
        with self._transaction() as connection:
            for seeded in contender.seeded:
                rows: Sequence[object] = dataset.tasks if seeded.rows == "tasks" else dataset.users
                places = ", ".join("?" for _ in seeded.columns)
                connection.executemany(
                    f"INSERT INTO {seeded.name} ({', '.join(seeded.columns)}) VALUES ({places})",
                    (tuple(map(_stored, attrgetter(*seeded.columns)(row))) for row in rows),
                )
            connection.execute("ANALYZE")

    def reset(self, contender: Contender, dataset: Dataset) -> None:
        """Delete what was created since the seed, and bring the log back into the file."""
        with self._transaction() as connection:
            for seeded in contender.seeded:
                if seeded.rows == "tasks":
                    created = f"DELETE FROM {seeded.name} WHERE created_at > ?"
                    connection.execute(created, (_stored(dataset.seeded_until),))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=_SECONDS)) as connection:
            with connection:
                yield connection
            # Every round starts with an empty log, as it does at the same distance from PostgreSQL's next checkpoint.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _stored(value: object) -> object:
    """The value as PocketBase writes it."""
    match value:
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03}Z"
        case uuid.UUID():
            return str(value)
        case _:
            return value

"""Records of tasks in a file, where they wait until they are written: memory holds some bytes of each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

import orjson

_AT_ONCE = 64 * 1024
_NOTHING = -1


class Spool(Protocol):
    """Where bytes are kept."""

    def write(self, chunk: bytes, /) -> None:
        """Put some behind the others."""

    def read(self, start: int, size: int, /) -> bytes:
        """As many as there are from some place on."""


class Memory:
    """A spool for a few."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, chunk: bytes) -> None:
        self._bytes += chunk

    def read(self, start: int, size: int) -> bytes:
        return bytes(self._bytes[start : start + size])


class Records:
    """Records in the order in which they are to be written. Each is made anew whenever it is asked for.

    Attributes:
        parents: The keys of those that others are parts of.
        has_tags: Whether any has tags.
    """

    def __init__(self, spool: Spool | None = None) -> None:
        self.parents: set[Any] = set()
        self.has_tags = False
        self._spool = Memory() if spool is None else spool
        # Where each text begins, and where the next will.
        self._starts = array("q", [0])
        self._written = 0
        self._unwritten = bytearray()
        # Of each in its order the numbers of its text and of what was added to it.
        self._order = array("q")
        self._added = array("q")

    def keep(self, record: dict[str, Any], rest: Any = None) -> int:
        """Keep a record which has no place in the order yet.

        Args:
            rest: What else has to be known of it, as JSON can say it.

        Returns:
            Its number.
        """
        self.has_tags |= bool(record.get("tags"))
        return self._write([record, rest])

    def kept(self, number: int) -> tuple[dict[str, Any], Any]:
        """What was kept, without what was added."""
        record, rest = self._read(number)
        if "completed_at" in record:
            record["completed_at"] = datetime.fromisoformat(record["completed_at"])
        return record, rest

    def place(self, number: int, added: dict[str, Any] | None = None) -> None:
        """Put a record that was kept behind the others.

        Args:
            added: Members that it has besides, or in place of its own.
        """
        self._note_parent(added or {})
        self._order.append(number)
        self._added.append(self._write(added) if added else _NOTHING)

    def append(self, record: dict[str, Any]) -> None:
        """Put a record behind the others."""
        self._note_parent(record)
        self.place(self.keep(record))

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record, _ = self.kept(self._order[index])
        added = self._added[index]
        return record if added == _NOTHING else {**record, **self._read(added)}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def _note_parent(self, record: dict[str, Any]) -> None:
        if "parent" in record:
            self.parents.add(record["parent"])

    def _write(self, value: Any) -> int:
        self._unwritten += orjson.dumps(value)
        self._starts.append(self._written + len(self._unwritten))
        if len(self._unwritten) >= _AT_ONCE:
            self._spool.write(bytes(self._unwritten))
            self._written += len(self._unwritten)
            self._unwritten.clear()
        return len(self._starts) - 2

    def _read(self, number: int) -> Any:
        start, end = self._starts[number : number + 2]
        if start >= self._written:
            return orjson.loads(self._unwritten[start - self._written : end - self._written])
        return orjson.loads(self._spool.read(start, end - start))

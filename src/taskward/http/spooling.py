"""Temporary files for bodies that are too large for memory, and for what is made of them.

All files together take a bounded room on the disk, and those of one user a part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from io import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import IO, cast

from taskward.errors import Unavailable

_IN_MEMORY = 1024 * 1024
_FULL = "There is no room for a body as large as this at the moment"


class Spools:
    """The temporary files of a process.

    Args:
        largest: Bytes that a body may have.
        of_one: How many times `largest` the files of one user may have together.
        of_all: How many times `largest` all files may have together.

    Attributes:
        used: Bytes that each user has there.
    """

    def __init__(self, largest: int, *, of_one: int = 4, of_all: int = 32) -> None:
        self.largest = largest
        self._most = of_all * largest
        self._most_of_one = of_one * largest
        self.used: Counter[str] = Counter()

    def open(self, user_id: str) -> SpooledBody:
        return SpooledBody(self, user_id)

    def take(self, user_id: str, size: int) -> None:
        """Take room on the disk.

        Raises:
            Unavailable: There is none, or this user has as much as one may have.
        """
        if self.used[user_id] + size > self._most_of_one or self.used.total() + size > self._most:
            raise Unavailable(reason=_FULL)
        self.used[user_id] += size

    def give_back(self, user_id: str, size: int) -> None:
        self.used[user_id] -= size
        if not self.used[user_id]:
            del self.used[user_id]


class SpooledBody:
    """A temporary file with a body, or with what is made of one. Closing deletes it.

    Attributes:
        size: Bytes that have come.
    """

    def __init__(self, spools: Spools, user_id: str) -> None:
        self._spools = spools
        self._user_id = user_id
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the request's end closes it
        self._digest = blake2b(digest_size=32)
        self.size = 0

    def __bool__(self) -> bool:
        return self.size > 0

    @property
    def file(self) -> IO[bytes]:
        """The body, from its beginning on.

        Raises:
            Unavailable: There was no room for the last of it.
        """
        with _written():
            self._file.seek(0)
        return cast("IO[bytes]", self._file)

    @property
    def digest(self) -> bytes:
        return self._digest.digest()

    def write(self, chunk: bytes) -> None:
        """Take what has come.

        Raises:
            Unavailable: There is no room for it.
        """
        self._spools.take(self._user_id, len(chunk))
        self.size += len(chunk)
        self._digest.update(chunk)
        with _written():
            self._file.seek(0, SEEK_END)
            self._file.write(chunk)

    def read(self, start: int, size: int) -> bytes:
        """As many bytes as there are from some place on.

        Raises:
            Unavailable: Some of what was there before could not be written.
        """
        with _written():
            self._file.seek(start)
            return self._file.read(size)

    def close(self) -> None:
        self._spools.give_back(self._user_id, self.size)
        # What is still to be written is not wanted any more.
        with suppress(OSError):
            self._file.close()


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(reason=f"a temporary file cannot be written: {type(error).__name__}") from None

"""ZIP archives that somebody has sent: what may be read of them, and within which bounds.

Names in an archive are looked at and never used as paths. What is read is unpacked in pieces; archives in archives and
other files are counted and stay packed.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from taskward.transfer.records import UnreadableExport

MOST_MEMBERS = 5_000
LARGEST_RATIO = 200
"""How many times its packed size a file may have, where that is more than a mebibyte. JSON that repeats itself has up
to about 30, a bomb about 1,000.
"""
_ALWAYS_FINE = 1024 * 1024
# APPNOTE.TXT of PKWARE, sections 4.3.15 and 4.3.16.
_END = b"PK\5\6"
_END_SIZE = 22
_END_64 = b"PK\6\7"
_END_64_SIZE = 20
_LONGEST_COMMENT = 65_535
_ENCRYPTED = 0x41
_FIRST = b"PK\3\4"
_BROKEN = (
    *(BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, LookupError, ArithmeticError, NotImplementedError, RuntimeError),
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Its name without the folders before it.
        content: Its size and its checksum, as the archive says.
        open: Begin to read it.
    """

    name: str
    content: tuple[int, int]
    open: Callable[[], IO[bytes]]


def is_archive(file: IO[bytes]) -> bool:
    """Whether a file is a ZIP archive, by how it begins."""
    file.seek(0)
    first = file.read(len(_FIRST))
    file.seek(0)
    return first in {_FIRST, _END}


def members_of(file: IO[bytes], wanted: Callable[[str], bool], *, largest: int) -> tuple[list[Member], list[str]]:
    """The files of an archive that may be read, and the names of the others.

    Args:
        wanted: Whether a file of this name, without folders, shall be read.
        largest: Bytes that those may have unpacked, all together.

    Raises:
        UnreadableExport: It is broken, encrypted, or beyond a bound.
    """
    _check_end(file)
    try:
        archive = ZipFile(file)
    except _BROKEN:
        raise UnreadableExport("The ZIP archive is broken.") from None
    found: list[Member] = []
    others: list[str] = []
    size = 0
    for info in archive.infolist():
        name = info.filename.replace("\\", "/").rpartition("/")[2]
        if not name:  # a folder
            continue
        if not wanted(name):
            others.append(name)
            continue
        size += info.file_size
        _check_member(info)
        if size > largest:
            raise UnreadableExport(f"What the ZIP archive has to be read is more than {largest} bytes unpacked.")
        found.append(Member(name, (info.file_size, info.CRC), _opener(archive, info)))
    return found, others


def _check_end(file: IO[bytes]) -> None:
    """Check how many files there are before a list of them is made, which takes much more than they do."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END_SIZE - _END_64_SIZE - _LONGEST_COMMENT))
    tail = file.read()
    # The very record that `zipfile` goes by.
    at = len(tail) - _END_SIZE
    if not (at >= 0 and tail.startswith(_END, at) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise UnreadableExport("The ZIP archive is broken: its end is missing.")
    if tail[max(0, at - _END_64_SIZE) : at].startswith(_END_64):
        raise UnreadableExport("The ZIP archive is of the kind for very large ones, which is not read here.")
    count = int.from_bytes(tail[at + 10 : at + 12], "little")
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    # An entry has 46 bytes and its name. The number that is written there may be anything; `zipfile` goes by the size.
    if count > MOST_MEMBERS or directory > MOST_MEMBERS * 46 * 4:
        raise UnreadableExport(f"The ZIP archive has more than {MOST_MEMBERS} files, or very long names.")
    file.seek(0)


def _check_member(info: ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise UnreadableExport("The ZIP archive is encrypted; send it without a password.")
    if info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise UnreadableExport("The ZIP archive is packed in a way that those services do not use.")
    if info.file_size > max(_ALWAYS_FINE, info.compress_size * LARGEST_RATIO):
        raise UnreadableExport(f"A file of the ZIP archive is more than {LARGEST_RATIO} times its packed size.")


def _opener(archive: ZipFile, info: ZipInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        try:
            return io.BufferedReader(_Part(archive.open(info)))
        except _BROKEN:
            raise UnreadableExport("The ZIP archive is broken.") from None

    return opened


class _Part(io.RawIOBase):
    """A file of an archive, of which nobody has to know what may be wrong with it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._source.read(len(buffer))
        except _BROKEN:
            raise UnreadableExport("The ZIP archive is broken.") from None
        buffer[: len(data)] = data
        return len(data)

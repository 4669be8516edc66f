"""Bodies in temporary files, and a disk that takes no more of one."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskward.errors import Unavailable
from taskward.http.spooling import SpooledBody, Spools

MEBI = 1024 * 1024


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What is written beyond is refused, as by a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def filled(spools: Spools, size: int) -> SpooledBody:
    body = spools.open("alice")
    for _ in range(size // 1000):
        body.write(b"x" * 1000)
    return body


def test_a_full_disk_that_is_noticed_at_the_end_is_no_defect():
    spools = Spools(16 * MEBI)
    body = filled(spools, 2 * MEBI)
    written = os.fstat(body._file.fileno()).st_size
    assert written < body.size
    with files_of_at_most(written):
        with pytest.raises(Unavailable):
            _ = body.file
        body.close()
    assert not spools.used


def test_a_full_disk_that_is_noticed_before_is_no_defect():
    spools = Spools(16 * MEBI)
    body = spools.open("alice")
    with files_of_at_most(MEBI + MEBI // 2):
        with pytest.raises(Unavailable):
            for _ in range(2 * MEBI // 1000):
                body.write(b"x" * 1000)
        body.close()
    assert not spools.used


def test_a_body_is_read_from_its_beginning_each_time():
    body = filled(Spools(16 * MEBI), 2 * MEBI)
    assert body.file.read() == body.file.read() == b"x" * body.size
    body.close()

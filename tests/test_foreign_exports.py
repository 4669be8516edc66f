"""What other apps export: all of it becomes a record within the API's bounds or a loss, and nothing else is raised."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskward.kit.limits import LimitReached, Limits
from taskward.transfer.records import Reading, UnreadableExport
from tests.foreign import (
    EXAMPLES,
    project,
    read_data,
    read_now,
    read_or_refuse,
    row,
    todoist,
    vikunja,
)


@pytest.mark.parametrize("read", [read_now, read_data])
@pytest.mark.parametrize(
    "data", [b"", b" \n", b"\xef\xbb\xbf", "TYPE,CONTENT\ntask,Café".encode("latin-1"), b"TYPE,CONTENT\ntask,a\0b"]
)
def test_a_file_that_is_empty_or_not_text_is_refused(read: Callable[[bytes], Reading], data: bytes):
    with pytest.raises(UnreadableExport, match=r"^[^\n]*\.$"):
        read(data)


@EXAMPLES
@given(st.binary(max_size=200), st.sampled_from([b"", b"TYPE,CONTENT,DATE,INDENT\n", b'[{"tasks":', b'[{"title":"']))
def test_any_bytes_are_read_or_refused(data: bytes, before: bytes):
    for read in (read_now, read_data):
        read_or_refuse(read, before + data)


def test_a_file_of_more_than_anybody_may_have_is_not_read_to_its_end():
    few = Limits({"tasks": 2, "lists": 1})
    assert len(vikunja(project({}, {}), limits=few).tasks) == 2
    for read, limit in [
        (lambda: vikunja(project({}, {}, {}, *[{"title": 5}] * 10), limits=few), "tasks"),
        (lambda: vikunja({"title": "a"}, {"title": "b"}, limits=few), "lists"),
        (lambda: todoist(*[row()] * 3, limits=few), "tasks"),
    ]:
        with pytest.raises(LimitReached) as refused:
            read()
        assert refused.value.limit.name == limit
    assert len(todoist(*[row()] * 2, *[{"TYPE": "note", "CONTENT": "x"}] * 3, limits=few).tasks) == 2

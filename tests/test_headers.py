"""Headers by their names, looked through once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from taskward.http.headers import headers_of
from tests.costs import allowed


def test_several_lines_of_one_name_are_one_list():
    scope: dict[str, Any] = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3, 4"), (b"a", b"")]}
    assert headers_of(scope) == {b"a": b"1, 3, 4, ", b"b": b"2"}


def test_who_puts_others_in_their_place_is_heard():
    scope: dict[str, Any] = {"headers": [(b"a", b"1")]}
    assert headers_of(scope) == {b"a": b"1"}
    assert headers_of({**scope, "headers": [(b"a", b"2")]}) == {b"a": b"2"}
    scope["headers"] = [(b"b", b"3")]
    assert headers_of(scope) == {b"b": b"3"}


@pytest.mark.costs
def test_many_lines_of_one_name_cost_no_more_than_they_are():
    scope: dict[str, Any] = {"headers": [(b"a", b"1")] * 200_000}
    began = time.process_time()
    assert len(headers_of(scope)[b"a"]) == 3 * 200_000 - 2
    assert time.process_time() - began < allowed(0.3)

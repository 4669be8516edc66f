"""What a JSON text costs is seen from outside as a parser sees it from within; nothing that may be sent is too much."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskward.strict_json import bounds
from taskward.strict_json.bounds import (
    DEEPEST,
    MOST_VALUES,
    Shape,
    Tally,
    TooMuchJson,
    check_bounds,
    may_be_much,
    shape,
)
from taskward.strict_json.mistakes import NotJson
from taskward.strict_json.reading import ITEMS, Item, Pause, parse, parts
from tests.sizes import sized

# Whatever stands between a structure and a text.
texts = st.text(st.one_of(st.sampled_from('[]{},:"\\ \n\u00e9'), st.characters(codec="utf-8")), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(texts, inner, max_size=8),
    max_leaves=60,
)


def check(text: bytes) -> None:
    for _ in check_bounds(text):
        pass


def counted(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(counted, inner))


def depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@settings(max_examples=sized(50, 2000), deadline=None)
@given(values, st.booleans(), st.sampled_from([None, 1, "\t"]))
@example(["\\", '\\"', '"', "\\\\", '\\\\"', "[", "\\u0022"], False, None)
def test_the_scan_counts_what_a_parser_finds(value: Any, ascii_only: bool, indent: Any):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    found = shape(text)
    assert (found.values, found.depth) == (counted(value), depth(value))
    check(text)
    assert parse(text) == value


@settings(max_examples=sized(50, 2000), deadline=None)
@given(values, st.booleans(), st.integers(1, 40))
@example(["[", {}, "]", [], [[]], "\\\\", '\\"'], False, 1)
def test_the_scan_counts_the_same_wherever_a_piece_ends(value: Any, ascii_only: bool, piece: int):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=" ").encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "_PIECE", piece)
        assert shape(text) == Shape(counted(value), depth(value))
        assert list(Tally().read(text))[-1] == len(text)


def full(description: str, tag: str, title: str, metadata: str) -> str:
    texts = {"title": title, "description": description, "tags": [f"{n:02}{tag}" for n in range(20)]}
    return json.dumps(texts)[:-1] + f',"metadata":{metadata}}}'


def metadata_of(piece: str, size: int = 8192) -> str:
    return '{"":[' + ",".join([piece] * ((size - 6) // (len(piece) + 1))) + "]}"


@pytest.mark.parametrize("character", [",", "[", "{", '"', "\\", "}", "é", "\U0001f600", "\x7f"])
@pytest.mark.parametrize("piece", ["0", '""', "[]", "{}", "[[]]", '{"":0}', '"\\\\"', '"\\""', '"[,{"', '"\\\\\\""'])
def test_the_largest_tasks_are_not_too_much(character: str, piece: str):
    for metadata in (metadata_of(piece), "[" * 49 + "]" * 49, '{"a":' * 50 + "1" + "}" * 50):
        text = full(character * 10_000, character * 48, character * 255, metadata)
        check(text.encode())
        # Written with an escape for each character, too.
        escaped = "".join(f"\\u{ord(one):04x}" if ord(one) < 65536 else one for one in character * 10_000)
        check(text.replace(json.dumps(character * 10_000)[1:-1], escaped).encode())
        operations = [f'{{"op":"create","task":{text}}}'] * 3
        found = list(parts(f'{{"operations":[{",".join(operations)}]}}'.encode(), "operations"))
        assert [one.value["task"] for one in found if isinstance(one, Item)] == [json.loads(text)] * 3


@pytest.mark.parametrize(
    "text", [b"[" + b"0," * MOST_VALUES + b"0]", b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65]
)
def test_more_is_refused(text: bytes):
    with pytest.raises(TooMuchJson):
        check(text)


def test_as_much_as_there_may_be_is_taken():
    check(b"[" + b"0," * (MOST_VALUES - 2) + b"0]")
    check(b"[" * DEEPEST + b"]" * DEEPEST)
    check(b'{"a":"' + b"[,{" * 80_000 + b'"}')


# As much as one may send, of text and of structure.
@pytest.mark.parametrize("piece", [b"a, [b] {c} ", b"0,", b'"",', b"\\\\", b'\\"', b"[]", b"x" * 99], ids=str)
def test_to_look_at_a_mebibyte_takes_about_a_millisecond(piece: bytes):
    text = piece * ((1 << 20) // len(piece))
    spent = []
    for _ in range(20):
        begun = time.thread_time()
        may_be_much(text)
        spent.append(time.thread_time() - begun)
    # Twice what it may take, for a machine that is busy.
    assert min(spent) < 0.002, spent


@settings(max_examples=sized(50, 1000), deadline=None)
@given(st.lists(values, max_size=6), st.dictionaries(texts, values, max_size=4), st.sampled_from([None, 1]))
def test_parts_are_what_the_whole_is(items: list[Any], others: dict[str, Any], indent: Any):
    others.pop("long", None)
    text = json.dumps({**others, "long": items}, indent=indent, ensure_ascii=False).encode()
    found = [one for one in parts(text, "long") if not isinstance(one, Pause)]
    assert [one.value for one in found if isinstance(one, Item)] == items
    rest = {one.name: one.value for one in found if not isinstance(one, Item)}
    assert rest.pop("long") is ITEMS
    assert rest == others


def outcome(text: bytes, read: Any) -> Any:
    try:
        return read(text)
    except (NotJson, ValueError, RecursionError):
        return None


@settings(max_examples=sized(80, 3000), deadline=None)
@given(values, st.data())
def test_what_is_not_json_is_not_taken_for_it(value: Any, data: st.DataObject):
    text = bytearray(json.dumps({"long": [value, value]}, ensure_ascii=False).encode())
    place = data.draw(st.integers(0, len(text) - 1))
    match data.draw(st.integers(0, 2)):
        case 0:
            del text[place]
        case 1:
            text[place] = data.draw(st.sampled_from(list(b'[]{},:"\\ 0x\xff')))
        case _:
            text.insert(place, data.draw(st.sampled_from(list(b'[]{},:"\\ 0x\xff'))))
    whole = outcome(bytes(text), lambda one: json.loads(one.decode(), parse_constant=lambda _: 1 / 0))
    assert outcome(bytes(text), parse) == whole
    if isinstance(whole, dict):
        assert outcome(bytes(text), lambda one: list(parts(one, "long"))) is not None
    elif whole is None:
        assert outcome(bytes(text), lambda one: list(parts(one, "long"))) is None

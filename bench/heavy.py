"""Bodies that are dear to read, as large as they may be: those that somebody thought of, and shapes that nobody did."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

BODY = 256 * 1024
BATCH = 1024 * 1024
_SOME_ID = "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c"
_DEAREST_RULE = (
    "FREQ=YEARLY;BYMONTH=1,2,3,4,5,6,7,8,9,10,11,12;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=1,50,100,150,200,250,300,350"
)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def members(count: int, value: str = "1") -> str:
    """Members that nobody knows, without the braces."""
    return ",".join(f'"m{number}":{value}' for number in range(count))


def operations(*written: str) -> bytes:
    return f'{{"operations":[{",".join(written)}]}}'.encode()


def create(task: str) -> str:
    return f'{{"op":"create","task":{{{task}}}}}'


def filled(beginning: str, item: str, end: str, size: int) -> bytes:
    """As many items as fit, with commas between them."""
    count = (size - len(beginning) - len(end) + 1) // (len(item.encode()) + 1)
    return (beginning + ",".join([item] * count) + end).encode()


def full_task() -> str:
    """The members of a task that is as large as it may be and as dear."""
    metadata = '{"a":[' + ",".join(["0"] * 4092) + "]}"
    texts = '"title":"x","description":"' + '[,{\\\\\\"' * 1250 + '"'
    due = f'"due_at":"2026-01-01T09:00:00Z","time_zone":"Europe/Berlin","recurrence":"{_DEAREST_RULE}"'
    return f'{texts},{due},"metadata":{metadata}'


BATCHES: dict[str, Callable[[], bytes]] = {
    "100,000 unknown members": lambda: operations(create(f'"title":"x",{members(90_000)}')),
    "25,000 unknown members": lambda: operations(create(f'"title":"x",{members(25_000)}')),
    "500,000 numbers": lambda: filled(
        '{"operations":[{"op":"create","task":{"title":"x","metadata":{"a":[', "0", "]}}}]}", BATCH
    ),
    "a lone surrogate": lambda: operations(create(f'"title":"\\ud800",{members(80_000)}')),
    "the word Infinity": lambda: operations(
        *[create(f'"title":"Infinity NaN","metadata":{{"a":[{",".join(["0"] * 4000)}]}}')] * 100
    ),
    "1,000 operations of 90 unknown members": lambda: operations(*[create(f'"title":"x",{members(90)}')] * 1000),
    "100 operations of 900 unknown members": lambda: operations(*[create(f'"title":"x",{members(900)}')] * 100),
    "unknown members beside the operations": lambda: b'{"operations":[],%b}' % members(90_000).encode(),
    "50 tasks that are as large as they may be": lambda: operations(*[create(full_task())] * 45),
    "the dearest rules": lambda: operations(
        *[create(f'"title":"x","due_date":"2026-01-01","recurrence":"{_DEAREST_RULE}"')] * 100
    ),
    "empty operations": lambda: filled('{"operations":[', "{}", "]}", BATCH),
    "empty strings": lambda: filled('{"operations":[{"op":"create","task":{"title":"x","tags":[', '""', "]}}]}", BATCH),
    "spaces": lambda: b'{"operations":[' + b" " * (BATCH - 30) + b"]}",
    "quotation marks": lambda: operations(create('"title":"' + '\\"' * 500_000 + '"')),
}
"""Bodies of `POST /tasks/batch`."""

TASKS: dict[str, Callable[[], bytes]] = {
    "20,000 unknown members": lambda: b'{"title":"x",%b}' % members(20_000).encode(),
    "130,000 numbers": lambda: filled('{"title":"x","metadata":{"a":[', "0", "]}}", BODY),
    "130,000 numbers and a lone surrogate": lambda: filled('{"title":"\\ud800","metadata":{"a":[', "0", "]}}", BODY),
    "130,000 numbers and the word Infinity": lambda: filled('{"title":"Infinity","metadata":{"a":[', "0", "]}}", BODY),
    "260,000 brackets": lambda: b"[" * (BODY - 1000),
    "130,000 pairs of brackets": lambda: b"[" * 130_000 + b"]" * 130_000,
    "brackets as text": lambda: b'{"title":"x","description":"' + b"[{,}]" * 50_000 + b'"}',
    "tags without end": lambda: filled('{"title":"x","tags":[', "1", "]}", BODY),
    "the largest task": lambda: b"{%b}" % full_task().encode(),
}
"""Bodies of `POST /tasks`."""

IMPORTS: dict[str, Callable[[], bytes]] = {
    "lines of unknown members": lambda: b"\n".join(
        [f'{{"type":"task","id":"{_SOME_ID}","title":"x",{members(900)}}}'.encode()] * 100
    ),
    "one line of numbers": lambda: filled('{"type":"task","title":"x","metadata":{"a":[', "0", "]}}", BATCH),
    "empty lines": lambda: b" \n" * (BATCH // 2),
    "line ends": lambda: b"\n" * BATCH,
    "lines that are no JSON": lambda: b"x\n" * (BATCH // 2),
    "the same task again and again": lambda: b"\n".join(
        [f'{{"type":"task","id":"{_SOME_ID}","title":"x"}}'.encode()] * 13_000
    ),
    "the same list again and again": lambda: b"\n".join(
        [f'{{"type":"list","id":"{_SOME_ID}","name":"x"}}'.encode()] * 14_000
    ),
    "the end again and again": lambda: b'{"type":"end"}\n' * 65_000,
}
"""Bodies of `POST /me/import`, as lines of JSON."""

_NAMES = ("op", "id", "task", "title", "description", "metadata", "tags", "recurrence", "due_at", "operations", "a")
_LEAVES: tuple[Callable[[random.Random], str], ...] = (
    lambda generator: str(generator.randrange(10)),
    lambda generator: "9" * generator.choice([1, 20, 1001, 5000]),
    lambda generator: generator.choice(["null", "true", "1e999", "NaN", "-Infinity", '""', '"\\ud800"', '"\\\\"', "x"]),
    lambda generator: _compact(generator.choice(['",[{', "é" * 40, "\\" * 30, "word " * 60, "\U0001f600"])),
)


def shape(seed: int, size: int) -> bytes:
    """A body of some shape: what looks like JSON with a few things that are dear, over and over."""
    generator = random.Random(seed)
    # A handful of pieces that come again and again, as in whatever somebody makes by multiplication.
    pieces = [_piece(generator, depth=generator.randrange(5)) for _ in range(4)]
    weights = [generator.random() ** 4 for _ in pieces]
    written: list[str] = []
    length = 0
    while length < size - 200:
        piece = generator.choices(pieces, weights)[0]
        if length + len(piece.encode()) > size - 200:
            break
        written.append(piece)
        length += len(piece.encode()) + 10
    match generator.randrange(4):
        case 0:
            return operations(*written)
        case 1:
            return operations(create('"title":"x","metadata":{"a":[' + ",".join(written) + "]}"))
        case 2:
            return operations(create('"title":"x",' + ",".join(f'"k{n}":{one}' for n, one in enumerate(written))))
        case _:
            return f'{{"operations":[{{"op":"create","task":{{"title":"x"}}}}],"a":[{",".join(written)}]}}'.encode()


def _piece(generator: random.Random, depth: int) -> str:
    if depth == 0:
        return generator.choice(_LEAVES)(generator)
    parts = [_piece(generator, generator.randrange(depth)) for _ in range(generator.choice([0, 1, 2, 5, 30]))]
    if generator.random() < 0.5:
        return f"[{','.join(parts)}]"
    return "{" + ",".join(f'"{generator.choice(_NAMES)}":{part}' for part in parts) + "}"

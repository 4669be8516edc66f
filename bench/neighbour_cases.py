"""What a user may do to a worker: requests that are dear, as eight connections of one user send them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

from uuid_utils.compat import uuid7

from bench import heavy
from bench.data import BASE
from bench.neighbour_load import Load, Pace, wire

CONNECTIONS = 8
BATCH, IMPORT, EXPORT = f"{BASE}/batch", "/api/v1/me/import", "/api/v1/me/export"
_TEXT = "Ask for a quote first, write down the name of whoever answers, and call again. " * 120


@dataclass(frozen=True)
class Ground:
    """What the cases stand on.

    Attributes:
        tokens: A token per user: `json_writer`, `big`, who has very many tasks, and `tree`.
        big: Ids of some tasks of `big`.
        roots: Of `tree`, the tops of subtrees, one for each connection.
    """

    tokens: Mapping[str, str]
    big: list[str]
    roots: list[str]


@dataclass(frozen=True)
class Case:
    """Something dear.

    Attributes:
        load: Makes it.
        brief: Whether it is also part of the short form.
    """

    name: str
    load: Callable[[Ground], Load]
    brief: bool = field(default=False, kw_only=True)


def ordinary(ground: Ground) -> Load:
    """Eight connections of ordinary creates, beside which all else is measured."""
    body = json.dumps({"title": "Buy milk", "description": "The one with the blue cap"}).encode()
    return _same(wire("POST", BASE, ground.tokens["writer"], body))


def _same(*requests: bytes, pace: Pace = "usual") -> Load:
    return Load([requests] * CONNECTIONS, pace)


def _post(path: str, body: Callable[[], bytes], media_type: str = "application/json") -> Callable[[Ground], Load]:
    return lambda ground: _same(wire("POST", path, ground.tokens["writer"], body(), media_type))


def _get(path: str, user: str = "big", pace: Pace = "usual") -> Callable[[Ground], Load]:
    return lambda ground: _same(wire("GET", path, ground.tokens[user]), pace=pace)


def _replayed(ground: Ground) -> Load:
    body = heavy.operations(*[heavy.create(f'"title":"x","description":"{_TEXT[:9000]}"')] * 100)
    return _same(wire("POST", BATCH, ground.tokens["writer"], body, Idempotency_Key=str(uuid7())))


def _put_back(ground: Ground) -> Load:
    lines = [json.dumps({"type": "task", "id": one, "title": "Call the plumber"}) for one in ground.big]
    body = "\n".join(lines)[: heavy.BATCH].rpartition("\n")[0].encode()
    return _same(wire("POST", IMPORT, ground.tokens["big"], body, "application/x-ndjson"))


def _moves(ground: Ground) -> Load:
    def move(task_id: str, after: str | None) -> bytes:
        body = json.dumps({"after": after}).encode()
        return wire("POST", f"{BASE}/{task_id}/move", ground.tokens["big"], body)

    chosen = [ground.big[number::CONNECTIONS][:20] for number in range(CONNECTIONS)]
    return Load([[move(task_id, after) for task_id in some for after in (None, ground.big[-1])] for some in chosen])


def _subtrees(ground: Ground) -> Load:
    token = ground.tokens["tree"]
    return Load(
        [
            (wire("DELETE", f"{BASE}/{root}", token), wire("POST", f"{BASE}/{root}/restore", token))
            for root in ground.roots
        ]
    )


def _vikunja() -> bytes:
    return heavy.filled('[{"tasks":[', "{}", "]}]", heavy.BATCH)


def _todoist() -> bytes:
    return b"TYPE,CONTENT\n" + b"task,a\n" * 60_000


def _search(words: str) -> str:
    return f"{BASE}?q={quote(words)}&count=true"


def cases() -> Iterator[Case]:
    """Every case, bodies first."""
    briefly = {
        "100,000 unknown members",
        "500,000 numbers",
        "a lone surrogate",
        "1,000 operations of 90 unknown members",
        "the word Infinity",
        "the dearest rules",
        "260,000 brackets",
        "lines of unknown members",
    }
    for path, bodies, media_type, prefix in (
        (BATCH, heavy.BATCHES, "application/json", "batch"),
        (BASE, heavy.TASKS, "application/json", "task"),
        (IMPORT, heavy.IMPORTS, "application/x-ndjson", "import"),
    ):
        for name, body in bodies.items():
            yield Case(f"{prefix}: {name}", _post(path, body, media_type), brief=name in briefly)
    for seed in range(12):
        yield Case(f"batch: shape {seed}", _post(BATCH, partial(heavy.shape, seed, heavy.BATCH)), brief=seed < 2)
    yield Case("batch: replayed", _replayed, brief=True)
    yield Case("import: 14,000 tasks that are there", _put_back, brief=True)
    yield Case("import: Todoist", _post(f"{IMPORT}?format=todoist", _todoist, "text/csv"))
    yield Case("import: Vikunja", _post(f"{IMPORT}?format=vikunja", _vikunja))
    yield Case("subtrees to the trash and back", _subtrees, brief=True)
    yield Case("moves among all siblings", _moves, brief=True)
    yield Case("listing: sorted and counted", _get(f"{BASE}?sort=title,-priority&count=true&limit=200"), brief=True)
    yield Case("listing: negated words", _get(_search("-quote -passport -errand")), brief=True)
    yield Case("listing: 31 alternatives", _get(_search(" or ".join(f"word{n}" for n in range(31)))), brief=True)
    yield Case("listing: pipelined", _get(f"{BASE}?limit=200", pace="pipelined"), brief=True)
    yield Case("export: read slowly", _get(EXPORT, pace="slow"), brief=True)
    yield Case("export: read at once", _get(EXPORT))

"""The examples of the pages about the API run as they are printed, and answer what is printed below them."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.test_docs import slug
from tests.users import User

DOCS = Path(__file__).parents[1] / "docs"
# Sections whose examples cannot run yet, as `page.md` or `page.md#heading`, and why. They must fail: what has come to
# work is to be taken out.
PENDING: dict[str, str] = {}
ANYTHING = "…"
_LINE = re.compile(r"^(?:#+ (?P<heading>[^\n]*)|```(?P<language>\w*)\n(?P<body>.*?)^```)$", re.MULTILINE | re.DOTALL)
_DECODER = json.JSONDecoder()


def pages() -> list[str]:
    """The pages that the index lists for users of the API."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    section = index.partition("Using the API:")[2].partition("Running it:")[0]
    return re.findall(r"\]\(([a-z-]+\.md)\)", section)


@dataclass(frozen=True)
class Example:
    """A block of commands, and the block below it that says what they print.

    Attributes:
        section: The heading above it, as an anchor.
        language: Of the output: `json`, `text`, or None where nothing is said of it.
    """

    section: str
    script: str
    language: str | None = None
    output: str = ""


def examples(text: str) -> Iterator[Example]:
    section = ""
    script: str | None = None
    for found in _LINE.finditer(text):
        if found["heading"] is not None:
            section = slug(found["heading"])
            continue
        if script is not None:
            shown = found["language"] if found["language"] in {"json", "text"} else None
            yield Example(section, script, shown, found["body"] if shown else "")
        script = found["body"] if found["language"] == "sh" else None
    if script is not None:
        yield Example(section, script)


def values(text: str) -> list[Any]:
    """The JSON texts that follow one another in a text."""
    found, rest = [], text.strip()
    while rest:
        value, end = _DECODER.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    return found


def is_like(value: Any, expected: Any) -> bool:
    """Whether a value is as expected, where … stands for anything, as a member's name for any other members."""
    if isinstance(expected, str):
        if expected == ANYTHING:
            return True
        return isinstance(value, str) and is_line(value, expected)
    if isinstance(expected, dict):
        named = {name: part for name, part in expected.items() if name != ANYTHING}
        if not isinstance(value, dict) or (ANYTHING not in expected and value.keys() != named.keys()):
            return False
        return all(name in value and is_like(value[name], part) for name, part in named.items())
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(is_like(one, part) for one, part in zip(value, expected, strict=True))
        )
    return type(value) is type(expected) and bool(value == expected)


def is_line(line: str, expected: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, expected.split(ANYTHING))), line) is not None


def is_printed(printed: str, example: Example) -> bool:
    if example.language is None:
        # Whoever runs an example that says nothing of its output expects it to work.
        return "/problems/" not in printed
    if example.language == "json":
        try:
            return is_like(values(printed), values(example.output))
        except ValueError:
            return False
    lines, expected = printed.strip().splitlines(), example.output.strip().splitlines()
    return len(lines) == len(expected) and all(map(is_line, lines, expected))


class Shell:
    """Runs blocks one after another; variables last from one to the next, as in a terminal."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._folder = folder
        self._variables = {**os.environ, **variables}

    async def run(self, script: str) -> tuple[int, str, str]:
        kept = self._folder / "variables"
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", f"set -a\n{script}\nenv -0 > '{kept}'"),
            cwd=self._folder, env=self._variables,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, complaints = await asyncio.wait_for(process.communicate(), timeout=60)
        assert process.returncode is not None
        if process.returncode == 0:
            lines = kept.read_text(encoding="utf-8").split("\0")
            self._variables = dict(line.split("=", 1) for line in lines if line)
        return process.returncode, printed.decode().replace("\r", ""), complaints.decode()


@pytest.mark.parametrize("name", pages())
async def test_the_examples_print_what_the_page_says(alice: User, base_url: str, tmp_path: Path, name: str):
    shell = Shell(tmp_path, TASKWARD=base_url, TOKEN=alice.token)
    found = list(examples((DOCS / name).read_text(encoding="utf-8")))
    assert found, "a page about the API has an example"
    for example in found:
        status, printed, complaints = await shell.run(example.script)
        printed = printed.replace(alice.id, "alice")
        works = status == 0 and is_printed(printed, example)
        if name in PENDING or f"{name}#{example.section}" in PENDING:
            assert not works, f"this works now; take it out of PENDING:\n{example.script}"
            continue
        assert works, f"{example.script}\n{complaints}\nexit status {status}\n{printed}"


def test_what_is_pending_is_there():
    places = {
        place
        for name in pages()
        for example in examples((DOCS / name).read_text(encoding="utf-8"))
        for place in (name, f"{name}#{example.section}")
    }
    assert PENDING.keys() <= places


def test_the_variables_of_the_examples_are_set_in_the_index():
    (example,) = examples((DOCS / "index.md").read_text(encoding="utf-8"))
    assert set(re.findall(r"^(?:export )?([A-Z]+)=", example.script, re.MULTILINE)) == {"TASKWARD", "TOKEN"}


@pytest.mark.parametrize(
    ("value", "expected", "alike"),
    [
        ({"id": 1, "title": "milk"}, {"id": 1, "title": "milk"}, True),
        ({"id": 1, "title": "milk"}, {"id": "…", "title": "milk"}, True),
        ({"id": 1, "title": "milk"}, {"title": "milk", "…": "…"}, True),
        ({"id": 1, "title": "milk"}, {"title": "milk"}, False),
        ({"id": 1}, {"title": "…", "…": "…"}, False),
        ({"at": "2026-01-10T09:30:00Z"}, {"at": "2026-…Z"}, True),
        ({"at": "2026-01-10T09:30:00Z"}, {"at": "2027-…"}, False),
        ({"done": True}, {"done": 1}, False),
        ([{"id": 1}, {"id": 2}], [{"id": 1}, "…"], True),
        ([{"id": 1}, {"id": 2}], [{"id": 1}], False),
        ("a.c", "abc", False),
        (None, "…", True),
    ],
)
def test_what_varies_is_written_as_an_ellipsis(value: Any, expected: Any, alike: bool):
    assert is_like(value, expected) is alike


@pytest.mark.parametrize(
    ("printed", "language", "output", "agrees"),
    [
        ('{"a":1}{"a":2}', "json", '{"a": 1}\n{"a": 2}\n', True),
        ('{"a":1}', "json", '{"a": 1}\n{"a": 2}\n', False),
        ("not JSON", "json", "{}", False),
        ("201\n409", "text", "201\n409\n", True),
        ("201\n409", "text", "201\n", False),
        ('etag: "7"\n', "text", 'etag: "…"\n', True),
        ('{"type":"/problems/invalid"}', None, "", False),
        ('{"title":"milk"}', None, "", True),
    ],
)
def test_another_output_is_noticed(printed: str, language: str | None, output: str, agrees: bool):
    assert is_printed(printed, Example("", "", language, output)) is agrees

"""Files of other services as they send them: large ones and archives, and what is refused of them."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import struct
import time
import zipfile
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskward.errors import Invalid, Unavailable
from taskward.formats.csv_rows import rows_of
from taskward.formats.json_text import JsonText
from taskward.formats.vikunja.reading import read_vikunja
from taskward.http.spooling import Spools
from taskward.kit.limits import Limits
from taskward.transfer.archives import MOST_MEMBERS, members_of
from taskward.transfer.foreign import ForeignFormat, Origin, read_foreign
from taskward.transfer.records import Reading, UnreadableExport
from tests.costs import allowed
from tests.foreign import EXAMPLES, NOW
from tests.users import User

ME = "/api/v1/me"
TASKS = "/api/v1/tasks"
ZIP = {"Content-Type": "application/zip"}
MIB = 1024 * 1024


def archive(files: dict[str, bytes], **options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return file.getvalue()


def vikunja_file(count: int, **members: Any) -> bytes:
    tasks = [{"id": n, "title": f"Task {n}", "position": count - n + 1, **members} for n in range(1, count + 1)]
    return json.dumps([{"id": 1, "title": "Many", "tasks": tasks}]).encode()


async def sent(user: User, format_: str, content: bytes, headers: dict[str, str] | None = None, **params: str) -> Any:
    asked = {"format": format_, **params}
    return await user.http.post(f"{ME}/import", params=asked, content=content, headers=headers or ZIP, timeout=60)


async def test_an_archive_of_todoist_has_a_list_for_each_project(alice: User):
    files = {
        "Garten [6g62GH268rQjFQ92].csv": "TYPE,CONTENT\nmeta,view_style=list\ntask,Säen\n".encode(),
        "Inbox [6Crg8jQ886Wh4P5g].csv": b"TYPE,CONTENT\n,\n",
        "Büro 🏢.csv": b"TYPE,CONTENT\ntask,Call Bob\ntask,Write\n",
        "../../etc/passwd.csv": b"TYPE,CONTENT\ntask,x\n",
        "readme.txt": b"hello",
        "more.zip": archive({"Other.csv": b"TYPE,CONTENT\ntask,hidden\n"}),
    }
    answer = await sent(alice, "todoist", archive(files), {"Content-Type": "application/x-zip-compressed"})
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["lists"], report["tasks"]) == (4, 4)
    assert report["counts"]["file"] == {"kept": 0, "metadata": 0, "lost": 2}
    lists = {one["id"]: one["name"] for one in (await alice.http.get("/api/v1/lists")).json()}
    assert list(lists.values()) == ["Garten", "Inbox", "Büro 🏢", "passwd"]
    tasks = (await alice.http.get(TASKS, params={"sort": "id"})).json()
    assert [(lists[task["list_id"]], task["title"]) for task in tasks] == [
        ("Garten", "Säen"), ("Büro 🏢", "Call Bob"), ("Büro 🏢", "Write"), ("passwd", "x"),
    ]  # fmt: skip
    # It is known however it was packed.
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name, (2001, 1, 1, 0, 0, 0)), content)
    assert (await sent(alice, "todoist", packed.getvalue())).status_code == 409
    other = files | {"Inbox [6Crg8jQ886Wh4P5g].csv": b"TYPE,CONTENT\ntask,new\n"}
    assert (await sent(alice, "todoist", archive(other))).status_code == 200


async def test_an_archive_of_vikunja_is_its_data_and_what_cannot_come_along(alice: User):
    filters = [{"id": 1, "title": "Today", "filters": {}}, {"id": 2, "title": "Later", "filters": {}}]
    files = {
        "data.json": vikunja_file(3, attachments=[{"id": 1, "file": {"id": 7, "name": "a.png", "size": 9}}]),
        "files/7": os.urandom(100_000),
        "filters.json": json.dumps(filters).encode(),
        "VERSION": b"0.24.6",
    }
    answer = await sent(alice, "vikunja", archive(files))
    assert answer.status_code == 200, answer.text
    counts = answer.json()["counts"]
    assert counts["filter"] == {"kept": 0, "metadata": 0, "lost": 2}
    assert counts["attachment"] == {"kept": 0, "metadata": 3, "lost": 0}
    # The file in the archive, and what three tasks have of it.
    assert counts["file"]["lost"] == 4
    tasks = (await alice.http.get(TASKS, params={"sort": "position"})).json()
    assert [task["title"] for task in tasks] == ["Task 3", "Task 2", "Task 1"]
    assert tasks[0]["metadata"]["vikunja"]["attachments"] == [{"name": "a.png", "size": 9}]


def encrypted(content: bytes) -> bytes:
    """An archive of which the flags say that it is encrypted."""
    at = content.index(b"PK\1\2") + 8
    return content[:at] + b"\1\0" + content[at + 2 :]


def with_size(content: bytes, size: int) -> bytes:
    """An archive that says of its first file that it has another size."""
    at = content.index(b"PK\1\2") + 24
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


ONE = {"data.json": vikunja_file(1)}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "not one": (lambda: b"PK\3\4" + b"x" * 100, "end is missing"),
    "cut off": (lambda: archive(ONE)[:-30], "end is missing"),
    "encrypted": (lambda: encrypted(archive(ONE)), "encrypted"),
    "a bomb": (lambda: archive({"data.json": b" " * (40 * MIB)}), "times its packed size"),
    "large": (
        lambda: archive({"data.json": b'[{"title":"' + os.urandom(34 * MIB // 2).hex().encode() + b'"}]'}), "bytes"
    ),
    "too many files": (lambda: archive({str(n): b"" for n in range(MOST_MEMBERS + 1)}), str(MOST_MEMBERS)),
    "without data": (lambda: archive({"a.csv": b"TYPE,CONTENT\ntask,x\n"}), "data.json"),
    "two of it": (lambda: archive({"data.json": b"[]", "x/data.json": b"[]"}), "data.json"),
    "an archive in it": (lambda: archive({"export.zip": archive(ONE)}), "data.json"),
    "a size that is not so": (lambda: with_size(archive(ONE), 10), "broken"),
    "broken": (lambda: archive(ONE).replace(b"PK\1\2", b"PK\1\1"), "broken"),
    "nothing in it": (lambda: archive({}), "data.json"),
    "not JSON": (lambda: archive({"data.json": b"TYPE,CONTENT"}), "JSON"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
async def test_an_archive_that_is_no_such_export_is_refused(alice: User, kind: str):
    make, said = REFUSED[kind]
    content = make()
    if len(content) > 16 * MIB:
        content = content[: 16 * MIB]
    answer = await sent(alice, "vikunja", content)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == ""
    assert said in error["detail"] or kind == "large"
    assert (await alice.http.get(ME)).json()["counts"]["lists"] == 0


def test_what_is_read_of_an_archive_is_bounded_all_together():
    parts = {f"{n}.csv": os.urandom(1_000) for n in range(5)}
    with pytest.raises(UnreadableExport, match="more than 4999 bytes"):
        members_of(io.BytesIO(archive(parts)), lambda _: True, largest=4_999)
    found, others = members_of(io.BytesIO(archive(parts)), lambda name: name == "1.csv", largest=1_000)
    assert [member.name for member in found] == ["1.csv"]
    assert len(others) == 4


def test_an_archive_of_another_method_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as made:
        made.writestr("data.json", b"[]")
    with pytest.raises(UnreadableExport, match="packed"):
        members_of(file, lambda _: True, largest=1_000)


async def test_the_name_of_a_list_goes_with_one_file_only(alice: User):
    answer = await sent(alice, "todoist", archive({"a.csv": b"TYPE,CONTENT\ntask,x\n"}), name="Home")
    assert answer.status_code == 422
    assert "parameter name" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Content-Type": "multipart/form-data; boundary=x"}, "no form"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "no form"),
        ({"Content-Type": "image/png"}, "application/zip"),
        ({"Content-Type": "text/csv; charset=latin-1"}, "UTF-8"),
    ],
)
async def test_another_type_of_body_is_told_what_to_send(alice: User, headers: dict[str, str], said: str):
    answer = await sent(alice, "todoist", b"TYPE,CONTENT\ntask,x\n", headers)
    assert answer.status_code == 415
    assert said in answer.json()["detail"]


async def test_a_file_of_sixteen_mebibytes_is_taken_and_no_larger_one(alice: User):
    filling = "x" * 9_000
    content = vikunja_file(1_800, description=filling)
    content += b" " * (16 * MIB - len(content))
    answer = await sent(alice, "vikunja", content, {"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["tasks"] == 1_800
    larger = await sent(alice, "vikunja", content + b" ", {"Content-Type": "application/json"})
    assert (larger.status_code, larger.json()["detail"]) == (413, f"Send at most {16 * MIB} bytes to this route.")


async def test_an_export_of_ones_own_has_one_mebibyte_at_most(alice: User):
    content = b"\n" * (MIB + 1)
    params, headers = {"format": "taskward"}, {"Content-Type": "application/x-ndjson"}
    answer = await alice.http.post(f"{ME}/import", params=params, content=content, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (413, f"Send at most {MIB} bytes to this route.")
    assert (await alice.http.post(f"{ME}/import", content=content[:-1], headers=headers)).status_code == 200


async def test_an_import_that_is_sent_again_with_its_key_is_answered_as_before(alice: User):
    headers = ZIP | {"Idempotency-Key": "import-1"}
    # An archive has the time at which it was made.
    file = archive(ONE)
    first = await sent(alice, "vikunja", file, headers)
    again = await sent(alice, "vikunja", file, headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    other = await sent(alice, "vikunja", archive({"data.json": vikunja_file(2)}), headers)
    assert other.status_code == 422


def hostile() -> dict[str, bytes]:
    return {
        "values": b'[{"title":"a","tasks":[{"x":[' + b"0," * 2_000_000 + b'0],"title":"kept"}]}]',
        "brackets": b'[{"title":"a","tasks":[{"title":"kept"}],"x":' + b"[" * 900 + b"]" * 900 + b"}]",
        "a text": b'[{"title":"a","tasks":[{"title":"kept","description":"' + b"<b>x</b>" * 400_000 + b'"}]}]',
        "escapes": b'[{"title":"a","tasks":[{"title":"kept","description":"' + b'\\"' * 1_500_000 + b'"}]}]',
        "relations": b'[{"title":"a","tasks":[{"title":"kept","related_tasks":{"subtask":['
        + b",".join(b'{"id":%d,"title":"x","labels":[{"title":"y"}]}' % n for n in range(60_000))
        + b"]}}]}]",
        "projects": b"[" + b"{}," * 300 + b'{"title":"a","tasks":[{"title":"kept"}]}]',
        "labels": b'[{"title":"a","tasks":[{"title":"kept","labels":['
        + b",".join(b'{"title":"%d"}' % n for n in range(9_000)) + b"]}]}]",
        "members": b'[{"title":"a","tasks":[{"title":"kept"}],'
        + b",".join(b'"m%d":1' % n for n in range(90_000)) + b"}]",
        "members of a task": b'[{"title":"a","tasks":[{"title":"kept",'
        + b",".join(b'"m%d":1' % n for n in range(19_000)) + b"}]}]",
        "comments": b'[{"title":"a","tasks":[{"title":"kept","comments":['
        + b",".join(b'{"comment":"<p>%d</p>"}' % n for n in range(15_000)) + b"]}]}]",
    }  # fmt: skip


@pytest.mark.costs
@pytest.mark.parametrize("kind", hostile())
def test_no_step_of_reading_takes_long(kind: str):
    reading, file = Reading(), io.BytesIO(hostile()[kind])
    # What the collector of garbage takes depends on all else that there is in this process.
    gc.collect()
    gc.disable()
    try:
        longest, since = 0.0, time.process_time()
        for _ in read_vikunja(file, reading, now=NOW, zone="UTC"):
            now = time.process_time()
            longest, since = max(longest, now - since), now
        longest = max(longest, time.process_time() - since)
    finally:
        gc.enable()
    assert [task["title"] for task in reading.tasks] == ["kept"]
    assert longest < allowed(0.05)


def test_values_in_pieces_are_those_of_the_whole():
    values = [1, -2.5e3, True, None, 'a\\"[{', {"b": ["}", {"c": "\\"}]}, [], "é" * 70_000, ["x" * 65_530, '"']]
    text = JsonText(io.BytesIO(json.dumps(values, ensure_ascii=False).encode()))
    text.expect(b"[")
    found: list[Any] = []
    while text.next_of(b"]", is_first=not found):
        steps = text.value()
        try:
            while True:
                next(steps)
        except StopIteration as end:
            found.append(json.loads(end.value))
    assert found == values
    assert text.peek() == b""


@pytest.mark.parametrize("row", [b"x," * 300_000, b'"' + b"a\n" * 300_000 + b'"', b'"a\n",' * 200_000])
def test_a_row_that_is_too_long_is_refused_before_it_is_read(row: bytes):
    since = time.process_time()
    with pytest.raises(UnreadableExport):
        list(rows_of(io.BytesIO(b"TYPE,CONTENT\n" + row)))
    assert time.process_time() - since < allowed(1)


def peak_of(file: bytes) -> int:
    """Bytes of memory that reading a file takes besides its records."""
    process = psutil.Process()
    before = highest = process.memory_info().rss
    for _ in read_vikunja(io.BytesIO(file), Reading(), now=NOW, zone="UTC"):
        highest = max(highest, process.memory_info().rss)
    return highest - before


def test_what_is_not_kept_of_a_file_takes_no_memory():
    small = vikunja_file(10)
    padding = b'"' + b"p" * (2 * MIB) + b'"'
    large = small[:-2] + b"," + b",".join(b'"x%d":%b' % (n, padding) for n in range(24)) + b"}]"
    assert len(large) > 48 * MIB
    assert peak_of(large) < 24 * MIB


async def test_others_go_on_while_a_file_is_imported(alice: User, bob: User):
    content = vikunja_file(3_000, description="d" * 1_000, labels=[{"title": "a"}])
    importing = asyncio.create_task(sent(alice, "vikunja", content, {"Content-Type": "application/json"}))
    waits: list[float] = []
    while not importing.done():
        began = time.monotonic()
        assert (await bob.http.get(TASKS)).status_code == 200
        waits.append(time.monotonic() - began)
    assert (await importing).status_code == 200
    # Of an import that ran in one piece, one request at most would have been answered meanwhile.
    assert len(waits) >= 10


async def test_bodies_on_the_disk_have_a_bound_for_each_user_and_for_all():
    spools = Spools(100)
    bodies = [spools.open("alice") for _ in range(4)]
    for body in bodies:
        body.write(b"x" * 100)
    one_more = spools.open("alice")
    with pytest.raises(Unavailable):
        one_more.write(b"x")
    # Others have room.
    of_others = [spools.open(f"user {n}") for n in range(28)]
    for body in of_others:
        body.write(b"x" * 100)
    last = spools.open("bob")
    with pytest.raises(Unavailable):
        last.write(b"x")
    bodies[0].close()
    last.write(b"x" * 100)
    assert (last.file.read(), last.digest) == (b"x" * 100, blake2b(b"x" * 100, digest_size=32).digest())
    for body in (*bodies[1:], *of_others, one_more, last):
        body.close()
    assert not spools.used


async def test_room_on_the_disk_is_given_back_whatever_becomes_of_the_request(alice: User):
    broken = b"x" * (15 * MIB)
    for _ in range(6):
        assert (await sent(alice, "vikunja", broken, {"Content-Type": "application/json"})).status_code == 422
        assert (await sent(alice, "vikunja", broken, {"Content-Type": "image/png"})).status_code == 415
        assert (await sent(alice, "nothing", broken)).status_code == 422


WHOLE: list[tuple[ForeignFormat, bytes]] = [
    ("vikunja", archive({"data.json": vikunja_file(3, description="<p>x</p>"), "filters.json": b"[{}]", "f/1": b"a"})),
    ("todoist", archive({"A [x].csv": b"TYPE,CONTENT,DATE\ntask,a,every day\nnote,b,\n", "b.csv": b"TYPE,CONTENT\n"})),
    ("vikunja", vikunja_file(2, labels=[{"title": "a"}], related_tasks={"subtask": [{"id": 2}]})),
    ("todoist", b"TYPE,CONTENT,INDENT,DATE,DATE_LANG\ntask,a,1,every 2 weeks on monday,en\ntask,* b,2,jeden tag,de\n"),
]
PIECES = st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"PK\5\6", b"\n"]) | st.binary(
    min_size=1, max_size=3
)


@EXAMPLES
@given(st.data(), st.sampled_from(WHOLE))
def test_a_file_that_was_changed_anywhere_is_read_or_refused(data: st.DataObject, whole: tuple[ForeignFormat, bytes]):
    format_, content = whole
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 30))] = data.draw(PIECES)
    assert asyncio.run(titles_in(bytes(changed), Origin(format_, "UTC", None, NOW)))


async def titles_in(content: bytes, origin: Origin) -> list[str]:
    """The titles of all tasks, or why there are none."""
    try:
        found = await read_foreign(io.BytesIO(content), b"", origin, Limits(), largest=MIB)
    except Invalid as problem:
        return [error.detail for error in problem.errors]
    return [one.name for one in found.lists.values()] + [task.title for task, _ in found.tasks()]


async def test_a_file_without_a_name_in_an_archive_is_passed_over(alice: User):
    content = archive({"?": b"", **ONE}).replace(b"?", b"/")
    assert (await sent(alice, "vikunja", content)).status_code == 200
    # Names have their lengths before them, 28 bytes into an entry of the directory.
    at = content.index(b"PK\1\2")
    without = content[: at + 28] + b"\0\0\1\0" + content[at + 32 :]
    assert (await sent(alice, "vikunja", without)).status_code in {200, 409, 422}

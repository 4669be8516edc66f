"""What a slice brings along becomes part of what is of all slices: an account's counts and limits, exports, imports."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, Column, Uuid, bindparam, func, insert
from sqlmodel import Field as ColumnField
from sqlmodel import select
from uuid_utils.compat import uuid7

from taskward import app as app_module
from taskward.account.slice import account
from taskward.app import KEPT, create_app
from taskward.http.slices import Slice
from taskward.kit.limits import Limit, LimitReached, Limits
from taskward.kit.types import Ignored, NewId
from taskward.storage.account_lock import AccountLock
from taskward.storage.compiling import Statement, compile_statement
from taskward.storage.counts import Counts
from taskward.storage.dsn import parse_address
from taskward.storage.export_lines import ROWS, ExportLines, Page, flat_reader, flat_writer, page_by_id
from taskward.storage.migrate import migrate
from taskward.storage.roles import RoleNames
from taskward.storage.row_json import Plain, json_object
from taskward.storage.scoping import OWNER, Constant
from taskward.storage.session import Session
from taskward.storage.tables import OwnedTable, columns, owner_column, rights, table_args, table_of, text_column
from taskward.transfer.exporting import PAGE_BYTES, export
from taskward.transfer.slice import transfer
from tests.citus import CITUS_URL
from tests.clusters import Cluster
from tests.databases import _execute, connected, drop_database, name_of
from tests.serving import NO_TLS, make_settings, make_token, serving
from tests.users import NewUser, User

ME = "/api/v1/me"
MOST = 3 * ROWS
STAMPS = Limit("stamps", MOST, "Erase a stamp first.", "Torn ones count as well.")
TABLE = """
CREATE TABLE taskward.stamp (
    user_id text COLLATE "C" NOT NULL, id uuid NOT NULL, text text NOT NULL, version bigint NOT NULL,
    PRIMARY KEY (user_id, id)
)
"""


class StampCounts(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"stamps": 5}]})

    stamps: int = Field(description="Stamps, torn ones included.")


class StampLine(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["stamp"]
    id: NewId
    text: str = Field(max_length=100)
    version: Ignored = None


def _stamp_slice() -> tuple[Slice, type[OwnedTable]]:
    class Stamp(OwnedTable, table=True):
        __tablename__ = "stamp"
        # Nothing of it is ever changed.
        __table_args__ = table_args(update=("text", "version"))

        user_id: str = owner_column()
        id: UUID = ColumnField(sa_column=Column(Uuid, primary_key=True))
        text: str = text_column()
        version: int = ColumnField(sa_column=Column(BigInteger, nullable=False))

    stamp = columns(Stamp)

    @cache
    def count() -> Statement:
        return compile_statement(select(func.count(stamp.id).label("stamps")).where(stamp.user_id == OWNER))

    @cache
    def ids() -> Statement:
        return compile_statement(select(stamp.id).where(stamp.user_id == OWNER))

    @cache
    def add() -> Statement:
        values: dict[str, Any] = {n: bindparam(n, type_=stamp[n].type) for n in ("id", "text", "version")}
        return compile_statement(insert(Stamp).values(user_id=OWNER, **values))

    @cache
    def page() -> Statement:
        return page_by_id(Stamp, line_of)

    def line_of(source: Any) -> Any:
        members = {name: source[name] for name in ("id", "text", "version")}
        return json_object({"type": Plain(Constant("stamp")), **members})

    async def put_back(session: Session, lock: AccountLock, limits: Limits, lines: Sequence[StampLine]) -> int:
        known = {row["id"] for row in await session.fetch(ids())}
        new = [line for line in lines if line.id not in known]
        if len(known) + len(new) > limits[STAMPS]:
            raise LimitReached(STAMPS, limits[STAMPS])
        for line in new:
            await session.fetch(add(), id=line.id, text=line.text, version=lock.next_version())
        return len(new)

    lines = ExportLines(
        kind="stamp",
        plural="stamps",
        table=Stamp,
        line=StampLine,
        example={"id": "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c", "text": "x"},
        reader=flat_reader(page),
        writer=flat_writer(put_back),
    )
    counts = Counts(StampCounts, count)
    return Slice(
        name="stamps", description="Stamps.", router=APIRouter(), limits=(STAMPS,), counts=counts, lines=lines
    ), Stamp


@pytest.fixture(scope="module")
def stamps_database(cluster: Cluster) -> str:
    if CITUS_URL:
        pytest.skip("its owner and its requests have the same login")
    return cluster.url(f"stamps_{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def stamps_app(cluster: Cluster, stamps_database: str) -> Iterator[Any]:
    """An app that has stamps as well, on a database of its own."""
    name = name_of(stamps_database)
    asyncio.run(_execute(cluster.superuser, f"CREATE DATABASE {name} OWNER taskward"))
    address = parse_address(cluster.url(name))
    asyncio.run(migrate(address))
    stamps, table = _stamp_slice()
    try:
        asyncio.run(_execute(cluster.url(name), TABLE))
        # It protects the table, of which there is a class now.
        asyncio.run(migrate(address))
        with pytest.MonkeyPatch.context() as patch:
            kept = (*KEPT, stamps)
            patch.setattr(app_module, "SLICES", (*kept, account(kept), transfer(kept)))
            app = create_app(make_settings(cluster.url(name)))
        yield app
    finally:
        # Other databases have no such table.
        OwnedTable.metadata.remove(table_of(table))
        asyncio.run(drop_database(cluster, name))


@pytest.fixture(scope="module")
def stamps_url(stamps_app: Any) -> Iterator[str]:
    with serving(stamps_app) as url:
        yield url


@pytest.fixture
async def new_user(stamps_url: str) -> AsyncIterator[NewUser]:
    clients: list[httpx2.AsyncClient] = []

    async def make(name: str) -> User:
        user_id = f"{name}-{secrets.token_hex(4)}"
        token = make_token(user_id)
        headers = {"Authorization": f"Bearer {token}"}
        clients.append(httpx2.AsyncClient(base_url=stamps_url, headers=headers, timeout=30, verify=NO_TLS))
        return User(user_id, token, clients[-1])

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def nell(new_user: NewUser) -> User:
    return await new_user("nell")


def stamp(**members: Any) -> dict[str, Any]:
    return {"type": "stamp", "id": str(uuid7()), "text": "é\n", **members}


async def put_back(user: User, *lines: Any) -> httpx2.Response:
    content = b"\n".join(json.dumps(line).encode() for line in lines)
    return await user.http.post(f"{ME}/import", content=content, headers={"Content-Type": "application/x-ndjson"})


async def exported(user: User) -> list[Any]:
    response = await user.http.get(f"{ME}/export")
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.content.splitlines()]


async def test_an_account_counts_what_a_slice_keeps(nell: User, new_user: NewUser):
    me = (await nell.http.get(ME)).json()
    assert me["counts"] == {"tasks": 0, "open": 0, "completed": 0, "trash": 0, "lists": 0, "tags": 0, "stamps": 0}
    assert me["limits"] == {"tasks": 100_000, "lists": 500, "tags": 2_000, "stamps": MOST}
    assert (await put_back(nell, stamp(), stamp())).status_code == 200
    assert (await nell.http.get(ME)).json()["counts"]["stamps"] == 2
    other = await new_user("other")
    assert (await other.http.get(ME)).json()["counts"]["stamps"] == 0


async def test_of_what_withholds_every_change_there_is_no_right_to_change_any(stamps_app: Any, stamps_database: str):
    assert stamps_app is not None
    assert set(rights()["stamp"]) == {"SELECT", "INSERT", "DELETE"}
    asked = "SELECT verb FROM unnest(ARRAY['INSERT', 'UPDATE']) verb WHERE has_any_column_privilege($1, $2, verb)"
    role = RoleNames.of(name_of(stamps_database)).requests
    async with connected(stamps_database) as connection:
        assert [row["verb"] for row in await connection.fetch(asked, role, "taskward.stamp")] == ["INSERT"]


async def test_what_an_account_has_is_described(stamps_app: Any):
    schemas = stamps_app.openapi()["components"]["schemas"]
    counted = schemas["AccountCounts"]["properties"]["stamps"]
    assert counted == {"type": "integer", "title": "Stamps", "description": "Stamps, torn ones included."}
    assert schemas["AccountLimits"]["properties"]["stamps"]["description"] == STAMPS.note
    (example,) = schemas["Me"]["examples"]
    assert (example["counts"]["stamps"], example["limits"]["stamps"]) == (5, MOST)
    assert schemas["ImportReport"]["properties"]["stamps"]["description"] == "Stamps that were made."


async def test_an_export_has_what_a_slice_keeps_and_an_import_puts_it_back(nell: User, new_user: NewUser):
    list_id, task_id = str(uuid7()), str(uuid7())
    others = [
        {"type": "list", "id": list_id, "name": "Home"},
        {"type": "task", "id": task_id, "title": "x", "list_id": list_id},
    ]
    stamps = [stamp(text=f"{n}") for n in range(2 * ROWS + 1)]
    report = (await put_back(nell, *stamps, *others)).json()
    assert (report["stamps"], report["lists"], report["tasks"], report["unchanged"]) == (len(stamps), 1, 1, 0)
    found = await exported(nell)
    assert [line["type"] for line in found] == ["list", *["stamp"] * len(stamps), "task", "end"]
    assert [{**line, "version": None} for line in found[1:-2]] == [{**line, "version": None} for line in stamps]
    assert found[-1] == {"type": "end", "lists": 1, "stamps": len(stamps), "tasks": 1}
    again = (await put_back(nell, *found)).json()
    assert (again["stamps"], again["unchanged"], again["whole"]) == (0, len(stamps) + 2, True)
    other = await new_user("other")
    assert (await put_back(other, *found)).json()["stamps"] == len(stamps)
    assert [line.get("id") for line in await exported(other)] == [line.get("id") for line in found]


async def test_an_export_that_was_made_before_there_was_a_slice_is_whole(nell: User):
    report = (await put_back(nell, {"type": "end", "lists": 0, "tasks": 0})).json()
    assert (report["whole"], report["stamps"]) == (True, 0)


async def test_of_another_services_file_a_slice_gets_nothing(nell: User):
    headers = {"Content-Type": "text/csv"}
    csv = b"TYPE,CONTENT,PRIORITY,INDENT\ntask,Buy milk,4,1\n"
    report = await nell.http.post(f"{ME}/import", params={"format": "todoist"}, content=csv, headers=headers)
    assert (report.json()["tasks"], report.json()["stamps"]) == (1, 0)


async def test_a_line_that_a_slice_refuses_is_named_and_nothing_is_put_back(nell: User):
    refused = await put_back(nell, stamp(), stamp(text="x" * 101))
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/2/text"]
    full = await put_back(nell, {"type": "list", "id": str(uuid7()), "name": "x"}, *(stamp() for _ in range(MOST + 1)))
    assert (full.status_code, full.json()["limit"]) == (422, "stamps")
    assert await exported(nell) == [{"type": "end", "lists": 0, "stamps": 0, "tasks": 0}]


@pytest.mark.parametrize(("kind", "meant"), [("stam", " Did you mean stamp?"), ("zap", ""), (None, "")])
async def test_a_line_of_no_kind_is_told_all_kinds(nell: User, kind: str | None, meant: str):
    (error,) = (await put_back(nell, {"type": kind})).json()["errors"]
    assert error["detail"] == f"This must have a type: list, stamp, task or end.{meant}"


async def test_an_erasure_takes_what_a_slice_keeps_along(nell: User):
    await put_back(nell, stamp())
    assert (await nell.http.delete(ME, params={"confirm": nell.id})).status_code == 204
    assert (await nell.http.get(ME)).json()["counts"]["stamps"] == 0


class _Stub:
    """Reads rows of so many bytes."""

    def __init__(self, kind: bytes, sizes: Sequence[int]) -> None:
        self._rows = [kind * (size - 1) + b"\n" for size in sizes]
        self._read = 0

    def __len__(self) -> int:
        return self._read

    async def begin(self, session: Session) -> int:
        del session
        return 0

    async def read(self, session: Session, most: int) -> Page:
        del session
        lines = b""
        while self._read < len(self._rows) and (not lines or len(lines) + len(self._rows[self._read]) <= most):
            lines += self._rows[self._read]
            self._read += 1
        assert most > 0
        return Page(lines, self._read == len(self._rows))

    read_again = read


_FEW, _MANY, _LARGE = (100,) * 5, (10_000,) * 60, (PAGE_BYTES + 1, 100)


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ([(), (), ()], 1), ([_FEW, _FEW, _FEW], 2), ([_FEW, (), _FEW], 2), ([_MANY, _FEW, _FEW], 6),
        ([_FEW, _MANY, _MANY], 9), ([_MANY, _MANY, ()], 11), ([_LARGE, _LARGE, _LARGE], 7),
    ],
)  # fmt: skip
async def test_kinds_go_together_in_pages_that_have_room_for_them(sizes: list[tuple[int, ...]], most: int):
    stubs = [_Stub(kind, rows) for kind, rows in zip((b"a", b"b", b"c"), sizes, strict=True)]
    expected = b"".join([b"".join(stub._rows) for stub in stubs])
    kinds: Any = [SimpleNamespace(reader=lambda stub=stub: stub, plural=f"s{n}") for n, stub in enumerate(stubs)]
    begin: Any = nullcontext
    pages = [page async for page in export(begin, PAGE_BYTES, kinds)]
    counted = ",".join([f'"s{n}":{len(rows)}' for n, rows in enumerate(sizes)])
    assert b"".join(pages) == expected + f'{{"type":"end",{counted}}}\n'.encode()
    assert len(pages) <= most
    assert all(pages)
    if _LARGE not in sizes:
        assert max(map(len, pages)) <= PAGE_BYTES

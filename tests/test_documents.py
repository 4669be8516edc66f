"""The JSON that PostgreSQL writes is what the members say, however the database is set."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    select,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from taskward.database.connections import connect
from taskward.database.documents import json_object
from taskward.database.dsn import parse_address
from tests.conftest import execute, name_of

# How a database may be set that is shared with an older app. All of these change what PostgreSQL writes as text.
SETTINGS = {
    "timezone": "'Asia/Kathmandu'", "datestyle": "'German, DMY'", "intervalstyle": "'sql_standard'",
    "bytea_output": "'escape'", "extra_float_digits": "-10", "standard_conforming_strings": "off",
    "escape_string_warning": "off", "quote_all_identifiers": "on",
}  # fmt: skip
ID = UUID("01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c")
TEXTS = [
    "", " ", '"', "\\", '\\"', "'", "''", "/", "</script>", "\b\f\n\r\t", "\x01\x1f\x7f\x80\x9f", "\u2028\u2029", "😀",
    "e\u0301", "null", "true", "{}", "%s", ":id", "$1", "\ufeff", "\uffff", "x" * 10_000,
    '2026-01-10T09:30:00+00:00"', '","user_id":"mallory', "\\u0022",
]  # fmt: skip

table = Table(
    "sample",
    MetaData(),
    Column("key", Uuid()),
    Column("text", Text(), nullable=False),
    Column("note", Text()),
    Column("number", Integer()),
    Column("flag", Boolean()),
    Column("instant", DateTime(timezone=True)),
    Column("own_key", Uuid(), nullable=False),
    Column("count", Integer(), nullable=False),
    Column("done", Boolean(), nullable=False),
    Column("made", DateTime(timezone=True), nullable=False),
)
NEVER_NULL: dict[str, Any] = {"own_key": ID, "count": -1, "done": True, "made": dt.datetime(2026, 1, 10, tzinfo=dt.UTC)}
SQL = str(select(json_object(dict(table.c.items()))).compile(dialect=dialect()))


async def read(url: str, values: list[dict[str, Any]]) -> list[str]:
    connection = await connect(parse_address(url))
    try:
        await connection.execute(
            "CREATE TEMP TABLE sample (n serial, key uuid, text text, note text, number int, flag bool,"
            " instant timestamptz, own_key uuid, count int, done bool, made timestamptz)"
        )
        rows = [tuple(value.get(name) for name in table.c.keys()) for value in values]  # noqa: SIM118 - not a dict
        await connection.copy_records_to_table("sample", records=rows, columns=list(table.c.keys()))
        return [row[0] for row in await connection.fetch(f"{SQL} ORDER BY n")]
    finally:
        await connection.close()


@pytest.mark.parametrize("settings", [{}, SETTINGS], ids=["plain", "odd"])
async def test_every_member_is_itself_whatever_the_database_is_set_to(new_database: str, settings: dict[str, str]):
    name = name_of(new_database)
    await execute(new_database, *(f"ALTER DATABASE {name} SET {key} = {value}" for key, value in settings.items()))
    instants = [
        dt.datetime(2026, 1, 10, 9, 30, tzinfo=dt.UTC),
        dt.datetime(2026, 7, 1, 23, 59, 59, 999_999, tzinfo=dt.timezone(dt.timedelta(hours=-3))),
        dt.datetime(2, 1, 1, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 120_000, tzinfo=dt.UTC),
    ]
    values: list[dict[str, Any]] = [{"text": text} for text in TEXTS]
    values += [{"text": "x", "key": ID, "note": text, "number": -7, "flag": False} for text in TEXTS]
    values += [{"text": "x", "flag": True, "number": 2**31 - 1, "instant": instant} for instant in instants]
    values += [{"text": "x", "made": instant, "done": False, "count": 0} for instant in instants]
    values = [NEVER_NULL | value for value in values]
    written = await read(new_database, values)
    expected = [
        {name: value.get(name) for name in table.c.keys()}  # noqa: SIM118 - not a dict
        | {"key": value.get("key") and str(value["key"]), "own_key": str(ID), "made": _rfc3339(value["made"])}
        | {"instant": value.get("instant") and _rfc3339(value["instant"])}
        for value in values
    ]
    assert [json.loads(document) for document in written] == expected
    assert list(json.loads(written[0])) == list(table.c.keys())


@pytest.mark.parametrize("kind", [LargeBinary(), ARRAY(Integer()), DateTime(), Float()])
def test_a_type_without_a_form_is_refused(kind: Any):
    with pytest.raises(TypeError, match="member"):
        json_object({"member": Column("member", kind)})


def _rfc3339(instant: dt.datetime) -> str:
    utc = instant.astimezone(dt.UTC)
    return f"{utc.year:04}-{utc:%m-%dT%H:%M:%S.%f}Z"

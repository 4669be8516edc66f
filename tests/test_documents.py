"""The JSON that PostgreSQL writes is what the members say, however the database is set, and what the worker writes."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any
from uuid import UUID

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Time,
    Uuid,
    cast,
    select,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from taskward.storage.dsn import parse_address
from taskward.storage.pool import connect
from taskward.storage.row_json import Plain, Usual, json_columns, json_object, json_writer
from taskward.storage.scoping import Constant
from tests.citus import on_one_machine
from tests.databases import execute, name_of
from tests.sizes import sized

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

INSTANTS = [
    dt.datetime(2026, 1, 10, 9, 30, tzinfo=dt.UTC),
    dt.datetime(2026, 7, 1, 23, 59, 59, 999_999, tzinfo=dt.timezone(dt.timedelta(hours=-3))),
    dt.datetime(2, 1, 1, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 120_000, tzinfo=dt.UTC),
]
WORDS = [[], [""], ["a", "b"], ["NULL", "null", "{", "}", ",", "a,b", " "], TEXTS]

pytestmark = on_one_machine("it reads a temporary table, which no node has")
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
    Column("day", Date()),
    Column("words", ARRAY(Text())),
    Column("own_words", ARRAY(Text()), nullable=False),
    Column("data", JSON()),
    Column("own_data", JSON(), nullable=False),
)
NEVER_NULL: dict[str, Any] = {
    "own_key": ID, "count": -1, "done": True, "made": dt.datetime(2026, 1, 10, tzinfo=dt.UTC), "own_words": [],
    "own_data": "{}",
}  # fmt: skip
# JSON as it is stored, byte by byte: its spaces, its numbers and the order of its members are somebody's own.
DATA = (
    "{}", "[]", "null", '""', " { } ", '{"b":1,"a":2}', '{"a":[1,{"b":null}]}', "1.50", "1e400", "-0", '"\\u0041"',
    '{"a":1,"a":2}', "[" * 40 + "]" * 40, json.dumps(TEXTS), json.dumps(TEXTS, ensure_ascii=False),
)  # fmt: skip
# The first and the last day of the calendar stand for infinity to asyncpg, and are refused before.
DAYS = [dt.date(1, 1, 2), dt.date(1999, 12, 31), dt.date(2024, 2, 29), dt.date(9999, 12, 30)]
ODD_OR_NOT = pytest.mark.parametrize("settings", [{}, SETTINGS], ids=["plain", "odd"])


def sql_of(members: dict[str, Any]) -> str:
    return str(select(json_object(members)).compile(dialect=dialect()))


MEMBERS: dict[str, Any] = dict(table.c.items())


async def read(url: str, values: list[dict[str, Any]], members: dict[str, Any] = MEMBERS) -> list[str]:
    """What PostgreSQL writes of these rows, which the worker must write as well."""
    sql = str(select(*json_columns(members), json_object(members).label("document")).compile(dialect=dialect()))
    connection = await connect(parse_address(url))
    try:
        await connection.execute(
            "CREATE TEMP TABLE sample (n serial, key uuid, text text, note text, number int, flag bool,"
            " instant timestamptz, own_key uuid, count int, done bool, made timestamptz, day date, words text[],"
            " own_words text[], data json, own_data json)"
        )
        rows = [tuple(value.get(name) for name in table.c.keys()) for value in values]  # noqa: SIM118 - not a dict
        await connection.copy_records_to_table("sample", records=rows, columns=list(table.c.keys()))
        found = await connection.fetch(f"{sql} ORDER BY n")
        write = json_writer(members)
        for row in found:
            # It is NULL where something is missing that never is.
            assert row["document"] in {None, write(row)}
            assert write(row) == write(dict(row))
        return [row["document"] for row in found]
    finally:
        await connection.close()


def json_of(value: dict[str, Any]) -> dict[str, Any]:
    """A row as the JSON must have it."""
    return {
        **{name: value.get(name) for name in table.c.keys()},  # noqa: SIM118 - not a dict
        "key": value.get("key") and str(value["key"]), "own_key": str(value["own_key"]),
        "made": _rfc3339(value["made"]), "instant": value.get("instant") and _rfc3339(value["instant"]),
        "day": value.get("day") and value["day"].isoformat(),
        "data": None if value.get("data") is None else json.loads(value["data"]),
        "own_data": json.loads(value["own_data"]),
    }  # fmt: skip


async def set_up(url: str, settings: dict[str, str]) -> None:
    name = name_of(url)
    await execute(url, *(f"ALTER DATABASE {name} SET {key} = {value}" for key, value in settings.items()))


@ODD_OR_NOT
async def test_every_member_is_itself_whatever_the_database_is_set_to(new_database: str, settings: dict[str, str]):
    await set_up(new_database, settings)
    values: list[dict[str, Any]] = [{"text": text} for text in TEXTS]
    values += [{"text": "x", "key": ID, "note": text, "number": -7, "flag": False} for text in TEXTS]
    values += [{"text": "x", "flag": True, "number": 2**31 - 1, "instant": instant} for instant in INSTANTS]
    values += [{"text": "x", "made": instant, "done": False, "count": 0} for instant in INSTANTS]
    values += [{"text": "x", "day": day} for day in DAYS]
    values += [{"text": "x", "words": words, "own_words": words} for words in WORDS]
    values += [{"text": "x", "data": data, "own_data": data} for data in DATA]
    values = [NEVER_NULL | value for value in values]
    written = await read(new_database, values)
    assert [json.loads(document) for document in written] == [json_of(value) for value in values]
    assert list(json.loads(written[0])) == list(table.c.keys())


@ODD_OR_NOT
async def test_json_is_written_as_it_is_stored(new_database: str, settings: dict[str, str]):
    await set_up(new_database, settings)
    values = [NEVER_NULL | {"text": "x", "own_data": data} for data in DATA]
    written = await read(new_database, values, {"data": table.c.own_data})
    assert written == [f'{{"data":{data}}}' for data in DATA]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda some: st.lists(some, max_size=4) | st.dictionaries(TEXT, some, max_size=4),
    max_leaves=6,
).map(lambda value: json.dumps(value, ensure_ascii=False))
INSTANT = st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31), timezones=st.just(dt.UTC))  # noqa: DTZ001
WHOLE_SECOND = INSTANT.map(lambda instant: instant.replace(microsecond=0))
NUMBER = st.integers(-(2**31), 2**31 - 1)
SURELY: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT, "own_key": st.uuids(), "count": NUMBER, "done": st.booleans(), "made": INSTANT | WHOLE_SECOND,
    "own_words": st.lists(TEXT, max_size=4), "own_data": JSONS,
}  # fmt: skip
PERHAPS: dict[str, st.SearchStrategy[Any]] = {
    "key": st.uuids(), "note": TEXT, "number": NUMBER, "flag": st.booleans(), "instant": INSTANT | WHOLE_SECOND,
    "day": st.dates(DAYS[0], DAYS[-1]), "words": st.lists(TEXT, max_size=4), "data": JSONS,
}  # fmt: skip
VALUES = st.fixed_dictionaries(SURELY, optional=PERHAPS)


@ODD_OR_NOT
def test_the_worker_writes_of_any_row_what_postgresql_writes(new_database: str, settings: dict[str, str]):
    asyncio.run(set_up(new_database, settings))
    members = MEMBERS | {name: usual(name, "null") for name in PERHAPS}

    @hypothesis.settings(max_examples=sized(5, 200), deadline=None, database=None)
    @given(st.lists(VALUES, min_size=30, max_size=30))
    def agree(values: list[dict[str, Any]]) -> None:
        written = asyncio.run(read(new_database, values, members))
        assert [json.loads(one) for one in written] == [json_of(value) for value in values]

    agree()


def test_every_character_is_written_as_it_is_or_escaped_alike():
    """Each by itself, so that none hides behind the choice of others; PostgreSQL's rule, as its source has it."""
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    write = json_writer({"text": table.c.text})
    for code in (*range(1, 0xD800), *range(0xE000, 0x110000)):
        plain = chr(code) if code >= ord(" ") else f"\\u{code:04x}"
        assert write({"text": chr(code)}) == f'{{"text":"{short.get(code, plain)}"}}'


def usual(name: str, json: str) -> Usual:
    """A member that mostly is what it is in JSON."""
    column = table.c[name]
    if json == "null":
        return Usual(column, column.is_(None), json)
    is_json = isinstance(column.type, JSON)
    value = {"[]": "{}"}.get(json, json.strip('"')) if not is_json else json
    return Usual(column, (cast(column, Text) if is_json else column) == Constant(value), json)


# With something before, between and after them, and nothing; a group is as long as nothing else comes between.
USUAL: dict[str, dict[str, Any]] = {
    "alone": {"note": usual("note", "null")},
    "first": {"note": usual("note", "null"), "text": table.c.text},
    "last": {"text": table.c.text, "note": usual("note", "null")},
    "neighbours alone": {"note": usual("note", "null"), "day": usual("day", "null")},
    "every kind": {
        name: usual(name, "null") for name in ("key", "note", "number", "flag", "instant", "day", "words", "data")
    },
    "of values": {
        "before": table.c.own_key, "text": usual("text", '"none"'), "own_words": usual("own_words", "[]"),
        "own_data": usual("own_data", "{}"), "after": table.c.count,
    },
    "two groups": {
        "note": usual("note", "null"), "day": usual("day", "null"), "text": table.c.text,
        "words": usual("words", "null"), "data": usual("data", "null"),
    },
    "beside what is plain": {
        "note": usual("note", "null"), "plain": Plain(table.c.own_key), "day": usual("day", "null"),
    },
}  # fmt: skip


@ODD_OR_NOT
async def test_what_is_usual_is_written_as_what_is_not(new_database: str, settings: dict[str, str]):
    await set_up(new_database, settings)
    values: list[dict[str, Any]] = [
        {"text": "none"}, {"text": "none", "own_words": [""]}, {"text": "none", "own_data": '{"a":1}'},
        {"text": "none", "data": "null"}, {"text": "none", "data": "{}", "words": []}, {"text": "None"},
        {"text": "x", "key": ID, "number": 0, "flag": False}, {"text": "x", "number": -1, "flag": True},
    ]  # fmt: skip
    values += [{"text": "x", "note": text} for text in TEXTS]
    values += [{"text": text, "words": [text], "own_words": [text]} for text in TEXTS]
    values += [{"text": "none", "day": day, "note": "x"} for day in DAYS]
    values += [{"text": "none", "instant": instant} for instant in INSTANTS]
    values += [{"text": "none", "words": words, "own_words": words} for words in WORDS]
    values += [{"text": "none", "data": data, "own_data": data} for data in DATA]
    values = [NEVER_NULL | value for value in values]
    for shape, members in USUAL.items():
        as_they_are = {name: member.column if isinstance(member, Usual) else member for name, member in members.items()}
        written = await read(new_database, values, members)
        plainly = await read(new_database, values, as_they_are)
        assert written == plainly, shape
        assert [json.loads(one) for one in written] == [json.loads(one) for one in plainly], shape
        assert [list(json.loads(one)) for one in written] == [list(members)] * len(values), shape
        whole = [json_of(value) for value in values]
        for one, row in zip(written, whole, strict=True):
            assert {n: v for n, v in json.loads(one).items() if n in row} == {n: row[n] for n in members if n in row}
        # The first row has nothing but what is usual, and that is written as it is said to be.
        assert written[0] == plainly[0], shape


def test_neighbours_that_are_usual_are_asked_about_at_once():
    sql = sql_of(USUAL["two groups"])
    assert sql.count("CASE WHEN") == 2
    assert sql.count("pg_catalog.concat(") == 2
    assert '\'"note":null,"day":null\'' in sql


async def test_what_is_plain_is_written_between_quotes_without_a_look_at_it(new_database: str):
    values = [NEVER_NULL | {"text": "x"}]
    plain: dict[str, Any] = {"own_key": Plain(table.c.own_key), "kind": Plain(Constant("it's {so}"))}
    assert await read(new_database, values, plain) == [f'{{"own_key":"{ID}","kind":"it\'s {{so}}"}}']
    assert "json" not in sql_of(plain)


async def test_what_is_plain_is_the_first_that_is_there(new_database: str):
    other = UUID(int=1)
    values = [{"key": key, "note": note} for key, note in ((None, None), (other, None), (other, "x"), (None, ""))]
    first = {"first": Plain(table.c.note, table.c.key, table.c.own_key)}
    written = await read(new_database, [NEVER_NULL | {"text": "x"} | value for value in values], first)
    assert [json.loads(one)["first"] for one in written] == [str(ID), str(other), "x", ""]


async def test_where_what_is_never_null_is_missing_so_is_the_whole(new_database: str):
    row = {name: value for name, value in NEVER_NULL.items() if name != "own_key"}
    for members in (
        {"own_key": table.c.own_key, "note": table.c.note},
        {"own_key": Plain(table.c.own_key), "note": usual("note", "null")},
    ):
        assert await read(new_database, [row | {"text": "x"}], members) == [None]


UNKNOWN = [LargeBinary(), ARRAY(Integer()), ARRAY(DateTime(timezone=True)), DateTime(), Float(), Interval(), Time()]


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_type_without_a_form_is_refused(kind: Any):
    column = Column("member", kind)
    for member in (column, Usual(column, column.is_(None), "null")):
        with pytest.raises(TypeError, match="member"):
            json_object({"member": member})
        with pytest.raises(TypeError, match="member"):
            json_writer({"member": member})


def _rfc3339(instant: dt.datetime) -> str:
    utc = instant.astimezone(dt.UTC)
    return f"{utc.year:04}-{utc:%m-%dT%H:%M:%S.%f}Z"

"""What Citus allows, held on one machine: every statement, as PostgreSQL understands it, and the migrated schema.

PostgreSQL keeps the body of a function as the tree of its query, with the numbers of the functions that it has found:
the same tree that Citus looks through. So each statement is made the body of a function that nobody calls.

Sources are files of Citus 14.0.1 below `src/backend/distributed`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

import asyncpg
import pytest

from tests.citus import on_one_machine
from tests.clusters import Cluster
from tests.databases import connected
from tests.test_statements import CASES, _as_it_is, _named

pytestmark = on_one_machine("what a cluster refuses is known before there is one")

_TOKEN = re.compile(r'[{}()]|:\w+|"(?:\\.|[^"\\])*"|(?:\\.|[^\s{}()])+')
_FUNCTIONS = ("funcid", "opfuncid", "aggfnoid", "winfnoid")
_TYPES = (
    "vartype",
    "consttype",
    "paramtype",
    "funcresulttype",
    "opresulttype",
    "resulttype",
    "casetype",
    "coalescetype",
)
_UPDATE, _INSERT = "2", "3"
_TEXT_IS = "98"
"""The operator = of text."""

Node = dict[str, Any]


def _parse(text: str) -> Any:
    """A tree of PostgreSQL's as dictionaries, with the kind of each node as `kind`, and lists."""
    tokens = iter(_TOKEN.findall(text))
    return _value(next(tokens), tokens)


def _value(token: str, tokens: Iterator[str]) -> Any:
    if token == "(":
        found = []
        while (token := next(tokens)) != ")":
            found.append(_value(token, tokens))
        return found
    if token != "{":
        return token
    node: Node = {"kind": next(tokens)}
    name, values = "", list[Any]()
    while True:
        token = next(tokens)
        if token.startswith(":") or token == "}":
            if name:
                node[name] = values[0] if len(values) == 1 else values
            if token == "}":
                return node
            name, values = token[1:], []
        else:
            values.append(_value(token, tokens))


def _nodes(tree: Any) -> Iterator[Node]:
    """Each node of a tree, itself included."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def _called(tree: Any) -> set[int]:
    return {int(node[name]) for node in _nodes(tree) for name in _FUNCTIONS if node.get(name, "0") != "0"}


def _bare(node: Node) -> Node:
    """A node without what it is called with, but for the type of that."""
    argument = {"kind": "TYPE", "vartype": _type_of(node["arg"])} if node["kind"] == "COERCEVIAIO" else "<>"
    return {**node, "args": "<>", "arg": argument}


def _type_of(node: Node) -> int:
    return next(int(node[name]) for name in _TYPES if name in node)


@dataclass(frozen=True)
class Functions:
    """The functions that there are.

    Attributes:
        volatility: By function: `i` for immutable, `s` for stable, `v` for volatile.
        reading: By type, the function that reads its text.
        writing: By type, the one that writes it.
    """

    volatility: dict[int, str]
    reading: dict[int, int]
    writing: dict[int, int]

    def kinds(self, tree: Any) -> set[str]:
        """The volatility of all that a tree calls, as `contain_mutable_functions` of PostgreSQL finds it."""
        found = {self.volatility[one] for one in _called(tree)}
        for node in _nodes(tree):
            if node["kind"] == "COERCEVIAIO":
                found.add(self.volatility[self.reading[int(node["resulttype"])]])
                found.add(self.volatility[self.writing[_type_of(node["arg"])]])
            if node["kind"] == "SQLVALUEFUNCTION":  # CURRENT_TIMESTAMP and its like
                found.add("s")
        return found


@pytest.fixture(scope="module")
async def superuser(cluster: Cluster, template: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    async with connected(cluster.url(template, superuser=True)) as connection:
        yield connection


@pytest.fixture(scope="module")
async def functions(superuser: asyncpg.Connection[asyncpg.Record]) -> Functions:
    kinds = await superuser.fetch("SELECT oid, provolatile FROM pg_proc")
    types = await superuser.fetch("SELECT oid, typinput::oid AS reads, typoutput::oid AS writes FROM pg_type")
    return Functions(
        {row[0]: row[1].decode() for row in kinds},
        {row["oid"]: row["reads"] for row in types},
        {row["oid"]: row["writes"] for row in types},
    )


@pytest.fixture(scope="module")
async def queries(superuser: asyncpg.Connection[asyncpg.Record]) -> dict[str, list[Node]]:
    """The queries of each statement, those inside others included."""
    return {_label(*case): await _understood(superuser, _as_it_is(*case).sql) for case in CASES}


def _alone(queries: dict[str, list[Node]]) -> dict[str, list[Node]]:
    """Those that are one statement on a cluster as well."""
    apart = {_label(*case) for case in CASES if _as_it_is(*case).apart is not None}
    return {name: found for name, found in queries.items() if name not in apart}


def _label(name: str, arguments: tuple[Any, ...]) -> str:
    return f"{name} {_named(arguments)[:60]}"


async def _understood(connection: asyncpg.Connection[asyncpg.Record], sql: str) -> list[Node]:
    prepared = await connection.prepare(sql)
    types = [await connection.fetchval("SELECT format_type($1, NULL)", one.oid) for one in prepared.get_parameters()]
    async with connection.transaction():
        await connection.execute(
            f"CREATE FUNCTION pg_temp.as_it_is({', '.join(types)}) RETURNS void BEGIN ATOMIC {sql}; END"
        )
        tree = _parse(await connection.fetchval("SELECT prosqlbody::text FROM pg_proc WHERE proname = 'as_it_is'"))
        await connection.execute("DROP FUNCTION pg_temp.as_it_is")
    found = [node for node in _nodes(tree) if node["kind"] == "QUERY"]
    assert found
    return found


def _writes(queries: dict[str, list[Node]], *commands: str) -> Iterator[tuple[str, Node]]:
    for name, found in queries.items():
        for query in found:
            if query["commandType"] in commands:
                yield name, query


def test_what_is_returned_calls_immutable_functions_only(queries: dict[str, list[Node]], functions: Functions):
    """`planner/multi_router_planner.c`, TargetlistAndFunctionsSupported: "non-IMMUTABLE functions are not allowed in
    the RETURNING clause".
    """
    for name, query in _writes(queries, "2", "3", "4"):
        assert functions.kinds(query["returningList"]) <= {"i"}, name


def test_what_is_written_calls_no_volatile_function_and_no_stable_one_with_a_column(
    queries: dict[str, list[Node]], functions: Functions
):
    """There as well: "functions used in UPDATE queries on distributed tables must not be VOLATILE", "STABLE functions
    used in UPDATE queries cannot be called with column references", "non-IMMUTABLE functions are not allowed in CASE or
    COALESCE statements".
    """
    for name, query in _writes(queries, "2", "4"):
        parts = [query["targetList"] if query["commandType"] == _UPDATE else [], query["jointree"]["quals"]]
        assert "v" not in functions.kinds(parts), name
        for node in _nodes(parts):
            if "s" in functions.kinds(_bare(node)):
                assert not any(inner["kind"] == "VAR" for inner in _nodes([node.get("args"), node.get("arg")])), name
            if node["kind"] in {"CASEEXPR", "COALESCEEXPR"}:
                assert functions.kinds(node) <= {"i"}, name


def test_an_insert_has_no_sub_select(queries: dict[str, list[Node]]):
    """There as well, ModifyPartialQuerySupported: "subqueries are not supported within INSERT queries"."""
    seen = 0
    for name, query in _writes(queries, _INSERT):
        seen += 1
        assert query["hasSubLinks"] == "false", name
    assert seen > 5


def test_an_insert_of_a_select_reads_the_owner_of_a_table_and_returns_nothing(queries: dict[str, list[Node]]):
    """`planner/insert_select_planner.c`: only where "partition columns in the source table and subquery" match is it
    handed on to one node, and there a column that is returned has no table. What is not handed on is read first and
    copied then, and PostgreSQL has "COPY FROM not supported with row-level security".
    """
    seen = 0
    for name, query in _writes(_alone(queries), _INSERT):
        for source in [one["subquery"] for one in query["rtable"] if one["rtekind"] == "1"]:
            seen += 1
            owner = next(one for one in source["targetList"] if one["resname"] == "user_id")["expr"]
            assert owner["kind"] == "VAR", name
            assert source["rtable"][int(owner["varno"]) - 1]["rtekind"] == "0", name
            assert query["returningList"] == "<>", name
    assert seen == 2


def test_what_inserts_beside_another_write_is_two_statements_for_a_cluster(queries: dict[str, list[Node]]):
    """There as well: "only SELECT, UPDATE, or DELETE common table expressions may be router planned". Others are read
    to the coordinator first and sent to every node then, which all commit in two phases.
    """
    both = {
        name
        for name, found in queries.items()
        if any(one["commandType"] == _INSERT for one in found) and len(found) > 1
        if any(node["kind"] == "COMMONTABLEEXPR" for node in _nodes(found))
    }
    assert both == queries.keys() - _alone(queries).keys() != set()


def test_what_a_write_reads_is_of_a_table_or_a_function(queries: dict[str, list[Node]]):
    """There as well: a sub-select that is neither is read to the coordinator first, and sent to every node then."""
    for name, query in _writes(queries, "2", "4"):
        for source in [one["subquery"] for one in query["rtable"] if one["rtekind"] == "1"]:
            assert any(one["rtekind"] in {"0", "3"} for one in source["rtable"]), name


def test_a_conflict_is_one_of_a_key_with_the_owner_and_sets_what_was_sent(
    queries: dict[str, list[Node]], functions: Functions
):
    """There as well, ErrorIfOnConflictNotSupported: "functions used in the DO UPDATE SET clause of INSERTs on
    distributed tables must be marked IMMUTABLE", and the distribution column may not be set.
    """
    seen = 0
    for name, query in _writes(queries, _INSERT):
        conflict = query["onConflict"]
        if conflict == "<>":
            continue
        seen += 1
        assert functions.kinds(conflict) <= {"i"}, name
        set_ = conflict["onConflictSet"] if isinstance(conflict["onConflictSet"], list) else []
        assert all(entry["resname"] != "user_id" for entry in set_), name
    assert seen > 3


def test_a_query_inside_another_calls_no_volatile_function(queries: dict[str, list[Node]], functions: Functions):
    """There as well: "Router planner doesn't support VOLATILE functions in common table expressions". The coordinator
    then asks for the inner query first, and sends what it has got.
    """
    for name, found in queries.items():
        for node in _nodes(found):
            if node["kind"] == "COMMONTABLEEXPR":
                assert "v" not in functions.kinds(node), name


@pytest.fixture(scope="module")
async def owners(superuser: asyncpg.Connection[asyncpg.Record]) -> dict[int, int]:
    """By table, the number of its owner's column."""
    rows = await superuser.fetch(
        "SELECT attrelid::oid, attnum FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
        " WHERE relnamespace = 'taskward'::regnamespace AND relkind = 'r' AND attname = 'user_id'"
    )
    return dict(tuple(row) for row in rows)


def test_every_table_that_is_read_or_changed_is_of_one_owner(queries: dict[str, list[Node]], owners: dict[int, int]):
    """`executor/multi_server_executor.c`: "the query contains a join that requires repartitioning". Here each is
    compared with the owner who is named, from which the coordinator takes the one shard (`planner/shard_pruning.c`).
    """
    seen = 0
    for name, found in queries.items():
        for query in found:
            bound = {var for node in _nodes(query["jointree"]) for var in _bound(node)}
            entries = query["rtable"] if isinstance(query["rtable"], list) else [query["rtable"]]
            for number, entry in enumerate(entries, 1):
                inserted = query["commandType"] == _INSERT and query["resultRelation"] == str(number)
                # What a conflict excluded is of another kind.
                if entry == "<>" or entry.get("relkind") != "r" or int(entry["relid"]) not in owners or inserted:
                    continue
                seen += 1
                assert (number, owners[int(entry["relid"])]) in bound, name
    assert seen > 50


def _bound(node: Node) -> Iterator[tuple[int, int]]:
    """The column that a node compares for equality with what is sent."""
    if node["kind"] != "OPEXPR" or node["opno"] != _TEXT_IS:
        return
    sides = [side["arg"] if side["kind"] == "RELABELTYPE" else side for side in node["args"]]
    for one, other in (sides, sides[::-1]):
        if one["kind"] == "VAR" and other["kind"] in {"PARAM", "CONST"}:
            yield int(one["varno"]), int(one["varattno"])


async def test_the_probes_are_asked_beside_no_table(
    superuser: asyncpg.Connection[asyncpg.Record], queries: dict[str, list[Node]]
):
    """A query of a distributed table runs on the node of its rows, and so would a probe in it, which would see no more
    than that node. They run as another role, and so not where the transaction has written (`connection/
    placement_connection.c`: "cannot perform query on placements that were modified in this transaction by a different
    user"); see `storage/probing.py`.
    """
    probes = {
        row[0] for row in await superuser.fetch("SELECT oid FROM pg_proc WHERE pronamespace = 'taskward'::regnamespace")
    }
    asking = {name: found for name, found in queries.items() if probes & _called(found)}
    for name, found in asking.items():
        assert not any(node["kind"] == "RANGETBLENTRY" and node["rtekind"] == "0" for node in _nodes(found)), name
    assert len(asking) == len(probes) > 1


async def test_policies_have_no_sub_select(superuser: asyncpg.Connection[asyncpg.Record]):
    """Citus 13.2.2 refuses what reads such a table: "unexpected non-SELECT command in SubLink"."""
    rows = await superuser.fetch("SELECT polqual::text, polwithcheck::text FROM pg_policy")
    assert len(rows) > len({"owner", "probe"})
    for row in rows:
        assert not any(node["kind"] == "SUBLINK" for tree in row if tree for node in _nodes(_parse(tree)))


async def test_every_key_has_the_owner(superuser: asyncpg.Connection[asyncpg.Record]):
    """`commands/create_distributed_table.c` and `commands/foreign_constraint.c`: "Distributed relations must include
    the distribution column in unique and primary key constraints", and in foreign keys.
    """
    rows = await superuser.fetch(
        "SELECT c.conname, (SELECT attname FROM pg_attribute WHERE attrelid = c.conrelid AND attnum = ANY (c.conkey)"
        " AND attname = 'user_id') AS owner FROM pg_constraint c"
        " WHERE c.connamespace = 'taskward'::regnamespace AND c.contype IN ('p', 'u', 'f', 'x')"
        " AND c.conrelid <> 'taskward.alembic_version'::regclass"
    )
    assert {row["conname"] for row in rows if row["owner"] is None} == set()
    indexes = await superuser.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index"
        " WHERE indisunique AND indrelid::regclass::text LIKE 'taskward.%'"
    )
    without = {row["name"] for row in indexes if "(user_id" not in row["definition"]}
    assert without == {"taskward.alembic_version_pkc"}


async def test_there_is_nothing_that_a_distributed_table_cannot_have(superuser: asyncpg.Connection[asyncpg.Record]):
    """`commands/trigger.c`: "triggers are not supported on distributed tables". Views, sequences and inheritance would
    need care that nobody has taken.
    """
    kinds = await superuser.fetch("SELECT DISTINCT relkind FROM pg_class WHERE relnamespace = 'taskward'::regnamespace")
    assert {row["relkind"] for row in kinds} == {b"r", b"i"}
    triggers = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'taskward.%'"
    assert await superuser.fetchval(triggers) == 0


# Each rule is broken once, by a statement of its own.

_ACCOUNT, _TASK = "UPDATE taskward.account SET", "UPDATE taskward.task SET"
_MADE = "INSERT INTO taskward.account (user_id, clock) VALUES ('a', 1) ON CONFLICT"
_GONE = "INSERT INTO taskward.tombstone (user_id, kind, id, version)"
_RETURNS, _WRITES = (
    test_what_is_returned_calls_immutable_functions_only,
    (test_what_is_written_calls_no_volatile_function_and_no_stable_one_with_a_column),
)
BROKEN: tuple[tuple[Callable[..., Any], str, str | None], ...] = (
    (_RETURNS, f"{_ACCOUNT} clock = 1 WHERE user_id = 'a' RETURNING to_json(epoch)", "in the RETURNING clause"),
    (_RETURNS, f"{_ACCOUNT} clock = 1 WHERE user_id = 'a' RETURNING now()", "in the RETURNING clause"),
    (_RETURNS, f"{_ACCOUNT} clock = 1 WHERE user_id = 'a' RETURNING current_date", "in the RETURNING clause"),
    (_RETURNS, f"{_ACCOUNT} clock = 1 WHERE user_id = 'a' RETURNING created_at::text", "in the RETURNING clause"),
    (_RETURNS, "DELETE FROM taskward.account WHERE user_id = 'a' RETURNING now()", "in the RETURNING clause"),
    (_WRITES, f"{_ACCOUNT} trashed_at = clock_timestamp() WHERE user_id = 'a'", "must not be VOLATILE"),
    (_WRITES, f"{_TASK} due_at = due_at + INTERVAL '1 day' WHERE user_id = 'a'", "cannot be called with column"),
    (_WRITES, f"{_TASK} title = created_at::text WHERE user_id = 'a'", "cannot be called with column"),
    (_WRITES, f"{_TASK} due_at = CASE WHEN completed THEN now() END WHERE user_id = 'a'", "in CASE or COALESCE"),
    (_WRITES, f"{_TASK} due_at = coalesce(due_at, now()) WHERE user_id = 'a'", "in CASE or COALESCE"),
    (
        test_an_insert_has_no_sub_select,
        "INSERT INTO taskward.account (user_id, clock) VALUES ('a', (SELECT 1))",
        "subqueries are not supported within INSERT",
    ),
    (
        test_an_insert_of_a_select_reads_the_owner_of_a_table_and_returns_nothing,
        f"{_GONE} SELECT 'a' AS user_id, 'task', gen_random_uuid(), n FROM generate_series(1, 2) n",
        "COPY FROM not supported with row-level security",
    ),
    (
        test_a_conflict_is_one_of_a_key_with_the_owner_and_sets_what_was_sent,
        f"{_MADE} (user_id) DO UPDATE SET created_at = now()",
        "must be marked IMMUTABLE",
    ),
    (
        test_a_conflict_is_one_of_a_key_with_the_owner_and_sets_what_was_sent,
        f"{_MADE} (user_id) DO UPDATE SET user_id = 'b'",
        "modifying the partition value of rows is not allowed",
    ),
    (
        test_a_query_inside_another_calls_no_volatile_function,
        f"WITH made AS (SELECT gen_random_uuid() AS id) {_TASK} next_id = made.id FROM made WHERE user_id = 'a'",
        None,
    ),
    (
        test_every_table_that_is_read_or_changed_is_of_one_owner,
        "SELECT t.id FROM taskward.task t JOIN taskward.list l ON l.id = t.list_id",
        "the query contains a join that requires repartitioning",
    ),
    (
        test_the_probes_are_asked_beside_no_table,
        "SELECT taskward.task_ids_in_use(ARRAY[id]) FROM taskward.task WHERE user_id = 'a'",
        "cannot execute a distributed query from a query on a shard",
    ),
)
"""What Citus says of each; None where it takes it and asks twice."""


@pytest.fixture
def facts(
    superuser: asyncpg.Connection[asyncpg.Record],
    queries: dict[str, list[Node]],
    functions: Functions,
    owners: dict[int, int],
) -> dict[str, Any]:
    """What rules ask for, by name."""
    return {"superuser": superuser, "queries": queries, "functions": functions, "owners": owners}


@pytest.mark.parametrize(("rule", "sql"), [broken[:2] for broken in BROKEN], ids=[broken[1] for broken in BROKEN])
async def test_each_rule_sees_a_statement_that_breaks_it(facts: dict[str, Any], rule: Callable[..., Any], sql: str):
    given = {**facts, "queries": {"broken": await _understood(facts["superuser"], sql), **facts["queries"]}}
    with pytest.raises(AssertionError, match="broken"):
        found = rule(**{name: given[name] for name in signature(rule).parameters})
        if found is not None:
            await found


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (test_policies_have_no_sub_select, "CREATE POLICY other ON taskward.account USING (user_id IN (SELECT 'a'))"),
        (test_every_key_has_the_owner, "ALTER TABLE taskward.task ADD CONSTRAINT other UNIQUE (id)"),
        (test_every_key_has_the_owner, "CREATE UNIQUE INDEX other ON taskward.task (id)"),
        (
            test_there_is_nothing_that_a_distributed_table_cannot_have,
            "CREATE TRIGGER other BEFORE UPDATE ON taskward.task EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ),
        (test_there_is_nothing_that_a_distributed_table_cannot_have, "CREATE VIEW taskward.other AS SELECT 1"),
        (test_there_is_nothing_that_a_distributed_table_cannot_have, "CREATE SEQUENCE taskward.other"),
    ],
)
async def test_each_rule_sees_a_schema_that_breaks_it(
    superuser: asyncpg.Connection[asyncpg.Record], rule: Callable[..., Any], change: str
):
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute(change)
        with pytest.raises(AssertionError):
            await rule(superuser)
    finally:
        await transaction.rollback()

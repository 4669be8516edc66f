"""What PostgreSQL does for the statements of requests: it goes by the index that is meant to the caller's rows only."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from taskward.identity import Owner
from taskward.storage.compiling import Statement
from taskward.storage.quoting import quote_literal
from taskward.storage.roles import RoleNames
from taskward.storage.session import Session
from taskward.tasks import statements, store
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.search import searchable
from taskward.tasks.table import VERSIONS_OF_BLOCK
from tests.citus import on_one_machine
from tests.clusters import Cluster
from tests.databases import connected, name_of, opened, write_task
from tests.sizes import sized

pytestmark = on_one_machine("a coordinator's plan says of its nodes' plans nothing but where they are")
MINE, THEIRS = 1500, 10_000
# As in life there are many users; of two, each has half of all tasks to a plan that is made for anybody.
OTHERS, OF_OTHERS = 60, 120
IN_LIST, BELOW = 60, 40


class Data(NamedTuple):
    """A database with the tasks of two users."""

    url: str
    user_id: str
    ids: list[UUID]
    list_id: UUID
    parent_id: UUID


async def write_tasks(connection: Any, user_id: str, count: int) -> tuple[list[UUID], UUID]:
    ids, list_id = [uuid7() for _ in range(count)], uuid7()
    await connection.execute(
        "INSERT INTO taskward.account (user_id, clock, tasks, lists) VALUES ($1, $2, $2, 1)", user_id, count
    )
    await connection.execute(
        "INSERT INTO taskward.list (user_id, id, name, version) VALUES ($1, $2, 'x', $3)", user_id, list_id, count + 1
    )
    rows = []
    for number, task_id in enumerate(ids):
        title = f"Task {number}"
        done = number % 20 != 0
        in_list = list_id if number % (count // IN_LIST) == 1 else None
        parent = ids[0] if 0 < number <= BELOW else None
        now = datetime.now(UTC)
        rows.append(
            (user_id, task_id, title, searchable(title), done, now if done else None, in_list, parent, number + 1)
        )
    columns = ["user_id", "id", "title", "folded_title", "completed", "completed_at", "list_id", "parent_id", "version"]
    await connection.copy_records_to_table("task", schema_name="taskward", columns=columns, records=rows)
    return ids, list_id


@pytest.fixture
async def data(new_database: str, cluster: Cluster) -> Data:
    user_id = f"alice-{secrets.token_hex(4)}"
    async with connected(cluster.url(name_of(new_database), superuser=True)) as connection:
        await write_tasks(connection, f"bob-{secrets.token_hex(4)}", THEIRS)
        for number in range(OTHERS):
            await write_tasks(connection, f"user-{number}", OF_OTHERS)
        ids, list_id = await write_tasks(connection, user_id, MINE)
        await connection.execute("ANALYZE")
    return Data(new_database, user_id, ids, list_id, ids[0])


@pytest.fixture
async def session(data: Data) -> AsyncIterator[Session]:
    """As a request has it: the requests' role, with the owner set."""
    async with opened(data.url) as database, database.session(Owner(data.user_id)) as session:
        yield session


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, list | tuple):
        return quote_literal("{" + ",".join(f'"{item}"' for item in value) + "}")
    return quote_literal(value.isoformat() if isinstance(value, date) else str(value))


async def explain(
    session: Session, statement: Statement, user_id: str, parameters: dict[str, Any], *, mode: str
) -> dict[str, Any]:
    """The plan of a statement that was prepared, as asyncpg prepares all of them, and its actual rows."""
    connection = await session._begun()
    await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
    await connection.execute(f"PREPARE explained AS {statement.sql}")
    arguments = ", ".join(literal(value) for value in statement.arguments(user_id, parameters))
    try:
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE explained({arguments})")
    finally:
        await connection.execute("DEALLOCATE explained")
    return json.loads(rows[0][0])[0]["Plan"]  # type: ignore[no-any-return]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def brief(plan: dict[str, Any]) -> str:
    names = ("Node Type", "Index Name", "Index Cond", "Filter", "Actual Rows", "Rows Removed by Filter")
    return "\n".join(str([node[name] for name in names if name in node]) for node in nodes(plan))


def assert_only(plan: dict[str, Any], index: str | None, most: int) -> None:
    """Check that the tasks are read by one index, and no more of them than the caller has.

    Args:
        index: None where all of the caller's are read, for which any will do that is by user.
    """
    used = {node["Index Name"] for node in nodes(plan) if node.get("Index Name", "").startswith("task")}
    assert len(used) == 1, brief(plan)
    assert index in {None, *used}, brief(plan)
    scans = [node for node in nodes(plan) if "Scan" in node["Node Type"] and node.get("Relation Name") == "task"]
    scans += [node for node in nodes(plan) if node["Node Type"] == "Bitmap Index Scan"]
    assert scans
    for node in scans:
        looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        looked_at += node.get("Rows Removed by Index Recheck", 0)
        assert looked_at * node["Actual Loops"] <= most, brief(plan)
        assert "user_id" in node.get("Index Cond", node.get("Recheck Cond", "")), brief(plan)


LISTINGS: dict[str, tuple[dict[str, Any], str | None, int]] = {
    "the first page": ({}, "task_pkey", 51),
    "a page from a cursor on": ({"cursor": "…"}, "task_pkey", 51),
    "oldest first": ({"sort": "id"}, "task_pkey", 51),
    "completed": ({"completed": "true"}, "task_pkey", 60),
    "open": ({"completed": "false"}, "task_open", 51),
    "open, from a cursor on": ({"completed": "false", "cursor": "…"}, "task_open", 51),
    "of a list": ({"list_id": "list"}, "task_of_list", IN_LIST + 1),
    "of a list by position": ({"list_id": "list", "sort": "position"}, "task_of_list", IN_LIST + 1),
    "below a task": ({"parent_id": "parent"}, "task_children", BELOW),
    "by title": ({"sort": "title"}, None, MINE),
    "searched": ({"q": "nothing"}, None, MINE),
    "due": ({"due_before": "2026-01-10"}, None, MINE),
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_listings_go_by_their_index_to_the_callers_rows(session: Session, data: Data, mode: str):
    for name, (given, index, most) in LISTINGS.items():
        values = {**given}
        if "list_id" in values:
            values["list_id"] = str(data.list_id)
        if "parent_id" in values:
            values["parent_id"] = str(data.parent_id)
        if "cursor" in values:
            del values["cursor"]
            first = listing(TaskFilters.model_validate(values))
            values["cursor"] = first.next_cursor(data.ids[MINE // 2])
        wanted = listing(TaskFilters.model_validate(values))
        parameters = {**wanted.parameters, "most_each": 2**62}
        plan = await explain(session, wanted.statement, data.user_id, parameters, mode=mode)
        try:
            assert_only(plan, index, most)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_one_task_is_read_and_written_by_its_key(session: Session, data: Data, mode: str):
    task_id = data.ids[7]
    change = {"id": task_id, "new_title": "x", "new_folded_title": " x ", "versions": [8]}
    asked: list[tuple[Statement, dict[str, Any], int]] = [
        (store._get(), {"id": task_id}, 1),
        (store._update(("title",), False), change, 1),
        (store._update(("title",), True), change, 1),
        (store._toggle(False), {"id": task_id}, 1),
        (statements.read_rows(), {"ids": data.ids[:3]}, 3),
        (statements.delete_rows(), {"ids": [uuid7()]}, 1),
    ]
    for statement, parameters, most in asked:
        plan = await explain(session, statement, data.user_id, parameters, mode=mode)
        assert_only(plan, "task_pkey", most)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_trees_and_siblings_are_read_without_a_look_at_others(session: Session, data: Data, mode: str):
    asked: list[tuple[Statement, dict[str, Any], int]] = [
        (statements.load_with_subtasks(), {"ids": [data.parent_id]}, MINE),
        (statements.load_ancestors(), {"ids": [data.ids[BELOW]]}, MINE),
        (statements.load_siblings(True, False), {"ids": [], "list_id": data.list_id}, IN_LIST + 1),
        (statements.load_siblings(False, True), {"ids": [], "parent_id": data.parent_id}, BELOW),
        (statements.tags_in_use(), {}, MINE),
    ]
    for statement, parameters, most in asked:
        plan = await explain(session, statement, data.user_id, parameters, mode=mode)
        for node in nodes(plan):
            if node.get("Relation Name") == "task" and "Scan" in node["Node Type"]:
                assert node["Node Type"] != "Seq Scan", brief(plan)
                looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
                assert looked_at * node["Actual Loops"] <= most, node


@pytest.mark.long
@pytest.mark.parametrize("is_known", [True, False], ids=["with statistics", "without"])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_what_has_changed_is_read_a_block_of_versions_at_a_time(
    data: Data, cluster: Cluster, mode: str, is_known: bool
):
    user_id, blocks = f"carol-{secrets.token_hex(4)}", 5
    async with connected(cluster.url(name_of(data.url), superuser=True)) as connection:
        await write_tasks(connection, user_id, blocks * VERSIONS_OF_BLOCK)
        if is_known:
            await connection.execute("ANALYZE")
    async with opened(data.url) as database, database.session(Owner(user_id)) as session:
        for after in (0, 1, VERSIONS_OF_BLOCK - 1, VERSIONS_OF_BLOCK, blocks * VERSIONS_OF_BLOCK - 10):
            parameters = {"after": after, "rows": 200, "most": 2**62}
            plan = await explain(session, statements.export_changed(), user_id, parameters, mode=mode)
            # Of the block that the version is in, there may be none left, and of the next no more than are wanted.
            assert_only(plan, "task_version_block", 2 * VERSIONS_OF_BLOCK)
            page = await session.fetch(statements.export_changed(), **parameters)
            last = min(after + 200, blocks * VERSIONS_OF_BLOCK)
            assert [row["version"] for row in page] == list(range(after + 1, last + 1))


async def test_most_changes_of_a_task_touch_no_index(new_database: str):
    tasks, changes = 100, sized(500, 5000)
    async with opened(new_database, pool_size=1) as database:
        ids = [await write_task(database, "alice") for _ in range(tasks)]
        for number in range(changes):
            async with database.session(Owner("alice")) as session:
                await store.TaskStore(session).update(ids[number * 7919 % tasks], {"title": f"Task {number}"}, None)
        async with database.session(Owner("alice")) as session:
            await (await session._begun()).execute("SELECT pg_stat_force_next_flush()")
    async with connected(new_database) as connection:
        counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'taskward.task'::regclass"
        row = await connection.fetchrow(counted)
    assert row is not None
    assert row["n_tup_upd"] == changes
    # In each block of versions the first change of a task does.
    assert row["n_tup_hot_upd"] > 0.85 * changes


async def test_the_plans_are_those_of_the_requests_role(session: Session, data: Data):
    row = await (await session._begun()).fetchrow(
        "SELECT current_user, current_setting('taskward.user_id') AS owner, count(*) FROM taskward.task"
    )
    assert row is not None
    assert row["current_user"].startswith("taskward_requests_")
    assert (row["owner"], row["count"]) == (data.user_id, MINE)


@pytest.mark.parametrize("table", ["task", "list"])
async def test_only_the_probe_goes_by_an_index_that_has_no_user(data: Data, cluster: Cluster, table: str):
    async with connected(cluster.url(name_of(data.url), superuser=True)) as connection:
        function = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE proname = $1", f"{table}_ids_in_use")
        await connection.execute("SET enable_seqscan = off")
        await connection.execute(f"SET ROLE {RoleNames.of(name_of(data.url)).probe}")
        text = function.replace("$1", f"ARRAY['{uuid7()}', '{uuid7()}']")
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}")
        plan = json.loads(rows[0][0])[0]["Plan"]
        assert {node["Index Name"] for node in nodes(plan) if "Index Name" in node} == {f"{table}_id"}
        indexes = await connection.fetch("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'taskward'")
        without = {row["indexname"] for row in indexes if "(user_id" not in row["indexdef"]}
        assert without == {"task_id", "list_id", "alembic_version_pkc"}

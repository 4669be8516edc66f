"""Statements and policies keep users apart each by itself, and the service does not start with one of them gone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskward.errors import Invalid
from taskward.identity import Owner
from taskward.lists import store as list_store
from taskward.lists.errors import ListForbidden, ListNotFound
from taskward.lists.schemas import ListCreate
from taskward.lists.store import ListStore
from taskward.storage.database import Database, UnsafeRoleError
from taskward.storage.dsn import parse_address
from taskward.storage.pool import Pool
from taskward.storage.quoting import quote_identifier
from taskward.storage.roles import _OWNER_ONLY, RoleNames
from taskward.storage.session import Session
from taskward.storage.tables import OwnedTable, probed_tables
from taskward.tags import store as tag_store
from taskward.tags.errors import TagNotFound
from taskward.tags.store import TagStore
from taskward.tasks import statements, store
from taskward.tasks.errors import TaskForbidden, TaskNotFound
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.schemas import TaskCreate
from taskward.tasks.store import TaskStore
from tests.citus import CITUS_URL, on_one_machine
from tests.clusters import Cluster
from tests.databases import Superuser, execute, listed, name_of, opened, rows_of, write_task

TABLES = sorted(table.name for table in OwnedTable.metadata.tables.values())
PROBED = probed_tables()
UPDATES_ONLY = (
    "DROP POLICY owner ON taskward.{0};"
    f"CREATE POLICY owner ON taskward.{{0}} FOR UPDATE USING {_OWNER_ONLY} WITH CHECK {_OWNER_ONLY}"
)


async def test_policies_alone_keep_a_statement_that_forgot_its_owner_apart(database: Database, two_users: Any):
    carol, _ = two_users
    async with database.session(Owner(carol)) as session:
        for table in ("account", "task"):
            rows = await (await session._begun()).fetch(f"SELECT user_id FROM taskward.{table}")
            assert [row["user_id"] for row in rows] == [carol]
        assert await (await session._begun()).execute("UPDATE taskward.task SET title = 'mine'") == "UPDATE 1"
        assert await (await session._begun()).execute("DELETE FROM taskward.task") == "DELETE 1"


Attempt = tuple[Callable[[Session], Any], str, tuple[Any, ...]]
"""A store, its method and the arguments."""


async def tried(session: Session, attempt: Attempt) -> Any:
    store_of, method, arguments = attempt
    return await getattr(store_of(session), method)(*arguments)


def attempts(task: UUID, made: UUID, tag: str) -> Iterator[tuple[type[Exception], Attempt]]:
    """Whatever can be tried with a stranger's task, list and tag, and what it must end with."""
    for versions in (None, [1]):
        for change in ({}, {"title": "x"}, {"completed": True}, {"tags": ["x"]}, {"parent_id": None}):
            yield TaskForbidden, (TaskStore, "update", (task, change, versions))
        for method in ("toggle", "trash", "restore", "erase"):
            yield TaskForbidden, (TaskStore, method, (task, versions))
        yield TaskForbidden, (TaskStore, "move", (task, {}, None, versions))
        for change in ({}, {"name": "x"}):
            yield ListForbidden, (ListStore, "update", (made, change, versions))
        yield ListForbidden, (ListStore, "move", (made, None, versions))
        for tasks in (None, "trash", "keep"):
            yield ListForbidden, (ListStore, "remove", (made, tasks, versions))
    yield TaskForbidden, (TaskStore, "get", (task,))
    yield ListForbidden, (ListStore, "get", (made,))
    yield TagNotFound, (TagStore, "remove", (tag,))
    for name in (tag, "taken"):
        yield TagNotFound, (TagStore, "rename", (tag, name))


def references(mine: UUID, my_list: UUID, task: UUID, made: UUID) -> Iterator[Attempt]:
    """Whatever can be tried to put a task of one's own under a stranger's or into a stranger's list."""
    both: tuple[dict[str, Any], ...] = {"list_id": made}, {"parent_id": task}
    for reference in both:
        yield TaskStore, "add", (TaskCreate(title="x", **reference),)
        yield TaskStore, "add", (TaskCreate(title="x", tags=["x"], **reference),)
        yield TaskStore, "update", (mine, reference, None)
        yield TaskStore, "move", (mine, reference, None, None)
    yield TaskStore, "move", (mine, {}, task, None)
    yield ListStore, "move", (my_list, made, None)


async def furnished(database: Database, owner: Owner) -> tuple[UUID, UUID, UUID]:
    """A task with a tag in a list, a part of it, and the list, made past HTTP."""
    new_list = ListCreate(name="Secret list")
    async with database.session(owner) as session:
        await ListStore(session).add(new_list)
        task = TaskCreate(title="Secret plan", list_id=new_list.id, tags=["secret"])
        await TaskStore(session).add(task)
        part = TaskCreate(title="Secret step", parent_id=task.id)
        await TaskStore(session).add(part)
    return task.id, part.id, new_list.id


async def test_statements_alone_keep_users_apart_without_policies(
    cluster: Cluster, template: str, database: Database, superuser: Superuser
):
    carol, dave = Owner(f"carol-{secrets.token_hex(4)}"), Owner(f"dave-{secrets.token_hex(4)}")
    theirs, their_part, their_list = await furnished(database, dave)
    mine = await write_task(database, carol.user_id)
    async with database.session(carol) as session:
        my_list = (await ListStore(session).add(ListCreate(name="mine")))["id"]
    before = await rows_of(superuser, dave.user_id)
    pool = Pool(parse_address(cluster.url(template, superuser=True)), 1, None, is_distributed=CITUS_URL is not None)
    async with Session(pool, carol) as session:
        assert await (await session._begun()).fetchval("SELECT count(*) FROM taskward.task") >= 2
        for _ in range(2):
            assert await listed(session) == [mine]
            counted = listing(TaskFilters.model_validate({"count": "true", "sort": "due"}))
            assert await TaskStore(session).count(counted) == 1
            assert [row["id"] for row in await ListStore(session).list()] == [my_list]
            assert [row["tag"] for row in await TagStore(session).list()] == [None]
            for task in (theirs, their_part):
                for problem, attempt in attempts(task, their_list, "secret"):
                    with pytest.raises(problem):
                        await tried(session, attempt)
    for attempt in references(mine, my_list, theirs, their_list):
        with pytest.raises(Invalid):
            async with Session(pool, carol) as session:
                await tried(session, attempt)
    async with Session(pool, carol) as session:
        # What works, works on one's own alone, although ids and tags are the same.
        await TaskStore(session).add(TaskCreate(title="mine", id=theirs, tags=["secret"]))
        await ListStore(session).add(ListCreate(name="mine", id=their_list))
        await TagStore(session).rename("secret", "public")
        await TaskStore(session).update(theirs, {"list_id": their_list, "tags": ["secret"]}, None)
        await TaskStore(session).trash(theirs, None)
        await TaskStore(session).restore(theirs, None)
        await ListStore(session).move(their_list, None, None)
        await ListStore(session).remove(their_list, "trash", None)
        await TagStore(session).remove("secret")
        await TaskStore(session).erase(theirs, None)
    await pool.close()
    assert await rows_of(superuser, dave.user_id) == before


async def test_what_becomes_ones_own_while_it_is_looked_for_is_not_a_strangers(database: Database):
    carol = Owner(f"carol-{secrets.token_hex(4)}")
    new_task, new_list = TaskCreate(title="mine"), ListCreate(name="mine")

    class LateSession(Session):
        """One for which what it does not find is made at once, by another."""

        async def fetch(self, statement: Any, **parameters: Any) -> Any:
            rows = await super().fetch(statement, **parameters)
            if not rows:
                async with database.session(carol) as other:
                    if parameters["id"] == new_task.id:
                        await TaskStore(other).add(new_task)
                    else:
                        await ListStore(other).add(new_list)
            return rows

    async with LateSession(database.pool, carol) as late:
        with pytest.raises(TaskNotFound):
            await TaskStore(late).get(new_task.id)
        with pytest.raises(ListNotFound):
            await ListStore(late).get(new_list.id)
    async with database.session(carol) as session:
        assert (await TaskStore(session).get(new_task.id))["version"] == 1
        assert (await ListStore(session).get(new_list.id))["version"] == 2


async def alter(cluster: Cluster, url: str, *statements: str) -> None:
    """Change the schema, on which requests have no right where their login is a role of its own."""
    await execute(cluster.url(name_of(url), superuser=True), *statements)


# A database for each, and what holds for one table by default holds for every one in CI.
@pytest.mark.parametrize(
    "table", [pytest.param(table, marks=() if table == "task" else pytest.mark.long) for table in TABLES]
)
@pytest.mark.parametrize(
    "change",
    [
        "DROP POLICY owner ON taskward.{0}",
        "ALTER TABLE taskward.{0} DISABLE ROW LEVEL SECURITY",
        pytest.param("ALTER TABLE taskward.{0} NO FORCE ROW LEVEL SECURITY", marks=on_one_machine("nobody is forced")),
        "ALTER POLICY owner ON taskward.{0} USING (true)",
        "ALTER POLICY owner ON taskward.{0} WITH CHECK (true)",
        "CREATE POLICY support ON taskward.{0} FOR SELECT USING (true)",
        pytest.param(UPDATES_ONLY, id="UPDATES_ONLY"),
        "ALTER POLICY owner ON taskward.{0} RENAME TO owners",
        "CREATE TABLE taskward.{0}_note (LIKE taskward.{0})",
        "CREATE TABLE taskward.{0}_note (LIKE taskward.{0}) PARTITION BY LIST (user_id)",
    ],
)
async def test_without_its_row_security_the_service_does_not_start(
    cluster: Cluster, new_database: str, table: str, change: str
):
    await alter(cluster, new_database, *change.format(table).split(";"))
    with pytest.raises(UnsafeRoleError, match=f"Row-level security is not in force on {table}(_note)?;"):
        async with opened(new_database):
            pass


@pytest.mark.parametrize("table", PROBED)
async def test_a_probe_policy_for_everybody_is_refused(cluster: Cluster, new_database: str, table: str):
    await alter(cluster, new_database, f"ALTER POLICY probe ON taskward.{table} TO PUBLIC")
    with pytest.raises(UnsafeRoleError, match=f"not in force on {table};"):
        async with opened(new_database):
            pass


@pytest.mark.parametrize("table", PROBED)
async def test_a_policy_by_which_the_probe_role_could_write_is_refused(cluster: Cluster, new_database: str, table: str):
    probe = quote_identifier(RoleNames.of(name_of(new_database)).probe)
    await alter(cluster, new_database, f"CREATE POLICY writes ON taskward.{table} FOR UPDATE TO {probe} USING (true)")
    with pytest.raises(UnsafeRoleError, match=f"not in force on {table};"):
        async with opened(new_database):
            pass


async def test_a_policy_that_only_takes_away_is_fine(cluster: Cluster, new_database: str):
    await alter(cluster, new_database, "CREATE POLICY night ON taskward.task AS RESTRICTIVE USING (true)")
    if CITUS_URL:
        # Citus 14.0 leaves AS RESTRICTIVE out for the nodes, which would show everybody's rows.
        with pytest.raises(UnsafeRoleError, match=r"on node .*: row-level security is not in force on .*task_\d"):
            async with opened(new_database):
                pass
        return
    async with opened(new_database):
        pass


@on_one_machine("a coordinator's plan says of its nodes' plans nothing but where they are")
async def test_reading_never_scans_the_table_with_a_generic_plan(cluster: Cluster, new_database: str):
    await execute(
        cluster.url(name_of(new_database), superuser=True),
        "INSERT INTO taskward.account (user_id, clock) SELECT 'u' || n, 100 FROM generate_series(1, 200) n",
        "INSERT INTO taskward.list (user_id, id, name, version) SELECT 'u' || n, gen_random_uuid(), 'l', v"
        " FROM generate_series(1, 200) n, generate_series(1, 20) v",
        "INSERT INTO taskward.task (user_id, id, title, folded_title, version) SELECT 'u' || n, gen_random_uuid(),"
        " 't', 't', v FROM generate_series(1, 200) n, generate_series(1, 100) v",
        "ANALYZE",
    )
    first = listing(TaskFilters())
    second = listing(TaskFilters(cursor=first.next_cursor(uuid4())))
    one, many = {"id": uuid4()}, {"ids": [uuid4()]}
    # By one id, by one owner, and what goes from task to task, which has more than one scan.
    found: dict[str, tuple[Any, dict[str, Any]]] = {
        "get": (store._get(), one),
        "list": (first.statement, {**first.parameters, "most_each": 2**62}),
        "next page": (second.statement, {**second.parameters, "most_each": 2**62}),
        "with subtasks": (statements.load_with_subtasks(), many),
        "ancestors": (statements.load_ancestors(), many),
        "siblings": (statements.load_siblings(None, True), {**many, "parent_id": uuid4()}),
        "tags in use": (statements.tags_in_use(), {}),
        "some": (statements.read_rows(), many),
        "tags": (tag_store._all(), {}),
        "one list": (list_store._get(), one),
        "lists": (list_store._all(), {}),
        "lists of a task": (statements.existing_lists(), many),
    }
    async with opened(new_database) as database:
        for number, (name, (statement, parameters)) in enumerate(found.items()):
            async with database.session(Owner("u1")) as session:
                connection = await session._begun()
                await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
                await connection.execute(f"PREPARE p{number} AS {statement.sql}")
                arguments = ", ".join(map(_literal, statement.arguments("u1", parameters)))
                explain = f"EXPLAIN (FORMAT JSON) EXECUTE p{number} ({arguments})"
                plan = json.loads(await connection.fetchval(explain))
                nodes = list(_nodes(plan[0]["Plan"]))
                scanned = [node["Node Type"] for node in nodes if node.get("Relation Name") in {"task", "list"}]
                assert scanned, name
                assert set(scanned) <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, name
                # By an index that begins with the owner, and by the owner.
                indexes = {node["Index Name"]: node["Index Cond"] for node in nodes if "Index Name" in node}
                owned = {
                    "task_pkey",
                    "task_children",
                    "task_of_list",
                    "task_open",
                    "task_version_block",
                    "list_pkey",
                    "account_pkey",
                }
                assert set(indexes) <= owned, name
                assert all("user_id = " in condition for condition in indexes.values()), (name, indexes)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]::uuid[]"
    return str(value) if isinstance(value, int) else f"'{value}'"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)

"""What PostgreSQL alone can do: pgbench with the service's own statements in the transactions that it runs them in."""

from __future__ import annotations

import json
from typing import Any

from bench.data import changed_title, new_task
from taskward.storage.compiling import Statement
from taskward.storage.quoting import quote_identifier, quote_literal
from taskward.storage.roles import RoleNames
from taskward.tasks import store
from taskward.tasks.filters import TaskFilters
from taskward.tasks.query import listing
from taskward.tasks.search import searchable

# pgbench draws a task; its id and owner are computed from its number, as `data.make` numbers them.
_TASK = "\\set k random(0, :tasks - 1)\n"
_USER = "('user-' || (:k::bigint % :users::bigint)::text)"
_ID = "(lpad(to_hex(:start::bigint + :k::bigint), 12, '0') || '70008000000000000000')"


def operations() -> dict[str, tuple[Statement, dict[str, Any]]]:
    """The statement of each operation, the very one of the service, and SQL for what its parameters are."""
    created, changed = json.loads(new_task(1)), json.loads(changed_title(1))
    new = {
        "id": "gen_random_uuid()",
        "title": quote_literal(created["title"]),
        "description": quote_literal(created["description"]),
        "completed": "false",
        "folded_title": quote_literal(searchable(created["title"])),
        "folded_description": quote_literal(searchable(created["description"])),
        "most": "100000",
    }
    title = changed["title"]
    new_title = {"new_title": quote_literal(title), "new_folded_title": quote_literal(searchable(title))}
    found = {
        "get": (store._get(), {"id": _ID}),  # noqa: SLF001 - the store hands rows out, and not its statements
        "unchanged": (store._account(), {}),  # noqa: SLF001
        "create": (store._add(()), new),  # noqa: SLF001
        "patch": (store._update(("title",), False), {"id": _ID, **new_title}),  # noqa: SLF001
        "complete": (store._toggle(False), {"id": _ID}),  # noqa: SLF001
    }
    for name, query in (("list", {}), ("filtered", {"completed": "false"})):
        wanted = listing(TaskFilters.model_validate(query))
        found[name] = wanted.statement, {**wanted.parameters, "most_each": "100000"}
    return found


def examples(users: int, start: int) -> dict[str, str]:
    """The statement of each operation about the first task."""
    seeds = {"k": 0, "users": users, "start": start}
    found = {}
    for name, (statement, values) in operations().items():
        sql = _filled(statement, values)
        for variable, value in seeds.items():
            sql = sql.replace(f":{variable}::", f"{value}::")
        found[name] = sql
    return found


def script(operation: str, database: str, *, writes: bool) -> str:
    """The transaction of an operation: what opens it in a message of its own, then its statement and its end."""
    statement, values = operations()[operation]
    role = quote_identifier(RoleNames.of(database).requests)
    access = "" if writes else " READ ONLY"
    opening = (
        f"\\startpipeline\nBEGIN ISOLATION LEVEL READ COMMITTED{access};\nSET LOCAL ROLE {role};\n"
        f"SELECT pg_catalog.set_config('taskward.user_id', {_USER}, true);\n\\endpipeline\n"
    )
    run = _filled(statement, values) + ";\n"
    ending = f"{run}COMMIT;\n" if writes else f"\\startpipeline\n{run}COMMIT;\n\\endpipeline\n"
    return _TASK + opening + ending


def _filled(statement: Statement, values: dict[str, Any]) -> str:
    sql = statement.sql
    arguments = statement.arguments(_USER, values)
    for number in range(len(arguments), 0, -1):
        sql = sql.replace(f"${number}::", f"{arguments[number - 1]}::")
    # pgbench takes a colon and letters for a variable, even within a string. PostgreSQL joins constants when it plans.
    return " ".join(sql.replace("HH24:MI:SS", 'HH24":"MI":"SS').replace('":null', "\":' || 'null").split())

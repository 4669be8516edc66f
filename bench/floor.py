"""What PostgreSQL alone can do: pgbench with the service's own statements in the transactions that it runs them in."""

from __future__ import annotations

from typing import Any

from bench.data import changed_title, new_task
from taskward.database.quoting import quote_identifier, quote_literal
from taskward.database.roles import RoleNames
from taskward.database.statements import OWNER, Statement
from taskward.tasks import query, store

# pgbench draws a task; its id and owner are computed from its number, as `data.make` numbers them.
_TASK = "\\set k random(0, :tasks - 1)\n"
_USER = "('user-' || lpad((:k::bigint % :users::bigint)::text, 5, '0'))"
_ID = "(lpad(to_hex(:start::bigint + :k::bigint), 12, '0') || '70008000000000000000')"


def operations() -> dict[str, tuple[Statement, dict[str, str]]]:
    """The statement of each operation and what its parameters are; private to the store, and the very ones."""
    rows = {"rows": "51"}
    new = {"id": "gen_random_uuid()", "title": quote_literal("Errand"), "description": quote_literal(new_task(1))}
    return {
        "get": (store._get(), {"id": _ID}),  # noqa: SLF001
        "list": (query._list_statement(None, False, False), rows),  # noqa: SLF001
        "filtered": (query._list_statement(False, False, False), rows),  # noqa: SLF001
        "unchanged": (store._account(), {}),  # noqa: SLF001
        "create": (store._add(), new | {"completed": "false"}),  # noqa: SLF001
        "patch": (store._update(("title",), False), {"id": _ID, "new_title": quote_literal(changed_title(1))}),  # noqa: SLF001
        "complete": (store._toggle(False), {"id": _ID}),  # noqa: SLF001
    }


def script(operation: str, database: str, *, writes: bool) -> str:
    """The transaction of an operation, in as many messages as the service takes for it."""
    statement, values = operations()[operation]
    role = quote_identifier(RoleNames.of(database).requests)
    access = "" if writes else " READ ONLY"
    opening = (
        f"\\startpipeline\nBEGIN ISOLATION LEVEL READ COMMITTED{access};\nSET LOCAL ROLE {role};\n"
        f"SELECT pg_catalog.set_config('taskward.user_id', {_USER}, true);\n\\endpipeline\n"
    )
    run = _filled(statement, values) + ";\n"
    # A read's transaction is ended on the way into the next one.
    ending = f"{run}COMMIT;\n" if writes else f"\\startpipeline\n{run}COMMIT;\n\\endpipeline\n"
    return _TASK + opening + ending


def _filled(statement: Statement, values: dict[str, str]) -> str:
    sql = statement.sql
    names: tuple[str, ...] = statement._names  # noqa: SLF001
    constants: Any = statement._constants  # noqa: SLF001
    for number in range(len(names), 0, -1):
        name = names[number - 1]
        value = _USER if name == OWNER.key else values.get(name) or str(constants[name])
        sql = sql.replace(f"${number}::", f"{value}::")
    # pgbench takes a colon and letters for a variable, even within a string.
    return " ".join(sql.replace("HH24:MI:SS", 'HH24":"MI":"SS').split())

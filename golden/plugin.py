"""Writes what the tests of one process compiled, what OpenAPI says, and who may do what in a migrated database."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import asyncpg
import pytest

FOLDER = Path(os.environ["GOLDEN"])
SEEN: dict[str, str] = {}

RIGHTS = """
SELECT 'table ' || c.relname || ' ' || coalesce(c.relacl::text, '') || ' rls ' || c.relrowsecurity || c.relforcerowsecurity
  || ' ' || coalesce(c.reloptions::text, '') FROM pg_class c WHERE c.relnamespace = 'taskward'::regnamespace
UNION ALL
SELECT 'column ' || c.relname || '.' || lpad(a.attnum::text, 3, '0') || ' ' || a.attname || ' '
  || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || ' '
  || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || ' ' || coalesce(a.attacl::text, '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  WHERE c.relnamespace = 'taskward'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'policy ' || polrelid::regclass || ' ' || polname || ' ' || polcmd::text || polpermissive || ' '
  || coalesce(polroles::regrole[]::text, '') || coalesce(pg_get_expr(polqual, polrelid), '') || ' '
  || coalesce(pg_get_expr(polwithcheck, polrelid), '') FROM pg_policy
UNION ALL
SELECT 'function ' || p.oid::regprocedure || ' ' || p.prosecdef || ' ' || r.rolname || ' ' || coalesce(p.proacl::text, '')
  || ' ' || p.prosrc FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE p.pronamespace = 'taskward'::regnamespace
UNION ALL
SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
  WHERE connamespace = 'taskward'::regnamespace
UNION ALL
SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'taskward'
UNION ALL
SELECT 'member ' || r.rolname || ' of ' || g.rolname || ' ' || m.admin_option FROM pg_auth_members m
  JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = m.roleid WHERE g.rolname LIKE 'taskward%'
UNION ALL
SELECT 'schema ' || nspname || ' ' || coalesce(nspacl::text, '') FROM pg_namespace WHERE nspname = 'taskward'
ORDER BY 1
"""


def pytest_configure(config: pytest.Config) -> None:
    from importlib import import_module

    for name in ("taskward.database.statements", "taskward.storage.compiling"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        init = module.Statement.__init__

        def remember(self, sql, *rest):  # type: ignore[no-untyped-def]
            SEEN[sql] = ""
            init(self, sql, *rest)

        module.Statement.__init__ = remember


@pytest.fixture(scope="session", autouse=True)
def _golden(app, cluster, template):  # type: ignore[no-untyped-def]
    yield
    FOLDER.mkdir(exist_ok=True)

    async def rights() -> list[str]:
        connection = await asyncpg.connect(cluster.url(template, superuser=True))
        rows = [row[0] for row in await connection.fetch(RIGHTS)]
        await connection.close()
        return rows

    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    (FOLDER / f"sql{worker}").write_text("\n".join(sorted(" ".join(sql.split()) for sql in SEEN)) + "\n")
    if worker in {"", "gw0"}:
        (FOLDER / "rights").write_text("\n".join(asyncio.run(rights())) + "\n")
        (FOLDER / "openapi.json").write_text(json.dumps(app.openapi(), indent=1) + "\n")

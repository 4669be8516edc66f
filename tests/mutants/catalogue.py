"""Every mutant: what is found in the source, and what is listed here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.mutants.kinds import kinds
from tests.mutants.nearest import IDENTITY, ISOLATION, KEY_SETS, REFUSING, WITHDRAWN
from tests.mutants.renaming import renaming
from tests.mutants.source import Edit, Module, Mutant, MutantError, Source, Span
from tests.mutants.times import times

_TABLES = "a table that has no owner to bind is refused as not bound, one of another schema as not understood"
_ALWAYS_TRUE = "it stands for what is always true; the rows are limited to the owner inside"
_LIMITED_OUTSIDE = (
    "the rows of what it finds are limited to the owner outside, and what they hang on is looked at in them"
)
_JOINED = "it is joined to the account by its owner, and that is limited"
EQUIVALENT: dict[str, str] = {
    "storage/scoping.py _check_name: {element.fullname} is not a table with an owner": _TABLES,
    "storage/scoping.py _check_name: {element.fullname} is not a table with an owner, if element.schema != SCHEMA": _TABLES,
    "storage/scoping.py _check_name: {element.fullname} is not a table with an owner, if _OWNER_COLUMN not in element.c": _TABLES,
    "storage/scoping.py _check_insert: rows inserted into {insert.table} are not the owner's, if insert._multi_values": (
        "several rows have no one value for the owner, so that it is not the owner's"
    ),
    "storage/database.py _check_nodes: Requests cannot run safely on node {node.name}:…": (
        "only a cluster has nodes, and there `tests/test_citus_doctor.py` notices"
    ),
    "storage/database.py _check_there: UnsafeRoleError": "the role is chosen with the same check; without both, it is noticed",
    "storage/roles.py choose_requests_role: UnsafeRoleError": "`open` makes the same check before; without both, it is noticed",
    "storage/database.py _check_there: The schema is not there; run: taskward migrate": (
        "there is no role to serve as then, and no version"
    ),
    'tasks/statements.py _export: OWNER in few = few.where(measured.c.before < bindparam("most", type_=BigInteger()), OWNER.is_not(None)), somebody\'s': _ALWAYS_TRUE,
    "tasks/statements.py load_ancestors: OWNER in return compile_statement(select(*(up.c[name] for name in names)).where(OWNER.is_not(None))), somebody's": _ALWAYS_TRUE,
    'tasks/statements.py change_many: OWNER in return compile_statement(select(func.count(changed.c.id).label("count")).where(OWNER.is_not(None))), somebody\'s': _ALWAYS_TRUE,
    'tags/store.py _get: OWNER in select(_json(_TAG, counted.c.tasks).label("tag"), (counted.c.used > 0).label("used")).where(OWNER.is_not(None)), somebody\'s': _ALWAYS_TRUE,
    'tags/counts.py _count: OWNER in return compile_statement(select(func.count(used.c.tag).label("tags")).where(OWNER.is_not(None))), somebody\'s': _ALWAYS_TRUE,
    "tasks/statements.py oldest_trash: _task.user_id == OWNER, dropped, no guard, no row security": (
        "it says only when the trash is looked at again, of which nobody is told"
    ),
    "lists/store.py _all: _task.user_id == OWNER, dropped, no guard, no row security": _LIMITED_OUTSIDE,
    "lists/store.py _all: *inside in .where(*inside), dropped, no guard, no row security": _LIMITED_OUTSIDE,
    "tasks/statements.py load_with_subtasks: child.c.user_id == OWNER, dropped, no guard, no row security": _LIMITED_OUTSIDE,
    'tasks/statements.py load_with_subtasks: *_MINE in tree = select(_task.id).where(*_MINE).cte("tree", recursive=True), dropped, no guard, no row security': _LIMITED_OUTSIDE,
    "lists/store.py _all: _list.user_id == OWNER, dropped, no guard, no row security": _JOINED,
    "lists/removal.py trash_tasks: parent.user_id == OWNER, dropped, no guard, no row security": (
        "somebody else's task of a parent's id can only begin a tree that hangs in another one, and of those the upper counts"
    ),
    "tags/store.py _all: _task.user_id == OWNER, dropped, no guard, no row security": _JOINED,
    "start checks not the policy's name": "a policy of another name is one of those that may not be there",
    "session: a closed connection is handed out": "what is tried first on it fails then, and is tried on another one",
}
"""Mutants that no test can notice by themselves, and why. A mutant that is noticed after all may not be here."""

_ROLES = "src/taskward/storage/roles.py"
_SESSION = "src/taskward/storage/session.py"
_QUOTING = "src/taskward/storage/quoting.py"
_POOL = "src/taskward/storage/pool.py"
_OPENING = "src/taskward/storage/leases.py"
_WIRE = "src/taskward/storage/wire.py"
_MIGRATE = "src/taskward/storage/migrate.py"
_COMPILING = "src/taskward/storage/compiling.py"
_SCOPING = "src/taskward/storage/scoping.py"
_CORE = "src/taskward/storage/migrations/versions/0001_core.py"
# Names `OWNER` to bind it, and has no statement of its own.
_COMPILING = "src/taskward/storage/compiling.py"
_NAMES_OWNER = re.compile(r"^from taskward\.storage\.scoping import .*\bOWNER\b", re.MULTILINE)
_OWNED_TABLES = re.compile(r"owned = \(([^)]*)\)")
_STORE = "src/taskward/tasks/store.py"
_LOADING = "src/taskward/tasks/loading.py"
_PAGES = "src/taskward/tasks/pages.py"
_ROUTES = "src/taskward/tasks/routes.py"

# The beginning of the columns of `task` that may be changed.

_CATALOG = "tests/test_row_security.py::"
_NO_GUARD = (
    Edit(_SCOPING, "if not any(_binds_owner(condition, source) for condition in conditions):", "if False:"),
    Edit(_COMPILING, "if OWNER.key not in names:", "if False:"),
)
_NOTHING_PUT_BACK = Edit(
    _MIGRATE, "            await protect(raw, names, citus.unprotected_shards(nodes), distributed=distributed)\n", ""
)
_STARTS_ANYHOW = Edit(
    _ROLES, "if tables := await unprotected(connection, names, distributed=distributed):", "if tables := []:"
)
_NO_POLICIES = (
    Edit(_CORE, '"".join(_POLICY.format(table=table) for table in owned)', '""'),
    _NOTHING_PUT_BACK,
    _STARTS_ANYHOW,
)


def _started(change: str) -> str:
    return f"tests/test_two_layers.py::test_without_its_row_security_the_service_does_not_start[{change}-task]"


def _drifted(change: str) -> str:
    return f"tests/test_migrate.py::test_rights_that_drifted_are_put_right[18-{change}]"


def catalogue(source: Source) -> list[Mutant]:
    """All mutants.

    Raises:
        MutantError: Two have one name, or `EQUIVALENT` has one that there is not.
    """
    mutants = [
        *_refusals(source),
        *_owners(source),
        *_policies(source),
        *_rights(),
        *_sessions(),
        *_answers(),
        *times(),
        *renaming(),
        *kinds(),
    ]
    names = [mutant.name for mutant in mutants]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise MutantError(f"several mutants have these names: {sorted(doubled)}")
    if stale := EQUIVALENT.keys() - set(names):
        raise MutantError(f"EQUIVALENT has mutants that there are not: {sorted(stale)}")
    return mutants


def _refusals(source: Source) -> Iterator[Mutant]:
    """Whatever refuses a token, a key, a statement, a role or a schema, found in the modules that do."""
    for path in sorted((source.root / "src/taskward/identity").glob("*.py")):
        module = Module(source, f"src/taskward/identity/{path.name}")
        for name, span in (*module.refusals(), *module.quiet_refusals(), *module.checks()):
            yield Mutant(name, (span,), next(tests for text, tests in IDENTITY.items() if text in name))
    for file, (exceptions, tests) in REFUSING.items():
        for name, span in Module(source, f"src/taskward/{file}").refusals(exceptions.__contains__):
            yield Mutant(name, (span,), tests)
    yield Mutant(
        "storage/scoping.py: what a function yields is not looked at",
        (
            Edit(
                _SCOPING,
                "for yielded in element.c if isinstance(element, TableValuedAlias) else ():",
                "for yielded in ():",
            ),
        ),
        ("tests/test_statements.py",),
    )
    yield Mutant(
        "storage/scoping.py: the names of what a function yields are not looked at",
        (Edit(_SCOPING, "    _check_name(yielded)\n", ""),),
        ("tests/test_statements.py",),
    )
    database = "src/taskward/storage/database.py"
    encoding = "if reason := await foreign_encoding(connection):"
    yield Mutant(
        "database: the encoding is looked at nowhere",
        (Edit(database, encoding, "if reason := None:"), Edit(_ROLES, encoding, "if reason := None:")),
        ("tests/test_roles.py::test_a_database_that_does_not_keep_every_character_apart_is_refused",),
    )


def _with_statements(source: Source) -> list[str]:
    """The modules in which `OWNER` stands in a statement."""
    files = sorted((source.root / "src" / "taskward").rglob("*.py"))
    found = [str(file.relative_to(source.root)) for file in files if _NAMES_OWNER.search(file.read_text("utf-8"))]
    return [file for file in found if file != _COMPILING]


def _owners(source: Source) -> Iterator[Mutant]:
    """The owner in every statement: refused without it, and either layer alone holds."""
    compiled = ("tests/test_statements.py::test_every_statement_of_the_store_is_compiled",)
    every: list[Span] = []
    for file in _with_statements(source):
        module = Module(source, file)
        for name, span in module.owner_predicates():
            yield Mutant(f"{name}, dropped", (span,), compiled)
            yield Mutant(f"{name}, dropped, no guard, no row security", (span, *_NO_GUARD, *_NO_POLICIES), ISOLATION)
            every.append(span)
        for name, span in module.owner_values():
            yield Mutant(f"{name}, somebody's", (span,), ("tests/test_statements.py", *ISOLATION))
    # A use of a group of conditions goes with the condition in it.
    compared = tuple(span for span in every if "true()" in span.new)
    yield Mutant("either layer alone: no predicate, no guard", (*compared, *_NO_GUARD), ISOLATION, stays_green=True)
    yield Mutant("either layer alone: no row security", _NO_POLICIES, ISOLATION, stays_green=True)
    described = "tests/test_schemathesis.py"
    for number, test in enumerate((*ISOLATION[:1], *ISOLATION[2:3], *ISOLATION[5:6], described), 1):
        name = f"neither layer ({number}): no predicate, no guard, no row security"
        yield Mutant(name, (*compared, *_NO_GUARD, *_NO_POLICIES), (test,))


def _unprotected(source: Source) -> Iterator[tuple[str, str, str]]:
    """Each table without its policy: a name, and what stands in the migration and would stand there."""
    found = _OWNED_TABLES.search(source.text(_CORE))
    if found is None:
        raise MutantError("the migration names no tables that have an owner")
    tables = found[1].split(", ")
    for table in tables:
        others = ", ".join(one for one in tables if one != table)
        name = table.strip('"')
        yield f"no policy on {name}", found[0], f"owned = ({others})"


def _policies(source: Source) -> Iterator[Mutant]:
    """Row-level security as it is declared, put back, and asked for at the start."""
    declared = (
        _CATALOG + "test_every_owned_table_forces_row_security",
        _CATALOG + "test_every_owned_table_has_the_owners_policy_and_no_other_save_the_probes",
    )
    behaves = (
        _CATALOG + "test_without_an_owner_no_row_is_seen",
        _CATALOG + "test_no_row_of_another_can_be_inserted",
        "tests/test_two_layers.py::test_policies_alone_keep_a_statement_that_forgot_its_owner_apart",
    )
    condition = "(user_id = nullif(current_setting('taskward.user_id', true), ''))"
    using, check = f"    USING {condition}\n", f"    WITH CHECK {condition};"
    for name, old, new in (
        ("ENABLE left out", "ALTER TABLE taskward.{table} ENABLE ROW LEVEL SECURITY;\n", ""),
        ("FORCE left out", "ALTER TABLE taskward.{table} FORCE ROW LEVEL SECURITY;\n", ""),
        ("USING (true)", using, "    USING (true)\n"),
        ("WITH CHECK (true)", check, "    WITH CHECK (true);"),
        ("an owner who is not named is ''", "nullif(current_setting('taskward.user_id', true), ''))\n", "current_setting('taskward.user_id', true))\n"),
        ("reads only", "ON taskward.{table}\n" + using + check, "ON taskward.{table} FOR SELECT\n" + using[:-1] + ";"),
        *_unprotected(source),
    ):  # fmt: skip
        edit = Edit(_CORE, old, new)
        yield Mutant(f"policy, declared: {name}", (edit, _NOTHING_PUT_BACK), declared)
        if name not in {"an owner who is not named is ''", "reads only"}:
            yield Mutant(f"policy, as it works: {name}", (edit, _NOTHING_PUT_BACK, _STARTS_ANYHOW), behaves)
    yield Mutant(
        "policy, declared: WITH CHECK left out",
        (Edit(_CORE, using + check, using[:-1] + ";"), _NOTHING_PUT_BACK),
        declared,
    )
    for name, old, new in (
        ("user_id is not first in a key of task", "deleted_with uuid,\n    PRIMARY KEY (user_id, id)", "deleted_with uuid,\n    PRIMARY KEY (id, user_id)"),
        ("versions of tombstones are unique across users", "tombstone_version ON taskward.tombstone (user_id, version)", "tombstone_version ON taskward.tombstone (version)"),
        ("a task may be in any list", "    CONSTRAINT task_list FOREIGN KEY (user_id, list_id) REFERENCES taskward.list (user_id, id),\n", ""),
        ("a task may be part of any task", "    CONSTRAINT task_parent FOREIGN KEY (user_id, parent_id) REFERENCES taskward.task (user_id, id),\n", ""),
        ("user ids are compared as a language does", '    user_id text COLLATE "C" PRIMARY KEY', "    user_id text PRIMARY KEY"),
    ):  # fmt: skip
        tests = (
            _CATALOG + "test_every_key_begins_with_the_owner_and_every_table_has_one",
            _CATALOG + "test_every_constraint_that_spans_rows_contains_the_owner_on_both_its_sides",
            _CATALOG + "test_the_owners_column_is_compared_byte_by_byte_and_is_never_empty",
            _CATALOG + "test_a_task_can_be_in_no_list_and_under_no_task_of_another",
            "tests/test_migrate.py",
            "tests/test_members.py",
        )
        yield Mutant(f"keys: {name}", (Edit(_CORE, old, new),), tests)
    others = "p.polroles = ARRAY(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1)"
    for name, old, new, test in (
        ("not that it is enabled", "c.relrowsecurity AND (c.relforcerowsecurity OR $3)", "(c.relforcerowsecurity OR $3)", _started("ALTER TABLE taskward.{0} DISABLE ROW LEVEL SECURITY")),
        ("not that it is forced", "c.relrowsecurity AND (c.relforcerowsecurity OR $3)", "(c.relrowsecurity OR $3)", _started("ALTER TABLE taskward.{0} NO FORCE ROW LEVEL SECURITY")),
        ("not the policy's name", "p.polname = 'owner' AND p.polcmd", "p.polcmd", _started("ALTER POLICY owner ON taskward.{0} RENAME TO owners")),
        ("not what is for all commands", "p.polname = 'owner' AND p.polcmd = '*'", "p.polname = 'owner'", _started("UPDATES_ONLY")),
        ("not what it reads", "pg_catalog.pg_get_expr(p.polqual, c.oid) = $2 AND ", "$2::text IS NOT NULL AND ", _started("ALTER POLICY owner ON taskward.{0} USING (true)")),
        ("not what it writes", " AND pg_catalog.pg_get_expr(p.polwithcheck, c.oid) = $2)", ")", _started("ALTER POLICY owner ON taskward.{0} WITH CHECK (true)")),
        ("not that there are others", "p.polname <> 'owner' AND p.polpermissive", "false AND p.polpermissive", _started("CREATE POLICY support ON taskward.{0} FOR SELECT USING (true)")),
        ("not what others may", "NOT (p.polcmd = 'r' AND p.polroles", "NOT (p.polroles", "tests/test_two_layers.py::test_a_policy_by_which_the_probe_role_could_write_is_refused"),
        ("not whom others are for", others, "$1::text IS NOT NULL", _started("CREATE POLICY support ON taskward.{0} FOR SELECT USING (true)")),
        ("not those that only take away", "AND p.polpermissive", "", "tests/test_two_layers.py::test_a_policy_that_only_takes_away_is_fine"),
        ("ordinary tables only", "c.relkind IN ('r', 'p')\n  AND NOT (c.relrow", "c.relkind IN ('r')\n  AND NOT (c.relrow", _started("CREATE TABLE taskward.{0}_note (LIKE taskward.{0}) PARTITION BY LIST (user_id)")),
        ("no table", 'return [row["relname"] for row in rows]', "return []", _started("DROP POLICY owner ON taskward.{0}")),
    ):  # fmt: skip
        yield Mutant(f"start checks {name}", (Edit(_ROLES, old, new),), (test,))
    disabled = "ALTER TABLE taskward.tombstone DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
    both = "ENABLE ROW LEVEL SECURITY, {force} ROW LEVEL SECURITY"
    for name, edit, drift in (
        ("anything", _NOTHING_PUT_BACK, "DROP POLICY owner ON taskward.account"),
        ("policies beside others", Edit(_ROLES, 'await connection.execute(f"DROP POLICY IF EXISTS {quote_identifier(policy)} ON {table}")', "pass"), "CREATE POLICY support ON taskward.task USING (true)"),
        ("what is disabled", Edit(_ROLES, both, "{force} ROW LEVEL SECURITY"), disabled),
        ("what is not forced", Edit(_ROLES, both, "ENABLE ROW LEVEL SECURITY"), disabled),
    ):  # fmt: skip
        yield Mutant(f"migration does not put back {name}", (edit,), (_drifted(drift),))


def _rights() -> Iterator[Mutant]:
    """Roles and what each may do."""
    catalog = tuple(
        _CATALOG + test
        for test in (
            "test_the_requests_role_has_exactly_its_grants_in_the_whole_database",
            "test_nobodys_row_can_be_made_anothers_and_no_table_can_be_emptied",
            "test_the_probe_role_may_read_ids_and_run_its_functions_only",
            "test_nobody_else_has_anything_in_the_schema",
            "test_the_only_functions_are_the_probes_which_are_fixed_and_belong_to_the_probe_role",
            "test_both_roles_have_no_attribute_own_nothing_more_and_are_member_of_nothing",
            "test_what_must_not_change_cannot_be_changed",
            "test_the_requests_role_may_not",
            "test_the_probe_role_sees_ids_only",
            "test_the_login_role_keeps_no_way_into_the_probe_role",
        )
    )
    rights = (*catalog, "tests/test_members.py")
    unchanged = 'if not column.primary_key and column.key != "created_at"]'
    for name, old, new in (
        ("an owner may be changed", unchanged, unchanged.replace("if ", 'if column.key == "user_id" or ')),
        ("an id may be changed", unchanged, unchanged.replace("if ", 'if column.key == "id" or ')),
        ("when a row was made may be changed", unchanged, "if not column.primary_key]"),
        ("what a table withholds from inserts", ' if column.key not in withheld.get("insert", ())', ""),
        ("what a table withholds from updates", ' if column.key not in withheld.get("update", ())', ""),
        ("versions of the schema may be written", '{"SELECT": ("version_num",)}', '{"SELECT": ("version_num",), "UPDATE": ()}'),
    ):  # fmt: skip
        yield Mutant(f"rights: {name}", (Edit("src/taskward/storage/tables.py", old, new),), rights)
    of_slices = Edit("src/taskward/storage/tables.py", '    withheld["insert"] = (*withheld["insert"], name)\n', "")
    declared = ("tests/test_account_columns.py::test_it_is_withheld_from_inserts_and_from_nothing_else",)
    yield Mutant("rights: what a slice keeps in the account may be inserted", (of_slices,), declared)
    for name, old, new in (
        ("everything on a table", "listed = \", \".join(f\"{verb} ({', '.join(cols)})\" if cols else verb for verb, cols in privileges.items())", 'listed = "ALL"'),
        ("the probe role reads whole tasks", "GRANT SELECT (id) ON {SCHEMA}.{table} TO {probe}", "GRANT SELECT ON {SCHEMA}.{table} TO {probe}"),
        ("the function stays the owner's", '        *(f"ALTER FUNCTION {function} OWNER TO {probe}" for function in probe_functions()),\n', ""),
        ("anybody may run the function", '        f"REVOKE ALL ON FUNCTION {functions} FROM PUBLIC",\n', ""),
        ("the probe role may make tables", '        f"REVOKE CREATE ON SCHEMA {SCHEMA} FROM {probe}",\n', ""),
        ("the requests role inherits", 'f"CREATE ROLE {requests} NOLOGIN NOINHERIT"', 'f"CREATE ROLE {requests} NOLOGIN"'),
        ("the requests role may log in", 'f"CREATE ROLE {requests} NOLOGIN', 'f"CREATE ROLE {requests} LOGIN'),
        ("the probe role may log in", "{'LOGIN' if distributed else 'NOLOGIN'}", "LOGIN"),
    ):  # fmt: skip
        yield Mutant(f"rights: {name}", (Edit(_ROLES, old, new),), rights)
    # `migrate` ends such a membership in any case; its script for `psql` has these statements alone.
    membership = Edit(_ROLES, '        f"REVOKE {probe} FROM CURRENT_USER",\n', "")
    script = ("tests/test_migrate.py::test_the_script_makes_the_same",)
    yield Mutant("rights: the login role stays in the probe role", (membership,), script)
    for name, old, drift in (
        ("on tables", '        f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM PUBLIC, {role}, {probe}",\n', "GRANT UPDATE ON taskward.task TO {requests}"),
        ("on the schema", '        f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC, {role}, {probe}",\n', "GRANT CREATE ON SCHEMA taskward TO PUBLIC"),
    ):  # fmt: skip
        yield Mutant(f"rights {name} that somebody gave stay", (Edit(_ROLES, old, ""),), (_drifted(drift),))
    everybody = Edit(
        _ROLES, "ON {SCHEMA}.{table} FOR SELECT TO {probe} USING (true)", "ON {SCHEMA}.{table} FOR SELECT USING (true)"
    )
    seen = (_CATALOG + "test_without_an_owner_no_row_is_seen",)
    starts = ("tests/test_two_layers.py::test_a_policy_that_only_takes_away_is_fine",)
    yield Mutant("rights: the probe's policy is for everybody, seen at the start", (everybody,), starts)
    yield Mutant("rights: the probe's policy is for everybody, no check", (everybody, _STARTS_ANYHOW), seen)
    tells = _CATALOG + "test_the_probes_tell_which_ids_are_in_use_and_nothing_else"
    function = (*catalog, *ISOLATION[:2], tells)
    for name, old, new in (
        ("runs as whoever calls it", "STABLE SECURITY DEFINER PARALLEL", "STABLE PARALLEL"),
        ("has the caller's search path", "    SET search_path = pg_catalog, pg_temp\n", ""),
        ("says yes to everything", " WHERE t.id::text = ANY ($1::text[])", ""),
    ):
        yield Mutant(f"probe function: {name}", (Edit(_CORE, old, new),), function)
    unsafe = "AND (r.rolsuper OR r.rolbypassrls OR r.rolreplication OR r.rolcreaterole\n"
    roles = "tests/test_roles.py::test_"
    around, group = (
        roles + "a_role_that_could_get_around_policies_does_not_serve",
        roles + "a_member_of_a_powerful_group_does_not_serve",
    )
    for name, old, new, test in (
        ("superusers", unsafe, unsafe.replace("r.rolsuper OR ", ""), around),
        ("BYPASSRLS", unsafe, unsafe.replace("r.rolbypassrls OR ", ""), around + "[18-itself-BYPASSRLS-bypasses row-level security]"),
        ("REPLICATION", unsafe, unsafe.replace("r.rolreplication OR ", ""), around + "[18-itself-REPLICATION-may replicate the whole cluster]"),
        ("CREATEROLE", unsafe, unsafe.replace(" OR r.rolcreaterole", ""), around + "[18-itself-CREATEROLE-may make roles]"),
        ("pg_execute_server_program", "OR r.rolname IN ('pg_execute_server_program', ", "OR r.rolname IN (", group + "[18-pg_execute_server_program]"),
        ("pg_write_server_files", "OR r.rolname IN ('pg_execute_server_program', 'pg_write_server_files', ", "OR r.rolname IN ('pg_execute_server_program', ", group + "[18-pg_write_server_files]"),
        ("pg_read_server_files", "'pg_read_server_files', $2)\n       OR", "$2)\n       OR", group + "[18-pg_read_server_files]"),
        ("the probe role", "'pg_read_server_files', $2)\n       OR", "'pg_read_server_files')\n       OR", group + "[18-probe]"),
        ("owners of tables", "OR r.oid IN (SELECT c.relowner FROM", "OR r.oid IN (SELECT 0::oid FROM", roles + "the_owner_of_one_table_does_not_serve"),
        ("the owner of the schema", "OR r.oid IN (SELECT n.nspowner FROM", "OR r.oid IN (SELECT 0::oid FROM", roles + "the_owner_of_the_schema_does_not_serve"),
        ("what is not inherited", "pg_has_role($1::pg_catalog.name, r.oid, 'MEMBER')", "pg_has_role($1::pg_catalog.name, r.oid, 'USAGE')", group),
        ("the role to switch to", "if reason := await why_unsafe(connection, names.requests, names):", "if reason := None:", roles + "a_requests_role_that_became_powerful_does_not_serve"),
    ):  # fmt: skip
        yield Mutant(f"roles that may serve: not refused: {name}", (Edit(_ROLES, old, new),), (test,))


def _sessions() -> Iterator[Mutant]:
    """How a transaction opens, how it ends, and the connection that is handed on."""
    sessions = "tests/test_sessions.py::test_"
    left = (sessions + "nothing_is_left_for_the_next_user_of_a_connection",)
    ids = (sessions + "any_user_id_is_itself_and_nobody_else",)
    behaves = (sessions + "a_session_is_committed_before_it_ends", *ISOLATION[:1])
    ended = (
        sessions + "a_session_is_rolled_back_on_any_error",
        sessions + "a_swallowed_error_is_not_taken_for_a_commit",
        sessions + "a_connection_that_is_cancelled_while_it_commits_is_not_used_again",
        "tests/test_pool.py::test_who_waits_may_make_one_in_place_of_a_discarded_one",
    )
    cut = (sessions + "idle_connections_that_were_cut_are_replaced_unnoticed",)
    unopened = (sessions + "nothing_runs_before_the_role_was_checked",)
    opening = "tests/test_opening.py::test_"
    read = (opening + "nothing_is_left_of_a_read", *left)
    refused = (
        opening + "what_is_in_nobodys_transaction_is_not_sent",
        opening + "an_opening_is_refused_in_a_transaction_that_has_begun",
    )
    all_kinds = (opening + "all_kinds_of_opening_see_the_owners_rows_only",)
    proven = (opening + "a_connection_on_which_openings_do_not_hold_is_not_used",)
    cannot = (opening + "a_reading_session_cannot_write",)
    whole = "tests/test_whole_changes.py::test_"
    whole_is = (whole + "a_change_is_one_message",)
    in_time = (whole + "what_is_not_done_in_time_has_changed_nothing",)
    cuts = ("tests/test_cut_connections.py",)
    settings = 'settings.insert(0, _set("role", quote_literal(self._role)))'
    take_role = '"" if self._role is None else f"{_role_literal(self._role)};"'
    holds = '("what opens a transaction does not hold in it")\n        if '
    lasts = '("what opens a transaction lasts longer than it")\n        '
    for name, file, old, new, tests in (
        ("no role", _OPENING, settings, "pass", left),
        ("the role stays", _OPENING, settings, settings + '; settings[0] = settings[0].replace("true", "false")', proven + left),
        ("no owner", _OPENING, 'settings = [_set("taskward.user_id", "$1")]', 'settings = ["$1 IS NULL"]', left),
        ("the owner is somebody else", _OPENING, '_set("taskward.user_id", "$1")', '_set("taskward.user_id", "$1||\'x\'")', ids),
        ("what is set stays", _OPENING, "{value},true) IS NULL", "{value},false) IS NULL", proven + left),
        ("nothing is proven of what is set", _OPENING, "if [tuple(row) for row in seen] != ", "if False and [] != ", proven),
        ("nothing is proven of what stays", _OPENING, holds + '(after["owner"] or "", after["role"]) != ', holds + "False and () != ", proven),
        ("reads have the opening of writes", _OPENING, "_READING.bound(user_id) if read_only else", "_WRITING.bound(user_id) if read_only else", cannot),
        ("a read that begins may write", _OPENING, "(_READING if read_only else _WRITING)", "_WRITING", all_kinds),
        ("a change has no owner", _OPENING, "changing = [*settings,", 'changing = ["$1 IS NULL",', whole_is),
        ("a change takes its time", _OPENING, "max(1, int(seconds * 1000))", "3_600_000", in_time),
        ("a change takes longer than the server allows", _OPENING, "min(max(1, int(seconds * 1000)), self._longest)", "max(1, int(seconds * 1000))", (whole + "a_server_that_gives_up_earlier_by_itself_still_does",)),
        ("a change is never in doubt", _SESSION, "        limit.in_doubt = True\n", "        pass\n", (whole + "who_is_not_answered_in_time_is_told_that_it_is_not_known",)),
        ("a change is in doubt for ever", _SESSION, "        limit.in_doubt = False\n        return _only(rows)", "        return _only(rows)", (whole + "what_waits_before_it_writes_is_not_in_doubt",)),
        ("what was sent is sent again", _SESSION, '        except Unanswered as error:\n            raise OutcomeUnknown(reason=f"the database failed while it wrote: {kind_of(error)}") from error\n', "", cuts),
        ("what was sent is taken for unsent", _WIRE, "if not wire.opening and (connection.is_closed()", "if False and (connection.is_closed()", cuts),
        ("a client's own create is sent again", _STORE, "                if is_clients_id:\n                    raise\n", "", cuts),
        ("a create is not looked for at the limit", _STORE, 'return self._made(values, stamp) or await self._session.fetch_one(_get(), id=values["id"])', "return self._made(values, stamp)", ("tests/test_cut_connections.py::test_the_last_create_within_the_limit_is_found_again",)),
        ("a create that is there is a conflict", _STORE, '            if row is None:\n                raise OutcomeUnknown(reason="what was written', '            if True:\n                raise OutcomeUnknown(reason="what was written', cuts),
        ("a change of nothing takes a clock", _STORE, "clock = next_version(exists(select(_task.id).where(*meant)))", "clock = next_version()", (whole + "a_change_of_nothing_takes_no_clock",)),
        ("nothing is guarded", _OPENING, lasts + "wire.guard(self.connection)\n        return True", lasts + "return True", refused),
        ("in text, no role", _OPENING, take_role, '""', all_kinds),
        ("in text, the role stays", _OPENING, 'return f"SET LOCAL ROLE', 'return f"SET ROLE', all_kinds),
        ("in text, the owner is somebody else", _OPENING, ".format(quote_literal(user_id))", ".format(quote_literal('mallory'))", all_kinds),
        ("in text, the owner stays", _OPENING, "'taskward.user_id',{},true)", "'taskward.user_id',{},false)", all_kinds),
        ("as a literal, the owner stays", _OPENING, 'return f"SET LOCAL taskward.user_id', 'return f"SET taskward.user_id', all_kinds),
        ("in text, a read may write", _OPENING, 'access = " READ ONLY" if read_only else ""\n        role', 'access = ""\n        role', all_kinds),
        ("what is not begun is sent without an opening", _WIRE, "else not (begun or kind in _IDLE)", "else False", refused),
        ("Parse needs no opening", _WIRE, '_IDLE = frozenset(b"CSX")', '_IDLE = frozenset(b"CSXP")', refused),
        ("text needs no opening", _WIRE, '_IDLE = frozenset(b"CSX")', '_IDLE = frozenset(b"CSXQ")', refused),
        ("a Bind needs no opening", _WIRE, '_IDLE = frozenset(b"CSX")', '_IDLE = frozenset(b"CSXB")', refused),
        ("an opening goes before anything", _WIRE, "(begun or kind != _BIND)", "begun", refused),
        ("an opening goes into what has begun", _WIRE, "(begun or kind != _BIND)", "kind != _BIND", refused),
        ("many go without an opening", _WIRE, "        if self._is_in_transaction is not None:\n            self._refuse()\n", "", refused),
        ("what is refused leaves its connection open", _WIRE, "        self.inner.abort()\n", "", refused),
        ("an opening outlives what was not sent", _WIRE, '    finally:\n        wire.opening = wire.closing = b""\n', "    finally:\n        pass\n", (opening + "an_opening_does_not_outlive_arguments_that_cannot_be_sent",)),
        ("an opening is dropped", _WIRE, "    wire.opening, wire.closing = opening, closing\n", "    wire.closing = closing\n", read),
        ("asyncpg may write past the guard", _WIRE, "if not isinstance(connection._transport, Wire):", "if False:", (opening + "a_connection_that_asyncpg_writes_past_us_is_not_used",)),
        ("over TLS nothing is guarded", _WIRE, "return None if transport is None else Wire(transport)", "return transport", ("tests/test_database_tls.py",)),
        ("quotes end the owner's name", _QUOTING, 'text.replace("\'", "\'\'")', "text", ids),
        ("backslashes mean something", _QUOTING, 'return f"\'{quoted}\'" if', 'return f"\'{quoted}\'" if True or', ids),
        ("statements run as somebody else", _SESSION, "self._user_id = owner.user_id", 'self._user_id = "mallory"', behaves),
        ("what has begun is tried again", _SESSION, "        if lease.has_begun():\n            return await lease.next(statement.sql, arguments)\n", "", (sessions + "what_has_begun_is_not_begun_again",)),
        ("a failure is not rolled back", _SESSION, '    try:\n        await lease.connection.execute("ROLLBACK", timeout=ENDING_TIMEOUT)', "    try:\n        pass", (sessions + "the_connection_of_a_failed_session_is_used_again",)),
        ("a failure is committed", _SESSION, '    try:\n        await lease.connection.execute("ROLLBACK"', '    try:\n        await lease.connection.execute("COMMIT"', ended),
        ("a cancelled one's connection is used again", _SESSION, "            self._pool.discard(lease)\n            if error", "            self._pool.release(lease)\n            if error", (sessions + "a_connection_that_is_in_the_middle_of_a_statement_is_not_used_again",)),
        ("a connection in the middle of a statement is used again", _SESSION, " or wire.is_cancelling(lease.connection)", "", (sessions + "a_connection_that_is_in_the_middle_of_a_statement_is_not_used_again",)),
        ("a session that ends in the middle of a statement says nothing", _SESSION, "            if error is None:\n                raise RuntimeError", "            if False:\n                raise RuntimeError", (sessions + "a_connection_that_is_in_the_middle_of_a_statement_is_not_used_again",)),
        ("a read commits", _SESSION, "elif error is None and not self._read_only:", "elif error is None:", (sessions + "a_read_whose_connection_is_lost_at_its_end_is_unavailable_at_most",)),
        ("what may have been written is told as not written", _SESSION, "        if in_doubt and isinstance(", "        if False and isinstance(", ("tests/test_cut_connections.py::test_a_create_whose_answer_is_lost_for_good_is_not_known",)),
        ("the limit ends what may have been written", _SESSION, "        except Unanswered as error:\n", "        except Unanswered as error:\n            limit.in_doubt = False\n", ("tests/test_cut_connections.py::test_a_create_whose_answer_is_lost_for_good_is_not_known",)),
        ("a connection keeps the server's level of isolation", _POOL, "SET default_transaction_isolation TO 'read committed'", "SELECT 1", ("tests/test_standby.py",)),
        ("a health check keeps the server's level of isolation", "src/taskward/storage/database.py", "BEGIN ISOLATION LEVEL READ COMMITTED", "BEGIN", ("tests/test_standby.py",)),
        ("nobody asks how it ended", _SESSION, 'if tag != "COMMIT":', "if False:", ended),
        ("a failed commit's connection is used again", _SESSION, "    except BaseException as error:\n        pool.discard(lease)\n        if isinstance(error, LOST) or", "    except BaseException as error:\n        pool.release(lease)\n        if isinstance(error, LOST) or", ended),
        ("a connection that proved wrong stays open", _POOL, "            connection.terminate()\n            raise\n", "            raise\n", (opening + "a_connection_that_proved_wrong_is_closed",)),
        ("a closed connection is handed out", _POOL, "if not lease.connection.is_closed() and not lease.has_begun():", "if True:", cut),
        ("a discarded connection is used again", _POOL, "        lease.connection.terminate()\n        self._put(None)\n", "        self._put(lease)\n", ended),
        ("it serves before it has looked", "src/taskward/storage/database.py", "if self._pool is None:\n            why", "if False:\n            why", unopened),
    ):  # fmt: skip
        yield Mutant(f"session: {name}", (Edit(file, old, new),), tests)
    twice = Edit(_WIRE, 'opening, self.opening = self.opening, b""', "opening = self.opening")
    kept = Edit(_WIRE, '    finally:\n        wire.opening = wire.closing = b""\n', "    finally:\n        pass\n")
    yield Mutant("session: an opening goes twice", (twice, kept), read)


def _answers() -> Iterator[Mutant]:
    """Who is asking, and what answers give away."""
    dependencies = "src/taskward/http/dependencies.py"
    middleware = "src/taskward/http/middleware.py"
    plans = "src/taskward/http/plans.py"
    keys = "src/taskward/identity/keys.py"
    tokens, owner = "src/taskward/identity/tokens.py", "src/taskward/identity/owner.py"
    claims = "src/taskward/identity/claims.py"
    hidden = ("tests/test_claims.py::test_a_rejected_claim_is_found_wherever_its_name_may_lead",)
    mallory = '__import__("taskward").identity.Owner("mallory")'
    probing = "src/taskward/storage/probing.py"
    why = "raise TaskForbidden if await is_anothers(self._session, Task, task_id) else TaskNotFound"
    why_list = "raise ListForbidden if await is_anothers(self._session, TaskList, list_id) else ListNotFound"
    meanwhile = ("tests/test_two_layers.py::test_what_becomes_ones_own_while_it_is_looked_for_is_not_a_strangers",)
    named = (
        "tests/test_isolation_http.py::test_a_reference_to_a_strangers_row_is_422_in_the_same_bytes_as_one_to_nothing",
    )
    lists = "src/taskward/lists/store.py"
    sought = "error.sought = task_id if entry is None else None"
    walk = ("tests/test_isolation_http.py", "tests/test_tasks.py", "tests/test_problems.py")
    for name, file, old, new, tests in (
        ("a token is known although its key is not any more", tokens, "if self.keys.current is not self._key_set:", "if self._key_set is None:", WITHDRAWN),
        ("what an older key verified stays verified", tokens, "        self._verified.clear()\n", "", WITHDRAWN),
        ("a key is used with any algorithm", keys, "if algorithm in key.algorithms]", "]", (KEY_SETS + "a_key_is_not_used_with_the_algorithm_of_the_one_beside_it",)),
        ("a key is found by any key id", keys, "if kid is None or key.kid == kid]", "]", (KEY_SETS + "a_key_without_a_name_is_for_tokens_that_name_none",)),
        ("of several keys the first is used", keys, "named if len(named) == 1 else []", "named[:1]", (KEY_SETS + "a_token_is_verified_with_the_key_that_it_names",)),
        ("a rejected claim hides behind a dot", claims, "pending.append((inner, rest[len(key) + 1 :]))", "pass", hidden),
        ("a rejected claim hides in an array", claims, "pending += [(element, rest) for element in value]", "pass", hidden),
        ("a refused token is somebody's", owner, "    except TokenRejected as rejected:\n        raise InvalidToken(reason=rejected.reason) from None\n    if verification", "    except TokenRejected:\n        return Caller(Owner('mallory'), 0, frozenset())\n    if verification", walk),
        ("every request is somebody's", dependencies, "session_of(request, caller.owner)", f"session_of(request, {mallory})", walk),
        ("a key is of all who write for one owner", "src/taskward/http/idempotency.py", "if key is not None and caller.user_id != session.user_id:", "if False:", ("tests/test_other_owners.py",)),
        ("a body is read before the token", plans, "if not is_generator and self._ready.issuperset(", "if False and self._ready.issuperset(", ("tests/test_problems.py", "tests/test_routing.py")),
        ("a stranger's task is not there", _STORE, why, "raise TaskNotFound", walk),
        ("an unknown task is a stranger's", _STORE, why, "raise TaskForbidden", walk),
        ("what became mine while it was looked for is a stranger's", probing, "row_id in in_use and mine is None", "row_id in in_use", meanwhile),
        ("a stranger's list is not there", lists, why_list, "raise ListNotFound", walk),
        ("an unknown list is a stranger's", lists, why_list, "raise ListForbidden", walk),
        ("any list may be named", _LOADING, "if list_id is not None and list_id not in self._lists:", "if False:", named),
        ("any task may be named as a parent", _LOADING, "        if not is_there:\n", "        if False:\n", named),
        ("any row may be named to come after", "src/taskward/kit/ordering.py", "if after is not None and after not in order:", "if False:", named),
        ("a stranger's task is not there to be written", _LOADING, sought, "error.sought = None", walk),
        ("an unknown task is a stranger's to be written", _STORE, "if error.sought is None or not await is_anothers(self._session, Task, error.sought):", "if error.sought is None:", walk),
        ("my trash is a stranger's", _LOADING, "        if not entry.is_live:\n            raise TaskNotFound\n", "        if not entry.is_live:\n            raise TaskForbidden\n", ("tests/test_trash.py", "tests/test_tasks.py")),
        ("a listing's tag is the same for all", "src/taskward/http/responses.py", 'state = f"{user_id}\\n', 'state = f"\\n', ("tests/test_preconditions.py",)),
        ("a listing's tag has no epoch", _PAGES, '(row["epoch"], row["clock"])', '(None, row["clock"])', ("tests/test_preconditions.py",)),
        ("a cache may give it to others", middleware, 'common.append((b"vary", b"Authorization"))', "pass", ("tests/test_problems.py",)),
        ("the log quotes what an exception says", "src/taskward/runtime/log.py", "parts += frames[-_MOST_FRAMES:]", "parts += [str(error)]", ("tests/test_error_boundary.py",)),
        ("a cache may keep it", middleware, 'headers.append((b"cache-control", b"private, no-cache" if b"etag" in names else b"no-store"))', "pass", ("tests/test_problems.py",)),
    ):  # fmt: skip
        yield Mutant(f"answers: {name}", (Edit(file, old, new),), tests)

"""Mutants of what a migration brings in order in a database that was renamed or made from another one."""

from __future__ import annotations

from collections.abc import Iterator

from tests.mutants.source import Edit, Mutant

_MIGRATE = "src/taskward/storage/migrate.py"


def renaming() -> Iterator[Mutant]:
    """What is left of the other name."""
    for name, old, new, test in (
        ("functions stay those of the former roles", "                await reclaim(raw)\n", "", "a_migration_brings_it_in_order"),
        ("former roles keep their rights", "former = await former_roles(raw, names)", "former: list[str] = []", "a_migration_brings_it_in_order"),
        ("the owner stays in the probe role", "            await _leave(raw, names, version)\n", "", "a_membership_in_the_probe_role_is_ended_or_told"),
    ):  # fmt: skip
        edit = Edit(_MIGRATE, old, new)
        yield Mutant(f"renamed databases: {name}", (edit,), (f"tests/test_renamed_databases.py::test_{test}",))

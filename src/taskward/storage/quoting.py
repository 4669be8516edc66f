"""Names and strings as parts of SQL, where a parameter cannot stand."""

from __future__ import annotations

SCHEMA = "taskward"
"""The schema of every table and function of Taskward's."""


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A string constant that means the same whatever `standard_conforming_strings` is.

    Raises:
        ValueError: It has a NUL, which PostgreSQL cannot store.
    """
    if "\0" in text:
        raise ValueError("a string for PostgreSQL cannot have a NUL")
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if "\\" not in text else "E'" + quoted.replace("\\", "\\\\") + "'"

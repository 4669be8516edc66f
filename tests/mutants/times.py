"""Mutants of the times that rows get: each takes another time than the owner's clock gives."""

from __future__ import annotations

from collections.abc import Iterator

from tests.mutants.source import Edit, Mutant

_TABLES = "src/taskward/storage/tables.py"
_TURNS = "src/taskward/storage/account_lock.py"
_STORE = "src/taskward/tasks/store.py"
_WRITING = "src/taskward/tasks/writing.py"
_STATEMENTS = "src/taskward/tasks/statements.py"
_LISTS = "src/taskward/lists/store.py"
_OF_LISTS = "src/taskward/lists/removal.py"
_CORE = "src/taskward/storage/migrations/versions/0001_core.py"


def times() -> Iterator[Mutant]:
    """Times that are not in the order of commits."""
    noticed = ("tests/test_commit_order.py",)
    for name, file, old, new in (
        ("the transaction's beginning counts", _TABLES, "return func.greatest(in_utc(func.now()), columns(Account).changed_at + MICROSECOND)", "return in_utc(func.now())"),
        ("two changes may have one time", _TABLES, "columns(Account).changed_at + MICROSECOND", "columns(Account).changed_at"),
        ("a change does not say when it was", _TABLES, '"changed_at": next_change_at()}', '"changed_at": account.changed_at}'),
        ("a time goes by the session's zone", _TABLES, 'func.pg_catalog.timezone(Constant("UTC"), moment)', "moment"),
        ("a turn begins when its transaction does", _TURNS, "in_utc(next_change_at())", "func.now()"),
        ("a turn does not say when it ended", _TURNS, 'in_utc(bindparam("time", type_=DateTime(timezone=True)))', "account.changed_at"),
        ("the rows of a turn have one time", _TURNS, 'timedelta(microseconds=self._version - self._account["clock"] - 1)', "timedelta()"),
        ("a create takes the default", _STORE, '(sent["completed"], at)), "created_at": at, "updated_at": at}', '(sent["completed"], at))}'),
        ("a created task is done at the transaction's beginning", _STORE, 'case((sent["completed"], at))', 'case((sent["completed"], func.now()))'),
        ("a change takes the transaction's beginning", _STORE, ", updated_at=clock.c.at)", ")"),
        ("a completion takes the transaction's beginning", _STORE, "func.coalesce(_task.completed_at, clock.c.at)", "func.coalesce(_task.completed_at, func.now())"),
        ("a toggle takes the transaction's beginning", _STORE, "case((~_task.completed, clock.c.at))", "case((~_task.completed, func.now()))"),
        ("a task of a unit of work was made by default", _STATEMENTS, '    values["created_at"] = rows.c.updated_at\n', ""),
        ("tasks of one statement have the time of the last one before", _STATEMENTS, "in_utc(last + numbered.c.number * MICROSECOND)", "in_utc(last)"),
        ("tasks of one statement take the transaction's beginning", _STATEMENTS, '        "updated_at": time_of(numbered),\n', ""),
        ("a unit of work has one time for removals and completions", _WRITING, "return lock.time if moment == lock.now else moment", "return moment"),
        ("a list's tasks are trashed at the transaction's beginning", _OF_LISTS, "case((is_live, time_of(numbered)),", "case((is_live, func.now()),"),
        ("a list is made by default", _LISTS, '"version": _VERSION, "created_at": _TIME, "updated_at": _TIME}', '"version": _VERSION}'),
        ("a list is changed at the transaction's beginning", _LISTS, '    values |= {"version": _VERSION, "updated_at": _TIME}', '    values |= {"version": _VERSION}'),
        ("a new life begins at the transaction's beginning", _CORE, "DEFAULT timezone('UTC', clock_timestamp())", "DEFAULT timezone('UTC', now())"),
    ):  # fmt: skip
        yield Mutant(f"times: {name}", (Edit(file, old, new),), noticed)

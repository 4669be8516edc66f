"""What a connection to PostgreSQL raises when it, the server or a node of a cluster fails."""

from __future__ import annotations

import asyncpg

from taskward.storage import wire

# Errors of a connection that is gone or knows a former schema. Another connection may work.
GONE = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server has said that it ends the connection, which is not closed yet
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidCachedStatementError,
    wire.Unanswered,
    OSError,
)
# Those by which a Citus coordinator may say the same of a node, when a server would say something else. A shard that
# moves to another node and a request may wait for each other.
MAYBE_GONE = (*GONE, asyncpg.InternalServerError, asyncpg.PostgresIOError, asyncpg.DeadlockDetectedError)
# What says the same of the server.
LOST = (
    *GONE,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.TransactionRollbackError,
    TimeoutError,
)


def kind_of(error: BaseException) -> str:
    """What went wrong, without its message, which may quote a row."""
    if isinstance(error, wire.Unanswered) and error.__cause__ is not None:
        error = error.__cause__
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} ({state})" if state else type(error).__name__


def is_of_node(error: BaseException) -> bool:
    """Whether an error that a Citus coordinator answers is one of its nodes': it goes on, and so do other nodes."""
    if not isinstance(error, asyncpg.PostgresError) or isinstance(error, asyncpg.InvalidCachedStatementError):
        return False
    # A server that ends says FATAL.
    return getattr(error, "severity_en", None) == "ERROR" and isinstance(error, MAYBE_GONE)


def lacks_rights(error: BaseException) -> bool:
    """Whether rights that a role had were taken from it. A row that row-level security refuses has the same SQLSTATE,
    and is a fault of ours.
    """
    is_refused = isinstance(error, asyncpg.InsufficientPrivilegeError)
    return is_refused and getattr(error, "server_source_function", None) == "aclcheck_error"

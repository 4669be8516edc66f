"""The stage of a measurement: PostgreSQL, the data, and whoever takes part, each with a database of its own."""

from __future__ import annotations

import dataclasses
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx2
import psutil

from bench import cluster, data, databases, floor, load, sqlite
from bench.contenders import TASKWARD, Contender, Fill
from bench.load import Round
from bench.processes import Running, free_port, prepare, serving

_ANSWER_SECONDS = 10


@dataclass(frozen=True)
class Options:
    """What holds for everything that is measured.

    Attributes:
        pool: Database connections that each contender may open.
        database_url: A superuser's address of a running PostgreSQL, in place of a temporary one.
        postgres_bin: The `bin` folder for the temporary one, in place of the packaged one.
    """

    pool: int
    database_url: str | None
    postgres_bin: Path | None


class Store(Protocol):
    """The database of a contender."""

    @property
    def login(self) -> str:
        """`user:password@host:port/database` for the contender, where it is told one."""
        ...

    def seed(self, contender: Contender, dataset: data.Dataset) -> None:
        """Fill the contender's tables."""
        ...

    def reset(self, contender: Contender, dataset: data.Dataset) -> None:
        """Delete what was created since the seed, and leave no work for later."""
        ...


@dataclass(frozen=True)
class Participant:
    """A contender that runs, with its database.

    Attributes:
        tokens: By user id, those that it knows.
        folder: Where requests for it may be written.
    """

    contender: Contender
    label: str
    store: Store
    running: Running
    tokens: Mapping[str, str]
    folder: Path

    def write(self, requests: Sequence[data.Request], name: str) -> Path:
        """Write requests into a file for `load.run`, in the words of the contender."""
        spoken = map(self.contender.dialect.request, requests)
        return load.write_requests(spoken, self.tokens, self.folder / f"{name}.requests")

    def reset(self, dataset: data.Dataset) -> None:
        """Bring its database back to the seed."""
        self.store.reset(self.contender, dataset)

    def conditional(self, requests: Sequence[data.Request]) -> list[data.Request]:
        """The same requests with the tags of the answers that they have now."""
        tagged = []
        with httpx2.Client(base_url=self.running.url, trust_env=False, timeout=_ANSWER_SECONDS) as client:
            for one in requests:
                spoken = self.contender.dialect.request(one)
                answer = client.get(spoken.path, headers={"Authorization": f"Bearer {self.tokens[one.user_id]}"})
                # Who has no tags gets one that holds for nothing.
                tagged.append(dataclasses.replace(one, etag=answer.headers.get("etag", '"none"')))
        return tagged


class Stage:
    """PostgreSQL, a folder for everything that is written, and what was started on it.

    Args:
        options: What holds for everything.
        stack: Ends what is started.
    """

    def __init__(self, options: Options, stack: ExitStack) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="taskward-bench-"))
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._options = options
        self.secret = secrets.token_hex(32)
        if options.database_url:
            self.postgresql = cluster.Cluster(options.database_url, None, None)
        else:
            self.postgresql = stack.enter_context(cluster.temporary(self.folder, options.postgres_bin))
        self.facts = databases.server_facts(self.postgresql.admin_dsn)

    @property
    def postgres(self) -> psutil.Process | None:
        """The postmaster, where it is ours."""
        return self.postgresql.process

    def dataset(self, users: int, tasks_per_user: int) -> data.Dataset:
        return data.make(users, tasks_per_user, self.secret)

    def dataset_sized(self, sizes: dict[str, int]) -> data.Dataset:
        return data.make_sized(sizes, self.secret)

    @contextmanager
    def participant(self, contender: Contender, dataset: data.Dataset, label: str) -> Iterator[Participant]:
        """Run a contender on a seeded database of its own."""
        workplace = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=self.folder))
        with self._store(contender, workplace) as store:
            fill = Fill(store.login, self.secret, self._options.pool, free_port())
            prepare(contender, fill, workplace)
            store.seed(contender, dataset)
            tokens = contender.dialect.tokens(dataset, self.secret)
            with serving(contender, label, fill, workplace) as running:
                yield Participant(contender, label, store, running, tokens, workplace)

    @contextmanager
    def _store(self, contender: Contender, workplace: Path) -> Iterator[Store]:
        if contender.sqlite:
            yield sqlite.File(workplace / contender.sqlite)
            return
        with databases.created(self.postgresql.admin_dsn, contender) as store:
            yield store

    @contextmanager
    def again(self, participant: Participant, *, workers: int) -> Iterator[Running]:
        """Run a participant's contender once more on the same database, as several processes."""
        pool = max(1, self._options.pool // workers)
        fill = Fill(participant.store.login, self.secret, pool, free_port(), workers)
        workplace = Path(tempfile.mkdtemp(prefix="again-", dir=self.folder))
        with serving(participant.contender, f"{participant.label} × {workers}", fill, workplace) as running:
            yield running

    @contextmanager
    def floor(self, dataset: data.Dataset) -> Iterator[Floor]:
        """A seeded database of the service's for pgbench."""
        with databases.created(self.postgresql.admin_dsn, TASKWARD) as store:
            fill = Fill(store.login, self.secret, self._options.pool)
            workplace = Path(tempfile.mkdtemp(prefix="floor-", dir=self.folder))
            prepare(TASKWARD, fill, workplace)
            store.seed(TASKWARD, dataset)
            store.try_out(floor.examples(len(dataset.users), dataset.tasks[0].id.int >> 80))
            yield Floor(self, store, dataset, self._options.pool)


class Floor:
    """pgbench with the service's statements."""

    def __init__(self, stage: Stage, store: databases.Database, dataset: data.Dataset, clients: int) -> None:
        self._stage = stage
        self.store = store
        self._clients = clients
        first = dataset.tasks[0]
        self._seeds = {
            "users": len(dataset.users),
            "tasks": len(dataset.tasks),
            "start": first.id.int >> 80,
        }

    def reset(self, dataset: data.Dataset) -> None:
        """Bring the database back to its seed."""
        self.store.reset(TASKWARD, dataset)

    def measure(self, operation: data.Operation, seconds: int) -> Round:
        """One round from as many connections as each contender has."""
        binaries, postgres = self._stage.postgresql.binaries, self._stage.postgres
        assert binaries is not None, "only with a server of our own"  # noqa: S101
        assert postgres is not None, "only with a server of our own"  # noqa: S101
        script = floor.script(operation.name, self.store.name, writes=operation.writes)
        dsn = f"postgresql://{self.store.login}"
        return load.run_pgbench(
            binaries / "pgbench",
            dsn,
            script,
            defines=self._seeds,
            seconds=seconds,
            clients=self._clients,
            postgres=postgres,
        )

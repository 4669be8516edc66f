"""`migrate` and `doctor`: what they do to a database, and what they say of one that is not right."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from taskward.cli.migrate import name_of
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import head
from tests.citus import on_one_machine
from tests.clusters import Cluster
from tests.commands import PASSWORD, Run, execute, findings, refusal, run_fixture  # noqa: F401 - a fixture
from tests.issuer import SECRET, issuer


def place(url: str) -> str:
    parts = urlsplit(url)
    return f"database {parts.path.lstrip('/')} on {parse_qs(parts.query)['host'][0]}"


def test_migrate_brings_a_database_to_the_newest_schema_once_and_again(run: Run, empty_database: str):
    for _ in range(2):
        done = run("migrate", DATABASE_URL=empty_database)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"The schema of {place(empty_database)} is at version {head()}.\n"
    assert findings(run("doctor", DATABASE_URL=empty_database, BETTER_AUTH_SECRET=SECRET)) == {}


def test_the_printed_sql_makes_the_same_schema(run: Run, empty_database: str):
    done = run("migrate", "--sql", DATABASE_URL=empty_database)
    assert (done.returncode, done.stderr) == (0, "")
    execute(empty_database, done.stdout)
    assert findings(run("doctor", DATABASE_URL=empty_database, BETTER_AUTH_SECRET=SECRET)) == {}
    assert 'taskward_requests_taskward"' in run("migrate", "--sql").stdout


@on_one_machine("no embedded server runs then")
@pytest.mark.usefixtures("template")
def test_doctor_finds_a_healthy_embedded_server_that_another_process_runs(run: Run, open_folder: Path):
    done = run("doctor", TASKWARD_DATA_DIR=str(open_folder / "data"), TASKWARD_JWT_SECRET=SECRET)
    assert findings(done) == {}
    assert "PostgreSQL 1" in done.stdout
    assert "switches to" in done.stdout


@pytest.mark.processes
def test_embedded_commands_make_use_and_end_a_server_of_their_own(run: Run, open_folder: Path):
    data = open_folder / "own"
    settings = {"TASKWARD_DATA_DIR": str(data)}
    assert findings(run("doctor", **settings)) == {}
    without = findings(run("doctor", TASKWARD_POSTGRES_BIN=str(open_folder), **settings))
    assert without.keys() == {"database"}
    assert without["database"].startswith(f"There is no `postgres` in {open_folder}: set TASKWARD_POSTGRES_BIN to ")
    data.mkdir()
    data.chmod(0o711)
    assert findings(run("doctor", **settings)) == {}
    assert not any(data.iterdir())
    done = run("migrate", **settings)
    assert done.stdout == f"The schema of the embedded server in {data} is at version {head()}.\n"
    assert findings(run("doctor", **settings)) == {}
    assert not next(data.glob("postgresql-*")).joinpath("postmaster.pid").exists()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        (f"postgresql://owner:{PASSWORD}@db.example.com:5433/tasks", "database tasks on db.example.com"),
        (f"postgresql://owner:{PASSWORD}@[::1],b/a%20b?sslmode=require", "database a b on ::1, b"),
        (f"postgresql://owner:{PASSWORD}@/tasks?host=/run/pg", "database tasks on /run/pg"),
        (f"postgresql://owner:{PASSWORD}@db?dbname=tasks", "database tasks on db"),
        (f"postgresql://owner:{PASSWORD}@db", "the database on db"),
        (f"postgresql:///tasks?password={PASSWORD}", "database tasks"),
    ],
)
def test_a_database_is_named_without_its_password(url: str, where: str):
    assert name_of(parse_address(url)) == where


def test_doctor_says_what_is_wrong_with_settings_and_keys(run: Run, cluster: Cluster, template: str):
    url = cluster.url(template)
    assert findings(run("doctor", TASKWARD_AUDIANCE="x")) == {
        "settings": "TASKWARD_AUDIANCE is not a setting of Taskward; did you mean TASKWARD_AUDIENCE?"
    }
    assert findings(run("doctor", TASKWARD_PORT="x")).keys() == {"settings"}
    assert findings(run("doctor", BETTER_AUTH_SECRET="short", DATABASE_URL=url)).keys() == {"settings"}
    without = findings(run("doctor", DATABASE_URL=url))
    assert without.keys() == {"keys"}
    assert without["keys"].startswith("There is no key to verify tokens with: set ")
    private = findings(run("doctor", DATABASE_URL=url, TASKWARD_PUBLIC_KEY=issuer("ES256").private_pem))
    assert "holds a private key" in private["keys"]
    done = run("doctor", DATABASE_URL=url, TASKWARD_PUBLIC_KEY=issuer("ES256").public_pem)
    assert findings(done) == {}
    assert "TASKWARD_AUDIENCE is not set" in done.stdout


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://app:{PASSWORD}@127.0.0.1:1/tasks", "cannot be reached: .* Check host and port"),
        (f"postgresql://app:{PASSWORD}@nowhere.invalid/tasks", "cannot be reached: .* Check host and port"),
        (f"mysql://app:{PASSWORD}@127.0.0.1/tasks", "DATABASE_URL must start with postgresql://"),
        (f"postgresql://app:{PASSWORD}@127.0.0.1:99999/tasks", "DATABASE_URL has a port that is not a number"),
        (f"postgresql://app:{PASSWORD}/x@127.0.0.1:1/tasks", "DATABASE_URL is not a URL that can be read"),
        (f"postgresql://app:{PASSWORD}#x@127.0.0.1:1/tasks", "DATABASE_URL is not a URL that can be read"),
        (f"postgresql://app:1?{PASSWORD}@127.0.0.1:1/tasks", "DATABASE_URL is not a URL that can be read"),
        (f"postgresql://app:1/{PASSWORD}@127.0.0.1:1/tasks", "DATABASE_URL is not a URL that can be read"),
        (f"postgresql://app:{PASSWORD}@127.0.0.1:1/tasks?x={PASSWORD}", "has a parameter that is not known: x"),
    ],
)  # fmt: skip
def test_an_address_that_leads_nowhere_is_explained_by_every_command(run: Run, url: str, said: str):
    wrong = findings(run("doctor", DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET))
    assert wrong.keys() == {"database"}
    for sentence in (wrong["database"], refusal(run("migrate", DATABASE_URL=url))):
        assert re.search(said, sentence)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (f"postgresql://owner:{PASSWORD}@127.0.0.1:1/tasks", "cannot be reached: .* Check host and port"),
        ("{password}", "refused the login: .* Check user and password"),
        ("{database}", '^Database "Missing" does not exist. Create it, or check'),
    ],
)
def test_what_is_wrong_with_the_owners_address_is_said_of_that_one(
    run: Run, cluster: Cluster, empty_database: str, broken: str, said: str
):
    wrong = {
        "{password}": empty_database.replace("taskward:", f"taskward:{PASSWORD}"),
        "{database}": cluster.url("Missing"),
    }.get(broken, broken)
    name = urlsplit(empty_database).path.lstrip("/")
    good = {"DATABASE_URL": empty_database, "TASKWARD_MIGRATE_URL": cluster.url(name, superuser=True)}
    for variable in good:
        sentence = refusal(run("migrate", **{**good, variable: wrong}))
        assert re.search(f"{said}(?: in)? {variable}.$", sentence)
    done = run("migrate", **good)
    assert done.stdout == f"The schema of {place(good['TASKWARD_MIGRATE_URL'])} is at version {head()}.\n"
    done = run("doctor", BETTER_AUTH_SECRET=SECRET, **good)
    assert findings(done) == {}
    assert "ok   owner: migrations run as postgres.\n" in done.stdout
    found = findings(run("doctor", BETTER_AUTH_SECRET=SECRET, **{**good, "TASKWARD_MIGRATE_URL": wrong}))
    assert found.keys() == {"owner"}
    assert re.search(f"{said}(?: in)? TASKWARD_MIGRATE_URL.$", found["owner"])
    both = dict.fromkeys(good, wrong)
    assert "owner" not in run("doctor", BETTER_AUTH_SECRET=SECRET, **both).stdout
    other = {**good, "DATABASE_URL": f"postgresql://app:{PASSWORD}@127.0.0.1:1/x", "TASKWARD_MIGRATE_URL": wrong}
    assert findings(run("doctor", BETTER_AUTH_SECRET=SECRET, **other)).keys() == {"database", "owner"}


def test_a_server_that_speaks_no_tls_is_told_from_one_that_is_not_there(run: Run):
    def refuse(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(8)
            connection.sendall(b"N")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=refuse, args=(server,), daemon=True).start()
        url = f"postgresql://app:{PASSWORD}@127.0.0.1:{server.getsockname()[1]}/tasks?sslmode=require"
        wrong = findings(run("doctor", DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET))
    assert wrong["database"].endswith(" rejected SSL upgrade. Check sslmode in DATABASE_URL.")


def test_doctor_says_what_is_wrong_with_a_database(run: Run, cluster: Cluster, empty_database: str):
    def wrong(url: str) -> dict[str, str]:
        return findings(run("doctor", DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET))

    refused = wrong(empty_database.replace("taskward:", f"taskward:{PASSWORD}"))
    assert refused.keys() == {"database"}
    assert refused["database"].startswith("The database refused the login: ")
    assert refused["database"].endswith("Check user and password in DATABASE_URL.")
    assert wrong(cluster.url("Missing")) == {
        "database": 'Database "Missing" does not exist. Create it, or check DATABASE_URL.'
    }
    fresh = wrong(empty_database)
    assert fresh["schema"] == "The schema is not there; run: taskward migrate"
    assert fresh["role"].endswith("is not there to switch to; run: taskward migrate")
    run("migrate", DATABASE_URL=empty_database)
    name = urlsplit(empty_database).path.lstrip("/")
    superuser = cluster.url(name, superuser=True)
    assert wrong(superuser) == {}
    execute(superuser, f"ALTER ROLE taskward_requests_{name} BYPASSRLS")
    unsafe = f"role taskward_requests_{name} bypasses row-level security; take that from it."
    assert wrong(empty_database) == {"role": f"Requests cannot run safely: {unsafe}"}
    execute(
        superuser,
        f"ALTER ROLE taskward_requests_{name} NOBYPASSRLS",
        "ALTER TABLE taskward.task NO FORCE ROW LEVEL SECURITY",
    )
    assert wrong(empty_database) == {"role": "Row-level security is not in force on task; run: taskward migrate"}
    execute(
        superuser,
        "ALTER TABLE taskward.task FORCE ROW LEVEL SECURITY",
        "UPDATE taskward.alembic_version SET version_num = '0000'",
    )
    assert "run: taskward migrate" in wrong(empty_database)["schema"]
    assert "newer Taskward" in refusal(run("migrate", DATABASE_URL=empty_database))

"""The addresses that providers print, and what is refused of them. The last part connects."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import asyncpg
import pytest

from taskward.storage.dsn import AddressError, parse_address
from taskward.storage.pool import connect
from tests.citus import on_one_machine
from tests.clusters import Cluster

PASSWORD = "Hunter2Hunter2"

PROVIDERS = {
    "Neon": (
        f"postgresql://u:{PASSWORD}@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
        f"postgresql://u:{PASSWORD}@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require",
        False,
    ),
    "Neon pooled": (
        f"postgresql://u:{PASSWORD}@ep-cool-1-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require",
        f"postgresql://u:{PASSWORD}@ep-cool-1-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require",
        True,
    ),
    "Supabase direct": (
        f"postgresql://postgres:{PASSWORD}@db.abc.supabase.co:5432/postgres",
        f"postgresql://postgres:{PASSWORD}@db.abc.supabase.co:5432/postgres",
        False,
    ),
    "Supabase transaction pooler": (
        f"postgres://postgres.abc:{PASSWORD}@aws-0-eu-west-1.pooler.supabase.com:6543/postgres",
        f"postgresql://postgres.abc:{PASSWORD}@aws-0-eu-west-1.pooler.supabase.com:6543/postgres",
        True,
    ),
    "Supabase session pooler": (
        f"postgres://postgres.abc:{PASSWORD}@aws-0-eu-west-1.pooler.supabase.com:5432/postgres",
        f"postgresql://postgres.abc:{PASSWORD}@aws-0-eu-west-1.pooler.supabase.com:5432/postgres",
        False,
    ),
    "Heroku": (
        f"postgres://u:{PASSWORD}@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1a2",
        f"postgresql://u:{PASSWORD}@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1a2",
        False,
    ),
    "Render": (
        f"postgresql://u:{PASSWORD}@dpg-abc-a.frankfurt-postgres.render.com/db",
        f"postgresql://u:{PASSWORD}@dpg-abc-a.frankfurt-postgres.render.com/db",
        False,
    ),
    "Prisma": (
        f"postgresql://u:{PASSWORD}@host:5432/db?schema=public&connection_limit=1&pool_timeout=0&pgbouncer=true",
        f"postgresql://u:{PASSWORD}@host:5432/db",
        True,
    ),
    "SQLAlchemy": (f"postgresql+asyncpg://u:{PASSWORD}@host/db", f"postgresql://u:{PASSWORD}@host/db", False),
    "libpq": (
        f"postgresql://u:{PASSWORD}@host/db?connect_timeout=10&application_name=x&keepalives=1&target_session_attrs=any",
        f"postgresql://u:{PASSWORD}@host/db",
        False,
    ),
    "surrounding space": (f" postgresql://u:{PASSWORD}@host/db\n", f"postgresql://u:{PASSWORD}@host/db", False),
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_a_provider_prints_is_understood(provider: str):
    url, dsn, pooled = PROVIDERS[provider]
    address = parse_address(url)
    assert address.dsns == (dsn,)
    assert address.pooled is pooled


@pytest.mark.parametrize(
    ("url", "pooled"),
    [
        ("postgresql://h:6543/db", True),
        ("postgresql://h:5432,h:6543/db", True),
        ("postgresql://[::1]:6543/db", True),
        ("postgresql://[::1]/db", False),
        ("postgresql://[::6543]/db", False),
        ("postgresql://h/db?pgbouncer=false", False),
        ("postgresql://h/db?pgbouncer=true", True),
        ("postgresql://h/db?port=6543", True),
        ("postgresql:///db?host=h&port=6543", True),
        ("postgresql:///db?host=x-pooler.neon.tech", True),
        ("postgresql://my-pooler-x.neon.tech/db", False),
        ("postgresql://x-pooler/db", True),
        ("postgresql://h/x-pooler", False),
        ("postgresql://x-pooler@h/db", False),
        ("postgresql:///db?host=/var/run/x-pooler", False),
    ],
)
def test_a_pooler_is_recognised(url: str, pooled: bool):
    assert parse_address(url).pooled is pooled
    assert parse_address(url, pooled="on").pooled is True
    assert parse_address(url, pooled="off").pooled is False


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must start with postgresql://"),
        ("mysql://h/db", "must start with postgresql://"),
        ("postgresql:h/db", "must start with postgresql://"),
        ("postgresql://u:{}@[::1/db", "not a URL that can be read"),
        ("postgresql://u:{}@h:port/db", "port"),
        ("postgresql://u:{}@h:99999/db", "port"),
        ("postgresql://u:{}@h/db?sslmod=require", "not known: sslmod"),
        ("postgresql://u:{}@h/db?options=-csearch_path%3Dx", "not known: options"),
        ("postgresql://u:{}@h/db?a=1&b=2", "not known: a"),
        ("postgresql://u:{}@h/db?row_security=off", "not known: row_security"),
        ("postgresql://u:{}#x@h/db", "not a URL that can be read"),
        ("postgresql://u:12?{}@h/db", "not a URL that can be read"),
        ("postgresql://u:12?x={}@h/db", "not a URL that can be read"),
        ("postgresql://u:1/{}@h/db", "not a URL that can be read"),
        ("postgresql://u:{}@h/db?host=a,b&port=1,2,3", "not one per host"),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_password(url: str, message: str):
    with pytest.raises(AddressError, match=message) as caught:
        parse_address(url.replace("{}", PASSWORD), variable="TASKWARD_MIGRATE_URL")
    assert "TASKWARD_MIGRATE_URL" in str(caught.value)
    assert PASSWORD not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_address_does_not_show_its_password():
    address = parse_address(f"postgresql://u:{PASSWORD}@h/db?password={PASSWORD}")
    assert PASSWORD not in f"{address!r} {address}"


def test_several_hosts_become_several_addresses():
    address = parse_address("postgresql://u:p@one:1,two:2,[::1]:3/db?sslmode=require")
    assert [urlsplit(dsn).netloc for dsn in address.dsns] == ["u:p@one:1", "u:p@two:2", "u:p@[::1]:3"]


def test_several_hosts_as_parameters_become_several_addresses():
    address = parse_address("postgresql://u:p@/db?host=one,two&port=1,2")
    assert [urlsplit(dsn).netloc for dsn in address.dsns] == ["u:p@one:1", "u:p@two:2"]


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgresql://u@localhost/db?host=/cloudsql/a:b:c", "postgresql://u@/db?host=%2Fcloudsql%2Fa%3Ab%3Ac"),
        ("postgresql://u@h/db?port=5433", "postgresql://u@h:5433/db"),
        ("postgresql://u@h:1/db?port=5433", "postgresql://u@h:5433/db"),
        ("postgresql://u@h:1/db?host=i", "postgresql://u@i:1/db"),
        ("postgresql://u@%2Frun%2Fx:5433/db", "postgresql://u@/db?host=%2Frun%2Fx&port=5433"),
        ("postgresql://u:p@ss@h/db", "postgresql://u:p%40ss@h/db"),
        ("postgresql://[fe80::1%25eth0]:1/db", "postgresql://[fe80::1%25eth0]:1/db"),
    ],
)
def test_host_and_port_are_read_as_libpq_reads_them(url: str, dsn: str):
    assert parse_address(url).dsns == (dsn,)


@pytest.mark.parametrize("url", ["postgresql:///db", "postgresql://", "postgresql://u:p@/db", "postgresql://h"])
def test_what_is_left_out_is_left_to_the_defaults(url: str):
    assert len(parse_address(url).dsns) == 1


def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@on_one_machine("another host is not reached by a socket")
async def test_a_unix_socket_is_reached(cluster: Cluster, template: str):
    url = cluster.url(template)
    assert "host=/" in url
    connection = await connect(parse_address(url))
    assert await connection.fetchval("SELECT current_database()") == template
    await connection.close()


@on_one_machine("another host is not reached by a socket")
async def test_the_next_host_is_tried_when_one_is_dead(cluster: Cluster, template: str):
    parts = urlsplit(cluster.url(template))
    folder = parts.query.partition("host=")[2].partition("&")[0]
    hosts = f"127.0.0.1:{dead_port()},{folder.replace('/', '%2F')}:5432"
    connection = await connect(parse_address(f"postgresql://{parts.netloc}{hosts}/{template}"))
    assert await connection.fetchval("SELECT current_database()") == template
    await connection.close()


async def test_the_last_failure_is_told_when_every_host_is_dead():
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:{dead_port()},127.0.0.1:{dead_port()}/db"
    with pytest.raises(OSError, match=r"127\.0\.0\.1") as caught:
        await connect(parse_address(url))
    assert PASSWORD not in repr(caught.value)


@on_one_machine("another host is not reached by a socket")
async def test_a_refused_login_does_not_tell_the_password(cluster: Cluster, template: str):
    parts = urlsplit(cluster.url(template))
    with pytest.raises(asyncpg.InvalidPasswordError) as caught:
        await connect(parse_address(f"postgresql://taskward:{PASSWORD}@/{template}?{parts.query}"))
    assert PASSWORD not in repr(caught.value)


@on_one_machine("another host is not reached by a socket")
async def test_percent_encoded_credentials_are_decoded(cluster: Cluster, template: str):
    parts = urlsplit(cluster.superuser)
    admin = await asyncpg.connect(cluster.superuser)
    await admin.execute("""CREATE ROLE "at@co:lon/%" LOGIN PASSWORD 'p@ss:w/rd?#%,'""")
    try:
        url = f"postgresql://at%40co%3Alon%2F%25:p%40ss%3Aw%2Frd%3F%23%25%2C@/{template}?{parts.query}"
        connection = await connect(parse_address(url))
        assert await connection.fetchval("SELECT current_user::text") == "at@co:lon/%"
        await connection.close()
    finally:
        await admin.execute('DROP ROLE "at@co:lon/%"')
        await admin.close()

"""The same messages over TCP, in the clear and over TLS, as over a socket's file."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.cluster import temporary
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from taskward.identity import Owner
from taskward.storage.dsn import parse_address
from taskward.storage.migrate import migrate
from tests.databases import OLDEST_POSTGRES, connected, execute, opened, read_tasks, write_task

pytestmark = pytest.mark.processes


ALICE, BOB = Owner("alice"), Owner("bob")


@pytest.fixture(scope="module")
def over_tcp(open_folder: Path) -> Iterator[tuple[str, Path]]:
    """A server's address as its superuser, over TCP, with TLS; and its certificate."""
    if not OLDEST_POSTGRES.joinpath("postgres").exists():
        pytest.skip(f"PostgreSQL 15 is not installed in {OLDEST_POSTGRES}, and the wheel's was built without TLS")
    folder = open_folder / "tls"
    folder.mkdir()
    with temporary(folder, OLDEST_POSTGRES) as server:
        certificate = _certify(folder / "postgresql")
        asyncio.run(_switch_tls_on(server.admin_dsn, certificate))
        yield server.admin_dsn, certificate


def _certify(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    built = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        now - dt.timedelta(1),
        now + dt.timedelta(1),
    )
    certificate = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    owner = folder.stat()
    for file, content in ((folder / "server.key", secret), (folder / "server.crt", certificate)):
        file.write_bytes(content)
        file.chmod(0o600)
        os.chown(file, owner.st_uid, owner.st_gid)
    return folder / "server.crt"


async def _switch_tls_on(url: str, certificate: Path) -> None:
    await execute(
        url,
        f"ALTER SYSTEM SET ssl_cert_file = '{certificate}'",
        f"ALTER SYSTEM SET ssl_key_file = '{certificate.with_name('server.key')}'",
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    )
    async with asyncio.timeout(10), connected(url) as connection:
        while await connection.fetchval("SHOW ssl") != "on":  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
async def test_over_tcp_and_tls_it_is_the_same(over_tcp: tuple[str, Path], written: list[str], mode: str):
    superuser, certificate = over_tcp
    name = f"over_tcp_{secrets.token_hex(4)}"
    await execute(superuser, f"CREATE DATABASE {name}")
    query = f"sslmode={mode}" + (f"&sslrootcert={certificate}" if mode == "verify-ca" else "")
    url = superuser.replace("/postgres", f"/{name}") + f"?{query}"
    await migrate(parse_address(url))
    async with opened(url, pool_size=1) as database:
        await write_task(database, "alice")
        for _ in range(2):
            assert len(await read_tasks(database, ALICE)) == 1
        (lease,) = database.pool.idle
        transport = lease.connection._transport  # type: ignore[attr-defined]
        assert (transport.get_extra_info("ssl_object") is not None) is (mode != "disable")
        del written[:]
        assert await read_tasks(database, BOB) == []
        assert len(await read_tasks(database, ALICE)) == 1
        assert written == ["BEBES", "BEBES"]

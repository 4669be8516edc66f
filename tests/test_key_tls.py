"""Keys over https from a real issuer with a certificate: whom it is trusted by, and which way it is reached."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from taskward.identity import FetchError
from taskward.identity.issuer import KeySource
from tests.publisher import FIRST

PROXIES = ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR", *PROXIES, *map(str.lower, PROXIES))


@pytest.fixture(autouse=True)
def _of_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def certify(subject: str, key: Any, issuer: str, signer: Any, *, authority: bool) -> x509.Certificate:
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    since = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    serial = x509.random_serial_number()
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), serial, since, since + dt.timedelta(days=1))
    return (
        builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of an issuer's keys, and the certificate of the authority that it is certified by."""
    folder = tmp_path_factory.mktemp("tls")
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    trusted = folder / "authority.pem"
    certificate = certify("Tests", root, "Tests", root, authority=True)
    trusted.write_bytes(certificate.public_bytes(Encoding.PEM))
    shown = folder / "issuer.pem"
    shown.write_bytes(
        leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certify("localhost", leaf, "Tests", root, authority=False).public_bytes(Encoding.PEM)
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [FIRST.jwk(kid="1")], "x": "y" * 200_000}).encode())

        def log_message(self, *_arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://localhost:{server.server_address[1]}/keys", trusted
    server.shutdown()
    server.server_close()


def relay(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """The address of a proxy that lets through once it is told to, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            if "let me through" not in asked:
                self.send_error(502)
                return
            host, _, port = self.path.partition(":")
            with socket.create_connection((host, int(port)), 10) as upstream:
                self.send_response(200)
                self.end_headers()
                threading.Thread(target=relay, args=(self.connection, upstream), daemon=True).start()
                relay(upstream, self.connection)

        def log_message(self, *_arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://user:hunter2@127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


async def fetched(address: str) -> list[str | None]:
    source = KeySource(issuer=None, jwks_url=address)
    try:
        return [key.kid for key in (await source.fetch()).published.keys.keys]
    finally:
        await source.close()


async def test_an_authority_of_ones_own_is_trusted_where_the_environment_says_so(
    authority: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
):
    address, trusted = authority
    with pytest.raises(FetchError, match=r"cannot be reached \(.*certificate verify failed"):
        await fetched(address)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    assert await fetched(address) == ["1"]
    # Its name is looked at as well.
    with pytest.raises(FetchError, match=r"cannot be reached"):
        await fetched(address.replace("localhost", "127.0.0.1"))


async def test_a_folder_of_authorities_is_trusted_likewise(
    authority: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    address, trusted = authority
    # Named by its hash, as OpenSSL looks for it.
    name = ssl_hash(trusted)
    tmp_path.joinpath(name).write_bytes(trusted.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert await fetched(address) == ["1"]


def ssl_hash(certificate: Path) -> str:
    line = ["openssl", "x509", "-hash", "-noout", "-in", str(certificate)]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip() + ".0"


async def test_a_proxy_of_the_environment_is_used_for_https_unless_it_is_told_not_to(
    authority: tuple[str, Path], proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
):
    address, trusted = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setenv("HTTPS_PROXY", proxy[0])
    with pytest.raises(FetchError) as failed:
        await fetched(address)
    assert "hunter2" not in str(failed.value)
    assert proxy[1] == [address.removeprefix("https://").removesuffix("/keys")]
    proxy[1].append("let me through")
    assert await fetched(address) == ["1"]
    assert len(proxy[1]) == 3
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert await fetched(address) == ["1"]
    assert len(proxy[1]) == 3

"""An identity provider's web server on loopback: it publishes what a test gives it, and can be slow or down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from taskward.identity.issuer import KeySource
from tests.issuer import Issuer, new_private

FIRST, SECOND = (Issuer("ES256", new_private("ES256")) for _ in range(2))
"""Whose key is published to begin with, as `1`, and somebody else."""
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"


@dataclass
class Page:
    """One answer: a body as it is, or as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Publisher:
    """Pages by their path, how often each was asked for, and from where."""

    def __init__(self, port: int = 0) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.connections: set[tuple[str, int]] = set()
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def keys_url(self) -> str:
        return self.url + KEYS

    def publish(self, *keys: Any, **page: Any) -> None:
        """Publish a key set, where the discovery document says that it is."""
        self.pages[KEYS] = Page({"keys": list(keys)}, **page)
        self.pages[DISCOVERY] = Page({"issuer": self.url, "jwks_uri": self.keys_url})

    def count(self, path: str = KEYS) -> int:
        return self.asked.count(path)

    def start(self) -> None:
        """Come up again, at the same address."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.connections.add(self.client_address)
                page = outer.pages.get(self.path, Page(b"", 404))
                time.sleep(page.seconds)
                try:
                    self.send_response(page.status)
                    for name, value in {"Content-Length": str(len(page.data)), **page.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(page.data)
                except ConnectionError:
                    pass  # whoever asked does not wait any longer

            def log_message(self, *_arguments: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be out of reach."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def publishing(*keys: Any) -> Iterator[Publisher]:
    publisher = Publisher()
    publisher.publish(*keys)
    try:
        yield publisher
    finally:
        publisher.stop()


@pytest.fixture(name="publisher")
def publisher_fixture() -> Iterator[Publisher]:
    with publishing(FIRST.jwk(kid="1")) as publisher:
        yield publisher


def source(publisher: Publisher, **changes: Any) -> KeySource:
    """Where the publisher's keys come from: by their address, unless something else is chosen."""
    return KeySource(**{"issuer": None, "jwks_url": publisher.keys_url, **changes})

"""`taskward serve` as a process, as it meets connections that are no requests."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.services import BASE_ENVIRONMENT
from tests.serving import SECRET

pytestmark = pytest.mark.processes
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # with empty SETTINGS


@pytest.fixture
def served(cluster: Cluster, template: str, tmp_path: Path) -> Iterator[int]:
    """The port at which a process serves."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    settings = {"DATABASE_URL": cluster.url(template), "TASKWARD_JWT_SECRET": SECRET, "TASKWARD_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "taskward", "serve"],
        cwd=tmp_path, env={**BASE_ENVIRONMENT, "HOME": str(tmp_path), **settings},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_only_one_version_of_http_is_spoken(served: int):
    # To wait for either has no time limit, so that connections without a word would keep everybody else out.
    with socket.create_connection(("127.0.0.1", served), timeout=10) as connection:
        connection.sendall(PREFACE)
        answer = connection.recv(1000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")

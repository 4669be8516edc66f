"""A bound on what a server may send before the answer that is waited for begins.

A limit of the document's size does not count answers that only announce one (1xx, RFC 9110, section 15.2), of which
there may be any number.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

MOST_BYTES = 1 << 16  # of headers, those of answers that announce another included
# What is read at one time is parsed in one piece, and meanwhile nobody else is served.
_AT_ONCE = 8192


def bound(client: httpx2.AsyncClient) -> None:
    """Let each of the client's connections, those through proxies included, end where no answer begins.

    httpx2 has no parameter for what its transports read from.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx2.AsyncHTTPTransport):
            pool = transport._pool  # noqa: SLF001
            pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001


def begun(response: httpx2.Response) -> None:
    """Read on without this bound: the answer's own headers are there."""
    stream = response.extensions["network_stream"]
    if isinstance(stream, _Stream):
        stream.left = math.inf


class _Backend(httpcore2.AsyncNetworkBackend):
    def __init__(self, inner: httpcore2.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - of the interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, MOST_BYTES)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, inner: httpcore2.AsyncNetworkStream, left: float) -> None:
        self._inner = inner
        self.left = left  # bytes

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self._inner.read(min(max_bytes, _AT_ONCE), timeout)
        self.left -= len(data)
        if self.left < 0:
            raise httpcore2.ReadError(f"it sends {MOST_BYTES} bytes and no answer")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout), self.left)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

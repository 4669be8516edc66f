"""Requests that no proper client sends, byte by byte over a socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11
import orjson


@dataclass(frozen=True)
class Answer:
    """An answer as it came over the wire; names of headers are in lower case, repeated ones are joined by a comma."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


async def exchange(base_url: str, *parts: bytes, method: bytes = b"GET", pause: float = 0) -> Answer:
    """Send the parts as they are, with a pause between them, and read one answer.

    Args:
        base_url: Where the app is served.
        parts: What to send.
        method: The method among them, on which the answer's framing depends.
        pause: Seconds between two parts.
    """
    address = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    sending = asyncio.create_task(_send(writer, parts, pause))
    try:
        async with asyncio.timeout(20):
            return await _read(client, reader)
    finally:
        sending.cancel()
        writer.close()


async def _send(writer: asyncio.StreamWriter, parts: tuple[bytes, ...], pause: float) -> None:
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        pass  # an answer may come, and the connection end, before everything is sent


async def _read(client: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, body = 0, b""
    headers: dict[str, str] = {}
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            for name, value in event.headers:
                key, text = name.decode(), value.decode("latin-1")
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return Answer(status, headers, bytes(body))


def request(
    method: str, target: str | bytes, headers: list[tuple[str, str | bytes]], body: bytes | None = None
) -> bytes:
    """A request's bytes; `Host` and, with a body, `Content-Length` are added unless given."""
    lines = [method.encode() + b" " + (target if isinstance(target, bytes) else target.encode()) + b" HTTP/1.1"]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.append(b"Host: x")
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")

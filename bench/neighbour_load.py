"""Requests over kept-alive connections for a while, from a process of its own: what one user does to a worker."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal
from urllib.parse import urlsplit

from bench.processes import BenchError

Pace = Literal["usual", "pipelined", "slow"]
_PIPELINED = 8
_SIP, _PAUSE = 65_536, 0.02
_SPAWN = multiprocessing.get_context("spawn")
_START_SECONDS, _END_SECONDS = 30, 10


@dataclass(frozen=True)
class Load:
    """What to send.

    Attributes:
        requests: Of each connection those that it sends in turn, as they are on the wire.
        pace: Whether the next waits for the answer, several are sent at once, or the answer is read slowly.
    """

    requests: Sequence[Sequence[bytes]]
    pace: Pace = "usual"


@dataclass(frozen=True)
class Done:
    """What came of it: how many answers in a second, and of which status."""

    per_second: float
    statuses: dict[int, int]


def wire(
    method: str, path: str, token: str, body: bytes = b"", media_type: str = "application/json", **headers: str
) -> bytes:
    """A request of HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"]
    if body or method in {"POST", "PATCH"}:
        lines += [f"Content-Length: {len(body)}"] + ([f"Content-Type: {media_type}"] if body else [])
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def under_way(url: str, load: Load) -> Iterator[list[Done]]:
    """Load a server while the block runs; at its end the list has what was done."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_run, args=(url, load, theirs), daemon=True)
    process.start()
    done: list[Done] = []
    try:
        # Until it is connected, there is nothing to measure beside.
        if not ours.poll(_START_SECONDS):
            raise BenchError("The load did not start.")
        ours.recv()
        yield done
        ours.send(None)
        if ours.poll(_END_SECONDS):
            done.append(ours.recv())
    finally:
        theirs.close()
        process.join(1)
        if process.is_alive():
            process.kill()
            process.join()


def _run(url: str, load: Load, told: Connection) -> None:
    asyncio.run(_send(url, load, told))


async def _send(url: str, load: Load, told: Connection) -> None:
    statuses: Counter[int] = Counter()
    running = [asyncio.create_task(_connection(url, one, load.pace, statuses)) for one in load.requests]
    await asyncio.sleep(0.2)
    told.send(None)
    statuses.clear()
    begun = time.monotonic()
    await asyncio.to_thread(told.recv)
    seconds = time.monotonic() - begun
    counted = dict(statuses)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    told.send(Done(sum(counted.values()) / seconds, counted))


async def _connection(url: str, requests: Sequence[bytes], pace: Pace, statuses: Counter[int]) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            client = await Client.connect(url)
            try:
                await _talk(client, requests, pace, statuses)
            finally:
                client.close()
        # It was cut off, and begins anew.
        statuses[0] += 1
        await asyncio.sleep(0.05)


async def _talk(client: Client, requests: Sequence[bytes], pace: Pace, statuses: Counter[int]) -> None:
    if pace == "pipelined":
        together = b"".join(list(requests) * _PIPELINED)
        while True:
            client.send(together)
            for _ in range(len(requests) * _PIPELINED):
                statuses[await client.status()] += 1
    while True:
        for request in requests:
            client.send(request)
            statuses[await client.status(slowly=pace == "slow")] += 1


class Client:
    """One connection that sends prepared requests and reads past their answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, url: str) -> Client:
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    def close(self) -> None:
        self._writer.close()

    def send(self, request: bytes) -> None:
        self._writer.write(request)

    async def status(self, *, slowly: bool = False) -> int:
        """Read an answer to its end, and say which status it has."""
        return (await self.answer(slowly=slowly))[0]

    async def answer(self, *, slowly: bool = False) -> tuple[int, bytes]:
        """The next answer: its status and its body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        body: list[bytes] = []
        if fields.get(b"transfer-encoding") == b"chunked":
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                body.append(await self._read(size, slowly=slowly))
                await self._reader.readexactly(2)
            await self._reader.readexactly(2)
        elif status not in {204, 304}:
            body.append(await self._read(int(fields.get(b"content-length", b"0")), slowly=slowly))
        return status, b"".join(body)

    async def _read(self, size: int, *, slowly: bool) -> bytes:
        if not slowly:
            return await self._reader.readexactly(size)
        pieces = []
        while size:
            pieces.append(await self._reader.readexactly(min(size, _SIP)))
            size -= len(pieces[-1])
            await asyncio.sleep(_PAUSE)
        return b"".join(pieces)

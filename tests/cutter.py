"""A proxy on loopback, in front of PostgreSQL, that cuts a connection between two messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

Side = Literal["client", "server"]
# What asks for TLS or GSSAPI before the first message.
_ENCRYPTIONS = tuple(b"\0\0\0\x08\x04\xd2" + code for code in (b"\x16\x2f", b"\x16\x30"))


@dataclass
class Cutter:
    """What is relayed, and where it ends.

    Attributes:
        seen: The first letter of each message since `listen`, by who sent it.
        cut: Whose message, which one of those since `listen`, is not relayed; None for none.
        hold: Seconds for which a new connection is held up.
        stays_away: Whether new connections are refused once one was cut.
        is_down: Whether new connections are refused.
    """

    url: str
    port: int
    seen: dict[Side, str] = field(default_factory=lambda: {"client": "", "server": ""})
    cut: tuple[Side, int] | None = None
    has_cut: bool = False
    hold: float = 0
    stays_away: bool = False
    is_down: bool = False
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    def cut_clients(self) -> None:
        """End what clients have open now. The server notices when it answers."""
        for writer in self.open:
            writer.transport.abort()

    def listen(self, cut: tuple[Side, int] | None = None) -> None:
        """Count messages from now on, and cut the connection in place of relaying one of them."""
        self.seen = {"client": "", "server": ""}
        self.cut, self.has_cut = cut, False

    def relays(self, side: Side, kind: str) -> bool:
        """Note a message, and say whether it goes on."""
        number = len(self.seen[side])
        self.seen[side] += kind
        if self.cut == (side, number) and not self.has_cut:
            self.has_cut = True
            return False
        return True


@asynccontextmanager
async def cutting(url: str) -> AsyncIterator[Cutter]:
    """Relay to the server that `url` names, by a socket or by a host."""
    parts = urlsplit(url)
    names = {name: values[0] for name, values in parse_qs(parts.query).items()}
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(cutter.hold)
        if cutter.is_down or (cutter.stays_away and cutter.has_cut):
            writer.transport.abort()
            return
        if parts.hostname:
            server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)
        else:
            socket = f"{names['host']}/.s.PGSQL.{names['port']}"
            server_reader, server_writer = await asyncio.open_unix_connection(socket)
        both = (writer, server_writer)
        cutter.open.append(writer)
        for side, source, target in (("client", reader, server_writer), ("server", server_reader, writer)):
            task = asyncio.create_task(_relay(cutter, side, source, target, both))  # type: ignore[arg-type]
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = f"{quote(parts.username or '')}:{quote(parts.password or '')}"
    cutter = Cutter(urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}", query="sslmode=disable")), port)
    try:
        yield cutter
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _relay(
    cutter: Cutter,
    side: Side,
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
) -> None:
    # What a client begins with has no letter.
    letters = 0 if side == "client" else 1
    try:
        while True:
            head = await source.readexactly(letters + 4)
            message = head + await source.readexactly(int.from_bytes(head[letters:], "big") - 4)
            if message in _ENCRYPTIONS:
                both[0].write(b"N")
                continue
            if letters and not cutter.relays(side, chr(message[0])):
                break
            letters = 1
            target.write(message)
            await target.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        for writer in both:
            with contextlib.suppress(RuntimeError):
                writer.transport.abort()

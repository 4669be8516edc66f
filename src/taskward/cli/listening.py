"""The socket that a worker listens on. It makes the operating system end connections whose clients take nothing.

Granian's `send` returns when its own buffers have room, and tells neither when the last of an answer has left them nor
how to end a connection. The system knows both. Accepted connections inherit what is set here.
"""

from __future__ import annotations

import os
import socket
from typing import Any

# Bytes of an answer that the system takes and has not sent yet. By default it takes up to 4 MiB of each, and says that
# there is room again when a third has left, which a slow client may need longer for than it has.
_NOT_SENT = 128 * 1024


def prepared_socket(spec: Any, timeout: float) -> Any:
    """The socket of a listener.

    Args:
        spec: Granian's `SocketSpec`.
        timeout: Seconds after which a connection is ended whose client takes nothing, on Linux (`TCP_USER_TIMEOUT`,
            tcp(7)).

    Returns:
        Granian's `SocketHolder`.
    """
    holder = spec.build()
    with socket.socket(fileno=os.dup(holder.get_fd())) as listener:
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout * 1000))
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT)
    return holder

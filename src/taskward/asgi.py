"""The factory for ASGI servers other than that of `taskward serve`: `uvicorn taskward.asgi:create_app --factory`.

What refuses to start says why in a sentence. A server would print the traceback of an exception.
"""

from __future__ import annotations

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskward.app import create_app as create
from taskward.cli.failures import FAILURES, sentence


def create_app() -> ASGIApp:
    """Make the app from the environment and `.env`.

    Raises:
        SystemExit: It cannot be made; the message is a sentence.
    """
    try:
        return _Telling(create())
    except FAILURES as error:
        raise SystemExit(f"taskward: {sentence(error)}") from None


class _Telling:
    """Tells the server a sentence in place of a traceback where the lifespan cannot begin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        told = False

        async def tell(message: Message) -> None:
            nonlocal told
            # The framework sends this while it handles what has been raised.
            error = sys.exc_info()[1]
            if message["type"] == "lifespan.startup.failed" and isinstance(error, FAILURES):
                message = {**message, "message": f"taskward: {sentence(error)}"}
                told = True
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except FAILURES:
            if not told:
                raise

"""What the service tells its operator: events with members, thinned out where strangers could flood.

Every module logs through `get_logger`, which hands a record to the standard library's loggers and configures nothing:
an app that Taskward is mounted in, or another ASGI server, decides what becomes of it. `taskward serve` has its own
handler (`cli.logs`). No event holds a token, a user id, or a value of a request or a row.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
from collections.abc import Callable, Mapping, MutableMapping
from traceback import walk_tb
from typing import Any, cast

import structlog

_PLAIN = re.compile(r"[!#-<>-~]+")
_MOST_FRAMES = 30  # the innermost ones: a recursion has a thousand
_MOST_CAUSES = 5


class Event(dict[str, Any]):
    """An event as the message of a record: one line of text for whatever prints it, a mapping for who knows it."""

    def __str__(self) -> str:
        members = (f"{name}={_shown(value)}" for name, value in self.items() if name != "event" and value is not None)
        return " ".join([str(self["event"]), *members])


def _shown(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _as_record(
    logger: logging.Logger, method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[Event], dict[str, Any]]:
    # `extra` is what `structlog.stdlib.ProcessorFormatter` knows an event by.
    return (Event(event),), {"extra": {"_logger": logger, "_name": method}}


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger of events: `log.warning("request failed", status=503)`.

    Args:
        name: That of a logger of the standard library, below `taskward`.
    """
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, _as_record],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("structlog.stdlib.BoundLogger", logger)


def without_data(error: BaseException, *, causes: int = _MOST_CAUSES) -> str:
    """What an exception is and where it came from, in one line. Its message may quote a row or a token: it is left out.

    Args:
        causes: How many of the exceptions behind it are told as well.
    """
    kind = type(error)
    parts = [kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"]
    frames = [
        f"at {frame.f_code.co_qualname} ({frame.f_code.co_filename}:{line})"
        for frame, line in walk_tb(error.__traceback__)
    ]
    parts += frames[-_MOST_FRAMES:]
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and causes:
        parts += ["caused by" if error.__cause__ else "while handling", without_data(before, causes=causes - 1)]
    return " ".join(parts)


def outcome(code: int | None) -> dict[str, Any]:
    """How a process ended, as members of an event.

    Args:
        code: Its exit code, or minus the number of the signal that ended it; None where that is not known.
    """
    if code is None or code >= 0:
        return {"code": code}
    try:
        return {"signal": signal.Signals(-code).name}
    except ValueError:
        return {"signal": str(-code)}


class Thinner:
    """Lets the first event of a kind through and counts the next ones, for as long as they go on.

    Args:
        tell: Called at the end of each period in which others were counted, with the kind's members and their number.
        seconds: How long a period is.
    """

    def __init__(self, tell: Callable[[Mapping[str, Any], int], None], seconds: float = 10) -> None:
        self._tell = tell
        self._seconds = seconds
        self._counts: dict[tuple[tuple[str, Any], ...], int] = {}

    def is_first(self, **members: Any) -> bool:
        """Note an event; its kind is told apart by these members.

        Returns:
            Whether it is to be logged by itself.
        """
        kind = tuple(members.items())
        if kind in self._counts:
            self._counts[kind] += 1
            return False
        self._counts[kind] = 0
        self._wait(kind)
        return True

    def _wait(self, kind: tuple[tuple[str, Any], ...]) -> None:
        asyncio.get_running_loop().call_later(self._seconds, self._end, kind)

    def _end(self, kind: tuple[tuple[str, Any], ...]) -> None:
        count = self._counts.pop(kind, 0)
        if count:
            self._tell(dict(kind), count)
            self._counts[kind] = 0
            self._wait(kind)

    def flush(self) -> None:
        """Tell what was counted and not told yet."""
        counts, self._counts = self._counts, {}
        for kind, count in counts.items():
            if count:
                self._tell(dict(kind), count)

"""How `taskward serve` writes its log: lines on standard error, of text or of JSON, of its own events and of what the
libraries say. Parent and workers configure themselves alike, from a mapping that a started process can be handed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, cast

import structlog

from taskward.runtime.log import get_logger, without_data
from taskward.settings import Settings

LogFormat = Literal["text", "json"]

_log = get_logger("taskward.loop")


def format_of(settings: Settings) -> LogFormat:
    """As it is set; else text for a person at a terminal, and JSON for whatever else reads the log."""
    return settings.log_format or ("text" if sys.stderr.isatty() else "json")


def configuration(settings: Settings) -> dict[str, Any]:
    """For `logging.config.dictConfig`.

    Libraries are heard from `warning` on, whatever the level: below, they tell of each step.
    """
    level = settings.log_level.upper()
    others = "ERROR" if level == "ERROR" else "WARNING"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {"()": formatter, "kind": format_of(settings), "colors": sys.stderr.isatty()},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": others},
        "loggers": {
            "taskward": {"level": level},
            # Of the server, whose own handlers would write to standard output.
            "_granian": {"handlers": [], "propagate": True},
            "granian.access": {"handlers": [], "propagate": True},
        },
    }


def formatter(kind: LogFormat, *, colors: bool) -> logging.Formatter:
    renderer: Any
    if kind == "json":
        renderer = structlog.processors.JSONRenderer(separators=(",", ":"))
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, timestamp_key="time")
    return structlog.stdlib.ProcessorFormatter(
        processors=[_complete, structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )


def _complete(_logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Put the members that every line has before the event's own."""
    record = cast("logging.LogRecord", event["_record"])
    exc_info = event.pop("exc_info", None)
    complete = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        # What a library says may have lines; each is one line here.
        "event": " ".join(str(event.pop("event")).split()),
        "logger": record.name,
        "pid": record.process,
        **event,
    }
    if exc_info and exc_info[1] is not None:
        complete["exception"] = without_data(exc_info[1])
    return complete


def on_loop_error(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log an error of the event loop (see `loop.set_exception_handler`) without its message, which may quote a row."""
    error = context.get("exception")
    known = {} if error is None else {"exception": without_data(error)}
    _log.error("a task failed that nobody waited for", reason=context["message"], **known)

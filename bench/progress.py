"""What the bench is doing, for whoever waits for it."""

from __future__ import annotations

import sys
import time

_started = time.monotonic()


def say(what: str) -> None:
    """Write a line to stderr, with the seconds since the start."""
    print(f"[{time.monotonic() - _started:5.0f} s] {what}", file=sys.stderr, flush=True)

"""Long work in between which other requests are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import TypeVar

_T = TypeVar("_T")
_SLICE = 0.005
"""Seconds for which others wait at most, but for what one item takes."""


async def fairly(items: Iterable[_T]) -> AsyncIterator[_T]:
    """Items one by one; whenever they have taken their time, others run first."""
    since = monotonic()
    for item in items:
        yield item
        if monotonic() - since > _SLICE:
            await asyncio.sleep(0)
            since = monotonic()

"""Dependencies that yield what a context manager gives."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Makes = Callable[..., AbstractAsyncContextManager[Any]]

# Not an attribute of the dependency: `functools.wraps` would copy it to whatever is put around one.
_made: dict[Callable[..., Any], _Makes] = {}


def yields(make: Callable[_P, AbstractAsyncContextManager[_T]]) -> Callable[_P, AsyncIterator[_T]]:
    """Make a dependency that yields, as FastAPI runs it, of a function that makes a context manager. A plan enters and
    leaves that one itself, which costs less than a generator around it.
    """

    @functools.wraps(make)
    async def dependency(*arguments: _P.args, **named: _P.kwargs) -> AsyncIterator[_T]:
        async with make(*arguments, **named) as value:
            yield value

    _made[dependency] = make
    return dependency


def managers_of(dependency: Callable[..., Any]) -> _Makes | None:
    """What makes the context managers of a dependency, if it was made by `yields`."""
    return _made.get(dependency)

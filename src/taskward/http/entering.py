"""Dependencies that are made of context managers."""

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
    """Turn a function that makes a context manager into a dependency that yields.

    FastAPI runs that dependency, a generator. A plan enters and leaves the context manager itself, which costs less.
    """

    @functools.wraps(make)
    async def dependency(*arguments: _P.args, **named: _P.kwargs) -> AsyncIterator[_T]:
        async with make(*arguments, **named) as value:
            yield value

    _made[dependency] = make
    return dependency


def managers_of(dependency: Callable[..., Any]) -> _Makes | None:
    """The function that makes a dependency's context managers, if `yields` has made the dependency."""
    return _made.get(dependency)

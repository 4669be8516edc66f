"""What Taskward uses of FastAPI and Starlette beyond their documented interface.

`tests/test_framework_contract.py` says which of these parts an upgrade has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute, _effective_route_context_var
from pydantic import TypeAdapter
from starlette._utils import get_route_path, is_async_callable
from starlette.types import Scope

__all__ = [
    "AsyncExitStackMiddleware",
    "Dependant",
    "as_included",
    "body_at_hand",
    "get_route_path",
    "is_async_callable",
    "keep_body",
    "overridden",
    "put_state",
    "validator_of",
    "without_outer_handlers",
]

_NO_HANDLERS: tuple[dict[Any, Any], dict[int, Any]] = ({}, {})


def as_included(route: APIRoute) -> Any:
    """A route with the prefix and the dependencies of the router that it is being included into, or as it is.

    FastAPI makes the handler of an included route anew, and tells the route class of the router in no other way.
    """
    included = _effective_route_context_var.get()
    return route if included is None or included.original_route is not route else included


def overridden(dependant: Dependant, overrides: Mapping[Any, Any], path: str) -> Dependant:
    """The same tree with every overridden dependency replaced, as FastAPI replaces it."""
    replaced = []
    for sub in dependant.dependencies:
        call = overrides.get(sub.call)
        chosen = sub if call is None else get_dependant(path=path, call=call, name=sub.name, scope=sub.scope)
        replaced.append(overridden(chosen, overrides, path))
    return _with_dependencies(dependant, replaced)


def _with_dependencies(dependant: Dependant, dependencies: Sequence[Dependant]) -> Dependant:
    members = {name: getattr(dependant, name) for name in Dependant.__slots__}
    return Dependant(**{**members, "dependencies": list(dependencies)})


def validator_of(field: Any) -> Callable[[Any], Any]:
    """The function that validates a parameter's value, as FastAPI has built it. Its own `validate` would wrap it."""
    adapter: TypeAdapter[Any] = field._type_adapter
    return adapter.validator.validate_python


def keep_body(request: Request, body: bytes) -> None:
    """Let `request.body()` give a body that has been received, to whoever asks for it later."""
    request._body = body


def body_at_hand(request: Request) -> bytes | None:
    """The body of a request, if somebody has received it."""
    return getattr(request, "_body", None)


def put_state(app: FastAPI, state: Any) -> None:
    """Give an app a state of another kind than Starlette's, which would take a call to look for each member."""
    app.state = state


def without_outer_handlers(scope: Scope) -> None:
    """Let no exception be answered by handlers of the app that this one is mounted in."""
    scope["starlette.exception_handlers"] = _NO_HANDLERS

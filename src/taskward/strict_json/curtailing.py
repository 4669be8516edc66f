"""Drops most of the unknown members of objects: to report thousands takes long, and a few suffice to refuse the
request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

MOST_ERRORS = 20
"""How many mistakes of a request are named."""


class KnownMembers:
    """What members the objects of a type may have, those of its parts included.

    Args:
        annotations: Models and unions of models, any of which the objects may be.
    """

    def __init__(self, *annotations: Any) -> None:
        types: dict[str, list[Any]] = {}
        for model in _models(annotations):
            for name, field in model.model_fields.items():
                types.setdefault(field.alias or name, []).append(field.annotation)
        self._parts = {name: KnownMembers(*several) for name, several in types.items()}

    def names_at(self, path: Iterable[str | int]) -> Collection[str]:
        """The members of an object, which is found by a path of names and of items' numbers."""
        found = self
        for part in path:
            found = found._parts.get(str(part), found)
        return found._parts  # noqa: SLF001

    def are_too_many(self, value: dict[str, Any]) -> bool:
        """Whether an object has more unknown members than are named, whichever they are."""
        return len(value) > len(self._parts) + MOST_ERRORS

    def curtail(self, value: Any) -> Any:
        """The value without the unknown members that would not be reported."""
        if not self._parts or not isinstance(value, dict):
            return value
        if self.are_too_many(value):
            unknown = [name for name in value if name not in self._parts][:MOST_ERRORS]
            value = {name: value[name] for name in value.keys() & self._parts.keys()} | {n: value[n] for n in unknown}
        for name, inner in self._parts.items():
            if name in value:
                value[name] = inner.curtail(value[name])
        return value


def _models(annotations: Iterable[Any]) -> Iterator[type[BaseModel]]:
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            yield from _models(get_args(annotation))

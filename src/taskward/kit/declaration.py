"""One class declares what a resource has; its table and its schemas are derived from that class.

Each member of the class is annotated with its type, whose rules Pydantic checks, and a `Member`; its default is the
default of a new row. Schemas and the table inherit from it, so that a member has its type in each of them.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from dataclasses import field as dataclass_field
from datetime import date, datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, DateTime, Text, Uuid, false, text
from sqlmodel.main import FieldInfoMetadata

_Model = TypeVar("_Model", bound=BaseModel)
_COLUMN_TYPES: dict[Any, Callable[[], Any]] = {
    str: Text,
    bool: Boolean,
    int: BigInteger,
    date: Date,
    datetime: lambda: DateTime(timezone=True),
    UUID: Uuid,
    list[str]: lambda: ARRAY(Text(collation="C")),
}


@dataclass(frozen=True, slots=True)
class Member:
    """What a member is, besides its type and its default.

    Attributes:
        description: One sentence, for whoever writes it.
        example: Its value in the documentation.
        read: One sentence for whoever reads it, where that is another one.
        usual: Whether most rows have its default, so that JSON is written faster where they do.
        alone: Whether a change of it affects no other member and no other row.
        copied: Which copies of a row have it: every copy, only one that follows the row, or none.
        default: The value of a new row where none is given; `declared` fills it in.
    """

    description: str
    example: Any = None
    read: str | None = None
    usual: bool = False
    alone: bool = False
    copied: Literal["always", "next", "never"] = "always"
    default: Any = None


def members_of(model: type[BaseModel]) -> dict[str, Member]:
    """The declared members of a model, in their order."""
    found = {name: _member(field) for name, field in model.model_fields.items()}
    return {name: member for name, member in found.items() if member is not None}


def example_of(model: type[BaseModel]) -> dict[str, Any]:
    """A whole example, from those of its members."""
    return {name: member.example for name, member in members_of(model).items()}


def declared(model: type[_Model]) -> type[_Model]:
    """Give each member its description and its column.

    Raises:
        TypeError: There is no column for the type of a member.
    """
    for name, field in model.model_fields.items():
        if _member(field) is None or any(isinstance(one, FieldInfoMetadata) for one in field.metadata):
            continue
        member = _member_of(field)
        field.description = member.description
        if not field.is_required():
            default = field.get_default(call_default_factory=True)
            field.metadata[field.metadata.index(member)] = replace(member, default=default)
        column_type, nullable = _column_type(bare_type(field.annotation))
        if column_type is not None:
            server_default = _server_default(_member_of(field).default)
            column = Column(name, column_type, nullable=nullable, server_default=server_default)
            field.metadata.append(FieldInfoMetadata(sa_column=column))
    model.model_rebuild(force=True)
    return model


def partial(model: type[_Model]) -> type[_Model]:
    """Make every member optional. One that is left out is not set."""
    for field in model.model_fields.values():
        if field.is_required():
            field.default = None
    model.model_rebuild(force=True)
    return model


def reading(*orders: Sequence[str]) -> Callable[[type[_Model]], type[_Model]]:
    """Turn a model into what clients read: each member is there, its type has no rules, and there is an example.

    Args:
        orders: Sequences of names. Each name comes right after the one before it, and the first sequence begins with
            the first member. All other members stay in the order of their declaration.
    """

    def derive(model: type[_Model]) -> type[_Model]:
        fields = _in_order(model.model_fields, orders)
        for field in fields.values():
            member = _member(field)
            field.annotation = bare_type(field.annotation)
            field.default, field.default_factory = PydanticUndefined, None
            field.metadata = [] if member is None else [member]
            if member is not None:
                field.description = member.description if member.read is None else member.read
        model.__pydantic_fields__ = fields
        model.model_config["json_schema_extra"] = {"examples": [example_of(model)]}
        model.model_rebuild(force=True)
        return model

    return derive


def ignoring(read: type[BaseModel]) -> Callable[[type[_Model]], type[_Model]]:
    """Let a model accept, and ignore, the members that clients read and only the server writes."""

    def derive(model: type[_Model]) -> type[_Model]:
        others = [name for name in read.model_fields if name not in model.model_fields]
        ignored = {
            name: FieldInfo(annotation=Any, default=None, json_schema_extra={"readOnly": True}) for name in others
        }
        model.__pydantic_fields__ = {**model.model_fields, **ignored}
        model.model_rebuild(force=True)
        return model

    return derive


def row_of(model: type[BaseModel]) -> type[Any]:
    """Make a dataclass with slots for rows in memory, with the members of a declaration.

    The type checker is told that its subclasses inherit from the declaration, so each member has its type.
    """
    columns: list[tuple[str, Any, Any]] = []
    for name, field in model.model_fields.items():
        factory = field.default_factory
        if factory is not None:
            default = dataclass_field(default_factory=cast("Callable[[], Any]", factory))
        else:
            default = dataclass_field() if field.is_required() else dataclass_field(default=field.default)
        columns.append((name, bare_type(field.annotation), default))
    return make_dataclass(f"{model.__name__}Row", columns, slots=True)


def bare_type(annotation: Any) -> Any:
    """A type without the rules that it is annotated with."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return bare_type(arguments[0])
    if origin in {Union, types.UnionType}:
        return Union[tuple(bare_type(one) for one in arguments)]  # noqa: UP007 - made of what was found
    if origin in {list, dict}:
        return origin[tuple(bare_type(one) for one in arguments)]
    return annotation


def _member(field: FieldInfo) -> Member | None:
    return next((one for one in field.metadata if isinstance(one, Member)), None)


def _member_of(field: FieldInfo) -> Member:
    member = _member(field)
    assert member is not None, "it was declared"  # noqa: S101
    return member


def _column_type(annotation: Any) -> tuple[Any, bool]:
    alternatives = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
    kinds = [one for one in alternatives if one is not type(None)]
    kind = str if get_origin(kinds[0]) is Literal else kinds[0]
    if kind == dict[str, Any]:
        # The name of JSON's column may be another one, so a table declares it itself.
        return None, False
    if len(kinds) > 1 or kind not in _COLUMN_TYPES:
        raise TypeError(f"there is no column for {annotation}")
    return _COLUMN_TYPES[kind](), len(alternatives) > 1


def _server_default(default: Any) -> Any:
    if default is None:
        return None
    if default is False:
        return false()
    return text("'{}'" if default == [] else f"'{default}'")


def _in_order(fields: Mapping[str, FieldInfo], orders: Sequence[Sequence[str]]) -> dict[str, FieldInfo]:
    names = list(fields)
    for number, (first, *others) in enumerate(orders):
        if not number:
            names.remove(first)
            names.insert(0, first)
        for before, name in pairwise([first, *others]):
            names.remove(name)
            names.insert(names.index(before) + 1, name)
    return {name: fields[name] for name in names}

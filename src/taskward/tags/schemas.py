"""A tag as clients send it and are sent it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import WithJsonSchema
from sqlmodel import Field, SQLModel

from taskward.tags.errors import TagNotFound
from taskward.tasks.types import Tag

_tag: TypeAdapter[str] = TypeAdapter(Tag)


def _tag_name(value: object) -> str:
    try:
        return _tag.validate_python(value)
    except ValidationError:
        raise TagNotFound from None


TagName = Annotated[str, BeforeValidator(_tag_name), WithJsonSchema({"type": "string", "examples": ["home"]})]
"""A tag in a path, percent-encoded. What cannot be a tag is one that nobody has: 404, not 422."""


class TagRename(SQLModel):
    """A tag's new name."""

    model_config = ConfigDict(  # type: ignore[assignment]
        extra="forbid", strict=True, json_schema_extra={"examples": [{"name": "household"}]}
    )

    name: Tag = Field(description="What it shall be called. Where there is such a tag, both become one.")


class TagRead(SQLModel):
    """A tag in use."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "home", "tasks": 3}]})  # type: ignore[assignment]

    name: str
    tasks: int = Field(description="How many live tasks have it.")

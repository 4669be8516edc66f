"""The task: its tables, and what clients send and are sent. No SQL lives here."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Strict, StringConstraints
from pydantic.json_schema import WithJsonSchema
from sqlalchemy import BigInteger, Boolean, Column, Text, Uuid, false, func
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from taskward.database.tables import OwnedTable, owner_column, timestamp_column
from taskward.errors import TaskNotFound

_DAY = 86_400
_CANONICAL_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_TITLE = 255
EXAMPLE: dict[str, Any] = {
    "id": "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c",
    "user_id": "alice",
    "title": "Buy milk",
    "description": "The one with the blue cap",
    "completed": False,
    "completed_at": None,
    "version": 42,
    "created_at": "2026-01-10T09:30:00.123456Z",
    "updated_at": "2026-01-10T09:30:00.123456Z",
    "deleted_at": None,
}


class Task(OwnedTable, table=True):
    """A task in the database; the migrations hold its constraints and its row-level security."""

    __tablename__ = "task"

    user_id: str = owner_column()
    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    title: str = Field(sa_column=Column(Text, nullable=False))
    description: str | None = Field(default=None, sa_column=Column(Text))
    completed: bool = Field(default=None, sa_column=Column(Boolean, nullable=False, server_default=false()))
    completed_at: datetime | None = timestamp_column(nullable=True)
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = timestamp_column(default=func.now())
    updated_at: datetime = timestamp_column(default=func.now(), onupdate=func.now())
    deleted_at: datetime | None = timestamp_column(nullable=True)


class Tombstone(OwnedTable, table=True):
    """What is left of a task that was erased for good."""

    __tablename__ = "tombstone"

    user_id: str = owner_column()
    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = timestamp_column(default=func.now())


def _without_controls(text: str) -> str:
    if _CONTROLS.search(text):
        raise ValueError("This must not have control characters, line breaks among them.")
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("This must not have the character NUL.")
    return text


def _uuid7(value: UUID) -> UUID:
    if value.version != 7:  # noqa: PLR2004
        raise ValueError("This must be a UUIDv7 (RFC 9562, section 5.7).")
    if (value.int >> 80) / 1000 > time.time() + _DAY:
        raise ValueError("This must not lie more than a day in the future.")
    return value


def _canonical(value: object) -> object:
    if isinstance(value, str) and not _CANONICAL_UUID.fullmatch(value):
        raise ValueError("This must be a UUID.")
    return value


def _parse_task_id(value: object) -> UUID:
    # UUID() also takes hyphens elsewhere, underscores and digits of other scripts.
    if isinstance(value, str) and _CANONICAL_UUID.fullmatch(value):
        return UUID(value)
    raise TaskNotFound


# The validators, as patterns for the clients that read the schema. Around a title there may be spaces of any kind and
# number, line breaks among them, which is why its length is part of the pattern; within it no control characters.
_SPACE = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_INK = rf"[^{_SPACE}{_CONTROL}]"
_TITLE_SCHEMA: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "pattern": rf"^[{_SPACE}]*{_INK}(?:[^{_CONTROL}]{{0,{_LONGEST_TITLE - 2}}}{_INK})?[{_SPACE}]*$",
}
_DESCRIPTION_SCHEMA = {"type": "string", "maxLength": 10_000, "pattern": r"^[^\u0000]*$"}
_UUID7_SCHEMA = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
}

Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=_LONGEST_TITLE),
    AfterValidator(_without_controls),
    WithJsonSchema(_TITLE_SCHEMA),
]
Description = Annotated[
    str, StringConstraints(max_length=10_000), AfterValidator(_without_nul), WithJsonSchema(_DESCRIPTION_SCHEMA)
]
NewTaskId = Annotated[
    UUID, Strict(strict=False), BeforeValidator(_canonical), AfterValidator(_uuid7), WithJsonSchema(_UUID7_SCHEMA)
]
TaskId = Annotated[UUID, BeforeValidator(_parse_task_id), WithJsonSchema({"type": "string", "format": "uuid"})]
"""An id in a path. What is not a UUID is the id of no task: 404, not 422."""


def _omit_defaults(schema: dict[str, Any]) -> None:
    # A member that is left out keeps its value, so it has no default to tell of.
    for member in schema.get("properties", {}).values():
        member.pop("default", None)


class TaskCreate(SQLModel):
    """A new task."""

    model_config = ConfigDict(  # type: ignore[assignment]
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"title": "Buy milk", "description": "The one with the blue cap"}]},
    )

    id: NewTaskId = Field(
        default_factory=uuid7, description="A UUIDv7 of your own, for creating offline; else one is made."
    )
    title: Title = Field(description="What is to be done.")
    description: Description | None = Field(default=None, description="Anything more about it.")
    completed: bool = Field(default=False, description="Whether it is done.")


class TaskUpdate(SQLModel):
    """A merge patch (RFC 7396): members that are left out stay as they are."""

    model_config = ConfigDict(  # type: ignore[assignment]
        extra="forbid",
        strict=True,
        json_schema_extra=_omit_defaults,
    )

    title: Title = Field(default="", description="What is to be done.", schema_extra={"examples": ["Buy oat milk"]})
    description: Description | None = Field(default=None, description="Anything more about it; null clears it.")
    completed: bool = Field(default=False, description="Whether it is done.")

    def changes(self) -> dict[str, Any]:
        """The members that were sent."""
        return {name: getattr(self, name) for name in TaskUpdate.model_fields if name in self.model_fields_set}


class TaskReplace(TaskUpdate):
    """A task as it was read, changed. Members that are left out stay; those that only the server writes are ignored."""

    id: Any = Field(default=None, schema_extra={"readOnly": True})
    user_id: Any = Field(default=None, schema_extra={"readOnly": True})
    completed_at: Any = Field(default=None, schema_extra={"readOnly": True})
    version: Any = Field(default=None, schema_extra={"readOnly": True})
    created_at: Any = Field(default=None, schema_extra={"readOnly": True})
    updated_at: Any = Field(default=None, schema_extra={"readOnly": True})
    deleted_at: Any = Field(default=None, schema_extra={"readOnly": True})


class Completion(SQLModel):
    """Whether a task is done; without `completed`, toggle."""

    model_config = ConfigDict(  # type: ignore[assignment]
        extra="forbid",
        strict=True,
        json_schema_extra=_omit_defaults,
    )

    completed: bool = Field(default=False, schema_extra={"examples": [True]})


class TaskRead(SQLModel):
    """A task."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})  # type: ignore[assignment]

    id: UUID = Field(description="A UUIDv7; its order is the order of creation.")
    user_id: str = Field(description="The owner: your token's user claim.")
    title: str
    description: str | None
    completed: bool
    completed_at: datetime | None = Field(description="When it was completed.")
    version: int = Field(description="The owner's clock at the last change; the ETag is this in double quotes.")
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = Field(description="When it went to the trash.")


def _boolean_word(value: object) -> object:
    if value in {"true", "false"}:
        return value == "true"
    raise ValueError("This must be true or false.")


QueryBoolean = Annotated[bool, BeforeValidator(_boolean_word)]


def _digits(value: object) -> object:
    # Pydantic also reads 1.0, 1_0, +1 and spaces around a number.
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("This must be a whole number.")
    return value


class TaskFilters(SQLModel):
    """Which tasks a listing shows."""

    # A parameter that is left out is None; none can be sent.
    completed: Annotated[QueryBoolean | None, WithJsonSchema({"type": "boolean"})] = Field(
        default=None, description="Only those that are done, or only those not."
    )
    deleted: QueryBoolean = Field(default=False, description="The trash instead of the live tasks.")
    limit: Annotated[int, BeforeValidator(_digits)] = Field(
        default=50, ge=1, le=200, description="The most tasks in one answer."
    )
    cursor: Annotated[str | None, WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]{32}$"})] = Field(
        default=None, max_length=200, description="Where to go on; take the whole URL from the Link header instead."
    )

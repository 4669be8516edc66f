"""The account as clients are sent it. No SQL lives here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, create_model

from taskward.kit.limits import Limit


class Identity(BaseModel):
    """Who the token says you are."""

    user_id: str = Field(description="The token's user claim; every task of yours has it.")
    expires_at: datetime | None = Field(description="When the token expires; null if that is after the year 9999.")
    scopes: list[str] = Field(description="What the token allows; Taskward goes by it only where it is told to.")


def me_model(counts: Sequence[type[BaseModel]], limits: Sequence[Limit]) -> type[BaseModel]:
    """The model of what `/me` answers.

    Args:
        counts: What each slice counts, with an example.
        limits: How much there may be.
    """
    members: dict[str, Any] = {
        name: (field.annotation, field) for model in counts for name, field in model.model_fields.items()
    }
    most: dict[str, Any] = {limit.name: (int, Field(description=limit.note)) for limit in limits}
    example = {
        "user_id": "alice",
        "expires_at": "2026-01-10T10:30:00Z",
        "scopes": ["tasks:read", "tasks:write"],
        "counts": {name: value for model in counts for name, value in _example_of(model).items()},
        "limits": {limit.name: limit.default for limit in limits},
    }
    return create_model(
        "Me",
        __base__=Identity,
        __doc__="Who the token says you are, and how much you have.",
        __cls_kwargs__={"json_schema_extra": {"examples": [example]}},
        counts=(create_model("AccountCounts", __doc__="How much there is.", **members), ...),
        limits=(create_model("AccountLimits", __doc__="How much there may be.", **most), ...),
    )


def _example_of(model: type[BaseModel]) -> dict[str, Any]:
    example: dict[str, Any] = model.model_json_schema()["examples"][0]
    return example

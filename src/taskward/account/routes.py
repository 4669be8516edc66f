"""The HTTP of the caller's own account."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Response
from pydantic import ConfigDict
from sqlmodel import Field, SQLModel

from taskward.web.answers import json_answer
from taskward.web.dependencies import CurrentCaller
from taskward.web.middleware import BASE_PATH
from taskward.web.openapi import answers, operation_id
from taskward.web.routing import SessionRoute

router = APIRouter(
    prefix=f"{BASE_PATH}/me", tags=["me"], route_class=SessionRoute, generate_unique_id_function=operation_id
)


class Me(SQLModel):
    """Who the token says you are."""

    model_config = ConfigDict(  # type: ignore[assignment]
        json_schema_extra={
            "examples": [
                {"user_id": "alice", "expires_at": "2026-01-10T10:30:00Z", "scopes": ["tasks:read", "tasks:write"]}
            ]
        }
    )

    user_id: str = Field(description="The token's user claim; every task of yours has it.")
    expires_at: datetime | None = Field(description="When the token expires; null if that is after the year 9999.")
    scopes: list[str] = Field(description="What the token allows; Taskward goes by it only where it is told to.")


@router.get("", response_model=Me, summary="Who am I", responses=answers(200, "Who the token says you are."))
async def get_me(caller: CurrentCaller) -> Response:
    """Who the token says you are, until when, and with which scopes."""
    return json_answer(
        {
            "user_id": caller.owner.user_id,
            "expires_at": _instant(caller.expires_at),
            "scopes": sorted(caller.scopes),
        }
    )


def _instant(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a token may expire later than a calendar goes

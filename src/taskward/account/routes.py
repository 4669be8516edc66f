"""The HTTP of the caller's own account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import WithJsonSchema

from taskward.account.schemas import me_model
from taskward.account.store import AccountStore
from taskward.errors import FieldError, Invalid
from taskward.http.dependencies import CurrentCaller, OwnerSession, UserLimits
from taskward.http.middleware import BASE_PATH
from taskward.http.openapi import answers, operation_id
from taskward.http.responses import json_response
from taskward.http.routing import PrecompiledRoute
from taskward.kit.limits import Limit
from taskward.storage.counts import Counts


def account_store(session: OwnerSession) -> AccountStore:
    return AccountStore(session)


MyAccount = Annotated[AccountStore, Depends(account_store)]


def router_of(counts: Sequence[Counts], limits: Sequence[Limit]) -> APIRouter:
    """The routes.

    Args:
        counts: What an account has.
        limits: How much it may have.
    """
    router = APIRouter(
        prefix=f"{BASE_PATH}/me", tags=["me"], route_class=PrecompiledRoute, generate_unique_id_function=operation_id
    )

    @router.get(
        "",
        response_model=me_model([one.model for one in counts], limits),
        summary="Who am I",
        responses=answers(200, "Who you are, and how much you have."),
    )
    async def get_me(caller: CurrentCaller, account: MyAccount, allowed: UserLimits) -> Response:
        """Who the token says you are, until when, and with which scopes; how much you have, and how much you may
        have.
        """
        return json_response(
            {
                "user_id": caller.user_id,
                "expires_at": _instant(caller.expires_at),
                "scopes": sorted(caller.scopes),
                "counts": await account.counts(counts),
                "limits": {limit.name: allowed[limit] for limit in limits},
            }
        )

    router.delete(
        "", status_code=204, response_model=None, summary="Erase my account", responses=answers(204, "Nothing is left.")
    )(delete_me)
    return router


async def delete_me(
    caller: CurrentCaller,
    account: MyAccount,
    confirm: Annotated[
        str,
        WithJsonSchema({"type": "string", "minLength": 1}),
        Query(description="Your user id, as `GET /me` has it, so that nobody does this by accident."),
    ],
) -> Response:
    """Erase every task, list and tag of yours and all else that is kept of you, for good."""
    if confirm != caller.user_id:
        raise Invalid([FieldError("query", "/confirm", "This must be your user id.")])
    await account.erase()
    return Response(status_code=204)


def _instant(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a token may expire later than a calendar goes

"""Whether the process lives, and whether it can serve. No token is needed and nothing of any user is told."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlmodel import Field, SQLModel

from taskward.errors import Unavailable
from taskward.http.openapi import answers, operation_id
from taskward.http.responses import json_response
from taskward.http.services import services

router = APIRouter(tags=["health"], generate_unique_id_function=operation_id)


class Health(SQLModel):
    """The state of the service."""

    status: str = Field(description="`ok` or `unavailable`.")
    detail: str | None = Field(default=None, description="What is missing, when something is.")


@router.get("/healthz", response_model=Health, summary="Is the process alive", responses=answers(200, "It is."))
async def healthz() -> Response:
    """Answers as long as the process runs; restart it when it does not."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    response_model=Health,
    summary="Can requests be served",
    responses={**answers(200, "They can."), 503: {"description": "They cannot.", "model": Health}},
)
async def readyz(request: Request) -> Response:
    """Checks that the issuer's keys were fetched, and the database and its schema. Route traffic by this."""
    verifier = services(request).verifier
    # An issuer without any key is no reason: the token that would make it known has to get here.
    if verifier.keys.current is None:
        return _unavailable(request, "The issuer's keys could not be fetched yet.", verifier.keys.retry_after)
    problem = await services(request).database.problem()
    if problem is not None:
        return _unavailable(request, problem, Unavailable.retry_after)
    services(request).failures.note_readiness(None)
    return json_response({"status": "ok"})


def _unavailable(request: Request, detail: str, seconds: int) -> Response:
    services(request).failures.note_readiness(detail)
    body = {"status": "unavailable", "detail": detail}
    return json_response(body, status=503, headers={"Retry-After": str(seconds)})

"""The HTTP of the caller's own account."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, closing
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import WithJsonSchema

from taskward.account.schemas import ImportReport, Me
from taskward.account.store import AccountStore
from taskward.errors import BodyTooLarge, FieldError, Invalid
from taskward.http.dependencies import AnswerRoom, CurrentCaller, OwnerSession, UnlessOver, UserLimits
from taskward.http.idempotency import idempotent
from taskward.http.middleware import BASE_PATH
from taskward.http.openapi import answers, operation_id
from taskward.http.reading import RequestBody
from taskward.http.responses import json_response
from taskward.http.routing import PrecompiledRoute
from taskward.http.sending import Pages
from taskward.http.services import services
from taskward.http.spooling import SpooledBody
from taskward.http.validation import field_errors
from taskward.kit.types import Line
from taskward.lists.limits import LISTS
from taskward.lists.schemas import EXAMPLE as A_LIST
from taskward.tasks.errors import Cycle
from taskward.tasks.limits import TAGS, TASKS
from taskward.tasks.types import EXAMPLE_ID, TimeZone
from taskward.transfer.errors import AlreadyImported
from taskward.transfer.exporting import PAGE_BYTES, export
from taskward.transfer.foreign import Foreign, Origin, read_foreign
from taskward.transfer.importing import Format, Imported, Importer, Unreadable
from taskward.transfer.records import Fate, Thing

LARGEST_IMPORT = 1024 * 1024
"""Bytes that an export of one's own may have when it is put back."""
_LINES = "application/x-ndjson"
_FOREIGN = ("application/json", "application/zip", "text/csv")
# As Windows and what asks it call an archive.
_ALIASES = ("application/x-zip-compressed",)
# What no export of one's own is.
_FOREIGN_ONLY = {"application/zip", "text/csv", *_ALIASES}
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
# By its ids, what it makes is what other examples read and change.
_EXPORT = (
    f'{{"type":"list","id":"{A_LIST["id"]}","name":"Household"}}\n'
    f'{{"type":"task","id":"{EXAMPLE_ID}","title":"Water the plants","list_id":"{A_LIST["id"]}","tags":["home"]}}\n'
    '{"type":"end","lists":1,"tasks":1}\n'
)

router = APIRouter(
    prefix=f"{BASE_PATH}/me", tags=["me"], route_class=PrecompiledRoute, generate_unique_id_function=operation_id
)


def account_store(session: OwnerSession) -> AccountStore:
    return AccountStore(session)


def importer(session: OwnerSession, limits: UserLimits) -> Importer:
    return Importer(session, limits)


MyAccount = Annotated[AccountStore, Depends(account_store)]


class Lines(Pages):
    """An answer of lines of JSON."""

    media_type = _LINES


@router.get("", response_model=Me, summary="Who am I", responses=answers(200, "Who you are, and how much you have."))
async def get_me(caller: CurrentCaller, account: MyAccount, limits: UserLimits) -> Response:
    """Who the token says you are, until when, and with which scopes; how much you have, and how much you may have."""
    return json_response(
        {
            "user_id": caller.user_id,
            "expires_at": _instant(caller.expires_at),
            "scopes": sorted(caller.scopes),
            "counts": await account.counts(),
            "limits": {limit.name: limits[limit] for limit in (TASKS, LISTS, TAGS)},
        }
    )


@router.delete(
    "", status_code=204, response_model=None, summary="Erase my account", responses=answers(204, "Nothing is left.")
)
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


@router.get(
    "/export",
    response_class=Lines,
    response_model=None,
    summary="Export everything",
    responses=answers(200, "A list or a task in each line, as JSON; the last line says how many there are."),
)
async def export_me(request: Request, caller: CurrentCaller, room: AnswerRoom) -> Response:
    """Everything of yours, the trash included, as lines of JSON that an import puts back."""
    database = services(request).database
    if room.most < PAGE_BYTES:
        await room.ask(PAGE_BYTES)
    pages = export(partial(database.session, caller.owner, read_only=True), room.most)
    # What is wrong at the start has a status of its own; later there is none to be had.
    read = [await anext(pages)]
    return Lines(_after(read, pages), headers={"Content-Disposition": 'attachment; filename="tasks.ndjson"'})


async def _after(read: list[bytes], pages: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(pages):
        while read:
            yield read.pop()
        async for page in pages:
            yield page


async def import_file(
    request: Request,
    caller: CurrentCaller,
    *,
    body: Annotated[
        Any,
        WithJsonSchema({"type": "string", "description": "Lines of JSON."}),
        RequestBody(
            largest=LARGEST_IMPORT,
            media_types=(_LINES, *_FOREIGN, *_ALIASES),
            spooled=True,
            media_type=_LINES,
            description="An export of yours, or of another service.",
        ),
    ],
    limits: UserLimits,
    format_: Annotated[Format, Query(alias="format", description="Whose export it is.")] = "taskward",
    tz: Annotated[TimeZone, Query(description="The zone that times are meant in, where a file does not say.")] = "UTC",
    name: Annotated[
        Line | None, Query(description="What to call the list of a CSV file of Todoist, which does not say.")
    ] = None,
) -> AsyncIterator[bytes | Foreign]:
    """An export of Taskward's as it is, or what another service's becomes. It is read before there is a session, since
    that may take seconds for which no connection shall wait.
    """
    if name is not None and format_ != "todoist":
        raise Invalid([FieldError("query", "/name", "This goes with format=todoist only, as other files name lists.")])
    spooled: SpooledBody = body
    if format_ == "taskward":
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() in _FOREIGN_ONLY:
            raise Invalid([FieldError("query", "/format", "A file of this type needs format=todoist or vikunja.")])
        if spooled.size > LARGEST_IMPORT:
            raise BodyTooLarge(LARGEST_IMPORT)
        yield spooled.file.read()
        return
    spools = services(request).spools_of_records
    origin = Origin(format_, tz, name, datetime.now(UTC))
    with closing(spools.open(caller.user_id)) as spool:
        yield await read_foreign(spooled.file, spooled.digest, origin, limits, largest=spools.largest, spool=spool)


@router.post(
    "/import",
    response_model=ImportReport,
    summary="Import",
    responses=answers(200, "What was made.", problems=[AlreadyImported, Cycle]),
    openapi_extra={
        "requestBody": {"content": {_LINES: {"example": _EXPORT}, **{kind: {"schema": _FILE} for kind in _FOREIGN}}}
    },
)
@idempotent
async def import_me(
    _room: UnlessOver,
    file: Annotated[bytes | Foreign, Depends(import_file)],
    imports: Annotated[Importer, Depends(importer)],
) -> Response:
    """Put an export back: what is there already stays as it is, so to do it twice changes nothing. Or carry over what
    Todoist (CSV) or Vikunja (JSON) has exported; the answer says what became of it, and what could not come along.
    """
    if isinstance(file, Foreign):
        return json_response(_report(await imports.import_foreign(file)))
    try:
        return json_response(_report(await imports.import_own(file)))
    except Unreadable as error:
        raise Invalid([one for n, found in error.errors for one in field_errors("body", found, f"/{n}")]) from None


def _report(done: Imported) -> dict[str, object]:
    counts: dict[Thing, dict[Fate, int]] = {}
    for (what, fate), count in sorted(done.counts.items()):
        if count:
            counts.setdefault(what, {"kept": 0, "metadata": 0, "lost": 0})[fate] = count
    return {
        "lists": done.lists,
        "tasks": done.tasks,
        "unchanged": done.unchanged,
        "whole": done.is_whole,
        "counts": counts,
        "losses": [asdict(loss) for loss in done.losses],
        "losses_left_out": done.losses_left_out,
    }


def _instant(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a token may expire later than a calendar goes

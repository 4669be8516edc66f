"""The HTTP of exports and imports."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, closing
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import WithJsonSchema

from taskward.errors import BodyTooLarge, FieldError, Invalid, Problem
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
from taskward.kit.sentences import capitalized, listed, with_article
from taskward.kit.types import Line
from taskward.storage.export_lines import ExportLines
from taskward.tasks.types import TimeZone
from taskward.transfer.carrying_over import import_foreign
from taskward.transfer.errors import AlreadyImported
from taskward.transfer.exporting import PAGE_BYTES, export
from taskward.transfer.foreign import Foreign, ForeignFormat, Origin, read_foreign
from taskward.transfer.importing import Imported, OwnFormat, Unreadable, import_own
from taskward.transfer.records import Fate, Reading, Thing
from taskward.transfer.schemas import import_report

Format = Literal["taskward", ForeignFormat]

LARGEST_IMPORT = 1024 * 1024
"""Bytes that an export of one's own may have when it is put back."""
_LINES = "application/x-ndjson"
_FOREIGN = ("application/json", "application/zip", "text/csv")
# As Windows and what asks it call an archive.
_ALIASES = ("application/x-zip-compressed",)
# What no export of one's own is.
_FOREIGN_ONLY = {"application/zip", "text/csv", *_ALIASES}
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}


class Lines(Pages):
    """An answer of lines of JSON."""

    media_type = _LINES


def router_of(kinds: Sequence[ExportLines]) -> APIRouter:
    """The routes, which are among those of the account.

    Args:
        kinds: What there is to export and import, in an order in which each comes after those that it refers to.
    """
    router = APIRouter(
        prefix=f"{BASE_PATH}/me", tags=["me"], route_class=PrecompiledRoute, generate_unique_id_function=operation_id
    )
    own, plurals = OwnFormat(kinds), [one.plural for one in kinds]
    problems: list[type[Problem]] = [AlreadyImported, *(problem for one in kinds for problem in one.problems)]
    a_line = capitalized(listed([with_article(one.kind) for one in kinds], "or"))
    content = {_LINES: {"example": _example(kinds)}, **{kind: {"schema": _FILE} for kind in _FOREIGN}}

    @router.get(
        "/export",
        response_class=Lines,
        response_model=None,
        summary="Export everything",
        responses=answers(200, f"{a_line} in each line, as JSON; the last line says how many there are."),
    )
    async def export_me(request: Request, caller: CurrentCaller, room: AnswerRoom) -> Response:
        """Everything of yours, the trash included, as lines of JSON that an import puts back."""
        database = services(request).database
        if room.most < PAGE_BYTES:
            await room.ask(PAGE_BYTES)
        pages = export(partial(database.session, caller.owner, read_only=True), room.most, kinds)
        # What is wrong at the start has a status of its own; later there is none to be had.
        read = [await anext(pages)]
        return Lines(_after(read, pages), headers={"Content-Disposition": 'attachment; filename="tasks.ndjson"'})

    @router.post(
        "/import",
        response_model=import_report(plurals),
        summary="Import",
        responses=answers(200, "What was made.", problems=problems),
        openapi_extra={"requestBody": {"content": content}},
    )
    @idempotent
    async def import_me(
        _room: UnlessOver,
        file: Annotated[bytes | Foreign, Depends(import_file)],
        session: OwnerSession,
        limits: UserLimits,
    ) -> Response:
        """Put an export back: what is there already stays as it is, so to do it twice changes nothing. Or carry over
        what Todoist (CSV) or Vikunja (JSON) has exported; the answer says what became of it, and what could not come
        along.
        """
        if isinstance(file, Foreign):
            return json_response(_report(await import_foreign(session, limits, file), file.reading, plurals))
        try:
            done = await import_own(session, limits, own, file)
        except Unreadable as error:
            raise Invalid([one for n, found in error.errors for one in field_errors("body", found, f"/{n}")]) from None
        return json_response(_report(done, Reading(), plurals))

    return router


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


def _report(done: Imported, reading: Reading, plurals: Sequence[str]) -> dict[str, object]:
    counts: dict[Thing, dict[Fate, int]] = {}
    for (what, fate), count in sorted(reading.counts.items()):
        if count:
            counts.setdefault(what, {"kept": 0, "metadata": 0, "lost": 0})[fate] = count
    return {
        **{name: done.made.get(name, 0) for name in plurals},
        "unchanged": done.unchanged,
        "whole": done.is_whole,
        "counts": counts,
        "losses": [asdict(loss) for loss in reading.losses],
        "losses_left_out": reading.losses_left_out,
    }


def _example(kinds: Sequence[ExportLines]) -> str:
    # By its ids, what it makes is what other examples read and change.
    lines: list[dict[str, Any]] = [{"type": one.kind, **one.example} for one in kinds]
    lines.append({"type": "end", **{one.plural: 1 for one in kinds}})
    return "".join([f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines])

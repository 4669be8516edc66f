"""The app's own OpenAPI document against the app: what it describes is so, and nothing of another user's shows."""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeGuard
from uuid import UUID

import pytest
import schemathesis
from pydantic import TypeAdapter
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema
from schemathesis.engine.events import StatefulPhasePayload
from schemathesis.engine.run import PhaseName
from schemathesis.openapi.checks import RejectedPositiveData

from taskward.tasks.types import Recurrence, TimeZone
from tests.databases import Superuser, rows_of
from tests.openapi import document_fixture, operations, resolved  # noqa: F401 - a fixture
from tests.sizes import sized
from tests.users import User

EXAMPLES = sized(3, 600)
FEWEST_REQUESTS = sized(150, 5000)
# It sends two thousand requests, however few examples there are.
WITH_COVERAGE = bool(sized(0, 1))


@schemathesis.serializer("application/x-ndjson")
def _lines(_context: object, value: object) -> bytes:
    """A body of lines, which the document describes as a string."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


WITH_IF_MATCH = {
    "update_task", "replace_task", "complete_task", "delete_task", "restore_task", "move_task",
    "update_list", "delete_list", "move_list",
}  # fmt: skip
RULES = ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TH", "freq=monthly;count=2", "FREQ=YEARLY;UNTIL=20991231"]
ZONES = ["UTC", "Europe/Berlin", "Pacific/Kiritimati"]
# What is white space in every dialect of patterns.
WHITE_SPACE = "\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
KNOWN = {
    "recurrence": (TypeAdapter(Recurrence).json_schema(), RULES),
    "time_zone": (TypeAdapter(TimeZone).json_schema(), ZONES),
}
# A batch is of tasks in any state, an import of lines, and an erasure wants the caller's own id.
OF_MORE_THAN_A_SCHEMA = {"change_tasks", "import_me", "delete_me"}
# What no schema can say, sentence by sentence: of several members together, of other rows, of one text's parts.
BEYOND_SCHEMAS = {
    ("body", "/due_date", "This excludes due_at; set one of them to null."),
    ("body", "/time_zone", "This is required with due_at."),
    ("body", "/time_zone", "This is required with recurrence."),
    ("body", "/recurrence", "This needs a due_date or a due_at."),
    ("body", "/list_id", "You have no such list."),
    ("body", "/parent_id", "You have no such task."),
    ("body", "/parent_id", "Tasks may be nested at most 8 levels deep."),
    ("body", "/after", "This must be another live task of that list or parent."),
    ("body", "/after", "This must be another list of yours."),
    ("body", "/tags", "This must not have the same tag twice."),
    ("body", "/tags", "One user may have at most 2000 tags."),
    ("body", "", "One user may have at most 500 lists."),
    ("body", "/metadata", "This must not have the character NUL."),
    ("body", "/completed_at", "This goes with completed: true only."),
    ("body", "/completed_at", "This must not be in the future."),
    ("body", "/metadata", "This must have at most 8192 bytes as JSON."),
    ("body", "/metadata", "This must not be nested more than 50 levels deep."),
    ("body", "/metadata", "This must not have numbers that are too large for JSON's readers."),
    ("query", "/tasks", "This list has tasks: say trash or keep."),
    ("header", "/Idempotency-Key", "This was sent with another request."),
    ("query", "/sort", "This must not name the same thing twice."),
    ("query", "/q", "This must not have the character NUL."),
    ("query", "/q", "This may have at most 32 words."),
    *(
        (place, pointer, "This must not be . or .. alone, which no URL can name.")
        for place, pointer in [
            ("body", "/name"),
            *(("body", f"/tags/{n}") for n in range(20)),
            *(("query", f"/{name}/{n}") for name in ("tag", "tag_any") for n in range(20)),
        ]
    ),
}
# Of what has a format of the calendar: its first and last years, and leap seconds.
BEYOND_FORMATS = {
    ("body", frozenset({"date"})): "This must be a day as YYYY-MM-DD, of the years 2 to 9998.",
    ("body", frozenset({"date-time"})): (
        "This must be a time of RFC 3339 with an offset, such as 2026-01-10T09:30:00Z."
    ),
    ("query", frozenset({"date", "date-time"})): (
        "This must be a day as YYYY-MM-DD or a time of RFC 3339, such as 2026-01-10T09:30:00Z."
    ),
}
END_OF_THE_CALENDAR = {
    "date": ["0001-01-01", "9999-12-31"],
    "date-time": ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "2016-12-31T23:59:60Z"],
}

# What `map_body` sees to, but for the values on the borders of the schemas, which it is not asked about.
NOT_MAPPED = {("body", "/recurrence"), ("body", "/time_zone")}


class Ids(NamedTuple):
    """Ids of tasks and of lists to put into paths and bodies."""

    mine: list[str]
    in_my_trash: list[str]
    theirs: list[str]
    in_their_trash: list[str]

    my_lists: list[str]
    their_lists: list[str]

    def tasks(self) -> list[list[str]]:
        return [self.mine, self.in_my_trash, self.theirs, self.in_their_trash]

    def lists(self) -> list[list[str]]:
        return [self.my_lists, self.their_lists]


async def write_tasks(alice: User, bob: User, marker: str) -> Ids:
    ids = Ids([], [], [], [], [], [])
    for user, title, live, trashed, lists in (
        (alice, "Mine", ids.mine, ids.in_my_trash, ids.my_lists),
        (bob, marker, ids.theirs, ids.in_their_trash, ids.their_lists),
    ):
        for number in range(3):
            lists.append((await user.http.post("/api/v1/lists", json={"name": f"{title} {number}"})).json()["id"])
        for number in range(8):
            members = {"tags": [title], "metadata": {title: title}, "list_id": lists[number % 2]}
            task = await user.create(f"{title} {number}", description=title, completed=number % 2 == 0, **members)
            (live if number < 5 else trashed).append(task["id"])
        for task_id in trashed:
            await user.trash(task_id)
    return ids


class Run:
    """One run of every phase of schemathesis, with every check."""

    def __init__(self, base_url: str, user: User, ids: Ids, secret: str) -> None:
        self.requests = 0
        self.links = 0
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.leaks: list[str] = []
        self.problems: list[str] = []
        self.phases: dict[str, str] = {}
        self.sent_in: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self._secret = secret
        self._ids = ids
        self._kinds = {task_id: kind for kind, found in ids._asdict().items() for task_id in found}
        config = schemathesis.Config.from_dict(
            {
                "auth": {"openapi": {"bearer": {"bearer": user.token}}},
                "generation": {"max-examples": EXAMPLES, "database": "none"},
                "phases": {"coverage": {"enabled": WITH_COVERAGE}},
                "seed": 1,
                "continue-on-failure": True,
            }
        )
        self._schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json", config=config)
        self._of_the_calendar = {
            operation: {
                (place, pointer, BEYOND_FORMATS[place, frozenset(formats)]) for place, pointer, formats in places
            }
            for operation, places in calendar_of(self._schema.raw_schema).items()
        }
        for hook in (
            self.map_path_parameters, self.map_headers, self.map_query, self.map_body, self.filter_failure,
            self.after_call,
        ):  # fmt: skip
            self._schema.hook(_function(hook))

    def run(self) -> None:
        for event in from_schema(self._schema).execute():
            match event:
                case events.NonFatalError():
                    self.problems.append(str(event.info.format()))
                case events.FatalError():
                    self.problems.append(repr(event.exception))
                case events.PhaseStarted(payload=StatefulPhasePayload() as links):
                    self.links = links.transitions_selected
                case events.PhaseFinished():
                    self.phases[event.phase.name.value] = event.status.value
                case events.ScenarioFinished():
                    self.problems += _failures(event)

    def map_path_parameters(self, _context: HookContext, path_parameters: dict[str, Any] | None) -> Any:
        known = {"task_id": self._ids.tasks(), "list_id": self._ids.lists()}
        return _with_known(path_parameters, known)

    def map_headers(self, _context: HookContext, headers: Any) -> Any:
        """A key that stands for one request stands for no other."""
        key = (headers or {}).get("Idempotency-Key")
        if isinstance(key, str) and re.fullmatch("[!-~]{1,255}", key):
            return {**headers, "Idempotency-Key": secrets.token_hex(16)}
        return headers

    def map_query(self, _context: HookContext, query: dict[str, Any] | None) -> Any:
        """A zone becomes one that there is."""
        return _existing(query, "tz", "time_zone") if isinstance(query, dict) else query

    def map_body(self, _context: HookContext, body: Any) -> Any:
        """An id chosen by the client is of a time long gone by: no schema can say "at most a day in the future". Rules,
        zones and the ids of others become some that there are.
        """
        if not isinstance(body, dict):
            return body
        if _is_uuid(body.get("id")) and body["id"][14] == "7":
            body = {**body, "id": "00" + body["id"][2:]}
        for name in KNOWN:
            body = _existing(body, name, name)
        after = [*self._ids.tasks(), *self._ids.lists()]
        return _with_known(body, {"list_id": self._ids.lists(), "parent_id": self._ids.tasks(), "after": after})

    def filter_failure(self, _context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
        """What a valid value may rightly meet: 412 for an If-Match, 422 for a cursor of another listing, or for what no
        schema can say.
        """
        if not isinstance(failure, RejectedPositiveData):
            return True
        operation = case.operation.definition.raw
        if operation["operationId"] in OF_MORE_THAN_A_SCHEMA:
            return response.status_code not in {409, 412, 422}
        headers = dict(case.headers or {})
        if response.status_code == 412:
            return not (operation["operationId"] in WITH_IF_MATCH and "If-Match" in headers)
        errors = {(error["in"], error["pointer"], error["detail"]) for error in response.json().get("errors", [])}
        wrong = {
            (place, pointer)
            for place, pointer, _ in errors - BEYOND_SCHEMAS - self._of_the_calendar[operation["operationId"]]
        }
        if operation["operationId"] == "list_tasks":
            wrong.discard(("query", "/cursor"))
        if case.meta is not None and case.meta.phase.name.value == "coverage":
            wrong -= NOT_MAPPED
        # For these headers schemathesis draws values of its own, which need not be what the document asks for.
        for parameter in operation.get("parameters", []):
            name, pattern = parameter["name"], parameter["schema"].get("pattern", "")
            if parameter["in"] == "header" and name in headers and not re.search(pattern, headers[name]):
                wrong.discard(("header", f"/{name}"))
        return response.status_code != 422 or bool(wrong)

    def after_call(self, _context: HookContext, case: Case[Any], response: Response) -> None:
        self.requests += 1
        self.sent_in[case.meta.phase.name.value if case.meta else "probes"] += 1
        self.statuses[case.operation.label, response.status_code] += 1
        met = [value for value in (case.path_parameters or {}).values() if isinstance(value, str)]
        self.met.update(self._kinds.get(value, "other") for value in met)
        shown = response.text + json.dumps(dict(response.headers))
        if self._secret in shown:
            self.leaks.append(f"{case.method} {case.path}")


def calendar_of(document: dict[str, Any]) -> dict[str, list[tuple[str, str, set[str]]]]:
    """Where each operation takes days or instants: the places, each with its formats."""
    found = {}
    for name, (_, _, operation) in operations(document).items():
        parameters = [resolved(document, each) for each in operation.get("parameters", [])]
        places = [(each["in"], each["name"], each["schema"]) for each in parameters]
        for body in operation.get("requestBody", {}).get("content", {}).values():
            for schema in _choices(document, body["schema"]):
                places += [("body", member, known) for member, known in schema.get("properties", {}).items()]
        found[name] = [
            (place, f"/{member}", formats)
            for place, member, schema in places
            if (
                formats := {choice.get("format", "") for choice in _choices(document, schema)}
                & END_OF_THE_CALENDAR.keys()
            )
        ]
    return found


def _choices(document: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    known = resolved(document, schema)
    return [resolved(document, choice) for choice in known.get("anyOf", [known])]


def _is_uuid(value: object) -> TypeGuard[str]:
    """Tell whether a value is a UUID as the document has it; what is meant to be wrong must not become right."""
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _existing(values: dict[str, Any], name: str, member: str) -> dict[str, Any]:
    """A value that the document allows for a member becomes one that there is."""
    schema, texts = KNOWN[member]
    value = values.get(name)
    if not isinstance(value, str) or len(value) > schema.get("maxLength", math.inf):
        return values
    # What is meant to be wrong must not become right.
    if re.fullmatch(schema["pattern"].replace(r"\s", WHITE_SPACE), value) is None:
        return values
    return {**values, name: texts[len(value) % len(texts)]}


def _with_known(values: dict[str, Any] | None, known: dict[str, list[list[str]]]) -> Any:
    """Of all ids that are UUIDs, every fifth or so stays as it is; the others become ids that there are."""
    changed = dict(values or {})
    for name, kinds in known.items():
        value = changed.get(name)
        if not _is_uuid(value):
            continue
        kind, number = UUID(value).int % (len(kinds) + 1), UUID(value).int // (len(kinds) + 1)
        if kind < len(kinds):
            changed[name] = kinds[kind][number % len(kinds[kind])]
    return changed if values is not None else values


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method as a function, which a hook has to be: something is kept on it."""

    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        return method(*arguments, **named)

    return call


def _failures(event: events.ScenarioFinished) -> list[str]:
    found = []
    for case_id, checks in event.recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                case = event.recorder.cases[case_id].value
                response = event.recorder.interactions[case_id].response
                said = response.text[:600] if response is not None else "no answer"
                found.append(f"{check.name}: {check.failure_info.failure.message}\n{case.as_curl_command()}\n{said}")
    return found


@pytest.mark.parametrize("text", ["", "1st", "Europe//Berlin", "UTC\n", "freq=hourly", "FREQ=DAILY;"])
def test_what_is_meant_to_be_wrong_does_not_become_right(text: str):
    for member in KNOWN:
        assert _existing({member: text}, member, member) == {member: text}
    assert _existing({"tz": "Some/Where"}, "tz", "time_zone")["tz"] in ZONES
    for rule in ("count=1;freq=weekly", "a=\x1e\x85;freq=weekly"):
        assert _existing({"recurrence": rule}, "recurrence", "recurrence")["recurrence"] in RULES


async def test_what_no_format_says_of_the_calendar_is_known(alice: User, document: dict[str, Any]):
    task = await alice.create("Meant for no day")
    calendar = calendar_of(document)
    assert {operation for operation, places in calendar.items() if places} == {
        "list_tasks", "create_task", "update_task", "replace_task", "complete_task"
    }  # fmt: skip
    for name, places in calendar.items():
        method, path, _ = operations(document)[name]
        for place, pointer, formats in places:
            for text in [text for kind in sorted(formats) for text in END_OF_THE_CALENDAR[kind]]:
                values = {pointer.removeprefix("/"): text}
                response = await alice.http.request(
                    method,
                    path.replace("{task_id}", task["id"]),
                    params=values if place == "query" else None,
                    json={"title": "x", **values} if place == "body" else None,
                )
                sentences = {(each["in"], each["pointer"], each["detail"]) for each in response.json()["errors"]}
                said = BEYOND_FORMATS[place, frozenset(formats)]
                assert (place, pointer, said) in sentences, (name, text, response.text)


# Hypothesis would rather not print what is as large as a body may be.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
async def test_what_the_document_describes_is_so_and_nothing_of_anothers_shows(
    base_url: str, alice: User, bob: User, superuser: Superuser
):
    marker = f"marker-{secrets.token_hex(8)}"
    ids = await write_tasks(alice, bob, marker)
    before = await rows_of(superuser, bob.id)
    run = Run(base_url, alice, ids, marker)
    await asyncio.to_thread(run.run)
    assert run.leaks == []
    assert await rows_of(superuser, bob.id) == before
    assert run.problems == [], f"{len(run.problems)} problems, the first:\n{run.problems[0]}"
    wanted = dict.fromkeys((phase.value for phase in PhaseName), "success")
    assert run.phases == (wanted if WITH_COVERAGE else {**wanted, "coverage": "skip"})
    assert run.requests >= FEWEST_REQUESTS
    assert run.links > 0
    assert set(run.sent_in) >= {"examples", "fuzzing", "stateful"}
    statuses = {status for _, status in run.statuses}
    assert statuses >= {200, 401, 404, 422}
    # What a few hundred requests meet besides is chance.
    if WITH_COVERAGE:
        assert run.sent_in["coverage"] > 0
        assert statuses >= {201, 204, 304, 403, 405, 412, 415}
        assert set(run.met) == {*Ids._fields, "other"}

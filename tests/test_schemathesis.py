"""The app's own OpenAPI document against the app: what it describes is so, and nothing of another user's shows."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeGuard
from uuid import UUID

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema
from schemathesis.engine.events import StatefulPhasePayload
from schemathesis.engine.run import PhaseName
from schemathesis.openapi.checks import RejectedPositiveData

from tests.conftest import Superuser, User, rows_of
from tests.sizes import sized

EXAMPLES = sized(8, 600)
FEWEST_REQUESTS = sized(200, 5000)
WITH_IF_MATCH = {"update_task", "replace_task", "complete_task", "delete_task", "restore_task"}


class Ids(NamedTuple):
    """Ids of tasks to put into paths."""

    mine: list[str]
    in_my_trash: list[str]
    theirs: list[str]
    in_their_trash: list[str]


async def write_tasks(alice: User, bob: User, marker: str) -> Ids:
    ids = Ids([], [], [], [])
    for user, title, live, trashed in (
        (alice, "Mine", ids.mine, ids.in_my_trash), (bob, marker, ids.theirs, ids.in_their_trash)
    ):  # fmt: skip
        for number in range(8):
            task = await user.create(f"{title} {number}", description=title, completed=number % 2 == 0)
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
                "seed": 1,
                "continue-on-failure": True,
            }
        )
        self._schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json", config=config)
        for hook in (self.map_path_parameters, self.map_body, self.filter_failure, self.after_call):
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
        """Of all ids that are UUIDs, every fifth stays as it is; the others become ids of tasks that there are."""
        task_id = (path_parameters or {}).get("task_id")
        if not _is_uuid(task_id):
            return path_parameters
        number = UUID(task_id).int
        kind = number % 5
        if kind == len(self._ids):
            return path_parameters
        return {**(path_parameters or {}), "task_id": self._ids[kind][number // 5 % len(self._ids[kind])]}

    def map_body(self, _context: HookContext, body: Any) -> Any:
        """An id chosen by the client is of a time long gone by: no schema can say "at most a day in the future"."""
        if isinstance(body, dict) and _is_uuid(body.get("id")) and body["id"][14] == "7":
            return {**body, "id": "00" + body["id"][2:]}
        return body

    def filter_failure(self, _context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
        """What a valid value may rightly meet: 412 for an If-Match, 422 for a cursor of another listing."""
        if not isinstance(failure, RejectedPositiveData):
            return True
        operation = case.operation.definition.raw
        headers = dict(case.headers or {})
        if response.status_code == 412:
            return not (operation["operationId"] in WITH_IF_MATCH and "If-Match" in headers)
        wrong = {(error["in"], error["pointer"]) for error in response.json().get("errors", [])}
        if operation["operationId"] == "list_tasks":
            wrong.discard(("query", "/cursor"))
        # For these headers schemathesis draws values of its own, which need not be what the document asks for.
        for parameter in operation["parameters"]:
            name, pattern = parameter["name"], parameter["schema"].get("pattern", "")
            if parameter["in"] == "header" and name in headers and not re.search(pattern, headers[name]):
                wrong.discard(("header", f"/{name}"))
        return response.status_code != 422 or bool(wrong)

    def after_call(self, _context: HookContext, case: Case[Any], response: Response) -> None:
        self.requests += 1
        self.sent_in[case.meta.phase.name.value if case.meta else "probes"] += 1
        self.statuses[case.operation.label, response.status_code] += 1
        self.met[self._kinds.get((case.path_parameters or {}).get("task_id", ""), "other")] += 1
        shown = response.text + json.dumps(dict(response.headers))
        if self._secret in shown:
            self.leaks.append(f"{case.method} {case.path}")


def _is_uuid(value: object) -> TypeGuard[str]:
    """Tell whether a value is a UUID as the document has it; what is meant to be wrong must not become right."""
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


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
    assert run.phases == dict.fromkeys((phase.value for phase in PhaseName), "success")
    assert run.requests >= FEWEST_REQUESTS
    assert run.links > 0
    assert set(run.sent_in) >= {"examples", "coverage", "fuzzing", "stateful"}
    statuses = {status for _, status in run.statuses}
    assert statuses >= {200, 401, 404, 405, 422}
    # What a few hundred requests meet besides is chance.
    if sized(0, 1):
        assert statuses >= {201, 204, 304, 403, 412, 415}
        assert set(run.met) == {*Ids._fields, "other"}

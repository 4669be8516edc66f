"""The OpenAPI document says what the service does, and does not change by accident."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from taskward.app import SLICES
from taskward.errors import every_problem
from taskward.http.health import Health
from taskward.http.problem_schema import Problem, ProblemError
from taskward.lists.schemas import ListCounted, ListCreate, ListMove, ListRead, ListUpdate
from taskward.tags.schemas import TagRead, TagRename
from taskward.tasks import batch
from taskward.tasks.batch import Batch, BatchResult, BatchResults
from taskward.tasks.filters import TaskFilters
from taskward.tasks.parameters import SORTS
from taskward.tasks.schemas import TaskCompletion, TaskCreate, TaskMove, TaskRead, TaskReplace, TaskUpdate
from taskward.transfer.schemas import ImportCounts, ImportLoss
from tests.openapi import document_fixture, integers_in, operations, resolved  # noqa: F401
from tests.task_values import FILTERS
from tests.users import User

COMMON = "401 403 406 422 503"
BODY = "400 408 413 415"
# 409: the request with this key is still running.
KEY = "409"
# What each operation may answer besides COMMON. Change it with the contract, never to please a test.
OPERATIONS = {
    "list_tasks": ("get", "/api/v1/tasks", "200 304"),
    "create_task": ("post", "/api/v1/tasks", f"201 409 {BODY}"),
    "get_task": ("get", "/api/v1/tasks/{task_id}", "200 304 403 404"),
    "update_task": ("patch", "/api/v1/tasks/{task_id}", f"200 403 404 409 412 {BODY}"),
    "replace_task": ("put", "/api/v1/tasks/{task_id}", f"200 403 404 409 412 {BODY}"),
    "clear_completed": ("delete", "/api/v1/tasks/completed", "204"),
    "empty_trash": ("delete", "/api/v1/tasks", "204"),
    "delete_task": ("delete", "/api/v1/tasks/{task_id}", "200 204 403 404 412"),
    "complete_task": ("patch", "/api/v1/tasks/{task_id}/complete", f"200 403 404 412 {BODY}"),
    "restore_task": ("post", "/api/v1/tasks/{task_id}/restore", f"200 403 404 412 {KEY}"),
    "move_task": ("post", "/api/v1/tasks/{task_id}/move", f"200 403 404 409 412 {BODY}"),
    "list_lists": ("get", "/api/v1/lists", "200 304"),
    "create_list": ("post", "/api/v1/lists", f"201 409 {BODY}"),
    "get_list": ("get", "/api/v1/lists/{list_id}", "200 304 403 404"),
    "update_list": ("patch", "/api/v1/lists/{list_id}", f"200 403 404 412 {BODY}"),
    "delete_list": ("delete", "/api/v1/lists/{list_id}", "204 403 404 412"),
    "move_list": ("post", "/api/v1/lists/{list_id}/move", f"200 403 404 412 {KEY} {BODY}"),
    "list_tags": ("get", "/api/v1/tags", "200 304"),
    "rename_tag": ("patch", "/api/v1/tags/{tag}", f"200 404 {BODY}"),
    "remove_tag": ("delete", "/api/v1/tags/{tag}", "204 404"),
    "change_tasks": ("post", "/api/v1/tasks/batch", f"200 403 404 409 412 {BODY}"),
    "get_me": ("get", "/api/v1/me", "200"),
    "delete_me": ("delete", "/api/v1/me", "204"),
    "export_me": ("get", "/api/v1/me/export", "200"),
    "import_me": ("post", "/api/v1/me/import", f"200 409 {BODY}"),
    "healthz": ("get", "/healthz", "200"),
    "readyz": ("get", "/readyz", "200 503"),
}
HEADERS = {
    "list_tasks": {"200": {"ETag", "Link", "X-Total-Count"}, "304": {"ETag"}},
    "create_task": {"201": {"ETag", "Location"}},
    "get_task": {"200": {"ETag"}, "304": {"ETag"}},
    "update_task": {"200": {"ETag", "Link"}},
    "replace_task": {"200": {"ETag", "Link"}},
    "complete_task": {"200": {"ETag", "Link"}},
    "delete_task": {"200": {"ETag", "Preference-Applied"}},
    "restore_task": {"200": {"ETag"}},
    "move_task": {"200": {"ETag"}},
    "list_lists": {"200": {"ETag"}, "304": {"ETag"}},
    "create_list": {"201": {"ETag", "Location"}},
    "get_list": {"200": {"ETag"}, "304": {"ETag"}},
    "update_list": {"200": {"ETag"}},
    "move_list": {"200": {"ETag"}},
    "list_tags": {"200": {"ETag"}, "304": {"ETag"}},
}
_KEY = "Idempotency-Key"
_WRITE = frozenset({"task_id", "If-Match"})
_WRITE_LIST = frozenset({"list_id", "If-Match"})
PARAMETERS: dict[str, Any] = {
    "list_tasks": {*FILTERS, "If-None-Match"},
    "get_task": {"task_id", "If-None-Match"},
    "clear_completed": {"list_id"},
    "empty_trash": {"deleted"},
    "delete_task": {"task_id", "permanent", "If-Match", "Prefer"},
    **dict.fromkeys(("update_task", "replace_task", "complete_task"), _WRITE),
    **dict.fromkeys(("restore_task", "move_task"), _WRITE | {_KEY}),
    **dict.fromkeys(("create_task", "change_tasks", "create_list"), frozenset({_KEY})),
    "delete_me": {"confirm"},
    "import_me": {"format", "tz", "name", _KEY},
    "list_lists": {"If-None-Match"},
    "get_list": {"list_id", "If-None-Match"},
    "delete_list": {"list_id", "tasks", "If-Match"},
    "update_list": _WRITE_LIST,
    "move_list": _WRITE_LIST | {_KEY},
    "list_tags": {"If-None-Match"},
    **dict.fromkeys(("rename_tag", "remove_tag"), frozenset({"tag"})),
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    route.name: route.response_model for one in SLICES for route in one.router.routes if isinstance(route, APIRoute)
}
ME = ANSWERS["get_me"]
MODELS: dict[str, Any] = {
    "TaskCreate": TaskCreate,
    "TaskRead": TaskRead,
    "TaskReplace": TaskReplace,
    "TaskUpdate": TaskUpdate,
    "TaskCompletion": TaskCompletion,
    "TaskMove": TaskMove,
    "ListCreate": ListCreate,
    "ListCounted": ListCounted,
    "ListRead": ListRead,
    "ListUpdate": ListUpdate,
    "ListMove": ListMove,
    "TagRead": TagRead,
    "TagRename": TagRename,
    "Batch": Batch,
    "BatchResult": BatchResult,
    "BatchResults": BatchResults,
    "BatchCreate": batch.BatchCreate,
    "BatchUpdate": batch.BatchUpdate,
    "BatchComplete": batch.BatchComplete,
    "BatchDelete": batch.BatchDelete,
    "BatchRestore": batch.BatchRestore,
    "Me": ME,
    "AccountCounts": ME.model_fields["counts"].annotation,
    "AccountLimits": ME.model_fields["limits"].annotation,
    "ImportReport": ANSWERS["import_me"],
    "ImportCounts": ImportCounts,
    "ImportLoss": ImportLoss,
    "Health": Health,
    "Problem": Problem,
    "ProblemError": ProblemError,
}


async def test_the_document_has_these_operations_and_answers(document: dict[str, Any]):
    found = {
        name: (method, path, set(operation["responses"]))
        for name, (method, path, operation) in operations(document).items()
    }
    assert found == {
        name: (method, path, set(statuses.split()) | (set(COMMON.split()) if path.startswith("/api") else set()))
        for name, (method, path, statuses) in OPERATIONS.items()
    }


def test_operations_are_named_by_their_functions(app: FastAPI):
    shown = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    assert {route.unique_id for route in shown} == {route.endpoint.__name__ for route in shown} == set(OPERATIONS)


async def test_headers_and_parameters_are_described(document: dict[str, Any]):
    for name, (_, path, operation) in operations(document).items():
        for status, response in operation["responses"].items():
            expected = {"X-Request-Id"} | HEADERS.get(name, {}).get(status, set())
            expected |= {"WWW-Authenticate"} if status in {"401", "403"} else set()
            expected |= {"Retry-After"} if status == "503" and path.startswith("/api") else set()
            headers = set(resolved(document, response)["headers"])
            assert headers >= expected, (name, status)
            assert headers <= expected | {"Retry-After"}, (name, status)
        parameters = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert parameters == PARAMETERS.get(name, set()), name
        assert operation["summary"]
        assert operation["description"]


async def test_every_route_under_the_base_path_needs_a_token_and_no_other_does(document: dict[str, Any]):
    for name, (_, path, operation) in operations(document).items():
        assert operation["security"] == ([{"bearer": []}] if path.startswith("/api/v1") else []), name
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")


async def test_errors_are_problems_by_reference_with_an_example_of_each(document: dict[str, Any]):
    kinds = {f"/problems/{kind.slug}": kind for kind in every_problem()}
    required = set(document["components"]["schemas"]["Problem"]["required"])
    used = set()
    for name, (_, path, operation) in operations(document).items():
        for status, response in operation["responses"].items():
            if int(status) < 400 or not path.startswith("/api/v1"):
                continue
            assert set(response) == {"$ref"}, (name, status)
            used.add(response["$ref"].rpartition("/")[2])
            answer = resolved(document, response)
            assert set(answer["content"]) == {"application/problem+json"}, (name, status)
            (content,) = answer["content"].values()
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            for slug, example in content["examples"].items():
                value = example["value"]
                assert required <= value.keys()
                kind = kinds[value["type"]]
                assert (kind.slug, str(kind.status)) == (slug, status)
                assert kind.title in answer["description"]
                assert ("errors" in value) == (status == "422")
                assert ("version" in value) == (status == "412")
    assert used == set(document["components"]["responses"])
    batch = operations(document)["change_tasks"][2]["responses"]
    found = {status: set(resolved(document, batch[status])["content"]["application/problem+json"]["examples"])
             for status in ("401", "403", "409")}  # fmt: skip
    assert found == {
        "401": {"not-authenticated", "invalid-token"},
        "403": {"forbidden", "insufficient-scope"},
        "409": {"task-id-taken", "cycle", "request-running"},
    }


async def test_frameworks_own_schemas_are_gone_and_every_reference_resolves(document: dict[str, Any]):
    assert document["openapi"].startswith("3.1")
    assert set(document["components"]["schemas"]) == set(MODELS)
    text = str(document)
    assert "ValidationError" not in text
    for reference in re.findall(r"'#/components/(\w+)/([\w-]+)'", text):
        assert reference[1] in document["components"][reference[0]]
    assert "x-problems" not in text


async def test_examples_are_valid_by_their_schemas(document: dict[str, Any]):
    tried = 0
    for name, model in MODELS.items():
        schema = document["components"]["schemas"][name]
        for example in schema.get("examples", []):
            TypeAdapter(model).validate_python(example, strict=False)
            assert example.keys() <= schema["properties"].keys()
            tried += 1
        for member, described in schema["properties"].items():
            for example in described.get("examples", []):
                field = model.model_fields[member]
                TypeAdapter(field.annotation).validate_python(example)
                tried += 1
    assert tried >= 15


async def test_patterns_of_a_listing_are_those_that_it_takes(alice: User, document: dict[str, Any]):
    parameters = operations(document)["list_tasks"][2]["parameters"]
    described = {parameter["name"]: parameter for parameter in parameters}
    assert set(described) == {*TaskFilters.model_fields, "If-None-Match"}
    assert not [name for name, parameter in described.items() if parameter.get("required")]
    for name, values in {
        "sort": {**dict.fromkeys(SORTS, True), "-due,title": True, "": False, "due,": False, "+due": False},
        "priority": {"high": True, "none,urgent": True, "": False, "high,": False, "High": False},
    }.items():  # fmt: skip
        for value, fits in values.items():
            assert bool(re.search(described[name]["schema"]["pattern"], value)) == fits, value
            answer = await alice.http.get("/api/v1/tasks", params={name: value})
            assert answer.status_code == (200 if fits else 422), value


async def test_an_answer_is_as_it_is_described(alice: User, document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    task = await alice.create(description="Blue cap", completed=True)
    assert list(task) == list(schemas["TaskRead"]["properties"]) == list(schemas["TaskRead"]["examples"][0])
    assert set(schemas["TaskRead"]["required"]) == set(task)
    TaskRead.model_validate(task)
    made = (await alice.http.post("/api/v1/lists", json={"name": "Household"})).json()
    assert list(made) == list(schemas["ListRead"]["properties"]) == list(schemas["ListRead"]["examples"][0])
    assert set(schemas["ListRead"]["required"]) == set(made)
    await alice.create(tags=["home"])
    (tag,) = (await alice.http.get("/api/v1/tags")).json()
    assert list(tag) == list(schemas["TagRead"]["properties"]) == list(schemas["TagRead"]["examples"][0])
    me = (await alice.http.get("/api/v1/me")).json()
    assert set(me) == set(schemas["Me"]["properties"])


async def test_bodies_are_described_with_their_media_types(document: dict[str, Any]):
    found = operations(document)
    json, patch = {"application/json"}, {"application/json", "application/merge-patch+json"}
    for name, (media_types, schema, required) in {
        "create_task": (json, "TaskCreate", True), "replace_task": (json, "TaskReplace", True),
        "update_task": (patch, "TaskUpdate", True), "complete_task": (patch, "TaskCompletion", False),
        "move_task": (json, "TaskMove", True), "create_list": (json, "ListCreate", True),
        "update_list": (patch, "ListUpdate", True), "move_list": (json, "ListMove", True),
        "rename_tag": (patch, "TagRename", True), "change_tasks": (json, "Batch", True),
    }.items():  # fmt: skip
        body = found[name][2]["requestBody"]
        assert set(body["content"]) == media_types, name
        for content in body["content"].values():
            assert content["schema"] == {"$ref": f"#/components/schemas/{schema}"}
        assert body.get("required", False) == required
    assert not [name for name, (_, _, o) in found.items() if "requestBody" in o and name not in {
        "create_task", "replace_task", "update_task", "complete_task", "move_task", "create_list", "update_list",
        "move_list", "rename_tag", "change_tasks", "import_me"}]  # fmt: skip


async def test_a_member_of_a_patch_has_no_default_and_limits_are_told(document: dict[str, Any], alice: User):
    schemas = document["components"]["schemas"]
    for name in ("TaskUpdate", "TaskReplace", "TaskCompletion", "TaskMove", "ListUpdate"):
        assert not [m for m, described in schemas[name]["properties"].items() if "default" in described], name
    title = schemas["TaskCreate"]["properties"]["title"]
    # Spaces around it do not count, so that its longest length is not that of the string.
    assert "maxLength" not in title
    for text, fits in {
        "x": True, "x" * 255: True, "x" * 256: False, " " * 300 + "x" * 255 + "\n" * 300: True,
        "": False, " ": False, "a\tb": False, "x" + " " * 253 + "x": True, "x" + " " * 254 + "x": False,
    }.items():  # fmt: skip
        assert bool(re.search(title["pattern"], text)) == fits, text
        assert (await alice.http.post("/api/v1/tasks", json={"title": text})).status_code == (201 if fits else 422)
    assert "'maxLength': 10000" in str(schemas["TaskCreate"]["properties"]["description"])
    assert schemas["TaskCreate"]["required"] == ["title"]
    assert all(
        schemas[name].get("additionalProperties") is False
        for name in (
            "TaskCreate",
            "TaskUpdate",
            "TaskReplace",
            "TaskCompletion",
            "TaskMove",
            "ListCreate",
            "ListUpdate",
            "ListMove",
            "TagRename",
        )
    )


def test_what_clients_send_has_no_number_without_bounds(document: dict[str, Any]):
    for name, (_, _, operation) in operations(document).items():
        sent = [operation.get("requestBody", {}), operation.get("parameters", [])]
        for schema in integers_in(sent, document, set()):
            # An integer column refuses what is beyond, and the answer would be a 500.
            assert schema.keys() >= {"minimum", "maximum"}, (name, schema)

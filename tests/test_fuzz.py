"""Requests that nobody thought of: whatever is sent, the answer is below 500, and a problem from 400 on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskward.tasks.filters import TaskFilters
from taskward.tasks.schemas import TaskRead
from tests.serving import NO_TLS, make_token
from tests.sizes import sized

MEMBERS = [*TaskRead.model_fields, "after", "name", "color", "\ud800", ""]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
# What is right somewhere, and mostly wrong where it is met.
NEAR = st.sampled_from(
    ["Buy milk", "2026-01-10", "9999-12-31", "0001-01-01", "2026-01-10T09:30:00Z", "Europe/Berlin", "high", "due",
     "FREQ=DAILY", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;COUNT=1", "completion", "#2f855a", ["home"],
     {"a": {"b": None}}, {"a": "\0"}, "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c"]
)  # fmt: skip
BODIES = (
    st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES | NEAR, max_size=5).map(
        lambda body: json.dumps(body).encode()
    )
    | JSON_VALUES.map(lambda body: json.dumps(body).encode())
    | st.binary(max_size=300)
)
SEGMENTS = st.sampled_from(
    ["api", "v1", "tasks", "lists", "tags", "me", "complete", "restore", "move",
     "01944f5c-8c00-7b6e-9f3a-2f4d5e6a7b8c", "docs", "assets",
     "problems", "openapi.json", "healthz", "invalid", "..", ".", "", "%2F", "%00", "%ff", "*"]
) | st.text(max_size=40).map(lambda text: httpx2.QueryParams({"": text}).__str__()[1:])  # fmt: skip
PATHS = st.sampled_from(
    [
        "/api/v1/tasks",
        "/api/v1/tasks/{id}",
        "/api/v1/tasks/{id}/complete",
        "/api/v1/tasks/{id}/restore",
        "/api/v1/me",
        "/api/v1/tasks/{id}/move",
        "/api/v1/lists",
        "/api/v1/lists/{list_id}",
        "/api/v1/lists/{list_id}/move",
        "/api/v1/tags",
        "/api/v1/tags/home",
    ]
) | st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts).lstrip("/"))
QUERIES = st.dictionaries(
    st.sampled_from([*TaskFilters.model_fields, "permanent", "tasks"]) | st.text(max_size=5),
    st.sampled_from(
        [
            "true",
            "false",
            "1",
            "200",
            "",
            "none",
            "high,low",
            "2026-01-10",
            "9998-12-31",
            "2026-01-10T09:30:00+14:00",
            "Pacific/Kiritimati",
            "-due,title",
            "keep",
            "trash",
            'milk or "blue',
            "-x",
        ]
    )
    | st.text(max_size=50),
    max_size=3,
)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["If-Match", "If-None-Match", "Accept", "Content-Type", "Content-Encoding", "X-Request-Id", "Origin",
         "Authorization", "Access-Control-Request-Method", "Range", "Cookie", "X-HTTP-Method-Override",
         "Idempotency-Key"]
    ),
    VISIBLE | st.sampled_from(['"1"', "*", 'W/"1"', "application/json", "application/merge-patch+json", "bytes=0-1"]),
    max_size=4,
)  # fmt: skip
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[httpx2.Client]:
    token = make_token(f"frank-{secrets.token_hex(4)}")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with httpx2.Client(base_url=base_url, headers=headers, timeout=20, verify=NO_TLS) as client:
        yield client


@pytest.fixture(scope="module")
def task_id(client: httpx2.Client) -> str:
    return str(client.post("/api/v1/tasks", json={"title": "x"}).json()["id"])


@pytest.fixture(scope="module")
def list_id(client: httpx2.Client) -> str:
    return str(client.post("/api/v1/lists", json={"name": "x"}).json()["id"])


REQUESTS = st.fixed_dictionaries({"path": PATHS, "query": QUERIES, "headers": HEADERS, "body": BODIES})


@given(method=METHODS, sent=REQUESTS)
@settings(max_examples=sized(50, 200), deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
def test_whatever_is_sent_is_answered(
    client: httpx2.Client, task_id: str, list_id: str, method: str, sent: dict[str, Any]
):
    address = str(client.base_url).rstrip("/") + sent["path"].replace("{id}", task_id).replace("{list_id}", list_id)
    headers = [(name.encode(), value.encode("latin-1")) for name, value in sent["headers"].items()]
    response = client.request(method, httpx2.URL(address, params=sent["query"]), headers=headers, content=sent["body"])
    assert response.status_code < 500, response.text
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    if response.status_code >= 400 and method != "HEAD":
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["request_id"] == response.headers["x-request-id"]

"""Hostile and mistaken requests: each has its one status, and a problem document that echoes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.databases import Superuser
from tests.raw import Answer, exchange, request
from tests.users import User

TASKS = "/api/v1/tasks"
JSON: tuple[str, str | bytes] = ("Content-Type", "application/json")
BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "a space": (b" ", 400),
    "not JSON": (b"title=x", 400),
    "cut off": (b'{"title": "x"', 400),
    "two documents": (b'{"title": "x"}{"title": "y"}', 400),
    "trailing comma": (b'{"title": "x",}', 400),
    "single quotes": (b"{'title': 'x'}", 400),
    "a comment": (b'{"title": "x"} // no', 400),
    "NaN": (b'{"title": "x", "completed": NaN}', 400),
    "Infinity": (b'{"title": Infinity}', 400),
    "minus Infinity": (b'{"title": -Infinity}', 400),
    "NaN elsewhere": (b'{"title": "x", "nonsense": [NaN]}', 400),
    "a raw control character": (b'{"title": "a\nb"}', 400),
    "a raw NUL": (b'{"title": "a\x00b"}', 400),
    "invalid UTF-8": (b'{"title": "a\xffb"}', 400),
    "an encoded surrogate": (b'{"title": "a\xed\xa0\x80b"}', 400),
    "overlong UTF-8": (b'{"title": "a\xc0\x80b"}', 400),
    "UTF-16": ('{"title": "x"}'.encode("utf-16"), 400),
    "a byte order mark": (b'\xef\xbb\xbf{"title": "x"}', 400),
    "a bad escape": (b'{"title": "\\x"}', 400),
    # What has more than is read is not read to its end, where it may turn out not to be JSON.
    "deep arrays": (b'{"title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422),
    "deep objects": (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, 422),
    "many open arrays": (b"[" * 200_000, 422),
    "open arrays": (b"[" * 5_000, 400),
    "an escaped NUL": (b'{"title": "a\\u0000b"}', 422),
    "a high surrogate": (b'{"title": "a\\ud800b"}', 422),
    "a low surrogate": (b'{"title": "\\udfff"}', 422),
    "surrogates the wrong way round": (b'{"title": "\\ude00\\ud83d"}', 422),
    "a surrogate in the description": (b'{"title": "x", "description": "\\ud800"}', 422),
    "a surrogate in a name": (b'{"title": "x", "\\ud800": 1}', 422),
    "a surrogate in an unknown member": (b'{"title": "x", "y": {"z": "\\ud800"}}', 422),
    "1e400": (b'{"title": 1e400}', 422),
    "minus 1e400": (b'{"title": "x", "completed": -1e400}', 422),
    "1e400 in an unknown member": (b'{"title": "x", "y": 1e400}', 422),
    "a huge integer": (b'{"title": ' + b"9" * 10_000 + b"}", 422),
    "fairly deep arrays": (b'{"title": ' + b"[" * 150 + b"]" * 150 + b"}", 422),
    "an array": (b'[{"title": "x"}]', 422),
    "a string": (b'"title"', 422),
    "a number": (b"1", 422),
    "null": (b"null", 422),
    "true": (b"true", 422),
    "no title": (b"{}", 422),
    "an unknown member": (b'{"title": "x", "owner": "bob"}', 422),
    "__proto__": (b'{"title": "x", "__proto__": {}}', 422),
    "an empty name": (b'{"title": "x", "": 1}', 422),
    "a number in the metadata that is too large": (b'{"title": "x", "metadata": {"a": [1e400]}}', 422),
    "NaN in the metadata": (b'{"title": "x", "metadata": {"a": NaN}}', 400),
    "a surrogate in the metadata": (b'{"title": "x", "metadata": {"a": "\\ud800"}}', 422),
    "a surrogate in a name of the metadata": (b'{"title": "x", "metadata": {"\\udc00": 1}}', 422),
    "a NUL in the metadata": (b'{"title": "x", "metadata": {"a": "\\u0000"}}', 422),
    "a NUL in a name of the metadata": (b'{"title": "x", "metadata": {"a": {"\\u0000": 1}}}', 422),
    "deep metadata": (b'{"title": "x", "metadata": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}", 422),
    "a huge integer in the metadata": (b'{"title": "x", "metadata": {"a": ' + b"9" * 10_000 + b"}}", 422),
    "a surrogate in a tag": (b'{"title": "x", "tags": ["\\ud800"]}', 422),
    "many unknown members": (json.dumps({"title": "x"} | {f"m{n}": n for n in range(15_000)}).encode(), 422),
}


def bearer(user: User) -> tuple[str, str | bytes]:
    return ("Authorization", f"Bearer {user.token}")


def assert_problem(answer: Answer, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.body[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() - {"errors", "version"} == {"type", "title", "status", "detail", "instance", "request_id"}
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"].endswith(".")
    assert ("errors" in problem) == (status == 422)
    for error in problem.get("errors", []):
        assert error.keys() == {"in", "pointer", "detail"}
        assert error["detail"].endswith((".", ")", "?"))
        assert error["detail"] != "This is not valid."
    return problem  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_has_its_status_and_writes_nothing(
    alice: User, base_url: str, superuser: Superuser, name: str
):
    body, status = BODIES[name]
    sent = request("POST", TASKS, [bearer(alice), JSON], body)
    assert_problem(await exchange(base_url, sent, method=b"POST"), status)
    assert not await superuser.fetch("SELECT FROM taskward.account WHERE user_id = $1", alice.id)


@pytest.mark.parametrize("name", [n for n, (_, status) in BODIES.items() if status == 400 and n != "nothing"])
async def test_every_route_with_a_body_refuses_what_is_not_json(alice: User, base_url: str, name: str):
    task = await alice.create()
    for verb, sub in [("PATCH", ""), ("PUT", ""), ("PATCH", "/complete"), ("POST", "/move")]:
        sent = request(verb, f"{TASKS}/{task['id']}{sub}", [bearer(alice), JSON], BODIES[name][0])
        assert_problem(await exchange(base_url, sent, method=verb.encode()), 400)
    assert (await alice.http.get(TASKS)).json() == [task]
    for verb, path in [("POST", "/lists"), ("PATCH", f"/lists/{task['id']}"), ("PATCH", "/tags/home"),
                       ("POST", f"/lists/{task['id']}/move")]:  # fmt: skip
        sent = request(verb, f"/api/v1{path}", [bearer(alice), JSON], BODIES[name][0])
        assert_problem(await exchange(base_url, sent, method=verb.encode()), 400)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"1", b'{"completed": null}'])
async def test_completion_takes_an_object_or_no_body(alice: User, base_url: str, body: bytes):
    task = await alice.create()
    sent = request("PATCH", f"{TASKS}/{task['id']}/complete", [bearer(alice), JSON], body)
    assert_problem(await exchange(base_url, sent, method=b"PATCH"), 422)


async def test_put_takes_anything_for_what_it_ignores(alice: User, base_url: str):
    task = await alice.create()
    for value in (b"9" * 10_000, b"1e400", b'"\\u0000"', b"[" * 150 + b"]" * 150):
        sent = request("PUT", f"{TASKS}/{task['id']}", [bearer(alice), JSON], b'{"version": ' + value + b"}")
        assert (await exchange(base_url, sent, method=b"PUT")).json() == task


LIMIT = 256 * 1024


@pytest.mark.parametrize("size", [LIMIT + 1, 10_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked", "length only"])
async def test_a_body_above_the_limit_is_413(alice: User, base_url: str, size: int, framing: str):
    body = b'{"title": "' + b"x" * (size - 13) + b'"}'
    if framing == "chunked":
        head = request("POST", TASKS, [bearer(alice), JSON, ("Transfer-Encoding", "chunked")])
        chunks = [body[at : at + 65536] for at in range(0, size, 65536)]
        parts = [head, *(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks), b"0\r\n\r\n"]
    else:
        head = request("POST", TASKS, [bearer(alice), JSON, ("Content-Length", str(size))])
        parts = [head] if framing == "length only" else [head, body]
    assert_problem(await exchange(base_url, *parts, method=b"POST"), 413)


async def test_a_body_at_the_limit_is_read(alice: User, base_url: str):
    body = b'{"title": "x"}'.ljust(LIMIT)
    answer = await exchange(base_url, request("POST", TASKS, [bearer(alice), JSON], body), method=b"POST")
    assert answer.status == 201


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", [("Content-Type", "application/json; charset=utf-8")], 201),
        ("POST", [("Content-Type", 'Application/JSON; Charset="UTF-8"')], 201),
        ("POST", [("Content-Type", "application/json;")], 201),
        ("POST", [JSON, ("Content-Encoding", "identity")], 201),
        ("POST", [], 415),
        ("POST", [("Content-Type", "")], 415),
        ("POST", [("Content-Type", "text/plain")], 415),
        ("POST", [("Content-Type", "application/x-www-form-urlencoded")], 415),
        ("POST", [("Content-Type", "application/jsonx")], 415),
        ("POST", [("Content-Type", "text/json")], 415),
        ("POST", [("Content-Type", "application/merge-patch+json")], 415),
        ("POST", [("Content-Type", "application/json; charset=utf-16")], 415),
        ("POST", [("Content-Type", "application/json; charset=latin1")], 415),
        ("POST", [("Content-Type", "application/json, text/plain")], 415),
        ("POST", [JSON, JSON], 415),
        ("POST", [JSON, ("Content-Encoding", "gzip")], 415),
        ("POST", [JSON, ("Content-Encoding", "br")], 415),
        ("POST", [JSON, ("Accept", "*/*")], 201),
        ("POST", [JSON, ("Accept", "application/json")], 201),
        ("POST", [JSON, ("Accept", "text/html, application/*;q=0.1")], 201),
        ("POST", [JSON, ("Accept", "text/html"), ("Accept", "application/json")], 201),
        ("POST", [JSON, ("Accept", "APPLICATION/JSON;q=0.001")], 201),
        ("POST", [JSON, ("Accept", "text/html")], 406),
        ("POST", [JSON, ("Accept", "application/xml, text/*")], 406),
        ("POST", [JSON, ("Accept", "application/json;q=0, */*")], 406),
        ("POST", [JSON, ("Accept", "*/*;q=0")], 406),
        ("POST", [JSON, ("Accept", "nonsense")], 406),
        ("POST", [JSON, ("Accept", "application/json;q=x")], 406),
        ("POST", [JSON, ("If-Match", b"\xff\xfe")], 201),
        ("PATCH", [("Content-Type", "application/merge-patch+json")], 200),
        ("PUT", [("Content-Type", "application/merge-patch+json")], 415),
        ("PATCH", [JSON, ("If-Match", '"1"'), ("If-Match", '"2"')], 200),
        ("PATCH", [JSON, ("If-Match", '"3"'), ("If-Match", '"2"')], 412),
        ("PATCH", [JSON, ("If-Match", "*"), ("If-Match", '"1"')], 422),
        ("PATCH", [JSON, ("If-Match", b'"\xe9"')], 412),
        ("PATCH", [JSON, ("If-Match", b"\xff")], 422),
    ],
)
async def test_headers_decide_before_the_body_is_looked_at(
    alice: User, base_url: str, method: str, headers: list[tuple[str, str | bytes]], status: int
):
    task = await alice.create()
    target = TASKS if method == "POST" else f"{TASKS}/{task['id']}"
    sent = request(method, target, [bearer(alice), *headers], b'{"title": "y"}')
    answer = await exchange(base_url, sent, method=method.encode())
    if status >= 400:
        assert_problem(answer, status)
    assert answer.status == status, answer.body


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_of_another_type_is_told_what_to_type(alice: User, kind: str | None):
    task = await alice.create()
    headers = {} if kind is None else {"Content-Type": kind}
    json_ = "In curl: -H 'Content-Type: application/json'. "
    file = "In curl: -H 'Content-Type: …' --data-binary @FILE. "
    for method, path, in_curl in [
        ("POST", TASKS, json_), ("PATCH", f"{TASKS}/{task['id']}", json_), ("PUT", f"{TASKS}/{task['id']}", json_),
        ("POST", f"{TASKS}/batch", json_), ("POST", "/api/v1/me/import", file),
    ]:  # fmt: skip
        answer = await alice.http.request(method, path, content=b'{"title":"x"}', headers=headers)
        assert answer.status_code == 415
        assert in_curl in answer.json()["detail"]
        assert "Without it, curl sends a form, and fetch sends text/plain." in answer.json()["detail"]
        assert ("no form" in answer.json()["detail"]) == ("form" in (kind or ""))


TARGETS: dict[bytes, int] = {
    b"/api/v1/tasks/": 404,
    b"/api/v1/tasks//": 404,
    b"/api/v1/tasks/a/b": 404,
    b"/api/v1/tasks/a%2Fb": 404,
    b"/api/v1/tasks/%2e%2e": 404,
    b"/api/v1/tasks/../me": 404,
    b"/api/v1/tasks/%00": 404,
    b"/api/v1/tasks/%ff": 404,
    b"/api/v1/tasks/%ED%A0%80": 404,
    b"/api/v1/tasks/null": 404,
    b"/api/v1/tasks/" + b"x" * 5000: 404,
    b"/api/v1/Tasks": 404,
    b"/API/v1/tasks": 404,
    b"//api/v1/tasks": 404,
    b"/api/v1": 404,
    b"/api": 404,
    b"/docs/assets/../../errors.py": 404,
    b"/docs/assets/%2e%2e/%2e%2e/__init__.py": 404,
    b"/problems/nonsense": 404,
    b"/problems/a%2Fb": 404,
    b"/api/v1/tasks?%ff": 422,
    b"/api/v1/tasks?completed=%ff": 422,
    b"/api/v1/tasks?" + b"&".join(b"p%d=1" % n for n in range(200)): 422,
    b"/api/v1/tasks?cursor=" + b"A" * 20_000: 422,
    b"/api/v1/tasks?query=%27%3B%20DROP%20TABLE%20task": 422,
    b"/api/v1/tasks?q=%00": 422,
    b"/api/v1/tasks?q=" + b"x" * 501: 422,
    b"/api/v1/tasks?q=" + b"+".join(b"w%d" % n for n in range(33)): 422,
    b"/api/v1/tasks?sort=id,id": 422,
    b"/api/v1/tasks?sort=%27%3B%20DROP%20TABLE%20task": 422,
    b"/api/v1/tasks?tz=../../etc/passwd": 422,
    b"/api/v1/tasks?tz=Europe/Berlin%00": 422,
    b"/api/v1/tasks?" + b"&".join(b"tag=t%d" % n for n in range(21)): 422,
    b"/api/v1/lists/": 404,
    b"/api/v1/lists/%00": 404,
    b"/api/v1/lists/a%2Fb": 404,
    b"/api/v1/lists/" + b"x" * 5000: 404,
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t[:40].decode())
async def test_a_hostile_target_has_its_status(alice: User, base_url: str, target: bytes):
    answer = await exchange(base_url, request("GET", target, [bearer(alice)]))
    problem = assert_problem(answer, TARGETS[target])
    assert len(problem["instance"]) < 20_000
    problem["instance"].encode("ascii")

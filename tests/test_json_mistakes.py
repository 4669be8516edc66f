"""Who sends what is not JSON is told where it stops being JSON and what is expected there, and never what is there."""

from __future__ import annotations

import json

import pytest

from taskward.strict_json.mistakes import NotJson
from taskward.strict_json.reading import Item, parse, parts
from tests.users import User

TASKS = "/api/v1/tasks"
JSON = {"Content-Type": "application/json"}
BEGINNING = "Send a body that is valid JSON in UTF-8: "
COMMA = "a comma is expected, or the end of the object or array"
NAME = "a name in double quotation marks is expected"
VALUE = "a value is expected"
MISTAKES = [
    (b"", "it is empty"),
    (b" \r\n ", "it is empty"),
    (b'{"title": "secret-of-mine', "at line 1, column 11 a string begins that does not end"),
    (b'{"title": }', f"at line 1, column 11 {VALUE}"),
    (b'{"title":\n\n', f"at line 3, column 1 {VALUE}, and the text ends"),
    (b"{'title': 'secret-of-mine'}", f"at line 1, column 2 {NAME}"),
    (b'{"title": "x" "secret-of-mine": 1}', f"at line 1, column 15 {COMMA}"),
    (b'{"title": "x"', f"at line 1, column 14 {COMMA}, and the text ends"),
    (b'{"title" "secret-of-mine"}', "at line 1, column 10 a colon is expected"),
    (b'{\r\n  "title": "\xc3\xa9\xc3\xa9", "tags": secret-of-mine}', f"at line 2, column 26 {VALUE}"),
    (b'{"title": "x"} secret-of-mine', "at line 1, column 16 nothing more is expected"),
    (b"title=secret-of-mine", f"at line 1, column 1 {VALUE}"),
    (b'{"metadata": {"a": ["NaN", NaN]}}', f"at line 1, column 28 {VALUE}"),
    (b'{"metadata": -Infinity}', f"at line 1, column 14 {VALUE}"),
    (b'{"priority": 01}', f"at line 1, column 15 {COMMA}"),
    (b'{"metadata": ' + b"1" * 5000 + b" 1}", f"at line 1, column 5015 {COMMA}"),
    (b"\xef\xbb\xbf{}", "it begins with a byte order mark, which JSON does not have"),
    (b'{"title": "\xff"}', "at line 1, column 12 a byte is not UTF-8"),
    (b'{"title": "a\nb"}', "at line 1, column 13 a string has a line break or another control character that is not"),
    (b"[" * 3000, "it is nested too deeply"),
]


@pytest.mark.parametrize(("body", "mistake"), MISTAKES, ids=range(len(MISTAKES)))
async def test_a_body_that_is_not_json_is_told_where(alice: User, body: bytes, mistake: str):
    for path in (TASKS, f"{TASKS}/batch"):
        answer = await alice.http.post(path, content=body, headers=JSON)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(BEGINNING + mistake)
        assert answer.json()["title"] == "The body is not JSON"
        assert "secret-of-mine" not in answer.text


@pytest.mark.parametrize(("body", "mistake"), MISTAKES, ids=range(len(MISTAKES)))
def test_it_is_the_same_place_whether_read_as_a_whole_or_in_parts(body: bytes, mistake: str):
    for read in (parse, lambda text: list(parts(text, "operations"))):
        with pytest.raises(NotJson) as caught:
            read(body)
        assert str(caught.value).startswith(mistake)


@pytest.mark.parametrize("others", [0, 10, 300, 4000])
async def test_a_batch_of_any_length_is_told_the_line(alice: User, others: int):
    before = '{"operations":[\n' + '{"op":"create","task":{"title":"x"}},\n' * 5
    after = ',\n{"op":"create","task":{"title":"an operation that comes later"}}' * others
    body = before + '{"op":"create","task":{"title":"x",}}' + after + "]}"
    answer = await alice.http.post(f"{TASKS}/batch", content=body, headers=JSON)
    assert answer.status_code == 400
    assert "at line 7, column 3" in answer.json()["detail"]
    assert (await alice.http.get(TASKS)).json() == []


async def test_a_line_of_an_import_is_told_the_column(alice: User):
    export = (
        '\n{"type":"list","name":"Home"}\n{"type":"task",\n"title":"secret-of-mine"}\n{"type":"task" "title":"x"}\n'
    )
    answer = await alice.http.post(
        "/api/v1/me/import", content=export, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 422
    beginning = "This is not a JSON object on a line of its own: "
    assert [
        (error["pointer"], error["detail"]) for error in answer.json()["errors"] if error["pointer"] != "/2/id"
    ] == [
        ("/3", f"{beginning}at column 16 {NAME}, and the text ends."),
        ("/4", f"{beginning}at column 8 nothing more is expected."),
        ("/5", f"{beginning}at column 16 {COMMA}."),
    ]
    assert "secret-of-mine" not in answer.text


async def test_no_body_at_all_is_called_empty(alice: User):
    task = await alice.create()
    for method, path in [("POST", TASKS), ("PATCH", f"{TASKS}/{task['id']}"), ("POST", f"{TASKS}/batch")]:
        answer = await alice.http.request(method, path)
        assert (answer.status_code, answer.json()["detail"]) == (400, f"{BEGINNING}it is empty.")


def test_a_string_that_a_window_cuts_is_no_mistake():
    # What the first window of a part cuts: a string, an escape, a number, a literal.
    for tail in ('"x\\ud83d\\ude00"', "1.5e+10", "-123456789012", "false", "true", "null"):
        for length in range(32_720, 32_770):
            text = f'{{"operations":["{"x" * length}",{tail}]}}'
            items = [part.value for part in parts(text.encode(), "operations") if isinstance(part, Item)]
            assert items == json.loads(text)["operations"]

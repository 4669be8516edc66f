"""`docs/security.md` promises nothing without a test that can fail, and leaves out no test of what it is about."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
# The names of files that are about security, whoever adds them.
PROOFS = (
    "test_*token*", "test_*claim*", "test_*key*", "test_*issuer*", "test_*auth*", "test_*bearer*", "test_*scope*",
    "test_*verif*", "test_*isolat*", "test_*layer*", "test_*secur*", "test_*role*", "test_*owner*", "test_*statement*",
    "test_*session*", "test_*opening*", "test_*tls*", "test_*bouncer*", "test_*pool*", "test_*canary*", "test_*secret*",
    "test_*leak*", "test_*fuzz*", "test_*schemathesis*", "test_*mutant*", "test_*cors*", "test_*problem*",
    "test_*error*", "test_*settings*", "test_*precondition*", "test_*attack*", "test_*redirect*", "test_*limit*",
)  # fmt: skip
ITEM = re.compile(r"^(\d+)\. (.+)\n +- By (.+)\n +- Held by (.+)$", re.MULTILINE)
NUMBER = r"(?:0|[1-9]\d?)"
REFERENCES = re.compile(
    rf"RFC [1-9]\d{{3}}, section [1-9]\d?(?:\.[1-9]\d?)*|ASVS (?:[1-9]|1[0-7])\.{NUMBER}\.{NUMBER}|API(?:[1-9]|10):2023"
)
TEST = re.compile(r"`tests/(test_\w+\.py)::(test_\w+)`")


@dataclass(frozen=True)
class Promise:
    """A numbered sentence, the documents that ask for it, and the tests that hold it, as file and function."""

    number: int
    sentence: str
    references: tuple[str, ...]
    tests: tuple[tuple[str, str], ...]


def promised(page: str) -> str:
    return page.partition("\n## What is promised\n")[2].partition("\n## ")[0]


def promises(page: str) -> list[Promise]:
    """What the page promises.

    Raises:
        ValueError: Something there is not written as a promise is.
    """
    found = []
    section = promised(page)
    for number, sentence, references, tests in ITEM.findall(section):
        named = TEST.findall(tests)
        if ", ".join(f"`tests/{file}::{test}`" for file, test in named) != tests:
            raise ValueError(f"promise {number} is held by something that is no test: {tests}")
        found.append(Promise(int(number), sentence, tuple(references.split("; ")), tuple(named)))
    if len(re.findall(r"^\s*(?:\d+[.)]|[-*+]) ", section, re.MULTILINE)) != 3 * len(found):
        raise ValueError("something in the list is no sentence with its documents and its tests")
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def asserts(node: ast.AST) -> bool:
    """Whether an assertion stands in it."""
    return any(
        isinstance(part, ast.Assert)
        or (isinstance(part, ast.Attribute) and ast.unparse(part) in {"pytest.raises", "pytest.fail"})
        for part in ast.walk(node)
    )


def is_never_run(nodes: Iterable[ast.AST]) -> bool:
    """Whether one of these is a mark, or a call, by which a test is skipped, or may fail, whatever happens."""
    return any(
        isinstance(part, ast.Attribute)
        and ast.unparse(part) in {"pytest.skip", "pytest.mark.skip", "pytest.mark.xfail"}
        for node in nodes
        for part in ast.walk(node)
    )


def definitions(tree: ast.Module, path: Path) -> dict[str, ast.AST]:
    """The functions and classes that a module of the tests has or imports from another one."""
    found: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            file = path.parents[1].joinpath(*str(node.module).split(".")).with_suffix(".py")
            there = {getattr(one, "name", ""): one for one in tree_of(file).body} if file.exists() else {}
            found |= {name.asname or name.name: there[name.name] for name in node.names if name.name in there}
    return found


def fault(tree: ast.Module, name: str, path: Path) -> str | None:
    """Why a test does not hold anything, or None if it does."""
    known = definitions(tree, path)
    test = next((n for n in tree.body if n is known.get(name)), None)
    if not isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef):
        return "is not there"
    marks = [
        node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    outright = [statement for statement in [*test.body, *tree.body] if isinstance(statement, ast.Expr)]
    if is_never_run([*test.decorator_list, *marks, *outright]):
        return "is never run, or may fail"
    used = {part.id for part in ast.walk(test) if isinstance(part, ast.Name)}
    if not (asserts(test) or any(asserts(known[helper]) for helper in used & known.keys() if helper != name)):
        return "asserts nothing"
    return None


def faults(page: str) -> list[str]:
    """Everything that is wrong with the promises."""
    found = []
    listed = promises(page)
    if not 28 <= len(listed) <= 40:
        found.append(f"{len(listed)} promises")
    if [promise.number for promise in listed] != list(range(1, len(listed) + 1)):
        found.append("they are not numbered one by one")
    if len({promise.sentence.casefold() for promise in listed}) != len(listed):
        found.append("two are the same")
    for promise in listed:
        text = re.sub(r"`[^`]*`", "x", promise.sentence)
        if not re.fullmatch(r"[^.!?]+\.", text):
            found.append(f"{promise.number} is not one sentence")
        found += [f"{promise.number}: {one}" for one in promise.references if not REFERENCES.fullmatch(one)]
        if len(set(promise.references)) != len(promise.references) or len(set(promise.tests)) != len(promise.tests):
            found.append(f"{promise.number} names something twice")
        for file, test in promise.tests:
            path = ROOT / "tests" / file
            reason = fault(tree_of(path), test, path) if path.exists() else "is in no file"
            if reason:
                found.append(f"{promise.number}: {file}::{test} {reason}")
    return found


def forgotten(page: str) -> list[str]:
    """Files of tests about security that the page does not mention."""
    files = {path.name for pattern in PROOFS for path in ROOT.joinpath("tests").glob(f"{pattern}.py")}
    return sorted(file for file in files if f"`tests/{file}" not in page)


def test_every_promise_is_one_numbered_sentence_with_its_documents_and_tests_that_can_fail():
    assert faults(PAGE) == []


def test_no_test_of_security_is_forgotten():
    assert forgotten(PAGE) == []
    assert forgotten(PAGE.replace("test_key_sets.py", "test_keys.py")) == ["test_key_sets.py"]
    assert len(forgotten("")) > 25


def test_each_document_that_the_page_introduces_is_named_by_a_promise():
    introduced = set(re.findall(r"\b(?:RFC \d{4}|ASVS|API)\b(?=[^`]*\()", promised(PAGE).partition("\n### ")[0]))
    assert introduced >= {"RFC 8725", "RFC 9068", "RFC 6750"}
    references = [one for promise in promises(PAGE) for one in promise.references]
    for name in (*introduced - {"API"}, "ASVS", *(f"API{number}:2023" for number in (1, 2, 3, 4, 5, 7, 8, 10))):
        assert any(reference.startswith(name) for reference in references), name


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(page: str) -> str:
        assert old in page
        return page.replace(old, new, 1)

    return change


def repeated(page: str) -> str:
    first, second = ITEM.findall(page)[:2]
    return page.replace(second[1], first[1], 1)


def without_the_last(page: str) -> str:
    return page.replace(list(ITEM.finditer(page))[-1][0], "", 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (replaced("\n2. ", "\n3. "), "they are not numbered one by one"),
        (repeated, "two are the same"),
        (replaced("of its claims counts.", "of its claims counts. Really."), "2 is not one sentence"),
        (replaced("of its claims counts.", "of its claims counts"), "2 is not one sentence"),
        (replaced("ASVS 9.1.1", "ASVS 9.1"), "2: ASVS 9.1"),
        (replaced("ASVS 9.1.1", "ASVS 18.1.1"), "2: ASVS 18.1.1"),
        (replaced("ASVS 9.1.1", "ASVS V9.1.1"), "2: ASVS V9.1.1"),
        (replaced("API2:2023", "API11:2023"), "2: API11:2023"),
        (replaced("API2:2023", "API2"), "2: API2"),
        (replaced("RFC 8725, section 2.1;", "RFC 872, section 2.1;"), "2: RFC 872, section 2.1"),
        (replaced("RFC 8725, section 3.3;", "RFC 8725;"), "2: RFC 8725"),
        (replaced("RFC 8725, section 3.3;", "RFC 8725, section 3.;"), "2: RFC 8725, section 3."),
        (replaced("RFC 8725, section 3.3;", "RFC 8725, section 2.1;"), "2 names something twice"),
        (
            replaced("test_tokens.py::test_a_signature_of_anything_else_is_refused", "test_tokens.py::test_nothing"),
            "2: test_tokens.py::test_nothing is not there",
        ),
        (
            replaced("test_tokens.py::test_a_signature_of_anything_else_is_refused", "test_none.py::test_nothing"),
            "2: test_none.py::test_nothing is in no file",
        ),
    ],
)  # fmt: skip
def test_a_page_that_breaks_a_rule_is_found(change: Callable[[str], str], said: str):
    assert said in faults(from_the_second(change))


def from_the_second(change: Callable[[str], str]) -> str:
    """The page with a change from its second promise on."""
    at = PAGE.index("\n2. ")
    return PAGE[:at] + change(PAGE[at:])


@pytest.mark.parametrize(
    "change",
    [
        replaced("   - Held by ", "   - See "), replaced("   - By ", "   - "), replaced("\n2. ", "\n2) "),
        replaced("   - Held by `tests/", "   - Held by `"), replaced("   - Held by `", "   - Held by nothing, `"),
        replaced("\n2. ", "\n- Further.\n\n2. "),
    ],
)  # fmt: skip
def test_a_promise_that_cannot_be_read_is_found(change: Callable[[str], str]):
    with pytest.raises(ValueError, match=r"is held by something that is no test|no sentence with its documents"):
        promises(from_the_second(change))


def test_too_few_and_too_many_promises_are_found():
    page = PAGE
    while len(promises(page)) > 27:
        page = without_the_last(page)
    assert faults(page) == ["27 promises"]


HELPERS = "def helper():\n    assert 1\ndef idle():\n    pass\nclass Checker:\n    def see(self):\n        assert 1\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def test_x():\n    assert 1", None),
        ("async def test_x():\n    assert 1", None),
        ("def test_x():\n    with pytest.raises(ValueError):\n        int('x')", None),
        ("def test_x():\n    for _ in range(3):\n        helper()", None),
        ("def test_x():\n    Checker().see()", None),
        ("@pytest.mark.skipif(sys.platform == 'win32', reason='no fork')\ndef test_x():\n    assert 1", None),
        ("def test_x():\n    if not there():\n        pytest.skip('not installed')\n    assert 1", None),
        ("def test_x():\n    idle()", "asserts nothing"),
        ("def test_x():\n    pass", "asserts nothing"),
        ("def test_x():\n    unknown()", "asserts nothing"),
        ("def test_x():\n    test_x()", "asserts nothing"),
        ("@pytest.mark.skip\ndef test_x():\n    assert 1", "is never run, or may fail"),
        ("@pytest.mark.skip(reason='later')\ndef test_x():\n    assert 1", "is never run, or may fail"),
        ("@pytest.mark.xfail\ndef test_x():\n    assert 1", "is never run, or may fail"),
        ("def test_x():\n    pytest.skip('later')\n    assert 1", "is never run, or may fail"),
        ("pytestmark = [pytest.mark.skip]\ndef test_x():\n    assert 1", "is never run, or may fail"),
        ("pytest.skip('all', allow_module_level=True)\ndef test_x():\n    assert 1", "is never run, or may fail"),
        ("def test_y():\n    assert 1", "is not there"),
        ("class TestX:\n    def test_x(self):\n        assert 1", "is not there"),
        ("test_x = 1", "is not there"),
    ],
)
def test_a_test_that_holds_nothing_is_found(source: str, reason: str | None):
    assert fault(ast.parse(HELPERS + source), "test_x", Path(__file__)) == reason

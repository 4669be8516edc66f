"""Mutants of the source: what is changed where, and finding in a module's syntax what there is to take away."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

_ALWAYS = '__import__("sqlalchemy").true()'
_SOMEBODY = '__import__("sqlalchemy").literal("mallory")'


class MutantError(Exception):
    """A mutant cannot be made: the source is not what it expects."""


@dataclass(frozen=True)
class Span:
    """A change of the bytes from `start` to `end`."""

    file: str
    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Edit:
    """A change of a text that a file has exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """Changes of the source, made together, and the tests that must notice.

    Attributes:
        name: Unique.
        edits: What is changed.
        tests: Files or node ids, in the order in which they run.
        stays_green: These tests must not notice: another protection holds by itself.
    """

    name: str
    edits: tuple[Edit | Span, ...]
    tests: tuple[str, ...]
    stays_green: bool = False


@dataclass(frozen=True)
class Source:
    """A checkout's files.

    Args:
        root: Where it is.
        changed: Texts that count in place of what is on disk, for tests.
    """

    root: Path
    changed: Mapping[str, str] = field(default_factory=dict)

    def text(self, file: str) -> str:
        if file in self.changed:
            return self.changed[file]
        try:
            return (self.root / file).read_bytes().decode()
        except FileNotFoundError:
            raise MutantError(f"there is no {file}") from None

    def mutated(self, mutant: Mutant) -> dict[str, str]:
        """The texts of the files that a mutant changes.

        Raises:
            MutantError: A text is not there exactly once, changes overlap, or the outcome is not Python.
        """
        spans: dict[str, list[Span]] = {}
        for edit in mutant.edits:
            span = self._located(edit) if isinstance(edit, Edit) else edit
            spans.setdefault(span.file, []).append(span)
        texts = {}
        for file, changes in spans.items():
            data = self.text(file).encode()
            changes.sort(key=lambda span: span.start)
            for one, next_one in pairwise(changes):
                if next_one.start < one.end:
                    raise MutantError(f"two changes of {file} overlap")
            for span in reversed(changes):
                data = data[: span.start] + span.new.encode() + data[span.end :]
            texts[file] = data.decode()
            try:
                ast.parse(texts[file])
            except SyntaxError as error:
                raise MutantError(f"{file} is no longer Python: {error}") from None
        return texts

    def _located(self, edit: Edit) -> Span:
        text = self.text(edit.file)
        if (count := text.count(edit.old)) != 1:
            raise MutantError(f"{edit.file} has this {count} times, not once: {edit.old!r}")
        start = len(text[: text.index(edit.old)].encode())
        return Span(edit.file, start, start + len(edit.old.encode()), edit.new)


def together(source: Source, mutants: Iterable[Mutant]) -> list[tuple[Mutant, list[Mutant]]]:
    """Mutants that must stay green, each of as many of these as can be made at once, and which these are."""
    groups: list[tuple[Mutant, list[Mutant]]] = []
    for mutant in mutants:
        for number, (group, members) in enumerate(groups):
            # A change that several make is made once.
            edits = tuple(dict.fromkeys((*group.edits, *mutant.edits)))
            try:
                source.mutated(wider := replace(group, edits=edits))
            except MutantError:
                continue
            if group.tests == mutant.tests:
                groups[number] = (wider, [*members, mutant])
                break
        else:
            groups.append((replace(mutant, stays_green=True), [mutant]))
    return [
        (replace(group, name=f"{len(members)} at once ({number}), beginning with {members[0].name}"), members)
        for number, (group, members) in enumerate(groups, 1)
    ]


Found = tuple[str, Span]
"""What can be taken away: a name that says where and what, unique within the module, and the change."""


class Module:
    """The syntax of one file."""

    def __init__(self, source: Source, file: str) -> None:
        self.file = file
        self._text = source.text(file)
        self._tree = ast.parse(self._text)
        self._lines = [0]
        for line in self._text.encode().split(b"\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)

    def refusals(self, is_refusal: Callable[[str], bool] = bool) -> Iterator[Found]:
        """Each `raise` of a new exception, to be replaced by `pass`, and each part of the conditions that lead to one.

        Args:
            is_refusal: Whether an exception of this name is one; all are by default.
        """
        return self._unique(self._refusals(is_refusal))

    def quiet_refusals(self) -> Iterator[Found]:
        """Each condition that leads to nothing but `return False`, `return None` or `return []`, to be replaced by
        False, and each of its parts; and each `return False` for an exception, to be replaced by `return True`.
        """
        return self._unique(self._quiet_refusals())

    def checks(self) -> Iterator[Found]:
        """Each statement that only calls a function named `check…`, to be replaced by `pass`."""
        return self._unique(
            (f"{place}: {self._shown(node)}", self._span(node, "pass"))
            for place, node in self._walk()
            if isinstance(node, ast.Expr) and _called(node.value).lstrip("_").startswith("check")
        )

    def owner_predicates(self) -> Iterator[Found]:
        """Each comparison of a column with `OWNER`, to be replaced by what is always true.

        Where a name stands for several conditions with such a comparison among them, each of its uses is one as well.
        """
        return self._unique(self._owner_predicates())

    def owner_values(self) -> Iterator[Found]:
        """Each other place where `OWNER` stands, to be replaced by somebody."""
        compared = {id(side) for _, node in self._walk() if _binds_owner(node) for side in ast.walk(node)}
        return self._unique(
            (f"{place}: OWNER in {self._line(node)}", self._span(node, _SOMEBODY))
            for place, node in self._walk()
            if isinstance(node, ast.Name) and node.id == "OWNER" and id(node) not in compared
            if isinstance(node.ctx, ast.Load)
        )

    def _refusals(self, is_refusal: Callable[[str], bool]) -> Iterator[Found]:
        for place, node in self._walk():
            if isinstance(node, ast.Raise) and node.exc is not None and is_refusal(_raised(node)):
                yield f"{place}: {self._message(node)}", self._span(node, "pass")
            if isinstance(node, ast.If):
                raises = [s for s in node.body if isinstance(s, ast.Raise) and s.exc and is_refusal(_raised(s))]
                for part, replacement in _parts(node.test) if raises else ():
                    yield (
                        f"{place}: {self._message(raises[0])}, if {self._shown(part)}",
                        self._span(part, replacement),
                    )

    def _quiet_refusals(self) -> Iterator[Found]:
        for place, node in self._walk():
            if isinstance(node, ast.If) and len(node.body) == 1 and _is_empty_return(node.body[0]):
                what = self._shown(node.body[0])
                for part, replacement in ((node.test, "False"), *_parts(node.test)):
                    yield f"{place}: {what}, if {self._shown(part)}", self._span(part, replacement)
            if isinstance(node, ast.ExceptHandler) and self._shown(node.body[-1]) == "return False":
                assert node.type is not None
                yield f"{place}: return False for {self._shown(node.type)}", self._span(node.body[-1], "return True")

    def _owner_predicates(self) -> Iterator[Found]:
        groups: dict[str, str] = {}
        for place, node in self._walk():
            if _binds_owner(node):
                yield f"{place}: {self._shown(node)}", self._span(node, _ALWAYS)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
                others = [self._shown(e) for e in node.value.elts if not _binds_owner(e)]
                if len(others) < len(node.value.elts):
                    (target,) = node.targets
                    groups[self._shown(target)] = ", ".join(others)
        for place, node in self._walk():
            if isinstance(node, ast.Starred) and self._shown(node.value) in groups:
                name = f"{place}: {self._shown(node)} in {self._line(node)}"
                yield name, self._span(node, groups[self._shown(node.value)])

    def _walk(self) -> Iterator[tuple[str, ast.AST]]:
        pending: list[tuple[tuple[str, ...], ast.AST]] = [((), self._tree)]
        while pending:
            place, node = pending.pop(0)
            yield ".".join(place) or "module", node
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                place = (*place, node.name)
            pending[:0] = [(place, child) for child in ast.iter_child_nodes(node)]

    def _unique(self, found: Iterable[Found]) -> Iterator[Found]:
        names: dict[str, int] = {}
        for name, span in found:
            names[name] = names.get(name, 0) + 1
            yield f"{self.file.removeprefix('src/taskward/')} {name}{f' ({n})' if (n := names[name]) > 1 else ''}", span

    def _span(self, node: ast.AST, new: str) -> Span:
        at: Any = node  # each that is asked for has a place
        start = self._lines[at.lineno - 1] + at.col_offset
        return Span(self.file, start, self._lines[at.end_lineno - 1] + at.end_col_offset, new)

    def _shown(self, node: ast.AST) -> str:
        return " ".join((ast.get_source_segment(self._text, node) or "").split())

    def _line(self, node: ast.AST) -> str:
        return self._text.splitlines()[node.lineno - 1].strip()  # type: ignore[attr-defined]

    def _message(self, node: ast.Raise) -> str:
        argument = next(iter(node.exc.args), None) if isinstance(node.exc, ast.Call) else None
        if argument is None or isinstance(argument, ast.Name | ast.Attribute):
            return _raised(node)
        shown = argument.value if isinstance(argument, ast.Constant) else self._shown(argument)
        return textwrap.shorten(str(shown).removeprefix('f"').removeprefix("f'").strip("\"'"), 60, placeholder="…")


def _is_empty_return(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Return):
        return False
    value = node.value
    return (isinstance(value, ast.Constant) and (value.value is False or value.value is None)) or (
        isinstance(value, ast.List) and not value.elts
    )


def _raised(node: ast.Raise) -> str:
    exception = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return exception.id if isinstance(exception, ast.Name) else ""


def _called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Await) else None
    if isinstance(function, ast.Call):
        return _called(function)
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _parts(test: ast.expr, *, refuses: bool = True) -> Iterator[tuple[ast.expr, str]]:
    """The parts of a condition that each refuse something by themselves, and what each is when it does not.

    Args:
        refuses: Whether the condition refuses when it is true; behind a `not` it does when it is false.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _parts(test.operand, refuses=not refuses)
    elif isinstance(test, ast.BoolOp):
        for value in test.values:
            if isinstance(test.op, ast.Or) is refuses:
                yield value, str(not refuses)
            yield from _parts(value, refuses=refuses)


def _binds_owner(node: ast.AST) -> bool:
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq):
        return False
    return any(isinstance(side, ast.Name) and side.id == "OWNER" for side in (node.left, *node.comparators))

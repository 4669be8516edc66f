"""The kernel knows no slice: neither by an import nor by a name in a string."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

from taskward.app import KEPT, SLICES
from taskward.http.slices import Slice
from taskward.storage.tables import OwnedTable

SOURCE = Path(__file__).parents[1] / "src" / "taskward"
KERNEL = ("http", "storage", "kit", "runtime", "strict_json", "identity", "postgres", "errors")
# Migrations make the tables of all slices.
MODULES = sorted(
    path
    for room in KERNEL
    for path in [*(SOURCE / room).rglob("*.py"), *SOURCE.glob(f"{room}.py")]
    if "migrations" not in path.parts
)


def package_of(one: Slice) -> str:
    """The package of a slice's routes."""
    (package,) = {route.endpoint.__module__.rpartition(".")[0] for route in one.router.routes}  # type: ignore[attr-defined]
    return str(package)


def tables_of(package: str) -> set[str]:
    for module in walk_packages(import_module(package).__path__, f"{package}."):
        import_module(module.name)
    kinds = (kind for kind in OwnedTable.__subclasses__() if kind.__module__.startswith(f"{package}."))
    return {str(kind.__tablename__) for kind in kinds}


def imports_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strings_of(tree: ast.Module) -> Iterator[str]:
    """The strings of the code, without those that stand for themselves, such as docstrings."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def found_in(source: str) -> set[str]:
    """What a module of the kernel has of a slice."""
    tree = ast.parse(source)
    packages = {package_of(one) for one in SLICES}
    names = {one.name for one in SLICES} | {name for package in packages for name in tables_of(package)}
    imported = {name for name in imports_of(tree) for package in packages if f"{name}.".startswith(f"{package}.")}
    return imported | {text for text in strings_of(tree) if text.strip("/") in names}


def test_slices_and_the_kernel_are_found():
    packages = {one.name: package_of(one) for one in SLICES}
    assert packages["tasks"] == "taskward.tasks"
    assert tables_of("taskward.tasks") == {"task"}
    assert {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in MODULES} == set(KERNEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_of_the_kernel_knows_no_slice(path: Path):
    assert found_in(path.read_text()) == set()


# What they do is of whatever slices there are. What other services export is of tasks and lists.
@pytest.mark.parametrize("path", ["account", "transfer/exporting.py", "transfer/importing.py"])
def test_what_is_made_of_all_slices_names_none(path: str):
    kept = {package_of(one) for one in KEPT}
    files = [SOURCE / path] if path.endswith(".py") else (SOURCE / path).glob("*.py")
    imported = {name for file in files for name in imports_of(ast.parse(file.read_text()))}
    assert {name for name in imported for package in kept if f"{name}.".startswith(f"{package}.")} == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from taskward.tasks.limits import TAGS", {"taskward.tasks.limits.TAGS"}),
        ("from taskward import lists", {"taskward.lists"}),
        ("def f():\n    import taskward.tags.store", {"taskward.tags.store"}),
        ("path = f'{base}/tasks'", {"/tasks"}),
        ("counts = ('list', 'row')", {"list"}),
        ("import taskward.tasks_of_others\n'''tasks'''\nscope = 'tasks:read'", set()),
    ],
)
def test_what_knows_a_slice_is_found(source: str, found: set[str]):
    assert found_in(source) == found


def test_the_files_that_the_architecture_names_are_there():
    page = SOURCE.parents[1].joinpath("docs", "architecture.md").read_text("utf-8")
    named = set(re.findall(r"(?<![\w./])((?:\w+/)+\w+\.py)", page))
    assert len(named) > 60
    # Some are named with the folder of the repository in front.
    assert [
        name for name in sorted(named) if not any((root / name).exists() for root in (SOURCE, SOURCE.parents[1]))
    ] == []

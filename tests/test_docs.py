"""What the documentation says is there, and what is there is in the documentation."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from argparse import _SubParsersAction
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench import page as bench_page
from fastapi import FastAPI
from fastapi.routing import APIRoute

from taskward.cli import _parser
from taskward.errors import every_problem
from taskward.settings import Settings, variable_names
from tests.serving import PLAIN, SECRET, make_token, serving

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])
VARIABLES = variable_names()


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("variable", VARIABLES.values())
@pytest.mark.parametrize("name", ["docs/settings.md", "README.md"])
def test_every_setting_is_documented(name: str, variable: str):
    assert f"`{variable}`" in page(name)


@pytest.mark.parametrize("member", VARIABLES)
def test_the_documented_default_is_the_default(member: str):
    default = Settings.model_fields[member].default
    rows = [line for line in page("docs/settings.md").splitlines() if line.startswith(f"| `{VARIABLES[member]}` |")]
    assert len(rows) == 1, f"docs/settings.md needs one row that begins with | `{VARIABLES[member]}` |"
    (row,) = rows
    cell = row.split("|")[2].strip()
    if default in {None, "", ()}:
        assert not re.fullmatch("`[^`]*`", cell), "there is no default, so that the cell has words in place of a value"
    else:
        # Of two words, those that the environment has.
        assert cell == f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_the_example_file_has_every_setting_and_no_other():
    found = re.findall(r"^#([A-Z_]+)=", page(".env.example"), re.MULTILINE)
    assert sorted(found) == sorted(VARIABLES.values())


def test_the_example_file_has_defaults_and_says_what_is_an_example():
    comment, marked = "", {}
    for line in page(".env.example").splitlines():
        if not line.startswith("#") or line.startswith("# "):
            comment = line
            continue
        name, _, value = line[1:].partition("=")
        marked[name] = (value, comment.endswith(" (example)"))
    for member, variable in VARIABLES.items():
        default = Settings.model_fields[member].default
        value, is_example = marked[variable]
        if default in {None, "", ()}:
            assert is_example or not value, variable
        else:
            assert (value, is_example) == (str(default).lower() if isinstance(default, bool) else str(default), False)


def test_the_example_file_sets_nothing_by_itself():
    assert [line for line in page(".env.example").splitlines() if line and not line.startswith("#")] == []


def test_every_route_is_documented(app: FastAPI):
    routes = [r for r in app.routes if isinstance(r, APIRoute) and not r.path.startswith("/docs/")]
    missing = [
        f"{method} {route.path_format}"
        for route in routes
        for method in sorted(route.methods or ())
        if f"`{method} {route.path_format}`" not in page("docs/api.md")
    ]
    assert len(routes) > 10
    assert missing == []


def test_every_documented_route_is_there(app: FastAPI):
    there = {f"{method} {r.path_format}" for r in app.routes if isinstance(r, APIRoute) for method in r.methods or ()}
    documented = set(re.findall(r"^\| `([A-Z]+ /[^`]*)`", page("docs/api.md"), re.MULTILINE))
    assert documented - there == set()


@pytest.mark.parametrize("kind", list(every_problem()), ids=lambda kind: kind.slug)
def test_every_problem_is_documented_with_its_status(kind: Any):
    assert f"| `/problems/{kind.slug}` | {kind.status} |" in page("docs/errors.md")


def test_every_documented_problem_is_there():
    documented = set(re.findall(r"`/problems/([a-z-]+)`", page("docs/errors.md")))
    assert documented == {kind.slug for kind in every_problem()}


def commands() -> dict[str, Any]:
    found = [action for action in _parser()._actions if isinstance(action, _SubParsersAction)]
    return dict(found[0].choices)


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command: str):
    assert f"`taskward {command}`" in page("docs/running.md")


@pytest.mark.parametrize(
    ("command", "option"),
    [(n, o) for n, p in commands().items() for a in p._actions for o in a.option_strings if o not in {"-h", "--help"}],
)
def test_every_option_is_documented(command: str, option: str):
    every = "\n".join(file.read_text(encoding="utf-8") for file in PAGES)
    assert re.search(rf"taskward {command}\b[^`\n]*{option}\b", every) or f"| `{option}` |" in every


FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in FENCED.findall(text) if language in languages]


def prose(text: str) -> str:
    return FENCED.sub("", text)


def invocations() -> Iterator[tuple[str, str]]:
    """Every `taskward …` in code, of blocks and of lines, up to where the shell takes over."""
    for file in PAGES:
        text = file.read_text(encoding="utf-8")
        lines = [line for block in blocks(text, "sh", "") for line in block.splitlines()]
        for code in [*lines, *re.findall(r"`([^`\n]+)`", prose(text))]:
            for found in re.findall(r"(?:^|\$ |uv run (?:--no-dev )?)taskward ([a-z-][^|;&<>)…]*)", code):
                yield shown(file), found.strip()


@pytest.mark.parametrize(("name", "arguments"), sorted(set(invocations())))
def test_documented_commands_are_understood(name: str, arguments: str, capsys: pytest.CaptureFixture[str]):
    try:
        _parser().parse_args(shlex.split(arguments))
    except SystemExit:
        pytest.fail(f"{name}: {capsys.readouterr().err}")


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("file", PAGES, ids=shown)
def test_links_lead_somewhere(file: Path):
    text = prose(file.read_text(encoding="utf-8"))
    dead = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        aim = (file.parent / target) if target else file
        headings = re.findall(r"^#+ (.*)$", aim.read_text(encoding="utf-8"), re.MULTILINE) if aim.is_file() else []
        if not aim.exists() or (anchor and anchor not in map(slug, headings)):
            dead.append(f"{target}#{anchor}")
    assert dead == []


@pytest.mark.parametrize("folder", ["docs", "docs/decisions", "docs/identity"])
def test_every_page_is_listed_in_its_index(folder: str):
    index = page(f"{folder}/index.md")
    assert [p.name for p in (ROOT / folder).glob("*.md") if p.name != "index.md" and f"({p.name})" not in index] == []


@pytest.mark.parametrize("line", ["pip install uv && uv run taskward serve", "pip install uv && uv run pytest"])
def test_the_readme_starts_with_the_two_commands(line: str):
    assert f"```sh\n{line}\n```" in page("README.md")


def test_the_tables_about_performance_are_those_of_the_run():
    results = json.loads((ROOT / "bench/results/reference.json").read_text(encoding="utf-8"))
    tables = bench_page.tables(results)
    assert len(tables) == 5
    assert [title for title, table in tables.items() if f"\n\n{table}\n\n" not in page("docs/performance.md")] == []


async def test_the_mounting_example_runs(new_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (example,) = [block for block in blocks(page("docs/running.md"), "python") if "app.mount(" in block]
    monkeypatch.chdir(tmp_path)  # away from a developer's .env
    monkeypatch.setenv("DATABASE_URL", new_database)
    monkeypatch.setenv("TASKWARD_JWT_SECRET", SECRET)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - our own page
    headers = {"Authorization": f"Bearer {make_token('alice')}"}
    with serving(names["app"]) as url:
        async with httpx2.AsyncClient(base_url=url, headers=headers, **PLAIN) as http:
            created = await http.post("/taskward/api/v1/tasks", json={"title": "Buy milk"})
            assert created.status_code == 201
            assert created.headers["location"] == f"/taskward/api/v1/tasks/{created.json()['id']}"
            assert (await http.get(created.headers["location"])).json() == created.json()
            assert (await http.get("/taskward/docs")).status_code == 200


def requirements() -> dict[str, str]:
    """The pinned packages and the text of each, hashes included."""
    entries = re.split(r"^(?=[a-z0-9])", page("requirements.txt"), flags=re.MULTILINE)
    return {entry.partition("==")[0]: entry for entry in entries if "==" in entry}


def project() -> dict[str, Any]:
    return tomllib.loads(page("pyproject.toml"))


def test_requirements_have_every_direct_dependency():
    names = {re.split(r"[\[<>=!~; ]", line)[0] for line in project()["project"]["dependencies"]}
    assert names - requirements().keys() == set()


def test_requirements_leave_out_what_is_excluded():
    assert requirements().keys() & set(project()["tool"]["uv"]["exclude-dependencies"]) == set()


def test_requirements_have_hashes_and_no_address():
    assert all("--hash=sha256:" in entry for entry in requirements().values())
    assert "://" not in page("requirements.txt")
    assert "index" not in page("requirements.txt")

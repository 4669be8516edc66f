"""Clients that are generated from the OpenAPI document compile strictly and can be used as one would think."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients import FOLDER
from tests.node import CannotInstallError, install
from tests.users import User

pytestmark = pytest.mark.processes


# Its own libraries are not those of the service, so it is installed apart from it.
PYTHON_GENERATOR = "openapi-python-client==0.29.1"
DONE = {
    "made": "x",
    "listed": ["x"],
    "patched": "high",
    "completed": True,
    "batch": ["y", "No such task"],
    "missing": 404,
}


async def run(folder: Path, *command: str | Path) -> str:
    """What a program prints, which must end well."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return str(done.stdout)


async def save_document(nobody: httpx2.AsyncClient, folder: Path) -> None:
    folder.joinpath("openapi.json").write_bytes((await nobody.get("/openapi.json")).content)


async def check_written(user: User) -> None:
    tasks = (await user.http.get("/api/v1/tasks?sort=title")).json()
    found = [(task["title"], task["priority"], task["completed"]) for task in tasks]
    assert found == [("x", "high", True), ("y", "none", False)]


async def test_typescript_clients_compile_and_work(
    tmp_path: Path, nobody: httpx2.AsyncClient, base_url: str, alice: User, bob: User
):
    try:
        await asyncio.to_thread(install, FOLDER)
    except CannotInstallError as reason:
        pytest.skip(f"no generators of TypeScript: {reason}")
    programs = FOLDER / "node_modules" / ".bin"
    for name in ("openapi_fetch.ts", "hey_api.ts", "tsconfig.json", "package.json"):
        shutil.copy(FOLDER / name, tmp_path)
    tmp_path.joinpath("node_modules").symlink_to(FOLDER / "node_modules")
    await save_document(nobody, tmp_path)
    await run(tmp_path, programs / "openapi-typescript", "openapi.json", "-o", "schema.d.ts")
    await run(tmp_path, programs / "openapi-ts", "-i", "openapi.json", "-o", "hey", "-c", "@hey-api/client-fetch")
    # It stops at the first type that does not fit: `{ title: "x" }` must be all that a create needs.
    await run(tmp_path, programs / "tsc", "--outDir", "js", "--noEmitOnError")
    for program, user in (("openapi_fetch", alice), ("hey_api", bob)):
        said = await run(tmp_path, "node", f"js/{program}.js", base_url, user.token)
        assert json.loads(said) == DONE, program
        await check_written(user)


async def test_patterns_are_those_of_javascript(tmp_path: Path, nobody: httpx2.AsyncClient):
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    await save_document(nobody, tmp_path)
    program = """
        const patterns = new Set();
        JSON.parse(require("fs").readFileSync("openapi.json"), (key, value) => {
          if (key === "pattern" && typeof value === "string") patterns.add(value);
          return value;
        });
        for (const pattern of patterns) new RegExp(pattern, "u");
        console.log(patterns.size);
    """
    assert int(await run(tmp_path, "node", "-e", program)) >= 5


async def test_a_python_client_works(tmp_path: Path, nobody: httpx2.AsyncClient, base_url: str, alice: User):
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    python = tmp_path / "venv" / "bin" / "python"
    await run(tmp_path, "uv", "venv", "-q", "venv")
    await run(tmp_path, "uv", "pip", "install", "-q", "--python", python, PYTHON_GENERATOR)
    await save_document(nobody, tmp_path)
    generator = python.with_name("openapi-python-client")
    await run(
        tmp_path, generator, "generate", "--path", "openapi.json", "--meta", "none", "--output-path", "taskward_client"
    )
    await run(tmp_path, python, "-m", "compileall", "-q", "taskward_client")
    shutil.copy(FOLDER / "python_client.py", tmp_path)
    said: dict[str, Any] = json.loads(await run(tmp_path, python, "python_client.py", base_url, alice.token))
    assert said == DONE
    await check_written(alice)

"""The proxy line of the page for who comes from a tutorial, in a real nginx: the token says whose tasks these are."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.services import eventually, free_port
from tests.serving import PLAIN
from tests.users import User

pytestmark = pytest.mark.processes
PAGE = Path(__file__).parents[1] / "docs" / "coming-from-a-tutorial.md"
_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture(name="proxy")
def proxy_fixture(base_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an nginx with the page's lines, before the service of the tests."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    shown = re.search(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    lines = shown[1].replace("http://127.0.0.1:8000", base_url)
    port = free_port()
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in _PATHS)
    server = f"server {{ listen 127.0.0.1:{port}; {lines} }}"
    tmp_path.joinpath("nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/errors; events {{}}\n"
        f"http {{ access_log off; {temporary} {server} }}\n"
    )
    process = subprocess.Popen(
        [program, "-c", tmp_path / "nginx.conf", "-p", tmp_path, "-e", tmp_path / "errors"], stderr=subprocess.PIPE
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx2.get(url, **PLAIN).status_code > 0
        except httpx2.TransportError:
            return process.poll() is not None

    assert eventually(answers, 20)
    assert process.poll() is None, process.communicate()[1]
    yield url
    process.terminate()
    process.communicate(timeout=20)


async def test_old_paths_are_of_the_user_of_the_token(proxy: str, alice: User, bob: User):
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with httpx2.AsyncClient(base_url=proxy, headers=headers, **PLAIN) as http:
        made = await http.post(f"/api/{alice.id}/tasks", json={"title": "Buy milk"})
        assert made.status_code == 201
        path = made.headers["location"]
        assert (await http.get(path)).json() == made.json()
        old = path.replace("/api/v1", f"/api/{alice.id}")
        completed = await http.patch(f"{old}/complete", headers={"If-Match": made.headers["etag"]})
        assert (completed.status_code, completed.json()["completed"]) == (200, True)
        listed = await http.get(f"/api/{alice.id}/tasks", params={"completed": "true", "q": "buy"})
        assert [task["id"] for task in listed.json()] == [made.json()["id"]]
        # Whose tasks they are says the token, whatever stands in the path.
        await bob.create("Bob's own")
        others = await http.get(f"/api/{bob.id}/tasks")
        assert [task["user_id"] for task in others.json()] == [alice.id]
        assert (await http.delete(f"/api/{bob.id}/tasks/{made.json()['id']}")).status_code == 204
        assert (await http.get(f"/api/{bob.id}/tasks", headers={"Authorization": ""})).status_code == 401
        assert len((await bob.http.get("/api/v1/tasks")).json()) == 1

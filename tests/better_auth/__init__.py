"""A real issuer: an app in a Node.js process that signs its users in with Better Auth and hands out its tokens.

`server.js` is the app, `package-lock.json` pins what it is made of, and the first test that needs it installs that.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from tests.node import CannotInstallError, install
from tests.serving import NO_TLS, PLAIN

FOLDER = Path(__file__).parent
SECRET = "a-secret-of-better-auth-that-nobody-else-knows"


@dataclass(frozen=True)
class Account:
    """Somebody who has signed up.

    Attributes:
        id: Better Auth's id of the user.
        session: The session's token, which is no JWT.
        http: A browser that is signed in.
    """

    id: str
    session: str
    http: httpx2.Client = field(repr=False)

    def token(self) -> str:
        """A new token, as a front end asks for it."""
        answer = self.http.get("/api/auth/token")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def token_beside_the_session(self) -> str:
        """A new token, as it comes with every look at the session."""
        return self.http.get("/api/auth/get-session").headers["set-auth-jwt"]

    def cookie(self, name: str) -> str:
        return self.http.cookies[f"better-auth.{name}"]


class BetterAuth:
    """The app, which may be stopped and started again: it comes back with its users and keys, on the same port.

    Args:
        folder: Where its tables are kept while it is stopped.
        options: As `server.js` reads them: `algorithm`, `issuer`, `audience`, `cookies`, `port`.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self._options = {"secret": SECRET, "keep": str(folder / f"{secrets.token_hex(4)}.tables"), **options}
        self._errors = folder / "better-auth.err"
        self._process: subprocess.Popen[str] | None = None
        self._browsers: list[httpx2.Client] = []
        self.origin = f"http://127.0.0.1:{options.get('port')}"

    def start(self, **changes: Any) -> Self:
        """Start it, with other options than before if some are given."""
        self._options |= changes
        environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                ["node", FOLDER / "server.js", json.dumps(self._options)],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1,
            )  # fmt: skip
        self.origin = self._read()["origin"]
        self._options["port"] = httpx2.URL(self.origin).port
        return self

    def stop(self) -> None:
        """As a shutdown: it keeps its tables, then its port is closed."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate(timeout=10)  # closes its standard input
            assert process.returncode == 0, self._errors.read_text()

    def end(self) -> None:
        """End it whatever state it is in."""
        for browser in self._browsers:
            browser.close()
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    @property
    def jwks_url(self) -> str:
        return f"{self.origin}/api/auth/jwks"

    def keys(self) -> list[dict[str, str]]:
        """The keys that it publishes."""
        keys: list[dict[str, str]] = httpx2.get(self.jwks_url, **PLAIN).json()["keys"]
        return keys

    def sign_up(self) -> Account:
        browser = httpx2.Client(base_url=self.origin, timeout=20, verify=NO_TLS)
        self._browsers.append(browser)
        form = {"name": "Alice", "email": f"{secrets.token_hex(8)}@example.com", "password": secrets.token_urlsafe()}
        answer = browser.post("/api/auth/sign-up/email", json=form)
        assert answer.status_code == 200, answer.text
        return Account(answer.json()["user"]["id"], answer.json()["token"], browser)

    def rotate(self) -> None:
        """Let the key's time be over: the next token is signed with a new one, both are published."""
        self._tell("rotate")

    def retire(self) -> None:
        """Let the time be over in which expired keys are published."""
        self._tell("retire")

    def _tell(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._errors.read_text()
        answer: dict[str, Any] = json.loads(line)
        return answer


NewIssuer = Callable[..., BetterAuth]


@pytest.fixture(name="new_issuer", scope="module")
def new_issuer_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewIssuer]:
    """Starts Better Auth with options of `server.js`; skips where that cannot be run."""
    try:
        install(FOLDER)
    except CannotInstallError as reason:
        pytest.skip(f"no Better Auth: {reason}")
    started: list[BetterAuth] = []

    def make(**options: Any) -> BetterAuth:
        issuer = BetterAuth(tmp_path_factory.mktemp("better-auth"), **options)
        started.append(issuer)
        return issuer

    yield make
    for issuer in started:
        issuer.end()

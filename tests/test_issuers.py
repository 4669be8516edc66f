"""What the pages of docs/identity say of each issuer: their settings accept its token, and refuse what looks like it.

Settings, tokens and differences are read from the pages. Only the address of the issuer becomes one of loopback, times
become fresh, and `…` becomes a secret.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI

from taskward.app import create_app
from taskward.identity import TokenRejected, Verifier
from taskward.settings import load_settings
from tests.clusters import Cluster
from tests.commands import Run, run_fixture  # noqa: F401 - a fixture
from tests.issuer import Issuer, issuer, new_private
from tests.services import eventually
from tests.serving import NO_TLS, PLAIN, serving

PAGES = sorted(
    page for page in Path(__file__).parents[1].joinpath("docs/identity").glob("*.md") if page.name != "index.md"
)
ISSUERS = {"better-auth", "supabase", "auth0", "clerk", "keycloak", "cognito"}
# A heading, a fenced block, or a row of a table.
PART = re.compile(
    r"^## (?P<heading>[^\n]*)$|^```(?P<language>\w*)\n(?P<block>.*?)^```$|^\| (?P<row>[^\n]*) \|$",
    re.MULTILINE | re.DOTALL,
)
CHANGES = re.compile(r"(header )?`(\{.*?\})`(?=,|$)")
_TOKEN = 2  # JSON documents: header and payload; a third is what is added for scopes
REFUSED_BY = re.compile(r"`(TASKWARD_[A-Z_]+)`")


@dataclass(frozen=True)
class Lookalike:
    """A row of a table: a token that differs from the page's.

    Attributes:
        name: What it is.
        header: Changes to the header, as a JSON Merge Patch (RFC 7396).
        payload: Changes to the payload, likewise.
        accepted: Whether the page says that it is accepted.
        refused_by: The settings that refuse it, each by itself; none where it is refused whatever they are.
    """

    name: str
    header: dict[str, Any]
    payload: dict[str, Any]
    accepted: bool
    refused_by: frozenset[str]


@dataclass(frozen=True)
class Setup:
    """A block of settings, and what the page says of it."""

    name: str
    settings: dict[str, str]
    documents: list[dict[str, Any]] = field(default_factory=list)
    lookalikes: list[Lookalike] = field(default_factory=list)

    @property
    def header(self) -> dict[str, Any]:
        return self.documents[0]

    @property
    def payload(self) -> dict[str, Any]:
        return self.documents[1]

    @property
    def scopes(self) -> dict[str, Any]:
        """What an issuer adds to the payload for scopes."""
        return self.documents[2]


def read_page(page: Path) -> list[Setup]:
    setups: list[Setup] = []
    heading = ""
    for part in PART.finditer(page.read_text(encoding="utf-8")):
        if part["heading"]:
            heading = part["heading"]
        elif part["language"] == "sh" and "TASKWARD_ISSUER=" in part["block"]:
            settings = dict(line.split("=", 1) for line in part["block"].splitlines())
            setups.append(Setup(f"{page.stem}: {heading}", settings))
        elif part["language"] == "json":
            setups[-1].documents.append(json.loads(part["block"]))
        elif part["row"] and (" | refused " in part["row"] or part["row"].endswith(" | accepted")):
            setups[-1].lookalikes.append(read_row(part["row"]))
    return setups


def read_row(row: str) -> Lookalike:
    name, differences, verdict = row.split(" | ")
    changes = {bool(in_header): json.loads(text) for in_header, text in CHANGES.findall(differences)}
    assert changes, row
    assert verdict in {"accepted", "refused always"} or REFUSED_BY.search(verdict), row
    return Lookalike(
        name,
        changes.get(True, {}),
        changes.get(False, {}),
        verdict == "accepted",
        frozenset(REFUSED_BY.findall(verdict)),
    )


def patched(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**document, **changes}.items() if value is not None}


SETUPS = [setup for page in PAGES for setup in read_page(page)]
LOOKALIKES = [
    pytest.param(setup, lookalike, id=f"{setup.name}: {lookalike.name}")
    for setup in SETUPS
    for lookalike in setup.lookalikes
]
RULES = {"TASKWARD_ISSUER", "TASKWARD_AUDIENCE", "TASKWARD_REQUIRED_CLAIMS", "TASKWARD_REJECT_CLAIMS"}
each_setup = pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.name)
each_lookalike = pytest.mark.parametrize(("setup", "lookalike"), LOOKALIKES)
each_with_scopes = pytest.mark.parametrize(
    "setup", [setup for setup in SETUPS if len(setup.documents) > _TOKEN], ids=lambda setup: setup.name
)


@contextmanager
def publishing(documents: str, origin: str) -> Iterator[str]:
    """Serve documents, JSON by path, on loopback; yields the address that takes the place of `origin` in them."""
    served: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = served.get(self.path)
            self.send_response(404 if document is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        served |= json.loads(documents.replace(origin, address))
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Running:
    """An issuer as a page describes it, on loopback.

    Attributes:
        setup: What the page says, with the address that it has here.
        signer: Holds the key that it publishes, or the secret that it shares.
        key: The setting that gives the key without a fetch, and without saying anything about tokens.
    """

    setup: Setup
    signer: Issuer
    key: tuple[str, str]

    def sign(self, lookalike: Lookalike | None = None) -> str:
        """The page's token, or one that looks like it, made a second ago and living as long as the page's does."""
        header, payload = self.setup.header, self.setup.payload
        now = int(time.time()) - 1
        times = {name: now + payload[name] - payload["iat"] for name in ("iat", "nbf", "exp") if name in payload}
        payload = payload | times
        if lookalike is not None:
            header, payload = patched(header, lookalike.header), patched(payload, lookalike.payload)
        return self.sign_as(header, payload)

    def sign_as(self, header: dict[str, Any], payload: dict[str, Any]) -> str:
        signer = self.signer
        if header["alg"] != signer.algorithm:
            signer = Issuer(header["alg"], secrets.token_bytes(64))  # a key that the issuer keeps to itself
        return signer.sign_bytes(json.dumps(header).encode(), json.dumps(payload).encode())


@contextmanager
def issuing(setup: Setup) -> Iterator[Running]:
    """Run the issuer that a page describes."""
    signer = issuer(setup.header["alg"])
    shared = next((name for name, value in setup.settings.items() if value == "…"), None)
    if shared is not None:
        secret = secrets.token_hex(32)
        settings = {**setup.settings, shared: secret}
        yield Running(replace(setup, settings=settings), Issuer(signer.algorithm, secret.encode()), (shared, secret))
        return
    name = setup.settings["TASKWARD_ISSUER"]
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(name))
    keys = setup.settings.get("TASKWARD_JWKS_URL", f"{origin}/some/place/keys")
    documents: dict[str, dict[str, Any]] = {
        urlsplit(keys).path: {"keys": [signer.jwk(kid=setup.header["kid"], alg=setup.header["alg"])]}
    }
    if "TASKWARD_JWKS_URL" not in setup.settings:
        documents[urlsplit(name).path.rstrip("/") + "/.well-known/openid-configuration"] = {
            "issuer": name,
            "jwks_uri": keys,
        }
    with publishing(json.dumps(documents), origin) as address:

        def moved(document: dict[str, Any]) -> dict[str, Any]:
            return json.loads(json.dumps(document).replace(origin, address))  # type: ignore[no-any-return]

        here = Setup(
            setup.name,
            moved(setup.settings),
            [moved(document) for document in setup.documents],
            [replace(other, payload=moved(other.payload)) for other in setup.lookalikes],
        )
        yield Running(here, signer, ("TASKWARD_PUBLIC_KEY", signer.public_pem.replace("\n", "\\n")))


def write_settings(folder: Path, settings: Mapping[str, str]) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    folder.joinpath(".env").write_text(lines, encoding="utf-8")


@pytest.fixture(name="configured")
def configured_fixture(
    cluster: Cluster, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Mapping[str, str]], FastAPI]:
    """Makes the app with settings in its `.env`, and no others."""
    monkeypatch.setenv("DATABASE_URL", cluster.url(template))
    monkeypatch.setenv("TASKWARD_POOL_SIZE", "1")
    monkeypatch.chdir(tmp_path)

    def app(settings: Mapping[str, str]) -> FastAPI:
        write_settings(tmp_path, settings)
        return create_app(load_settings())

    return app


Configured = Callable[[Mapping[str, str]], FastAPI]


async def is_accepted(app: FastAPI, token: str) -> bool:
    """Ask the app's own verifier, past HTTP."""
    verifier: Verifier = app.state.verifier
    assert await verifier.keys.load() == []
    try:
        verifier.verify(token)
    except TokenRejected:
        return False
    return True


def asking(url: str) -> Callable[..., httpx2.Response]:
    """Sends requests with a token, as soon as there are keys."""

    def ask(token: str, method: str = "GET", path: str = "/api/v1/me", **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.request(method, f"{url}{path}", headers=headers, timeout=30, verify=NO_TLS, **options)

    assert eventually(lambda: httpx2.get(f"{url}/readyz", **PLAIN).status_code == 200)
    return ask


def test_there_is_a_page_for_each_issuer():
    assert {setup.name.partition(":")[0] for setup in SETUPS} == {page.stem for page in PAGES} == ISSUERS


@each_setup
def test_a_page_names_tokens_that_its_settings_refuse(setup: Setup):
    assert any(lookalike.refused_by for lookalike in setup.lookalikes)


@each_setup
def test_the_settings_of_a_page_accept_its_token_as_the_right_user_and_none_that_looks_like_it(
    setup: Setup, configured: Configured
):
    with issuing(setup) as running, serving(configured(running.setup.settings)) as url:
        ask = asking(url)
        assert ask(running.sign()).json()["user_id"] == setup.payload["sub"]
        found = {other.name: ask(running.sign(other)).status_code for other in running.setup.lookalikes}
        assert found == {other.name: 200 if other.accepted else 401 for other in setup.lookalikes}


@each_setup
async def test_a_token_of_the_same_form_from_anybody_else_is_refused(setup: Setup, configured: Configured):
    with issuing(setup) as running:
        app = configured(running.setup.settings)
        private = secrets.token_bytes(64) if setup.header["alg"] == "HS256" else new_private(setup.header["alg"])
        forger = replace(running, signer=Issuer(setup.header["alg"], private))
        assert await is_accepted(app, running.sign())
        assert not await is_accepted(app, forger.sign())


@each_lookalike
async def test_what_a_page_says_refuses_a_token_is_what_does(
    setup: Setup, lookalike: Lookalike, configured: Configured
):
    with issuing(setup) as running:
        (other,) = (other for other in running.setup.lookalikes if other.name == lookalike.name)
        rules = {name: value for name, value in running.setup.settings.items() if name in RULES}
        token = running.sign(other)

        async def accepts(*names: str) -> bool:
            settings = dict([running.key, *((name, rules[name]) for name in names)])
            return await is_accepted(configured(settings), token)

        always = not lookalike.accepted and not lookalike.refused_by
        assert await accepts(*(rules.keys() - lookalike.refused_by)) is not always
        for name in lookalike.refused_by:
            assert not await accepts(name), name


@each_setup
def test_doctor_accepts_the_token_of_a_page_and_shows_neither_it_nor_the_user(
    setup: Setup, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with issuing(setup) as running:
        write_settings(tmp_path, running.setup.settings)
        token = running.sign()
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
        done = run("doctor", "--token", "-")
    assert done.stdout.splitlines()[-1] == "ok   token: it is accepted."
    assert done.returncode == 0
    assert ("warn keys: TASKWARD_AUDIENCE is not set" in done.stdout) is ("TASKWARD_AUDIENCE" not in setup.settings)
    assert not any(secret in done.stdout for secret in (token, setup.payload["sub"]))


@each_with_scopes
def test_scopes_may_be_enforced_once_the_issuer_adds_what_the_page_says(setup: Setup, configured: Configured):
    with issuing(setup) as running:
        settings = {**running.setup.settings, "TASKWARD_SCOPES": "enforced"}
        scoped = Lookalike("", {}, setup.scopes, accepted=True, refused_by=frozenset())
        with serving(configured(settings)) as url:
            ask = asking(url)
            for token, statuses in ((running.sign(), (403, 403)), (running.sign(scoped), (200, 201))):
                written = ask(token, "POST", "/api/v1/tasks", json={"title": "Buy milk"})
                assert (ask(token).status_code, written.status_code) == statuses

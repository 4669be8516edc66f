"""Tokens of a real Better Auth before a real Taskward: what a user of both does, and what goes wrong with issuers."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc.jwk import KeySet
from joserfc.jwt import decode

from taskward.app import create_app
from tests.better_auth import SECRET, Account, BetterAuth, NewIssuer, new_issuer_fixture  # noqa: F401 - a fixture
from tests.clusters import Cluster
from tests.services import Service, eventually, free_port
from tests.serving import NO_TLS, PLAIN, make_settings, serving
from tests.sizes import sized
from tests.test_issuers import read_page

pytestmark = pytest.mark.processes
PAGE = Path(__file__).parents[1] / "docs/identity/better-auth.md"
QUARTER_OF_AN_HOUR = 900


class Client:
    """Sends requests to Taskward."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, token: str, method: str = "GET", path: str = "/me", **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=30, verify=NO_TLS, **options)

    def status(self, token: str) -> int:
        return self(token).status_code

    def ready(self) -> Client:
        assert eventually(lambda: httpx2.get(f"{self.url}/readyz", **PLAIN).status_code == 200)
        return self


Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def serve(cluster: Cluster, template: str) -> Serve:
    """Serves Taskward with the page's settings for an issuer, apart from changes.

    `pace` is the time for which it does not ask the issuer again for the sake of unknown keys.
    """

    def start(better_auth: BetterAuth, *, pace: float | None = None, **changes: Any) -> AbstractContextManager[str]:
        settings = {
            "jwks_url": better_auth.jwks_url,
            "issuer": better_auth.origin,
            "audience": (better_auth.origin,),
            "jwt_secret": None,
            "pool_size": 2,
            **changes,
        }
        app = create_app(make_settings(cluster.url(template), **settings))
        if pace is not None:
            app.state.verifier.keys._pace = pace
        return serving(app)

    return start


@pytest.fixture(scope="module")
def better_auth(new_issuer: NewIssuer) -> BetterAuth:
    """With every default of the plugin, and with a cookie that the same keys sign."""
    return new_issuer(cookies="keys").start()


@pytest.fixture(scope="module")
def alice(better_auth: BetterAuth) -> Account:
    return better_auth.sign_up()


@pytest.fixture(scope="module")
def with_secret_cookie(new_issuer: NewIssuer) -> BetterAuth:
    """With a cookie that the shared secret signs."""
    return new_issuer(cookies="secret").start()


@pytest.fixture(scope="module")
def carol(with_secret_cookie: BetterAuth) -> Account:
    return with_secret_cookie.sign_up()


def opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload, unverified."""
    header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, payload


def test_a_token_of_better_auth_is_what_the_page_shows(better_auth: BetterAuth, alice: Account):
    shown = read_page(PAGE)[0]
    header, payload = opened(alice.token())
    assert header.keys() == shown.header.keys()
    assert header["alg"] == shown.header["alg"]
    assert payload.keys() == shown.payload.keys()
    assert {name: type(value) for name, value in payload.items()} == {n: type(v) for n, v in shown.payload.items()}
    assert payload["sub"] == payload["id"] == alice.id
    assert payload["iss"] == payload["aud"] == better_auth.origin
    assert payload["exp"] - payload["iat"] == shown.payload["exp"] - shown.payload["iat"] == QUARTER_OF_AN_HOUR


@pytest.mark.parametrize("signed_with", ["keys", "secret"])
def test_the_cookie_that_better_auth_signs_as_it_signs_tokens_is_what_the_page_shows(
    request: pytest.FixtureRequest, signed_with: str
):
    shown = read_page(PAGE)[0 if signed_with == "keys" else 1]
    (row,) = (row for row in shown.lookalikes if "caches a session" in row.name)
    account: Account = request.getfixturevalue("alice" if signed_with == "keys" else "carol")
    header, payload = opened(account.cookie("session_data"))
    differences = {**row.header, **row.payload, "user": None}
    assert {name: (header | payload).get(name) for name in differences} == differences | {"user": payload["user"]}
    assert payload["user"]["id"] == account.id


@pytest.mark.parametrize("algorithm", (None, "RS256", "ES256", "PS256", "ES512")[: sized(3, 5)])
def test_a_user_of_better_auth_has_a_task_list(new_issuer: NewIssuer, serve: Serve, algorithm: str | None):
    issuer = new_issuer(algorithm=algorithm).start()
    alice, bob = issuer.sign_up(), issuer.sign_up()
    tokens = alice.token(), alice.token_beside_the_session()
    for token in tokens:
        assert opened(token)[0]["alg"] == (algorithm or "EdDSA")
    with serve(issuer) as url:
        ask = Client(url).ready()
        created = ask(tokens[0], "POST", "/tasks", json={"title": "Buy milk"})
        assert created.status_code == 201
        assert created.json()["user_id"] == alice.id
        path = f"/tasks/{created.json()['id']}"
        assert ask(tokens[1], path=path).json() == created.json()
        assert ask(bob.token(), path=path).status_code == 403
        assert ask(bob.token(), path="/tasks").json() == []


def test_an_independent_library_agrees_on_the_tokens(better_auth: BetterAuth, alice: Account):
    keys = KeySet.import_key_set({"keys": better_auth.keys()})  # type: ignore[typeddict-item]
    with pytest.warns(match="RFC 9864"):
        assert decode(alice.token(), keys, algorithms=["EdDSA"]).claims["sub"] == alice.id


def test_a_new_key_is_picked_up_while_the_old_one_goes_on(new_issuer: NewIssuer, serve: Serve):
    issuer = new_issuer().start()
    alice = issuer.sign_up()
    old = alice.token()
    with serve(issuer) as url:
        ask = Client(url).ready()
        assert ask.status(old) == 200
        issuer.rotate()
        new = alice.token()
        assert opened(new)[0]["kid"] != opened(old)[0]["kid"]
        assert [ask.status(new), ask.status(old)] == [200, 200]


def test_a_key_that_is_published_no_more_verifies_nothing(new_issuer: NewIssuer, serve: Serve):
    issuer = new_issuer().start()
    alice = issuer.sign_up()
    old = alice.token()
    with serve(issuer) as url:
        ask = Client(url).ready()
        assert ask.status(old) == 200
        issuer.rotate()
        issuer.retire()
        new = alice.token()
        assert [ask.status(new), ask.status(old)] == [200, 401]


def test_another_algorithm_waits_until_the_key_expires_as_the_page_says(new_issuer: NewIssuer, serve: Serve):
    issuer = new_issuer().start()
    alice = issuer.sign_up()
    tokens = [alice.token()]
    issuer.stop()
    issuer.start(algorithm="RS256")
    tokens.append(alice.token())
    issuer.rotate()
    tokens.append(alice.token())
    assert [opened(token)[0]["alg"] for token in tokens] == ["EdDSA", "EdDSA", "RS256"]
    with serve(issuer) as url:
        ask = Client(url).ready()
        assert [ask.status(token) for token in tokens] == [200, 200, 200]


@pytest.mark.parametrize(
    "changes", [{"audience": ("https://billing.example.com",)}, {"issuer": "https://app.example.com"}], ids=str
)
def test_a_token_for_somebody_else_is_refused(
    better_auth: BetterAuth, alice: Account, serve: Serve, changes: dict[str, Any]
):
    with serve(better_auth) as right, serve(better_auth, **changes) as wrong:
        token = alice.token()
        assert Client(right).ready().status(token) == 200
        answer = Client(wrong).ready()(token)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_what_better_auth_hands_out_besides_tokens_is_refused(better_auth: BetterAuth, alice: Account, serve: Serve):
    # Even where nobody looks at issuer and audience.
    with serve(better_auth, issuer=None, audience=()) as url:
        ask = Client(url).ready()
        assert ask.status(alice.token()) == 200
        for other in (alice.session, alice.cookie("session_token"), alice.cookie("session_data")):
            assert ask.status(other) == 401


def test_a_session_cookie_signed_with_the_shared_secret_needs_issuer_and_audience_to_be_refused(
    with_secret_cookie: BetterAuth, carol: Account, serve: Serve
):
    cookie = carol.cookie("session_data")
    careless = {"jwks_url": None, "better_auth_secret": SECRET, "user_claim": "user.id", "issuer": None, "audience": ()}
    with serve(with_secret_cookie, **careless) as url:
        assert Client(url)(cookie).json()["user_id"] == carol.id
    for rule in ({"issuer": with_secret_cookie.origin}, {"audience": ("taskward",)}):
        with serve(with_secret_cookie, **{**careless, **rule}) as url:
            assert Client(url).status(cookie) == 401


def test_an_issuer_that_is_down_does_not_matter_to_keys_that_are_known(new_issuer: NewIssuer, serve: Serve):
    issuer = new_issuer().start()
    alice, bob = issuer.sign_up(), issuer.sign_up()
    seen, unseen = alice.token(), bob.token()
    with serve(issuer, pace=0.2) as url:
        ask = Client(url).ready()
        assert ask.status(seen) == 200
        issuer.rotate()
        of_new_key = alice.token()
        issuer.stop()
        # The key of this one is looked for, in vain.
        assert ask.status(of_new_key) != 200
        assert [ask.status(seen), ask.status(unseen)] == [200, 200]
        issuer.start()
        assert eventually(lambda: ask.status(of_new_key) == 200)
        assert [ask.status(seen), ask.status(unseen)] == [200, 200]


def test_an_issuer_all_of_whose_keys_have_expired_takes_nothing_out_of_traffic(new_issuer: NewIssuer, serve: Serve):
    issuer = new_issuer().start()
    alice = issuer.sign_up()
    old = alice.token()
    issuer.rotate()
    issuer.retire()
    # As with `rotationInterval`, when nobody has signed in for longer than the grace period.
    assert issuer.keys() == []
    with serve(issuer) as url:
        ask = Client(url).ready()
        assert ask.status(old) == 401
        # The next token comes with a key.
        began = time.monotonic()
        assert ask.status(alice.token()) == 200
        assert time.monotonic() - began < 20
        assert ask.status(old) == 401


def test_an_issuer_that_is_down_from_the_start_is_waited_for(new_issuer: NewIssuer, serve: Serve):
    issuer = new_issuer(port=free_port()).start()
    alice = issuer.sign_up()
    token = alice.token()
    issuer.stop()
    with serve(issuer) as url:
        ask = Client(url)
        answer = ask(token)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert httpx2.get(f"{url}/healthz", **PLAIN).status_code == 200
        assert httpx2.get(f"{url}/readyz", **PLAIN).status_code == 503
        issuer.start()
        assert eventually(lambda: ask.status(token) == 200, 15)
        assert ask.status(alice.token()) == 200


def test_a_process_of_its_own_is_configured_by_the_page(
    new_issuer: NewIssuer, cluster: Cluster, template: str, tmp_path: Path
):
    issuer = new_issuer(port=free_port())
    shown = read_page(PAGE)[0].settings
    settings = {name: value.replace("https://app.example.com", issuer.origin) for name, value in shown.items()}
    settings |= {"DATABASE_URL": cluster.url(template), "TASKWARD_MIGRATE": "off", "TASKWARD_WORKERS": "2"}
    issuer.start()
    alice = issuer.sign_up()
    service = Service(tmp_path / "data", settings=settings)
    try:
        service.ready()
        ask = Client(service.url)

        def answers() -> set[int]:
            token = alice.token()
            return {ask.status(token) for _ in range(20)}

        # Each worker fetches for itself.
        assert eventually(lambda: answers() == {200}, 20)
        issuer.rotate()
        assert answers() == {200}
        assert service.stop() == 0
    finally:
        service.end()

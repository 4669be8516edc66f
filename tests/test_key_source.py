"""One fetch of an issuer's keys: where they may come from, and what is taken for a key set."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import suppress

import httpx2
import pytest

from taskward.identity import FetchError, KeyConfigurationError, load_keys
from taskward.identity.issuer import KeySource
from taskward.identity.wire import MOST_BYTES
from tests.issuer import SECRET
from tests.publisher import DISCOVERY, FIRST, KEYS, Page, Publisher, publisher_fixture, source  # noqa: F401

CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def failure(keys: KeySource) -> str:
    with pytest.raises(FetchError) as failed:
        await keys.fetch()
    await keys.close()
    sentence = str(failed.value)
    assert sentence.startswith("The issuer's keys cannot be fetched: http")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


async def test_keys_are_found_by_discovery_and_by_their_address(publisher: Publisher):
    for found in (source(publisher), source(publisher, issuer=publisher.url, jwks_url=None)):
        fetched = await found.fetch()
        await found.close()
        assert [key.kid for key in fetched.published.keys.keys] == ["1"]
    assert (publisher.count(), publisher.count(DISCOVERY)) == (2, 1)


async def test_an_issuer_with_a_path_or_a_slash_at_its_end_is_discovered_below_it(publisher: Publisher):
    for path in ("/realms/tasks", "/"):
        name = publisher.url + path
        publisher.pages[path.rstrip("/") + DISCOVERY] = Page({"issuer": name, "jwks_uri": publisher.keys_url})
        found = source(publisher, issuer=name, jwks_url=None)
        assert len((await found.fetch()).published.keys.keys) == 1
        await found.close()


async def test_a_discovery_document_of_another_issuer_is_refused_with_its_name(publisher: Publisher):
    for name in (publisher.url + "/", publisher.url.upper(), "https://evil.example", None, 1, ["x"], "a\n\x1b[31m"):
        publisher.pages[DISCOVERY] = Page({"issuer": name, "jwks_uri": publisher.keys_url})
        sentence = await failure(source(publisher, issuer=publisher.url, jwks_url=None))
        assert json.dumps(name) in sentence
        assert "TASKWARD_ISSUER must be the same, character for character" in sentence
    assert publisher.count() == 0


@pytest.mark.parametrize(
    "uri",
    [
        None, "", 1, ["x"], "keys", "/keys", "file:///etc/passwd", "http://10.0.0.1/keys", "ftp://127.0.0.1/",
        "https://", "https://user:pw@id.example/keys",
    ],
)  # fmt: skip
async def test_a_discovery_document_without_a_proper_address_is_refused(publisher: Publisher, uri: object):
    publisher.pages[DISCOVERY] = Page({"issuer": publisher.url, "jwks_uri": uri})
    assert "names no https address of keys" in await failure(source(publisher, issuer=publisher.url, jwks_url=None))


async def test_a_host_that_is_named_may_be_asked_over_http_and_no_other(publisher: Publisher):
    # Another spelling of this machine, which is taken for a host's name.
    elsewhere = publisher.url.replace("127.0.0.1", "127.1")
    keys = elsewhere + KEYS
    with pytest.raises(KeyConfigurationError, match="name its host in TASKWARD_PLAIN_HTTP_HOSTS"):
        load_keys(jwks_url=keys)
    with pytest.raises(KeyConfigurationError, match="name its host in TASKWARD_PLAIN_HTTP_HOSTS"):
        load_keys(jwks_url=keys, plain_http_hosts=["auth", "1.127.1", "127.1.example"])
    found = source(publisher, jwks_url=keys, plain_http_hosts=["127.1"])
    assert len((await found.fetch()).published.keys.keys) == 1
    await found.close()
    options = {"issuer": elsewhere, "jwks_url": None, "plain_http_hosts": ["127.1"]}
    publisher.pages[DISCOVERY] = Page({"issuer": elsewhere, "jwks_uri": keys})
    discovered = source(publisher, **options)
    assert len((await discovered.fetch()).published.keys.keys) == 1
    await discovered.close()
    for uri in (keys.replace("127.1", "127.2"), keys.replace("http:", "ftp:"), publisher.keys_url):
        publisher.pages[DISCOVERY] = Page({"issuer": elsewhere, "jwks_uri": uri})
        assert "nor one that TASKWARD_PLAIN_HTTP_HOSTS allows" in await failure(source(publisher, **options))
    # Not from https, whoever is named.
    publisher.pages[DISCOVERY] = Page({"issuer": elsewhere, "jwks_uri": keys})
    secure = source(publisher, **options)
    secure._trusts_environment = True
    assert "names no https address of keys" in await failure(secure)


async def test_an_issuer_that_speaks_https_cannot_point_to_http(publisher: Publisher):
    secure = source(publisher, issuer=publisher.url, jwks_url=None)
    # As of an https issuer on this machine, for which no certificate is at hand.
    secure._trusts_environment = True
    assert "names no https address of keys" in await failure(secure)


async def test_an_issuer_elsewhere_cannot_point_to_this_machine(publisher: Publisher):
    elsewhere = KeySource(issuer="https://id.example", jwks_url=None)
    here = source(publisher, issuer=publisher.url, jwks_url=None)
    # Nothing answers at that name, so that what is here is taken for it.
    here._is_local = elsewhere._is_local
    for uri in (
        publisher.keys_url,
        publisher.keys_url.replace("http:", "https:"),
        "http://localhost/",
        "http://[::1]/",
    ):
        publisher.pages[DISCOVERY] = Page({"issuer": publisher.url, "jwks_uri": uri})
        assert "names no https address of keys" in await failure(here)
    assert publisher.count() == 0


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"null", b"<html>", b"\xff", b"[" * 50_000, b'{"issuer":1,"issuer":2}']
)
async def test_what_is_no_document_is_refused(publisher: Publisher, document: bytes):
    publisher.pages[DISCOVERY] = publisher.pages[KEYS] = Page(document)
    assert "no JSON object" in await failure(source(publisher, issuer=publisher.url, jwks_url=None))
    assert "not a JWK Set" in await failure(source(publisher))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(publisher: Publisher, status: int):
    publisher.pages["/elsewhere"] = publisher.pages[KEYS]
    publisher.pages[KEYS] = Page(b"", status, {"Location": publisher.url + "/elsewhere"})
    assert "redirects, which is not followed" in await failure(source(publisher))
    assert publisher.count("/elsewhere") == 0


@pytest.mark.parametrize("status", [204, 206, 304, 401, 403, 404, 429, 500, 503])
async def test_any_other_answer_than_200_is_none(publisher: Publisher, status: int):
    publisher.pages[KEYS].status = status
    assert f"answers {status}." in await failure(source(publisher))


async def test_a_document_has_a_limit_of_size_however_it_comes(publisher: Publisher):
    publisher.pages[KEYS] = Page(b" " * ((1 << 20) + 1))
    assert "answers with more than 1048576 bytes" in await failure(source(publisher))
    bomb = gzip.compress(b" " * (1 << 24))
    publisher.pages[KEYS] = Page(bomb, headers={"Content-Encoding": "gzip"})
    assert "compressed document, which was not asked for" in await failure(source(publisher))


@pytest.mark.parametrize(
    ("begin", "again", "expected"),
    [
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n", f"(it sends {MOST_BYTES} bytes and no answer)."),
        ("", "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", f"(it sends {MOST_BYTES} bytes and no answer)."),
        (CHUNKED, "1\r\n \r\n", "answers in more than 10000 pieces."),
        (CHUNKED, "1;" + "x" * 4000 + "\r\n \r\n", "answers in more than 10000 pieces."),
    ],
)
async def test_an_answer_that_never_ends_is_ended_by_its_bytes_and_not_by_its_time(
    monkeypatch: pytest.MonkeyPatch, begin: str, again: str, expected: str
):
    # So many bytes take a busy machine longer than an issuer has.
    monkeypatch.setattr("taskward.identity.issuer._SECONDS", 60)
    sent = 0

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(begin.encode())
        with suppress(ConnectionError):
            while True:
                writer.write(again.encode() * 100)
                sent += len(again) * 100
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sentence = await failure(KeySource(issuer=None, jwks_url=f"http://127.0.0.1:{port}/keys"))
    assert sentence.endswith(expected)
    # What the buffers of two sockets and one of the server hold comes with it.
    assert sent < 64 << 20


async def test_a_document_has_a_limit_of_time(publisher: Publisher, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("taskward.identity.issuer._SECONDS", 0.2)
    publisher.pages[KEYS].seconds = 0.6
    sentence = await failure(source(publisher))
    assert "does not answer within" in sentence or "cannot be reached" in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "ftp://user:hunter2@127.0.0.1"), ("HTTPS_PROXY", "socks5://user:hunter2@127.0.0.1"),
        ("SSL_CERT_FILE", "/nowhere/hunter2"),
    ],
)  # fmt: skip
async def test_an_environment_that_cannot_be_used_is_told(name: str, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, value)
    keys = KeySource(issuer=None, jwks_url="https://127.0.0.1:1/keys")
    with pytest.raises(FetchError) as failed:
        await keys.fetch()
    assert name in str(failed.value)
    assert "hunter2" not in str(failed.value)


async def test_a_proxy_of_the_environment_is_not_asked_for_what_is_on_this_machine(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    fetched = await source(publisher).fetch()
    assert len(fetched.published.keys.keys) == 1


async def test_an_issuer_gets_none_of_its_cookies_back(publisher: Publisher):
    publisher.pages[KEYS].headers = {"Set-Cookie": "session=1; Path=/"}
    found = source(publisher)
    await found.fetch()
    assert found._client is not None
    assert not found._client.cookies
    await found.close()


async def test_an_issuer_that_is_down_is_named_without_its_query(publisher: Publisher):
    publisher.stop()
    sentence = await failure(source(publisher, jwks_url=publisher.keys_url + "?apikey=hunter2"))
    assert f"{publisher.keys_url} cannot be reached (" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    "address",
    [
        "http://id.example/keys", "http://10.0.0.1/keys", "http://localhost.evil.example/", "http://127.0.0.1.evil.example/",
        "http://[::2]/", "ftp://id.example/", "file:///etc/passwd", "id.example", "//id.example", "https://", "https:///keys",
        "https://user:password@id.example/keys", "https://id.example/keys#1", "https://id.example/ke ys", "https://[::1",
        "https://id.example:99999/", "https://id.example:0/", "http://127.0.0.1:0/", "https://-/", "https://a..b/",
        "https://xn--/", "", "https://id.example/\x00", "javascript:alert(1)",
        "https://id.example/ke\u200bys",
    ],
)  # fmt: skip
def test_an_address_that_nothing_should_be_fetched_from_is_refused(address: str):
    with pytest.raises(KeyConfigurationError, match=r"^TASKWARD_JWKS_URL must be an https address"):
        load_keys(jwks_url=address)
    with pytest.raises(KeyConfigurationError, match=r"^TASKWARD_ISSUER must be .*; set TASKWARD_JWKS_URL"):
        load_keys(issuer=address)
    # What an issuer is called does not matter where its keys are known.
    assert load_keys(issuer=address, secrets=[SECRET]).current is not None


@pytest.mark.parametrize(
    "address",
    [
        "https://id.example", "https://id.example:8443/a?b=c", "http://localhost:3000/", "http://127.0.0.1/",
        "http://127.9.9.9/", "http://[::1]:3000/keys",
    ],
)  # fmt: skip
def test_an_https_address_and_any_on_this_machine_are_taken(address: str):
    assert load_keys(jwks_url=address).current is None
    assert load_keys(issuer=address).current is None


async def test_each_document_comes_over_a_connection_of_its_own(publisher: Publisher):
    keys = source(publisher, issuer=publisher.url, jwks_url=None)
    for _ in range(3):
        await keys.fetch()
    await keys.close()
    assert len(publisher.asked) == len(publisher.connections) == 4
    assert publisher.count(DISCOVERY) == 1


@pytest.mark.costs
async def test_reading_the_certificate_authorities_does_not_hold_the_loop(publisher: Publisher):
    def cost(begun: float) -> float:
        return time.thread_time() - begun

    begun = time.thread_time()
    await httpx2.AsyncClient().aclose()
    alone, longest = cost(begun), 0.0

    async def other() -> None:
        nonlocal longest
        while True:
            begun = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, cost(begun))

    running = asyncio.create_task(other())
    await asyncio.sleep(0)
    keys = source(publisher)
    assert (await keys.fetch()).published.keys.keys
    running.cancel()
    await keys.close()
    assert longest < alone / 2

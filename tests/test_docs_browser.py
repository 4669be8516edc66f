"""The interactive documentation in a browser: everything can be tried as it is filled in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, Page, Request

from tests.browser import SCREEN, browser_fixture, page_fixture  # noqa: F401 - fixtures
from tests.openapi import document_fixture, operations  # noqa: F401 - a fixture
from tests.users import User

pytestmark = pytest.mark.processes
SENT_OR_REFUSED = (
    ".live-responses-table tbody .response-col_status, .parameters-container .invalid, .body-param .invalid"
)


async def authorize(page: Page, token: str) -> None:
    await page.locator(".auth-wrapper button.authorize").first.click()
    await page.locator(".auth-container input").fill(token)
    await page.locator(".auth-container button[type=submit]").click()
    await page.locator(".auth-container button.btn-done").click()


async def opened(page: Page, name: str) -> Locator:
    """An operation, open."""
    block = page.locator(f".opblock[id$='-{name}']")
    await block.wait_for()
    # An address names what was open last.
    if "is-open" not in (await block.get_attribute("class") or ""):
        await block.locator(".opblock-summary-control").click()
    await block.locator("button.execute").wait_for()
    return block


async def pressed(block: Locator) -> str:
    """The status that an operation answers with as it is filled in; empty if it was not sent."""
    await block.locator("button.execute").click()
    found = block.locator(SENT_OR_REFUSED).first
    await found.wait_for()
    return ((await found.text_content()) or "")[:3]


async def make_what_is_shown(user: User, document: dict[str, Any]) -> None:
    """The task, the list and the tag that the paths name, as the example of an import has them."""
    body = operations(document)["import_me"][2]["requestBody"]["content"]["application/x-ndjson"]["example"]
    answer = await user.http.post("/api/v1/me/import", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 200, answer.text
    task_id = operations(document)["get_task"][2]["parameters"][0]["example"]
    assert (await user.http.post(f"/api/v1/tasks/{task_id}/restore")).status_code == 200
    assert (await user.http.patch(f"/api/v1/tasks/{task_id}", json={"tags": ["home"]})).status_code == 200


async def check_size(block: Locator, name: str, method: str) -> None:
    """A POST may meet ten problems; shown in full, they are five screens high."""
    box = await block.bounding_box()
    assert box is not None
    if method == "post":
        assert box["height"] <= 3.5 * SCREEN, name
    for row in await block.locator("[data-code='401']").all():
        # What to do is said, though the example is not shown.
        assert "Get a new token" in (await row.text_content() or "")


async def test_every_operation_can_be_tried_as_it_is_filled_in(
    page: Page, base_url: str, alice: User, document: dict[str, Any]
):
    sent: list[Request] = []
    # A bound method of a list cannot be marked, as Playwright marks what it calls.
    page.on("request", lambda request: sent.append(request))  # noqa: PLW0108
    await page.goto(f"{base_url}/docs")
    await authorize(page, alice.token)
    for name, (method, path, _) in operations(document).items():
        await make_what_is_shown(alice, document)
        block = await opened(page, name)
        await check_size(block, name, method)
        sent.clear()
        status = await pressed(block)
        asked = [(request.method.lower(), urlsplit(request.url).path) for request in sent]
        if name == "delete_me":
            # Nobody shall do this by accident, and which id it wants only the user knows.
            assert (status, asked) == ("", [])
        else:
            assert len(asked) == 1, f"{name} of /docs sends nothing when Execute is pressed"
            assert asked[0][0] == method
            shown = await block.locator(".live-responses-table .highlight-code").all_text_contents()
            assert status.startswith("2"), f"{name} of /docs, {method} {path}, as filled in: {status} {shown}"
        await block.locator(".opblock-summary-control").click()


async def test_a_token_is_explained_and_outlives_a_reload_until_it_is_dropped(page: Page, base_url: str, alice: User):
    await page.goto(f"{base_url}/docs")
    await page.locator(".auth-wrapper button.authorize").first.click()
    explained = await page.locator(".auth-container").first.text_content()
    assert "taskward token --sub alice" in (explained or "")
    await page.locator(".auth-container button.btn-done").click()
    await authorize(page, alice.token)
    await page.reload()
    block = await opened(page, "get_me")
    assert await pressed(block) == "200"
    assert alice.id in " ".join(await block.locator(".live-responses-table").all_text_contents())
    await page.locator(".auth-wrapper button.authorize").first.click()
    await page.locator(".auth-container button", has_text="Logout").click()
    await page.reload()
    assert await pressed(await opened(page, "get_me")) == "401"

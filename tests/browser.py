"""A browser without a window: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
_MILLISECONDS = 15_000


@pytest.fixture(name="browser", scope="module")
async def browser_fixture() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_OPTIONS)
        yield browser
        await browser.close()


@pytest.fixture(name="page")
async def page_fixture(browser: Browser) -> AsyncIterator[Page]:
    """A page of a browser that nobody has used before."""
    context = await browser.new_context(viewport={"width": 1280, "height": SCREEN})
    context.set_default_timeout(_MILLISECONDS)
    yield await context.new_page()
    await context.close()


SCREEN = 800
"""Pixels from the page's upper edge to its lower one, as far as one sees it without scrolling."""

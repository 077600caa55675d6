"""A real browser for tests of pages: Debian's Chromium, or the one that the environment's CHROMIUM names."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium; the test is skipped where there is none."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium; install it, or have CHROMIUM name one")
    with sync_playwright() as playwright:
        # Containers often run as root, where Chromium has no sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def watched(page: Page) -> list[str]:
    """A list of what a page must not do, filled as it happens: errors, console messages, requests to others."""
    faults: list[str] = []

    def requested(request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            faults.append(f"request: {request.url}")

    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", requested)
    return faults

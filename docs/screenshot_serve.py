"""Make docs/serve.png, the page of `crepe serve` as Chromium shows it.

python docs/screenshot_serve.py results/demo/runs/docstrings/ngrams-tfidf/0 docs/serve.png
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

TEXT = (
    "Return a copy of the frame whose index is made of the dates in a column, with the rows of a group in the order in "
    "which they were added to the series."
)


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """The address of a server of a model."""
    command = [sys.executable, "-m", "crepe", "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[0]
        finally:
            server.terminate()


def type_text(page: Page, url: str, text: str) -> None:
    """Type a text and wait for its colours."""
    page.goto(url)
    page.get_by_label("Text to classify").fill(text)
    page.locator("#marks mark").first.wait_for(timeout=300_000)
    page.wait_for_timeout(500)  # Until the bars stand still.


def shoot(
    browser: Browser, model: Path, picture: Path, text: str = TEXT, width: int = 820, scheme: str = "light"
) -> None:
    """Write a PNG of the page of a model with a text in it; `scheme` is light or dark."""
    with serving(model) as url:
        page = browser.new_page(viewport={"width": width, "height": 640}, device_scale_factor=2, color_scheme=scheme)
        type_text(page, url, text)
        page.screenshot(path=picture, full_page=True)
        page.close()


if __name__ == "__main__":
    with sync_playwright() as browsers:
        chromium = browsers.chromium.launch(executable_path="/usr/bin/chromium")
        shoot(chromium, Path(sys.argv[1]), Path(sys.argv[2]))
        chromium.close()

"""Take the README's pictures of a study's report in a real browser.

    python docs/screenshots.py results/demo

writes report.png (desktop), report-phone.png and report-dark.png (a run, opened) beside this file, or to --output.
Needs Playwright, and a Chromium: Debian's, or the one that CHROMIUM names.
"""

import argparse
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright


@dataclass(frozen=True)
class Shot:
    """A picture to take: of which page, and how large and in which scheme."""

    name: str
    address: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    prepare: Callable[[Page], None] = lambda page: None
    """What is done to the page before."""


def main() -> None:
    """Take all pictures of a study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a study's results, with its report.html")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the pictures")
    options = parser.parse_args()
    if not (options.study / "report.html").exists():
        parser.error(f"{options.study}/report.html is not there; `crepe report` makes it")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        parser.error("there is no chromium; install it, or have the environment's CHROMIUM name one")
    options.output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for shot in report(options.study):
            take(browser, shot, options.output / f"{shot.name}.png")
        browser.close()


def report(study: Path) -> list[Shot]:
    """The report on a desktop, on a phone, and one of its runs in the dark."""
    address = (study / "report.html").resolve().as_uri()
    return [
        Shot("report", address, 1400, 1000),
        Shot("report-phone", address, 390, 844),
        Shot("report-dark", address, 1400, 1000, "dark", open_run),
    ]


def open_run(page: Page) -> None:
    """Open the last run, as table 4 ends with the ConvNets over characters."""
    page.locator("[data-opens]").last.click()


def take(browser: Browser, shot: Shot, path: Path) -> None:
    """Take a picture at twice the resolution."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.scheme, device_scale_factor=2
    )
    page = context.new_page()
    page.goto(shot.address)
    shot.prepare(page)
    page.screenshot(path=path)
    context.close()
    print(path)


if __name__ == "__main__":
    main()

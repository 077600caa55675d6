"""Requests that end in time, and that answer the question which Google Drive asks before it gives a large file."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from types import FrameType
from urllib.parse import urljoin

import requests

PAGE_BYTES = 1_000_000
"""Bytes of an HTML page that are looked at."""


class TooSlow(Exception):  # noqa: N818  No fault, but an event.
    """The time of a block is over."""


@contextmanager
def deadline(until: Callable[[], float]) -> Iterator[None]:
    """Raise TooSlow in the block when its time is over, whatever it waits for; for the main thread alone.

    Without it a server could hold a download for ever: the time-outs of requests are for each read from the socket, and
    one that sends a byte of its headers now and then never meets them.

    Args:
        until: when the time is over, by `time.monotonic`; it may be put off while the block runs.
    """

    def ring(signal_: int = 0, frame: FrameType | None = None) -> None:
        left = until() - time.monotonic()
        if left <= 0:
            raise TooSlow
        signal.setitimer(signal.ITIMER_REAL, left)

    before, begun = signal.signal(signal.SIGALRM, ring), time.monotonic()
    other, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        ring()
        yield
    finally:
        # Whoever had set the timer gets it back.
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if other:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, other - (time.monotonic() - begun)))


def session() -> requests.Session:
    """A session that does not read the bodies of redirects, which may be endless."""
    new = requests.Session()
    new.hooks["response"].append(lambda answer, **_: answer.close() if answer.is_redirect else None)
    return new


def is_page(answer: requests.Response) -> bool:
    """Whether the server says that the answer is an HTML page."""
    return answer.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml"))


def get(
    session: requests.Session, url: str, headers: dict[str, str], timeouts: tuple[float, float]
) -> requests.Response:
    """Ask for `url`; where the answer is the page on which Google Drive asks whether to download a large file, say yes.

    Its page, "Google Drive can't scan this file for viruses", is a form `download-form` of hidden fields, which a
    browser sends when "Download anyway" is clicked.

    Args:
        session: the session to ask in.
        url: the file's address.
        headers: headers of the request.
        timeouts: seconds to wait for a connection, and for each read.

    Returns:
        The answer. Its body is not read yet, unless it is a page without such a form.

    Raises:
        requests.RequestException: there is no answer.
        urllib3.exceptions.HTTPError: the page cannot be read.
    """
    answer = session.get(url, headers=headers, timeout=timeouts, stream=True)
    if answer.status_code != 200 or not is_page(answer):
        return answer
    form = _DownloadForm()
    with suppress(AssertionError, ValueError):  # What HTMLParser raises where a page is beyond it
        form.feed(answer.raw.read(PAGE_BYTES, decode_content=True).decode("utf-8", "replace"))
    if form.action is None:
        return answer
    answer.close()
    action = urljoin(answer.url, form.action)
    return session.get(action, params=form.fields, headers=headers, timeout=timeouts, stream=True)


class _DownloadForm(HTMLParser):
    """Finds the form `download-form`: where it is sent to, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        if tag == "form" and named.get("id") == "download-form":
            self.action, self._inside = named.get("action", ""), True
        elif tag == "input" and self._inside and named.get("name"):
            self.fields[named["name"]] = named.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"

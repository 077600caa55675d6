"""Requests that end in time, and that answer the question which Google Drive asks before it gives a large file."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

PAGE_BYTES = 1_000_000
"""As much of an HTML page is looked at."""


class Session(requests.Session):
    """A session that is cut off when its time is over, whatever it waits for.

    Time-outs of sockets are for each read: a server that sends a byte of its headers now and then never meets one. Here
    a thread waits for the end of the time and shuts every connection, which ends what is read from it.
    """

    def __init__(self, until: Callable[[], float]) -> None:
        """`until` says when its time is over, by `time.monotonic`; that may be put off while it runs."""
        super().__init__()
        self.over = False
        """Whether its time is over: an answer whose length is unknown may end because of that."""
        self._until, self._sockets, self._closed = until, list[socket.socket](), threading.Event()
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(self._watch))
        # Bodies of redirects are of no use, and requests would read them to their end.
        self.hooks["response"].append(lambda answer, **_: answer.close() if answer.is_redirect else None)
        self._thread = threading.Thread(target=self._cut, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self._closed.set()
        self._thread.join()
        for connected in self._sockets:
            connected.close()

    def _watch(self, connected: socket.socket) -> None:
        # One of its own, since TLS takes the socket away.
        self._sockets.append(connected.dup())

    def _cut(self) -> None:
        while (left := self._until() - time.monotonic()) > 0:
            if self._closed.wait(left):
                return
        self.over = True
        while not self._closed.wait(0.1):  # What is connected later is cut off as well.
            for connected in self._sockets:
                with suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Hands every socket that is connected to `watch`."""

    def __init__(self, watch: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self._watch = watch

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        pool.ConnectionCls = _watched(type(pool).ConnectionCls, self._watch)
        return pool


def _watched(kind: type[HTTPConnection], watch: Callable[[socket.socket], None]) -> type[HTTPConnection]:
    class Watched(kind):  # type: ignore[misc, valid-type]
        def _new_conn(self) -> socket.socket:
            connected: socket.socket = super()._new_conn()
            watch(connected)
            return connected

    return Watched


def is_page(answer: requests.Response) -> bool:
    """Whether the answer is an HTML page, by its own word."""
    return answer.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml"))


def get(session: Session, url: str, headers: dict[str, str], timeouts: tuple[float, float]) -> requests.Response:
    """Ask for `url`, and say yes where the answer asks whether to download, as Google Drive does of large files.

    Its page, "Google Drive can't scan this file for viruses", is a form `download-form` of hidden fields, which a
    browser sends when "Download anyway" is clicked.

    Args:
        session: asked in.
        url: of the file.
        headers: of the request.
        timeouts: seconds to wait for a connection, and for each read.

    Returns:
        The answer, its body not read yet, unless it is a page without such a form.

    Raises:
        requests.RequestException: there is none.
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

"""A real HTTP server on this machine that misbehaves as told, and archives for it to serve."""

import gzip
import io
import re
import ssl
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

Answer = Callable[["Handler"], None]


def tgz(members: Mapping[str, bytes]) -> bytes:
    """A gzip-compressed tar of plain files, the same bytes each time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), mtime=0)


class Server(ThreadingHTTPServer):
    """Serves `content`; its n-th request gets the n-th answer, and all further ones the last."""

    daemon_threads = True

    def __init__(self, content: bytes | memoryview, answers: tuple[Answer, ...]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.answers = content, answers
        self.paths: list[str] = []
        self.ranges: list[str | None] = []
        self.headers: list[Message] = []
        self.lock = threading.Lock()
        self.released, self.closing = threading.Event(), threading.Event()
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/archive.tgz"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what the tests are about."""


@contextmanager
def serving(content: bytes | memoryview, *answers: Answer, certificate: Path | None = None) -> Iterator[Server]:
    """A server for as long as the block; with a certificate (and key, in one file) it speaks https."""
    server = Server(content, answers)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.scheme = "https"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the answer whose turn it is."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            turn = len(server.paths)
            server.paths.append(self.path)
            server.ranges.append(self.headers.get("Range"))
            server.headers.append(self.headers)
        self.close_connection = True
        server.answers[min(turn, len(server.answers) - 1)](self)

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    @property
    def asked(self) -> int | None:
        """First byte of the range asked for."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else None

    def head(self, status: int, headers: Mapping[str, object]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def partial(self) -> bytes | memoryview:
        """Send the headers that a good server sends; returns the bytes that belong behind them."""
        content, start = self.server.content, self.asked
        kind = {"Content-Type": "application/x-gzip"}
        if start is None:
            self.head(200, kind | {"Content-Length": len(content)})
            return content
        if start >= len(content):
            self.head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": 0})
            return b""
        extent = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.head(206, kind | {"Content-Range": extent, "Content-Length": len(content) - start})
        return content[start:]


def good(handler: Handler) -> None:
    """Send the file as requested."""
    handler.wfile.write(handler.partial())


def dropping(after: int) -> Answer:
    """Close the connection after some bytes of the body."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(handler.partial()[:after])

    return answer


def stalling(after: int) -> Answer:
    """Send some bytes of the body, and then no more, with the connection open."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(handler.partial()[:after])
        handler.wfile.flush()
        handler.server.closing.wait(60)

    return answer


def holding(after: int) -> Answer:
    """Send some bytes of the body, and some more now and then until the server's `released` is set, then the rest."""

    def answer(handler: Handler) -> None:
        content = handler.partial()
        handler.wfile.write(content[:after])
        sent = after
        while not handler.server.released.wait(0.5):
            # As many as no client takes for a stall.
            handler.wfile.write(content[sent : sent + 1000])
            sent += 1000
        handler.wfile.write(content[sent:])

    return answer


def silent(handler: Handler) -> None:
    """Take the request and never answer."""
    handler.server.closing.wait(60)


def trickling(handler: Handler) -> None:
    """Send byte by byte, slowly, so that no single wait is long."""
    for byte in handler.partial():
        handler.wfile.write(bytes([byte]))
        if handler.server.closing.wait(0.05):
            return


def dripping(before: bytes, drop: bytes) -> Answer:
    """Send some bytes of an answer and then the same few again and again, so that no single wait is long."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(before)
        while not handler.server.closing.wait(0.05):
            handler.wfile.write(drop)

    return answer


slow_status = dripping(b"", b"H")
slow_headers = dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x")
slow_chunk = dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10;", b"x")
ever_continuing = dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n")


def pausing(handler: Handler) -> None:
    """Send the file in ten pieces with pauses between them."""
    content = handler.partial()
    size = len(content) // 10 + 1
    for start in range(0, len(content), size):
        handler.wfile.write(content[start : start + size])
        handler.server.closing.wait(0.3)


def ignoring_range(handler: Handler) -> None:
    """The whole, whatever was asked for."""
    handler.head(200, {"Content-Length": len(handler.server.content)})
    handler.wfile.write(handler.server.content)


def ignoring_range_dropping(after: int) -> Answer:
    """The whole, whatever was asked for, but it breaks off."""

    def answer(handler: Handler) -> None:
        handler.head(200, {"Content-Length": len(handler.server.content)})
        handler.wfile.write(handler.server.content[:after])

    return answer


def wrong_range(handler: Handler) -> None:
    """Another range than asked for, said openly."""
    content, start = handler.server.content, (handler.asked or 0) // 2
    extent = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.head(206, {"Content-Range": extent, "Content-Length": len(content) - start})
    handler.wfile.write(content[start:])


def lying_range(handler: Handler) -> None:
    """The range asked for, it says, but with other bytes."""
    handler.wfile.write(bytes(len(handler.partial())))


def no_content_range(handler: Handler) -> None:
    """Answer 206 without saying which part it is."""
    handler.head(206, {"Content-Length": len(handler.server.content)})
    handler.wfile.write(handler.server.content)


def status(code: int, **headers: object) -> Answer:
    """An answer of that status, with an HTML page behind it as servers do."""

    def answer(handler: Handler) -> None:
        page = b"<html><body>no</body></html>"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.head(code, {"Content-Type": "text/html", "Content-Length": len(page)} | named)
        handler.wfile.write(page)

    return answer


def redirect(location: str) -> Answer:
    """Send the client elsewhere."""
    return status(302, Location=location)


def endless_redirect(location: str) -> Answer:
    """Send the client elsewhere, with a page that never ends."""

    def answer(handler: Handler) -> None:
        handler.head(302, {"Location": location, "Content-Type": "text/html"})
        while not handler.server.closing.is_set():
            handler.wfile.write(bytes(65536))

    return answer


def page(kind: str) -> Answer:
    """An HTML page with status 200, as Google Drive sends when a quota is spent."""

    def answer(handler: Handler) -> None:
        content = b"\n<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
        handler.head(200, {"Content-Type": kind, "Content-Length": len(content)})
        handler.wfile.write(content)

    return answer


def asking(action: str = "/download", fields: str = "") -> Answer:
    """Google Drive's question about a large file; what was asked for, when it has been answered as a browser does."""

    def answer(handler: Handler) -> None:
        if parse_qs(urlsplit(handler.path).query) == {"id": ["a&b"], "export": ["download"], "confirm": ["t"]}:
            good(handler)
            return
        content = f"""<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
            <form action="/search" method="get"><input type="text" name="q" value="not this one"></form>
            <form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>
            <input type="hidden" name="id" value="a&amp;b"><input type="hidden" name="export" value="download">
            <input type="hidden" name="confirm" value="t">{fields}</form>
            <input type="hidden" name="behind" value="nor this"></body></html>""".encode()
        handler.head(200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": len(content)})
        handler.wfile.write(content)

    return answer


def claiming(length: int) -> Answer:
    """The whole with a wrong Content-Length."""

    def answer(handler: Handler) -> None:
        handler.head(200, {"Content-Length": length})
        handler.wfile.write(handler.server.content[:length])

    return answer


def unmeasured(handler: Handler) -> None:
    """The whole without any length; the end is where the connection ends."""
    handler.head(200, {})
    handler.wfile.write(handler.server.content)


def unmeasured_dropping(handler: Handler) -> None:
    """Half of the whole without any length, so that only who knows the length sees that it broke off."""
    handler.head(200, {})
    handler.wfile.write(handler.server.content[: len(handler.server.content) // 2])


def chunked(end: bool) -> Answer:
    """The whole in chunks; the closing chunk may be missing."""

    def answer(handler: Handler) -> None:
        handler.head(200, {"Transfer-Encoding": "chunked"})
        content = handler.server.content
        for start in range(0, len(content), 50_000):
            piece = content[start : start + 50_000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)))
        if end:
            handler.wfile.write(b"0\r\n\r\n")

    return answer


def endless(handler: Handler) -> None:
    """Bytes without end."""
    handler.head(200, {})
    while not handler.server.closing.is_set():
        handler.wfile.write(bytes(65536))


def labelled_encoded(handler: Handler) -> None:
    """The archive as it is, labelled as if gzip were only its transfer encoding."""
    handler.head(200, {"Content-Length": len(handler.server.content), "Content-Encoding": "gzip"})
    handler.wfile.write(handler.server.content)


def encoded(handler: Handler) -> None:
    """The archive compressed once more for the way, which nobody asked for."""
    content = gzip.compress(handler.server.content)
    handler.head(200, {"Content-Length": len(content), "Content-Encoding": "gzip"})
    handler.wfile.write(content)


def garbage(handler: Handler) -> None:
    """No HTTP at all."""
    handler.wfile.write(b"\x00\x01 this is not HTTP\r\n\r\n")


def late(seconds: float) -> Answer:
    """Send the file after a while."""

    def answer(handler: Handler) -> None:
        time.sleep(seconds)
        good(handler)

    return answer

"""Serve a trained model: a web page to type into, and an address that programs post texts to.

    crepe serve results/demo/runs/docstrings/conv-small/0

- `POST /predict` takes `{"texts": ["A text."], "explain": false}`; a text may be a list of its fields. The answer has
  `classes` and, for each text, `predictions`: its `class`, the `probability`, all `probabilities` and, if requested, an
  `explanation`: pairs of a piece and its weight, as `crepe predict --help` explains. A request that exceeds a limit is
  refused with status 413 or 429 and the reason in `detail`.
- `GET /health` answers with status 200, and with 503 once the server is stopping.
- `GET /metrics` has counters and histograms in Prometheus's text format.

Concurrent requests are computed in batches. The network runs in float32: there the other
texts of a batch change a text's probabilities by less than 1e-6 (in bfloat16, by up to 0.004), and not at all in linear
models.

Ctrl+C or SIGTERM stops the server once it has answered the requests under way. It listens on this machine's own address
unless you give --host; it has neither passwords nor encryption, so put it behind a server that has them.
"""

import argparse
import asyncio
import math
import signal
import socket
import time
from base64 import b64encode
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import limits
import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crepe import layout
from crepe.errors import CrepeError
from crepe.features import Text
from crepe.inference.batching import Batches
from crepe.inference.classifier import Classifier, load
from crepe.options import add_device
from crepe.records.run import RunRecord

TEXTS = 64
"""Most texts of a request, and of a batch of requests."""
EXPLAINED = 4
"""Most texts of a request that wants explanations: each costs as much as some hundred texts."""
TEXT_BYTES = 20_000
"""Most bytes of a text in UTF-8."""
BODY_BYTES = 1_000_000
"""Most bytes of a request's body."""
BODY_SECONDS = 10
"""Longest time in which the body may arrive."""
CONNECTIONS = 128
"""Most connections that are always answered; requests may be refused with status 503 while there are more."""
DRAIN_SECONDS = 0.5
"""When stopping: time in which each open connection is closed after its next answer, before idle ones are closed."""
SHUTDOWN_SECONDS = 10
"""When stopping: longest time to wait for requests under way."""

TEMPLATES = Path(__file__).parent / "templates"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", help="model.safetensors, or a folder that has one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--rate", default="10/second", help="most requests of a client's address, as 100/minute (default: %(default)s)"
    )
    add_device(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command until a signal stops it."""
    try:
        rate = limits.parse(options.rate)
    except ValueError as error:
        raise CrepeError(f"--rate {options.rate}", "is not a rate", "write it as 10/second or 100/minute") from error
    with listen(options.host, options.port) as listener:
        classifier = load(options.model, options.device, precision="float32")
        server = Server(application(classifier, _title(Path(options.model)), rate))
        # uvicorn sets the same handlers, but only once it runs.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, server.handle_exit)
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{host}:{listener.getsockname()[1]}/ (press Ctrl+C to stop)", flush=True)
        server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Raises:
        CrepeError: there is no such address, or another program listens on it.
    """
    # asyncio sets TCP_NODELAY only if the protocol is named. Without it, each answer on a kept connection waits some
    # 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise CrepeError(
            f"--host {host} --port {port}", f"cannot listen there ({error})", "give another --host or --port"
        ) from error
    return listener


class Server(uvicorn.Server):
    """Run the application until a signal stops it, and lose no request then.

    A client of a kept connection may send its next request just when the server closes the connection. So at a signal
    each connection is closed by the answer to its next request, which says so (`Connection: close`); after
    `DRAIN_SECONDS` those that have been idle since are closed, too. A second signal stops at once.

    Args:
        app: its `state.stopping` becomes true at the signal.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._stopping: float | None = None
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                # It limits connections and requests. A request still counts when its answer has been sent and the next
                # one of its connection arrives.
                limit_concurrency=2 * CONNECTIONS + 1,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                server_header=False,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; called by the signal's handler."""
        if self._stopping is None:
            self._stopping = time.monotonic()
            self._app.state.stopping = True
        else:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Stop when the connections have been drained; called ten times a second."""
        if self._stopping is not None and time.monotonic() - self._stopping > DRAIN_SECONDS:
            self.should_exit = True
        return await super().on_tick(counter)


class Texts(BaseModel):
    """Body of a request to /predict."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[str | list[str]] = Field(description="texts, or lists of the fields of one")
    explain: bool = Field(default=False, description="whether to explain each class")


def application(classifier: Classifier, title: str, rate: limits.RateLimitItem) -> FastAPI:
    """Make the ASGI application that serves a classifier.

    Args:
        classifier: answers the requests.
        title: name of the model on the page.
        rate: most requests to /predict from one client's address.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None)
    app.state.stopping = False
    limiter = MovingWindowRateLimiter(MemoryStorage())
    page, policy = _page(classifier, title)
    measures = Measures()

    def compute(texts: list[Text]) -> list[dict[str, Any]]:
        measures.batches.observe(len(texts))
        return classifier.answers(texts)

    batches = Batches(compute, partial(classifier.answers, explained=True), TEXTS, leave_a_core)

    @app.get("/", response_class=HTMLResponse)
    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @app.post("/predict")
    async def predict(asked: Texts, request: Request) -> Response:
        client = request.client.host if request.client else ""
        if not limiter.hit(rate, client):
            window = limiter.get_window_stats(rate, client)
            wait = max(1, math.ceil(window.reset_time - time.time()))
            raise HTTPException(429, f"more than {rate}; try again in {wait} s", {"Retry-After": str(wait)})
        _check(asked)
        try:
            answers = await batches.answer(asked.texts, asked.explain) if asked.texts else []
        except CrepeError as error:
            raise HTTPException(503, str(error)) from error
        measures.texts.inc(len(answers))
        return JSONResponse({"classes": classifier.classes, "predictions": answers})

    @app.get("/health")
    async def health() -> JSONResponse:
        stopping = app.state.stopping
        return JSONResponse({"status": "stopping" if stopping else "ok", "model": title}, 503 if stopping else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(measures.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Without the input: it may not even be text.
        faults = [f"{'.'.join(map(str, fault['loc'][1:])) or 'body'}: {fault['msg']}" for fault in error.errors()]
        return JSONResponse({"detail": "; ".join(faults[:3])}, 422)

    app.add_middleware(_Bounded)
    paths = {getattr(route, "path", "") for route in app.routes}
    app.add_middleware(_Outer, state=app.state, measures=measures, paths=paths)
    return app


def leave_a_core() -> None:
    """Compute the network on all cores but one, which handles the connections.

    Threads of OpenMP wait by spinning, and the network would run many times slower if it lacked one core.
    """
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))


class Measures:
    """Counters and histograms of an application, for `GET /metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "crepe_requests", "Requests answered, by path and status.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "crepe_request_seconds",
            "Time from a request's headers to the end of its answer, by path.",
            ["path"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.texts = Counter("crepe_texts", "Texts classified.", registry=self.registry)
        self.batches = Histogram(
            "crepe_batch_texts",
            "Texts of a call of the network, explanations apart.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )


class _Outer:
    """Measure each request, and close its connection with the answer if the server is stopping."""

    def __init__(self, app: ASGIApp, state: Any, measures: Measures, paths: set[str]) -> None:
        self.app, self.state, self.measures, self.paths = app, state, measures, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # nginx's status of requests whose client has gone.

        async def forward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.state.stopping:
                    message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        try:
            await self.app(scope, receive, forward)
        except Exception:
            status = 500  # The answer is made further out, from this exception.
            raise
        finally:
            # Unknown paths are counted as one: anybody could make any number of them.
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.measures.requests.labels(path, status).inc()
            self.measures.seconds.labels(path).observe(time.perf_counter() - began)


class _Bounded:
    """Refuse bodies that are too large or arrive too slowly, whatever their headers say, before anything reads them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            await JSONResponse({"detail": f"the body took more than {BODY_SECONDS} s"}, 408)(scope, receive, send)
            return
        if body is None:
            return
        if len(body) > BODY_BYTES:
            detail = f"the body has more than {BODY_BYTES:,} bytes"
            # The rest of it is not read: the connection cannot be used again.
            response = JSONResponse({"detail": detail}, 413, {"Connection": "close"})
            await response(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, replay, send)


async def _body(receive: Receive) -> bytes | None:
    """Return a request's body, or the beginning of one that is too large; None if the client has gone."""
    body, more = bytearray(), True
    while more and len(body) <= BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _check(asked: Texts) -> None:
    """Refuse a request that exceeds a limit."""
    most = EXPLAINED if asked.explain else TEXTS
    if len(asked.texts) > most:
        raise HTTPException(413, f"{len(asked.texts)} texts; at most {most} at a time{' to explain' * asked.explain}")
    for number, text in enumerate(asked.texts, 1):
        try:
            size = len((text if isinstance(text, str) else " ".join(text)).encode())
        except UnicodeEncodeError:
            raise HTTPException(422, f"text {number} is not text: it has half of a surrogate pair") from None
        if size > TEXT_BYTES:
            raise HTTPException(413, f"text {number} has {size:,} bytes; at most {TEXT_BYTES:,}")


def _title(model: Path) -> str:
    """Name a model by the record beside it, else by its folder."""
    folder = model if model.is_dir() else model.parent
    if not (folder / layout.RECORD).exists():
        return folder.resolve().name
    record = RunRecord.read(folder)
    return f"{record.model} on {record.title}"


def _page(classifier: Classifier, title: str) -> tuple[str, str]:
    """Render the page, and a content security policy that allows its own style and script and nothing else."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("serve.css", "serve.js"))
    page = environment.get_template("serve.html").render(
        title=title, classes=classifier.classes, style=style, script=script, most=TEXT_BYTES
    )
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; frame-ancestors 'none'"
    )
    return page, policy


def _hash(text: str) -> str:
    """Source expression of a content security policy that allows an inline text."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"

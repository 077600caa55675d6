"""Serve a trained model: a page to type into, and an address that programs post texts to.

    crepe serve results/demo/runs/docstrings/conv-small/0

`POST /predict` takes `{"texts": ["A text."], "explain": false}`; a text may be a list of its fields. It answers with
`classes` and, for each text, `predictions`: its `class`, the `probability`, all `probabilities` and, if asked for, an
`explanation` (see `crepe.inference.explain`), pairs of a piece and its weight. What is too long, too much or too often
is refused with status 413 or 429 and the reason in `detail`.

Ctrl+C or SIGTERM ends it when the requests that are under way have been answered. It listens to this machine alone
unless --host says otherwise; it has neither passwords nor encryption, so put it behind a server that has them.
"""

import argparse
import asyncio
import math
import signal
import socket
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import limits
import uvicorn
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crepe.errors import CrepeError
from crepe.inference.classifier import Classifier, load
from crepe.records.run import RunRecord

TEXTS = 64
"""Most texts of a request, ..."""
EXPLAINED = 4
"""... of one that wants explanations, each the work of some hundred texts, ..."""
TEXT_BYTES = 20_000
"""... most bytes of a text in UTF-8 ..."""
BODY_BYTES = 1_000_000
"""... and of a request's body, ..."""
BODY_SECONDS = 10
"""... and how long it may take to come."""
CONNECTIONS = 100
"""Most at a time; others are told to come again."""
SHUTDOWN_SECONDS = 10
"""How long requests that are under way are waited for at the end."""

TEMPLATES = Path(__file__).parent / "templates"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", help="model.safetensors, or a folder that has one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--rate", default="10/second", help="most requests of an address, as 100/minute (default: %(default)s)"
    )
    parser.add_argument("--device", default="auto", help="cuda, cuda:1, mps or cpu; default: the first that is there")


def main(options: argparse.Namespace) -> None:
    """Run the command, until a signal ends it."""
    try:
        rate = limits.parse(options.rate)
    except ValueError as error:
        raise CrepeError(f"--rate {options.rate}: is no rate; write it as 10/second or 100/minute") from error
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listener = socket.create_server((options.host, options.port), family=family)
    except (OSError, OverflowError) as error:
        raise CrepeError(f"--host {options.host} --port {options.port}: cannot be listened at ({error})") from error
    with listener:
        app = application(load(options.model, options.device), _title(Path(options.model)), rate)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                server_header=False,
            )
        )

        def end(*_: Any) -> None:
            server.should_exit = True

        # uvicorn puts its own in their place, and raises the signal again when it is through.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{host}:{listener.getsockname()[1]}/ (Ctrl+C ends it)", flush=True)
        server.run(sockets=[listener])


class Texts(BaseModel):
    """What is asked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[str | list[str]] = Field(description="texts, or lists of the fields of one")
    explain: bool = Field(default=False, description="whether to say what decided")


def application(classifier: Classifier, title: str, rate: limits.RateLimitItem) -> FastAPI:
    """The page and the address of a classifier.

    Args:
        classifier: what answers; one request at a time.
        title: what the page calls the model.
        rate: most requests to /predict of one address.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None)
    limiter = MovingWindowRateLimiter(MemoryStorage())
    one_at_a_time = CapacityLimiter(1)
    page, policy = _page(classifier, title)

    @app.get("/", response_class=HTMLResponse)
    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @app.post("/predict")
    async def predict(asked: Texts, request: Request) -> dict[str, Any]:
        client = request.client.host if request.client else ""
        if not await limiter.hit(rate, client):
            window = await limiter.get_window_stats(rate, client)
            wait = max(1, math.ceil(window.reset_time - time.time()))
            raise HTTPException(429, f"more than {rate}; try again in {wait} s", {"Retry-After": str(wait)})
        _check(asked)
        answers = await to_thread.run_sync(classifier.answers, asked.texts, asked.explain, limiter=one_at_a_time)
        return {"classes": classifier.classes, "predictions": answers}

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Without what was sent: it may not even be text.
        faults = [f"{'.'.join(map(str, fault['loc'][1:])) or 'body'}: {fault['msg']}" for fault in error.errors()]
        return JSONResponse({"detail": "; ".join(faults[:3])}, 422)

    app.add_middleware(_Bounded)
    return app


class _Bounded:
    """Refuses bodies that are too large or come too slowly, whatever their headers say, before anything reads them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(_body(receive), BODY_SECONDS)
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

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)


async def _body(receive: Receive) -> bytes | None:
    """A request's body, or the beginning of one that is too large; None if the client has gone."""
    body, more = bytearray(), True
    while more and len(body) <= BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _check(asked: Texts) -> None:
    """Refuse what is too much."""
    most = EXPLAINED if asked.explain else TEXTS
    if len(asked.texts) > most:
        raise HTTPException(413, f"{len(asked.texts)} texts; at most {most} at a time{' to explain' * asked.explain}")
    for number, text in enumerate(asked.texts, 1):
        try:
            size = len((text if isinstance(text, str) else " ".join(text)).encode())
        except UnicodeEncodeError:
            raise HTTPException(422, f"text {number} is no text: it has half a surrogate pair") from None
        if size > TEXT_BYTES:
            raise HTTPException(413, f"text {number} has {size:,} bytes; at most {TEXT_BYTES:,}")


def _title(model: Path) -> str:
    """What the record beside a model calls it, else its folder's name."""
    folder = model if model.is_dir() else model.parent
    if not (folder / "run.json").exists():
        return folder.resolve().name
    record = RunRecord.read(folder)
    return f"{record.model} on {record.title}"


def _page(classifier: Classifier, title: str) -> tuple[str, str]:
    """The page, and a policy that lets its own style and script run and nothing else."""
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
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"

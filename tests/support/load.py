"""A client that sends many requests at a time over kept connections, and costs little itself."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    """An answer to a request."""

    status: int
    seconds: float
    content: Any
    closes: bool
    """Whether the server closes the connection after it."""


async def post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, path: str = "/predict"
) -> Answer:
    """Send a request on an open connection and read its answer.

    Raises:
        asyncio.IncompleteReadError, OSError: the server has closed the connection without an answer.
    """
    began = perf_counter()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    content = await reader.readexactly(int(headers["content-length"]))
    return Answer(
        int(lines[0].split()[1]), perf_counter() - began, json.loads(content), headers.get("connection") == "close"
    )


def post_all(url: str, requests: Sequence[dict[str, Any]], clients: int) -> list[Answer]:
    """Send requests to /predict from some clients at a time; the answers are in the requests' order."""
    answers: dict[int, Answer] = {}
    waiting = list(enumerate(requests))[::-1]

    async def client() -> None:
        reader, writer = await asyncio.open_connection(*address(url))
        while waiting:
            number, request = waiting.pop()
            answers[number] = await post(reader, writer, json.dumps(request).encode())
        writer.close()

    async def run() -> None:
        await asyncio.gather(*(client() for _ in range(clients)))

    asyncio.run(run())
    return [answers[number] for number in range(len(requests))]


def post_until_closed(url: str, request: dict[str, Any], clients: int) -> list[Answer]:
    """Send a request again and again from some clients, until the server has closed all their connections.

    Raises:
        ExceptionGroup: a request was not answered.
    """
    answers: list[Answer] = []
    body = json.dumps(request).encode()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(*address(url))
        closes = False
        while not closes:
            answers.append(await post(reader, writer, body))
            closes = answers[-1].closes
        writer.close()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())

    asyncio.run(run())
    return answers


def address(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port

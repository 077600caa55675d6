"""Answer concurrent requests in batches, so that the network is called once for many of them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Compute = Callable[[list[Item]], Sequence[Answer]]
"""Answer some items, in their order."""

_Request = tuple[Sequence[Item], asyncio.Future[Sequence[Answer]]]


class Batches(Generic[Item, Answer]):
    """Gather concurrent requests into batches, which one thread computes.

    No request waits for a timer. One that finds the thread idle is computed at once, alone; those that arrive in the
    meantime make the next batch, in the order of their arrival. So an idle server answers as fast as it can, and the
    batches grow with the load.

    Args:
        compute: answer the items of a batch; runs in the thread.
        compute_apart: answer the items of one request that takes long. It is never gathered; if both kinds wait,
            they take turns.
        size: gather at most this many items; a request is not split, so one that has more makes a batch alone.
        initialize: run first in the thread.
    """

    def __init__(
        self,
        compute: Compute[Item, Answer],
        compute_apart: Compute[Item, Answer],
        size: int,
        initialize: Callable[[], None] | None = None,
    ) -> None:
        self._compute, self._compute_apart, self._size = compute, compute_apart, size
        self._thread = ThreadPoolExecutor(1, "network", initialize)
        self._gathered: deque[_Request[Item, Answer]] = deque()
        self._apart: deque[_Request[Item, Answer]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def answer(self, items: Sequence[Item], apart: bool = False) -> Sequence[Answer]:
        """Answer the items of a request, in their order.

        Args:
            items: what `compute`, or `compute_apart`, takes.
            apart: whether the request takes long.

        Raises:
            Exception: what `compute` raises for these items.
        """
        future: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        (self._apart if apart else self._gathered).append((items, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        """Compute until nothing waits."""
        while self._gathered or self._apart:
            if self._gathered:
                await self._answer(self._compute, self._next())
            if self._apart:
                await self._answer(self._compute_apart, [self._apart.popleft()])
        self._running = None

    def _next(self) -> list[_Request[Item, Answer]]:
        """Take the requests of the next batch."""
        batch = [self._gathered.popleft()]
        items = len(batch[0][0])
        while self._gathered and items + len(self._gathered[0][0]) <= self._size:
            batch.append(self._gathered.popleft())
            items += len(batch[-1][0])
        return batch

    async def _answer(self, compute: Compute[Item, Answer], batch: list[_Request[Item, Answer]]) -> None:
        """Compute a batch and hand out its answers."""
        try:
            items = [item for request, _ in batch for item in request]
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, compute, items)
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0][1], error)
            else:  # One request must not fail for another's sake.
                for single in batch:
                    await self._answer(compute, [single])
            return
        first = 0
        for request, future in batch:
            _settle(future, answers[first : first + len(request)])
            first += len(request)


def _settle(future: asyncio.Future[Sequence[Answer]], outcome: Sequence[Answer] | Exception) -> None:
    """Give a request its answers or its error, if it still waits."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

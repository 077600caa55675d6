"""crepe.inference.batching."""

import asyncio
import threading

import pytest

from crepe.inference.batching import Batches


class Log:
    """A function that doubles numbers, and says what it was called with; it waits until it is let go."""

    def __init__(self):
        self.calls = []
        self.go = threading.Event()

    def __call__(self, items):
        self.calls.append(items)
        assert self.go.wait(60)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


async def waiting(calls, number):
    while len(calls) < number:
        await asyncio.sleep(0.001)


async def ask(batches, log, *requests):
    """Answers to requests of which the first is under way when the others come."""
    tasks = [asyncio.create_task(batches.answer(requests[0]))]
    await waiting(log.calls, 1)
    for request in requests[1:]:
        tasks.append(asyncio.create_task(batches.answer(request)))
        await asyncio.sleep(0)
    log.go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_comes_while_the_thread_is_busy_makes_one_batch_in_order():
    log = Log()
    answers = asyncio.run(ask(Batches(log, log, 64), log, [1], [2, 3], [4], [5, 6]))
    assert log.calls == [[1], [2, 3, 4, 5, 6]]
    assert answers == [[2], [4, 6], [8], [10, 12]]


def test_batches_have_a_size_and_no_request_is_split():
    log = Log()
    answers = asyncio.run(ask(Batches(log, log, 3), log, [1], [2, 3], [4, 5], [6], [7, 8, 9, 10]))
    assert log.calls == [[1], [2, 3], [4, 5, 6], [7, 8, 9, 10]]
    assert answers == [[2], [4, 6], [8, 10], [12], [14, 16, 18, 20]]


def test_a_request_that_fails_does_not_spoil_the_others_of_its_batch():
    log = Log()
    first, second, third = asyncio.run(ask(Batches(log, log, 64), log, [1], [2, 13], [4]))
    assert (first, third) == ([2], [8])
    with pytest.raises(ValueError, match="13"):
        raise second


def test_long_requests_are_computed_one_by_one_and_in_turn_with_batches():
    log, apart = Log(), Log()
    apart.go.set()
    order = []

    async def run():
        batches = Batches(log, lambda items: order.append(items) or apart(items), 64)
        first = asyncio.create_task(batches.answer([1]))
        await waiting(log.calls, 1)
        tasks = [asyncio.create_task(batches.answer([number], apart=True)) for number in (7, 8)]
        tasks += [asyncio.create_task(batches.answer([number])) for number in (2, 3)]
        await asyncio.sleep(0)
        log.go.set()
        return await asyncio.gather(first, *tasks)

    assert asyncio.run(run()) == [[2], [14], [16], [4], [6]]
    assert log.calls == [[1], [2, 3]]
    assert order == [[7], [8]]


def test_who_has_gone_is_passed_over():
    log = Log()

    async def run():
        batches = Batches(log, log, 64)
        first = asyncio.create_task(batches.answer([1]))
        await waiting(log.calls, 1)
        gone, other = asyncio.create_task(batches.answer([2])), asyncio.create_task(batches.answer([3]))
        await asyncio.sleep(0)
        gone.cancel()
        log.go.set()
        assert [*await first, *await other] == [2, 6]
        assert await batches.answer([4]) == [8]

    asyncio.run(run())

"""Parts that are computed side by side."""

import threading
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.models import threads
from crepe.models.base import embed
from crepe.models.threads import call_each, compute_each


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    """Three threads, and after the test as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_each_part_has_a_thread_that_computes_alone() -> None:
    together = threading.Barrier(3)

    def call(part: str) -> tuple[str, str, int]:
        together.wait(60)
        return part, threading.current_thread().name, torch.get_num_threads()

    found = call_each(call, "abc")
    assert [part for part, _, _ in found] == ["a", "b", "c"]
    assert len({name for _, name, _ in found}) == 3
    assert [number for _, _, number in found] == [1, 1, 1]
    assert torch.get_num_threads() == 3


def test_a_single_part_is_computed_by_all_threads() -> None:
    assert call_each(lambda part: (part, torch.get_num_threads()), "a") == [("a", 3)]


@pytest.mark.parametrize("faulty", [0, 2])
def test_an_error_in_a_part_is_raised_when_all_have_ended(faulty: int) -> None:
    ended = []

    def call(part: int) -> None:
        if part == faulty:
            raise ValueError(f"part {part}")
        ended.append(part)

    with pytest.raises(ValueError, match=f"part {faulty}"):
        call_each(call, range(3))
    assert sorted(ended) == [part for part in range(3) if part != faulty]
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_gradients_are_those_of_all_parts_at_once(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 6, (12,), generator=generator)
    weight, table = (torch.randn(shape, generator=generator).double() for shape in ((4, 3), (6, 3)))
    fixed = torch.randn(4, generator=generator).double()
    values = [tensor.requires_grad_() for tensor in (weight, table)]

    def compute(part: Tensor, weight: Tensor, fixed: Tensor, table: Tensor) -> Tensor:
        return torch.tanh(F.linear(embed(part, table, torch.float64, sparse=True), weight, fixed))

    def gradients(results: tuple[Tensor, ...]) -> list[Tensor]:
        result = torch.cat(results)
        (result * torch.arange(result.numel()).view_as(result)).sum().backward()
        found = [result.detach(), *(tensor.grad.to_dense() for tensor in values)]
        for tensor in values:
            tensor.grad = None
        return found

    parts = list(torch.split(codes, -(-len(codes) // count)))
    ours = gradients(compute_each(compute, parts, [weight, fixed, table]))
    whole = gradients((compute(codes, weight, fixed, table),))
    assert fixed.grad is None
    for one, other in zip(ours, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_gradients_in_bfloat16_are_rounded_after_all_parts() -> None:
    weight = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    # After 256 bfloat16 has no odd numbers.
    results = compute_each(
        lambda part, weight: part * weight, [torch.tensor([n]).bfloat16() for n in (256, 1, 1)], [weight]
    )
    torch.cat(results).sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == 258


def test_a_thread_that_cannot_be_started_is_an_error_and_leaves_none_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threads._threads(7)
    started[0].join(60)
    assert not started[0].is_alive()

"""Signals that are held back until a training has written a checkpoint."""

import signal

import pytest

from crepe.training.interruption import interruptible, take


def test_only_the_first_signal_is_held_back() -> None:
    # The tests may run in the background, where SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with interruptible() as received:
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruptible() as received:
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert received == []


def test_a_signal_that_was_held_back_takes_its_course() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    with pytest.raises(KeyboardInterrupt):
        take(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]

"""crepe.training.estimate: as many seconds as the batches that it timed make likely."""

import pytest

from crepe.config import load
from crepe.errors import CrepeError
from crepe.training.estimate import estimate

CONFIG = """{"training": {"convnet": {"epochs": 3, "batch_size": 16, "batches_per_epoch": 10}}, "catalog": {
    "networks": {"convnet-small": {"convolutions": [[7, 3], [3, 3]], "channels": 4, "fc": [8]}},
    "features": {"chars": {"max_length": 80}}}}"""


def test_an_estimate_goes_with_the_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(float(tick) for tick in range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    spec = load(CONFIG).model("conv-small")
    texts = ["The cat sat on the mat."] * 5
    # Three batches of 16 rows in three seconds; 3 epochs of 10 batches, and 48 test rows at a third of the cost.
    assert estimate(spec, texts, 2, 1, 48, "cpu") == pytest.approx(3 * (160 + 16) / 16)


def test_a_model_of_words_is_refused() -> None:
    with pytest.raises(CrepeError, match="has a vocabulary"):
        estimate(load().model("bow"), ["text"], 2, 1, 1, "cpu")

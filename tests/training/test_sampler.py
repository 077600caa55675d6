import numpy as np

from crepe.training.sampler import Sampler


def test_classes_are_drawn_uniformly_and_rows_within_them() -> None:
    labels = np.array([0] * 90 + [1] * 10 + [2] * 900, np.int32)
    sampler = Sampler(labels, 3, 128, seed=5)
    draws = np.concatenate([sampler.rows(number) for number in range(300)])
    shares = np.bincount(labels[draws], minlength=3) / len(draws)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.01)
    counts = np.bincount(draws[labels[draws] == 1] - 90, minlength=10)
    assert counts.min() > 0.9 * counts.mean()


def test_a_minibatch_is_a_function_of_seed_and_number() -> None:
    labels = np.array([0, 1] * 50, np.int32)
    one, again, other = (Sampler(labels, 2, 16, seed) for seed in (1, 1, 2))
    assert (one.rows(7) == again.rows(7)).all()
    assert (one.rows(7) != one.rows(8)).any()
    assert (one.rows(7) != other.rows(7)).any()


def test_rows_keep_the_shares_of_their_classes() -> None:
    labels = np.array([0] * 90 + [1] * 10 + [2] * 900, np.int32)
    sampler = Sampler(labels, 3, 128, seed=5, sampling="rows")
    draws = np.concatenate([sampler.rows(number) for number in range(2000)])
    np.testing.assert_allclose(np.bincount(labels[draws]) / len(draws), [0.09, 0.01, 0.9], atol=0.002)
    counts = np.bincount(draws, minlength=1000)
    assert counts.min() > 0.7 * counts.mean()
    again = Sampler(labels, 3, 128, seed=5, sampling="rows")
    assert (again.rows(7) == sampler.rows(7)).all()
    assert (again.rows(7) != sampler.rows(8)).any()

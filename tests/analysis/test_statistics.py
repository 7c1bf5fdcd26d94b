"""Intervals and tests against formulas, sums over all cases and published examples."""

import math

import numpy as np
import pytest

from analysis.statistics import holm, paired_difference, wilson


@pytest.mark.parametrize(("right", "videos"), [(0, 10), (9, 10), (10, 10), (133, 257)])
def test_wilson_by_its_formula(right, videos):
    z, p = 1.959963984540054, right / videos
    middle = (p + z**2 / (2 * videos)) / (1 + z**2 / videos)
    half = z * math.sqrt(p * (1 - p) / videos + z**2 / (4 * videos**2)) / (1 + z**2 / videos)
    share = wilson(right, videos)
    assert share.share == p
    assert share.low == pytest.approx(middle - half, abs=1e-12)
    assert share.high == pytest.approx(middle + half, abs=1e-12)


def outcomes(both: int, first: int, second: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, first, second, none)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False] * 2, counts)


def binomial_tail(losses: int, gains: int) -> float:
    """Twice the chance of as few heads as the smaller number, among fair coins."""
    coins = losses + gains
    few = sum(math.comb(coins, heads) for heads in range(min(losses, gains) + 1))
    return min(1.0, 2 * few / 2**coins)


@pytest.mark.parametrize(("losses", "gains"), [(2, 9), (9, 2), (5, 5), (0, 6), (121, 59)])
def test_mcnemar_by_counting(losses, gains):
    found = paired_difference(*outcomes(30, losses, gains, 7), seed=0)
    assert (found.only_first, found.only_second) == (losses, gains)
    assert found.p == pytest.approx(binomial_tail(losses, gains))
    assert found.difference == pytest.approx((gains - losses) / (37 + losses + gains))


def test_mcnemar_by_hand():
    """Six videos of which only the second is right: 2 / 2^6."""
    assert paired_difference(*outcomes(3, 0, 6, 1), seed=0).p == pytest.approx(1 / 32)


def test_networks_that_agree_everywhere():
    found = paired_difference(*outcomes(5, 0, 0, 3), seed=0)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_the_interval_is_that_of_a_bootstrap_of_videos():
    first, second = outcomes(100, 20, 45, 35)
    found = paired_difference(first, second, seed=0)
    generator = np.random.default_rng(1)
    gain = second.astype(int) - first.astype(int)
    means = [gain[generator.integers(0, 200, 200)].mean() for _ in range(4000)]
    assert found.low == pytest.approx(np.quantile(means, 0.025), abs=0.008)
    assert found.high == pytest.approx(np.quantile(means, 0.975), abs=0.008)
    assert found == paired_difference(first, second, seed=0)


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, 0.03 x 2 raised to the one before it, 0.7 x 1."""
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.7, 0.02])), [0.06, 0.04, 0.7, 0.06])
    np.testing.assert_allclose(holm(np.array([0.6, 0.8])), [1.0, 1.0])

"""Intervals and tests against formulas, sums over all cases and published examples."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pytest

from training.statistics import holm, paired_difference, share_of


def alone(videos: int) -> list[str]:
    """Each video from a source of its own."""
    return [f"source {video}" for video in range(videos)]


@pytest.mark.parametrize(("right", "videos"), [(0, 10), (9, 10), (10, 10), (133, 257)])
def test_wilson_by_its_formula(right, videos):
    z, p = 1.959963984540054, right / videos
    middle = (p + z**2 / (2 * videos)) / (1 + z**2 / videos)
    half = z * math.sqrt(p * (1 - p) / videos + z**2 / (4 * videos**2)) / (1 + z**2 / videos)
    share = share_of(np.arange(videos) < right, alone(videos))
    assert (share.right, share.videos, share.sources) == (right, videos, videos)
    assert share.share == pytest.approx(p)
    assert share.low == pytest.approx(middle - half, abs=1e-12)
    assert share.high == pytest.approx(middle + half, abs=1e-12)


@pytest.mark.parametrize(("right", "sources"), [(0, 10), (9, 10), (10, 10), (64, 123)])
def test_videos_that_are_copies_tell_no_more_than_their_sources(right, sources):
    once = np.arange(sources) < right
    expected = share_of(once, alone(sources))
    found = share_of(np.repeat(once, 4), np.repeat(alone(sources), 4))
    assert (found.videos, found.sources) == (4 * sources, sources)
    if right in (0, sources):
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    else:  # and a little less, as their variance is estimated
        assert expected.low - 0.06 < found.low < expected.low
        assert expected.high < found.high < expected.high + 0.05


def test_the_design_effect_by_hand():
    """Sources of 2, 2 and 1 videos, 3 of 5 right: e = 0.8, -1.2 + 1, -0.6."""
    right, sources = np.array([True, True, True, False, False]), list("aabbc")
    beyond = np.array([2 - 1.2, 1 - 1.2, 0 - 0.6])
    effect = 3 / 2 * 4 / 5 * np.sum(beyond**2) / (5 * 0.6 * 0.4)
    assert effect == pytest.approx(1.04)
    fewer = (2.7764451051977987 / 4.302652729911275) ** 2  # tables of t, 4 and 2 degrees of freedom
    number, z = 5 / effect * fewer, 1.959963984540054
    middle = (0.6 + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z * math.sqrt(0.24 / number + z**2 / (4 * number**2)) / (1 + z**2 / number)
    share = share_of(right, sources)
    assert (share.low, share.high) == pytest.approx((middle - half, middle + half))


def test_sources_more_alike_than_chance_are_not_surer_than_their_videos():
    """One of the two videos of each source is right: no source deviates, the design effect is 0."""
    sources = np.repeat(alone(10), 2)
    fewer = (2.0930240544082634 / 2.2621571628540993) ** 2  # tables of t, 19 and 9 degrees
    number, z = 20 * fewer, 1.959963984540054
    half = z * math.sqrt(0.25 / number + z**2 / (4 * number**2)) / (1 + z**2 / number)
    share = share_of(np.arange(20) % 2 == 0, sources)
    assert (share.low, share.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_one_source_is_worth_one_video():
    assert share_of(np.array([True, True, False]), ["a"] * 3).low < 0.1


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
    both = outcomes(30, losses, gains, 7)
    found = paired_difference(*both, alone(len(both[0])), seed=0)
    assert (found.only_first, found.only_second) == (losses, gains)
    assert found.p == pytest.approx(binomial_tail(losses, gains))
    assert found.difference == pytest.approx((gains - losses) / (37 + losses + gains))


def ends_over_all_draws(gains: Sequence[float], sizes: Sequence[float]) -> tuple[float, float]:
    """Ends of the paired interval, by counting all draws; the last two are the sources added."""
    number, sources = len(gains), len(gains) - 2
    chances = Counter()
    for drawn in itertools.combinations_with_replacement(range(number), number):
        orders = math.factorial(number)
        for times in Counter(drawn).values():
            orders //= math.factorial(times)
        chances[sum(gains[g] for g in drawn) / sum(sizes[g] for g in drawn)] += orders
    student = {6: 2.570581835636314, 8: 2.3646242515927844}[sources]  # tables of t, 97.5 %
    tail = NormalDist().cdf(-math.sqrt(sources / (sources - 1)) * student) * number**number
    differences = sorted(chances)
    below = np.cumsum([chances[difference] for difference in differences])
    low = differences[int(np.argmax(below > tail))]
    return low, differences[int(np.argmax(below >= number**number - tail))]


@pytest.mark.parametrize("copies", [1, 3])
def test_networks_that_agree_everywhere(copies):
    both = (np.repeat(right, copies) for right in outcomes(5, 0, 0, 3))
    found = paired_difference(*both, np.repeat(alone(8), copies), seed=0)
    assert (found.difference, found.p) == (0.0, 1.0)
    ends = ends_over_all_draws([0] * 8 + [1, -1], [1] * 10)
    assert ends == (-0.4, 0.4)
    assert (found.low, found.high) == pytest.approx(ends)


def test_the_interval_is_that_of_a_bootstrap_of_videos():
    first, second = outcomes(100, 20, 45, 35)
    found = paired_difference(first, second, alone(200), seed=0)
    generator = np.random.default_rng(1)
    gain = second.astype(int) - first.astype(int)
    means = [gain[generator.integers(0, 200, 200)].mean() for _ in range(4000)]
    assert found.low == pytest.approx(np.quantile(means, 0.025), abs=0.008)
    assert found.high == pytest.approx(np.quantile(means, 0.975), abs=0.008)
    assert found == paired_difference(first, second, alone(200), seed=0)


@pytest.mark.parametrize("sources", [4, 10])
def test_the_interval_of_a_share_holds_95_percent_of_the_time(sources):
    """Of sources of ten videos each that are right at rates of their own, 0.7 in the mean."""
    generator = np.random.default_rng(0)
    names = np.repeat(alone(sources), 10)
    held = []
    for rates in generator.beta(0.7 * 4, 0.3 * 4, (1000, sources)):  # correlation 0.2
        share = share_of(generator.random(10 * sources) < np.repeat(rates, 10), names)
        held.append(share.low <= 0.7 <= share.high)
    assert np.mean(held) > 0.94


def test_a_share_of_few_sources_is_no_surer_for_one_error():
    names = np.repeat(["a", "b"], 50)
    assert share_of(np.arange(100) < 100, names).low < 0.4
    assert share_of(np.arange(100) < 99, names).low < 0.5


@pytest.mark.parametrize("sources", [8, 30])
def test_the_paired_interval_holds_95_percent_of_the_time(sources):
    generator = np.random.default_rng(0)
    names = np.repeat(alone(sources), 5)
    held = []
    for rates in generator.beta(2, 2, (300, sources)):  # the second has each source at its own
        first = generator.random(5 * sources) < 0.5
        second = generator.random(5 * sources) < np.repeat(rates, 5)
        found = paired_difference(first, second, names, seed=0)
        held.append(found.low <= 0 <= found.high)
    assert np.mean(held) > 0.93


@pytest.mark.parametrize(("sources", "size"), [(6, 1), (10, 1), (20, 1), (6, 6), (20, 5)])
def test_the_paired_interval_of_networks_that_seldom_differ(sources, size):
    """The first is right 97 % of the time, the second 90 %, at rates of each source's own."""
    generator = np.random.default_rng(0)
    names = np.repeat(alone(sources), size)
    held = []
    for rates in generator.beta(0.9 * 4, 0.1 * 4, (300, sources)):
        first = generator.random(size * sources) < 0.97
        second = generator.random(size * sources) < np.repeat(rates, size)
        found = paired_difference(first, second, names, seed=0)
        held.append(found.low <= -0.07 <= found.high)
    assert np.mean(held) > 0.93


@pytest.mark.parametrize("sources", [1, 2, 5])
def test_fewer_sources_than_a_test_can_tell_apart_have_no_interval(sources):
    names = np.repeat(alone(sources), 10)
    found = paired_difference(
        np.arange(10 * sources) % 10 > 0, np.ones(10 * sources, bool), names, seed=0
    )
    assert (found.difference, found.low, found.high) == (pytest.approx(0.1), -1, 1)
    assert found.p == pytest.approx(2 / 2**sources)  # over 5 %


def test_the_paired_interval_by_counting_all_draws_of_eight_sources():
    """Six, and two of as many videos as the design effect of these is."""
    gains = [-2, 0, 1, 3, 4, 7]  # of ten videos of each source
    first = np.concatenate([np.arange(10) < max(0, -gain) for gain in gains])
    second = np.concatenate([np.arange(10) < max(0, gain) for gain in gains])
    mean = 13 / 60
    squares = sum(abs(gain) for gain in gains) - 60 * mean**2  # each video gains 1, 0 or -1
    beyond = sum((gain - 10 * mean) ** 2 for gain in gains)
    effect = 6 / 5 * 59 / 60 * beyond / squares
    assert 1 < effect < 10
    found = paired_difference(first, second, np.repeat(alone(6), 10), seed=1)
    assert found.difference == pytest.approx(mean)
    ends = ends_over_all_draws([*gains, effect, -effect], [10] * 6 + [effect] * 2)
    assert (found.low, found.high) == pytest.approx(ends, abs=0.02)


def test_six_sources_are_enough():
    """All for the second network: one chance of 2 in 64 for all of one sign, below 5 %."""
    names = np.repeat(alone(6), 10)
    found = paired_difference(np.arange(60) % 10 > 0, np.ones(60, bool), names, seed=0)
    assert found.p == pytest.approx(2 / 2**6)
    ends = ends_over_all_draws([1] * 6 + [1, -1], [10] * 6 + [1, 1])  # each gains a tenth
    assert (found.low, found.high) == pytest.approx(ends)
    assert found.low >= 0


def test_swapped_sources_by_counting_all_swaps():
    """Gains of 3, -1, 2, 1 and 0 videos: as many as 5 or -5 of 16 sums of signs."""
    first = np.array([0, 0, 0, 1, 0, 0, 0, 1], bool)
    second = np.array([1, 1, 1, 0, 1, 1, 1, 1], bool)
    sources = list("aaabccde")
    signs = itertools.product([1, -1], repeat=4)
    sums = [abs(3 * a - b + 2 * c + d) for a, b, c, d in signs]
    assert paired_difference(first, second, sources, seed=0).p == sum(s >= 5 for s in sums) / 16


def test_a_source_cut_into_copies_changes_nothing_but_the_counts():
    first, second = outcomes(30, 4, 12, 7)
    once = paired_difference(first, second, alone(53), seed=0)
    sources = np.repeat(alone(53), 3)
    found = paired_difference(np.repeat(first, 3), np.repeat(second, 3), sources, seed=0)
    assert (found.only_first, found.only_second) == (12, 36)
    assert (found.low, found.high, found.p) == pytest.approx((once.low, once.high, once.p))


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, 0.03 x 2 raised to the one before it, 0.7 x 1."""
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.7, 0.02])), [0.06, 0.04, 0.7, 0.06])
    np.testing.assert_allclose(holm(np.array([0.6, 0.8])), [1.0, 1.0])

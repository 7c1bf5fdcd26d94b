"""Checks of maps: on networks and maps whose answers can be counted."""

import numpy as np
import pytest

from analysis import sanity


class BrightnessNetwork:
    """Its probability of class 1 is the share of the clip's light that is left."""

    def __init__(self, clip):
        self.baselines = {part: np.zeros(3, np.float32) for part in clip}
        self._light = sum(x.sum() for x in clip.values())

    def probabilities(self, clip):
        share = sum(x.sum() for x in clip.values()) / self._light
        return np.array([1 - share, share])


def lit_clip():
    """Half of the light in a tenth of the frame's 120 squares, half in the differences."""
    frame = np.zeros((1, 24, 20, 3), np.float32)
    frame[:, :4, :12] = 100  # 12 of the 120 squares of 2x2 pixels
    return {"frame": frame, "differences": np.full((2, 24, 20, 3), frame.sum() / (2 * 24 * 60))}


def test_squares_are_a_twelfth_of_the_short_side():
    numbers = sanity.square_numbers((2, 24, 21))
    expected = np.zeros((2, 24, 21), int)
    for time in range(2):
        for row in range(24):
            for column in range(21):
                expected[time, row, column] = time * 132 + (row // 2) * 11 + column // 2
    np.testing.assert_array_equal(numbers, expected)
    assert sanity.square_numbers((1, 5, 5)).max() == 24  # of one pixel at the least


def curves(clip, *, saliency, part: str = "frame", seed: int = 0):
    network = BrightnessNetwork(clip)
    return sanity.curves(network, clip, label=1, part=part, saliency=saliency, seed=seed)


def test_a_perfect_map_takes_all_away_in_its_first_step():
    clip = lit_clip()
    found = curves(clip, saliency=clip["frame"][..., 0])
    np.testing.assert_allclose(found.fractions, np.linspace(0, 1, 11))
    np.testing.assert_allclose(found.deletion, [1] + [0.5] * 10, atol=1 / 20)
    np.testing.assert_allclose(found.insertion, [0.5] + [1] * 10, atol=1 / 20)
    np.testing.assert_allclose(found.deletion[[0, 2, 10]], [1, 0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(found.insertion[[0, 2, 10]], [0.5, 1, 1], atol=1e-6)


def test_the_worst_map_takes_nothing_away_until_its_last_step():
    clip = lit_clip()
    found = curves(clip, saliency=clip["frame"].max() - clip["frame"][..., 0])
    np.testing.assert_allclose(found.deletion[[0, 8, 10]], [1, 1, 0.5], atol=1e-6)
    np.testing.assert_allclose(found.insertion[[0, 8, 10]], [0.5, 0.5, 1], atol=1e-6)


def test_random_orders_depend_on_their_seed_alone():
    clip = lit_clip()
    found = [curves(clip, saliency=clip["frame"][..., 0], seed=seed) for seed in (0, 0, 1)]
    one, same, other = (curve.random_deletion for curve in found)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len(np.unique(one, axis=0)) == sanity.RANDOM_ORDERS


def test_random_orders_take_even_light_away_evenly():
    clip = lit_clip()
    found = curves(clip, saliency=clip["differences"][..., 0], part="differences")
    straight = np.tile(np.linspace(1, 0.5, 11), (sanity.RANDOM_ORDERS, 1))
    np.testing.assert_allclose(found.random_deletion, straight, atol=1e-6)
    np.testing.assert_allclose(found.random_insertion, straight[:, ::-1], atol=1e-6)


def test_rank_correlation():
    generator = np.random.default_rng(0)
    one, other = generator.random((2, 3, 4, 5))
    ranks = [np.argsort(np.argsort(x.ravel())) for x in (one, other)]
    assert sanity.rank_correlation(one, other) == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert sanity.rank_correlation(one, one**3) == pytest.approx(1)
    assert sanity.rank_correlation(one, -one) == pytest.approx(-1)
    assert sanity.rank_correlation(one, np.zeros_like(one)) is None


def test_concentration_is_relative_to_a_uniform_map():
    inside = np.zeros((2, 10, 10), bool)
    inside[0, :5, :4] = True  # a tenth
    assert sanity.concentration(np.full(inside.shape, 0.3), inside) == pytest.approx(1)
    assert sanity.concentration(inside * 2.0, inside) == pytest.approx(10)
    twice = np.where(inside, 2.0, 1.0)  # energy 4 in a tenth, 1 in nine tenths
    assert sanity.concentration(twice, inside) == pytest.approx(4 / (0.4 + 0.9))
    assert sanity.concentration(twice, np.zeros_like(inside)) is None
    assert sanity.concentration(np.zeros(inside.shape), inside) is None

"""Mixtures of samples against a plain loop, and their shares against closed forms."""

import math

import numpy as np
import pytest
import tensorflow as tf

from training.mixup import mix_samples

RANDOM = np.random.default_rng(0)


def shares_of(count: int, *, alpha: float, seed: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The share of each sample in its mixture: the batch's weights are 1, but for every second."""
    weights = np.arange(count) % 2
    _, _, mixed = mix_samples(
        {},
        tf.zeros((count, 1)),
        tf.constant(weights, "float32"),
        alpha=alpha,
        seed=tf.constant(seed),
    )
    return np.where(weights, mixed, 1 - mixed.numpy())


def test_inputs_targets_and_weights_are_mixed_alike():
    pixels = RANDOM.integers(0, 256, (5, 2, 3, 3), dtype=np.uint8)
    maps = RANDOM.normal(size=(5, 4)).astype("float32")
    weights = RANDOM.uniform(1, 2, 5).astype("float32")
    inputs, targets, mixed_weights = mix_samples(
        {"clip": tf.constant(pixels), "maps": tf.constant(maps)},
        tf.eye(5),
        tf.constant(weights),
        alpha=1.0,
        seed=tf.constant([3, 4]),
    )
    assert inputs["clip"].dtype == tf.uint8
    for i in range(5):
        share = float(targets[i, i])
        assert 0.5 <= share < 1
        np.testing.assert_allclose(
            targets[i], share * np.eye(5)[i] + (1 - share) * np.eye(5)[i - 1]
        )
        clip = share * pixels[i].astype(float) + (1 - share) * pixels[i - 1]
        np.testing.assert_allclose(inputs["clip"][i], clip, atol=0.5 + 1e-4)
        np.testing.assert_allclose(
            inputs["maps"][i], share * maps[i] + (1 - share) * maps[i - 1], rtol=1e-5, atol=1e-6
        )
        expected = share * weights[i] + (1 - share) * weights[i - 1]
        np.testing.assert_allclose(mixed_weights[i], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("alpha", "mean"),
    [(1.0, 3 / 4), (0.5, 1 / 2 + 1 / math.pi), (2.0, 11 / 16)],  # of max(b, 1 - b)
)
def test_shares_are_of_the_beta_distribution(alpha, mean):
    shares = shares_of(40_000, alpha=alpha)
    assert shares.min() >= 0.5
    assert shares.mean() == pytest.approx(mean, abs=5 * 0.2 / math.sqrt(len(shares)))


def test_shares_depend_on_the_seed_alone():
    one, again, other = (shares_of(8, alpha=1.0, seed=(5, n)) for n in (6, 6, 7))
    np.testing.assert_array_equal(one, again)
    assert np.all(one != other)
    assert np.all(one != shares_of(8, alpha=1.0, seed=(6, 6)))

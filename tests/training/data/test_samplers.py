"""Crops are drawn uniformly."""

import numpy as np

from training.data.samplers import random_crop


def test_random_crop_is_uniform_over_the_places_where_it_fits():
    generator = np.random.default_rng(0)
    counts = np.zeros((2, 4, 2), int)  # 6x8 pixels leave a crop of 5 two rows and four columns
    for _ in range(3200):
        top, left, mirrored = random_crop(generator, 6, 8, 5)
        counts[top, left, int(mirrored)] += 1
    assert np.sum((counts - 200) ** 2 / 200) < 37.7  # chi-square, 15 degrees of freedom: p = 0.001


def test_random_crop_of_the_whole_frame():
    generator = np.random.default_rng(0)
    drawn = {random_crop(generator, 5, 5, 5) for _ in range(30)}
    assert drawn == {(0, 0, False), (0, 0, True)}

"""Resizing against integrals, whole-number arithmetic and block means."""

from fractions import Fraction

import numpy as np
import pytest
from keras import ops

from fstcn_keras import clips
from fstcn_keras.views.resizing import area_weights, resize, short_side_weights
from fstcn_keras.views.sparse_resizing import SparseResizer

NEW_LENGTHS = {320: 160, 240: 120, 359: 120, 641: 214, 7: 3, 48: 120, 3: 7, 1: 5, 5: 5}


def overlap_weights(length: int, new_length: int) -> list[list[Fraction]]:
    """Overlap of each new pixel's window with each old pixel; beyond the edges the outer ones."""
    step = Fraction(length, new_length)
    window = max(step, Fraction(1))
    rows = []
    for i in range(new_length):
        left = (i + Fraction(1, 2)) * step - window / 2
        row = []
        for j in range(length):
            low = Fraction(j) if j else min(left, Fraction(0))
            high = Fraction(j + 1) if j < length - 1 else max(left + window, Fraction(length))
            row.append(max(Fraction(0), min(high, left + window) - max(low, left)) / window)
        rows.append(row)
    return rows


def resized_by_hand(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The same in whole numbers: weights in 1/2048, quarters between the passes, halves up."""
    rows, columns = ((2048 * np.asarray(w)).astype(np.int64) for w in (rows, columns))
    quarters = (4 * np.einsum("ih,hwc->iwc", rows, image.astype(np.int64)) + 1024) // 2048
    return (np.einsum("jw,iwc->ijc", columns, quarters) + 4096) // 8192


@pytest.mark.parametrize(("length", "new_length"), NEW_LENGTHS.items())
def test_weights_are_overlaps_of_windows_and_pixels(length, new_length):
    found = ops.convert_to_numpy(area_weights(length, new_length))
    expected = np.array(overlap_weights(length, new_length), np.float64)
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    np.testing.assert_allclose(found, expected, atol=1 / 2048)
    np.testing.assert_array_equal(found.sum(axis=1), 1)
    assert found.min() >= 0
    np.testing.assert_array_equal(found * 2048 % 1, 0)


def test_weights_of_a_doubled_line_are_those_of_linear_interpolation():
    found = ops.convert_to_numpy(area_weights(3, 6))
    quarters = [[4, 0, 0], [3, 1, 0], [1, 3, 0], [0, 3, 1], [0, 1, 3], [0, 0, 4]]
    np.testing.assert_array_equal(found, np.array(quarters) / 4)


@pytest.mark.parametrize(
    ("height", "width"), [(48, 64), (24, 31), (240, 320), (359, 641), (30, 7), (1, 1)]
)
def test_resize_equals_whole_number_arithmetic(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows, columns = short_side_weights(height, width, 24)
    found = ops.convert_to_numpy(resize(image, rows, columns))
    assert found.dtype == np.uint8
    assert min(found.shape[:2]) == 24
    np.testing.assert_array_equal(SparseResizer(height, width, 24)(image), found)
    rows, columns = ops.convert_to_numpy(rows), ops.convert_to_numpy(columns)
    np.testing.assert_array_equal(found, resized_by_hand(image, rows, columns))


def test_a_third_is_the_mean_of_blocks():
    image = np.random.default_rng(0).integers(0, 256, (72, 96, 3), dtype=np.uint8)
    found = ops.convert_to_numpy(resize(image, *short_side_weights(72, 96, 24)))
    means = image.reshape(24, 3, 32, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found, means, atol=0.5 + 0.125 + 0.25)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (240, 320, (120, 160)),
        (641, 359, (214, 120)),
        (4, 5, (120, 150)),
        (240, 425, (120, 213)),  # halves of a pixel are rounded up
        (240, 427, (120, 214)),
    ],
)
def test_size_of_resized_frames(height, width, size):
    shorter = min(height, width)
    assert tuple(clips.resized_length(side, shorter, 120) for side in (height, width)) == size
    rows, columns = short_side_weights(height, width, 120)
    assert (rows.shape[0], columns.shape[0]) == size

"""Pooling made of what XLA fuses, tried under every backend."""

import numpy as np
import pytest

from fstcn_keras.acceleration import accelerate, dispatch
from fstcn_keras.layers import CeilMaxPooling2D
from tests.contracts import gradients, normal, outputs
from tests.fstcn_keras.layers.test_ceil_max_pooling import pool_by_loop


@pytest.fixture(autouse=True)
def _used(monkeypatch):
    monkeypatch.setattr(dispatch, "under_jax", lambda: True)


def pooling(size: int, stride: int) -> CeilMaxPooling2D:
    return accelerate(CeilMaxPooling2D(size, stride))


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 3), (2, 1), (4, 3)])
@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 5), (8, 9)])
def test_equals_a_loop(height, width, size, stride):
    x = normal((2, height, width, 3))
    np.testing.assert_array_equal(outputs(pooling(size, stride), x), pool_by_loop(x, size, stride))


def gradient_by_loop(x: np.ndarray, size: int, stride: int, g: np.ndarray) -> np.ndarray:
    """Hands each output's gradient to the first of its window's largest inputs, row by row."""
    found = np.zeros_like(x)
    for b, i, j, f in np.ndindex(g.shape):
        window = x[b, i * stride :, j * stride :, f][:size, :size]
        row, column = np.unravel_index(np.argmax(window), window.shape)
        found[b, i * stride + row, j * stride + column, f] += g[b, i, j, f]
    return found


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 3), (2, 1), (3, 1), (4, 3), (5, 2)])
@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 5), (8, 9)])
def test_gradient_of_pooling_equals_a_loop_with_ties(height, width, size, stride):
    x = np.random.default_rng(0).integers(0, 3, (2, height, width, 3)).astype("float32")
    layer = pooling(size, stride)
    g = normal(layer.compute_output_shape(x.shape))
    (found,) = gradients(layer, x, g)
    np.testing.assert_allclose(found, gradient_by_loop(x, size, stride, g), atol=1e-6)


def test_windows_of_more_positions_than_a_byte_counts():
    x = np.arange(2 * 18 * 18, dtype="float32").reshape(2, 18, 18, 1)  # the last place wins
    g = normal((2, 2, 2, 1))
    (found,) = gradients(pooling(17, 1), x, g)
    np.testing.assert_allclose(found, gradient_by_loop(x, 17, 1, g))


def test_pooling_hands_nan_on():
    x = normal((1, 5, 5, 1))
    x[0, 2, 2] = np.nan  # of all four windows
    assert np.isnan(outputs(pooling(3, 2), x)).all()

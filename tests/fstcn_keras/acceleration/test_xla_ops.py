"""The operations that layers use under JAX, tried under every backend."""

import keras
import ml_dtypes
import numpy as np
import pytest
from keras import ops

from fstcn_keras.acceleration import dispatch, xla_ops
from fstcn_keras.layers import CeilMaxPooling2D
from tests.contracts import gradients, normal, outputs
from tests.fstcn_keras.layers import test_ceil_max_pooling as pooling
from tests.fstcn_keras.layers.loops import convolution_by_loop


@pytest.fixture(autouse=True)
def _used(monkeypatch):
    monkeypatch.setattr(dispatch, "under_jax", lambda: True)


class TestPooling(pooling.TestContract):
    """The layer's own tests."""


test_pooling_equals_a_loop = pooling.test_equals_a_loop


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
    layer = CeilMaxPooling2D(size, stride)
    g = normal(layer.compute_output_shape(x.shape))
    (found,) = gradients(layer, x, g)
    np.testing.assert_allclose(found, gradient_by_loop(x, size, stride, g), atol=1e-6)


def test_windows_of_more_places_than_a_byte_counts():
    x = np.arange(2 * 18 * 18, dtype="float32").reshape(2, 18, 18, 1)  # the last place wins
    g = normal((2, 2, 2, 1))
    (found,) = gradients(CeilMaxPooling2D(17, 1), x, g)
    np.testing.assert_allclose(found, gradient_by_loop(x, 17, 1, g))


def test_pooling_hands_nan_on():
    x = normal((1, 5, 5, 1))
    x[0, 2, 2] = np.nan  # of all four windows
    assert np.isnan(outputs(CeilMaxPooling2D(3, 2), x)).all()


@pytest.mark.parametrize(("size", "stride"), [(7, 2), (3, 2), (4, 2), (2, 2), (5, 3), (1, 1)])
@pytest.mark.parametrize(("height", "width"), [(12, 12), (11, 12), (13, 9), (7, 10)])
@pytest.mark.parametrize("channels", [1, 3])
def test_convolution_equals_a_loop(height, width, channels, size, stride):
    x, kernel = normal((2, height, width, channels)), normal((size, size, channels, 5))
    y = xla_ops.strided_convolution(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel), stride)
    expected = convolution_by_loop(x, kernel, stride)
    np.testing.assert_allclose(ops.convert_to_numpy(y), expected, rtol=1e-4, atol=1e-4)


class Rounded(keras.layers.Layer):
    def call(self, x):
        return ops.cast(xla_ops.cast(x, "bfloat16"), "float32")


def test_numbers_are_rounded_to_the_nearest_and_of_two_to_the_even_one():
    halfway = [1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8]
    x = np.float32([0, -0.0, *halfway, np.inf, -np.inf, np.nan, 3.4e38, 1e-40])
    x = np.concatenate([x, normal((1000,))])
    expected = x.astype(ml_dtypes.bfloat16).astype("float32")
    found = xla_ops.cast(ops.convert_to_tensor(x), "bfloat16")
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(found, "float32")), expected)


def test_the_gradient_of_rounding_is_that_of_a_cast():
    g = normal((6,), seed=1)
    (found,) = gradients(Rounded(), normal((6,)), g)
    np.testing.assert_allclose(found, g, rtol=2**-8)

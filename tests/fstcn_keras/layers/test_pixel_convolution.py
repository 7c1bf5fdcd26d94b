"""The convolution of pixels against a loop over windows."""

import numpy as np

from fstcn_keras.layers import PixelConvolution2D
from tests.contracts import LayerContract, outputs
from tests.fstcn_keras.layers.test_fusible import convolution_by_loop


def normal(shape) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


class TestContract(LayerContract):
    inputs = normal((2, 8, 9, 3))
    output_shape = (2, 3, 4, 4)

    def make(self, **kwargs):
        return PixelConvolution2D(4, 3, strides=2, **kwargs)


def test_equals_a_loop():
    layer = PixelConvolution2D(4, 7, strides=2, activation="relu", bias_initializer="ones")
    x = normal((2, 20, 21, 3))
    y = outputs(layer, x)
    expected = np.maximum(0, convolution_by_loop(x, layer.get_weights()[0], 2) + 1)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_padding_is_as_in_conv2d():
    y = outputs(PixelConvolution2D(4, 3, strides=2, padding="same"), normal((1, 8, 9, 3)))
    assert y.shape == (1, 4, 5, 4)

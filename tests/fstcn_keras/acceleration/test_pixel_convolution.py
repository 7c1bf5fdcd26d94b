"""The convolution of pixels against a loop over windows."""

import keras
import numpy as np
import pytest

from fstcn_keras.acceleration import dispatch
from fstcn_keras.layers import PixelConvolution2D
from tests.contracts import LayerContract, normal, outputs
from tests.fstcn_keras.layers.loops import convolution_by_loop


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


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": 3, "dilation_rate": 2},
        {"kernel_size": 3, "strides": 2, "groups": 2},
        {"kernel_size": (3, 5), "strides": 2},
        {"kernel_size": 3, "strides": (1, 2)},
    ],
)
def test_what_is_not_plain_is_as_in_conv2d(monkeypatch, arguments):
    monkeypatch.setattr(dispatch, "under_jax", lambda: True)
    x = normal((1, 9, 10, 4))
    layer, kerass = PixelConvolution2D(4, **arguments), keras.layers.Conv2D(4, **arguments)
    expected = outputs(kerass, x)
    layer.build(x.shape)
    layer.set_weights(kerass.get_weights())
    np.testing.assert_allclose(outputs(layer, x), expected, rtol=1e-5, atol=1e-5)

"""The convolution of pixels against a loop over windows."""

import keras
import numpy as np
import pytest
from keras import ops

from fstcn_keras.acceleration import accelerate, dispatch
from fstcn_keras.acceleration.pixel_convolution import strided_convolution
from tests.contracts import normal, outputs
from tests.fstcn_keras.layers.loops import convolution_by_loop


@pytest.fixture(autouse=True)
def _under_jax(monkeypatch):
    monkeypatch.setattr(dispatch, "under_jax", lambda: True)
    monkeypatch.setattr(dispatch, "on_processor", lambda: False)


def test_equals_a_loop():
    layer = keras.layers.Conv2D(4, 7, strides=2, activation="relu", bias_initializer="ones")
    x = normal((2, 20, 21, 3))
    y = outputs(accelerate(layer), x)
    assert "convolution_op" in vars(layer)
    expected = np.maximum(0, convolution_by_loop(x, layer.get_weights()[0], 2) + 1)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "stride"), [(7, 2), (3, 2), (4, 2), (2, 2), (5, 3), (1, 1)])
@pytest.mark.parametrize(("height", "width"), [(12, 12), (11, 12), (13, 9), (7, 10)])
@pytest.mark.parametrize("channels", [1, 3])
def test_folded_strides_equal_a_loop(height, width, channels, size, stride):
    x, kernel = normal((2, height, width, channels)), normal((size, size, channels, 5))
    y = strided_convolution(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel), stride)
    expected = convolution_by_loop(x, kernel, stride)
    np.testing.assert_allclose(ops.convert_to_numpy(y), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": 3, "dilation_rate": 2},
        {"kernel_size": 3, "strides": 2, "groups": 3, "filters": 6},
        {"kernel_size": (3, 5), "strides": 2},
        {"kernel_size": 3, "strides": (1, 2)},
        {"kernel_size": 3},
    ],
)
def test_what_is_not_plain_is_as_in_conv2d(arguments):
    layer = accelerate(keras.layers.Conv2D(**{"filters": 4, **arguments}))
    assert "convolution_op" not in vars(layer)


def test_maps_of_more_channels_are_as_in_conv2d():
    layer, x = keras.layers.Conv2D(4, 3, strides=2), normal((1, 9, 10, 4))
    expected = outputs(layer, x)
    np.testing.assert_array_equal(outputs(accelerate(layer), x), expected)

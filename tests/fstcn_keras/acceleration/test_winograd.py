"""Winograd's convolution against loops over windows and Keras' own."""

import keras
import numpy as np
import pytest
from keras import ops

from fstcn_keras.acceleration import accelerate, dispatch, winograd, winograd_convolution
from tests.contracts import LayerContract, gradients, normal, outputs
from tests.fstcn_keras.layers.loops import convolution_by_loop

SHAPES = [(12, 12), (8, 8), (13, 9), (24, 25), (7, 10)]  # tiles of 4, of 3, and edges of both
KERNELS = [(3, 1), (5, 2), (6, 2), (7, 3)]  # size, strides


@pytest.fixture
def on_processor(monkeypatch):
    """The layer takes its own way, whatever runs the tests."""
    monkeypatch.setattr(dispatch, "on_processor", lambda: True)
    monkeypatch.setattr(dispatch, "multiplies_matrices", lambda dtype: False)
    monkeypatch.setattr(winograd, "MIN_STRIDED_FILTERS", 4)
    monkeypatch.setattr(winograd_convolution, "MIN_CHANNELS", 1)


def accelerated(filters: int, size: int, **kwargs) -> keras.layers.Conv2D:
    return accelerate(keras.layers.Conv2D(filters, size, **kwargs))


@pytest.mark.usefixtures("on_processor")
class TestContract(LayerContract):
    inputs = normal((2, 8, 9, 3))
    output_shape = (2, 2, 3, 4)
    saved_rtol = 1e-5

    def make(self, **kwargs):
        return accelerated(4, 5, strides=2, **kwargs)


@pytest.mark.parametrize(("size", "strides"), KERNELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_a_loop(shape, size, strides):
    x, kernel = normal((2, *shape, 4)), normal((size, size, 4, 5), seed=1)
    given = map(ops.convert_to_tensor, (x, kernel))
    y = winograd.convolution(*given, strides=strides, padding="valid")
    expected = convolution_by_loop(x, kernel, strides)
    np.testing.assert_allclose(ops.convert_to_numpy(y), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_same_padding_equals_a_loop(shape):
    x, kernel = normal((2, *shape, 4)), normal((3, 3, 4, 5), seed=1)
    y = winograd.convolution(*map(ops.convert_to_tensor, (x, kernel)), strides=1, padding="same")
    expected = convolution_by_loop(np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), kernel, 1)
    np.testing.assert_allclose(ops.convert_to_numpy(y), expected, rtol=1e-4, atol=1e-4)


def pair(shape, **arguments) -> list[keras.layers.Conv2D]:
    """The layer and Keras' own with the same weights."""
    size = arguments.pop("kernel_size")
    layers = [one(5, size, **arguments) for one in (accelerated, keras.layers.Conv2D)]
    for layer in layers:
        layer.build(shape)
    layers[0].set_weights(layers[1].get_weights())
    return layers


@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "padding": "same", "activation": "relu", "bias_initializer": "ones"},
        {"kernel_size": 3, "use_bias": False},
        {"kernel_size": 5, "strides": 2},
    ],
)
def test_gradients_are_those_of_conv2d(monkeypatch, arguments):
    x = normal((2, 12, 13, 4))
    ours, kerass = pair(x.shape, **arguments)
    g = normal(ours.compute_output_shape(x.shape), seed=1)
    called = []
    convolution = winograd.convolution
    monkeypatch.setattr(
        winograd, "convolution", lambda *x, **y: called.append(1) or convolution(*x, **y)
    )
    found = gradients(ours, x, g)
    assert called
    for one, other in zip(found, gradients(kerass, x, g), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "strides": 2},
        {"kernel_size": 1},
        {"kernel_size": 5, "strides": 2, "padding": "same"},
        {"kernel_size": 3, "dilation_rate": 2},
        {"kernel_size": 3, "groups": 5},
        {"kernel_size": (3, 5)},
        {"kernel_size": 5, "strides": (1, 2)},
        {"kernel_size": 3, "dtype": "float64"},
    ],
)
def test_what_does_not_suit_is_as_in_conv2d(monkeypatch, arguments):
    monkeypatch.setattr(winograd, "convolution", None)
    x = normal((1, 9, 10, 5))
    ours, kerass = pair(x.shape, **arguments)
    np.testing.assert_array_equal(outputs(ours, x), outputs(kerass, x))


@pytest.mark.parametrize(
    ("channels", "strides", "expected"),
    [(127, 1, False), (128, 1, True), (31, 2, False), (32, 2, True)],
)
def test_many_channels_are_faster_and_phases_of_strides_count(channels, strides, expected):
    layer = keras.layers.Conv2D(256, 3 if strides == 1 else 5, strides=strides)
    assert winograd_convolution.suits(layer, (None, 25, 25, channels)) == expected
    few = keras.layers.Conv2D(winograd.MIN_STRIDED_FILTERS - 1, layer.kernel_size, strides=strides)
    expected = expected and strides == 1
    assert winograd_convolution.suits(few, (None, 25, 25, channels)) == expected


@pytest.mark.usefixtures("on_processor")
def test_maps_too_long_for_it_are_convolved_as_in_conv2d(monkeypatch):
    monkeypatch.setattr(winograd, "convolution", None)
    x = normal((1, 4, winograd.MAX_LENGTH + 1, 5))
    ours, kerass = pair(x.shape, kernel_size=3)
    np.testing.assert_array_equal(outputs(ours, x), outputs(kerass, x))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_bfloat16_is_left_to_a_processor_with_units_for_it(monkeypatch, policy):
    monkeypatch.setattr(dispatch, "on_processor", lambda: True)
    monkeypatch.setattr(winograd_convolution, "MIN_CHANNELS", 1)
    monkeypatch.setattr(dispatch, "instructions", lambda: {"amx_bf16"})
    shapes = []
    monkeypatch.setattr(
        winograd, "convolution", lambda x, *_, **__: shapes.append(x.shape) or x[:, 2:, 2:]
    )
    accelerated(4, 3, dtype=policy)(normal((1, 6, 6, 4)))
    assert len(shapes) == (policy == "float32")


def rounded(x) -> np.ndarray:
    """What bfloat16 holds of it, as float32."""
    return ops.convert_to_numpy(ops.cast(ops.cast(x, "bfloat16"), "float32"))


@pytest.mark.usefixtures("on_processor")
def test_bfloat16_is_computed_in_float32():
    x = normal((2, 12, 12, 32))
    layer = accelerated(5, 3, dtype="mixed_bfloat16")
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    exact = convolution_by_loop(*map(rounded, (x, layer.get_weights()[0])), 1)
    np.testing.assert_allclose(rounded(y), exact, rtol=2**-7, atol=1e-4)  # the output's rounding


@pytest.mark.usefixtures("on_processor")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's graphs")
def test_maps_of_any_size_are_convolved_as_in_conv2d(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(winograd, "convolution", None)
    ours, kerass = pair((None, None, None, 3), kernel_size=3, padding="same")
    x = normal((1, 6, 8, 3))
    shape = tf.TensorSpec((None, None, None, 3))
    y = [tf.function(layer, input_signature=[shape])(x).numpy() for layer in (ours, kerass)]
    np.testing.assert_array_equal(*y)

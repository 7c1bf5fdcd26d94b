"""Time folded into the batch against the stock wrapper's loop."""

import keras
import numpy as np

from fstcn_keras.acceleration import accelerate
from fstcn_keras.layers import CeilMaxPooling2D, LocalResponseNormalization
from tests.contracts import LayerContract, gradients, normal, outputs


def folded_time(layer: keras.Layer, **kwargs) -> keras.layers.TimeDistributed:
    return accelerate(keras.layers.TimeDistributed(layer, **kwargs))


class TestContract(LayerContract):
    inputs = normal((2, 3, 5, 6, 3))
    output_shape = (2, 3, 3, 4, 4)
    saved_rtol = 1e-5

    def make(self, **kwargs):
        return folded_time(keras.layers.Conv2D(4, 3, **kwargs), **kwargs)


def test_equals_the_stock_wrapper_in_outputs_and_gradients():
    convolution = keras.layers.Conv2D(6, 3, activation="relu")
    lrn, pooling = LocalResponseNormalization(alpha=0.5), CeilMaxPooling2D(3, 2)
    layer = keras.Sequential([convolution, lrn, pooling])
    x, cotangent = normal((2, 4, 8, 7, 3)), normal((2, 4, 3, 2, 6), seed=1)
    folded, stock = folded_time(layer), keras.layers.TimeDistributed(layer)
    np.testing.assert_allclose(outputs(folded, x), outputs(stock, x), rtol=1e-5, atol=1e-6)
    found, expected = gradients(folded, x, cotangent), gradients(stock, x, cotangent)
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_wrapped_layer_knows_whether_it_is_training():
    layer = folded_time(keras.layers.Dropout(0.5, seed=0))
    x = np.ones((4, 5, 40), "float32")
    np.testing.assert_array_equal(outputs(layer, x, training=False), x)
    dropped = outputs(layer, x, training=True)
    assert 0.4 < np.mean(dropped == 0) < 0.6
    assert set(np.unique(dropped)) == {0, 2}


def test_masks_are_left_to_the_stock_wrapper():
    x, mask = normal((2, 3, 4)), np.array([[True, True, False], [True, False, False]])
    stock = keras.layers.TimeDistributed(keras.layers.Dense(2))
    expected = outputs(stock, x, mask=mask)
    np.testing.assert_array_equal(outputs(accelerate(stock), x, mask=mask), expected)

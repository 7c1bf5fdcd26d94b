"""Rounding to bfloat16 in a compiled pass; the pass itself is tested with its layer."""

import keras
import ml_dtypes
import numpy as np
from keras import ops

from fstcn_keras.acceleration import response_normalization
from tests.contracts import gradients, normal


class Rounded(keras.layers.Layer):
    def call(self, x):
        return ops.cast(response_normalization.cast(x, "bfloat16"), "float32")


def test_numbers_are_rounded_to_the_nearest_and_of_two_to_the_even_one():
    halfway = [1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8]
    x = np.float32([0, -0.0, *halfway, np.inf, -np.inf, np.nan, 3.4e38, 1e-40])
    x = np.concatenate([x, normal((1000,))])
    expected = x.astype(ml_dtypes.bfloat16).astype("float32")
    found = response_normalization.cast(ops.convert_to_tensor(x), "bfloat16")
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(found, "float32")), expected)


def test_the_gradient_of_rounding_is_that_of_a_cast():
    g = normal((6,), seed=1)
    (found,) = gradients(Rounded(), normal((6,)), g)
    np.testing.assert_allclose(found, g, rtol=2**-8)

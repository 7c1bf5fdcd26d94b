"""One number times the features."""

import numpy as np

from fstcn_keras.layers import FeatureScale
from tests.contracts import LayerContract, outputs


class TestContract(LayerContract):
    inputs = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype("float32")
    output_shape = (2, 3, 3, 4)

    def make(self, **kwargs):
        return FeatureScale(**kwargs)


def test_starts_as_the_identity_and_is_not_trained():
    layer, x = FeatureScale(), np.arange(6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(outputs(layer, x), x)
    assert (len(layer.weights), layer.trainable_variables) == (1, [])
    layer.scale.assign(3)
    np.testing.assert_array_equal(outputs(layer, x), 3 * x)

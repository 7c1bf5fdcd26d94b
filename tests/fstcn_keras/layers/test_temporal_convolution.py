"""The TCL against a loop over time and channels."""

import keras
import numpy as np
import pytest

from fstcn_keras.layers import TemporalConvolution
from tests.contracts import LayerContract, normal, outputs


def convolve_by_loop(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """ReLU of a 2-D convolution, the borders seen as zero."""
    y = np.zeros((*x.shape[:-1], kernel.shape[-1])) + bias
    half = kernel.shape[0] // 2
    for t, j in np.ndindex(x.shape[1:3]):
        for dt, dj in np.ndindex(kernel.shape[:2]):
            row, column = t + dt - half, j + dj - half
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                y[:, t, j] += x[:, row, column] @ kernel[dt, dj].astype("float64")
    return np.maximum(y, 0)


class TestContract(LayerContract):
    inputs = normal((2, 3, 6, 4))
    output_shape = (2, 3, 6, 4)

    def make(self, **kwargs):
        settings = {"kernel_sizes": (1, 3), "dropout": 0.25, "seed": 7}
        regularizer = keras.regularizers.L2(0.125)
        return TemporalConvolution(2, kernel_regularizer=regularizer, **settings, **kwargs)


@pytest.mark.parametrize("kernel_sizes", [(3,), (5,), (3, 5), (5, 1, 3), (3, 3)])
def test_equals_loops_side_by_side(kernel_sizes):
    layer = TemporalConvolution(2, kernel_sizes=kernel_sizes)
    x = normal((2, 4, 6, 3))
    layer.build(x.shape)
    weights = [normal(w.shape, seed=s) for s, w in enumerate(layer.get_weights())]
    assert [w.shape for w in weights[::2]] == [(k, k, 3, 2) for k in kernel_sizes]
    layer.set_weights(weights)
    branches = [convolve_by_loop(x, *weights[i : i + 2]) for i in range(0, len(weights), 2)]
    expected = np.concatenate(branches, axis=-1)
    np.testing.assert_allclose(outputs(layer, x, training=False), expected, rtol=1e-4, atol=1e-5)


def test_dropout_follows_each_relu_in_training():
    layer = TemporalConvolution(3, kernel_sizes=(1, 3), dropout=0.75, seed=0)
    x = normal((8, 5, 16, 4))
    inference, training = (outputs(layer, x, training=flag) for flag in (False, True))
    for branch in (np.s_[..., :3], np.s_[..., 3:]):
        active = inference[branch] > 0
        before, after = inference[branch][active], training[branch][active]
        kept = after != 0
        assert 0.2 < kept.mean() < 0.3
        np.testing.assert_allclose(after[kept], 4 * before[kept], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", [None, 0])
def test_the_branches_drop_different_units(seed):
    layer = TemporalConvolution(1, kernel_sizes=(1, 1), dropout=0.5, seed=seed)
    layer.build((None, 5, 16, 1))
    layer.set_weights([np.ones((1, 1, 1, 1)), np.ones(1)] * 2)
    y = outputs(layer, np.ones((8, 5, 16, 1), "float32"), training=True)
    assert 0.4 < np.mean(y[..., 0] == y[..., 1]) < 0.6


@pytest.mark.parametrize(
    ("policy", "dtype"), [("mixed_bfloat16", "bfloat16"), ("mixed_float16", "float16")]
)
def test_the_convolutions_compute_in_the_precision_of_the_layer(policy, dtype):
    layer = TemporalConvolution(2, dtype=policy)
    assert [convolution.compute_dtype for convolution in layer.convolutions] == [dtype] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"filters": 0}, "Received: filters=0"), ({"filters": 2, "kernel_sizes": ()}, "Received")],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        TemporalConvolution(**arguments)

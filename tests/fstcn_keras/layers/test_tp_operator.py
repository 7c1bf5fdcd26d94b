"""The T-P operator and its gradients against loops."""

import keras
import numpy as np
import pytest

from fstcn_keras.layers import TPOperator
from tests.contracts import LayerContract, gradients, normal, outputs


def tp_by_loop(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Section 2.1, one entry after another."""
    batch, l_t, height, width, _ = x.shape
    y = np.zeros((batch, l_t, p.shape[1], height * width))
    for b, t, row, column, i in np.ndindex(x.shape):
        for j in range(p.shape[1]):
            y[b, t, j, row * width + column] += float(x[b, t, row, column, i]) * float(p[i, j])
    return y


def slopes(function, at: np.ndarray) -> np.ndarray:
    """Central differences of a scalar function of an array."""
    found = np.empty(at.shape)
    for place in np.ndindex(at.shape):
        up, down = at.astype("float64"), at.astype("float64")
        up[place] += 0.5
        down[place] -= 0.5
        found[place] = function(up) - function(down)
    return found


class TestContract(LayerContract):
    inputs = normal((2, 3, 2, 4, 5))
    output_shape = (2, 3, 6, 8)

    def make(self, **kwargs):
        return TPOperator(6, kernel_regularizer=keras.regularizers.L2(0.25), **kwargs)


@pytest.mark.parametrize(
    ("shape", "filters"), [((2, 3, 2, 3, 4), 4), ((1, 1, 1, 1, 3), 5), ((2, 5, 3, 1, 6), 2)]
)
def test_equals_a_loop(shape, filters):
    x, p = normal(shape), normal((shape[-1], filters), seed=1)
    layer = TPOperator(filters)
    layer.build(shape)
    layer.set_weights([p])
    np.testing.assert_allclose(outputs(layer, x), tp_by_loop(x, p), rtol=1e-5, atol=1e-6)


def test_gradients_are_the_central_differences_of_the_loop():
    x, p = normal((2, 2, 1, 3, 3)), normal((3, 2), seed=1)
    cotangent = normal((2, 2, 2, 3), seed=2)
    layer = TPOperator(2)
    layer.build(x.shape)
    layer.set_weights([p])
    x_gradient, p_gradient = gradients(layer, x, cotangent)
    expected_x_gradient = slopes(lambda at: np.sum(tp_by_loop(at, p) * cotangent), x)
    expected_p_gradient = slopes(lambda at: np.sum(tp_by_loop(x, at) * cotangent), p)
    np.testing.assert_allclose(x_gradient, expected_x_gradient, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(p_gradient, expected_p_gradient, rtol=1e-4, atol=1e-5)


def test_p_is_called_so_and_starts_gaussian_with_variance_one_over_f():
    layer = TPOperator(200)
    layer.build((None, 5, 4, 4, 100))
    (p,) = layer.get_weights()
    assert [variable.name for variable in layer.weights] == ["P"]
    assert p.shape == (100, 200)
    assert abs(p.mean()) < 3e-3  # four deviations of the mean of 20,000 values are 2.8e-3
    assert p.std() == pytest.approx(0.1, rel=0.03)
    assert np.abs(p).max() > 0.3  # not truncated


def test_rejects():
    with pytest.raises(ValueError, match="Received: filters=0"):
        TPOperator(0)
    with pytest.raises(ValueError, match="expected ndim=5"):
        TPOperator(2)(normal((2, 3, 4, 5)))

"""The normalisation, plain and accelerated, against a loop over channels."""

import sys

import keras
import numpy as np
import pytest
from keras import ops

from fstcn_keras.acceleration import accelerate, dispatch
from fstcn_keras.layers import LocalResponseNormalization
from tests.contracts import LayerContract, gradients, normal, outputs

_form = accelerate


@pytest.fixture(autouse=True, params=["plain", "accelerated", "accelerated as under JAX"])
def _forms(request, monkeypatch):
    """Every way in which the layer computes."""
    if request.param == "accelerated as under JAX":
        monkeypatch.setattr(dispatch, "under_jax", lambda: True)
    if request.param == "plain":
        monkeypatch.setattr(sys.modules[__name__], "_form", lambda layer: layer)


def lrn(**settings) -> LocalResponseNormalization:
    return _form(LocalResponseNormalization(**settings))


def lrn_by_loop(x: np.ndarray, depth: int, bias: float, alpha: float, beta: float) -> np.ndarray:
    x = x.astype("float64")
    y = np.empty_like(x)
    for *place, i in np.ndindex(x.shape):
        neighbours = range(max(0, i - depth // 2), min(x.shape[-1], i + depth // 2 + 1))
        energy = sum(x[(*place, j)] ** 2 for j in neighbours)
        y[(*place, i)] = x[(*place, i)] / (bias + alpha / depth * energy) ** beta
    return y


class TestContract(LayerContract):
    inputs = 30 * normal((2, 3, 4, 6))
    output_shape = (2, 3, 4, 6)

    @property
    def saved_rtol(self) -> float:
        return 1e-6 if _form is accelerate else 0.0

    def make(self, **kwargs):
        return lrn(depth=3, bias=1.5, alpha=2e-3, beta=0.5, **kwargs)


@pytest.mark.parametrize("depth", [1, 5, 7])
@pytest.mark.parametrize("shape", [(2, 3, 4, 9), (2, 8), (1, 2, 2, 2, 6), (3, 2, 3), (5, 1)])
def test_equals_a_loop(shape, depth):
    x = 2 * normal(shape)
    layer = lrn(depth=depth, bias=1.2, alpha=3.0, beta=0.6)
    np.testing.assert_allclose(outputs(layer, x), lrn_by_loop(x, depth, 1.2, 3.0, 0.6), rtol=2e-5)


def test_the_defaults_are_those_of_the_paper():
    y = outputs(lrn(), np.full((1, 6), 100, "float32"))
    seen = np.array([3, 4, 5, 5, 4, 3])  # channels within two of each; alpha / n * 100^2 = 1
    np.testing.assert_allclose(y[0], 100 / (2 + seen) ** 0.75, rtol=1e-5)


@pytest.mark.parametrize(("policy", "rtol"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 1e-2)])
def test_squares_beyond_the_range_of_float16(policy, rtol):
    x = np.full((2, 7), 3000, "float32")
    y = lrn(dtype=policy)(x)
    expected = lrn_by_loop(x, 5, 2.0, 5e-4, 0.75)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(y, "float32")), expected, rtol=rtol)


@pytest.mark.parametrize(("name", "value"), [("depth", 4), ("depth", -1), ("bias", 0.0)])
def test_rejects(name, value):
    with pytest.raises(ValueError, match=f"Received: {name}={value}"):
        lrn(**{name: value})


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("beta", [0.6, 0.75])
def test_gradient_equals_finite_differences(beta, training):
    settings = {"depth": 3, "bias": 1.2, "alpha": 3.0, "beta": beta}
    x, g = 2 * normal((2, 3, 5)), np.random.default_rng(1).normal(size=(2, 3, 5))
    expected, step = np.empty_like(g), 1e-5
    for place in np.ndindex(x.shape):
        two = [x.astype("float64"), x.astype("float64")]
        two[0][place] -= step
        two[1][place] += step
        low, high = (np.sum(g * lrn_by_loop(y, **settings)) for y in two)
        expected[place] = (high - low) / (2 * step)
    layer = lrn(**settings)
    (found,) = gradients(layer, x, g.astype("float32"), training=training)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has float64 only if told so")
def test_float64_stays_with_the_numbers_of_float32():
    x = 2 * normal((2, 3, 9)).astype("float64")
    y = ops.convert_to_numpy(lrn(alpha=3.0, dtype="float64")(x))
    assert y.dtype == "float64"
    np.testing.assert_allclose(y, lrn_by_loop(x, 5, 2.0, 3.0, 0.75), rtol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_rounds_to_bfloat16_as_its_inputs_are(training):
    x, g = 30 * normal((2, 3, 40)), normal((2, 3, 40), seed=1)
    x, g = (ops.convert_to_numpy(ops.cast(ops.cast(y, "bfloat16"), "float32")) for y in (x, g))
    expected = gradients(lrn(), x, g)[0]
    layer = lrn(dtype="mixed_bfloat16")
    y = ops.convert_to_numpy(ops.cast(layer(x, training=training), "float32"))
    np.testing.assert_allclose(y, lrn_by_loop(x, 5, 2.0, 5e-4, 0.75), rtol=2**-7)
    found = gradients(layer, x, g, training=training)[0].astype("float32")
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's graphs")
def test_compiles_no_program_for_every_size_of_maps():
    import tensorflow as tf

    def parts(shape) -> list[str]:
        function = tf.function(lrn(), input_signature=[tf.TensorSpec(shape)])
        return [node.op for node in function.get_concrete_function().graph.as_graph_def().node]

    assert "PartitionedCall" not in " ".join(parts((None, None, None, 6)))
    compiled = _form is accelerate and dispatch.may_compile((None, 5, 5, 6))
    compiled = compiled and not dispatch.under_jax()
    assert ("PartitionedCall" in " ".join(parts((None, 5, 5, 6)))) == compiled

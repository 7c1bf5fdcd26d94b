"""The large fully connected layer against NumPy's product and Keras' own layer."""

import keras
import numpy as np
import pytest
from keras import ops

from fstcn_keras.acceleration import dispatch
from fstcn_keras.layers import LargeDense, large_dense
from tests.contracts import LayerContract, gradients, normal, outputs

ROWS, INPUTS, UNITS = 3, 12, 5


@pytest.fixture
def on_processor(monkeypatch):
    """The layer takes its own way, whatever runs the tests; kernels of slices of 4 are large."""
    monkeypatch.setattr(dispatch, "on_processor", lambda: True)
    monkeypatch.setattr(large_dense, "LARGE", 1)
    monkeypatch.setattr(large_dense, "SLICE", 4)


@pytest.fixture
def sliced(monkeypatch):
    """What `sliced_product` has been called for."""
    called = []
    product = large_dense.sliced_product
    monkeypatch.setattr(
        large_dense,
        "sliced_product",
        lambda x, kernel, **others: called.append(x.shape) or product(x, kernel, **others),
    )
    return called


@pytest.mark.usefixtures("on_processor")
class TestContract(LayerContract):
    inputs = normal((ROWS, INPUTS))
    output_shape = (ROWS, UNITS)

    def make(self, **kwargs):
        return LargeDense(UNITS, **kwargs)


@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize("training", [False, True])
def test_equals_a_product_and_its_gradients(sliced, training):
    layer = LargeDense(UNITS, bias_initializer="ones")
    x, g = normal((ROWS, INPUTS)), normal((ROWS, UNITS), seed=1)
    y = outputs(layer, x, training=training)
    kernel = ops.convert_to_numpy(layer.kernel)
    np.testing.assert_allclose(y, x @ kernel + 1, rtol=1e-5, atol=1e-6)
    expected = g @ kernel.T, x.T @ g, g.sum(0)
    for one, other in zip(gradients(layer, x, g, training=training), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert set(sliced) == {(ROWS, INPUTS)}


@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize(
    ("shape", "large"),
    [
        ((large_dense.SOME + 1, INPUTS), 1),
        ((ROWS, INPUTS + 1), 1),
        ((2, ROWS, INPUTS), 1),
        ((ROWS, INPUTS), INPUTS * UNITS + 1),
    ],
)
def test_what_does_not_suit_is_as_in_dense(monkeypatch, sliced, shape, large):
    monkeypatch.setattr(large_dense, "LARGE", large)
    ours, kerass = LargeDense(UNITS), keras.layers.Dense(UNITS)
    ours.build(shape)
    kerass.build(shape)
    ours.set_weights(kerass.get_weights())
    x = normal(shape)
    np.testing.assert_array_equal(outputs(ours, x), outputs(kerass, x))
    assert not sliced


@pytest.mark.usefixtures("on_processor")
def test_few_rows_are_computed_in_float32():
    layer = LargeDense(UNITS, activation="relu", dtype="mixed_bfloat16")
    x = ops.cast(normal((ROWS, INPUTS)), "bfloat16")
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    exact = ops.convert_to_numpy(ops.cast(x, "float32")) @ layer.get_weights()[0]
    found = ops.convert_to_numpy(ops.cast(y, "float32"))
    np.testing.assert_allclose(found, np.maximum(exact, 0), rtol=2**-8, atol=1e-6)


def test_outside_training_there_is_no_gradient_to_keep(monkeypatch):
    monkeypatch.setattr(large_dense.ops, "custom_gradient", None)
    x, kernel = normal((ROWS, INPUTS)), normal((INPUTS, UNITS))
    monkeypatch.setattr(large_dense, "SLICE", 4)
    y = large_dense.sliced_product(*map(ops.convert_to_tensor, (x, kernel)), training=False)
    np.testing.assert_allclose(ops.convert_to_numpy(y), x @ kernel, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("on_processor")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's graphs")
@pytest.mark.parametrize(("policy", "times"), [("float32", 1), ("mixed_bfloat16", 0)])
def test_an_unknown_number_of_rows_is_not_converted(sliced, policy, times):
    import tensorflow as tf

    layer = LargeDense(UNITS, dtype=policy)
    layer.build((None, INPUTS))
    tf.function(layer, input_signature=[tf.TensorSpec((None, INPUTS))]).get_concrete_function()
    assert len(sliced) == times


def formats_of_products(monkeypatch, policy: str, *, rows: int = ROWS) -> set[str]:
    """The formats that the layer multiplies in."""
    formats = set()

    def matmul(*matrices):
        formats.update(keras.backend.standardize_dtype(one.dtype) for one in matrices)
        return ops.tensordot(*matrices, axes=1)

    monkeypatch.setattr(large_dense.ops, "matmul", matmul)
    LargeDense(UNITS, dtype=policy)(normal((rows, INPUTS)))
    return formats


@pytest.mark.parametrize(("more", "expected"), [(0, {"float32"}), (1, {"bfloat16"})])
def test_only_few_rows_are_worth_float32(monkeypatch, more, expected):
    monkeypatch.setattr(dispatch, "on_processor", lambda: True)
    rows = large_dense.FEW + more
    assert formats_of_products(monkeypatch, "mixed_bfloat16", rows=rows) == expected


def test_elsewhere_the_format_is_that_of_dense(monkeypatch):
    monkeypatch.setattr(dispatch, "on_processor", lambda: False)
    assert formats_of_products(monkeypatch, "mixed_bfloat16") == {"bfloat16"}


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has float64 only if told so")
def test_float64_stays(monkeypatch):
    monkeypatch.setattr(dispatch, "on_processor", lambda: True)
    assert formats_of_products(monkeypatch, "float64") == {"float64"}

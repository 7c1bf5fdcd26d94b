"""Products of few rows against NumPy's and Keras' own layer."""

import keras
import numpy as np
import pytest
from keras import ops

from fstcn_keras.acceleration import accelerate, dispatch, few_row_products
from tests.contracts import LayerContract, normal

ROWS, INPUTS, UNITS = 3, 12, 5


@pytest.fixture
def on_processor(monkeypatch):
    """The layer takes its own way, whatever runs the tests."""
    monkeypatch.setattr(dispatch, "on_processor", lambda: True)


def accelerated(**kwargs) -> keras.layers.Dense:
    return accelerate(keras.layers.Dense(UNITS, **kwargs))


@pytest.mark.usefixtures("on_processor")
class TestContract(LayerContract):
    inputs = normal((ROWS, INPUTS))
    output_shape = (ROWS, UNITS)
    saved_rtol = 1e-5

    def make(self, **kwargs):
        return accelerated(**kwargs)


@pytest.mark.usefixtures("on_processor")
def test_few_rows_are_computed_in_float32():
    """Within a model of the same policy, as in FSTCN: that one decides how weights are read."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = accelerated(activation="relu", bias_initializer="ones")
        model = keras.Sequential([keras.Input((INPUTS,)), layer])
    finally:
        keras.config.set_dtype_policy("float32")
    x = ops.cast(normal((ROWS, INPUTS)), "bfloat16")
    y = model(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    exact = ops.convert_to_numpy(ops.cast(x, "float32")) @ layer.get_weights()[0] + 1
    found = ops.convert_to_numpy(ops.cast(y, "float32"))
    np.testing.assert_allclose(found, np.maximum(exact, 0), rtol=2**-8, atol=1e-6)


@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_many_rows_are_as_in_dense(policy):
    rows = few_row_products.MAX_ROWS + 1
    plain, fast = keras.layers.Dense(UNITS, dtype=policy), accelerated(dtype=policy)
    x = normal((rows, INPUTS))
    expected = plain(x)
    fast.build(x.shape)
    fast.set_weights(plain.get_weights())
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(ops.cast(y, "float32")) for y in (fast(x), expected))
    )


def formats_of_products(monkeypatch, policy: str, *, rows: int = ROWS) -> set[str]:
    """The formats that the layer multiplies in."""
    formats = set()

    def matmul(*matrices):
        formats.update(keras.backend.standardize_dtype(one.dtype) for one in matrices)
        return ops.tensordot(*matrices, axes=1)

    monkeypatch.setattr(few_row_products.ops, "matmul", matmul)
    accelerated(dtype=policy)(normal((rows, INPUTS)))
    return formats


@pytest.mark.parametrize(("more", "expected"), [(0, {"float32"}), (1, {"bfloat16"})])
def test_only_few_rows_are_worth_float32(monkeypatch, more, expected):
    monkeypatch.setattr(dispatch, "on_processor", lambda: True)
    rows = few_row_products.MAX_ROWS + more
    assert formats_of_products(monkeypatch, "mixed_bfloat16", rows=rows) == expected


def test_elsewhere_the_layer_is_dense(monkeypatch):
    monkeypatch.setattr(dispatch, "on_processor", lambda: False)
    layer = accelerated(dtype="mixed_bfloat16")
    assert "call" not in vars(layer)
    assert layer.autocast


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has float64 only if told so")
def test_float64_stays(monkeypatch):
    monkeypatch.setattr(dispatch, "on_processor", lambda: True)
    assert "call" not in vars(accelerated(dtype="float64"))

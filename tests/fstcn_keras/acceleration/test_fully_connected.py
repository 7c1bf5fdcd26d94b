"""Products of few rows with large matrices against NumPy's and Keras' own layer."""

import keras
import numpy as np
import pytest
from keras import ops

from fstcn_keras.acceleration import accelerate, dispatch, fully_connected
from tests.contracts import LayerContract, gradients, normal, outputs

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


@pytest.fixture
def sliced(monkeypatch):
    """What `sliced_product` has been called for; kernels of slices of 4 are large."""
    monkeypatch.setattr(fully_connected, "MIN_SLICED_WEIGHTS", 1)
    monkeypatch.setattr(fully_connected, "SLICE_ROWS", 4)
    called = []
    product = fully_connected.sliced_product
    monkeypatch.setattr(
        fully_connected,
        "sliced_product",
        lambda x, kernel, **others: called.append(x.shape) or product(x, kernel, **others),
    )
    return called


@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize("training", [False, True])
def test_slices_equal_a_product_and_its_gradients(sliced, training):
    layer = accelerated(bias_initializer="ones")
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
    ("shape", "smallest"),
    [
        ((fully_connected.MAX_SLICED_ROWS + 1, INPUTS), 1),
        ((ROWS, INPUTS + 1), 1),
        ((2, ROWS, INPUTS), 1),
        ((ROWS, INPUTS), INPUTS * UNITS + 1),
    ],
)
def test_what_does_not_suit_slices_is_as_in_dense(monkeypatch, sliced, shape, smallest):
    monkeypatch.setattr(fully_connected, "MIN_SLICED_WEIGHTS", smallest)
    ours, kerass = accelerated(), keras.layers.Dense(UNITS)
    ours.build(shape)
    kerass.build(shape)
    ours.set_weights(kerass.get_weights())
    x = normal(shape)
    np.testing.assert_array_equal(outputs(ours, x), outputs(kerass, x))
    assert not sliced


def test_outside_training_there_is_no_gradient_to_keep(monkeypatch):
    monkeypatch.setattr(fully_connected.ops, "custom_gradient", None)
    monkeypatch.setattr(fully_connected, "SLICE_ROWS", 4)
    x, kernel = normal((ROWS, INPUTS)), normal((INPUTS, UNITS))
    y = fully_connected.sliced_product(*map(ops.convert_to_tensor, (x, kernel)), training=False)
    np.testing.assert_allclose(ops.convert_to_numpy(y), x @ kernel, rtol=1e-5, atol=1e-6)


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
    rows = fully_connected.MAX_FLOAT32_ROWS + 1
    plain, fast = keras.layers.Dense(UNITS, dtype=policy), accelerated(dtype=policy)
    x = normal((rows, INPUTS))
    expected = plain(x)
    fast.build(x.shape)
    fast.set_weights(plain.get_weights())
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(ops.cast(y, "float32")) for y in (fast(x), expected))
    )


@pytest.mark.usefixtures("on_processor")
@pytest.mark.parametrize(("more", "expected"), [(0, {"float32"}), (1, {"bfloat16"})])
def test_only_few_rows_are_worth_float32(monkeypatch, more, expected):
    formats = set()

    def matmul(*matrices):
        formats.update(keras.backend.standardize_dtype(one.dtype) for one in matrices)
        return ops.tensordot(*matrices, axes=1)

    monkeypatch.setattr(fully_connected.ops, "matmul", matmul)
    rows = fully_connected.MAX_FLOAT32_ROWS + more
    accelerated(dtype="mixed_bfloat16")(normal((rows, INPUTS)))
    assert formats == expected


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has float64 only if told so")
@pytest.mark.usefixtures("on_processor")
def test_float64_stays():
    assert "call" not in vars(accelerated(dtype="float64"))

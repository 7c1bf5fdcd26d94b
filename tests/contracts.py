"""Checks that every layer passes, so that a layer's own tests are its numbers."""

import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Numbers from N(0, 1), float32, the same for the same shape and seed."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def outputs(layer, x: np.ndarray, **kwargs) -> np.ndarray:
    """What the layer makes of `x`, out of the backend's hands."""
    return ops.convert_to_numpy(layer(x, **kwargs))


def gradients(layer, x: np.ndarray, cotangent: np.ndarray, **kwargs) -> list[np.ndarray]:
    """Gradients of `sum(layer(x) * cotangent)`: of `x` first, then of each trainable weight."""
    x = ops.convert_to_tensor(x)
    layer(x)  # builds it
    weights = [variable.value for variable in layer.trainable_variables]
    derive = {"tensorflow": _by_tape, "jax": _by_stateless_call, "torch": _by_autograd}
    found = derive[keras.backend.backend()](layer, x, weights, cotangent, kwargs)
    return [ops.convert_to_numpy(gradient) for gradient in found]


def _by_tape(layer, x, weights, cotangent, kwargs):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        total = ops.sum(layer(x, **kwargs) * cotangent)
    return tape.gradient(total, [x, *weights])


def _by_stateless_call(layer, x, weights, cotangent, kwargs):
    import jax

    state = [variable.value for variable in layer.non_trainable_variables]

    def total(x, weights):
        return ops.sum(layer.stateless_call(weights, state, x, **kwargs)[0] * cotangent)

    of_x, of_weights = jax.grad(total, argnums=(0, 1))(x, weights)
    return [of_x, *of_weights]


def _by_autograd(layer, x, weights, cotangent, kwargs):
    import torch

    x.requires_grad_(True)
    total = ops.sum(layer(x, **kwargs) * ops.convert_to_tensor(cotangent))
    return torch.autograd.grad(total, [x, *weights])


def constructor_values(layer: keras.layers.Layer) -> dict:
    """What each of the constructor's arguments has become, in terms of JSON."""
    names = inspect.signature(type(layer).__init__).parameters.keys() - {"self", "kwargs"}
    values = {name: getattr(layer, name) for name in (*names, "name", "dtype_policy")}
    return json.loads(json.dumps(keras.saving.serialize_keras_object(values)))


class LayerContract:
    """Checks of one layer; a subclass gives `make`, `inputs` and `output_shape`.

    `make` should pass no argument at its default, else the round trips prove nothing of it.
    """

    inputs: np.ndarray
    output_shape: tuple[int, ...]
    saved_rtol = 0.0  # of an accelerated layer, whose file holds the plain one, its rounding

    def make(self, **kwargs) -> keras.layers.Layer:
        raise NotImplementedError

    def output_dtype(self, layer: keras.layers.Layer) -> str:
        return layer.compute_dtype

    def symbolic_inputs(self):
        return keras.Input(self.inputs.shape[1:], dtype=self.inputs.dtype.name)

    def test_shape_and_dtype(self):
        layer = self.make()
        symbolic = layer(self.symbolic_inputs())
        real = layer(self.inputs)
        given = keras.KerasTensor(self.inputs.shape, dtype=self.inputs.dtype.name)
        specified = layer.compute_output_spec(given)
        assert tuple(symbolic.shape) == (None, *self.output_shape[1:])
        assert tuple(real.shape) == tuple(specified.shape) == self.output_shape
        dtypes = {keras.backend.standardize_dtype(y.dtype) for y in (symbolic, real, specified)}
        assert dtypes == {self.output_dtype(layer)}

    def test_config_round_trip(self):
        layer = self.make(name="some_name", dtype="mixed_bfloat16")
        copies = (
            type(layer).from_config(layer.get_config()),
            keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)),
        )
        for copy in copies:
            assert type(copy) is type(layer)
            assert constructor_values(copy) == constructor_values(layer)

    def test_saved_model_gives_the_same_outputs(self, tmp_path):
        inputs = self.symbolic_inputs()
        model = keras.Model(inputs, self.make()(inputs))
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        assert constructor_values(loaded.layers[-1]) == constructor_values(model.layers[-1])
        found, expected = (one.predict_on_batch(self.inputs) for one in (loaded, model))
        np.testing.assert_allclose(found, expected, rtol=self.saved_rtol, atol=self.saved_rtol)

    def test_every_gradient_flows(self):
        layer = self.make()
        cotangent = np.random.default_rng(1).normal(size=self.output_shape).astype("float32")
        found = gradients(layer, self.inputs.astype("float32"), cotangent)
        assert len(found) == 1 + len(layer.trainable_variables)
        for gradient in found:
            assert np.isfinite(gradient).all()
            assert np.any(gradient != 0)

    @pytest.mark.parametrize(
        ("policy", "tolerance"),
        [("float32", 0), ("mixed_bfloat16", 2**-5), ("mixed_float16", 2**-8)],
    )
    def test_precision_policies(self, policy, tolerance):
        reference, layer = self.make(), self.make(dtype=policy)
        expected = outputs(reference, self.inputs)
        layer.build(self.inputs.shape)
        layer.set_weights(reference.get_weights())
        y = layer(self.inputs)
        assert keras.backend.standardize_dtype(y.dtype) == self.output_dtype(layer)
        assert {variable.dtype for variable in layer.trainable_variables} <= {"float32"}
        found = ops.convert_to_numpy(ops.cast(y, "float32"))
        atol = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)

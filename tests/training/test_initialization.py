"""New layers that start as poolings: against NumPy, on the network's own intermediate outputs."""

import keras
import numpy as np
import pytest

from fstcn_keras import fstcn
from training import initialization

SMALL = {"width": 0.125, "path_units": (16, 8), "joint_units": 8, "dropout": 0.2}


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    model = fstcn(num_classes=3, preset="small", **SMALL)
    generator = np.random.default_rng(0)
    shape = (10, 5, 108, 108, 3)
    samples = {
        name: generator.integers(0, 256, shape, dtype=np.uint8) for name in ("clip", "clip_diff")
    }
    before = {layer.name: layer.get_weights() for layer in model.layers}
    initialization.start_as_pooling(model, samples, keep=("spatial_features",))
    return model, samples, before


def pre_activations(model, name: str, samples) -> np.ndarray:
    """Of a layer of units, by its own inputs and kernel in NumPy."""
    layer = model.get_layer(name)
    x = np.asarray(keras.Model(model.inputs, layer.input)(samples, training=False))
    return x.reshape(-1, x.shape[-1]) @ np.asarray(layer.kernel) + np.asarray(layer.bias)


@pytest.mark.parametrize("name", ["spatial_fc", "temporal_fc", "spatio_temporal_features"])
def test_units_have_mean_one_half_and_unit_variance(network, name):
    model, samples, _ = network
    values = pre_activations(model, name, samples)
    np.testing.assert_allclose(values.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=0.05)


def test_what_is_kept_and_what_lies_below_is_left_alone(network):
    model, _, before = network
    for name in ("spatial_features", "time_distributed_scl", "probabilities"):
        for one, other in zip(before[name], model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert (before["parallel_scl"][0] != model.get_layer("parallel_scl").get_weights()[0]).any()


def test_the_first_fully_connected_layers_are_means_of_a_channel(monkeypatch):
    monkeypatch.setattr(initialization, "FC_NOISE", 0.0)
    model = fstcn(num_classes=3, preset="small", **SMALL)
    for name in ("spatial_fc", "temporal_fc"):
        initialization._average(model.get_layer(name))
    generator = np.random.default_rng(0)
    layer = model.get_layer("spatial_fc")
    maps = generator.normal(size=(3, 3, 64))  # (h, w, f)
    outputs = maps.reshape(-1) @ np.asarray(layer.kernel)
    expected = [
        np.mean([maps[i, j, u % 64] for i in range(3) for j in range(3)]) for u in range(16)
    ]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)
    layer = model.get_layer("temporal_fc")
    maps = generator.normal(size=(5, 16, 8))  # (l_t, f', maps of both kernels)
    outputs = maps.reshape(-1) @ np.asarray(layer.kernel)
    expected = [maps[:, u % 16, :].mean() for u in range(16)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)

"""The variants of the layers' benchmark are of one network."""

import keras
import pytest

from benchmarks import layers


@pytest.fixture(autouse=True)
def _policy_restored():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_all_variants_train_alike(precision):
    losses, layers_of = {}, {}
    for name, variant in layers.VARIANTS.items():
        keras.utils.set_random_seed(0)
        model = layers.network(variant, "small", precision)
        wrapper = model.layers[1]
        layers_of[name] = [type(layer) for layer in (wrapper, *wrapper.layer.layers)]
        step = layers.training_step(model, 1)
        losses[name] = [step(), step()]
    assert len({*map(tuple, layers_of.values())}) == len(layers.VARIANTS)
    expected = losses.pop("as it is")
    assert expected[1] != pytest.approx(expected[0], rel=0.1)  # it has learned something
    for found in losses.values():
        assert found == pytest.approx(expected, rel=1e-4 if precision == "float32" else 0.03)

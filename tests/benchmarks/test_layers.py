"""The variants of the layers' benchmark are of one network."""

import itertools

import keras
import pytest

from benchmarks import layers


@pytest.fixture(autouse=True)
def _policy_restored():
    yield
    keras.config.set_dtype_policy("float32")


def kinds(model: keras.Model) -> tuple[type, ...]:
    """Of its layers, and of those of a wrapped network."""
    wrapped = [layer.layer.layers for layer in model.layers if hasattr(layer, "layer")]
    return tuple(map(type, itertools.chain(model.layers, *wrapped)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("variants", "build"),
    [
        (layers.LOWER_SCLS, layers.lower_scls),
        (layers.FULLY_CONNECTED, layers.fully_connected),
    ],
)
def test_all_variants_train_alike(variants, build, precision):
    keras.config.set_dtype_policy(layers.POLICIES[precision])
    losses, found_kinds = {}, set()
    for name, variant in variants.items():
        keras.utils.set_random_seed(0)
        model = build(variant, "small")
        found_kinds.add(kinds(model))
        step = layers.training_step(model, 1)
        losses[name] = [step(), step()]
    assert len(found_kinds) == len(variants)
    expected = losses.pop(layers.AS_IT_IS)
    assert expected[1] != pytest.approx(expected[0], rel=0.1)  # it has learned something
    for found in losses.values():
        assert found == pytest.approx(expected, rel=1e-4 if precision == "float32" else 0.03)

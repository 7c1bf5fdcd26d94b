"""The variants of the layers' benchmark are of one network."""

import keras
import pytest

from benchmarks import layers
from fstcn_keras.parts import all_layers

PARTS = {
    "lower SCLs": (layers.LOWER_SCLS, layers.lower_scls),
    "fully connected": (layers.FULLY_CONNECTED, layers.fully_connected_layers),
}


def forms(model: keras.Model) -> set[str]:
    """Names of the modules of the package that give its layers methods."""
    found = {
        getattr(value, "__module__", "")
        for layer in all_layers(model)
        for value in vars(layer).values()
        if callable(value) and not isinstance(value, keras.Layer)
    }
    package = "fstcn_keras.acceleration."
    return {name.removeprefix(package) for name in found if name.startswith(package)}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("part", PARTS)
def test_all_variants_train_alike(part, precision):
    variants, build = PARTS[part]
    keras.config.set_dtype_policy(layers.POLICIES[precision])
    losses = {}
    for name, changes in variants.items():
        keras.utils.set_random_seed(0)
        step = layers.training_step(layers.accelerated(build("small"), changes), 1)
        losses[name] = [step(), step()]
    expected = losses.pop(layers.AS_IT_IS)
    assert expected[1] != pytest.approx(expected[0], rel=0.1)  # it has learned something
    for found in losses.values():
        assert found == pytest.approx(expected, rel=1e-4 if precision == "float32" else 0.03)


LACKING = {
    "Conv2D": "winograd_convolution",
    "LRN, banded": "response_normalization",
    "LRN, slices": "response_normalization",
    "TimeDistributed": "folded_time",
    "PixelNormalization": "pixel_normalization",
}


@pytest.mark.parametrize(
    ("part", "precision", "lacking"),
    [
        ("lower SCLs", "float32", LACKING),
        ("fully connected", "bfloat16", {"Dense": "fully_connected"}),
    ],
)
def test_each_variant_lacks_one_form(part, precision, lacking):
    variants, build = PARTS[part]
    keras.config.set_dtype_policy(layers.POLICIES[precision])
    found = {name: forms(layers.accelerated(build("small"), c)) for name, c in variants.items()}
    all_forms = found.pop(layers.AS_IT_IS)
    assert {name: all_forms - some for name, some in found.items()} == {
        name: {form} for name, form in lacking.items()
    }

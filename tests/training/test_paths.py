"""Classifiers of the paths and their product, against NumPy."""

import keras
import numpy as np
import pytest

from fstcn_keras import fstcn
from training.paths import join_as_product, path_classifiers, product

SMALL = {"width": 0.125, "path_units": (16, 8), "dropout": 0.2}


def networks(joint_units: int = 8, **options):
    keras.utils.set_random_seed(0)
    model = fstcn(num_classes=3, preset="small", joint_units=joint_units, **SMALL, **options)
    return model, path_classifiers(model, num_classes=3)


def clips() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shape = (4, 5, 108, 108, 3)
    return {n: generator.integers(0, 256, shape, dtype=np.uint8) for n in ("clip", "clip_diff")}


def test_the_network_gives_the_geometric_mean_of_the_paths():
    model, classifiers = networks()
    generator = np.random.default_rng(1)
    for layer in classifiers.layers[-2:]:
        layer.set_weights([generator.normal(size=weight.shape) for weight in layer.get_weights()])
    join_as_product(classifiers, model)
    spatial, temporal = (np.asarray(output) for output in classifiers(clips(), training=False))
    assert np.abs(spatial - temporal).max() > 0.1
    expected = np.sqrt(spatial * temporal)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(clips(), training=False), expected, atol=1e-5)
    np.testing.assert_allclose(product([spatial, temporal]), expected, atol=1e-5)


@pytest.mark.parametrize("path", ["spatial", "temporal"])
def test_of_one_path_it_gives_that_paths_classifier(path):
    model, classifiers = networks(paths=(path,))
    join_as_product(classifiers, model)
    assert classifiers.layers[-1].name == f"{path}_classifier"
    expected = classifiers(clips(), training=False)
    np.testing.assert_allclose(model(clips(), training=False), expected, atol=1e-6)


def test_too_few_joint_units_are_refused():
    model, classifiers = networks(joint_units=5)
    with pytest.raises(ValueError, match=r"takes 6 joint units\. Received: 5"):
        join_as_product(classifiers, model)

"""Pre-trained weights from HDF5 files, of which the tests write all but one."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from fstcn_keras.backbones import get_backbone
from fstcn_keras.weights import load_weights
from tests.processes import DATA

SHARED = DATA / "weights"
RNG = np.random.default_rng(0)
TENSORS = {
    "conv1": [RNG.normal(size=(3, 3, 3, 4)), RNG.normal(size=4)],
    "fire2/squeeze1x1": [RNG.normal(size=(1, 1, 4, 2)), RNG.normal(size=2)],
}


def scl() -> keras.Model:
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, name="conv1")(inputs)
    return keras.Model(inputs, layers.Conv2D(2, 1, name="fire2_squeeze1x1")(x), name="scl")


def write_keras_applications(path: Path, tensors: dict, root: str = "/") -> Path:
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        group.attrs["layer_names"] = [name.encode() for name in tensors]
        for layer, values in tensors.items():
            names = [f"{layer}_{number}:0" for number in range(len(values))]
            group.require_group(layer).attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, values, strict=True):
                group[layer][name] = value
    return path


@pytest.mark.parametrize("root", ["/", "model_weights"])
def test_loads_layer_by_layer(tmp_path, root):
    model = scl()
    path = write_keras_applications(tmp_path / "w.h5", {**TENSORS, "pool1": []}, root)
    report = load_weights(model, path)
    for layer, values in TENSORS.items():
        found = model.get_layer(layer.replace("/", "_")).get_weights()
        for one, other in zip(found, values, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
    assert (len(report.loaded), report.missing, report.unused) == (4, (), ())
    assert report.loaded[0] == "conv1/kernel (3, 3, 3, 4)"
    assert str(report) == "4 tensors loaded, 0 left as initialised, 0 of the file unused"


def test_reports_what_is_missing_unused_or_of_another_shape(tmp_path):
    model = scl()
    before = model.get_weights()
    kernel, bias = TENSORS["conv1"]
    tensors = {"conv1": [kernel[:2], bias], "conv9": [kernel]}
    report = load_weights(model, write_keras_applications(tmp_path / "w.h5", tensors))
    assert report.loaded == ("conv1/bias (4,)",)
    assert report.missing == (
        "conv1/kernel (3, 3, 3, 4): the file has (2, 3, 3, 4)",
        "fire2_squeeze1x1/kernel (1, 1, 4, 2): not in the file",
        "fire2_squeeze1x1/bias (2,): not in the file",
    )
    assert len(report.unused) == 1
    assert "conv9" in report.unused[0]
    assert str(report) == "1 tensors loaded, 3 left as initialised, 1 of the file unused"
    lines = report.full().splitlines()
    names = (*report.loaded, *report.missing, *report.unused)
    assert all(line.endswith(name) for line, name in zip(lines, names, strict=True))
    after = model.get_weights()
    np.testing.assert_allclose(after[1], bias, rtol=1e-6)
    for position in (0, 2, 3):
        np.testing.assert_array_equal(after[position], before[position])


def test_rejects_files_of_other_kinds(tmp_path):
    text = tmp_path / "text.h5"
    text.write_text("not HDF5\n" * 100)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["conv1"] = np.zeros(3)
    scl().save_weights(tmp_path / "keras3.weights.h5")
    for path in (text, tmp_path / "other.h5", tmp_path / "keras3.weights.h5", tmp_path / "none.h5"):
        with pytest.raises(ValueError, match=path.name):
            load_weights(scl(), path)


@pytest.mark.parametrize(
    "tensors", [{}, {"conv7": TENSORS["conv1"]}, {"conv1": [np.zeros((5, 5, 3, 4)), np.zeros(3)]}]
)
def test_rejects_a_file_of_which_nothing_fits(tmp_path, tensors):
    with pytest.raises(ValueError, match="fits the network"):
        load_weights(scl(), write_keras_applications(tmp_path / "w.h5", tensors))


def test_squeezenet_takes_the_public_imagenet_weights():
    path = SHARED / "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"
    if not path.is_file():
        pytest.skip(f"needs {path.name} in shared/data/weights beside the repository")
    model = get_backbone("squeezenet").model(size=68, width=1.0)
    report = load_weights(model, path)
    assert (len(report.loaded), report.missing, report.unused) == (50, (), ())
    with np.load(SHARED / "squeezenet11_notop.npz") as expected:
        assert len(expected) == 50
        for name, value in expected.items():
            layer, _, kind = name.rpartition("__")
            variable = getattr(model.get_layer(layer.replace("__", "_")), kind)
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)

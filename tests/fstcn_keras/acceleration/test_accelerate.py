"""A whole network with faster forms: what it computes, and what it saves and exports."""

import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from fstcn_keras import FSTCN, accelerate
from fstcn_keras.acceleration import dispatch
from fstcn_keras.parts import all_layers
from tests.networks import TINY, random_pairs
from tests.processes import ROOT, run_python

FORMS = {"call", "convolution_op", "export"}  # attributes that a form may replace
OTHER = keras.backend.backend() != "tensorflow"
on_tensorflow = pytest.mark.skipif(OTHER, reason="of Keras on TensorFlow")


def replaced(model: keras.Model) -> set[str]:
    return {name for layer in all_layers(model) for name in vars(layer) if name in FORMS}


def test_the_same_numbers_and_weights():
    model = FSTCN(num_classes=4, **TINY)
    x, weights, config = random_pairs(2), model.get_weights(), model.get_config()
    expected = model.predict_on_batch(x)
    assert accelerate(accelerate(model)) is model
    assert {"call", "export"} <= replaced(model)
    assert not replaced(FSTCN.from_config(model.get_config()))
    np.testing.assert_allclose(model.predict_on_batch(x), expected, atol=1e-5)
    assert model.get_config() == config
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


@on_tensorflow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_training_follows_the_plain_network(policy):
    def trained(form) -> list[np.ndarray]:
        keras.utils.set_random_seed(0)
        model = form(FSTCN(num_classes=4, dtype=policy, **{**TINY, "dropout": 0.0}))
        model.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
        model.fit(random_pairs(8), np.arange(8) % 4, 4, epochs=1, verbose=0, shuffle=False)
        return model.get_weights()

    tolerance = {"float32": 1e-5, "mixed_bfloat16": 5e-3}[policy]
    for one, other in zip(trained(accelerate), trained(lambda model: model), strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[keras.Model, Path]:
    """An accelerated network after a step, and its file; named as the first of a process."""
    keras.utils.clear_session()
    model = accelerate(FSTCN(num_classes=4, **TINY))
    model.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    model.fit(random_pairs(2), np.array([1, 2]), verbose=0)
    file = tmp_path_factory.mktemp("trained") / "model.keras"
    model.save(file)
    return model, file


ELSEWHERE = """
import sys
import numpy as np, tensorflow as tf
root, folder, file = sys.argv[1:]
x = dict(np.load(folder + "/x.npz"))
model = tf.saved_model.load(folder + "/exported")
exported = model.serve(x)
assert "fstcn_keras" not in sys.modules
sys.path.insert(0, root)
sys.modules["fstcn_keras.acceleration"] = None  # cannot be imported
import fstcn_keras, keras
loaded = keras.models.load_model(file).predict(x)
np.savez(folder + "/y.npz", exported=exported, loaded=loaded)
"""


@pytest.fixture(scope="module")
def elsewhere(trained, tmp_path_factory) -> Path:
    """What a process computes that has no acceleration, and of an export not even this package."""
    model, file = trained
    folder = tmp_path_factory.mktemp("elsewhere")
    model.export(folder / "exported", verbose=False)
    np.savez(folder / "x.npz", **random_pairs(2))
    run_python(ELSEWHERE, ROOT, folder, file, cwd=folder, PYTHONPATH="")
    return folder


@on_tensorflow
def test_a_file_of_an_accelerated_training_needs_no_acceleration(trained, elsewhere):
    expected = trained[0].predict_on_batch(random_pairs(2))
    np.testing.assert_allclose(np.load(elsewhere / "y.npz")["loaded"], expected, atol=1e-5)


@on_tensorflow
def test_an_export_runs_without_this_project_and_without_a_compiler(trained, elsewhere):
    expected = trained[0].predict_on_batch(random_pairs(2))
    np.testing.assert_allclose(np.load(elsewhere / "y.npz")["exported"], expected, atol=1e-5)
    assert b"_XlaMustCompile" not in (elsewhere / "exported" / "saved_model.pb").read_bytes()


@on_tensorflow
def test_few_rows_read_large_kernels_as_they_are_stored():
    import tensorflow as tf

    def casts(model) -> int:
        """How many times the graph converts a kernel of a fully-connected layer."""
        kernel_shapes = {tuple(one.kernel.shape) for one in dense_layers(model)}
        function = tf.function(model, autograph=False)
        graph = function.get_concrete_function(random_pairs(2)).graph
        operations = [one for one in graph.get_operations() if one.type == "Cast"]
        return sum(tuple(one.outputs[0].shape) in kernel_shapes for one in operations)

    def dense_layers(model) -> list[keras.layers.Dense]:
        layers = all_layers(model.head)
        return [one for one in layers if type(one) is keras.layers.Dense and one.units > 4]

    model = FSTCN(num_classes=4, dtype="mixed_bfloat16", **TINY)
    assert casts(model) == len(dense_layers(model)) == 5
    assert casts(accelerate(model)) == 0


@on_tensorflow
def test_on_another_device_only_what_suits_any_is_replaced(monkeypatch):
    monkeypatch.setattr(dispatch, "on_processor", lambda: False)
    model = accelerate(FSTCN(num_classes=4, dtype="mixed_bfloat16", **TINY))
    assert "convolution_op" not in replaced(model)
    assert all(layer.autocast for layer in all_layers(model) if type(layer) is keras.layers.Dense)


def structure(file: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors in a model file, with its configuration."""
    with zipfile.ZipFile(file) as archive, archive.open("model.weights.h5") as weights:
        found = []
        with h5py.File(weights) as tensors:
            tensors.visititems(
                lambda name, item: (
                    found.append((name, item.shape)) if isinstance(item, h5py.Dataset) else None
                )
            )
        return [*found, (archive.read("config.json").decode(), ())]


@on_tensorflow
def test_every_processor_writes_the_same_file_structure(trained, tmp_path):
    script = (
        "import sys, numpy as np, keras\n"
        "from fstcn_keras import FSTCN, accelerate\n"
        f"model = accelerate(FSTCN(num_classes=4, **{TINY}))\n"
        "shape = (2, 3, 68, 68, 3)\n"
        "x = {name: np.zeros(shape, 'uint8') for name in ('clip', 'clip_diff')}\n"
        "model.compile(keras.optimizers.SGD(1e-3), 'sparse_categorical_crossentropy')\n"
        "model.fit(x, np.array([1, 2]), verbose=0)\n"
        "model.save(sys.argv[1])\n"
    )
    run_python(script, tmp_path / "avx2.keras", ONEDNN_MAX_CPU_ISA="AVX2")
    assert structure(trained[1]) == structure(tmp_path / "avx2.keras")

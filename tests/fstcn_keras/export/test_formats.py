"""The export command: versions, formats and what it says of input at fault."""

from pathlib import Path

import keras
import numpy as np
import pytest

from fstcn_keras import ActionClassifier, ViewPlan, fstcn
from fstcn_keras.config import PRESETS, preset_config
from fstcn_keras.export import formats

pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("exporting needs Keras on TensorFlow", allow_module_level=True)

SIZES = {"crop_size": 60, "short_side": 64, "path_units": (8, 8), "joint_units": 8}
NETWORK = {"preset": "small", "width": 0.125, **SIZES}
VIEWS = {
    name: np.random.default_rng(seed).integers(0, 256, (3, 5, 60, 60, 3), dtype=np.uint8)
    for seed, name in enumerate(("clip", "clip_diff"))
}


@pytest.fixture
def run(tmp_path) -> Path:
    """An untrained network whose answers differ from view to view."""
    model = fstcn(num_classes=3, **NETWORK)
    kernel = model.classifier.kernel
    kernel.assign(100 * kernel)
    folder = tmp_path / "my run"
    plan = ViewPlan.from_config(preset_config(**NETWORK), num_clips=2)
    ActionClassifier(model, classes=["a", "b", "c"], plan=plan).save(folder)
    return folder


def probabilities(run: Path) -> np.ndarray:
    return ActionClassifier.load(run).model.predict_on_batch(VIEWS)


def test_an_export_becomes_the_next_version(run, capsys):
    versions = run / "saved_model" / "my run"
    before = {"9", "10", "2.partial", "notes"}  # versions are counted as numbers
    for name in before:
        (versions / name).mkdir(parents=True)
    formats.main([str(run)])
    assert capsys.readouterr().out == f"{versions / '11'}\n"
    assert (versions / "11" / "saved_model.pb").is_file()
    assert {path.name for path in versions.iterdir()} == before | {"11"}


def test_a_failed_export_leaves_nothing(run, monkeypatch):
    def fail(*_, **__):
        (run / "saved_model" / "my run" / "1.partial").mkdir()
        raise OSError("disk full")

    monkeypatch.setattr(keras.export.ExportArchive().__class__, "write_out", fail)
    with pytest.raises(OSError, match="disk full"):
        formats.export(run)
    assert list((run / "saved_model" / "my run").iterdir()) == []


def test_onnx_answers_as_keras_does(run):
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    file = formats.export(run, "onnx")
    assert file == run / "my run.onnx"
    session = onnxruntime.InferenceSession(file)
    assert {i.name: (i.shape[1:], i.type) for i in session.get_inputs()} == {
        name: ([5, 60, 60, 3], "tensor(uint8)") for name in VIEWS
    }
    (found,) = session.run(["probabilities"], VIEWS)
    np.testing.assert_allclose(found, probabilities(run), atol=1e-4)
    assert not list(run.rglob("*partial*"))


def test_litert_answers_as_keras_does(run):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    file = formats.export(run, "litert", out=run / "new" / "folder")
    assert file == run / "new" / "folder" / "my run.tflite"
    found = interpreter.Interpreter(str(file)).get_signature_runner()(**VIEWS)
    assert list(found) == ["probabilities"]
    np.testing.assert_allclose(found["probabilities"], probabilities(run), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["small", "squeeze"])
def test_the_presets_in_onnx_and_litert(preset, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    model = fstcn(num_classes=5, preset=preset)
    plan = ViewPlan.from_config(PRESETS[preset])
    ActionClassifier(model, classes=list("abcde"), plan=plan).save(tmp_path)
    views = {
        name: np.random.default_rng(seed).integers(0, 256, (2, *x.shape[1:]), dtype=np.uint8)
        for seed, (name, x) in enumerate(model.input.items())
    }
    expected = model.predict_on_batch(views)
    session = onnxruntime.InferenceSession(formats.export(tmp_path, "onnx"))
    np.testing.assert_allclose(session.run(["probabilities"], views)[0], expected, atol=1e-4)
    litert = interpreter.Interpreter(str(formats.export(tmp_path, "litert")))
    found = litert.get_signature_runner()(**views)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("argument", ["none", "model.keras"])
def test_what_is_no_run(run, capsys, argument):
    with pytest.raises(SystemExit) as stopped:
        formats.main([str(run / argument)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(run / argument) in error
    assert error.count("\n") == 1


def test_without_a_run_the_newest_is_taken(run, capsys, monkeypatch):
    (run / "metrics.json").touch()
    (run.parent / "runs").mkdir()
    run.rename(run.parent / "runs" / "mine")
    monkeypatch.chdir(run.parent)
    formats.main(["--format", "litert"])
    printed = capsys.readouterr()
    assert printed.out == "runs/mine/mine.tflite\n"
    assert "taking runs/mine" in printed.err

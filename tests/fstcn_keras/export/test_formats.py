"""The export command: versions, formats and what it says of input at fault."""

from pathlib import Path

import keras
import numpy as np
import pytest

from fstcn_keras import ActionClassifier, ViewPlan, fstcn
from fstcn_keras.export import formats, saved_model
from fstcn_keras.export.quantization import quantize_onnx
from tests.examples import example_scores
from tests.networks import with_clear_answers
from tests.videos import write_video

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("exporting needs Keras on TensorFlow", allow_module_level=True)


SIZES = {"width": 0.125, "path_units": (8, 8), "joint_units": 8}
PRESETS = ["small", pytest.param("squeeze", marks=pytest.mark.slow)]


def make_run(folder: Path, preset: str = "small", **options) -> Path:
    model = with_clear_answers(fstcn(num_classes=3, preset=preset, **SIZES, **options))
    plan = ViewPlan.from_config(model.config, num_clips=2)
    ActionClassifier(model, classes=["a", "b", "c"], plan=plan).save(folder)
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    return make_run(tmp_path / "my run")


def views_and_probabilities(run: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    model = ActionClassifier.load(run).model
    views = {
        name: np.random.default_rng(seed).integers(0, 256, (3, *x.shape[1:]), dtype=np.uint8)
        for seed, (name, x) in enumerate(model.input.items())
    }
    return views, model.predict_on_batch(views)


def moving_blocks(num_frames: int, *, height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    image = coarse.repeat(10, axis=0).repeat(10, axis=1)
    return np.stack([np.roll(image, 3 * t, axis=1) for t in range(num_frames)])


def assert_the_example_answers_as_the_run_does(file: Path, run: Path, folder: Path):
    classifier = ActionClassifier.load(run)
    for size, tolerance in (((120, 160), 2e-3), ((180, 240), 0.05)):  # of the views, and not
        frames = moving_blocks(37, height=size[0], width=size[1])
        video = write_video(folder / "video.mkv", frames)
        expected = classifier.predict_video(video)
        found = example_scores(file, video)
        assert next(iter(found)) == expected.classes[0]
        scores = [found[name] for name in expected.classes]
        np.testing.assert_allclose(scores, expected.scores, atol=tolerance)
        assert expected.scores[0] > expected.scores[-1] + 0.1  # the comparison means something


@pytest.mark.parametrize("preset", PRESETS)
def test_onnx_answers_as_keras_does(tmp_path, preset):
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    run = make_run(tmp_path / "my run", preset)
    views, expected = views_and_probabilities(run)
    file = formats.export(run, "onnx", out=run / "new" / "folder")
    assert file == run / "new" / "folder" / "my run.onnx"
    session = onnxruntime.InferenceSession(file)
    inputs = {i.name: (i.shape[1:], i.type) for i in session.get_inputs()}
    assert inputs == {n: (list(x.shape[1:]), "tensor(uint8)") for n, x in views.items()}
    np.testing.assert_allclose(session.run(["probabilities"], views)[0], expected, atol=1e-4)
    assert not list(run.rglob("*partial*"))
    assert_the_example_answers_as_the_run_does(file, run, tmp_path)
    one_by_one = [{name: x[n : n + 1] for name, x in views.items()} for n in range(3)]
    quantize_onnx(file, tmp_path / "int8.onnx", one_by_one)
    weights = pytest.importorskip("onnx").load(tmp_path / "int8.onnx").graph.initializer
    assert sum(weight.data_type == weight.INT8 for weight in weights) > 10
    found = onnxruntime.InferenceSession(tmp_path / "int8.onnx").run(None, views)[0]
    np.testing.assert_allclose(found, expected, atol=0.1)


@pytest.mark.parametrize("preset", PRESETS)
def test_litert_of_the_newest_run_answers_as_keras_does(tmp_path, capsys, monkeypatch, preset):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    run = make_run(tmp_path / "runs" / "mine", preset)
    (run / "metrics.json").touch()
    views, expected = views_and_probabilities(run)
    monkeypatch.chdir(tmp_path)
    formats.main(["--format", "litert"])
    printed = capsys.readouterr()
    assert printed.out == "runs/mine/mine.tflite\n"
    assert "taking runs/mine" in printed.err
    file = str(run / "mine.tflite")
    found = interpreter.Interpreter(file).get_signature_runner()(**views)
    assert list(found) == ["probabilities"]
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-4)
    assert_the_example_answers_as_the_run_does(run / "mine.tflite", run, tmp_path)


def test_an_export_becomes_the_next_version(tmp_path, capsys):
    run = make_run(tmp_path / "my run", paths=("temporal",))
    versions = run / "saved_model" / "my run"
    before = {"9", "10", "2.partial", "notes"}  # versions are counted as numbers
    for name in before:
        (versions / name).mkdir(parents=True)
    formats.main([str(run)])
    assert capsys.readouterr().out == f"{versions / '11'}\n"
    assert {path.name for path in versions.iterdir()} == before | {"11"}
    embed = tf.saved_model.load(versions / "11").signatures["embed"]  # without the other path's
    assert set(embed.structured_outputs) == {"temporal_features", "spatio_temporal_features"}


def test_exports_at_the_same_time_are_versions_of_their_own(tmp_path, monkeypatch):
    """The second begins and ends while the first one writes."""

    def write(name, folder):
        folder.mkdir()
        (folder / "network").write_text(name)
        if name == "first":
            assert formats.write_version("second", tmp_path) == tmp_path / "1"
        (folder / "more").write_text(name)

    monkeypatch.setattr(saved_model, "write_saved_model", write)
    assert formats.write_version("first", tmp_path) == tmp_path / "2"
    written = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*/*")}
    assert written == {
        Path(version, name): text
        for version, text in (("1", "second"), ("2", "first"))
        for name in ("network", "more")
    }


def test_a_failed_export_leaves_nothing(run, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(keras.export.ExportArchive().__class__, "write_out", fail)
    with pytest.raises(OSError, match="disk full"):
        formats.export(run)
    assert list((run / "saved_model" / "my run").iterdir()) == []


@pytest.mark.parametrize("argument", ["none", "model.keras"])
def test_what_is_no_run(run, capsys, argument):
    with pytest.raises(SystemExit) as stopped:
        formats.main([str(run / argument)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(run / argument) in error
    assert error.count("\n") == 1

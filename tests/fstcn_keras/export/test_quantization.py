"""Networks in int8: which videos calibrate them, what they answer, and what is said of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from fstcn_keras import ActionClassifier, ViewPlan, fstcn
from fstcn_keras.config import FSTCNConfig
from fstcn_keras.export import comparison, formats
from fstcn_keras.export.calibration import RunVideos, calibration_files, calibration_views, spread
from fstcn_keras.runs import RunFolder
from tests.examples import example_scores
from tests.networks import with_clear_answers
from tests.videos import grey_ramp, noise, write_video

PLAN = ViewPlan.from_config(FSTCNConfig(short_side=48, crop_size=40), num_clips=2)
NAMES = ("a/0.avi", "a/1.avi", "b/2.avi", "b/3.avi")


def make_videos(folder: Path) -> Path:
    for seed, name in enumerate(NAMES):
        write_video(folder / name, noise(40, height=48, width=64, seed=seed))
    return folder


def record_videos(run: Path, root: Path | None) -> RunFolder:
    """The first and the third are those trained on, the others are tested."""
    folder = RunFolder(run)
    run.mkdir(exist_ok=True)
    record = {"root": root and str(root), "train": list(NAMES[::2])}
    folder.training_videos.write_text(json.dumps(record))
    np.savez(folder.scores, paths=np.array(NAMES[1::2]), labels=np.array([0, 1]))
    return folder


def test_the_run_tells_its_videos(tmp_path):
    data = make_videos(tmp_path / "data")
    run = record_videos(tmp_path / "run", data)
    found = RunVideos.of(run)
    assert found.training == (data / "a/0.avi", data / "b/2.avi")
    assert found.test == {data / "a/1.avi": 0, data / "b/3.avi": 1}
    assert calibration_files(run, RunVideos.of(run)) == list(found.training)
    (data / "a/0.avi").unlink()
    assert calibration_files(run, RunVideos.of(run)) == [data / "b/2.avi"]
    run.scores.unlink()  # as before the run is evaluated
    assert RunVideos.of(run) == RunVideos(training=(data / "b/2.avi",), test={})


@pytest.mark.parametrize("damaged", ["[]", "null", '{"root": "/"}', '{"train": 1}', "{"])
def test_a_damaged_record_tells_no_videos(tmp_path, damaged):
    (tmp_path / "training_videos.json").write_text(damaged)
    assert RunVideos.of(RunFolder(tmp_path)) == RunVideos(training=(), test={})


def test_videos_that_have_moved_are_found_in_the_folder_given(tmp_path):
    data = make_videos(tmp_path / "data")
    for root in (tmp_path / "gone", None):  # older runs do not tell
        run = record_videos(tmp_path / "run", root)
        with pytest.raises(FileNotFoundError, match="run are not found: name some videos"):
            calibration_files(run, RunVideos.of(run))
        assert calibration_files(run, RunVideos.of(run, folders=[data]), [data]) == [
            data / "a/0.avi",
            data / "b/2.avi",
        ]
        assert set(RunVideos.of(run, folders=[data]).test.values()) == {0, 1}
    for name in NAMES[::2]:
        (data / name).unlink()
    with pytest.raises(FileNotFoundError, match="nothing but test videos"):
        calibration_files(run, RunVideos.of(run, folders=[data]), [data])


def test_a_folder_without_videos(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match="holds no video"):
        calibration_files(RunFolder(tmp_path), RunVideos(training=(), test={}), [tmp_path])


def test_views_are_spread_over_videos_clips_and_crops(tmp_path):
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"no video")
    files = [bad]
    for number in range(2):
        frames = grey_ramp(40) + np.uint8(40 * number)
        files.append(write_video(tmp_path / f"{number}.avi", frames))
    views = list(calibration_views(files, PLAN, number=9))
    assert len(views) == 6  # three of each of the three, one of which cannot be read
    shapes = {name: x.shape for name, x in views[0].items()}
    assert shapes == dict.fromkeys(("clip", "clip_diff"), (1, 5, 40, 40, 3))
    firsts = [int(x["clip"][0, 0, 0, 0, 0]) for x in views]
    assert firsts == [10, 50, 10, 50, 90, 50]  # clips begin at frames 0 and 10
    assert {int(x["clip_diff"].max()) for x in views} == {4 * PLAN.distance}
    with pytest.raises(ValueError, match="no video to calibrate by"):
        list(calibration_views([bad], PLAN))


def test_spread_takes_the_ends_and_what_lies_between():
    files = [Path(str(number)) for number in range(101)]
    assert spread(files, 5) == [files[n] for n in (0, 25, 50, 75, 100)]
    assert spread(files[:3], 5) == files[:3]


class Answers:
    """Answers as a classifier does, from a list."""

    classes = ("a", "b")

    def __init__(self, *labels: int | None):
        self._labels = labels

    def predict_videos(self, files):
        for file, label in zip(files, self._labels, strict=True):
            order = None if label is None else (self.classes[label], self.classes[1 - label])
            answer = order and type("Prediction", (), {"classes": order})
            yield type("Result", (), {"source": file, "prediction": answer})


def test_accuracy_of_test_videos_else_agreement(monkeypatch):
    monkeypatch.setattr(comparison, "file_classifier", lambda *_: Answers(0, 1, None, 1))
    files = [Path(name) for name in "abcd"]
    videos = RunVideos(training=(), test=dict(zip(files, (0, 1, 1, 0), strict=True)))
    before = Answers(0, 0, None, 0)
    found = comparison.compare(before, Path("x.onnx"), videos=videos, calibration=[])
    assert found.accuracies() == (2 / 3, 2 / 3)
    assert found.agreement == 1 / 3
    nothing = RunVideos(training=(), test={})
    found = comparison.compare(before, Path("x.onnx"), videos=nothing, calibration=files)
    assert found.text("2 clips") == (
        "3 calibration videos, 2 clips, SCI fusion: no test videos are found, and so no accuracy\n"
        "the same answer for 33.3%"
    )
    with pytest.raises(ValueError, match="none of 4 videos"):
        comparison.compare(Answers(*[None] * 4), Path("x"), videos=videos, calibration=[])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quantize", "int8"], "for the formats onnx and litert"),
        (["--format", "onnx", "--calibration", "a.mp4"], "give both, or neither"),
        (["--format", "onnx", "--quantize", "int8"], "not found: name some videos"),
        (
            ["--format", "onnx", "--quantize", "int8", "--calibration", "no.mp4"],
            "no file or folder",
        ),
    ],
)
def test_what_is_refused_before_a_network_is_loaded(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        formats.main([str(tmp_path), *arguments])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_network_is_loaded_and_the_videos_are_listed_once(tmp_path, monkeypatch, capsys):
    run = record_videos(tmp_path / "mine", make_videos(tmp_path / "data"))
    counts = {"loaded": 0, "listed": 0}
    of = RunVideos.of

    def load(*_, **__):
        counts["loaded"] += 1
        return SimpleNamespace(model=SimpleNamespace(count_params=lambda: 0), classes=(), plan=PLAN)

    def listed(*arguments, **keywords):
        counts["listed"] += 1
        return of(*arguments, **keywords)

    def compared(classifier, file, *, videos, calibration):
        assert (len(videos.test), len(calibration)) == (2, 2)
        return SimpleNamespace(text="they agree in {}".format)

    monkeypatch.setattr(ActionClassifier, "load", load)
    monkeypatch.setattr(RunVideos, "of", listed)
    monkeypatch.setattr(formats, "_export_network", lambda _, file, *__: file.touch())
    monkeypatch.setattr(formats, "describe", lambda *_: None)
    monkeypatch.setattr(comparison, "compare", compared)
    formats.main([str(run.path), "--format", "onnx", "--quantize", "int8"])
    assert counts == {"loaded": 1, "listed": 1}
    assert capsys.readouterr().out.splitlines()[1:] == [
        "calibrated by 2 videos; 0.0 MB, the weights in float32 0.0 MB",
        "they agree in 2 clips x 18 crops",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_the_command_says_what_int8_costs(tmp_path, capsys, format):
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf2onnx")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("exporting needs Keras on TensorFlow")
    sizes = {"width": 0.25, "path_units": (64, 32), "joint_units": 16}
    model = with_clear_answers(fstcn(num_classes=2, preset="small", **sizes), factor=10)
    plan = ViewPlan.from_config(model.config, num_clips=2)
    run = tmp_path / "mine"
    classifier = ActionClassifier(model, classes=["a", "b"], plan=plan)
    classifier.save(run)
    data = make_videos(tmp_path / "data")
    record_videos(run, data)
    formats.main([str(run), "--format", format, "--quantize", "int8"])
    printed = capsys.readouterr().out.splitlines()
    file = run / f"mine.int8{formats.SUFFIXES[format]}"
    assert printed[0] == str(file)
    assert printed[1].startswith("calibrated by 2 videos; ")
    assert printed[2].startswith("2 test videos, 2 clips x 18 crops, SCI fusion: top-1 ")
    assert file.stat().st_size < 4 * model.count_params() / 2.5
    expected = classifier.predict_video(data / "a/1.avi")
    found = comparison.file_classifier(file, classifier).predict_video(data / "a/1.avi")
    for by_class in (
        dict(zip(expected.classes, expected.scores, strict=True)),
        example_scores(file, data / "a/1.avi"),
    ):
        scores = [by_class[name] for name in found.classes]
        np.testing.assert_allclose(found.scores, scores, atol=0.1)

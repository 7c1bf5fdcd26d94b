"""Views, their scores and whole videos, with networks simple enough to follow."""

import dataclasses
import io
import json
import weakref
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops

from fstcn_keras import FSTCN, ActionClassifier, FSTCNConfig, ViewPlan, fstcn
from fstcn_keras.video.frames import read_resized
from fstcn_keras.views.scoring import ViewScorer
from tests import equations
from tests.networks import TINY
from tests.videos import grey_ramp, noise, write_video

PLAN = ViewPlan(num_clips=3, short_side=7, crop_size=4, clip_length=2, stride=2, distance=3)
LEVEL_PLAN = ViewPlan.from_config(FSTCNConfig(crop_size=16, short_side=24), num_clips=3)


def inputs_of(plan: ViewPlan) -> dict[str, keras.KerasTensor]:
    shape = (plan.clip_length, plan.crop_size, plan.crop_size, 3)
    return {name: keras.Input(shape, dtype="uint8", name=name) for name in ("clip", "clip_diff")}


def linear_classifier() -> ActionClassifier:
    """Every pixel of every frame has a say of its own."""
    inputs = inputs_of(PLAN)
    x = layers.Concatenate()([layers.Rescaling(1 / 255)(x) for x in inputs.values()])
    x = layers.Dense(3, activation="softmax")(layers.Flatten()(x))
    return ActionClassifier(keras.Model(inputs, x), classes=["run", "déjà vu", "sit"], plan=PLAN)


def level_reader(plan: ViewPlan) -> ActionClassifier:
    """Its scores are the mean grey level of each frame of the clip, and of the differences."""
    inputs = inputs_of(plan)
    clip, difference = (ops.cast(x, "float32") / 255 for x in inputs.values())
    levels = ops.mean(clip, axis=(2, 3, 4))
    change = ops.mean(difference, axis=(1, 2, 3, 4))
    model = keras.Model(inputs, ops.concatenate([levels, change[:, None]], axis=1))
    classes = [f"frame {k}" for k in range(plan.clip_length)] + ["change"]
    return ActionClassifier(model, classes=classes, plan=plan)


def in_order_of(classes: tuple[str, ...], prediction) -> np.ndarray:
    """View probabilities with the classes in the model's order."""
    return prediction.view_probabilities[..., [prediction.classes.index(c) for c in classes]]


def test_a_plan_takes_its_numbers_from_the_configuration():
    config = FSTCNConfig(crop_size=6, short_side=8, clip_length=2, stride=3, distance=4)
    sizes = {"short_side": 8, "crop_size": 6, "clip_length": 2, "stride": 3, "distance": 4}
    assert ViewPlan.from_config(config, num_clips=7) == ViewPlan(num_clips=7, **sizes)
    assert ViewPlan.from_config(config).num_clips == 5


def test_clips_of_the_same_frames_are_scored_once(monkeypatch):
    classifier = linear_classifier()
    frames, pairs = noise(10, height=7, width=9), PLAN.pair_indices(10)
    expected = classifier.score_views(frames, pairs)
    calls = []
    predict = classifier.model.predict_on_batch

    def counted(views):
        calls.append(len(views["clip"]))
        return predict(views)

    monkeypatch.setattr(classifier.model, "predict_on_batch", counted)
    order = [2, 0, 2, 2, 1, 0]
    found = classifier.score_views(frames, pairs[order])
    assert calls == [18, 18, 18]
    np.testing.assert_array_equal(found, expected[order])


def test_save_and_load(tmp_path):
    classifier = linear_classifier()
    classifier.save(tmp_path)
    classifier.save(tmp_path)  # over the first one
    assert {p.name for p in tmp_path.iterdir()} == {"model.keras", "classes.txt", "views.json"}
    loaded = ActionClassifier.load(str(tmp_path))
    assert loaded.classes == ("run", "déjà vu", "sit")
    assert loaded.plan == PLAN
    frames, pairs = noise(10, height=7, width=9), PLAN.pair_indices(10)
    found, expected = (one.score_views(frames, pairs) for one in (loaded, classifier))
    np.testing.assert_array_equal(found, expected)


def test_a_network_that_keras_cannot_copy_is_not_saved(tmp_path):
    whole = FSTCN(num_classes=3, **TINY)
    network = keras.Model(whole.input, whole.output, name="part")
    plan = ViewPlan.from_config(whole.config, num_clips=1)
    classifier = ActionClassifier(network, classes=["a", "b", "c"], plan=plan)
    with pytest.raises(ValueError, match=r"a copy of part has .* save the FSTCN that it was made"):
        classifier.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("lacking", ["model.keras", "classes.txt", "views.json"])
def test_load_says_which_file_is_lacking(tmp_path, lacking):
    linear_classifier().save(tmp_path)
    (tmp_path / lacking).unlink()
    with pytest.raises(FileNotFoundError, match=lacking):
        ActionClassifier.load(tmp_path)


def test_load_names_the_runs_in_a_folder_of_several(tmp_path):
    for split in ("split1", "split2"):
        linear_classifier().save(tmp_path / split)
    with pytest.raises(FileNotFoundError, match=r"lacks views\.json; name one of the .*/split2$"):
        ActionClassifier.load(tmp_path)


def views(**changes) -> str:
    """The content of `views.json` with some values changed."""
    return json.dumps(PLAN.settings() | changes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("views.json", "{", "is damaged: Expecting"),
        ("views.json", '{"num_clips": 3}', "is damaged: .* missing"),
        ("views.json", views(sampling="thin"), "is damaged: `sampling` must be one of"),
        ("views.json", '{"views": "exact"}', "is damaged: .* 'views'"),  # of an earlier version
        ("views.json", "[3]", "is damaged: expected an object of settings, found list"),
        ("views.json", "[" * 10**5, "is damaged: "),
        ("views.json", " " * 2**25, "is damaged: expected at most 16777216 bytes, found 33554432"),
        ("views.json", views(num_clips=True), "is damaged: `num_clips` must .* Received: True"),
        ("views.json", views(num_clips=10**9), "is damaged: `num_clips` must .* at most 1000"),
        ("views.json", views(crop_size=8), "is damaged: `crop_size` must be at most `short_side`"),
        ("views.json", views(fps="x"), "is damaged: `fps` must be positive, .* Received: 'x'"),
        ("views.json", views(fps=1e9), "is damaged: `fps` must be positive, at most 1000"),
        (
            "views.json",
            views(clip_length=3),
            r"does not .* expected views \(2, 4, 4, 3\), found \(3,",
        ),
        ("classes.txt", "run\nsit\n", "does not fit the network: expected 3 classes, found 2"),
        (
            "classes.txt",
            "run\n\nsit\n",
            "is damaged: expected a name of one line in UTF-8 for class 2",
        ),
        ("classes.txt", "run\nsit\nrun\n", "is damaged: expected each class once, found 'run'"),
        ("model.keras", "PK", "is damaged: it is no whole zip archive"),
    ],
)
def test_load_says_which_file_is_damaged(tmp_path, name, content, message):
    linear_classifier().save(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name} {message}"):
        ActionClassifier.load(tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_bytes_of_the_network_that_have_changed(tmp_path, share):
    linear_classifier().save(tmp_path)
    file = tmp_path / "model.keras"
    content = bytearray(file.read_bytes())
    place = int(share * len(content))
    content[place : place + 20] = bytes(byte ^ 0xFF for byte in content[place : place + 20])
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.keras (is damaged|cannot be loaded): "):
        ActionClassifier.load(tmp_path)


@pytest.mark.parametrize("members", [{"x": "y"}, {"config.json": "[]"}, {"config.json": "{}"}])
def test_an_archive_that_holds_no_network(tmp_path, members):
    linear_classifier().save(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=r"model\.keras (is damaged|cannot be loaded): "):
        ActionClassifier.load(tmp_path)


@pytest.mark.parametrize("value", [0, -3, 2.5, "x"])
def test_a_plan_of_impossible_sizes(value):
    with pytest.raises(ValueError, match="`short_side` must be a positive integer"):
        dataclasses.replace(PLAN, short_side=value)


def test_rejects_class_names_that_do_not_fit_the_model():
    model = linear_classifier().model
    with pytest.raises(ValueError, match="Received: 2 classes"):
        ActionClassifier(model, classes=["run", "sit"], plan=PLAN)


@pytest.mark.parametrize("name", ["a\nb", "a\r", "", " ", "\udcff", "run"])
def test_rejects_class_names_that_no_file_could_keep(name):
    model = linear_classifier().model
    with pytest.raises(ValueError, match=r"expected (a name of one line|each class once)"):
        ActionClassifier(model, classes=["run", "sit", name], plan=PLAN)


def test_names_of_a_file_with_line_ends_of_windows(tmp_path):
    linear_classifier().save(tmp_path)
    (tmp_path / "classes.txt").write_bytes(b"run\r\njump\r\nsit\r\n")
    assert ActionClassifier.load(tmp_path).classes == ("run", "jump", "sit")


def test_predict_video_hand_worked(tmp_path):
    """Frame `t` has level `10 + 4 t`; of 40 frames the clips start at 0, 5 and 10."""
    path = write_video(tmp_path / "ramp.avi", grey_ramp(40))
    classifier = level_reader(LEVEL_PLAN)
    prediction = classifier.predict_video(path)
    assert prediction.num_frames == 40
    levels = [[10, 30, 50, 70, 90, 36], [30, 50, 70, 90, 110, 36], [50, 70, 90, 110, 130, 36]]
    expected = np.repeat(np.array(levels)[:, None] / 255, 18, axis=1)
    assert prediction.view_probabilities.shape == (3, 18, 6)
    found = in_order_of(classifier.classes, prediction)
    np.testing.assert_allclose(found, expected, atol=0.5 / 255)
    assert prediction.classes == ("frame 4", "frame 3", "frame 2", "frame 1", "frame 0", "change")
    best = np.array([130, 110, 90, 70, 50, 36]) / 255  # the maximum over clips, best first
    np.testing.assert_allclose(prediction.scores, best, atol=0.5 / 255)


def test_a_prediction_holds_what_its_scores_are_made_of():
    classifier = linear_classifier()
    prediction = classifier.predict_video(noise(10, height=7, width=9))
    views = in_order_of(classifier.classes, prediction)
    best_first = [classifier.classes.index(name) for name in prediction.classes]
    expected = equations.clip_scores(views)[:, best_first]
    np.testing.assert_allclose(prediction.clip_scores, expected, rtol=1e-5)
    np.testing.assert_allclose(prediction.scores, expected.max(axis=0), rtol=1e-5)
    assert list(prediction.scores) == sorted(prediction.scores, reverse=True)
    sci = [[equations.sci(p) for p in clip] for clip in views]
    np.testing.assert_allclose(prediction.sci, sci, rtol=1e-4)
    np.testing.assert_array_equal(prediction.pairs, PLAN.pair_indices(10))
    assert prediction.num_frames == 10
    assert prediction.protocol == {
        **{"num_clips": 3, "num_crops": 18, "short_side": 7, "crop_size": 4, "clip_length": 2},
        **{"stride": 2, "distance": 3, "views": "exact", "fusion": "sci"},
    }


@pytest.mark.parametrize("batch_clips", [1, 2, 4, 100])
def test_many_videos_give_what_each_gives_alone(tmp_path, batch_clips):
    pytest.importorskip("tqdm")
    classifier = level_reader(LEVEL_PLAN)
    (tmp_path / "text.avi").write_text("no video")
    sources = [noise(40, height=48, width=50, seed=seed) for seed in range(4)]
    sources[1:1] = [tmp_path / "text.avi", grey_ramp(1), 7]
    sources.append(tmp_path / "none.avi")
    results = list(classifier.predict_videos(iter(sources), batch_clips=batch_clips))
    assert [id(result.source) for result in results] == [id(source) for source in sources]
    reasons = [result.reason for result in results]
    assert "cannot be opened as a video" in reasons[1]
    assert "Received: int" in reasons[3]
    assert "No such file" in reasons[7]
    for number in (0, 2, 4, 5, 6):
        found, alone = results[number].prediction, classifier.predict_video(sources[number])
        assert (reasons[number], found.classes) == ("", alone.classes)
        np.testing.assert_allclose(found.view_probabilities, alone.view_probabilities, rtol=1e-6)
    assert [results[number].prediction for number in (1, 3, 7)] == [None] * 3


def test_a_video_that_takes_too_much_memory_does_not_stop_the_others():
    pytest.importorskip("tqdm")

    class Greedy(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise MemoryError

    classifier = level_reader(LEVEL_PLAN)
    greedy, fine = classifier.predict_videos([Greedy(b"v"), grey_ramp(5)])
    assert greedy.reason == "to decode it takes more memory than there is"
    assert (fine.reason, fine.prediction is None) == ("", False)


def test_many_videos_are_scored_together(monkeypatch):
    pytest.importorskip("tqdm")
    calls = []
    score = ViewScorer.score

    def counted(scorer, clips):
        calls.append(len(clips))
        return score(scorer, clips)

    monkeypatch.setattr(ViewScorer, "score", counted)
    classifier = level_reader(LEVEL_PLAN)  # three clips of each video
    list(classifier.predict_videos([grey_ramp(5)] * 5, batch_clips=6))
    assert calls == [6, 6, 3]
    with pytest.raises(ValueError, match="Received: 0"):
        next(classifier.predict_videos([], batch_clips=0))


def test_results_are_made_as_they_are_asked_for():
    """No more videos are held than have as many clips as are scored together."""
    pytest.importorskip("tqdm")
    taken = []

    def sources():
        for number in range(5):
            taken.append(number)
            yield grey_ramp(5)

    results = level_reader(LEVEL_PLAN).predict_videos(sources(), batch_clips=6)
    assert taken == []
    for expected in ([0, 1], [0, 1], [0, 1, 2, 3]):  # of three clips each
        next(results)
        assert taken == expected


def test_timeline_hand_worked(tmp_path):
    """At 20 frames a second the clips of 30 frames start at 10 - 15, 30 - 15 and at the end."""
    path = write_video(tmp_path / "ramp.avi", grey_ramp(46), fps=20)
    found = list(level_reader(LEVEL_PLAN).timeline(path))
    assert [(m.start_s, m.end_s) for m in found] == [(0, 1), (1, 2), (2, 46 / 20)]
    for moment, start in zip(found, (0, 15, 16), strict=True):
        scores = dict(zip(moment.classes, moment.scores, strict=True))
        assert list(moment.scores) == sorted(moment.scores, reverse=True)
        levels = [10 + 4 * (start + 5 * k) for k in range(5)]
        expected = {f"frame {k}": level / 255 for k, level in enumerate(levels)}
        expected["change"] = 36 / 255
        assert scores == pytest.approx(expected, abs=0.5 / 255)
        assert moment.sci.shape == (18,)


@pytest.mark.parametrize(
    ("num_frames", "fps", "seconds"),
    [(1, 25, 1), (3, 1, 3), (50, 25, 2), (21, 0.7, 30), (1, 1e7, 1)],  # 21 / 0.7 > 30 in float64
)
def test_timeline_of_an_array_has_one_moment_a_second(num_frames, fps, seconds):
    moments = list(level_reader(LEVEL_PLAN).timeline(grey_ramp(num_frames), fps=fps))
    assert [moment.start_s for moment in moments] == list(range(seconds))
    assert moments[-1].end_s == pytest.approx(num_frames / fps)


@pytest.mark.parametrize("fps", [None, 0, -5, float("nan")])
def test_timeline_needs_a_rate(fps):
    with pytest.raises(ValueError, match=f"Received: fps={fps or 0}"):
        next(level_reader(LEVEL_PLAN).timeline(grey_ramp(5), fps=fps))


def test_timeline_keeps_the_frames_of_one_clip(monkeypatch):
    """Frames that went through the network are let go while the others are still being read."""
    living, most = set(), 0

    def counted(reader, numbers, short_side):
        nonlocal most
        for frame in read_resized(reader, numbers, short_side):
            view = frame.view(Tracked)
            living.add(id(view))
            weakref.finalize(view, living.discard, id(view))
            most = max(most, len(living))
            yield view

    class Tracked(np.ndarray):
        pass

    monkeypatch.setattr("fstcn_keras.classifier.read_resized", counted)
    assert len(list(level_reader(LEVEL_PLAN).timeline(grey_ramp(60).repeat(10, 0), fps=25))) == 24
    assert 10 <= most <= 31


def test_a_loaded_network_computes_in_float32(tmp_path):
    plan = ViewPlan.from_config(FSTCNConfig(crop_size=60, short_side=64), num_clips=2)
    sizes = {"crop_size": 60, "short_side": 64, "path_units": (8, 8), "joint_units": 8}
    dtypes = ("mixed_bfloat16", "float32")
    mixed, exact = (fstcn(num_classes=2, width=0.125, dtype=dtype, **sizes) for dtype in dtypes)
    exact.set_weights(mixed.get_weights())
    ActionClassifier(mixed, classes=["a", "b"], plan=plan).save(tmp_path)
    shape = (2, 5, 60, 60, 3)
    clip = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    views = {"clip": clip, "clip_diff": clip[::-1]}
    found = features(ActionClassifier.load(tmp_path).model).predict_on_batch(views)
    np.testing.assert_allclose(found, features(exact).predict_on_batch(views), rtol=1e-5)
    assert np.abs(features(mixed).predict_on_batch(views) - found).max() > 1e-3


def features(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, model.features["spatio_temporal_features"])


@pytest.mark.parametrize("source", ["a.mp4", Path("a.mp4"), b"RIFF", io.BytesIO(), grey_ramp(5)])
def test_one_video_is_not_taken_for_many(source):
    with pytest.raises(TypeError, match=r"`predict_video` takes one\. Received: "):
        level_reader(LEVEL_PLAN).predict_videos(source)


def test_a_plan_with_a_rate_shows_videos_of_other_rates_alike(tmp_path):
    """The same two seconds at 20 and at 10 frames a second, saved and loaded on the way."""
    plan = dataclasses.replace(LEVEL_PLAN, fps=20)
    level_reader(plan).save(tmp_path / "run")
    classifier = ActionClassifier.load(tmp_path / "run")
    assert classifier.plan == plan
    fast = write_video(tmp_path / "fast.avi", grey_ramp(40), fps=20)
    slow = write_video(tmp_path / "slow.avi", grey_ramp(40)[::2], fps=10)
    found = [classifier.predict_video(path) for path in (fast, slow)]
    assert [prediction.num_frames for prediction in found] == [40, 40]
    assert found[0].protocol["fps"] == 20
    for one, other in zip(*(p.clip_scores for p in found), strict=True):
        np.testing.assert_allclose(np.sort(one), np.sort(other), atol=5 / 255)
    seconds = [list(classifier.timeline(path)) for path in (fast, slow)]
    assert [len(moments) for moments in seconds] == [2, 2]
    array = list(classifier.timeline(grey_ramp(40)[::2], fps=10))
    for one, other in zip(seconds[1], array, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def reach_out(file: h5py.File, kind: str, other: Path):
    """Makes the first tensor of the file one that lies in another file."""
    name = file.visititems(lambda name, item: name if isinstance(item, h5py.Dataset) else None)
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    if kind == "external link":
        file[name] = h5py.ExternalLink(str(other), "secret")
    elif kind == "external storage":
        external = [(str(other), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(name, shape, dtype, external=external)
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(str(other), "secret", shape)
        file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("kind", ["external link", "external storage", "virtual tensor"])
def test_the_network_of_a_run_takes_no_weights_from_another_file(tmp_path, kind):
    linear_classifier().save(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = tmp_path / "weights.h5"
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(tmp_path / "other.h5", "w") as other, h5py.File(weights, "r+") as file:
        other["secret"] = np.ones((999,), "float32")
        reach_out(file, kind, tmp_path / "other.h5")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, content in (members | {"model.weights.h5": weights.read_bytes()}).items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="Not allowed: H5 file with"):
        ActionClassifier.load(tmp_path)

"""The linear baseline: what it sees, what it learns, and that features are computed once."""

import json

import keras
import numpy as np
import pytest

from fstcn_keras import ViewPlan, auxiliary_classifier
from fstcn_keras.config import PRESETS
from fstcn_keras.runs import RunFolder
from fstcn_keras.video.sources import ArrayFrames
from fstcn_keras.weights import save_weights
from tests.training.runs import noise_store
from training import baseline, judgement
from training.data.collections import Video
from training.options import FitOptions
from training.parts import build


class Store:
    """One video whose frame number n is of the colour n."""

    def __init__(self, num_frames: int):
        colours = np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
        self.frames = np.broadcast_to(colours, (num_frames, 8, 9, 3))

    def reader(self, path):
        return ArrayFrames(self.frames)


def mean_colour() -> keras.Model:
    image = keras.Input((None, None, 3), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.ops.cast(image, "float32"))
    return keras.Model(image, pooled * np.array([1.0, 0.0, 0.0]))


def test_features_are_of_each_frame_and_difference_once():
    plan = ViewPlan.from_config(PRESETS["small"], num_clips=2)
    seen = []

    class Seen:
        def predict_on_batch(self, images):
            seen.append(images[:, 0, 0, 0].tolist())
            return mean_colour().predict_on_batch(images)

    video = Video(path="a.avi", label=0, side="train", group="a")
    features = baseline.video_features(video, Store(31), plan, [Seen(), Seen()])
    # starts 0 and 1; a difference spans 9 frames
    assert seen == [[0, 1, 5, 6, 10, 11, 15, 16, 20, 21], [9] * 10]
    np.testing.assert_allclose(features, [[1, 0, 0], [1, 0, 0]])


def corner(label: int) -> np.ndarray:
    return np.array([[1.0, 0.0], [0.0, 1.0]])[[label, label]]


@pytest.mark.parametrize("sources", [12, 2])  # of two there is one for each class, and no choice
def test_the_answers_are_those_of_the_features(sources):
    labels = [0, 1] * 6
    train = np.stack([corner(label) for label in labels])
    groups = [f"s{number % sources}" for number in range(12)]
    folds = baseline.source_folds(labels, groups)
    answers, penalty = baseline.svm_answers(train, labels, groups, train[:4][::-1], folds=folds)
    np.testing.assert_array_equal(answers, [1, 0, 1, 0])
    assert (folds is None, penalty) == ((True, 10) if sources == 2 else (False, 1))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    return noise_store(root, num_videos=4, num_frames=12)


def test_features_are_computed_once_and_for_new_videos_alone(store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plan = ViewPlan.from_config(PRESETS["small"], num_clips=1)
    videos = [Video(path, 0, "train", path) for path in store.videos]
    seen = []

    def features(video, *_):
        seen.append(video.path)
        return np.full((2, 3), len(seen), np.float32)

    monkeypatch.setattr(baseline, "video_features", features)
    networks = [mean_colour(), mean_colour()]
    first = baseline.cached_features(videos[:3], store, plan, networks)
    both = baseline.cached_features(videos[::-1], store, plan, networks)
    assert seen == [video.path for video in videos]
    np.testing.assert_array_equal(both[::-1][:3], first)
    other = ViewPlan.from_config(PRESETS["small"], num_clips=2)
    baseline.cached_features(videos[:1], store, other, networks)
    assert len(seen) == 5


def test_a_run_with_weights_gets_its_answers(store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keras.utils.set_random_seed(7)
    weights = tmp_path / "stage1.h5"
    save_weights(auxiliary_classifier(num_classes=5, preset="small"), weights)
    options = build(FitOptions, preset="small", scl_weights=weights, num_clips=1)
    videos = [Video(p, n % 2, "train", p) for n, p in enumerate(sorted(store.videos))]
    run = RunFolder(tmp_path)
    baseline.write_baseline(options, run, store, train=videos, test=videos[:2])
    answers = json.loads(run.baseline.read_text())["answers"]
    assert answers.keys() == {"c/0.avi", "c/1.avi"}
    paths = ["c/1.avi", "c/0.avi"]
    exact = {"num_clips": 1, "views": "exact"}
    found = judgement.baseline_answers(run.baseline, paths, exact)
    assert found.tolist() == [answers[path] for path in paths]
    shared = exact | {"views": "shared"}
    assert judgement.baseline_answers(run.baseline, paths, shared).tolist() == found.tolist()
    assert judgement.baseline_answers(run.baseline, ["c/3.avi"], exact) is None
    for other in ({"num_clips": 5}, {"views": "encoded"}):
        assert judgement.baseline_answers(run.baseline, paths, exact | other) is None


@pytest.mark.parametrize("changes", [{}, {"scl_weights": "imagenet", "no_baseline": True}])
def test_without_weights_or_if_it_is_not_wanted_there_is_none(store, tmp_path, changes):
    options = build(FitOptions, preset="lite" if changes else "small", **changes)
    baseline.write_baseline(options, RunFolder(tmp_path), store, train=[], test=[])
    assert not RunFolder(tmp_path).baseline.exists()

"""A linear classifier on pre-trained features: what it sees, and how it is judged."""

import keras
import numpy as np
import pytest

from benchmarks import linear
from fstcn_keras import ViewPlan
from fstcn_keras.config import PRESETS
from fstcn_keras.video.frames import ArrayFrames
from training.cli import UserError
from training.data.collections import Video
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
    features = linear.video_features(video, Store(31), plan, [Seen(), Seen()])
    # starts 0 and 1; a difference spans 9 frames
    assert seen == [[0, 1, 5, 6, 10, 11, 15, 16, 20, 21], [9] * 10]
    np.testing.assert_allclose(features, [[1, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("learner", linear.LEARNERS)
def test_what_learns_is_judged_by_the_test_videos_alone(learner, monkeypatch):
    monkeypatch.setattr(linear, "FOLDS", 2)
    monkeypatch.setattr(linear, "EPOCHS", 10)
    corner = {"a": (1.0, 0.0), "b": (0.0, 1.0)}
    labels = {"a": 0, "b": 1}
    paths = [f"{name}{n}" for name in corner for n in range(6)]
    train = [Video(path=p, label=labels[p[0]], side="train", group=p) for p in paths]
    test = [Video(path=f"test{n}", label=n % 2, side="test", group="t") for n in range(4)]
    features = {v.path: np.array([corner[v.path[0]], (0.5, 0.5)]) for v in train}
    features |= {v.path: np.array([(1.0, 0.0), (0.5, 0.5)]) for v in test}
    row = linear.judged(train, test, features, (0,), learner=learner)
    assert (row["videos"], row["top-1, training folds"], row["top-1"]) == (4, "1.000", "0.500")


def test_weights_are_asked_for():
    with pytest.raises(UserError, match="--scl-weights: give the file"):
        build(linear.LinearOptions, preset="squeeze")

"""A linear classifier on pre-trained features: what it sees, and how it is judged."""

import numpy as np
import pytest

from benchmarks import linear
from training.data.collections import Video
from training.errors import UserError
from training.parts import build


def test_what_learns_is_judged_by_the_test_videos_alone(monkeypatch):
    monkeypatch.setattr(linear, "FOLDS", 2)
    corner = {"a": (1.0, 0.0), "b": (0.0, 1.0)}
    labels = {"a": 0, "b": 1}
    paths = [f"{name}{n}" for name in corner for n in range(6)]
    train = [Video(path=p, label=labels[p[0]], side="train", group=p) for p in paths]
    test = [Video(path=f"test{n}", label=n % 2, side="test", group="t") for n in range(4)]
    features = {v.path: np.array([corner[v.path[0]], (0.5, 0.5)]) for v in train}
    features |= {v.path: np.array([(1.0, 0.0), (0.5, 0.5)]) for v in test}
    row = linear.judged(train, test, features, (0,))
    assert (row["videos"], row["top-1"]) == (4, "0.500")


def test_weights_are_asked_for():
    with pytest.raises(UserError, match="--scl-weights: give the file"):
        build(linear.LinearOptions, preset="squeeze")

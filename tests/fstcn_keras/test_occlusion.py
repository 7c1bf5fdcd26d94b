"""Occlusion on a network that is known: it sees one bright spot."""

from types import SimpleNamespace

import numpy as np
import pytest

from fstcn_keras import ViewPlan
from fstcn_keras.occlusion import occlude

PLAN = ViewPlan(num_clips=1, short_side=70, crop_size=70, clip_length=2, stride=1, distance=1)


class Bright:
    """Its class 1 is as likely as the brightest pixel of the clip is bright."""

    def predict_on_batch(self, views: dict) -> np.ndarray:
        brightest = views["clip"].max(axis=(1, 2, 3, 4)) / 255
        return np.stack([1 - brightest, brightest], axis=-1)


class Moving:
    """Its class 1 is as likely as the difference in one place is large."""

    def predict_on_batch(self, views: dict) -> np.ndarray:
        change = views["clip_diff"][:, 0, 42, 42, 0] / 255
        return np.stack([1 - change, change], axis=-1)


class MovingLogits(Moving):
    """The same, before the softmax, which is blind to a constant."""

    classifier_activation = None

    def predict_on_batch(self, views: dict) -> np.ndarray:
        return np.log(np.maximum(super().predict_on_batch(views), 1e-9)) + 300


@pytest.mark.parametrize("model", [Moving(), MovingLogits()])
def test_a_covered_place_shows_no_motion_where_the_light_changes(model):
    frames, later = (np.full((2, 70, 70, 3), level, np.uint8) for level in (100, 121))
    classifier = SimpleNamespace(model=model, plan=PLAN)
    found = occlude(classifier, frames, later, label=1)
    assert found.score == pytest.approx(21 / 255)
    expected = np.zeros((7, 7))
    expected[3:5, 3:5] = 21 / 255  # cell 3 covers the pixels from 25 to 44, cell 4 those from 35
    np.testing.assert_allclose(found.drops, expected, atol=1e-6)


@pytest.mark.parametrize("is_wide", [True, False])
def test_the_score_falls_where_the_spot_is_covered(is_wide):
    frames = np.zeros((2, 70, 130, 3), np.uint8)
    frames[:, 45, 65] = 255  # in all three crops, in row 4 and column 3 of the grid
    if not is_wide:
        frames = frames.swapaxes(1, 2)
    classifier = SimpleNamespace(model=Bright(), plan=PLAN)
    found = occlude(classifier, frames, frames, label=1)
    assert found.score == 1
    # places overlap by half a cell, so that neighbours may hold the spot as well
    touched = np.argwhere((found.drops if is_wide else found.drops.T) > 0.9)
    assert [4, 3] in touched.tolist()
    assert np.abs(touched - [4, 3]).max() <= 1
    other = occlude(classifier, frames, frames, label=0)
    np.testing.assert_allclose(other.drops, -found.drops, atol=1e-12)

"""Refusing videos of none of the classes, against sums and quantiles by hand."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from fstcn_keras.acceleration.plain_export import plain_copy
from fstcn_keras.classifier import ActionClassifier
from fstcn_keras.description import load_rejection, save_rejection
from fstcn_keras.prediction import Moment
from fstcn_keras.rejection import Rejection, fewest_videos, novelty
from fstcn_keras.views.scoring import with_probabilities
from tests.networks import REJECTION
from tests.videos import noise


def test_novelty_is_the_mean_energy_of_all_views():
    logits = np.random.default_rng(0).normal(0, 3, (2, 3, 5, 4))
    expected = []
    for video in logits:
        sums = [sum(np.exp(x) for x in crop) for clip in video.tolist() for crop in clip]
        expected.append(sum(-np.log(x) for x in sums) / 15)
    energy = with_probabilities({"logits": logits})["energy"]
    np.testing.assert_allclose(novelty(energy), expected)
    tensor = with_probabilities({"logits": keras.ops.convert_to_tensor(logits)})["energy"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(novelty(tensor)), expected, rtol=1e-5)


def test_energy_of_logits_that_float32_cannot_exponentiate():
    energy = with_probabilities({"logits": np.float32([[1000, 1000], [-1000, -2000]])})["energy"]
    np.testing.assert_allclose(energy, [-1000 - np.log(2), 1000])


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25])
def test_thresholds_lie_between_sorted_videos(share):
    energy = np.random.default_rng(1).normal(-3, 1, (30, 3, 2))
    found = Rejection.from_held_out(energy, share=share)
    for values, threshold in (
        (energy.mean(axis=(1, 2)), found.threshold),
        (energy.mean(axis=2).ravel(), found.clip_threshold),
    ):
        ordered = sorted(values.tolist())
        place = (len(ordered) + 1) * (1 - share)  # from 1
        below = ordered[int(place) - 1]
        above = ordered[min(int(place), len(ordered) - 1)]
        assert threshold == pytest.approx(below + (place - int(place)) * (above - below))
    assert (found.share, found.videos) == (share, 30)


def test_the_share_is_that_of_other_videos_on_average():
    """Of V uniform numbers the k-th smallest is k / (V + 1) in the mean."""
    energy = np.random.default_rng(2).uniform(0, 1, (2000, 25, 1, 1))
    refused = 1 - np.array([Rejection.from_held_out(e, share=0.1).threshold for e in energy])
    assert np.mean(refused) == pytest.approx(0.1, abs=4 * np.std(refused) / np.sqrt(2000))


def test_what_lies_at_a_threshold_is_not_refused():
    """It is the highest novelty that is not."""
    rejection = dataclasses.replace(REJECTION, threshold=-3.0, clip_threshold=-2.0)
    for threshold, rejects in ((-3.0, rejection.rejects), (-2.0, rejection.rejects_clip)):
        found = rejects(np.array([threshold - 1, threshold, np.nextafter(threshold, 0)]))
        assert found.tolist() == [False, False, True]


def test_too_few_videos():
    shares = (0.5, 0.3, 0.1, 0.05, 0.01, 1 / 49)  # of the last 1 / share is over 49
    assert [fewest_videos(share) for share in shares] == [1, 3, 9, 19, 99, 48]
    with pytest.raises(ValueError, match=r"share of 0\.05 needs 19 held-out .* Received: 18"):
        Rejection.from_held_out(np.ones((18, 1, 1)), share=0.05)


@pytest.mark.parametrize(
    "changes",
    [
        *({"share": 2}, {"threshold": "x"}, {"clip_threshold": np.nan}, {"videos": 0}),
        *({"share": True}, {"threshold": False}, {"videos": True}, {"videos": 2.0}),
    ],
)
def test_impossible_values(changes):
    with pytest.raises(ValueError, match=f"`{next(iter(changes))}` must"):
        Rejection(**REJECTION.settings() | changes)


def test_what_is_saved_is_read_and_removed(tmp_path):
    save_rejection(tmp_path, REJECTION)
    assert load_rejection(tmp_path) == REJECTION
    save_rejection(tmp_path, None)
    assert load_rejection(tmp_path) is None
    for content in ("[]", "{", json.dumps(REJECTION.settings() | {"more": 1})):
        (tmp_path / "rejection.json").write_text(content)
        with pytest.raises(ValueError, match=r"rejection\.json is damaged: "):
            load_rejection(tmp_path)


def test_predictions_carry_it_also_of_a_loaded_network(exported_classifier, tmp_path):
    classifier, plan = exported_classifier, exported_classifier.plan
    frames = noise(40, height=plan.short_side, width=80)
    network = plain_copy(classifier.model, classifier_activation=None)
    cut = [plan.cut(frames[first], frames[later]) for first, later in plan.pair_indices(40)]
    logits = np.float64([network.predict_on_batch(views) for views in cut])  # (M, C, N)
    expected = float(np.mean(-np.log(np.exp(logits).sum(axis=-1))))
    for above in (0.1, -0.1):
        thresholds = {"threshold": expected + above, "clip_threshold": expected - 90 * above}
        rejection = dataclasses.replace(REJECTION, **thresholds)
        one = ActionClassifier(
            classifier.model, classes=classifier.classes, plan=plan, rejection=rejection
        )
        one.save(tmp_path)
        for saved in (one, ActionClassifier.load(tmp_path)):
            prediction = saved.predict_video(frames)
            assert prediction.novelty == pytest.approx(expected, abs=1e-3)
            assert prediction.rejected is (above < 0)
            (many,) = saved.predict_videos([frames])
            assert many.prediction.novelty == prediction.novelty
            refused = {moment.rejected for moment in saved.timeline(frames, fps=10)}
            assert refused == {above > 0}  # by the threshold of clips


def test_without_a_threshold_or_logits_nothing_is_refused():
    crops = np.array([[0.55, 0.45]])
    given = {"start_s": 0, "end_s": 1}
    moment = Moment.from_probabilities(crops, ["a", "b"], **given, energy=np.array([-3.0]))
    assert (moment.novelty, moment.rejected) == (-3, None)
    moment = Moment.from_probabilities(crops, ["a", "b"], **given, rejection=REJECTION)
    assert (moment.novelty, moment.rejected) == (None, None)

"""Views scored with their images shared, against the whole network on every view."""

import dataclasses
from decimal import Decimal

import keras
import numpy as np
import pytest

from fstcn_keras import ViewPlan, fstcn, fusion
from fstcn_keras.views.scoring import PROBABILITIES, ViewScorer
from tests.networks import TINY, with_clear_answers
from tests.videos import noise

PLAN = ViewPlan(num_clips=4, short_side=84, crop_size=68, clip_length=3, stride=4, distance=2)
SHARED = dataclasses.replace(PLAN, mode="shared")


def network(**options) -> keras.Model:
    keras.utils.set_random_seed(3)
    return with_clear_answers(fstcn(num_classes=3, **TINY, **options), factor=40)


def probabilities(scorer: ViewScorer, frames: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return scorer.score([(frames, pair) for pair in pairs])[PROBABILITIES]


def plain_scores(model: keras.Model, frames: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Every view cut and scored by itself, `(M, C, N)`."""
    scores = []
    size = PLAN.crop_size
    tops, lefts = ((0, (n - size) // 2, n - size) for n in frames.shape[1:3])
    for clip, later in pairs:
        views = []
        for step in (1, -1):
            for top in tops:
                for left in lefts:
                    window = frames[:, top : top + size, left : left + size][:, :, ::step]
                    difference = np.abs(window[clip].astype(int) - window[later])
                    views.append((window[clip], difference.astype(np.uint8)))
        clips, differences = (np.stack(images) for images in zip(*views, strict=True))
        scores.append(model.predict({"clip": clips, "clip_diff": differences}, verbose=0))
    return np.stack(scores)


@pytest.mark.parametrize("paths", [("spatial", "temporal"), ("spatial",), ("temporal",)])
def test_exact_views_are_those_of_the_whole_network(paths):
    model, frames = network(paths=paths), noise(20, height=84, width=101)
    pairs = PLAN.pair_indices(len(frames))
    found = probabilities(ViewScorer(model, PLAN), frames, pairs)
    expected = plain_scores(model, frames, pairs)
    assert np.ptp(expected, axis=(0, 1)).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_classes_that_float32_takes_for_equal_keep_their_order():
    """Logits that are biases alone: float32 has 0 of classes 0 to 5, of which the second leads."""
    keras.utils.set_random_seed(3)
    model = fstcn(num_classes=8, **TINY)
    biases = np.array([-480, -120, -360, -300, -240, -180, 0, 20], np.float32)
    model.classifier.bias.assign(biases)
    model.classifier.kernel.assign(0 * model.classifier.kernel)
    frames = noise(20, height=84, width=101)
    pairs = PLAN.pair_indices(len(frames))[:2]
    found = probabilities(ViewScorer(model, PLAN), frames, pairs)
    assert (np.exp(np.float32(biases[:6] - 20)) == 0).all()
    powers = [Decimal(int(bias)).exp() for bias in biases]
    exact = [float(power / sum(powers)) for power in powers]
    np.testing.assert_allclose(found, np.broadcast_to(exact, (2, 18, 8)), rtol=1e-12)
    for method in fusion.METHODS:
        assert np.argsort(-fusion.fuse(found, method)).tolist() == [7, 6, 1, 5, 4, 3, 2, 0]


def test_an_image_of_several_clips_is_convolved_once(monkeypatch):
    model, frames = network(), noise(20, height=84, width=101)
    pairs = np.array([[[0, 4, 8], [2, 6, 10]], [[4, 8, 12], [6, 10, 14]]])
    scorer = ViewScorer(model, PLAN)
    convolved = []
    crops = scorer._crops
    monkeypatch.setattr(
        scorer, "_crops", lambda *given: convolved.extend(given[-1]) or crops(*given)
    )
    scorer.score([(frames, pair) for pair in pairs])
    assert len(convolved) == 2 + 4  # two middle frames; differences from frames 0, 4, 8 and 12


@pytest.mark.parametrize(("height", "width"), [(68, 68), (68, 101)])
def test_a_frame_no_higher_than_the_crop_is_cut_along_its_width_alone(height, width):
    model, frames = network(), noise(20, height=height, width=width)
    pairs = PLAN.pair_indices(len(frames))[:1]
    shared = probabilities(ViewScorer(model, SHARED), frames, pairs)
    columns = shared.reshape(2, 3, 3, -1)  # mirrored, row of the grid, column
    np.testing.assert_allclose(columns, columns[:, :1].repeat(3, axis=1), atol=1e-6)
    if height == width:  # the crop is the frame: nothing is beyond its borders
        expected = plain_scores(model, frames, pairs)
        np.testing.assert_allclose(shared, expected, rtol=0, atol=1e-5)
    else:
        assert np.ptp(columns, axis=2).max() > 1e-3


def test_crops_that_are_the_same_are_encoded_once(monkeypatch):
    model, frames = network(paths=("spatial",)), noise(20, height=68, width=101)
    pairs, encoded = PLAN.pair_indices(len(frames))[:1], []
    scorer = ViewScorer(model, PLAN)
    (encode,) = scorer._encode
    counted = [lambda batch: encoded.append(len(batch)) or encode(batch)]
    monkeypatch.setitem(scorer.__dict__, "_encode", counted)
    found = probabilities(scorer, frames, pairs)
    assert encoded == [2 * 3]  # three columns of the grid, and their mirror images
    expected = plain_scores(model, frames, pairs)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_shared_views_are_cut_from_the_maps_next_to_their_places():
    """Maps that hold their own places: 84x132 pixels give 4x7 of them, a crop takes 3x3."""
    scorer = ViewScorer(network(), SHARED)
    y, x = np.mgrid[:4, :7]
    places = np.stack([np.stack([y, x], -1), np.stack([y, 6 - x], -1)])  # the image, its mirror

    def convolve(images: np.ndarray) -> np.ndarray:
        assert images.shape == (4, 84, 132, 3)
        np.testing.assert_array_equal(images[2:], images[:2, :, ::-1])
        return places.repeat(2, axis=0)

    crops, others = scorer._crops(scorer.encoders[0], convolve, noise(20, height=84, width=132)[:2])
    np.testing.assert_array_equal(crops, others)
    tops, lefts = (0, 0, 1), (0, 2, 4)
    expected = [(top, left) for top in tops for left in lefts]
    assert [tuple(crop[0, 0]) for crop in crops[:9]] == expected
    for crop, mirrored in zip(crops[:9], crops[9:], strict=True):
        np.testing.assert_array_equal(mirrored, crop[:, ::-1])


def test_videos_of_different_sizes_are_scored_together():
    scorer = ViewScorer(network(), SHARED)
    wide, narrow = noise(20, height=84, width=132), noise(20, height=84, width=101, seed=1)
    pairs = PLAN.pair_indices(20)
    wanted = [(wide, pairs[0]), (narrow, pairs[1]), (wide, pairs[2])]
    found = scorer.score(wanted)[PROBABILITIES]
    for (frames, pair), together in zip(wanted, found, strict=True):
        alone = probabilities(scorer, frames, pair[None])[0]
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_networks_of_other_layers_run_whole_and_share_nothing():
    shape = (PLAN.clip_length, PLAN.crop_size, PLAN.crop_size, 3)
    inputs = {name: keras.Input(shape, dtype="uint8", name=name) for name in ("clip", "clip_diff")}
    x = keras.layers.Concatenate()(list(inputs.values()))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1e-4)(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    frames = noise(20, height=84, width=101)
    pairs = PLAN.pair_indices(len(frames))
    found = probabilities(ViewScorer(model, PLAN), frames, pairs)
    np.testing.assert_allclose(found, plain_scores(model, frames, pairs), atol=1e-5)
    with pytest.raises(ValueError, match="must be 'exact' for a network that is not FSTCN"):
        ViewScorer(model, SHARED)


def test_unknown_mode():
    with pytest.raises(ValueError, match="Received: 'some'"):
        dataclasses.replace(PLAN, mode="some")

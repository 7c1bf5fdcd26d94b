"""The clips of a video, which of them decides, and where the demo's discs are."""

import dataclasses

import numpy as np
import pytest

from analysis.explanation import ClipPixels, Explainer, disc_regions, read_clips
from fstcn_keras import ActionClassifier, ViewPlan
from tests.analysis.test_attribution import VIEWS, tiny_fstcn
from tests.videos import noise, write_video
from training.data.collections import demo

PLAN = ViewPlan(num_clips=3, stride=4, distance=5, **VIEWS)


def classifier() -> ActionClassifier:
    return ActionClassifier(tiny_fstcn(), classes=["a", "b", "c", "d"], plan=PLAN)


def test_clips_hold_the_pixels_that_the_network_looks_at(tmp_path):
    frames = noise(18, height=72, width=90)
    path = write_video(tmp_path / "v.avi", frames)
    video = read_clips(path, classifier())
    assert (video.num_frames, len(video.clips)) == (18, 3)  # a clip spans 14 frames
    for clip, start in zip(video.clips, (0, 2, 4), strict=True):
        assert (clip.numbers - start).tolist() == [[0, 4, 8], [5, 9, 13]]
        assert clip.frame_number == start + 4
        np.testing.assert_array_equal(clip.parts["frame"], frames[start + 4][None])
        for k, difference in enumerate(clip.parts["differences"]):
            expected = np.abs(frames[start + 4 * k].astype(int) - frames[start + 4 * k + 5])
            np.testing.assert_array_equal(difference, expected)


def test_scores_are_those_of_a_prediction(tmp_path):
    path = write_video(tmp_path / "v.avi", noise(18, height=72, width=90))
    video, prediction = read_clips(path, classifier()), classifier().predict_video(path)
    for label, name in enumerate(classifier().classes):
        expected = prediction.scores[prediction.classes.index(name)]
        assert video.video_scores[label] == pytest.approx(expected, rel=1e-5)


def test_a_short_video_has_each_clip_once(tmp_path):
    path = write_video(tmp_path / "v.avi", noise(10, height=72, width=90))
    video = read_clips(path, classifier())
    assert len(video.clips) == 1
    assert video.scores.shape == (1, 4)


@pytest.mark.parametrize("fps", [12.5, 50])
def test_clips_bear_the_frame_numbers_of_the_file_at_any_rate(tmp_path, fps):
    """At half the rate of the file every other frame is shown, at twice its rate each one twice."""
    frames = noise(40, height=72, width=90)
    path = write_video(tmp_path / "v.avi", frames)
    slow = ActionClassifier(
        tiny_fstcn(), classes=["a", "b", "c", "d"], plan=dataclasses.replace(PLAN, fps=fps)
    )
    video = read_clips(path, slow)
    assert video.num_frames == 40
    assert len(video.clips) == 3
    last = int(40 * fps / 25) - 1  # of the frames at the rate of the plan
    pairs = np.array([[0, 4, 8], [5, 9, 13]]) + last - 13
    expected = pairs * 2 if fps < 25 else pairs // 2
    np.testing.assert_array_equal(video.clips[-1].numbers, expected)
    for clip in video.clips:
        np.testing.assert_array_equal(clip.parts["frame"][0], frames[clip.frame_number])


def demo_clip(*, scale: int = 1) -> ClipPixels:
    numbers = np.array([[12, 17, 22, 27, 32], [21, 26, 31, 36, 41]])
    frame = np.zeros((1, scale * demo.HEIGHT, scale * demo.WIDTH, 3), np.float32)
    return ClipPixels(numbers=numbers, parts={"frame": frame})


def disc_pixels(motion: str, number: int) -> np.ndarray:
    """Where red exceeds green in a rendered video: its discs, bool (frames, height, width)."""
    generator = np.random.default_rng([0, demo.MOTIONS.index(motion), number])
    video = demo.render("red", motion, generator).astype(int)
    return video[..., 0] - video[..., 1] > 0


@pytest.mark.parametrize("motion", ["sway", "pulse", "hop"])
def test_the_regions_hold_the_discs_and_little_else(motion):
    regions = disc_regions(f"demo03_red_{motion}.avi", demo_clip())
    discs, clip = disc_pixels(motion, 3), demo_clip()
    assert not (discs[clip.frame_number] & ~regions["frame"][0]).any()
    # a square holds 4 / pi times its circle, and a margin of at most a pixel on either side
    assert discs[clip.frame_number].sum() > 0.6 * regions["frame"].sum()
    for region, one, other in zip(regions["differences"], *clip.numbers, strict=True):
        assert not ((discs[one] ^ discs[other]) & ~region).any()
        covered = discs[one] | discs[other]
        assert region.sum() == 0 or covered.sum() > 0.6 * region.sum()


def test_discs_at_rest_are_in_no_difference():
    regions = disc_regions("demo03_cyan_rest.avi", demo_clip())
    assert regions["frame"].any()
    assert regions["differences"].shape == (5, demo.HEIGHT, demo.WIDTH)
    assert not regions["differences"].any()


def test_energy_on_the_discs_stands_beside_that_of_random_weights(tmp_path):
    """A map of noise by an untrained network is no better on the discs than by another one."""
    path = write_video(tmp_path / "demo03_red_sway.avi", noise(60, height=72, width=96))
    settings = {"method": "gradient", "seed": 0, "settings": {}}
    explainer = Explainer(classifier(), on_demo=True, **settings)
    video = read_clips(path, classifier())
    for checks in explainer.explain(video, 1).checks.values():
        assert len(checks.random_concentration) == 3
        low, *_, high = sorted(checks.random_concentration)
        assert 0 < low < high
        assert 0.3 * low < checks.concentration < 3 * high


def test_regions_grow_with_the_frames():
    small = disc_regions("demo03_red_sway.avi", demo_clip())
    large = disc_regions("demo03_red_sway.avi", demo_clip(scale=2))
    for part in small:
        assert large[part].mean() == pytest.approx(small[part].mean(), rel=0.1)

"""The built-in demo: what a frame tells, what a difference tells, and its split files."""

import itertools

import numpy as np
import pytest

from fstcn_keras.clips import absolute_difference
from fstcn_keras.video import VideoReader
from training.data import collections
from training.data.collections import demo

SEEDS = range(12)


def covered(appearance: str, motion: str, seed: int) -> np.ndarray:
    """Where the discs are, per frame: red minus green tells them from the grey background."""
    video = demo.render(appearance, motion, np.random.default_rng(seed)).astype(int)
    return np.abs(video[..., 0] - video[..., 1]) > 60


def test_a_frame_shows_the_appearance():
    for motion in demo.MOTIONS:
        red = demo.render("red", motion, np.random.default_rng(1)).astype(int)
        cyan = demo.render("cyan", motion, np.random.default_rng(1)).astype(int)
        assert (red[..., 0] - red[..., 1]).min() >= 0
        assert (cyan[..., 0] - cyan[..., 1]).max() <= 0


def test_a_frame_does_not_show_the_motion():
    shares = [
        np.mean([covered("red", motion, seed)[::20].mean() for seed in SEEDS])
        for motion in demo.MOTIONS
    ]
    for one, two in itertools.combinations(shares, 2):
        assert one == pytest.approx(two, rel=0.25)


def test_differences_do_not_show_the_appearance():
    for motion in demo.MOTIONS:
        means = {}
        for appearance in demo.APPEARANCES:
            videos = [demo.render(appearance, motion, np.random.default_rng(s)) for s in SEEDS]
            differences = [absolute_difference(video[:-9], video[9:]) for video in videos]
            means[appearance] = np.mean(differences, axis=(0, 1, 2, 3))
        np.testing.assert_allclose(means["red"], means["cyan"], rtol=0.05)


def test_differences_show_the_motion():
    """Share of the discs that is not where it was nine frames before."""
    moved = {}
    for motion in demo.MOTIONS:
        masks = [covered("red", motion, seed) for seed in SEEDS]
        moved[motion] = np.mean([(m[:-9] ^ m[9:]).sum() / (2 * m[9:].sum()) for m in masks])
    assert moved["rest"] < 0.01
    assert 0.05 < moved["pulse"] < 0.7
    assert moved["hop"] > 0.5
    assert moved["sway"] > 0.3


@pytest.mark.parametrize("motion", demo.MOTIONS)
def test_boxes_lie_tightly_around_the_discs_of_the_video_of_that_name(motion):
    """Drawn as squares of their own, the boxes' inscribed circles are the rendered discs."""
    boxes = demo.disc_boxes(f"demo07_cyan_{motion}.avi")
    assert boxes.shape == (demo.NUM_FRAMES, demo.NUM_DISCS, 4)
    generator = np.random.default_rng([1, demo.MOTIONS.index(motion), 7])
    video = demo.render("cyan", motion, generator).astype(int)
    rows, columns = np.mgrid[: demo.HEIGHT, : demo.WIDTH]
    for frame in (0, 13, 59):
        discs = np.zeros((demo.HEIGHT, demo.WIDTH), bool)
        for top, left, bottom, right in boxes[frame]:
            assert bottom - top == pytest.approx(right - left, abs=1e-3)
            away = np.hypot(rows - (top + bottom) / 2, columns - (left + right) / 2)
            discs |= away < (bottom - top) / 2
        coloured = video[frame, ..., 2] - video[frame, ..., 0] > 0
        assert (discs ^ coloured).mean() < 0.005


@pytest.mark.parametrize("name", ["demo07_green_sway.avi", "demo07_red_sway.mp4", "v.avi", ""])
def test_other_names_have_no_boxes(name):
    assert demo.disc_boxes(name) is None


def test_videos_and_split_files(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "VIDEOS_PER_CLASS", 3)
    monkeypatch.setattr(demo, "TEST_PER_CLASS", 1)
    demo.prepare_demo(tmp_path)
    tests = []
    for split in (1, 2, 3):
        dataset = collections.read_hmdb51(tmp_path, split=split)
        assert len(dataset.classes) == 8
        assert (len(dataset.side("train")), len(dataset.side("test"))) == (16, 8)
        assert dataset.missing == ()
        assert dataset.unlisted == 0
        tests.append({video.path for video in dataset.side("test")})
    assert len(set.union(*tests)) == 24
    video = tmp_path / "videos" / dataset.videos[0].path
    frames = list(VideoReader(video))
    assert len(frames) == demo.NUM_FRAMES
    assert frames[0].shape == (demo.HEIGHT, demo.WIDTH, 3)
    written = video.stat().st_mtime_ns
    demo.prepare_demo(tmp_path)
    assert video.stat().st_mtime_ns == written

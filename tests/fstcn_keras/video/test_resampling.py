"""Frames of a video by time, at another rate than that of its file."""

import dataclasses

import numpy as np
import pytest

from fstcn_keras import ViewPlan
from fstcn_keras.video import VideoReader
from fstcn_keras.video.frames import view_frames
from fstcn_keras.video.resampling import ResampledFrames, resampled_numbers
from fstcn_keras.video.sources import FrameReader
from fstcn_keras.video.times import uniform_times
from tests.bad_videos import encoded, truncated
from tests.videos import grey_ramp, write_video

PLAN = ViewPlan(num_clips=2, short_side=48, crop_size=40, clip_length=3, stride=4, distance=2)
AT_25 = dataclasses.replace(PLAN, fps=25)


def shown_at(times: np.ndarray, moment: float) -> int:
    """The frame that is on the screen."""
    return max(number for number in range(len(times) - 1) if times[number] <= moment)


@pytest.mark.parametrize("source", [10, 15, 23.976, 24, 25, 29.97, 30, 50, 60, 120])
@pytest.mark.parametrize("fps", [10, 25, 30])
def test_each_period_shows_what_is_on_the_screen_then(source, fps):
    times = uniform_times(60, source)
    found = resampled_numbers(times, fps)
    assert len(found) == round(60 / source * fps)
    shown = [shown_at(times, (k + 0.25) / fps + 1e-12) for k in range(len(found))]
    assert np.abs(found - shown).max() <= (1 if source == 4 * fps else 0)


def test_the_same_rate_changes_nothing():
    jitter = np.random.default_rng(0).uniform(-0.004, 0.004, 101) * (np.arange(101) % 100 > 0)
    for times in (uniform_times(100, 25), uniform_times(100, 25) + jitter):
        np.testing.assert_array_equal(resampled_numbers(times, 25), np.arange(100))


@pytest.mark.parametrize("times", [[0, 1e-4], [0, 0.5], [0, 3, 3.1]])
def test_there_is_at_least_one_frame(times):
    found = resampled_numbers(np.array(times), 2)
    assert len(found) == max(1, round(times[-1] * 2))


def test_frames_are_given_by_their_new_numbers(tmp_path):
    path = write_video(tmp_path / "v.avi", grey_ramp(40), fps=50)
    frames = ResampledFrames(VideoReader(path), 25)
    assert isinstance(frames, FrameReader)
    assert (frames.count(), frames.fps) == (20, 25)
    levels = [int(frame[0, 0, 0]) for frame in frames.select([0, 3, 19])]
    assert levels == [10, 10 + 4 * 6, 10 + 4 * 38]
    np.testing.assert_allclose(frames.times(), np.arange(21) / 25)
    slow = ResampledFrames(VideoReader(path), 100)
    assert [int(frame[0, 0, 0]) for frame in slow.select([0, 1, 2, 79])] == [10, 10, 14, 166]
    assert list(slow.select([])) == []


def test_what_is_missing_is_told(tmp_path):
    path = truncated(tmp_path / "cut.avi")
    expected = VideoReader(path)
    expected.count()
    frames = view_frames(VideoReader(path), AT_25)
    assert frames.incomplete == expected.incomplete != ""


@pytest.mark.parametrize("ticks", [range(0, 2400, 40), range(0, 2400, 80), range(0, 2400, 20)])
def test_views_are_of_the_same_moments_at_every_rate(tmp_path, ticks):
    """Grey of a level that grows by 80 a second."""
    levels = np.array([10 + 80 * tick // 1000 for tick in ticks], np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (len(levels), 48, 64, 3))
    encoded(tmp_path / "v.mkv", images, codec="ffv1", pix_fmt="bgr0", pts=list(ticks))
    found = view_frames(VideoReader(tmp_path / "v.mkv"), AT_25)
    assert found.num_frames in (59, 60, 61)  # how long the last is shown is a guess
    expected = 10 + 80 * found.numbers / 25
    np.testing.assert_allclose(found.frames.mean(axis=(1, 2, 3)), expected, atol=4)


def test_arrays_are_taken_as_they_are():
    from fstcn_keras.video.sources import ArrayFrames

    frames = ArrayFrames(grey_ramp(40))
    one, other = view_frames(frames, PLAN), view_frames(frames, AT_25)
    np.testing.assert_array_equal(one.numbers, other.numbers)


def test_the_plan_tells_its_rate_only_if_it_has_one():
    assert "fps" not in PLAN.settings()
    assert ViewPlan(**AT_25.settings()) == AT_25
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`fps` must be positive"):
            dataclasses.replace(PLAN, fps=fps)

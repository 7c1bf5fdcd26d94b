"""The frames that the views of a video need, from arrays and files."""

import dataclasses

import numpy as np
import pytest

from fstcn_keras import ViewPlan
from fstcn_keras.video import VideoReader
from fstcn_keras.video.decoded import DecodedFrames
from fstcn_keras.video.frames import read_resized, view_frames
from fstcn_keras.video.sources import ArrayFrames
from tests.videos import noise, write_video

# clips of 4 frames: starts 0, 3 (2.5, rounded up) and 5 of 9
PLAN = ViewPlan(num_clips=3, short_side=24, crop_size=16, clip_length=2, stride=2, distance=1)
PAIRS = [[[0, 2], [1, 3]], [[3, 5], [4, 6]], [[5, 7], [6, 8]]]
FRAMES = noise(9, height=24, width=31)


class Counted(ArrayFrames):
    def select(self, numbers):
        self.asked = list(numbers)
        return super().select(self.asked)


def test_frames_and_where_the_clips_find_them():
    found = view_frames(ArrayFrames(FRAMES), PLAN)
    assert (found.num_frames, found.incomplete) == (9, "")
    assert found.pairs.tolist() == PAIRS
    assert found.numbers.tolist() == list(range(9))
    np.testing.assert_array_equal(found.frames[found.positions], FRAMES[np.array(PAIRS)])


def test_no_other_frames_are_read():
    frames = noise(100, height=24, width=31)
    reader = Counted(frames)
    found = view_frames(reader, PLAN)
    assert reader.asked == [0, 1, 2, 3, 48, 49, 50, 51, 96, 97, 98, 99]
    assert found.numbers.tolist() == reader.asked
    np.testing.assert_array_equal(found.frames, frames[reader.asked])
    np.testing.assert_array_equal(found.frames[found.positions], frames[found.pairs])


@pytest.mark.parametrize(
    ("number", "fps", "seen"),
    [
        (1, None, "holds one frame"),
        (1, 0.5, "holds one frame"),
        (30, 0.5, "shows one frame at 0.5 frames a second"),
    ],
)
def test_a_note_says_why_there_is_no_motion(tmp_path, number, fps, seen):
    frames, plan = noise(number, height=24, width=31), dataclasses.replace(PLAN, fps=fps)
    reader = VideoReader(write_video(tmp_path / "v.avi", frames))
    decoded = DecodedFrames.for_views(reader, plan)
    notes = (f"{seen}, and so no motion to tell actions by",)
    assert decoded.notes == notes
    assert view_frames(decoded, plan).notes == notes  # once, also of another process's frames


@pytest.mark.parametrize("size", [(24, 31), (31, 24), (24, 24)])
def test_frames_of_the_short_side_are_passed_on_as_they_are(size):
    frames = noise(2, height=size[0], width=size[1])
    for found, frame in zip(read_resized(ArrayFrames(frames), [0, 1], 24), frames, strict=True):
        assert np.shares_memory(found, frame)

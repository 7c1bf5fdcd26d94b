"""Decoding in a process of its own, and commands that end whatever a decoder does."""

import signal
import subprocess
from contextlib import closing

import numpy as np
import pytest

from fstcn_keras import ViewPlan
from fstcn_keras.video import VideoError, VideoReader
from fstcn_keras.video.frames import view_frames
from fstcn_keras.video.sources import open_frames
from tests.processes import HANG_S, start_python
from tests.training.bad_decoders import Deadly, Greedy, Telling
from tests.videos import noise, write_video
from training.decoding import KILLED, DecodedVideos, isolated
from training.ending import END_S, ended_in_time
from training.loop import _stop_signal
from training.parallel import TOO_MUCH_MEMORY, LastingProcess

PLAN = ViewPlan(num_clips=2, short_side=32, crop_size=24, clip_length=2, stride=2, distance=3)


def test_the_frames_are_those_of_the_views_and_bad_files_cost_nothing_else(tmp_path):
    path = write_video(tmp_path / "a.avi", noise(30))
    missing = tmp_path / "none.avi"
    with closing(LastingProcess()) as decoder:
        decoder.start()
        videos = DecodedVideos([Deadly(), Greedy(), missing, Telling(), path], PLAN, decoder)
        assert len(videos) == 5
        killed, greedy, absent, telling, video = videos
    expected = view_frames(open_frames(path), PLAN)
    assert (video.path, video.count(), video.reason) == (path, 30, "")
    assert video.numbers == tuple(expected.numbers)
    np.testing.assert_array_equal(video.images, expected.frames)
    assert greedy.reason == TOO_MUCH_MEMORY
    assert "No such file" in absent.reason
    assert killed.reason == KILLED
    assert telling.reason == "imported: True"  # before a video has taken the memory for it


def test_an_isolated_video_is_that_of_its_reader(tmp_path):
    path = write_video(tmp_path / "a.avi", noise(12), fps=10)
    reader = VideoReader(path, short_side=32)
    with isolated(path, short_side=32) as video:
        for numbers in (range(12), [0, 7, 11]):
            expected = [*reader.select(numbers)]
            assert expected[0].shape[0] == 32
            np.testing.assert_array_equal([*video.select(numbers)], expected)
        assert (video.count(), video.fps) == (12, 10)
        np.testing.assert_array_equal(video.times(), reader.times())
        assert (video.incomplete, video.notes) == ("", ())


@pytest.mark.parametrize(
    ("path", "reason"), [(Greedy(), TOO_MUCH_MEMORY), (Deadly(), KILLED)], ids=["greedy", "deadly"]
)
def test_an_isolated_video_costs_its_process_alone(path, reason):
    with pytest.raises(VideoError) as raised, isolated(path):
        pass
    assert str(raised.value) == reason


def test_a_training_answers_signals_in_its_own_time():
    with ended_in_time():
        watched = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(watched)
        with _stop_signal():
            assert signal.set_wakeup_fd(-1) == -1
        assert signal.set_wakeup_fd(watched) == watched != -1


HANGS_HERE = "hang()"
HANGS_IN_ITS_PROCESS = f"list(DecodedVideos([Hanging()], {PLAN}, LastingProcess()))"

HANGS_ISOLATED = "isolated(Hanging()).__enter__()"


@pytest.mark.parametrize(
    ("work", "number", "code"),
    [
        (HANGS_HERE, signal.SIGINT, 130),
        (HANGS_HERE, signal.SIGTERM, 143),
        (HANGS_IN_ITS_PROCESS, signal.SIGINT, 130),
        (HANGS_ISOLATED, signal.SIGTERM, 143),
    ],
)
def test_a_signal_ends_a_command_whatever_a_decoder_does(work, number, code):
    script = f"""
import dataclasses
from fstcn_keras import ViewPlan
from tests.training.bad_decoders import Hanging, hang
from training import cli, ending
from training.decoding import DecodedVideos, isolated
from training.parallel import LastingProcess

ending.END_S = 0.2

@dataclasses.dataclass(frozen=True)
class Nothing:
    pass

def main(options):
    {work}

if __name__ == "__main__":
    cli.run(main, Nothing, [])
"""
    process = start_python("-c", script)
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(number)
    try:
        process.communicate(timeout=HANG_S)  # of all that hold its output: its children too
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == code
    assert END_S < 5  # that of the commands

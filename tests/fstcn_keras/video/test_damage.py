"""What counts as missing or damaged, and what is left out by intent."""

import struct
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from fstcn_keras.video import VideoReader
from tests.bad_videos import bitrot, encoded
from tests.processes import run_python
from tests.videos import grey_ramp, noise, write_video


def cut_by_edit_list(path: Path, *, frames: int):
    """Lets an .mp4 begin that many frames later, at 25 frames a second, without encoding anew."""
    content = bytearray(path.read_bytes())
    with av.open(path) as container:
        ticks = int(frames / 25 / container.streams.video[0].time_base)
    scale = struct.unpack_from(">I", content, content.index(b"mvhd") + 16)[0]
    place = content.index(b"elst") + 12  # after version, flags and the number of entries
    duration, start = struct.unpack_from(">Ii", content, place)
    struct.pack_into(">Ii", content, place, duration - frames * scale // 25, start + ticks)
    path.write_bytes(content)


@pytest.mark.parametrize("cut", [0, 1, 5, 17, 26])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_what_an_edit_list_cuts_off_is_not_missing(tmp_path, cut, suffix):
    """Inside the first group of pictures, whose frames are decoded, and behind it."""
    path = tmp_path / f"v.{suffix}"
    encoded(path, grey_ramp(40), options={"g": "10", "bf": "2", "crf": "10"})
    cut_by_edit_list(path, frames=cut)
    reader = VideoReader(path)
    levels = np.stack(list(reader)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, 10 + 4 * np.arange(cut, 40), atol=4)
    assert (reader.incomplete, reader.expected_frames) == ("", 40 - cut or 40)
    np.testing.assert_allclose(reader.times(), np.arange(41 - cut) / 25)


def test_a_trimmed_file_that_is_cut_short_is_incomplete(tmp_path):
    path = tmp_path / "v.mp4"
    first = {"movflags": "+faststart"}
    encoded(path, noise(40), options={"g": "10", "bf": "2"}, container_options=first)
    cut_by_edit_list(path, frames=17)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    path.write_bytes(content[: len(content) * 4 // 5])
    reader = VideoReader(path)
    assert reader.count() < 20
    assert reader.incomplete.startswith(f"incomplete: {reader.decoded_frames} of 23 frames decoded")


def test_empty_packets_of_avi_are_not_missing(tmp_path):
    """AVI fills gaps in time by them: each is counted as a frame of the stream."""
    path = tmp_path / "v.avi"
    encoded(path, noise(20), codec="mpeg4", pts=list(range(0, 4000, 200)))
    with av.open(path) as container:
        assert container.streams.video[0].frames > 90
    reader = VideoReader(path)
    assert reader.count() == 20
    assert reader.incomplete == ""


@pytest.mark.parametrize(
    ("claimed", "missed"),
    [(29, ""), (30, ""), (31, ""), (32, "incomplete: 30 of 32 frames decoded, 0 damaged packets")],
)
def test_a_container_may_claim_one_frame_more_than_there_are(claimed, missed):
    """As with XviD's packed frames, which end with an empty one."""
    reader = VideoReader("v.avi")
    reader.decoded_frames, reader.expected_frames = 30, claimed
    assert reader._missed() == missed


def marked(path: Path) -> tuple[int, int]:
    """Frames, and those of them that FFmpeg marks."""
    with av.open(path) as container:
        flags = [frame.is_corrupt for frame in container.decode(video=0)]
    return len(flags), sum(flags)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.mp4", "libx264"), ("v.mkv", "mpeg4"), ("v.mpg", "mpeg2video"), ("v.ts", "libx264")],
)
def test_damage_that_the_decoder_conceals_is_counted(tmp_path, name, codec):
    path = tmp_path / name
    bitrot(path, codec=codec)
    reader = VideoReader(path)
    assert (reader.count(), reader.damaged_frames) == marked(path)
    assert 0 < reader.damaged_frames < 40
    damage = f"{reader.damaged_frames} of {reader.decoded_frames} frames damaged"
    assert reader.incomplete.startswith("incomplete: ")
    assert reader.incomplete.endswith(damage)


def test_a_reading_that_stops_early_misses_nothing(tmp_path):
    reader = VideoReader(write_video(tmp_path / "v.avi", noise(30)))
    assert reader.incomplete == ""
    reader.count()
    list(reader.select([0, 3]))
    assert reader.incomplete == ""


def test_what_was_missed_is_still_known_after_a_reading_that_stops_early(tmp_path):
    path = tmp_path / "v.mp4"
    bitrot(path)
    reader = VideoReader(path)
    reader.count()
    told = reader.incomplete
    assert told.endswith("of 40 frames damaged")
    list(reader.select([0, 3]))
    assert reader.incomplete == told


def test_healthy_files_are_whole(tmp_path):
    reader = VideoReader(write_video(tmp_path / "v.avi", noise(5)))
    assert reader.count() == 5
    assert (reader.incomplete, reader.damaged_frames) == ("", 0)


def test_threads_that_cannot_be_started_are_want_of_memory():
    def decode(packet):
        raise av.error.BlockingIOError(11, "Resource temporarily unavailable")

    packet = SimpleNamespace(size=1, dts=0)
    container = SimpleNamespace(
        demux=lambda stream: iter([packet]), format=SimpleNamespace(name="mp4")
    )
    stream = SimpleNamespace(decode=decode, codec_context=SimpleNamespace(has_b_frames=False))
    with pytest.raises(MemoryError):
        list(VideoReader("v.mp4")._frames(container, stream))


UNDER_LIMITS = """
import os, sys
from fstcn_keras.process import limit_memory
from fstcn_keras.video import VideoReader

def outcome(read):
    reader = VideoReader(sys.argv[1])
    try:
        return read(reader), reader.incomplete
    except MemoryError:
        return "too much memory"

for read in (VideoReader.count, lambda reader: sum(1 for _ in reader)):
    for mib in (2, 5, 10, 20, 40, 80, 500):
        sys.stdout.flush()
        if os.fork() == 0:
            limit_memory(mib)
            print(outcome(read))
            sys.stdout.flush()
            os._exit(0)
        os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits are those of Linux")
def test_want_of_memory_is_no_damage(tmp_path):
    path = tmp_path / "v.mp4"
    options = {"preset": "ultrafast", "refs": "16", "bf": "0"}  # 16 frames of 3 MB are kept
    encoded(path, grey_ramp(20, height=1088, width=1920), options=options)
    lines = run_python(UNDER_LIMITS, path, FSTCN_KERAS_LAZY="1", without=()).splitlines()
    assert len(lines) == 14
    assert set(lines) == {"too much memory", "(20, '')"}

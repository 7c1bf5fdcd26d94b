"""Which stream of a file is its video, where there are several."""

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from fstcn_keras.video import VideoError, VideoReader

RED, BLUE, WHITE = ([255, 0, 0], [0, 0, 255], [255, 255, 255])


def pictures(colour: list[int], number: int, *, side: int = 64) -> np.ndarray:
    return np.full((number, side, side, 3), colour, np.uint8)


def write_streams(
    path: Path,
    *streams: tuple[np.ndarray, Disposition | None],
    codecs: tuple[str, ...] = (),
    **options: str,
) -> Path:
    """Writes frames as streams, their packets one after another in time."""
    packets = []
    with av.open(path, "w", options=options) as container:
        for number, (frames, disposition) in enumerate(streams):
            codec = codecs[number] if codecs else "mpeg4"
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if disposition is not None:
                stream.disposition = disposition
            for image in frames:
                packets += stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))
            packets += stream.encode()
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    while content:
        size = struct.unpack(">I", content[:4])[0]
        yield content[4:8], content[:size]
        content = content[size:]


def udta_first(path: Path) -> Path:
    """Moves the cover art of an .mp4 before the track, as some writers place it."""
    content = path.read_bytes()
    (movie,) = (box for name, box in boxes(content) if name == b"moov")
    parts = sorted(boxes(movie[8:]), key=lambda part: part[0] != b"udta")
    assert parts[0][0] == b"udta"
    path.write_bytes(content.replace(movie, movie[:8] + b"".join(box for _, box in parts)))
    return path


def colour_and_frames(path: Path) -> tuple[list[int], int]:
    frames = np.stack(list(VideoReader(path)))
    return frames.mean(axis=(0, 1, 2)).round(-1).clip(0, 255).tolist(), len(frames)


COVER = (pictures(WHITE, 1, side=256), Disposition.attached_pic)


@pytest.mark.parametrize("place", ["before", "after"])
def test_cover_art_of_mp4_is_never_the_video(tmp_path, place):
    path = write_streams(
        tmp_path / "cover.mp4",
        (pictures(BLUE, 7), None),
        COVER,
        codecs=("mpeg4", "mjpeg"),
    )
    path = udta_first(path) if place == "before" else path
    with av.open(path) as container:
        flags = [bool(s.disposition & Disposition.attached_pic) for s in container.streams.video]
    assert flags == ([True, False] if place == "before" else [False, True])
    colour, count = colour_and_frames(path)
    assert count == 7
    np.testing.assert_allclose(colour, BLUE, atol=10)
    assert VideoReader(path).notes == ()


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "nut"])
def test_a_track_of_one_picture_is_not_the_video(tmp_path, suffix):
    """Cover art kept as a track like any other, and as the default one."""
    path = write_streams(
        tmp_path / f"track.{suffix}",
        (COVER[0], Disposition.default),
        (pictures(BLUE, 7), Disposition(0)),
        codecs=("mjpeg", "mpeg4"),
    )
    colour, count = colour_and_frames(path)
    assert count == 7
    np.testing.assert_allclose(colour, BLUE, atol=10)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_stream_is_read_and_named(tmp_path, suffix, default):
    flags = [Disposition.default if n == default else Disposition(0) for n in range(3)]
    colours = (RED, BLUE, WHITE)
    streams = [(pictures(colours[n], 7 + n), flags[n]) for n in range(3)]
    path = write_streams(tmp_path / f"three.{suffix}", *streams)
    colour, count = colour_and_frames(path)
    assert count == 7 + default
    np.testing.assert_allclose(colour, colours[default], atol=10)
    reader = VideoReader(path)
    assert reader.count() == 7 + default
    assert reader.notes == (f"holds 3 video streams; stream {default} is read: mpeg4, 64x64",)


@pytest.mark.parametrize(
    ("flags", "colour", "number"),
    [(Disposition(0), BLUE, 8), (Disposition.visual_impaired, RED, 7)],
)
def test_behind_a_picture_comes_the_larger_stream_unless_it_is_for_few(
    tmp_path, flags, colour, number
):
    streams = [(pictures(RED, 7), Disposition(0)), (pictures(BLUE, 8, side=96), flags)]
    codecs = ("mjpeg", "mpeg4", "mpeg4")
    cover = (COVER[0], Disposition.default)
    found, count = colour_and_frames(
        write_streams(tmp_path / "three.mkv", cover, *streams, codecs=codecs)
    )
    assert count == number
    np.testing.assert_allclose(found, colour, atol=10)


def test_several_streams_that_hold_one_frame_each(tmp_path):
    path = write_streams(tmp_path / "ones.mkv", (pictures(RED, 1), None), (pictures(BLUE, 1), None))
    assert VideoReader(path).count() == 1


def test_cover_art_alone_is_no_video(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(path, "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=44100)
        cover = container.add_stream("mjpeg", rate=25)
        cover.height = cover.width = 64
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(pictures(RED, 1)[0], "rgb24")))
        container.mux(cover.encode())
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 44100
        container.mux(sound.encode(samples))
        container.mux(sound.encode())
    with pytest.raises(VideoError, match=r"^holds no video stream, only an attached picture$"):
        VideoReader(path).count()

"""Every kind of bad or odd file in one folder: each is read as far as it goes, or listed."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.videos import grey_ramp, write_video
from training.data import datasets
from training.data.preparation import prepare_store


def noise(num_frames: int, *, height: int = 96, width: int = 128) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def text(path: Path):
    path.write_text("this is not a video\n" * 50)


def truncated(path: Path):
    content = write_video(path, noise(40), codec="mpeg4").read_bytes()
    path.write_bytes(content[: len(content) // 2])


def damaged(path: Path):
    content = bytearray(write_video(path, noise(40), codec="mpeg4").read_bytes())
    start = len(content) * 2 // 5
    content[start : start + len(content) // 10] = os.urandom(len(content) // 10)
    path.write_bytes(content)


def audio_only(path: Path):
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def encoded(path: Path, images, *, codec: str, pix_fmt: str, options=None, pts=None):
    height, width = images[0].shape[:2]
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            if pts is not None:
                frame.pts, frame.time_base = pts[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def ten_bit(path: Path):
    encoded(path, noise(6), codec="ffv1", pix_fmt="yuv420p10le")


def grey(path: Path):
    encoded(path, noise(6), codec="ffv1", pix_fmt="gray")


def long_gop(path: Path):
    options = {"g": "60", "bf": "3", "crf": "10"}
    encoded(path, grey_ramp(60), codec="libx264", pix_fmt="yuv420p", options=options)


def variable_rate(path: Path):
    pts = np.cumsum([40, 40, 500, 10, 10, 900, 40, 40]).tolist()
    encoded(path, noise(8), codec="libx264", pix_fmt="yuv420p", options={"bf": "0"}, pts=pts)


def transport_stream(path: Path):
    with av.open(path, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for image in noise(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def size_change(path: Path):
    with path.open("wb") as file:
        for height, width in ((96, 128), (64, 64)):
            part = path.with_suffix(".part")
            with av.open(part, "w", format="mpegts") as container:
                stream = container.add_stream("mpeg2video", rate=25)
                stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
                for image in noise(8, height=height, width=width):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                container.mux(stream.encode())
            file.write(part.read_bytes())
            part.unlink()


def huge_header(path: Path, *, side: int = 100_000):
    """An .avi whose stream header claims that many pixels a side."""
    encoded(path, noise(3), codec="rawvideo", pix_fmt="bgr24")
    content = bytearray(path.read_bytes())
    place = content.index(b"strf") + 8
    content[place + 4 : place + 12] = struct.pack("<ii", side, side)
    path.write_bytes(content)


def millions_of_frames(path: Path):
    content = bytearray(write_video(path, noise(3), codec="mpeg4").read_bytes())
    for tag, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        place = content.index(tag) + offset
        content[place : place + 4] = struct.pack("<I", 50_000_000)
    path.write_bytes(content)


def empty_packets(path: Path):
    """A container that claims its rate and frames, but holds packets without a byte."""
    content = bytearray(write_video(path, noise(12), codec="mpeg4").read_bytes())
    start, end = content.index(b"movi") + 4, content.index(b"idx1")
    content[start:end] = b"00dc\x00\x00\x00\x00" * ((end - start) // 8)
    path.write_bytes(content)


def symlink_loop(path: Path):
    path.symlink_to(path.name)


# maker, frames decoded, part of the reason ("" for none)
CASES = {
    "fine.avi": (lambda path: write_video(path, noise(5)), 5, ""),
    "zero.avi": (Path.touch, 0, "cannot be opened"),
    "text.avi": (text, 0, "cannot be opened"),
    "truncated.avi": (truncated, range(10, 30), "incomplete"),
    "damaged.avi": (damaged, range(30, 41), "incomplete"),
    "audio.avi": (audio_only, 0, "no video stream"),
    "no duration.mpg": (transport_stream, 10, ""),
    "one.mp4": (lambda path: write_video(path, noise(1), codec="mpeg4"), 1, ""),
    "odd.avi": (lambda path: write_video(path, noise(4, height=243, width=321)), 4, ""),
    "size change.mpg": (size_change, range(15, 17), ""),
    "ten bit.mkv": (ten_bit, 6, ""),
    "grey.mkv": (grey, 6, ""),
    "long gop.mp4": (long_gop, 60, ""),
    "variable rate.mp4": (variable_rate, 8, ""),
    "huge.avi": (huge_header, 0, "no frame could be decoded"),
    "large.avi": (lambda path: huge_header(path, side=12_000), 0, "claims 12000x12000 pixels"),
    "millions.avi": (millions_of_frames, 3, "incomplete: 3 of 50000000"),
    "empty packets.avi": (empty_packets, 0, ""),
    "loop.avi": (symlink_loop, 0, "cannot be read"),
    "ünïcode 日本.avi": (lambda path: write_video(path, noise(2)), 2, ""),
    "new\nline.avi": (lambda path: write_video(path, noise(2)), 2, ""),
    "folder.avi": (Path.mkdir, 0, "cannot be read"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("collection")
    (root / "c").mkdir()
    for name, (make, _, _) in CASES.items():
        make(root / "c" / name)
    dataset = datasets.folder(root, split=1)
    paths = [video.path for video in dataset.videos]
    return prepare_store(root / "store", root, paths, short_side=24)


def test_every_file_is_accounted_for(store):
    assert set(store.videos) == {f"c/{name}" for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_frames_and_reason(store, name):
    _, num_frames, reason = CASES[name]
    stored = store.videos[f"c/{name}"]
    expected = num_frames if isinstance(num_frames, range) else [num_frames]
    assert stored.num_frames in expected, stored
    assert reason in stored.reason
    assert (stored.reason == "") == (reason == "" and num_frames != 0), stored
    assert "\n" not in stored.reason
    if stored.num_frames:
        frames = store.read_frames(f"c/{name}", range(stored.num_frames))
        assert frames.shape == (stored.num_frames, stored.height, stored.width, 3)
        assert min(stored.height, stored.width) == 24


def test_h264_with_b_frames_comes_in_order_of_display(store):
    levels = store.read_frames("c/long gop.mp4", range(60)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, 10 + 4 * np.arange(60), atol=4)

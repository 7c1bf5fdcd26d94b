"""Frames of generated files against those of FFmpeg's own command, of another build of FFmpeg."""

import io
import math
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fstcn_keras.video import VideoReader
from tests.bad_videos import set_display_matrix
from tests.fstcn_keras.video.test_orientation import EIGHT, turned_by

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs apt-get install ffmpeg"),
]
NUM_FRAMES = 12
# name of the file, encoder, pixel format
CODECS = [
    ("h264.mp4", "libx264", "yuv420p"),
    ("h264.mkv", "libx264", "yuv422p"),
    ("h264.flv", "libx264", "yuv420p"),
    ("h264.ts", "libx264", "yuv444p"),
    ("stream.h264", "libx264", "yuv420p"),
    ("hevc.mp4", "libx265", "yuv420p"),
    ("mpeg4.avi", "mpeg4", "yuv420p"),
    ("mpeg4.mov", "mpeg4", "yuv420p"),
    ("mpeg2.mpg", "mpeg2video", "yuv420p"),
    ("mpeg1.m1v", "mpeg1video", "yuv420p"),
    ("mpeg2.mxf", "mpeg2video", "yuv422p"),
    ("mjpeg.avi", "mjpeg", "yuvj420p"),
    ("vp8.webm", "libvpx", "yuv420p"),
    ("vp9.ivf", "libvpx-vp9", "yuv420p"),
    ("wmv.wmv", "wmv2", "yuv420p"),
    ("flv.flv", "flv", "yuv420p"),
    ("prores.mov", "prores_ks", "yuv422p10le"),
    ("ten bits.mp4", "libx265", "yuv420p10le"),
    ("twelve bits.mkv", "ffv1", "yuv420p12le"),
    ("rough colours.avi", "ffv1", "yuv410p"),
    ("lossless.avi", "ffv1", "bgr0"),
    ("grey.mkv", "ffv1", "gray"),
    ("moving.gif", "gif", "rgb8"),
    ("moving.apng", "apng", "rgb24"),
]
COLOURS = [
    (space, range_, height)
    for space in ("ITU601", "ITU709")
    for range_ in ("MPEG", "JPEG")
    for height in (96, 720)
]
ANGLES = [1, 2, 45, 89.7, 200, 270.3, 359]


def pictures(height: int, width: int) -> np.ndarray:
    """Smooth colours that move."""
    y, x = np.mgrid[:height, :width]
    waves = [
        [
            np.sin((channel + 2) * (3 * y / height + 4 * x / width) + number / 4)
            for channel in (0, 1, 2)
        ]
        for number in range(NUM_FRAMES)
    ]
    return np.uint8(127.5 + 100 * np.array(waves).transpose(0, 2, 3, 1))


def write(
    path: Path, codec: str, pixels: str, *, height: int = 96, tags: tuple[str, str] = ("", "")
):
    space, range_ = tags
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = height, height * 4 // 3, pixels
        stream.codec_context.sample_aspect_ratio = Fraction(1)
        stream.bit_rate = 4_000_000
        if space:
            stream.codec_context.colorspace = av.video.reformatter.Colorspace[space]
            stream.codec_context.color_range = av.video.reformatter.ColorRange[range_]
        for image in pictures(height, height * 4 // 3):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            options = {"dst_colorspace": space, "dst_color_range": range_} if space else {}
            container.mux(stream.encode(frame.reformat(format=pixels, **options)))
        container.mux(stream.encode())


def by_command(path: Path) -> np.ndarray:
    """The frames as the command shows them."""
    command = ["ffmpeg", "-v", "error", "-i", f"file:{path}"]
    png = subprocess.run(
        [*command, "-frames:v", "1", "-c:v", "png", "-f", "image2pipe", "-"],
        capture_output=True,
        check=True,
    ).stdout
    width, height = Image.open(io.BytesIO(png)).size
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-vsync", "passthrough", "-"]
    frames = subprocess.run([*command, *raw], capture_output=True, check=True).stdout
    return np.frombuffer(frames, np.uint8).reshape(-1, height, width, 3)


def check(path: Path):
    expected, found = by_command(path), np.stack(list(VideoReader(path)))
    assert found.shape == expected.shape
    assert len(found) == NUM_FRAMES
    differences = np.abs(found.astype(int) - expected).mean(axis=(1, 2, 3))
    assert differences.max() < 1


@pytest.mark.parametrize(("name", "codec", "pixels"), CODECS)
def test_codecs(tmp_path, name, codec, pixels):
    write(tmp_path / name, codec, pixels)
    check(tmp_path / name)


@pytest.mark.parametrize(("space", "range_", "height"), COLOURS)
def test_matrices_and_ranges_of_colour(tmp_path, space, range_, height):
    write(tmp_path / "v.mp4", "libx264", "yuv420p", height=height, tags=(space, range_))
    check(tmp_path / "v.mp4")


@pytest.mark.parametrize("space", ["ITU601", "ITU709"])
def test_matrices_of_colour_in_ten_bits(tmp_path, space):
    write(tmp_path / "v.mp4", "libx265", "yuv420p10le", tags=(space, "MPEG"))
    check(tmp_path / "v.mp4")


def test_untagged_hd_is_taken_as_the_command_takes_it(tmp_path):
    write(tmp_path / "v.mp4", "libx264", "yuv420p", height=720)
    check(tmp_path / "v.mp4")


@pytest.mark.parametrize("matrix", EIGHT)
def test_display_matrices(tmp_path, matrix):
    write(tmp_path / "v.mp4", "libx264", "yuv420p")
    set_display_matrix(tmp_path / "v.mp4", matrix)
    check(tmp_path / "v.mp4")


@pytest.mark.parametrize("degrees", ANGLES)
@pytest.mark.parametrize("mirrored", [False, True])
def test_display_matrices_at_other_angles(tmp_path, degrees, mirrored):
    write(tmp_path / "v.mp4", "libx264", "yuv420p")
    a, b, c, d = turned_by(degrees)
    set_display_matrix(tmp_path / "v.mp4", (-a, -b, c, d) if mirrored else (a, b, c, d))
    check(tmp_path / "v.mp4")


def test_the_same_moment_is_shown_after_a_cut(tmp_path):
    write(tmp_path / "v.mp4", "libx264", "yuv420p")
    cut = ["-ss", "0.2", "-i", str(tmp_path / "v.mp4"), "-c", "copy", str(tmp_path / "cut.mp4")]
    subprocess.run(["ffmpeg", "-v", "error", *cut], check=True)
    expected = by_command(tmp_path / "cut.mp4")
    reader = VideoReader(tmp_path / "cut.mp4")
    np.testing.assert_allclose(np.stack(list(reader)), expected, atol=3)
    assert reader.incomplete == ""
    assert math.isclose(reader.times()[-1], len(expected) / 25, abs_tol=0.05)

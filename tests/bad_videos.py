"""Makers of bad and odd video files, with what is to become of each."""

import os
import struct
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from tests.videos import grey_ramp, noise, write_video

# colours of the quarters of an upright image: top left, top right, bottom left, bottom right
QUARTERS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
# display matrices `(a, b, c, d)` by the degrees that they turn the picture clockwise
CLOCKWISE = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def text(path: Path):
    path.write_text("this is not a video\n" * 50)


def truncated(path: Path) -> Path:
    content = write_video(path, noise(40), codec="mpeg4").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def damaged(path: Path):
    content = bytearray(write_video(path, noise(40), codec="mpeg4").read_bytes())
    start, length = len(content) * 2 // 5, len(content) // 10
    content[start : start + length] = np.random.default_rng(0).bytes(length)
    path.write_bytes(content)


def bitrot(path: Path, *, codec: str = "libx264"):
    """Bytes altered here and there: every frame is decoded, with damage concealed in many."""
    encoded(path, noise(40), codec=codec, options={"g": "40", "crf": "30"})
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) * 3 // 5, len(content) // 400):
        content[place] ^= 0xFF
    path.write_bytes(content)


def audio_only(path: Path):
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def encoded(
    path: Path,
    images: np.ndarray,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    container_format: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    pts: list[int] | None = None,
    title: str = "",
):
    height, width = images[0].shape[:2]
    with av.open(path, "w", format=container_format, options=container_options) as container:
        container.metadata["title"] = title
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
    encoded(path, grey_ramp(60), options={"g": "60", "bf": "3", "crf": "10"})


def variable_rate(path: Path):
    pts = np.cumsum([40, 40, 500, 10, 10, 900, 40, 40]).tolist()
    encoded(path, noise(8), options={"bf": "0"}, pts=pts)


def transport_stream(path: Path, *, num_frames: int = 10, height: int = 96, width: int = 128):
    images = noise(num_frames, height=height, width=width)
    encoded(path, images, codec="mpeg2video", container_format="mpegts")


def size_change(path: Path):
    part = path.with_suffix(".part")
    with path.open("wb") as file:
        for height, width in ((96, 128), (64, 64)):
            transport_stream(part, num_frames=8, height=height, width=width)
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


def turned(path: Path, *, degrees: int, upright: np.ndarray):
    """An .mp4 with the picture turned, and a track header that turns it clockwise, upright again.

    By its matrix a player shows `(x, y)` of the stored picture, y pointing down, at
    `(a x + c y, b x + d y)` up to a shift (ISO/IEC 14496-12, 6.2.2).
    """
    stored = np.rot90(upright, degrees // 90)  # counter-clockwise
    write_video(path, np.stack([stored] * 3), codec="mpeg4")
    set_display_matrix(path, CLOCKWISE[degrees])


def set_display_matrix(path: Path, matrix: tuple[float, float, float, float]):
    """Writes `(a, b, c, d)`, in the sense of `turned`, into the header of the track of an .mp4."""
    a, b, c, d = (round(value * (1 << 16)) for value in matrix)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # after version, flags, times, track, layer, volume
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def quarters() -> np.ndarray:
    """An upright picture, 96 high and 64 wide, its quarters of the colours `QUARTERS`."""
    return QUARTERS.reshape(2, 2, 3).repeat(48, axis=0).repeat(32, axis=1)


def metadata_not_utf8(path: Path):
    encoded(path, noise(3), codec="mpeg4", title="PLACE")
    path.write_bytes(path.read_bytes().replace(b"PLACE", b"caf\xe9\xff"))


def symlink_loop(path: Path):
    path.symlink_to(path.name)


def symlink_to_nothing(path: Path):
    path.symlink_to("nowhere.avi")


# maker, frames decoded, part of the reason ("" for none)
CASES = {
    "fine.avi": (lambda path: write_video(path, noise(5)), 5, ""),
    "zero.avi": (Path.touch, 0, "is empty"),
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
    "to nothing.avi": (symlink_to_nothing, 0, "cannot be read: No such file"),
    "metadata.avi": (metadata_not_utf8, 3, ""),
    os.fsdecode(b"caf\xe9.avi"): (lambda path: write_video(path, noise(2)), 2, ""),
    os.fsdecode(b"caf\xe9\nbroken.avi"): (text, 0, "cannot be opened"),
    "bitrot.mp4": (bitrot, range(30, 41), "frames damaged"),
    **{
        f"turned {degrees}.mp4": (partial(turned, degrees=degrees, upright=quarters()), 3, "")
        for degrees in CLOCKWISE
    },
}

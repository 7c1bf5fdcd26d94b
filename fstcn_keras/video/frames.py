"""Frames of a video, wherever they come from, at the size that views are cut from."""

import os
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from fstcn_keras import clips
from fstcn_keras.video.reader import MAX_SIDE, VideoError, VideoReader
from fstcn_keras.views.resizing import resize, short_side_weights


@runtime_checkable
class FrameReader(Protocol):
    """What reads the frames of a video by number, as `VideoReader` does."""

    fps: float
    incomplete: str  # what was missing when all frames were counted, in one line, or empty

    def count(self) -> int:
        """Number of frames."""

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers, which increase, `(height, width, 3)` uint8."""


class ArrayFrames:
    """Frames in memory, given out as `VideoReader` gives those of a file.

    Args:
        frames: `(T, H, W, 3)` uint8.

    Attributes:
        fps: 0: an array does not tell.
        incomplete: empty: all frames are there.

    Raises:
        ValueError: if it is of another shape or type, or has no pixel.
    """

    def __init__(self, frames: np.ndarray):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
            raise ValueError(
                "An array of frames must be (T, H, W, 3) uint8 with T, H and W positive. "
                f"Received: {frames.shape} {frames.dtype}"
            )
        self.fps = 0.0
        self.incomplete = ""
        self._frames = frames

    def count(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers."""
        return (self._frames[number] for number in numbers)


def open_frames(source) -> FrameReader:
    """What reads the frames of a video.

    Args:
        source: path of a video file, binary file object that can seek, `(T, H, W, 3)` uint8
            array, or a reader, which is returned.

    Raises:
        TypeError: if it is something else.
        ValueError: if it is an array of another shape or type, or a file that cannot seek.
    """
    if isinstance(source, FrameReader):
        return source
    if isinstance(source, np.ndarray):
        return ArrayFrames(source)
    if isinstance(source, str | os.PathLike):
        return VideoReader(source)
    if not hasattr(source, "read") or not isinstance(source.read(0), bytes):
        raise TypeError(
            "A video must be a path, a binary file object or a (T, H, W, 3) uint8 array. "
            f"Received: {type(source).__name__}"
        )
    if not source.seekable():
        raise ValueError("A file object must be able to seek. Received: one that cannot")
    return VideoReader(source)


def read_resized(
    reader: FrameReader, numbers: Sequence[int], short_side: int
) -> Iterator[np.ndarray]:
    """Gives the frames with these numbers, resized by `resizing.resize`.

    Args:
        reader: where the frames come from.
        numbers: frame numbers, increasing.
        short_side: short side of the resized frames, pixels.

    Yields:
        uint8 `(height, width, 3)`, all of one size.

    Raises:
        VideoError: if the frames cannot be read or are too long and narrow.
    """
    weights = None
    for frame in reader.select(numbers):
        if weights is None:
            height, width = frame.shape[:2]
            longer = clips.resized_length(max(height, width), min(height, width), short_side)
            if longer > MAX_SIDE:
                raise VideoError(
                    f"{width}x{height} pixels would become {longer} on the long side; "
                    f"at most {MAX_SIDE} are read"
                )
            weights = short_side_weights(height, width, short_side)
        yield np.asarray(resize(frame, *weights))

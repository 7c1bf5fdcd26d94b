"""Gives the frames of a video by number, wherever they come from."""

import os
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from fstcn_keras.video.reader import VideoFile, VideoReader


@runtime_checkable
class FrameReader(Protocol):
    """Reads the frames of a video by number, as `VideoReader` does.

    Example:
        >>> isinstance(ArrayFrames(np.zeros((40, 48, 64, 3), np.uint8)), FrameReader)
        True
    """

    @property
    def fps(self) -> float:
        """Returns the frames per second, or 0 if they are not known."""

    @property
    def incomplete(self) -> str:
        """Returns what was missing when all frames were counted, in one line, or nothing."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what was chosen or assumed when all frames were counted, a line each."""

    def count(self) -> int:
        """Returns the number of frames."""

    def times(self) -> np.ndarray:
        """Returns when each frame is shown and when the last one ends, seconds from the first.

        Returns:
            float64 `(T + 1,)`, or empty if it is not known.
        """

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers, which increase, `(height, width, 3)` uint8."""


VideoSource: TypeAlias = VideoFile | np.ndarray | FrameReader


class ArrayFrames:
    """Gives out frames in memory as `VideoReader` gives those of a file.

    Example:
        >>> frames = ArrayFrames(np.zeros((40, 48, 64, 3), np.uint8))
        >>> frames.count(), [frame.shape for frame in frames.select([9])]
        (40, [(48, 64, 3)])

    Args:
        frames: `(T, H, W, 3)` uint8.

    Attributes:
        fps: 0: an array does not tell.
        incomplete: empty: all frames are there.
        notes: empty: nothing is assumed.

    Raises:
        ValueError: if it is of another shape or type, or has no pixel.
    """

    def __init__(self, frames: np.ndarray) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
            raise ValueError(
                "An array of frames must be (T, H, W, 3) uint8 with T, H and W positive. "
                f"Received: {frames.shape} {frames.dtype}"
            )
        self.fps = 0.0
        self.incomplete = ""
        self.notes: tuple[str, ...] = ()
        self._frames = frames

    def count(self) -> int:
        """Returns the number of frames."""
        return len(self._frames)

    def times(self) -> np.ndarray:
        """Returns nothing: an array does not tell."""
        return np.empty(0)

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers."""
        return (self._frames[number] for number in numbers)


def open_frames(source: VideoSource) -> FrameReader:
    """Opens a video: returns the reader of its frames.

    Example:
        >>> open_frames(np.zeros((40, 48, 64, 3), np.uint8)).count()
        40

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

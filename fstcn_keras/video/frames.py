"""Reads frames of a video, wherever they come from, at the size that views are cut from."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from fstcn_keras import clips
from fstcn_keras.video.reader import MAX_SIDE, VideoError, VideoFile, VideoReader
from fstcn_keras.video.resampling import ResampledFrames
from fstcn_keras.views.plan import ViewPlan


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


NO_MOTION = "holds one frame, and so no motion to tell actions by"

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


def read_resized(
    reader: FrameReader, numbers: Sequence[int], short_side: int
) -> Iterator[np.ndarray]:
    """Gives the frames with these numbers, resized by `resizing.resize`.

    Example:
        >>> reader = ArrayFrames(np.zeros((40, 48, 64, 3), np.uint8))
        >>> [frame.shape for frame in read_resized(reader, [0, 9], short_side=24)]
        [(24, 32, 3), (24, 32, 3)]

    Args:
        reader: where the frames come from.
        numbers: frame numbers, increasing.
        short_side: short side of the resized frames, pixels.

    Yields:
        uint8 `(height, width, 3)`, all of one size.

    Raises:
        VideoError: if the frames cannot be read or are too long and narrow.
    """
    return resized(reader.select(numbers), short_side)


def resized(frames: Iterable[np.ndarray], short_side: int) -> Iterator[np.ndarray]:
    """Gives the frames of a video resized by `resizing.resize`.

    Frames that have the short side are passed on as they are.

    Example:
        >>> [frame.shape for frame in resized(np.zeros((2, 48, 64, 3), np.uint8), short_side=24)]
        [(24, 32, 3), (24, 32, 3)]

    Args:
        frames: uint8 `(height, width, 3)`, all of one size.
        short_side: short side of the resized frames, pixels.

    Raises:
        VideoError: if they are too long and narrow.
    """
    resize = None
    for frame in frames:
        height, width = frame.shape[:2]
        longer = clips.resized_length(max(height, width), min(height, width), short_side)
        if longer > MAX_SIDE:
            raise VideoError(
                f"{width}x{height} pixels would become {longer} on the long side; "
                f"at most {MAX_SIDE} are read"
            )
        if min(height, width) == short_side:
            yield frame
        else:
            if resize is None:  # SciPy is for who resizes: importing it takes a seventh of a second
                from fstcn_keras.views.sparse_resizing import SparseResizer

                resize = SparseResizer(height, width, short_side)
            yield resize(frame)


@dataclass(frozen=True, kw_only=True)
class ViewFrames:
    """Holds the frames of a video that its views need, and what else the reading told.

    Example:
        >>> from fstcn_keras.config import FSTCNConfig
        >>> plan = ViewPlan.from_config(FSTCNConfig(short_side=24, crop_size=16), num_clips=1)
        >>> found = view_frames(ArrayFrames(np.zeros((30, 48, 64, 3), np.uint8)), plan)
        >>> isinstance(found, ViewFrames), found.numbers
        (True, array([ 0,  5,  9, 10, 14, 15, 19, 20, 24, 29]))

    Attributes:
        num_frames: frames of the whole video.
        incomplete: what could not be decoded, in one line; empty if all could.
        notes: what was chosen or assumed in reading, a line each.
        times: when each frame is shown and when the last one ends, seconds, float64 `(T + 1,)`;
            empty if it is not known.
        numbers: of the frames that are here, increasing, int64 `(n,)`.
        frames: uint8 `(n, height, width, 3)`, resized to the short side of the views.
        pairs: frame numbers of the clip pairs in the video, int64 `(M, 2, l_t)`.
        positions: theirs in `frames`, the same.
    """

    num_frames: int
    incomplete: str
    notes: tuple[str, ...]
    times: np.ndarray
    numbers: np.ndarray
    frames: np.ndarray
    pairs: np.ndarray
    positions: np.ndarray


def view_frames(reader: FrameReader, plan: ViewPlan) -> ViewFrames:
    """Reads the frames that the views of a video need, and no others.

    Where the plan has `fps`, they are numbered at that rate; those of a video that does not know
    its times are taken to be of that rate.

    Example:
        >>> from fstcn_keras.config import FSTCNConfig
        >>> plan = ViewPlan.from_config(FSTCNConfig(short_side=24, crop_size=16), num_clips=2)
        >>> found = view_frames(ArrayFrames(np.zeros((40, 48, 64, 3), np.uint8)), plan)
        >>> found.frames.shape
        (14, 24, 32, 3)
        >>> found.numbers[found.positions[0, 0]]  # the frames of the first clip
        array([ 0,  5, 10, 15, 20])

    Raises:
        VideoError: if the frames cannot be read or are too long and narrow.
    """
    num_frames, incomplete, notes = reader.count(), reader.incomplete, reader.notes
    if plan.fps is not None and reader.times().size:
        reader = ResampledFrames(reader, plan.fps)
        num_frames = reader.count()
    if num_frames == 1 and NO_MOTION not in notes:
        notes = (*notes, NO_MOTION)
    pairs = plan.pair_indices(num_frames)
    numbers, positions = np.unique(pairs, return_inverse=True)
    return ViewFrames(
        num_frames=num_frames,
        incomplete=incomplete,
        notes=notes,
        times=reader.times(),
        numbers=numbers,
        frames=np.stack(list(read_resized(reader, numbers.tolist(), plan.short_side))),
        pairs=pairs,
        positions=positions.reshape(pairs.shape),
    )

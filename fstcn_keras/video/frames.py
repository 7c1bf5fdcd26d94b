"""Reads the frames that the views of a video need, at the size that they are cut from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fstcn_keras import clips
from fstcn_keras.video.reader import MAX_SIDE, VideoError
from fstcn_keras.video.resampling import ResampledFrames
from fstcn_keras.video.sources import FrameReader
from fstcn_keras.views.plan import ViewPlan

NO_MOTION = "and so no motion to tell actions by"  # how a note ends


def read_resized(
    reader: FrameReader, numbers: Sequence[int], short_side: int
) -> Iterator[np.ndarray]:
    """Gives the frames with these numbers, resized by `resizing.resize`.

    Example:
        >>> from fstcn_keras.video.sources import ArrayFrames
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
        >>> from fstcn_keras.video.sources import ArrayFrames
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
        >>> from fstcn_keras.video.sources import ArrayFrames
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
    held = "holds one frame"
    if plan.fps is not None and reader.times().size:
        if num_frames > 1:
            held = f"shows one frame at {plan.fps:g} frames a second"
        reader = ResampledFrames(reader, plan.fps)
        num_frames = reader.count()
    if num_frames == 1 and not any(note.endswith(NO_MOTION) for note in notes):
        notes = (*notes, f"{held}, {NO_MOTION}")
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

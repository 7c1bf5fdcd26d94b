"""Gives out the frames of a video at another rate, by time."""

from collections.abc import Iterator, Sequence

import numpy as np

from fstcn_keras.video.sources import FrameReader
from fstcn_keras.video.times import uniform_times

PHASE = 0.25  # of a period behind its start, where small errors of times do not matter


def resampled_numbers(times: np.ndarray, fps: float) -> np.ndarray:
    """Computes which frame of a video is shown in each period of another rate.

    It is the one that is shown a quarter into the period. None is made up: at a higher rate some
    come more than once, at a lower one some do not come.

    Example:
        >>> resampled_numbers(np.arange(7) / 50, 25)
        array([0, 2, 4])
        >>> resampled_numbers(np.array([0.0, 0.2, 0.24]), 25)
        array([0, 0, 0, 0, 0, 1])

    Args:
        times: when each frame is shown, and when the last one ends, seconds, float `(T + 1,)`.
        fps: frames per second, positive.

    Returns:
        Increasing frame numbers, int64; as many as periods fit best, at least one.
    """
    periods = max(1, round(float(times[-1]) * fps))
    shown = (np.arange(periods) + PHASE) / fps
    return np.searchsorted(times[1:-1], shown, side="right")


class ResampledFrames:
    """Gives out the frames of a video at another rate as `VideoReader` gives those of a file.

    Example:
        >>> from fstcn_keras.video.sources import ArrayFrames
        >>> source = ArrayFrames(np.zeros((40, 48, 64, 3), np.uint8))
        >>> frames = ResampledFrames(source, 25, times=uniform_times(40, 50))
        >>> frames.count(), len(list(frames.select([0, 19])))
        (20, 2)

    Args:
        source: the video.
        fps: frames per second, positive.
        times: its times, if others than its own.

    Attributes:
        fps: as given.
    """

    def __init__(self, source: FrameReader, fps: float, *, times: np.ndarray | None = None) -> None:
        self.fps = float(fps)
        self._source = source
        self._times = times
        self._numbers: np.ndarray | None = None

    @property
    def incomplete(self) -> str:
        """Returns what was missing when the frames of the video were counted, or nothing."""
        return self._source.incomplete

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what was chosen or assumed when they were counted, a line each."""
        return self._source.notes

    def count(self) -> int:
        """Returns the number of frames at this rate; those of the video are counted once."""
        if self._numbers is None:
            self._source.count()
            times = self._source.times() if self._times is None else self._times
            self._numbers = resampled_numbers(times, self.fps)
        return len(self._numbers)

    def times(self) -> np.ndarray:
        """Returns when each frame is shown and when the last one ends, float64 `(T + 1,)`."""
        return uniform_times(self.count(), self.fps)

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers, which must increase."""
        self.count()
        assert self._numbers is not None
        wanted = self._numbers[list(numbers)]
        distinct, repeats = np.unique(wanted, return_counts=True)
        frames = self._source.select(distinct.tolist())
        for frame, times in zip(frames, repeats.tolist(), strict=True):
            for _ in range(times):
                yield frame

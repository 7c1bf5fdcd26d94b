"""Decodes the videos of a command in a process of its own, whatever they do to their decoder."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fstcn_keras.error_texts import reason_of
from fstcn_keras.video import VideoError, VideoReader
from fstcn_keras.video.decoded import DecodedFrames
from fstcn_keras.views.plan import ViewPlan
from training.parallel import TOO_MUCH_MEMORY, LastingProcess, single_process

KILLED = "the decoder's process was killed, by a crash or from outside"


@dataclass(frozen=True)
class DecodedVideo(DecodedFrames):
    """The frames of a file that its views need, or why there are none.

    Attributes:
        path: of the file.
        reason: empty, if there are frames.
    """

    path: Path = Path()
    reason: str = ""

    def count(self) -> int:
        """Returns the number of frames of the video.

        Raises:
            VideoError: if it could not be decoded.
        """
        if self.reason:
            raise VideoError(self.reason)
        return super().count()


class DecodedVideos:
    """Gives videos one after another, each decoded while the one before it is looked at.

    Args:
        paths: of the files.
        plan: the views that they are decoded for.
        decoder: the process that decodes them.
    """

    def __init__(self, paths: Sequence[Path], plan: ViewPlan, decoder: LastingProcess):
        self._paths = paths
        self._plan = plan
        self._decoder = decoder

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[DecodedVideo]:
        decode = functools.partial(_decoded, plan=self._plan)
        return self._decoder.map(decode, self._paths, killed=_killed)


def _decoded(path: Path, plan: ViewPlan) -> DecodedVideo:
    import fstcn_keras.views.sparse_resizing  # noqa: F401  # before a video takes the memory

    try:
        return DecodedVideo(**vars(DecodedFrames.for_views(VideoReader(path), plan)), path=path)
    except MemoryError:
        return _without_frames(path, TOO_MUCH_MEMORY)
    except (VideoError, OSError, ValueError) as error:
        return _without_frames(path, reason_of(error))


def _killed(path: Path) -> DecodedVideo:
    return _without_frames(path, KILLED)


def _without_frames(path: Path, reason: str) -> DecodedVideo:
    return DecodedVideo(0, (), (), "", path=path, reason=reason)


class IsolatedVideo:
    """Gives out the frames of a file as `VideoReader` does, one by one, from a process of its own.

    Args:
        path: of the file.
        process: that decodes it and nothing else; see `isolated`.
        short_side: see `VideoReader`.

    Attributes:
        fps: see `VideoReader`.
        incomplete: the same.
        notes: the same.

    Raises:
        VideoError: if the file cannot be read, takes too much memory, or kills the process.
    """

    def __init__(self, path: Path, process: ProcessPoolExecutor, short_side: int | None):
        self._process = process
        found = _result(process.submit(_open, path, short_side))
        self._num_frames, self._times, self.fps, self.incomplete, self.notes = found

    def count(self) -> int:
        """Returns the number of frames."""
        return self._num_frames

    def times(self) -> np.ndarray:
        """Returns when each frame is shown and when the last one ends, seconds from the first."""
        return self._times

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers, which increase; one is decoded ahead.

        Raises:
            VideoError: as the constructor.
        """
        _result(self._process.submit(_seek, numbers))
        ahead = self._process.submit(_next)
        for left in reversed(range(len(numbers))):
            frame = _result(ahead)
            if left:
                ahead = self._process.submit(_next)
            yield frame


@contextlib.contextmanager
def isolated(path: Path, *, short_side: int | None = None) -> Iterator[IsolatedVideo]:
    """Opens a file in a process of its own, which is bounded in memory and ends with the context.

    Raises:
        VideoError: see `IsolatedVideo`.
    """
    with single_process() as process:
        yield IsolatedVideo(path, process, short_side)


def _result(future: Future) -> Any:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise VideoError(KILLED) from error


_here: dict[str, Any] = {}  # in the process of an `IsolatedVideo`: its reader and its frames


def _open(path: Path, short_side: int | None) -> tuple:
    with _bounded():
        reader = _here["reader"] = VideoReader(path, short_side=short_side)
        num_frames = reader.count()
        return num_frames, reader.times(), reader.fps, reader.incomplete, reader.notes


def _seek(numbers: Sequence[int]) -> None:
    _here["frames"] = _here["reader"].select(numbers)


def _next() -> np.ndarray:
    with _bounded():
        return next(_here["frames"])


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise VideoError(TOO_MUCH_MEMORY) from error

"""Decodes the videos of a command in a process of its own, whatever they do to their decoder."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fstcn_keras.video import VideoError, VideoReader
from fstcn_keras.video.decoded import DecodedFrames
from fstcn_keras.views.plan import ViewPlan
from training.parallel import TOO_MUCH_MEMORY, map_silently


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
    """Gives videos one after another, each decoded when it is asked for.

    The process that decodes is bounded in memory. One that is killed is replaced.

    Args:
        paths: of the files.
        plan: the views.
    """

    def __init__(self, paths: Sequence[Path], plan: ViewPlan):
        self._paths = paths
        self._plan = plan

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[DecodedVideo]:
        decode = functools.partial(_decoded, plan=self._plan)
        return map_silently(decode, self._paths, killed=_killed, num_processes=1)


def _decoded(path: Path, plan: ViewPlan) -> DecodedVideo:
    try:
        return DecodedVideo(**vars(DecodedFrames.of_views(VideoReader(path), plan)), path=path)
    except MemoryError:
        return _without_frames(path, TOO_MUCH_MEMORY)
    except (VideoError, OSError, ValueError) as error:
        return _without_frames(path, str(error))


def _killed(path: Path) -> DecodedVideo:
    return _without_frames(path, "the decoder's process was killed, by a crash or from outside")


def _without_frames(path: Path, reason: str) -> DecodedVideo:
    return DecodedVideo(0, (), (), "", path=path, reason=reason)

"""Holds decoded frames, which another process than the one that scores them has made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from fstcn_keras.video.frames import view_frames
from fstcn_keras.video.sources import FrameReader
from fstcn_keras.views.plan import ViewPlan


@dataclass(frozen=True)
class DecodedFrames:
    """Gives out the frames of a video that its views need, as `VideoReader` gives a file's.

    Example:
        >>> images = (np.zeros((24, 32, 3), np.uint8),) * 2
        >>> frames = DecodedFrames(num_frames=40, numbers=(0, 9), images=images, incomplete="")
        >>> frames.count(), len(list(frames.select([9])))
        (40, 1)

    Attributes:
        num_frames: frames of the whole video.
        numbers: which of them are here, increasing.
        images: uint8 `(height, width, 3)` each, resized to the short side of the views.
        incomplete: what could not be decoded, in one line; empty if all could.
        notes: what was chosen or assumed in decoding, a line each.
        fps: 0: not known.
        shown_at: when each frame of the whole video is shown and when the last one ends, seconds;
            empty if nobody knows.
    """

    num_frames: int
    numbers: tuple[int, ...]
    images: tuple[np.ndarray, ...]
    incomplete: str
    notes: tuple[str, ...] = ()
    fps: float = 0.0
    shown_at: np.ndarray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def for_views(cls, reader: FrameReader, plan: ViewPlan) -> "DecodedFrames":
        """Decodes the frames that the views of a video need.

        Raises:
            VideoError: if the frames cannot be read or are too long and narrow.
        """
        found = view_frames(reader, plan)
        numbers, images = tuple(found.numbers.tolist()), tuple(found.frames)
        return cls(
            found.num_frames,
            numbers,
            images,
            found.incomplete,
            found.notes,
            shown_at=found.times,
        )

    def count(self) -> int:
        """Returns the number of frames of the video."""
        return self.num_frames

    def times(self) -> np.ndarray:
        """Returns nothing: the frames are at the rate of the views already."""
        return np.empty(0)

    def select(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Gives the frames with these numbers.

        Raises:
            KeyError: if one of them is not here.
        """
        here = dict(zip(self.numbers, self.images, strict=True))
        return (here[number] for number in numbers)

"""Which views of a video are scored."""

import dataclasses
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from fstcn_keras import clips
from fstcn_keras.config import FSTCNConfig

VIEWS = ("exact", "shared")


@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """Which views of a video are scored: M clips of 18 crops each.

    Attributes:
        num_clips: clips of a video, the paper's M.
        short_side: short side of the frames that are cropped, pixels.
        crop_size: side of the square crops, pixels.
        clip_length: frames of a clip, `l_t`.
        stride: frames between two frames of a clip, `s_t`.
        distance: frames between the two members of a difference, `d_t`.
        views: how the crops of an image are made, one of `VIEWS`: see `ViewScorer`.

    Raises:
        ValueError: if `views` is unknown, or another value is no positive integer.
    """

    num_clips: int
    short_side: int
    crop_size: int
    clip_length: int
    stride: int
    distance: int
    views: str = "exact"

    def __post_init__(self):
        if self.views not in VIEWS:
            raise ValueError(f"`views` must be one of {VIEWS}. Received: {self.views!r}")
        for name, value in dataclasses.asdict(self).items():
            if name != "views" and not (isinstance(value, Integral) and value > 0):
                raise ValueError(f"`{name}` must be a positive integer. Received: {value!r}")

    @classmethod
    def of(cls, config: FSTCNConfig, *, num_clips: int = 5) -> "ViewPlan":
        """The plan that fits a network of this configuration."""
        names = ("short_side", "crop_size", "clip_length", "stride", "distance")
        return cls(num_clips=num_clips, **{name: getattr(config, name) for name in names})

    def timing(self) -> dict[str, int]:
        """What the functions of `clips` take."""
        return {name: getattr(self, name) for name in ("clip_length", "stride", "distance")}

    def pair_indices(self, num_frames: int) -> np.ndarray:
        """Frame numbers of all clip pairs of a video, int64 `(M, 2, l_t)`."""
        starts = clips.start_frames(num_frames, self.num_clips, **self.timing())
        return self.pairs_from(starts, num_frames)

    def frame_numbers(self, num_frames: int) -> tuple[int, ...]:
        """Numbers of the frames that the views of a video need, increasing."""
        return tuple(np.unique(self.pair_indices(num_frames)).tolist())

    def pair_indices_by_second(self, num_frames: int, fps: float) -> np.ndarray:
        """Frame numbers of one clip pair for every second begun, int64 `(seconds, 2, l_t)`.

        A clip lies around the middle of its second, but inside the video.
        """
        seconds = np.arange(np.ceil(num_frames / fps))
        first = np.floor((seconds + 0.5) * fps - clips.span(**self.timing()) / 2 + 0.5)
        starts = np.clip(first, 0, clips.last_start(num_frames, **self.timing()))
        return self.pairs_from(starts, num_frames)

    def pairs_from(self, starts: np.ndarray, num_frames: int) -> np.ndarray:
        """Frame numbers of the clip pairs with these starts, int64 `(starts, 2, l_t)`."""
        return np.stack([clips.pair_indices(int(s), num_frames, **self.timing()) for s in starts])

    def cut(self, clip: np.ndarray, later: np.ndarray) -> dict[str, np.ndarray]:
        """The 18 views of a clip pair, as the network takes them.

        Args:
            clip: the clip's frames, `(l_t, height, width, 3)` uint8, short side `short_side`.
            later: those subtracted from them, the same.

        Returns:
            `{"clip", "clip_diff"}`, uint8 `(18, l_t, crop_size, crop_size, 3)` each, in the
            order of `clips.crops`.
        """
        difference = clips.absolute_difference(clip, later)
        return {
            "clip": clips.crops(clip, self.crop_size),
            "clip_diff": clips.crops(difference, self.crop_size),
        }

"""Plans which views of a video are scored."""

import dataclasses
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from fstcn_keras import clips
from fstcn_keras.config import TIMING, FSTCNConfig
from fstcn_keras.views.arrays import Array, Length

SCORING_MODES = ("exact", "shared")
MAX_FPS = 1000
MOST = {  # beyond it a video would take all memory
    "num_clips": 1000,
    "short_side": 16384,
    "crop_size": 16384,
    "clip_length": 1000,
    "stride": 100_000,
    "distance": 100_000,
}


@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """Says which views of a video are scored: M clips of 18 crops each.

    Example:
        >>> ViewPlan.from_config(FSTCNConfig(), num_clips=2)  # doctest: +NORMALIZE_WHITESPACE
        ViewPlan(num_clips=2, short_side=240, crop_size=204, clip_length=5, stride=5, distance=9,
                 sampling='dense', mode='exact', fps=None)

    Attributes:
        num_clips: clips of a video, the paper's M.
        short_side: short side of the frames that are cropped, pixels.
        crop_size: side of the square crops, pixels.
        clip_length: frames of a clip, `l_t`.
        stride: frames between two frames of a clip, `s_t`.
        distance: frames between the two members of a difference, `d_t`.
        sampling: of the clips' frames, one of `clips.SAMPLINGS`.
        mode: how the crops of an image are scored, one of `SCORING_MODES`: see `ViewScorer`.
        fps: frames per second at which a video is read by time, see `video.resampling`; `None`
            takes the frames as they are.

    Raises:
        ValueError: if `mode` or `sampling` is unknown, `fps` not positive or above `MAX_FPS`,
            another value no positive integer or above `MOST`, or the crop larger than the frame.
    """

    num_clips: int
    short_side: int
    crop_size: int
    clip_length: int
    stride: int
    distance: int
    sampling: str = "dense"
    mode: str = "exact"
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in SCORING_MODES:
            raise ValueError(f"`mode` must be one of {SCORING_MODES}. Received: {self.mode!r}")
        if self.sampling not in clips.SAMPLINGS:
            raise ValueError(
                f"`sampling` must be one of {clips.SAMPLINGS}. Received: {self.sampling!r}"
            )
        is_rate = isinstance(self.fps, Real) and not isinstance(self.fps, bool)
        if self.fps is not None and not (is_rate and 0 < self.fps <= MAX_FPS):
            raise ValueError(f"`fps` must be positive, at most {MAX_FPS}. Received: {self.fps!r}")
        for name, most in MOST.items():
            value = getattr(self, name)
            is_whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not (is_whole and 0 < value <= most):
                raise ValueError(
                    f"`{name}` must be a positive integer, at most {most}. Received: {value!r}"
                )
        if self.crop_size > self.short_side:
            raise ValueError(
                "`crop_size` must be at most `short_side`. "
                f"Received: crop_size={self.crop_size}, short_side={self.short_side}"
            )

    @classmethod
    def from_config(
        cls, config: FSTCNConfig, *, num_clips: int = 5, fps: float | None = None
    ) -> "ViewPlan":
        """Makes the plan that fits a network of this configuration.

        Example:
            >>> ViewPlan.from_config(FSTCNConfig(crop_size=108)).crop_size
            108
        """
        names = ("short_side", "crop_size", *TIMING)
        return cls(num_clips=num_clips, fps=fps, **{name: getattr(config, name) for name in names})

    def settings(self) -> dict[str, int | float | str]:
        """Returns the attributes by name; `fps` only if it is set, `sampling` if it is sparse.

        Example:
            >>> "fps" in ViewPlan.from_config(FSTCNConfig()).settings()
            False
        """
        settings = dataclasses.asdict(self)
        if self.fps is None:
            del settings["fps"]
        if self.sampling == "dense":  # as files were before there was another
            del settings["sampling"]
        return settings

    def timing(self) -> dict[str, Any]:
        """Returns the arguments of the functions of `clips`.

        Example:
            >>> ViewPlan.from_config(FSTCNConfig()).timing()
            {'clip_length': 5, 'stride': 5, 'distance': 9, 'sampling': 'dense'}
        """
        return {name: getattr(self, name) for name in TIMING}

    def window_timing(self) -> dict[str, Any]:
        """Returns the same for a clip of part of a video: its frames are `stride` apart.

        Example:
            >>> plan = ViewPlan.from_config(FSTCNConfig(sampling="sparse"))
            >>> plan.window_timing()["sampling"]
            'dense'
        """
        return self.timing() | {"sampling": "dense"}

    def window_span(self) -> int:
        """Counts the frames that a clip of part of a video spans.

        Example:
            >>> ViewPlan.from_config(FSTCNConfig()).window_span()
            30
        """
        return clips.span(clip_length=self.clip_length, stride=self.stride, distance=self.distance)

    def start_frames(self, num_frames: Length) -> Array:
        """Spreads the starts of the clips over a video, integers `(M,)`.

        Example:
            >>> ViewPlan.from_config(FSTCNConfig(), num_clips=3).start_frames(130)
            array([  0,  50, 100])
        """
        return clips.start_frames(num_frames, self.num_clips, **self.timing())

    def pair_indices(self, num_frames: Length) -> Array:
        """Computes the frame numbers of all clip pairs of a video, integers `(M, 2, l_t)`.

        Example:
            >>> ViewPlan.from_config(FSTCNConfig(), num_clips=2).pair_indices(40)[:, 0]
            array([[ 0,  5, 10, 15, 20],
                   [10, 15, 20, 25, 30]])
        """
        return self.pairs_from(self.start_frames(num_frames), num_frames)

    def pair_indices_by_second(self, times: np.ndarray) -> np.ndarray:
        """Computes the frame numbers of one clip pair for every second begun.

        A clip lies around the middle of its second, but inside the video; its frames are `stride`
        apart, whatever the sampling.

        Example:
            >>> times = np.arange(61) / 25  # of 60 frames, and when the last one ends
            >>> ViewPlan.from_config(FSTCNConfig()).pair_indices_by_second(times)[:, 0, 0]
            array([ 0, 23, 30])

        Args:
            times: when each frame is shown, and when the last one ends, seconds from the first;
                increasing, float `(T + 1,)`, T at least 1.

        Returns:
            int64 `(seconds, 2, l_t)`.
        """
        num_frames = len(times) - 1
        seconds = np.arange(max(1, np.ceil(times[-1].round(6))))  # rounding begins none
        # of the middle of each second, in frames; rounded, so that halves of one are exact
        middles = np.interp(seconds + 0.5, times, np.arange(len(times))).round(6)
        timing = self.window_timing()
        first = np.floor(middles - self.window_span() / 2 + 0.5)
        starts = np.clip(first, 0, clips.last_start(num_frames, **timing))
        return clips.pair_indices(starts, num_frames, **timing)

    def pairs_from(self, starts: Array, num_frames: Length) -> Array:
        """Computes the frame numbers of the clip pairs with these starts.

        Example:
            >>> ViewPlan.from_config(FSTCNConfig()).pairs_from([3], num_frames=130)
            array([[[ 3,  8, 13, 18, 23],
                    [12, 17, 22, 27, 32]]])

        Args:
            starts: first frame of each clip, integers `(starts,)`.
            num_frames: frames of the video, at least 1.

        Returns:
            Integers `(starts, 2, l_t)`.
        """
        return clips.pair_indices(starts, num_frames, **self.timing())

    def cut(self, clip: Array, later: Array) -> dict[str, Array]:
        """Cuts the 18 views of a clip pair, as the network takes them.

        Example:
            >>> frames = np.zeros((5, 240, 320, 3), np.uint8)
            >>> views = ViewPlan.from_config(FSTCNConfig()).cut(frames, frames)
            >>> views["clip"].shape, views["clip_diff"].shape
            ((18, 5, 204, 204, 3), (18, 5, 204, 204, 3))

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

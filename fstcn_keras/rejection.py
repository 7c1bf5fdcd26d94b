"""Refuses videos of none of the classes, by how high the network's logits are for them."""

import dataclasses
import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from fstcn_keras.views.arrays import Array, array_namespace, as_array

NONE = "none of the classes"  # what is said of a refused video


def novelty(energy: Array) -> Array:
    """Computes how little the classes explain a video: the mean energy of its views.

    ```
    novelty = -1 / (M C) sum_m sum_c log sum_n exp(logit_mcn)
    ```

    A network has learned to give the videos of its classes high logits, so that others have a
    higher energy. Probabilities, which are shares, tell less: where one of two low logits is the
    less low, they look certain.

    Example:
        >>> novelty([[-3.0, -2.0], [-2.5, -0.5]])
        -2.0

    Args:
        energy: `(..., M, C)`, of every crop of every clip, see `views.scoring.with_probabilities`;
            arrays, or tensors in a graph.

    Returns:
        `(...)`, of one video a float.

    Reference:
        Liu et al. 2020, Energy-based out-of-distribution detection.
    """
    ops = array_namespace(energy)
    found = ops.mean(as_array(energy), axis=(-2, -1))
    return float(found) if ops is np and np.ndim(found) == 0 else found


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Holds from which novelty on a video is refused as none of the classes.

    Example:
        >>> rejection = Rejection(share=0.05, threshold=-2.5, clip_threshold=-2.3, videos=100)
        >>> rejection.rejects(-2.0), rejection.rejects(-3.0)
        (True, False)

    Attributes:
        share: of videos of the classes that may be refused.
        threshold: highest novelty of a video that is not refused.
        clip_threshold: the same of a single clip, such as one second of a video.
        videos: held-out ones that the thresholds were chosen on.

    Raises:
        ValueError: if a value is not of its range.
    """

    share: float
    threshold: float
    clip_threshold: float
    videos: int

    def __post_init__(self) -> None:
        for name in ("share", "threshold", "clip_threshold"):
            value = getattr(self, name)
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not (is_number and math.isfinite(value)):
                raise ValueError(f"`{name}` must be a finite number. Received: {value!r}")
        if not 0 < self.share < 1:
            raise ValueError(f"`share` must lie between 0 and 1. Received: {self.share!r}")
        is_whole = isinstance(self.videos, Integral) and not isinstance(self.videos, bool)
        if not (is_whole and self.videos > 0):
            raise ValueError(f"`videos` must be a positive integer. Received: {self.videos!r}")

    @classmethod
    def from_held_out(cls, energy: np.ndarray, *, share: float) -> "Rejection":
        """Chooses the thresholds on videos of the classes that the network has not learned from.

        They are quantiles of the novelty, at position `(V + 1)(1 - share)` of the sorted videos,
        between two of them by linear interpolation: of another video that is like these the
        probability to lie above is `share`, whatever their distribution, up to the interpolation.

        Example:
            >>> energy = np.arange(99.0)[:, None, None]  # one view of each video
            >>> round(Rejection.from_held_out(energy, share=0.1).threshold, 6)
            89.0

        Args:
            energy: of all views of the videos, `(V, M, C)`.
            share: of videos of the classes that may be refused.

        Raises:
            ValueError: if the videos are too few, see `fewest_videos`.

        Reference:
            Vovk, Gammerman and Shafer 2005, Algorithmic Learning in a Random World (split conformal
            prediction); Hyndman and Fan 1996, Sample quantiles in statistical packages, type 6.
        """
        num_videos = len(energy)
        if num_videos < fewest_videos(share):
            raise ValueError(
                f"A share of {share:g} needs {fewest_videos(share)} held-out videos or more. "
                f"Received: {num_videos}"
            )

        def highest(values: np.ndarray) -> float:
            return float(np.quantile(values, 1 - share, method="weibull"))

        clips = energy.reshape(-1, 1, energy.shape[-1])
        return cls(
            share=share,
            threshold=highest(novelty(energy)),
            clip_threshold=highest(novelty(clips)),
            videos=num_videos,
        )

    def rejects(self, novelty: Array) -> Array:
        """Returns whether videos of this novelty are refused, bool."""
        return novelty > self.threshold

    def rejects_clip(self, novelty: Array) -> Array:
        """Returns whether clips of this novelty are refused, bool."""
        return novelty > self.clip_threshold

    def settings(self) -> dict[str, float | int]:
        """Returns the attributes by name."""
        return dataclasses.asdict(self)


def fewest_videos(share: float) -> int:
    """Returns how many held-out videos a share needs, so that one of them may be refused.

    Example:
        >>> fewest_videos(0.05)
        19
    """
    return max(1, math.ceil(round(1 / share - 1, 9)))

"""What is said about a video, and about a second of it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fstcn_keras import fusion
from fstcn_keras.views.plan import ViewPlan


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Scores of one video from M clips of C crops each; classes are in one order throughout.

    Attributes:
        classes: all class names, best first.
        scores: SCI-fused scores of the video (7), float `(N,)`; maxima over the clips, whose sum
            is no 1.
        clip_scores: those of each clip (6), float `(M, N)`.
        view_probabilities: class probabilities of each crop of each clip, float32 `(M, C, N)`.
        sci: sparsity concentration index of each view (5), float `(M, C)`.
        pairs: numbers of the frames used, int64 `(M, 2, l_t)`: the clip's, and those subtracted.
        num_frames: frames of the video that were decoded.
        incomplete: what could not be decoded, in one line; empty if all could.
        plan: the views.

    Reference:
        Sun et al. 2015, section 2.4.
    """

    classes: tuple[str, ...]
    scores: np.ndarray
    clip_scores: np.ndarray
    view_probabilities: np.ndarray
    sci: np.ndarray
    pairs: np.ndarray
    num_frames: int
    incomplete: str
    plan: ViewPlan

    @classmethod
    def from_probabilities(
        cls,
        probabilities: np.ndarray,
        classes: Sequence[str],
        *,
        pairs: np.ndarray,
        num_frames: int,
        incomplete: str,
        plan: ViewPlan,
    ) -> "Prediction":
        """Fuses `(M, C, N)` probabilities of classes in any order."""
        scores = fusion.fuse(probabilities)
        order = np.argsort(-scores, kind="stable")
        probabilities = probabilities[..., order]
        return cls(
            classes=tuple(classes[i] for i in order),
            scores=scores[order],
            clip_scores=fusion.fuse_crops(probabilities),
            view_probabilities=probabilities,
            sci=fusion.sci(probabilities),
            pairs=pairs,
            num_frames=num_frames,
            incomplete=incomplete,
            plan=plan,
        )

    @property
    def protocol(self) -> dict[str, Any]:
        """How the scores were made: the view plan, `num_crops` and `fusion`."""
        plan = dataclasses.asdict(self.plan)
        views = plan.pop("mode")  # named as the option of the commands
        return {**plan, "views": views, "num_crops": self.sci.shape[1], "fusion": "sci"}


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """One video of many: its prediction, or why there is none.

    Attributes:
        source: the video, as it was given.
        prediction: `None` if it could not be read.
        reason: why not, in one line; empty if it could.
    """

    source: Any
    prediction: Prediction | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Scores of one second of a video, or of what is left of its last.

    Attributes:
        start_s: where it begins, seconds.
        end_s: where it ends, seconds.
        classes: all class names, best first.
        scores: SCI-weighted mean over the crops of one clip (6), float `(N,)`, best first.
        sci: sparsity concentration index of each crop, float `(C,)`.
    """

    start_s: float
    end_s: float
    classes: tuple[str, ...]
    scores: np.ndarray
    sci: np.ndarray

    @classmethod
    def from_probabilities(
        cls, probabilities: np.ndarray, classes: Sequence[str], *, start_s: float, end_s: float
    ) -> "Moment":
        """Fuses `(C, N)` probabilities of classes in any order."""
        scores = fusion.fuse_crops(probabilities)
        order = np.argsort(-scores, kind="stable")
        return cls(
            start_s=start_s,
            end_s=end_s,
            classes=tuple(classes[i] for i in order),
            scores=scores[order],
            sci=fusion.sci(probabilities),
        )

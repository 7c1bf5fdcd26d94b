"""Holds what is said about a video, and about a second of it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fstcn_keras import fusion, html
from fstcn_keras.rejection import Rejection, novelty
from fstcn_keras.views.plan import ViewPlan


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Holds the scores of one video from M clips of C crops each; classes are in one order.

    Example:
        >>> from fstcn_keras.config import FSTCNConfig
        >>> plan = ViewPlan.from_config(FSTCNConfig(), num_clips=1)
        >>> prediction = Prediction.from_probabilities(
        ...     np.array([[[0.25, 0.75], [0.0, 1.0]]]),  # one clip of two crops
        ...     ["jump", "run"],
        ...     pairs=plan.pair_indices(40),
        ...     num_frames=40,
        ...     incomplete="",
        ...     plan=plan,
        ... )
        >>> prediction.classes, prediction.scores.round(3)
        (('run', 'jump'), array([0.917, 0.083]))

    Attributes:
        classes: all class names, best first.
        scores: SCI-fused scores of the video (7), float `(N,)`; maxima over the clips, whose sum
            is no 1.
        clip_scores: those of each clip (6), float `(M, N)`.
        view_probabilities: class probabilities of each crop of each clip, float `(M, C, N)`.
        sci: sparsity concentration index of each view (5), float `(M, C)`.
        pairs: numbers of the frames used, int64 `(M, 2, l_t)`: the clip's, and those subtracted.
        num_frames: frames of the video that were decoded.
        incomplete: what could not be decoded, in one line; empty if all could.
        plan: the views.
        notes: what was chosen or assumed in reading the video, a line each.
        times: when each frame of the video is shown and when the last one ends, seconds, float64
            `(num_frames + 1,)`; empty if it is not known.
        middle_frame: the middle one of those used, uint8 `(height, width, 3)`, made small for
            notebooks; `None` if it was not kept.
        novelty: how little the classes explain the video, see `rejection.novelty`; `None` if the
            network has no logits.
        rejected: whether it is refused as none of the classes; `None` if there is no threshold.

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
    notes: tuple[str, ...] = ()
    times: np.ndarray = field(default_factory=lambda: np.empty(0))
    middle_frame: np.ndarray | None = None
    novelty: float | None = None
    rejected: bool | None = None

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
        notes: tuple[str, ...] = (),
        times: np.ndarray | None = None,
        middle_frame: np.ndarray | None = None,
        energy: np.ndarray | None = None,
        rejection: Rejection | None = None,
    ) -> "Prediction":
        """Fuses the probabilities of all views of a video and ranks the classes.

        Args:
            probabilities: float `(M, C, N)`, the crops in the order of `clips.crops`.
            classes: names of the N classes, in the order of the last axis.
            pairs: see the class.
            num_frames: see the class.
            incomplete: see the class.
            plan: see the class.
            notes: see the class.
            times: see the class; `None` if they are not known.
            middle_frame: see the class.
            energy: of each crop of each clip, float `(M, C)`; `None` if it is not known.
            rejection: from when on a video is refused.
        """
        scores, found = fusion.fuse(probabilities), None if energy is None else novelty(energy)
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
            notes=notes,
            times=np.empty(0) if times is None else times,
            middle_frame=middle_frame,
            novelty=found,
            rejected=None if rejection is None or found is None else rejection.rejects(found),
        )

    def _repr_html_(self) -> str:
        """Returns the middle frame and the scores of the best classes, for notebooks."""
        shown = "" if self.middle_frame is None else html.picture(self.middle_frame, "middle frame")
        lines = filter(None, (self.incomplete, *self.notes))
        notes = "".join(f"<div>{html.text(line)}</div>" for line in lines)
        scores = zip(self.classes, self.scores.tolist(), strict=True)
        return html.beside(shown, html.bars(scores) + notes)

    @property
    def protocol(self) -> dict[str, Any]:
        """Returns how the scores were made: the view plan, `num_crops` and `fusion`."""
        plan = self.plan.settings()
        views = plan.pop("mode")  # named as the option of the commands
        return {**plan, "views": views, "num_crops": self.sci.shape[1], "fusion": "sci"}


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """Holds the prediction for one video of many, or why there is none.

    Example:
        >>> VideoResult(source="notes.txt", reason="holds no video stream").prediction is None
        True

    Attributes:
        source: the video, as it was given.
        prediction: `None` if it could not be read.
        reason: why not, in one line; empty if it could.
    """

    source: Any
    prediction: Prediction | None = None
    reason: str = ""

    def _repr_html_(self) -> str:
        """Returns the name of the video over its prediction, or why there is none."""
        name = self.source if isinstance(self.source, str | os.PathLike) else "video"
        head = f"<div><b>{html.text(name)}</b></div>"
        if self.prediction is None:
            return f"{head}<div>{html.text(self.reason)}</div>"
        return head + self.prediction._repr_html_()


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Holds the scores of one second of a video, or of what is left of its last.

    Example:
        >>> crops = np.array([[0.25, 0.75], [0.0, 1.0]])
        >>> moment = Moment.from_probabilities(crops, ["jump", "run"], start_s=3, end_s=4)
        >>> moment.classes, moment.scores.round(3)
        (('run', 'jump'), array([0.917, 0.083]))

    Attributes:
        start_s: where it begins, seconds.
        end_s: where it ends, seconds.
        classes: all class names, best first.
        scores: SCI-weighted mean over the crops of one clip (6), float `(N,)`, best first.
        sci: sparsity concentration index of each crop, float `(C,)`.
        novelty: how little the classes explain it, see `rejection.novelty`; `None` if the network
            has no logits.
        rejected: whether it is refused as none of the classes; `None` if there is no threshold.
    """

    start_s: float
    end_s: float
    classes: tuple[str, ...]
    scores: np.ndarray
    sci: np.ndarray
    novelty: float | None = None
    rejected: bool | None = None

    @classmethod
    def from_probabilities(
        cls,
        probabilities: np.ndarray,
        classes: Sequence[str],
        *,
        start_s: float,
        end_s: float,
        energy: np.ndarray | None = None,
        rejection: Rejection | None = None,
    ) -> "Moment":
        """Fuses the probabilities of the crops of one clip and ranks the classes.

        Args:
            probabilities: float `(C, N)`.
            classes: names of the N classes, in the order of the last axis.
            start_s: where the second begins, seconds.
            end_s: where it ends, seconds.
            energy: of each crop, float `(C,)`; `None` if it is not known.
            rejection: from when on a clip is refused.
        """
        scores = fusion.fuse_crops(probabilities)
        found = None if energy is None else novelty(energy[None])
        order = np.argsort(-scores, kind="stable")
        return cls(
            start_s=start_s,
            end_s=end_s,
            classes=tuple(classes[i] for i in order),
            scores=scores[order],
            sci=fusion.sci(probabilities),
            novelty=found,
            rejected=None if rejection is None or found is None else rejection.rejects_clip(found),
        )

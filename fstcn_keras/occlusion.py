"""Shows where a network sees a class: which places of a clip its score falls without."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fstcn_keras import clips
from fstcn_keras.parts import LOGITS
from fstcn_keras.views.scoring import PROBABILITIES, with_probabilities

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier

GRID = 7  # places in a row, and in a column
_BATCH = 10  # clip pairs at a time: the one as it is and all places, in batches of one shape
_CENTRE = 1  # of the three rows and columns of crops


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """Holds how much each place of a clip does for the score of a class.

    Example:
        >>> Occlusion(score=0.9, drops=np.zeros((GRID, GRID))).drops.shape
        (7, 7)

    Attributes:
        score: probability of the class in the clip as it is, mean over three crops.
        drops: by how much it is lower with the place covered, in all frames, float
            `(GRID, GRID)`; negative where it is higher.
    """

    score: float
    drops: np.ndarray


def occlude(
    classifier: "ActionClassifier", frames: np.ndarray, later: np.ndarray, *, label: int
) -> Occlusion:
    """Measures the score of a class with each place of a clip covered in turn.

    A place is one cell of a grid over the whole frame and half of one more on each side. It becomes
    of one colour in all frames, their mean, so that it shows no motion. What is scored are the
    three crops along the longer side, which together see nearly all of a frame of usual width.

    Example:
        >>> from fstcn_keras import ActionClassifier, FSTCN, ViewPlan
        >>> model = FSTCN(num_classes=2, preset="small", width=0.125, crop_size=60, short_side=64)
        >>> plan = ViewPlan.from_config(model.config)
        >>> classifier = ActionClassifier(model, classes=["jump", "run"], plan=plan)
        >>> clip = np.zeros((5, 64, 96, 3), np.uint8)
        >>> occlude(classifier, clip, clip, label=1).drops.shape
        (7, 7)

    Args:
        classifier: whose network is asked.
        frames: the clip's, `(l_t, height, width, 3)` uint8, short side `plan.short_side`.
        later: those subtracted from them, the same.
        label: number of the class in `classifier.classes`.

    Reference:
        Zeiler and Fergus 2014, section 4.2.
    """
    height, width = frames.shape[1:3]
    pairs = [(frames, later)]
    colour = np.rint((frames.mean(axis=(0, 1, 2)) + later.mean(axis=(0, 1, 2))) / 2)
    for row in range(GRID):
        for column in range(GRID):
            place = slice(None), _place(row, height), _place(column, width)
            covered = frames.copy(), later.copy()
            for images in covered:
                images[place] = colour
            pairs.append(covered)
    batches = [pairs[i : i + _BATCH] for i in range(0, len(pairs), _BATCH)]
    scores = np.concatenate([_scores(classifier, batch, label) for batch in batches])
    return Occlusion(score=float(scores[0]), drops=(scores[0] - scores[1:]).reshape(GRID, GRID))


def _place(number: int, length: int) -> slice:
    """Returns where a cell of the grid lies, half of one wider on each side."""
    first, last = (number - 0.5) * length / GRID, (number + 1.5) * length / GRID
    return slice(max(0, round(first)), min(length, round(last)))


def _scores(
    classifier: "ActionClassifier", pairs: Sequence[tuple[np.ndarray, np.ndarray]], label: int
) -> np.ndarray:
    """Returns the probability of the class in each clip pair, mean over its three crops."""
    size = classifier.plan.crop_size
    height, width = pairs[0][0].shape[1:3]
    grid = clips.crop_grid(height, width, size).reshape(3, 3, 2)
    corners = grid[_CENTRE] if width >= height else grid[:, _CENTRE]
    views: dict[str, list[np.ndarray]] = {"clip": [], "clip_diff": []}
    for frames, later in pairs:
        views["clip"] += clips.windows(frames, corners, (size, size))
        differences = clips.absolute_difference(frames, later)
        views["clip_diff"] += clips.windows(differences, corners, (size, size))
    model = classifier.model
    probabilities = model.predict_on_batch({name: np.stack(cut) for name, cut in views.items()})
    if getattr(model, "classifier_activation", "softmax") is None:  # they are logits
        probabilities = with_probabilities({LOGITS: probabilities})[PROBABILITIES]
    return probabilities[:, label].reshape(len(pairs), len(corners)).mean(axis=1)

"""Section 2.4 of the paper, one number after another."""

import numpy as np


def sci(p) -> float:
    """Equation (5)."""
    return (len(p) * max(p) / sum(p) - 1) / (len(p) - 1)


def clip_scores(views: np.ndarray) -> np.ndarray:
    """Equation (6): scores `(M, N)` of view probabilities `(M, C, N)`."""
    clips = []
    for crops in views.astype(np.float64):
        weights = [sci(p) for p in crops]
        clips.append(sum(w * p for w, p in zip(weights, crops, strict=True)) / sum(weights))
    return np.array(clips)


def video_scores(views: np.ndarray) -> np.ndarray:
    """Equation (7): the maximum over the clips."""
    return clip_scores(views).max(axis=0)

"""Whether a network is right as often as its scores say (Guo et al. 2017)."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.style import PALETTE
from fstcn_keras import fusion
from training.figures import add_caption

NUM_BINS = 10
CHANCE_DRAWS = 1000
SEED = 0  # of these


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Confidence and accuracy in bins of equal width.

    Attributes:
        error: the expected calibration error, see `reliability`.
        chance_error: that of a network of these confidences that is right as often as they say,
            on average: of few videos it is far from 0.
        counts: videos in each bin, int `(NUM_BINS,)`.
        confidence: their mean confidence, float; 0 in empty bins.
        accuracy: the share of them that is right, float; 0 in empty bins.
    """

    error: float
    chance_error: float
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(scores: np.ndarray, labels: np.ndarray) -> Reliability:
    """How far confidence and accuracy are apart.

    The confidence of a video is its highest score divided by the sum of its scores: after SCI
    fusion the scores, being maxima over the clips, do not sum to 1. Bin k of K = `NUM_BINS`
    holds the confidences in (k / K, (k + 1) / K], k from 0. The expected calibration error is
    `sum_k n_k / V * |accuracy_k - confidence_k|` with `n_k` of V videos in bin k. What chance alone
    gives is the mean of `CHANCE_DRAWS` draws in which each video is right with the probability of
    its confidence.

    Args:
        scores: fused scores, not negative, `(V, N)`.
        labels: int `(V,)`.
    """
    confidence = scores.max(axis=-1) / scores.sum(axis=-1)
    right = scores.argmax(axis=-1) == labels
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)

    def mean(values):
        return np.bincount(bins, values, NUM_BINS) / np.maximum(counts, 1)

    def error(answers):
        gaps = np.abs(mean(answers) - mean(confidence))
        return float(np.sum(counts / len(labels) * gaps))

    generator = np.random.default_rng(SEED)
    draws = (generator.random(len(labels)) < confidence for _ in range(CHANCE_DRAWS))
    return Reliability(
        error=error(right),
        chance_error=float(np.mean([error(draw) for draw in draws])),
        counts=counts,
        confidence=mean(confidence),
        accuracy=mean(right),
    )


def error_text(found: Reliability) -> str:
    """The expected calibration error in words, beside that of chance alone."""
    return (
        f"expected calibration error {found.error:.1%} (by chance alone {found.chance_error:.1%})"
    )


def draw_reliability(by_fusion: dict[str, Reliability], caption: str) -> Figure:
    """Accuracy over confidence for each method of fusion, and how many videos lie where."""
    figure = Figure(figsize=(4.4 * len(by_fusion), 5.6), layout="constrained")
    grid = figure.subplots(2, len(by_fusion), height_ratios=(3, 1), sharex=True, squeeze=False)
    edges = np.arange(NUM_BINS) / NUM_BINS
    for (upper, lower), (method, found) in zip(grid.T, by_fusion.items(), strict=True):
        filled = found.counts > 0
        upper.plot([0, 1], [0, 1], color="grey", linestyle="--", label="as sure as right")
        upper.bar(
            edges[filled],
            found.accuracy[filled],
            1 / NUM_BINS,
            align="edge",
            color=PALETTE[5],
            edgecolor="white",
            label="accuracy",
        )
        upper.plot(
            found.confidence[filled],
            found.accuracy[filled],
            color=PALETTE[0],
            marker="o",
            label="at the mean confidence",
        )
        upper.set_title(f"{fusion.LABELS[method]}\n{error_text(found)}", fontsize=9)
        upper.set_ylim(0, 1.02)
        upper.set_ylabel("share of videos that are right")
        upper.legend(loc="best", fontsize=8)
        lower.bar(edges, found.counts, 1 / NUM_BINS, align="edge", color=PALETTE[0])
        lower.set_xlim(0, 1)
        lower.set_xlabel("confidence (highest score / sum of scores)")
        lower.set_ylabel("videos")
    add_caption(figure, f"{caption}. {NUM_BINS} bins of equal width.")
    return figure

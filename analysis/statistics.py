"""How sure an accuracy is, and the difference of two, on the same videos."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of some videos with its Wilson interval of confidence 95 %.

    Attributes:
        right: videos that count.
        videos: all videos, at least one.
        share: `right / videos`.
        low: lower end of the interval.
        high: upper end.
    """

    right: int
    videos: int
    share: float
    low: float
    high: float


def wilson(right: int, videos: int) -> Share:
    """The share of the videos that are right, and its interval (Wilson 1927).

    With `p` the share, `n` the videos and `z = 1.96`, the interval is
    `(p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`.
    """
    interval = binomtest(right, videos).proportion_ci(CONFIDENCE, method="wilson")
    return Share(
        right=right,
        videos=videos,
        share=right / videos,
        low=float(interval.low),
        high=float(interval.high),
    )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two networks on the same videos.

    Attributes:
        only_first: videos that the first alone has right.
        only_second: videos that the second alone has right.
        difference: accuracy of the second less that of the first.
        low: lower end of the difference's bootstrap interval of confidence 95 %.
        high: upper end.
        p: two-sided probability of a split of the `only_first + only_second` videos as uneven as
            this or more, were both networks equally good (McNemar's exact test).
    """

    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p: float


def paired_difference(first: np.ndarray, second: np.ndarray, *, seed: int) -> Difference:
    """Compares which videos two networks have right.

    The bootstrap draws all videos anew, with replacement, `RESAMPLES` times; the interval is
    from the 2.5th to the 97.5th percentile of the differences.

    Args:
        first: bool `(V,)`, whether the first network has each video right.
        second: bool `(V,)`, the same videos.
        seed: of the bootstrap.
    """
    losses, gains = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    videos = len(first)
    shares = np.array([losses, gains, videos - losses - gains]) / videos
    # drawing V videos and counting what they are is one draw from the multinomial distribution
    drawn = np.random.default_rng(seed).multinomial(videos, shares, RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / videos, [tail, 1 - tail])
    return Difference(
        only_first=losses,
        only_second=gains,
        difference=(gains - losses) / videos,
        low=float(low),
        high=float(high),
        p=float(binomtest(losses, losses + gains).pvalue) if losses + gains else 1.0,
    )


def holm(p: np.ndarray) -> np.ndarray:
    """The probabilities of several tests, raised for their number (Holm 1979), in their order.

    The k-th smallest of m, from 1, is multiplied by `m - k + 1`, then raised to the largest of
    those before it, and limited to 1.

    Args:
        p: float `(m,)`.
    """
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(raised, 1)
    return result

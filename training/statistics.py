"""How sure an accuracy is, and the difference of two, on the same videos.

Videos that were cut from one source, a film or a shot, are right or wrong together: what was drawn
at random are the sources. With every video from a source of its own all of this is as usual.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
LEAST_SOURCES = 6  # 2 / 2^6 is the first two-sided chance of equal signs below 1 - CONFIDENCE
_AT_A_TIME = 1000  # resamples; bounds the memory


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of some videos with its interval of confidence 95 %.

    Attributes:
        right: videos that count.
        videos: all videos, at least one.
        sources: what the videos were cut from.
        share: `right / videos`.
        low: lower end of the interval.
        high: upper end.
    """

    right: int
    videos: int
    sources: int
    share: float
    low: float
    high: float


def share_of(right: np.ndarray, sources: Sequence[str]) -> Share:
    """The share of the videos that are right, and its interval.

    Wilson's interval (1927), with `p` the share and `z = 1.96`, is
    `(p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`. In the place of the
    number of videos `V` stands the effective one, `n = V / max(d, 1) * (t_V / t_G)^2`, with the
    design effect `d` of G sources (Kish 1965), where `e_g` is the number of right videos of source
    g beyond the `p` of them that was to be expected, and the quantiles `t_V` and `t_G` of
    Student's distributions of V - 1 and G - 1 degrees of freedom, as few sources tell little of
    their variance (Korn and Graubard 1998):

    ```
    d = G / (G - 1) * (V - 1) / V * sum_g e_g^2 / (V p (1 - p))
    ```

    Where all videos are right, or none, or all are of one source, `n = G`.

    Args:
        right: bool `(V,)`, or of each video the share of several networks that are right.
        sources: that each video was cut from, `V` names.
    """
    number = len(right)
    share = float(np.mean(right))
    beyond = _sums(right - share, sources)
    groups = len(beyond)
    effective = float(groups)
    if 0 < share < 1 and groups > 1:
        effect = _design_effect(beyond, number, number * share * (1 - share))
        effective = number / max(effect, 1) * (_student(number) / _student(groups)) ** 2
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = share + z**2 / (2 * effective)
    half = z * math.sqrt(share * (1 - share) / effective + z**2 / (4 * effective**2))
    return Share(
        right=round(np.sum(right)),
        videos=number,
        sources=groups,
        share=share,
        low=max((middle - half) / (1 + z**2 / effective), 0.0),
        high=min((middle + half) / (1 + z**2 / effective), 1.0),
    )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two networks on the same videos.

    Attributes:
        only_first: videos that the first alone has right.
        only_second: videos that the second alone has right.
        difference: accuracy of the second minus that of the first.
        low: lower end of the difference's interval of confidence 95 %.
        high: upper end.
        p: two-sided probability of a difference as large as this or larger, if of each source it
            were chance which network gave which of the two networks' answers; exact. With every
            video from a source of its own this is McNemar's exact test.
    """

    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p: float


def paired_difference(
    first: np.ndarray, second: np.ndarray, sources: Sequence[str], *, seed: int
) -> Difference:
    """Compares which videos two networks have right.

    The bootstrap draws G sources anew, with replacement, `RESAMPLES` times, and two more, of which
    the one gains all of its `d` videos and the other loses as many. Without these, networks that
    seldom differ would seem to differ by a number that is sure; with every video from a source of
    its own they are the two pairs that Agresti and Min (2005) add. `d` is the design effect of the
    videos' gains, as in `share_of`, from 1 to the mean size of a source; of networks that agree
    everywhere it is this size.

    The interval is the expanded percentile interval (Hesterberg 2015): its ends are the quantiles
    `a` and `1 - a` of the differences with `a = Phi(-sqrt(G / (G - 1)) t_G)`, `t_G` that of
    `share_of`, as the 2.5th and the 97.5th percentile would be too near to each other by as much.
    Of fewer than `LEAST_SOURCES` sources, whose exact test cannot reach `1 - CONFIDENCE`, it is -1
    to 1.

    Args:
        first: bool `(V,)`, whether the first network has each video right.
        second: bool `(V,)`, the same videos.
        sources: that each video was cut from, `V` names.
        seed: of the bootstrap.
    """
    gain = second.astype(int) - first.astype(int)
    gains, low, high = _sums(gain, sources), -1.0, 1.0
    if len(gains) >= LEAST_SOURCES:
        drawn = _resampled(gain, sources, np.random.default_rng(seed))
        wide = math.sqrt(len(gains) / (len(gains) - 1)) * _student(len(gains))
        tail = NormalDist().cdf(-wide)
        low, high = np.quantile(drawn, [tail, 1 - tail])
    return Difference(
        only_first=int(np.sum(first & ~second)),
        only_second=int(np.sum(second & ~first)),
        difference=float(np.sum(gains)) / len(first),
        low=float(low),
        high=float(high),
        p=_sign_flip(np.round(gains).astype(int)),
    )


def _resampled(
    gain: np.ndarray, sources: Sequence[str], generator: np.random.Generator
) -> np.ndarray:
    """Returns the mean gain of each resample, float `(RESAMPLES,)`."""
    gains, sizes = _sums(gain, sources), _sums(np.ones(len(gain)), sources)
    beyond, number = gain - gain.mean(), len(gain)
    size, squares = number / len(gains), float(np.sum(beyond**2))
    if squares > 0:
        size = min(max(_design_effect(_sums(beyond, sources), number, squares), 1.0), size)
    gains, sizes = np.r_[gains, size, -size], np.r_[sizes, size, size]
    even = np.full(len(gains), 1 / len(gains))
    drawn = []
    for _ in range(RESAMPLES // _AT_A_TIME):
        times = generator.multinomial(len(gains), even, _AT_A_TIME)
        drawn.append(times @ gains / (times @ sizes))
    return np.concatenate(drawn)


def _design_effect(beyond: np.ndarray, number: int, squares: float) -> float:
    """Returns `d` of `share_of` for G > 1 sources.

    Args:
        beyond: `e_g` of each source.
        number: of videos.
        squares: what the videos' squared deviations from the mean add up to.
    """
    groups = len(beyond)
    return groups / (groups - 1) * (number - 1) / number * float(np.sum(beyond**2)) / squares


def _sign_flip(gains: np.ndarray) -> float:
    """Chance that the gains, each with a sign by a fair coin, add up to as much as they do."""
    chances = np.ones(1)  # of each sum of the gains whose coins show heads
    for gain in np.abs(gains[gains != 0]):
        chances = np.convolve(chances, np.r_[0.5, np.zeros(gain - 1), 0.5])
    totals = 2 * np.arange(len(chances)) - (len(chances) - 1)  # heads less tails
    return min(1.0, float(chances[np.abs(totals) >= abs(gains.sum())].sum()))


def _student(number: int) -> float:
    """Returns the quantile of Student's distribution that bounds `CONFIDENCE` about its middle."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, number - 1))


def _sums(values: np.ndarray, sources: Sequence[str]) -> np.ndarray:
    """Sum over the videos of each source."""
    _, place = np.unique(np.asarray(sources), return_inverse=True)
    return np.bincount(place, weights=values)


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

"""How well features tell classes apart, in numbers, in the space where they lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from training.statistics import share_of

NEIGHBOURS = 5
KMEANS_STARTS = 20


@dataclass(frozen=True, kw_only=True)
class Separation:
    """Three measures of the same features and classes, all by Euclidean distances.

    Attributes:
        neighbours: k of the next one, at most `NEIGHBOURS` and the videos of other sources that
            any video counted has in its class.
        knn: share of the videos whose class is the most frequent among the k videos nearest to
            them that were cut from other sources, of equally frequent ones the first. Videos whose
            class has none of another source do not count; `None` if no video does.
        knn_interval: of 95 %, see `statistics.share_of`.
        silhouette: mean over the videos of `(b - a) / max(a, b)`, -1 to 1: a is the mean distance
            to the others of the class, b that to the nearest other class.
        v_measure: harmonic mean of homogeneity and completeness, 0 to 1, of the clusters that
            k-means finds (as many as classes, the best of `KMEANS_STARTS` starts).
    """

    neighbours: int
    knn: float | None
    knn_interval: tuple[float, float] | None
    silhouette: float
    v_measure: float

    @property
    def knn_text(self) -> str:
        """The share in words."""
        return "-" if self.knn is None else f"{self.knn:.1%}"


@threadpool_limits.wrap(limits=1, user_api="openmp")  # as in `embedding.embed`
def separation(
    features: np.ndarray, labels: np.ndarray, sources: Sequence[str], *, seed: int
) -> Separation:
    """Measures how well the classes are apart.

    Args:
        features: `(V, units)`.
        labels: int `(V,)`, two classes or more, each of two videos or more.
        sources: that each video was cut from, `V` names.
        seed: of the starts of k-means.
    """
    sources = np.asarray(sources)
    of_other_sources = (labels[:, None] == labels) & (sources[:, None] != sources)
    chances = of_other_sources.sum(axis=1)
    counted = chances > 0
    neighbours = min(NEIGHBOURS, *chances[counted]) if counted.any() else 0
    right = nearest_classes(features, labels, sources, neighbours) == labels
    nearest = share_of(right[counted], sources[counted]) if counted.any() else None
    from sklearn.cluster import KMeans  # takes seconds: not for `--help`
    from sklearn.metrics import silhouette_score, v_measure_score

    classes = len(np.unique(labels))
    clusters = KMeans(classes, n_init=KMEANS_STARTS, random_state=seed).fit_predict(features)
    return Separation(
        neighbours=int(neighbours),
        knn=nearest and nearest.share,
        knn_interval=nearest and (nearest.low, nearest.high),
        silhouette=float(silhouette_score(features, labels)),
        v_measure=float(v_measure_score(labels, clusters)),
    )


def nearest_classes(
    features: np.ndarray, labels: np.ndarray, sources: np.ndarray, neighbours: int
) -> np.ndarray:
    """The most frequent class of the nearest videos of other sources, int `(V,)`.

    Videos of one source look alike, whatever the features tell of their class. Where there are no
    others it is -1.
    """
    from sklearn.metrics import pairwise_distances

    distances = pairwise_distances(features)
    distances[sources[:, None] == sources] = np.inf
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :neighbours]
    others = np.isfinite(np.take_along_axis(distances, nearest, axis=1))
    votes = np.zeros((len(labels), labels.max() + 1))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[nearest]), others)
    return np.where(others.any(axis=1), votes.argmax(axis=1), -1)

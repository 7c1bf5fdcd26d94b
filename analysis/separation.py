"""How well features tell classes apart, in numbers, in the space where they lie."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score, v_measure_score
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

NEIGHBOURS = 5
KMEANS_STARTS = 20


@dataclass(frozen=True, kw_only=True)
class Separation:
    """Three measures of the same features and classes, all by Euclidean distances.

    Attributes:
        neighbours: k of the next one, at most `NEIGHBOURS` and one less than the smallest class.
        knn: share of the videos whose class is the most frequent among their k nearest other
            videos (leave one out).
        silhouette: mean over the videos of `(b - a) / max(a, b)`, -1 to 1: a is the mean distance
            to the others of the class, b that to the nearest other class.
        v_measure: harmonic mean of homogeneity and completeness, 0 to 1, of the clusters that
            k-means finds (as many as classes, the best of `KMEANS_STARTS` starts).
    """

    neighbours: int
    knn: float
    silhouette: float
    v_measure: float


@threadpool_limits.wrap(limits=1, user_api="openmp")  # as in `embedding.embed`
def separation(features: np.ndarray, labels: np.ndarray, *, seed: int) -> Separation:
    """Measures how well the classes are apart.

    Args:
        features: `(V, units)`.
        labels: int `(V,)`, two classes or more, each of two videos or more.
        seed: of the starts of k-means.
    """
    _, counts = np.unique(labels, return_counts=True)
    neighbours = min(NEIGHBOURS, counts.min() - 1)
    classifier = KNeighborsClassifier(neighbours).fit(features, labels)
    clusters = KMeans(len(counts), n_init=KMEANS_STARTS, random_state=seed).fit_predict(features)
    return Separation(
        neighbours=int(neighbours),
        knn=float(np.mean(classifier.predict(None) == labels)),  # None: each without itself
        silhouette=float(silhouette_score(features, labels)),
        v_measure=float(v_measure_score(labels, clusters)),
    )

"""Measures of separation against loops, and by hand."""

import numpy as np
import pytest

from analysis.separation import separation


def loop_knn(features, labels, sources, k) -> float:
    right = 0
    for i in range(len(features)):
        distance = [
            np.inf if sources[j] == sources[i] else np.sum((features[i] - x) ** 2)
            for j, x in enumerate(features)
        ]
        nearest = labels[np.argsort(distance)[:k]]
        right += np.bincount(nearest).argmax() == labels[i]
    return right / len(features)


def loop_silhouette(features, labels) -> float:
    values = []
    for i in range(len(features)):
        distance = np.sqrt(((features - features[i]) ** 2).sum(axis=1))
        own = [distance[j] for j in range(len(features)) if labels[j] == labels[i] and j != i]
        others = [distance[labels == label].mean() for label in set(labels) - {labels[i]}]
        a, b = np.mean(own), min(others)
        values.append((b - a) / max(a, b))
    return float(np.mean(values))


def entropy(*columns) -> float:
    _, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
    shares = counts / counts.sum()
    return -np.sum(shares * np.log(shares))


def loop_v_measure(features, labels) -> float:
    """With the clusters of Lloyd's algorithm from many random starts."""
    generator = np.random.default_rng(1)
    k, best = len(set(labels)), (np.inf, None)
    for _ in range(200):
        centres = features[generator.choice(len(features), k, replace=False)]
        for _ in range(50):
            squared = ((features[:, None] - centres) ** 2).sum(axis=-1)
            of = squared.argmin(axis=1)
            centres = np.stack(
                [features[of == c].mean(axis=0) if any(of == c) else centres[c] for c in range(k)]
            )
        best = min(best, (squared.min(axis=1).sum(), tuple(of)))
    clusters = np.array(best[1])
    homogeneity = 1 - (entropy(labels, clusters) - entropy(clusters)) / entropy(labels)
    completeness = 1 - (entropy(labels, clusters) - entropy(labels)) / entropy(clusters)
    return 2 * homogeneity * completeness / (homogeneity + completeness)


def test_measures_against_loops():
    generator = np.random.default_rng(0)
    labels = np.repeat([3, 0, 7], [12, 9, 15])
    centres = {0: (0, 0, 0), 3: (3, 1, 0), 7: (0, 3, 1)}
    features = generator.normal(size=(36, 3)) + np.array([centres[label] for label in labels])
    sources = list("aabcdefghijk" + "lmnopqrst" + "uuvvwwxxyyzzABC")
    measured = separation(features, labels, sources, seed=0)
    assert measured.neighbours == 5
    assert measured.knn == pytest.approx(loop_knn(features, labels, sources, 5))
    assert measured.silhouette == pytest.approx(loop_silhouette(features, labels))
    assert measured.v_measure == pytest.approx(loop_v_measure(features, labels))
    assert 0.2 < measured.v_measure < 0.95  # neither trivial


def test_two_far_pairs_by_hand():
    """Distances 1 within and 10 to 11 between: a = 1, b = 10.5 or (10 + 11) / 2 on each side."""
    features = np.array([[0.0], [1.0], [11.0], [12.0]])
    measured = separation(features, np.array([0, 0, 1, 1]), list("abcd"), seed=0)
    outer, inner = (11.5 - 1) / 11.5, (10.5 - 1) / 10.5
    assert measured.neighbours == 1
    assert measured.knn == 1.0
    assert measured.silhouette == pytest.approx((outer + inner) / 2)
    assert measured.v_measure == pytest.approx(1.0)


def test_copies_of_one_source_are_no_evidence():
    """Each class is two sources of four copies; next to each lies one of the other class."""
    features = np.repeat([0.0, 10.0, 4.0, 14.0], 4)[:, None] + 0.01 * np.arange(16)[:, None]
    labels = np.repeat([0, 1], 8)
    assert separation(features, labels, list("abcdefghijklmnop"), seed=0).knn == 1.0
    assert separation(features, labels, list("aaaabbbbccccdddd"), seed=0).knn == 0.0
    found = separation(features, labels, ["a"] * 16, seed=0)  # there are no others
    assert (found.knn, found.knn_interval, found.knn_text) == (None, None, "-")


def test_a_class_of_one_source_does_not_count():
    """Class 1 is far from both others; of it no other source could be near."""
    features = np.array([0.0, 1.0, 2.0, 3.0, 50.0, 51.0, 90.0, 91.0])[:, None]
    labels, sources = np.array([0, 0, 0, 0, 1, 1, 2, 2]), list("abcdeefg")
    found = separation(features, labels, sources, seed=0)
    assert found.neighbours == 1  # class 2 has one other video
    assert found.knn == 1.0
    z = 1.959964  # Wilson's interval of six of six
    assert found.knn_interval == pytest.approx((1 / (1 + z**2 / 6), 1.0))

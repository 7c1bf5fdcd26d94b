"""Which classes a network takes for one another."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform


def soft_confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean probability of each class (second axis) over the videos of each class (first axis).

    Zero in the rows of classes without videos. Unlike counts of mistakes it tells similar
    classes apart from others even where nothing, or little, is mistaken.

    Args:
        probabilities: `(V, N)`.
        labels: int `(V,)`.

    Returns:
        float64 `(N, N)`.
    """
    sums = np.zeros((probabilities.shape[1],) * 2)
    np.add.at(sums, labels, probabilities)
    counts = np.bincount(labels, minlength=len(sums))
    return sums / np.maximum(counts, 1)[:, None]


def most_confused(confusion: np.ndarray, size: int, among: Sequence[int]) -> list[int]:
    """Classes that are confused with one another most, in the order of the labels.

    Starts from the pair with the highest `c_ij + c_ji` and adds, one by one, the class with the
    highest sum over those that are in.

    Args:
        confusion: `(N, N)`.
        size: how many classes, at least 2.
        among: labels to choose from; all of them if they are no more than `size`.
    """
    if len(among) <= size:
        return sorted(among)
    mutual = confusion + confusion.T
    np.fill_diagonal(mutual, 0)
    candidates = np.array(sorted(among))
    mutual = mutual[np.ix_(candidates, candidates)]
    chosen = list(np.unravel_index(mutual.argmax(), mutual.shape))
    while len(chosen) < size:
        ties = mutual[:, chosen].sum(axis=1)
        ties[chosen] = -1
        chosen.append(int(ties.argmax()))
    return sorted(int(candidates[place]) for place in chosen)


def similarity_order(confusion: np.ndarray) -> np.ndarray:
    """The labels in an order that brings confused classes together, int `(N,)`.

    Classes are joined by average linkage at the distance `max(s) - s_ij`, `s_ij = c_ij + c_ji`;
    the leaves of the tree are turned so that neighbours are near (Bar-Joseph et al. 2001).

    Args:
        confusion: `(N, N)`.
    """
    if len(confusion) < 3:
        return np.arange(len(confusion))
    mutual = confusion + confusion.T
    np.fill_diagonal(mutual, 0)
    distances = mutual.max() - mutual
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    return leaves_list(tree)


def confused_pairs(labels: np.ndarray, predicted: np.ndarray) -> list[tuple[int, int, int]]:
    """Mistakes by true and predicted label, `(true, predicted, videos)`, the most frequent first.

    Args:
        labels: int `(V,)`.
        predicted: int `(V,)`.
    """
    pairs = zip(labels.tolist(), predicted.tolist(), strict=True)
    counts = Counter(pair for pair in pairs if pair[0] != pair[1])
    return [(*pair, number) for pair, number in sorted(counts.items(), key=lambda x: (-x[1], x[0]))]

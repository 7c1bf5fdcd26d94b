"""Similarity of classes, by hand."""

import numpy as np

from analysis.confusion import confused_pairs, most_confused, similarity_order, soft_confusion


def test_soft_confusion_by_hand():
    probabilities = np.array([[0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.1, 0.2, 0.7]])
    result = soft_confusion(probabilities, np.array([0, 0, 2]))
    np.testing.assert_allclose(result, [[0.4, 0.6, 0.0], [0, 0, 0], [0.1, 0.2, 0.7]])


def matrix(size: int, **pairs: float) -> np.ndarray:
    """A confusion matrix with some entries, named `ij`."""
    result = np.eye(size)
    for name, value in pairs.items():
        result[int(name[1]), int(name[2])] = value
    return result


def test_the_most_confused_grow_from_the_worst_pair():
    confusion = matrix(5, p13=0.3, p31=0.3, p04=0.5, p32=0.2, p02=0.1)
    assert most_confused(confusion, 2, range(5)) == [1, 3]  # 0.6 both ways beats 0.5
    assert most_confused(confusion, 3, range(5)) == [1, 2, 3]
    assert most_confused(confusion, 2, [0, 2, 3, 4]) == [0, 4]
    assert most_confused(confusion, 9, [4, 2]) == [2, 4]


def test_confused_classes_stand_together():
    confusion = matrix(6, p05=0.4, p14=0.4, p23=0.4, p52=0.1)
    order = similarity_order(confusion).tolist()
    place = {label: order.index(label) for label in range(6)}
    assert sorted(order) == list(range(6))
    for one, other in ((0, 5), (1, 4), (2, 3), (5, 2)):
        assert abs(place[one] - place[other]) == 1
    assert similarity_order(np.eye(2)).tolist() == [0, 1]


def test_pairs_are_counted_the_most_frequent_first():
    labels = np.array([0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 1, 1, 0, 1, 0, 2])
    assert confused_pairs(labels, predicted) == [(0, 1, 2), (1, 0, 1), (2, 0, 1)]

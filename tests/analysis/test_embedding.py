"""t-SNE maps of features that are apart, and of features that are not."""

import numpy as np
import pytest

from analysis.embedding import embed
from analysis.separation import separation


def clusters(distance: float, *, per_class: int = 15, classes: int = 4):
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), per_class)
    centres = distance * np.eye(classes, 60)
    return centres[labels] + generator.normal(size=(len(labels), 60)), labels


def nearest_share(points, labels) -> float:
    squared = ((points[:, None] - points) ** 2).sum(axis=-1)
    np.fill_diagonal(squared, np.inf)
    return float(np.mean(labels[squared.argmin(axis=1)] == labels))


def test_separable_features_are_apart_in_the_map():
    features, labels = clusters(30.0)
    result = embed(features, seeds=range(2))
    assert result.points.shape == (60, 2)
    assert nearest_share(result.points, labels) == 1.0
    assert separation(result.points, labels, range(len(labels)), seed=0).silhouette > 0.5
    assert result.trustworthiness > 0.8
    assert result.perplexity == pytest.approx(59 / 3)


def test_features_of_no_class_do_not_become_apart():
    features, labels = clusters(0.0)
    result = embed(features, seeds=range(2))
    assert nearest_share(result.points, labels) < 0.6
    assert result.procrustes > 0.1  # nothing there that two seeds could agree on


def test_four_videos_can_be_mapped():
    features = np.random.default_rng(0).normal(size=(4, 6))
    assert np.isfinite(embed(features, seeds=range(2)).points).all()

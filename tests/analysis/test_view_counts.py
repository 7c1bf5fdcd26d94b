"""Accuracy of parts of the views."""

import numpy as np
import pytest

from analysis.view_counts import MOST_TICKS, accuracy_by_views, draw_views


def test_only_the_views_of_a_part_count():
    """Crop 13, the mirrored centre, is right and sure of it; every other view is wrong."""
    scores = np.full((4, 3, 18, 2), [0.4, 0.6], np.float32)
    scores[:, :, 13] = [1.0, 0.0]
    found = accuracy_by_views(scores, np.zeros(4, int))["average"]
    assert found["centre crop"] == [0.0, 0.0, 0.0]
    assert found["centre crop and its mirror image"] == [1.0, 1.0, 1.0]  # 0.7 on average
    assert found["9 crops"] == [0.0, 0.0, 0.0]
    assert found["18 crops"] == [0.0, 0.0, 0.0]  # (1 + 17 * 0.4) / 18 = 0.43


def test_clips_by_hand():
    """The middle clip is right, the first and the last are wrong and surer."""
    scores = np.empty((1, 3, 18, 2), np.float32)
    scores[:, [0, 2]] = [0.2, 0.8]
    scores[:, 1] = [0.7, 0.3]
    for method in ("sci", "average"):
        found = accuracy_by_views(scores, np.zeros(1, int))[method]["18 crops"]
        assert found == pytest.approx([1.0, 0.0, 0.0])


def test_encoded_views_are_counted_as_they_are():
    """Nine views of which the centre alone is right, and less sure than the others."""
    scores = np.full((2, 1, 9, 2), [0.2, 0.8])
    scores[:, :, 4] = [0.6, 0.4]
    found = accuracy_by_views(scores, np.zeros(2, int))["average"]
    assert found == {"centre": [1.0], "9 views": [0.0]}


def test_the_clips_below_the_picture_are_few_and_whole():
    values = {"sci": {"18 crops": [0.5] * 25}, "average": {"18 crops": [0.5] * 25}}
    ticks = draw_views(values, "caption").axes[0].get_xticks()
    assert ticks[0] == 1
    assert len(ticks) <= MOST_TICKS
    assert np.array_equal(ticks, np.round(ticks))

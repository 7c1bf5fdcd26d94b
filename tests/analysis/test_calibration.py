"""Reliability and its error, by hand."""

import numpy as np
import pytest

from analysis.calibration import draw_reliability, reliability


def test_by_hand():
    """Two videos of confidence 0.8 and 0.75, one right; one of 0.8 whose scores sum to 2."""
    scores = np.array([[0.8, 0.2], [0.25, 0.75], [1.6, 0.4], [0.45, 0.55]])
    found = reliability(scores, np.array([0, 0, 0, 1]))
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 3, 0, 0]  # 0.8 closes (0.7, 0.8]
    assert found.confidence[7] == pytest.approx((0.8 + 0.75 + 0.8) / 3)
    assert found.accuracy[7] == pytest.approx(2 / 3)
    expected = 3 / 4 * abs(2 / 3 - 2.35 / 3) + 1 / 4 * abs(1 - 0.55)
    assert found.error == pytest.approx(expected)


def test_certainty_lies_in_the_last_bin():
    found = reliability(np.eye(3), np.arange(3))
    assert found.counts[-1] == 3
    assert found.error == 0.0


def test_the_error_stands_above_the_picture():
    found = reliability(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([0, 1]))
    figure = draw_reliability({"sci": found}, "caption")
    assert found.error == pytest.approx((0.1 + 0.7) / 2)
    title = figure.axes[0].get_title()
    assert title.startswith("SCI fusion\nexpected calibration error 40.0% (by chance alone ")


def test_the_error_by_chance():
    """Of one video it is |1 - c| with probability c, else c; of many it vanishes."""
    one = reliability(np.array([[0.9, 0.1]]), np.array([0]))
    assert one.chance_error == pytest.approx(2 * 0.9 * 0.1, abs=0.03)
    many = reliability(np.tile([0.7, 0.3], (40_000, 1)), np.zeros(40_000, int))
    assert many.chance_error < 0.01
    assert many.error == pytest.approx(0.3)

"""Heads on the same encoded views: what each sees, and how they are compared."""

import numpy as np
import pytest

from benchmarks import heads, peers
from training.cli import UserError
from training.parts import build

LABELS = np.arange(24) % 2
GROUPS = np.arange(24) // 2
TEST = np.arange(10) % 2


def differences(labels, *, seed: int, ordered: bool) -> dict[str, np.ndarray]:
    """Maps `(videos, 2 views, 5, 2, 2, 3)`: class 1 grows in time, 0 shrinks; or is larger."""
    noise = np.random.default_rng(seed).uniform(0, 0.3, (len(labels), 2, 5, 2, 2, 3))
    time = np.linspace(0, 2, 5)[:, None, None, None]
    grows = np.where(labels[:, None, None, None, None, None], time, time[::-1])
    larger = np.where(labels[:, None, None, None, None, None], 2.0, 1.0)
    weights = np.array([1.0, 0.5, 0.5])
    return {"differences": (noise + (grows if ordered else larger) * weights).astype(np.float16)}


def test_features_are_roots_of_means_scaled_by_kind():
    maps = {
        "frame": np.array([[1.0, 7.0], [7.0, 25.0]]).reshape(1, 1, 2, 1, 2),  # means 4 and 16
        "differences": np.full((1, 1, 5, 2, 2, 2), 9.0),
    }
    both = peers.pooled(maps, ("frame", "differences"))
    expected = np.array([2, 4]) / np.sqrt(10)
    np.testing.assert_allclose(both, [[[*expected, 1, 1]]], rtol=1e-6)


@pytest.mark.parametrize("learner", ["svm", "softmax"])
def test_linear_heads_learn_means(learner, monkeypatch):
    monkeypatch.setattr(peers, "FOLDS", 2)
    monkeypatch.setattr(peers, "PASSES", 10)
    monkeypatch.setattr(peers, "BATCH", 4)
    monkeypatch.setattr(peers, "RATE", 0.2)
    monkeypatch.setattr(peers, "DROPOUTS", (0.2, 0.5))
    maps = [differences(y, seed=n, ordered=False) for n, y in enumerate((LABELS, TEST))]
    for values in maps:  # another feature is as large as the first is not: the direction tells
        values["differences"][..., 1] = 3 - values["differences"][..., 0]
    train, test = (peers.pooled(values, ["differences"]) for values in maps)
    keywords = {} if learner == "svm" else {"seeds": [0, 1]}
    answers = getattr(peers, learner)(train, LABELS, GROUPS, test, **keywords)
    np.testing.assert_array_equal(answers, TEST if learner == "svm" else [TEST, TEST])


def test_the_space_time_block_sees_order_which_means_do_not(monkeypatch):
    monkeypatch.setattr(peers, "PASSES", 40)
    monkeypatch.setattr(peers, "RATE", 0.01)
    monkeypatch.setattr(peers, "UNITS", 8)
    train, test = (differences(y, seed=n, ordered=True) for n, y in enumerate((LABELS, TEST)))
    np.testing.assert_array_equal(peers.space_time(train, LABELS, test, seed=0), TEST)
    means = [values["differences"].mean(axis=(1, 2, 3, 4)) for values in (train, test)]
    assert np.ptp(np.concatenate(means)[:, 0]) < 0.15  # of 1.15: the noise alone


def test_the_table_by_hand():
    sources = np.array(["a", "a", "b", "c"])
    first = [(np.array([1, 1, 1, 0], bool), sources), (np.array([1, 1, 1, 1], bool), sources)]
    other = [(np.array([1, 0, 0, 0], bool), sources), (np.array([1, 0, 1, 0], bool), sources)]
    fstcn, linear = heads.table({"FSTCN": first, "linear": other})
    assert (fstcn["top-1"], fstcn["over seeds"]) == ("87.5", "75.0 to 100.0")
    assert (linear["top-1"], linear["over seeds"]) == ("37.5", "25.0 to 50.0")
    assert (linear["videos"], linear["sources"], linear["seeds"]) == (4, 3, 2)
    assert (fstcn["FSTCN less it"], linear["FSTCN less it"]) == ("+0.0", "+50.0")
    low, high = map(float, linear["its interval"].split(" to "))
    assert (low, high) == (50, 50)  # each source has lost half of what it is asked


def test_heads_alone_are_compared():
    with pytest.raises(UserError, match="give --epochs 0 --head-epochs N --encoded-views N"):
        build(heads.HeadsOptions, preset="lite", scl_weights="imagenet", epochs=1)

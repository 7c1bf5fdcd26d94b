"""Heads on the same encoded views: what each sees, and how they are compared."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import heads, peers
from training.data.collections import Video
from training.data.encoded_views import EncodedViews
from training.errors import UserError
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
    if learner == "svm":
        answers = peers.svm(train, LABELS, GROUPS, test)
    else:
        dropout = peers.best_dropout(train, LABELS, GROUPS)
        assert dropout in (0.2, 0.5)
        answers = peers.softmax(train, LABELS, test, dropout=dropout, seed=1, passes=10)
    np.testing.assert_array_equal(answers, TEST)


def test_the_space_time_block_sees_order_which_means_do_not(monkeypatch):
    monkeypatch.setattr(peers, "RATE", 0.01)
    monkeypatch.setattr(peers, "UNITS", 8)
    train, test = (differences(y, seed=n, ordered=True) for n, y in enumerate((LABELS, TEST)))
    answers = peers.space_time(train, LABELS, test, seed=0, passes=40)
    np.testing.assert_array_equal(answers, TEST)
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
    assert (fstcn["FSTCN minus this"], linear["FSTCN minus this"]) == ("", "+50.0")
    low, high = map(float, linear["its 95 % interval"].split(" to "))
    assert (low, high) == (-100, 100)  # three sources tell nothing


def test_a_video_counts_once_however_often_it_was_judged():
    judged = (np.arange(60) % 2 == 0, np.repeat(np.arange(10), 6))  # as even as can be: d is 0
    one, three = (heads.table({"FSTCN": [judged] * seeds})[0] for seeds in (1, 3))
    assert one["interval"] == three["interval"]
    low, high = map(float, three["interval"].split(" to "))
    # Wilson's of a half of 60 (t_59 / t_9)^2 = 46.9
    assert (low, high) == pytest.approx((36.2, 63.8), abs=0.05)


def test_heads_alone_are_compared():
    with pytest.raises(UserError, match="give --epochs 0 --head-epochs N --encoded-views N"):
        build(heads.HeadsOptions, preset="lite", scl_weights="imagenet", epochs=1)


@pytest.fixture
def learned(monkeypatch):
    """What the heads learn, by name: each answers with its seed, and the features are none."""
    asked = []

    def learns(name, answer):
        def learn(*_, seed=0, **__):
            asked.append((name, seed))
            return answer(seed)

        monkeypatch.setattr(peers, name, learn)

    learns("svm", lambda seed: np.array([7, 7]))
    learns("best_dropout", lambda seed: 0.5)
    learns("softmax", lambda seed: np.array([seed, 1]))
    learns("space_time", lambda seed: np.array([seed, 2]))
    monkeypatch.setattr(peers, "pooled", lambda *_: None)
    monkeypatch.setattr(heads, "view_maps", lambda *_: {})
    return asked


def others(folder, *, num_views: int = 2, group: str = "a") -> heads.Peers:
    """The heads of two training and two test videos."""
    videos = [Video(f"{n}.avi", n % 2, "train", group) for n in range(4)]
    stored = {video.path: SimpleNamespace(source_sha256=video.path) for video in videos}
    views = EncodedViews({"frame": folder / "frame-1"}, {"frame": (1, 1, 3)}, num_views)
    return heads.Peers(videos[:2], videos[2:], SimpleNamespace(videos=stored), views, folder)


def test_a_command_with_more_seeds_trains_what_lacks_alone(learned, tmp_path):
    first = list(others(tmp_path).answers([0]))
    assert sorted({name for name, _ in learned}) == ["best_dropout", "softmax", "space_time", "svm"]
    learned.clear()
    more = list(others(tmp_path).answers([0, 1]))
    assert learned == [("softmax", 1)] * 3 + [("space_time", 1)]
    assert len(more) == 2 * len(first) == 14
    for name, seed, labels in more:
        expected = [7, 7] if "SVM" in name else [seed, 2 if "R(2+1)D" in name else 1]
        assert labels.tolist() == expected, name


@pytest.mark.parametrize("change", [{"num_views": 3}, {"group": "b"}])
def test_other_views_or_videos_are_learned_anew(change, learned, tmp_path):
    list(others(tmp_path).answers([0]))
    before = learned.copy()
    learned.clear()
    list(others(tmp_path, **change).answers([0]))
    assert learned == before

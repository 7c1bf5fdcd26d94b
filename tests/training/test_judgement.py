"""What is printed beside an accuracy, against counts by hand."""

import csv
import itertools

import numpy as np
import pytest

from training import judgement
from training.figures import draw_roc

CLASSES = ("bow", "clap", "wave")


def sure(answers, num_classes=3) -> np.ndarray:
    """Scores of videos whose likeliest class is the answer."""
    return np.eye(num_classes)[np.array(answers)] * 0.8 + 0.05


def judged(labels, answers, **changes) -> dict:
    options = {
        "sources": [str(number) for number in range(len(labels))],
        "trained": [4, 4, 4],
        "training": {"epoch": 3, "epochs": 3, "top1": 0.9, "val_top1": None},
    }
    return judgement.judge(sure(answers), np.array(labels), **options | changes)


def test_measures_of_classes_are_those_of_the_counts():
    labels, answers = [0, 0, 0, 0, 1, 1, 2], [0, 0, 1, 2, 1, 0, 1]
    found = judged(labels, answers)["per_class"]
    for label, row in enumerate(found):
        right = sum(t == a == label for t, a in zip(labels, answers, strict=True))
        precision = right / answers.count(label)
        recall = right / labels.count(label)
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        assert row["support"] == labels.count(label)
        got = (row["precision"], row["recall"], row["f1"])
        assert got == pytest.approx((precision, recall, f1))


def test_confusions_are_the_most_frequent_ones():
    found = judged([0, 0, 0, 1, 1, 2, 2, 2, 2], [1, 1, 0, 0, 1, 1, 1, 1, 0])["confusions"]
    assert found == [[2, 1, 3], [0, 1, 2], [1, 0, 1]]


def test_an_answer_that_is_always_right_confuses_nothing():
    found = judged([0, 1, 2], [0, 1, 2])
    assert found["confusions"] == []
    assert not any("confused" in line for line in judgement.describe(found, CLASSES, accuracy=1))


def test_the_commonest_class_of_training_may_be_rare_in_the_test():
    found = judged([0, 1, 1, 1, 2], [0, 1, 1, 1, 2], trained=[9, 4, 4])
    assert found["commonest"] == {"label": 0, "share": 0.2}
    assert found["chance"] == pytest.approx(1 / 3)


def test_auc_is_the_share_of_pairs_in_the_right_order():
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=40)
    share = np.round(0.3 * labels + 0.7 * generator.random(40), 1)  # with ties
    scores = np.stack([1 - share, share], axis=-1)
    pairs = list(itertools.product(share[labels == 1], share[labels == 0]))
    expected = np.mean([(one > two) + 0.5 * (one == two) for one, two in pairs])
    found = judgement.judge(
        scores, labels, sources=list(map(str, range(40))), trained=[1, 1], training={}
    )
    assert found["auc"] == pytest.approx(expected)
    curve = draw_roc(scores, labels, ("still", "fight"), caption="x").axes[0].lines[1]
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(expected)


def test_one_class_alone_among_the_test_videos_has_no_auc():
    scores = np.full((3, 2), 0.5)
    found = judgement.judge(
        scores, np.zeros(3, int), sources=["a", "b", "c"], trained=[1, 1], training={}
    )
    assert found["auc"] is None


@pytest.mark.parametrize(
    ("labels", "answers", "changes", "expected"),
    [
        ([0, 1, 2] * 20, [0, 1, 2] * 20, {}, []),
        ([0, 1, 2] * 4, [1, 2, 0] * 4, {}, ["no better than by chance", "by heart"]),
        # three right of five sources tell nothing; of six, the interval reaches down to chance
        ([0, 1, 2, 0, 1], [0, 1, 0, 0, 0], {"training": {}}, []),
        ([0, 1, 2, 0, 1, 2], [0, 1, 0, 0, 0, 0], {"training": {}}, ["no better than by chance"]),
        ([0, 1, 2], [0, 0, 1], {"training": {}}, ["no better than by chance"]),  # one of three
        (
            [0, 1, 2] * 20,
            [0, 0, 0] * 20,
            {"training": {"epoch": 1, "epochs": 1, "top1": 0.4, "val_top1": None}},
            ["training videos hardly better: more --epochs"],
        ),
        (
            [0, 1, 2] * 20,
            [0, 1, 2] * 20,
            {"trained": [12, 4, 5]},
            ["bow has 12 training videos, clap 4: try --class-weights balanced"],
        ),
        ([0, 1, 2] * 20, [0, 1, 2] * 20, {"trained": [11, 4, 4]}, []),
        ([0, 1, 2] * 20, [0, 1, 1] * 20, {"training": {}}, []),
        ([0, 1, 2] * 20, [0, 1, 2] * 20, {"trained": [11, 4, 0]}, []),  # a class without videos
    ],
)
def test_advice_follows_the_pattern(labels, answers, changes, expected):
    accuracy = np.mean(np.array(labels) == answers)
    found = judgement.advice(judged(labels, answers, **changes), CLASSES, accuracy=accuracy)
    assert len(found) == len(expected)
    for text, part in zip(found, expected, strict=True):
        assert part in text


@pytest.mark.parametrize(("learned", "hardly"), [(0.89, True), (0.91, False)])
def test_nine_tenths_are_more_than_hardly_better(learned, hardly):
    """Twice the share of a class that has half of the videos would be all of them."""
    training = {"epoch": 1, "epochs": 1, "top1": learned, "val_top1": None}
    found = judged([0, 0, 1, 2] * 10, [0] * 40, training=training)
    chance, heart = judgement.advice(found, CLASSES, accuracy=0.5)
    assert "no better than by chance" in chance
    assert ("hardly better" in chance) == hardly
    assert "by heart" in heart


@pytest.mark.parametrize(("pretrained", "is_advised"), [(True, False), (False, True)])
def test_weights_are_advised_where_none_were_loaded(pretrained, is_advised):
    found = judged([0, 1, 2] * 4, [1, 2, 0] * 4, pretrained=pretrained)
    assert found["baseline"] is None  # as with --no-baseline, or of many videos
    text = " ".join(judgement.advice(found, CLASSES, accuracy=0.0))
    assert "by heart" in text
    assert ("weights to begin with" in text) == is_advised
    del found["pretrained"]  # as of an older run
    assert "weights to begin" not in " ".join(judgement.advice(found, CLASSES, accuracy=0.0))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("head,0,0.5,\nglobal,0,0.6,\nglobal,1,0.7,\n", (2, 2, 0.7, None)),
        ("g,0,0.6,0.5\ng,1,0.9,0.8\ng,2,0.7,0.8\ng,3,1.0,0.4\n", (3, 4, 0.7, 0.8)),
    ],
)  # fmt: skip
def test_the_kept_epoch_is_the_best_held_out_or_the_last(tmp_path, rows, expected):
    file = tmp_path / "history.csv"
    file.write_text(f"stage,epoch,top1,val_top1\n{rows}")
    names = ("epoch", "epochs", "top1", "val_top1")
    assert judgement.last_training(file) == dict(zip(names, expected, strict=True))


@pytest.mark.parametrize("text", [None, "", "stage,epoch\nhead,x\n"])
def test_a_history_that_does_not_tell(tmp_path, text):
    file = tmp_path / "history.csv"
    if text is not None:
        file.write_text(text)
    assert judgement.last_training(file) == {}


def test_all_classes_go_to_a_table_and_of_many_the_worst_are_printed(tmp_path):
    labels, classes = list(range(20)), [f"c{n:02}" for n in range(20)]
    answers = [*range(15), *(0 for _ in range(5))]
    found = judgement.judge(
        sure(answers, 20),
        np.array(labels),
        sources=classes,
        trained=range(1, 21),
        training={},
    )
    judgement.write_classes(found, classes, tmp_path / "classes.csv")
    with (tmp_path / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == classes
    assert rows[0]["precision"] == "0.1667"
    assert rows[0]["training videos"] == "1"
    text = judgement.describe(found, classes, accuracy=0.75)
    start = next(n for n, line in enumerate(text) if "12 least recognised of 20" in line)
    assert [line.split()[0] for line in text[start + 1 : start + 7]] == [
        "c15", "c16", "c17", "c18", "c19", "c00",
    ]  # fmt: skip


def test_the_network_stands_beside_the_baseline():
    labels = [0, 1, 2, 0, 1]
    found = judged(labels, [0, 1, 2, 0, 0], baseline=np.array([0, 1, 0, 0, 1]))
    assert found["baseline"]["top1"] == 0.8
    assert found["baseline"]["difference"] == 0
    low, high = found["baseline"]["interval"]
    assert low < 0 < high
    better = judged(labels, [0, 1, 2, 1, 0], baseline=np.array(labels))
    lines = judgement.describe(better, CLASSES, accuracy=0.6)
    assert "features 100.0%: the network minus this -40.0 points" in lines[1]
    assert not any("than the linear classifier" in line for line in lines)  # 5 sources
    better = judged(labels * 4, [0, 1, 2, 1, 0] * 4, baseline=np.array(labels * 4))
    better["training"]["top1"] = 1.0
    assert f"; always {CLASSES[0]} 40.0%" in judgement.describe(better, CLASSES, accuracy=0.6)[0]
    better["trained"] = [5, 4, 4]
    told = f"; always {CLASSES[0]}, most frequent in training, 40.0%"
    assert told in judgement.describe(better, CLASSES, accuracy=0.6)[0]
    better["trained"] = [5, 5, 4]  # another class is as frequent
    assert f"; always {CLASSES[0]} 40.0%" in judgement.describe(better, CLASSES, accuracy=0.6)[0]
    lines = judgement.describe(better, CLASSES, accuracy=0.6)
    assert "features 100.0%: the network minus this -40.0 points" in lines[1]
    assert better["baseline"]["interval"][1] < 0
    assert any("the network is worse than the linear classifier of its" in line for line in lines)
    doubtful = {"difference": -0.01, "interval": [-0.05, 0.03]}
    (line,) = judgement.baseline_advice(doubtful)
    assert line.startswith("the network is no better than the linear classifier of its features")
    better["training"]["top1"] = 0.8
    *_, advice = judgement.advice(better, CLASSES, accuracy=0.6)
    assert advice == (
        "training samples are right to 80%, fewer than the test videos by the linear classifier, "
        "100%: more --epochs"
    )
    worse = judged(labels, labels, baseline=np.array([0, 1, 2, 1, 0]))
    lines = judgement.describe(worse, CLASSES, accuracy=1.0)
    assert "the network minus this +40.0 points" in lines[1]
    assert "-100.0 to +100.0 (so few sources tell nothing)" in lines[1]
    assert not any("than the linear classifier" in line for line in lines)

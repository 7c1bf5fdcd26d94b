"""Accuracies of score files, by hand and over splits, and which runs may stand side by side."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fstcn_keras.runs import RunFolder
from tests import equations
from training import scores, split_summary
from training.errors import UserError
from training.evaluation import print_metrics
from training.options import FitOptions
from training.parts import build
from training.scores import check_same_videos, read_result


def write_run(
    run: Path,
    *,
    split: int = 1,
    classes: tuple[str, ...] = ("jump", "run", "wave"),
    dataset: str = "demo",
    num_videos: int = 5,
    seed: int = 0,
) -> Path:
    """The files of a finished run that hold its results: two clips of 18 crops a video."""
    generator = np.random.default_rng(seed)
    run.mkdir(parents=True)
    views = generator.dirichlet(np.ones(len(classes)), (num_videos, 2, 18)).astype(np.float32)
    labels = np.arange(num_videos) % len(classes)
    paths = np.array([f"{classes[label]}/{n}.avi" for n, label in enumerate(labels)])
    np.savez_compressed(run / "scores.npz", scores=views, labels=labels, paths=paths)
    (run / "classes.txt").write_text("\n".join(classes) + "\n")
    protocol = {
        **{"dataset": dataset, "split": split, "num_classes": len(classes)},
        **{"absent_classes": [], "num_clips": 2, "num_crops": 18, "videos": num_videos},
        **{"missing": 1, "rejected": 0, "precision": "float32"},
    }
    none = {"top1": 0.0, "top5": 0.0, "mean_class": 0.0}  # nothing but the scores is tabulated
    metrics = {"video": dict.fromkeys(("sci", "average", "single"), none), "clip": none}
    (run / "metrics.json").write_text(json.dumps(metrics | {"protocol": protocol}))
    (run / "model.keras").touch()  # nobody loads it
    return run


def change(run: Path, **arrays):
    """Replaces arrays of the run's scores."""
    with np.load(run / "scores.npz") as before:
        np.savez_compressed(run / "scores.npz", **{**before, **arrays})


def loop_top1(run: Path, level: str, method: str) -> float:
    """The share of videos or clips that are right, by section 2.4 of the paper.

    Of a video one clip drawn at random is right as often as so many of its clips are.
    """
    with np.load(run / "scores.npz") as arrays:
        views, labels = arrays["scores"].astype(np.float64), arrays["labels"]
    clip_scores, video_scores = {
        "sci": (equations.clip_scores, lambda clips: clips.max(axis=0)),
        "average": (lambda video: video.mean(axis=1), lambda clips: clips.mean(axis=0)),
        "single": (lambda video: video[:, 4], None),
    }[method]
    right = []
    for video, label in zip(views, labels, strict=True):
        clips = clip_scores(video)
        each = [int(p.argmax()) == label for p in clips]
        if level == "clip":
            right += each
        elif method == "single":
            right.append(sum(each) / len(each))
        else:
            right.append(int(video_scores(clips).argmax()) == label)
    return sum(right) / len(right)


def test_accuracies_by_hand():
    six = np.array(
        [
            [0.5, 0.3, 0.2, 0.0, 0.0, 0.0],  # true class first
            [0.5, 0.3, 0.2, 0.0, 0.0, 0.0],  # true class third
            [0.1, 0.2, 0.3, 0.4, 0.5, 0.0],  # true class last of six
            [0.2, 0.2, 0.2, 0.2, 0.2, 0.2],  # all equal: the first class wins
        ]
    )
    result = scores.accuracies(six, np.array([0, 2, 5, 1]))
    assert result["top1"] == 1 / 4
    assert result["top5"] == 3 / 4
    assert result["mean_class"] == pytest.approx((1 + 0 + 0 + 0) / 4)
    assert result["top1_all"] == 1 / 4
    assert scores.accuracies(six, np.array([0, 2, 5, 1]), rejected=6)["top1_all"] == 1 / 10
    assert scores.accuracies(six[:2], np.array([0, 0]))["mean_class"] == 1.0
    of_equals = [scores.accuracies(six[3:], np.array([label])) for label in (0, 1, 4, 5)]
    assert [found["top1"] for found in of_equals] == [1, 0, 0, 0]
    assert [found["top5"] for found in of_equals] == [1, 1, 1, 0]


def test_videos_that_could_not_be_decoded_count_as_errors(tmp_path, capsys):
    """5 of 8 right and 2 rejected, 1 of 3 right and 1 rejected: 5/10 and 1/4, and 6/14 of all."""
    options = write_folds(
        tmp_path,
        labels=[[0, 1] * 4, [0] * 3],
        right=[[True] * 5 + [False] * 3, [True, False, False]],
    )
    for fold, rejected in ((1, 2), (2, 1)):
        file = tmp_path / f"fold{fold}" / "metrics.json"
        metrics = json.loads(file.read_text())
        metrics["protocol"]["rejected"] = rejected
        file.write_text(json.dumps(metrics))
    split_summary.summarise(options)
    summary = json.loads((tmp_path / "splits.json").read_text())
    for level, method in itertools.product(("video", "clip"), ("sci", "average", "single")):
        each = [summary["folds"][fold][level][method] for fold in ("1", "2")]
        assert [row["top1_all"] for row in each] == [0.5, 0.25]
        assert [row["top1"] for row in each] == [5 / 8, 1 / 3]
        assert summary["mean"][level][method]["top1_all"] == 0.375
        assert summary["pooled"][level][method]["top1_all"] == pytest.approx(6 / 14)
    *_, row, note, best, _, _ = capsys.readouterr().out.splitlines()
    assert row.startswith("  video, SCI fusion, of all ")
    assert row.split()[-5:] == ["50.0%", "25.0%", "37.5%", "17.7%", "42.9%"]
    assert note == "all 14: with 3 that could not be decoded, as errors"
    texts = ("SCI fusion 54.5%", "averaging 54.5%", "one clip, centre crop 54.5%")  # 6 of 11 each
    assert best == f"best fusion, each video by the fold that has not seen it: {', '.join(texts)}"


def test_accuracies_of_folds_stand_beside_chance_and_baseline(tmp_path, capsys):
    options = write_folds(tmp_path, labels=[[0, 1] * 4, [0] * 3], right=[[True] * 8, [True] * 3])
    told = ({"share": 0.5, "top1": 0.75}, {"share": 1.0, "top1": 1 / 3})
    for fold, found in enumerate(told, start=1):
        file = tmp_path / f"fold{fold}" / "metrics.json"
        metrics = json.loads(file.read_text())
        metrics["judgement"] = {
            "chance": 0.5,
            "commonest": {"label": 0, "share": found["share"]},
            "baseline": {"top1": found["top1"]},
        }
        file.write_text(json.dumps(metrics))
    split_summary.summarise(options)
    lines = {line[2:34].strip(): line.split()[-5:] for line in capsys.readouterr().out.splitlines()}
    assert lines["chance"] == ["50.0%", "50.0%", "50.0%", "0.0%", "50.0%"]
    frequent = ["50.0%", "100.0%", "75.0%", "35.4%", "63.6%"]  # 4 of 8 and 3 of 3: 7 of 11
    assert lines["most frequent class in training"] == frequent
    baseline = ["75.0%", "33.3%", "54.2%", "29.5%", "63.6%"]  # 6 of 8 and 1 of 3: 7 of 11
    assert lines["linear classifier of features"] == baseline
    summary = json.loads((tmp_path / "splits.json").read_text())["beside"]
    assert summary["chance"] == {"parts": [0.5, 0.5], "mean": 0.5, "std": 0.0, "pooled": 0.5}

    metrics["judgement"]["baseline"] = None  # as of a run without features to begin with
    file.write_text(json.dumps(metrics))
    split_summary.summarise(options)
    assert "linear classifier" not in capsys.readouterr().out


def test_all_folds_together_are_judged_by_their_sources(tmp_path, capsys):
    """9 of 12 right, each of a source of its own: Wilson's interval as SciPy has it."""
    options = write_folds(
        tmp_path,
        labels=[[0, 1] * 4, [0, 1] * 2],
        right=[[True] * 5 + [False] * 3, [True] * 4],
    )
    split_summary.summarise(options)
    summary = json.loads((tmp_path / "splits.json").read_text())["judgement"]
    wilson = stats.binomtest(9, 12).proportion_ci(method="wilson")
    assert summary["interval"] == pytest.approx([wilson.low, wilson.high])
    assert (summary["videos"], summary["top1"], summary["sources"]) == (12, 0.75, 12)
    assert summary["baseline"] is None
    expected = f"SCI fusion 75.0% of 12 videos: 95 % interval {wilson.low:.1%} to {wilson.high:.1%}"
    *_, line, _ = capsys.readouterr().out.splitlines()
    assert line == f"{expected}, by 12 sources"

    # of the baseline the first fold's videos are all right, the second's all wrong: -3 and +4
    for fold, numbers in enumerate([range(8), range(8, 12)], start=1):
        told = {f"{n}.avi": n % 2 if fold == 1 else 1 - n % 2 for n in numbers}
        (tmp_path / f"fold{fold}" / "baseline.json").write_text(json.dumps({"answers": told}))
    split_summary.summarise(options)
    found = json.loads((tmp_path / "splits.json").read_text())["judgement"]["baseline"]
    assert (found["top1"], found["difference"]) == pytest.approx((8 / 12, 1 / 12))
    low, high = found["interval"]
    # Student's interval of the mean of -1 (thrice), 0 (5 times) and 1 (4 times)
    deviation = (7 / 12 - (1 / 12) ** 2) ** 0.5
    half = stats.t.ppf(0.975, 11) * deviation / 11**0.5
    assert (low, high) == pytest.approx((1 / 12 - half, 1 / 12 + half), abs=0.04)
    *_, line, _ = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "linear classifier of the pre-trained features 66.7%: the network minus this +8.3 points, "
        f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
    )
    told = {f"{n}.avi": n % 2 for n in range(8, 12)}  # now all twelve are right
    (tmp_path / "fold2" / "baseline.json").write_text(json.dumps({"answers": told}))
    split_summary.summarise(options)
    *_, line, advice, _ = capsys.readouterr().out.splitlines()
    assert "features 100.0%: the network minus this -25.0 points" in line
    assert advice.startswith("advice: the network is no better than the linear classifier of its")
    (tmp_path / "fold2" / "baseline.json").unlink()
    split_summary.summarise(options)
    assert "the network minus this" not in capsys.readouterr().out


def test_sources_that_two_folds_share_count_once(tmp_path):
    """Four right videos of source x in either fold, and one wrong one of y: two sources."""
    options = write_folds(
        tmp_path, labels=[[0] * 4, [0] * 5], right=[[True] * 4, [True] * 4 + [False]]
    )
    change(tmp_path / "fold1", groups=np.array(["x"] * 4))
    change(tmp_path / "fold2", groups=np.array(["x"] * 4 + ["y"]))
    split_summary.summarise(options)
    summary = json.loads((tmp_path / "splits.json").read_text())["judgement"]
    assert (summary["videos"], summary["sources"]) == (9, 2)
    assert summary["interval"][0] < 0.2  # of nine sources it would begin at 0.57


def test_accuracies_of_a_score_file_against_loops(tmp_path):
    run = write_run(tmp_path / "run", num_videos=40)
    result = read_result(RunFolder(run))
    cases = [(level, m) for level in ("video", "clip") for m in ("sci", "average", "single")]
    found = [result.accuracies[level][method]["top1"] for level, method in cases]
    expected = [loop_top1(run, *case) for case in cases]
    assert found == pytest.approx(expected)
    assert len(set(expected)) >= 4
    scored = scores.read_scores(RunFolder(run))
    for (level, method), value in zip(cases, expected, strict=True):
        if level == "video":
            right, sources = scored.answers(method)
            assert right.mean() == pytest.approx(value)
            assert len(right) == len(sources) == (80 if method == "single" else 40)
    assert result.class_names["run/1.avi"] == "run"
    assert len(result.class_names) == 40


def test_a_random_clip_is_the_mean_over_all_draws():
    """Each of the 3^4 choices of a clip for every video, as likely as the others."""
    generator = np.random.default_rng(2)
    views = generator.dirichlet(np.full(7, 0.3), (4, 3, 18))
    labels = np.array([0, 4, 6, 6])
    views[:, :, 4][generator.random((4, 3)) < 0.5, labels[0]] += 1  # some clips are sure, and wrong
    drawn = [
        [views[video, clip, 4] for video, clip in enumerate(choice)]
        for choice in itertools.product(range(3), repeat=4)
    ]
    each = [scores.accuracies(np.array(choice), labels) for choice in drawn]
    assert len(each) == 81
    found = scores.all_accuracies(scores.all_fused(views), labels)["video"]["single"]
    for measure in ("top1", "top5", "mean_class"):
        values = [one[measure] for one in each]
        assert len(set(values)) > 1
        assert found[measure] == pytest.approx(sum(values) / 81)


def test_answers_are_in_the_order_of_paths_and_name_their_sources(tmp_path):
    run = write_run(tmp_path / "run", classes=("jump", "run"), num_videos=3)
    one_hot = np.eye(2, dtype=np.float32)[[[0, 1], [1, 1], [0, 0]]]  # (3 videos, 2 clips, 2)
    change(run, scores=np.repeat(one_hot[:, :, None], 18, axis=2), labels=np.array([0, 1, 1]))
    change(run, paths=np.array(["c.avi", "a.avi", "b.avi"]), groups=np.array(["z", "x", "y"]))
    right, sources = scores.read_scores(RunFolder(run)).answers("single")
    assert right.tolist() == [True, True, False, False, True, False]
    assert sources.tolist() == ["x", "x", "y", "y", "z", "z"]
    right, sources = scores.read_scores(RunFolder(run)).answers("average")
    assert right.tolist() == [True, False, True]  # of equal scores the first class
    assert sources.tolist() == ["x", "y", "z"]


def test_mean_and_deviation_over_splits_by_hand(tmp_path):
    """One view decides every video of two: 1, 1/2 and 0 of them are right."""
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    for split, rows in enumerate(([right, right], [right, wrong], [wrong, wrong]), start=1):
        settings = {"classes": ("a", "b"), "num_videos": 2, "seed": split}
        run = write_run(tmp_path / f"split{split}", split=split, **settings)
        views = np.broadcast_to(np.float32(rows)[:, None, None], (2, 2, 18, 2))
        change(run, scores=views, labels=np.zeros(2, int))
    split_summary.summarise(build(FitOptions, split="all", out=tmp_path))
    summary = json.loads((tmp_path / "splits.json").read_text())
    for level in ("video", "clip"):
        for method in ("sci", "average", "single"):
            each = [summary["splits"][n][level][method]["top1"] for n in ("1", "2", "3")]
            assert each == [1.0, 0.5, 0.0]
            assert summary["mean"][level][method]["top1"] == 0.5
            assert summary["std"][level][method]["top1"] == pytest.approx(0.5)  # sqrt(0.5 / 2)
            assert summary["mean"][level][method]["top5"] == 1.0
            assert summary["std"][level][method]["top5"] == 0.0
    assert summary["splits"]["2"]["protocol"]["split"] == 2


def test_the_summary_is_printed(tmp_path, capsys):
    values = []
    for split in (1, 2, 3):
        run = write_run(tmp_path / f"split{split}", split=split, num_videos=10, seed=split)
        values.append(100 * loop_top1(run, "clip", "average"))
    split_summary.summarise(build(FitOptions, split="all", out=tmp_path))
    rows = capsys.readouterr().out.splitlines()
    assert "10 + 10 + 10 test videos of 3 classes, 2 clips x 18 crops" in rows[0]
    row = next(row for row in rows if "clip, averaging its crops" in row)
    mean = sum(values) / 3
    deviation = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    assert row.split()[-5:] == [f"{value:.1f}%" for value in (*values, mean, deviation)]


def test_lists_of_one_split_have_no_deviation(tmp_path, capsys):
    (tmp_path / "wave_test_split1.txt").touch()
    file = write_run(tmp_path / "split1", num_videos=10) / "metrics.json"
    judged = {"chance": 1 / 3, "commonest": {"share": 0.4}}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"judgement": judged}))
    lists = {"dataset": "hmdb51", "data_dir": tmp_path, "splits_dir": tmp_path}
    split_summary.summarise(build(FitOptions, **lists, split="all", out=tmp_path))

    def number_of_json(text: str):
        raise AssertionError(f"{text} is none")

    text = (tmp_path / "splits.json").read_text()
    summary = json.loads(text, parse_constant=number_of_json)
    value = loop_top1(tmp_path / "split1", "video", "sci")
    assert summary["mean"]["video"]["sci"]["top1"] == pytest.approx(value)
    assert summary["beside"]["chance"] == {"parts": [1 / 3], "mean": 1 / 3}
    assert "std" not in summary
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["top-1", "split", "1", "mean"]
    assert lines[2].split()[-2:] == [f"{value:.1%}"] * 2
    assert ["chance", "33.3%", "33.3%"] in [line.split() for line in lines]


def error_of_two(one: Path, other: Path) -> str:
    with pytest.raises(UserError) as error:
        check_same_videos([read_result(RunFolder(one)), read_result(RunFolder(other))])
    assert str(one) in str(error.value)
    assert str(other) in str(error.value)
    return str(error.value)


def test_other_labels(tmp_path):
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other")
    change(other, labels=np.array([0, 1, 0, 0, 1]))
    assert "label 1 videos differently, e.g. wave/2.avi: wave and jump" in error_of_two(one, other)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"classes": ("jump", "run", "walk")}, "{one}, e.g. wave; 1 only in {other}, e.g. walk"),
        ({"classes": ("jump", "wave", "run")}, "the same classes in another order"),
        ({"split": 2}, "not of the same split: split 1 and split 2"),
        ({"dataset": "hmdb51"}, "not of the same data set: demo and hmdb51"),
    ],
)
def test_other_classes_or_data(tmp_path, changes, expected):
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other", **changes)
    assert expected.format(one=one, other=other) in error_of_two(one, other)


def test_splits_of_other_classes_are_not_averaged(tmp_path):
    for split, last in enumerate(("wave", "wave", "walk"), start=1):
        write_run(tmp_path / f"split{split}", split=split, classes=("jump", "run", last))
    with pytest.raises(UserError, match=r"split1 and .*split3 are of different classes: 1 only in"):
        split_summary.summarise(build(FitOptions, split="all", out=tmp_path))


def test_damaged_or_foreign_scores(tmp_path):
    run = write_run(tmp_path / "run")
    change(run, labels=np.zeros(4, int))
    with pytest.raises(UserError, match=r"labels \(4,\) .* training.evaluate .*run' makes them"):
        read_result(RunFolder(run))
    (run / "scores.npz").write_bytes(b"PK half a file")
    with pytest.raises(UserError, match=r"results of .*run cannot be read"):
        read_result(RunFolder(run))
    (run / "scores.npz").unlink()
    with pytest.raises(UserError, match="No such file"):
        read_result(RunFolder(run))


def write_folds(folder: Path, labels: list[list[int]], right: list[list[bool]]) -> FitOptions:
    """Finished folds whose every view decides its video for the first class, or the second."""
    number = 0
    for fold, (truth, found) in enumerate(zip(labels, right, strict=True), start=1):
        run = write_run(folder / f"fold{fold}", classes=("a", "b"), num_videos=len(truth))
        scores = [[0.9, 0.1] if bool(label) != ok else [0.1, 0.9]
                  for label, ok in zip(truth, found, strict=True)]  # fmt: skip
        views = np.broadcast_to(np.float32(scores)[:, None, None], (len(truth), 2, 18, 2))
        paths = np.array([f"{number + n}.avi" for n in range(len(truth))])
        number += len(truth)
        change(run, scores=views, labels=np.array(truth), paths=paths)
        metrics = json.loads((run / "metrics.json").read_text())
        metrics["protocol"] |= {"split": None, "fold": fold, "folds": len(labels)}
        (run / "metrics.json").write_text(json.dumps(metrics))
    arguments = {"dataset": "folder", "data_dir": folder, "folds": len(labels), "fold": "all"}
    return build(FitOptions, **arguments, out=folder)


def test_pooled_accuracy_over_folds_by_hand(tmp_path, capsys):
    """Folds of 4 and 1 videos: mean (3/4 + 0) / 2, over all videos 3/5."""
    options = write_folds(
        tmp_path, labels=[[0, 0, 0, 1], [1]], right=[[True, True, False, True], [False]]
    )
    split_summary.summarise(options)
    summary = json.loads((tmp_path / "splits.json").read_text())
    assert list(summary["folds"]) == ["1", "2"]
    assert summary["folds"]["2"]["protocol"]["fold"] == 2
    for level, method in (("video", "sci"), ("clip", "average")):
        assert summary["mean"][level][method]["top1"] == 0.375
        assert summary["std"][level][method]["top1"] == pytest.approx(0.75 / 2**0.5)
        assert summary["pooled"][level][method]["top1"] == pytest.approx(3 / 5)
        assert summary["pooled"][level][method]["mean_class"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    title, headings, row, *_ = capsys.readouterr().out.splitlines()
    assert title.startswith("demo, 2 folds: 5 test videos of 2 classes")
    assert headings.split()[1:] == ["fold", "1", "fold", "2", "mean", "deviation", "all", "videos"]
    assert row.split()[-5:] == ["75.0%", "0.0%", "37.5%", "53.0%", "60.0%"]
    assert len(headings) == len(row)


def test_a_video_that_is_tested_in_two_folds_is_noticed(tmp_path):
    options = write_folds(tmp_path, labels=[[0, 1], [0, 1]], right=[[True, True], [True, True]])
    change(tmp_path / "fold2", paths=np.array(["1.avi", "9.avi"]))
    with pytest.raises(UserError, match=r"1 videos are test videos of two folds, e\.g\. 1\.avi"):
        split_summary.summarise(options)


def test_sources_are_those_that_the_run_was_evaluated_with(tmp_path):
    run = write_run(tmp_path / "run", num_videos=3)
    assert scores.read_scores(RunFolder(run)).sources == ("jump/0", "run/1", "wave/2")
    change(run, groups=np.array(["x", "y", "x"]))
    assert scores.read_scores(RunFolder(run)).sources == ("x", "y", "x")


@pytest.mark.parametrize(
    ("absent", "expected"),
    [
        (["clap"], "1 of 4 classes have no video and are left out: clap"),
        (["b", "a"], "2 of 5 classes have no video and are left out: b, a"),
        ([*"abcdefghijkl"], "12 of 15 classes have no video and are left out: "
                            "a, b, c, d, e, f, g, h, i, j and 2 more"),
    ],
)  # fmt: skip
def test_classes_without_videos_are_named_below_the_tables(tmp_path, capsys, absent, expected):
    for split in (1, 2, 3):
        file = write_run(tmp_path / f"split{split}", split=split) / "metrics.json"
        metrics = json.loads(file.read_text())
        metrics["protocol"]["absent_classes"] = absent
        file.write_text(json.dumps(metrics))
    print_metrics(RunFolder(tmp_path / "split1"))
    *_, row, line, last = capsys.readouterr().out.splitlines()
    assert row.startswith("  clip, SCI over its crops")
    assert line == expected
    assert last == f"results in {tmp_path / 'split1'}"
    split_summary.summarise(build(FitOptions, split="all", out=tmp_path))
    *_, row, judged, line, last = capsys.readouterr().out.splitlines()
    assert row.startswith("  clip, averaging its crops")
    assert " of 15 answers of all splits: 95 % interval " in judged
    assert line == expected
    assert last == f"results in {tmp_path / 'splits.json'}"

"""Cross-validation by groups: all folds, stopped and gone on with, and found again."""

import json
from collections import Counter

import numpy as np
import pytest

from analysis.runs import open_run, read_options
from fstcn_keras.runs import RunFolder
from tests.training.test_cli import error_of
from tests.videos import noise, write_video
from training import cli, evaluate, fit, fitting
from training.errors import UserError
from training.options import FitOptions, read_config, write_config
from training.parts import build

PERSONS = ("ann", "bob", "eve")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes told apart by colour, acted by three persons."""
    root = tmp_path_factory.mktemp("data")
    for seed, (channel, person) in enumerate((c, p) for c in range(2) for p in PERSONS):
        frames = noise(12, height=48, width=64, seed=seed) // 4
        frames[..., channel] += np.uint8(150)
        path = root / ("red", "green")[channel] / f"{person}{seed}.avi"
        write_video(path, frames, codec="mpeg4")
    return root


def arguments(data, out, *more: str) -> list[str]:
    return [
        *("--dataset", "folder", "--data-dir", str(data), "--store", str(data / "store")),
        *("--epochs", "1", "--warmup-epochs", "0", "--batch-size", "4", "--num-clips", "1"),
        *("--precision", "float32", "--paths", "spatial", "--groups", "/([a-z]+)"),
        *("--folds", "3", "--out", str(out), *more),
    ]


def test_all_folds_interrupted_gone_on_with_and_evaluated_again(
    data, tmp_path, capsys, monkeypatch
):
    options = arguments(data, tmp_path / "all", "--fold", "all")
    train_stages = fitting.train_stages

    def interrupted_in_fold_2(options, *more):
        if options.collection.fold == 2:
            raise KeyboardInterrupt
        return train_stages(options, *more)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "train_stages", interrupted_in_fold_2)
        with pytest.raises(SystemExit):
            cli.run(fit.main, FitOptions, options)
    capsys.readouterr()
    before = (tmp_path / "all" / "fold1" / "model.keras").stat().st_mtime_ns
    error = error_of(capsys, fit.main, FitOptions, *options, "--groups", r"\w+\.avi")
    assert "other options (groups: /([a-z]+), not" in error

    cli.run(fit.main, FitOptions, options)
    assert (tmp_path / "all" / "fold1" / "model.keras").stat().st_mtime_ns == before
    assert "folder, 3 folds: 6 test videos of 2 classes" in capsys.readouterr().out
    summary = json.loads((tmp_path / "all" / "splits.json").read_text())
    tested, right = Counter(), 0.0
    for number, person in enumerate(PERSONS, start=1):
        run = RunFolder(tmp_path / "all" / f"fold{number}")
        with np.load(run.scores) as arrays:
            assert set(arrays["groups"]) == {person}
            assert all(f"/{person}" in path for path in arrays["paths"])
            tested.update(arrays["paths"].tolist())
        trained = json.loads(run.training_videos.read_text())["train"]
        assert len(trained) == 4
        assert not any(person in path for path in trained)
        metrics = json.loads(run.metrics.read_text())
        assert metrics["protocol"]["fold"] == number
        assert summary["folds"][str(number)]["video"] == metrics["video"]
        right += 2 * metrics["video"]["sci"]["top1"]
    assert len(tested) == tested.total() == 6
    assert summary["pooled"]["video"]["sci"]["top1"] == pytest.approx(right / 6)

    opened = open_run(RunFolder(tmp_path / "all" / "fold2"))
    assert {video.group for video in opened.videos("test")} == {"bob"}
    with pytest.raises(UserError, match=r"holds a run for each split or fold: name one of .*fold1"):
        read_options(RunFolder(tmp_path / "all"))
    (tmp_path / "all" / "splits.json").unlink()
    (tmp_path / "all").rename(tmp_path / "moved")
    again = []  # what it computes is seen in test_experiments
    monkeypatch.setattr(evaluate, "evaluate_again", lambda one, **views: again.append(one))
    cli.run(evaluate.main, evaluate.EvaluateOptions, [str(tmp_path / "moved")])
    folders = [one.run_folder().path for one in again]
    assert folders == [tmp_path / "moved" / f"fold{number}" for number in (1, 2, 3)]
    assert [one.collection.fold for one in again] == [1, 2, 3]
    assert json.loads((tmp_path / "moved" / "splits.json").read_text()) == summary


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--fold", "1", "--split", "all"), "of the training videos of one split: give its number"),
        (("--fold", "1", "--folds", "7"), "--folds 7 is more than there are groups of videos, 3"),
        (
            ("--fold", "1", "--groups", "^(red|green/ann|green)"),
            "fold 3 of 3 leaves training videos of fewer than two classes",
        ),
        (("--fold", "4"), "--fold must be 1 to 3, or all, got 4"),
        (
            ("--fold", "1", "--groups", "ann"),
            "names no group for 4 of 6 videos, e.g. green/bob4.avi",
        ),
    ],
)
def test_what_cannot_be_folded(data, tmp_path, capsys, more, expected):
    options = arguments(data, tmp_path / "run", *more)
    assert expected in error_of(capsys, fit.main, FitOptions, *options)


def test_names_of_run_folders(tmp_path):
    given = {"dataset": "folder", "data_dir": tmp_path, "folds": 10}
    assert str(build(FitOptions, **given, fold=3).run_folder()) == "runs/folder-fold3of10-small"
    assert str(build(FitOptions, **given, fold="all").run_folder()) == "runs/folder-folds10-small"
    each = build(FitOptions, **given, fold="all").each_split()
    assert [str(one.run_folder()) for one in each[:2]] == [
        "runs/folder-folds10-small/fold1",
        "runs/folder-folds10-small/fold2",
    ]
    assert [one.collection.fold for one in each] == list(range(1, 11))
    assert {one.split for one in each} == {None}


def test_the_configuration_holds_the_fold(tmp_path):
    options = build(FitOptions, dataset="folder", data_dir=tmp_path, folds=10, fold="all",
                    groups=r"seq\d+")  # fmt: skip
    write_config(options, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == options

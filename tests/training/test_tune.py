"""Settings compared by cross-validation inside the training list."""

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fstcn_keras.runs import RunFolder
from tests.training.runs import write_split
from tests.training.test_cli import error_of
from tests.training.test_cross_validation import arguments as spatial_arguments
from tests.training.test_cross_validation import data  # noqa: F401
from tests.training.test_scores import change, write_run
from training import cli, distribution, fit, fitting, tune
from training.errors import UserError
from training.options import FitOptions
from training.parts import build
from training.tune import TuneOptions


def changes_file(folder: Path, text: str) -> Path:
    file = folder / "changes.yaml"
    file.write_text(text)
    return file


def one_hot_views(labels, right) -> np.ndarray:
    """Scores `(V, 2, 18, 3)` whose class is the label where it is to be right, else the next."""
    named = np.where(right, labels, (labels + 1) % 3)
    return np.broadcast_to(
        np.eye(3, dtype="float32")[named][:, None, None], (len(labels), 2, 18, 3)
    )


def write_answers(folder: Path, number: int, right: list[int]):
    """Writes a run of one fold that has these of four videos of three sources, or more, right."""
    run = write_run(folder / f"fold{number}", num_videos=len(right), seed=number)
    views = one_hot_views(np.arange(len(right)) % 3, np.array(right, bool))
    paths = np.array([f"{number}/{n}.avi" for n in range(len(right))])
    groups = np.array([f"{number}{'aabcdef'[n]}" for n in range(len(right))])
    change(run, scores=views, paths=paths, groups=groups)


def test_the_table_against_counts_by_hand(tmp_path):
    file = changes_file(tmp_path, "plain: {}\nlonger: {epochs: 7}\n")
    options = build(TuneOptions, changes=file, out=tmp_path / "t", folds=2, preset="small")
    right = {"plain": ([1, 1, 0, 0], [1, 0, 0, 0]), "longer": ([1, 1, 1, 0], [1, 1, 1, 0])}
    for name, folds in right.items():
        for number, of_fold in enumerate(folds, start=1):
            write_answers(tmp_path / "t" / name / "seed0", number, of_fold)
    records, text = tune.compare(options.trials())
    plain, longer = records
    assert (plain["mean"], longer["mean"]) == pytest.approx((3 / 8, 6 / 8))
    assert plain["deviation"] == pytest.approx(np.sqrt(2) / 8)  # of 1/2 and 1/4
    assert (plain["difference"], longer["difference"]) == pytest.approx((0, 3 / 8))
    assert -1 / 2 < longer["low"] < 3 / 8 < longer["high"] <= 1
    assert longer["recipe"].startswith("modern with epochs 7")
    assert "8 videos of 3 classes and 6 sources" in text
    assert (plain["fold1"], plain["fold2"]) == pytest.approx((2 / 4, 1 / 4))
    assert "| longer | 75.0 ± 0.0 % | 75.0, 75.0 | 75.0 to 75.0 % | +37.5 |" in text
    assert "judged once; 2 clips x 18 crops, SCI fusion\n" in text


def test_each_change_is_trained_with_several_seeds(tmp_path):
    file = changes_file(tmp_path, "plain: {}\nlonger: {epochs: 7}\n")
    settings = {"folds": 2, "preset": "small", "seed": 3, "seeds": 2}
    options = build(TuneOptions, changes=file, out=tmp_path / "t", **settings)
    trials = options.trials()
    assert [fit.run.seed for fit in trials["longer"]] == [3, 4]
    right = {
        ("plain", 3): ([1, 1, 0, 0], [1, 0, 0, 0]),  # 3 of 8
        ("plain", 4): ([1, 1, 0, 0], [0, 0, 0, 0]),  # 2 of 8
        ("longer", 3): ([1, 1, 1, 0], [1, 1, 1, 0]),  # 6 of 8
        ("longer", 4): ([1, 1, 1, 1], [1, 1, 1, 0]),  # 7 of 8
    }
    for (name, seed), folds in right.items():
        for number, of_fold in enumerate(folds, start=1):
            write_answers(tmp_path / "t" / name / f"seed{seed}", number, of_fold)
    records, text = tune.compare(trials)
    plain, longer = records
    assert (plain["mean"], longer["mean"]) == pytest.approx((5 / 16, 13 / 16))
    assert plain["deviation"] == pytest.approx(np.std([4 / 8, 1 / 8], ddof=1))  # of the folds
    assert (longer["fold1"], longer["fold2"]) == pytest.approx((7 / 8, 6 / 8))
    assert (longer["lowest_seed"], longer["highest_seed"]) == pytest.approx((6 / 8, 7 / 8))
    assert longer["difference"] == pytest.approx(8 / 16)
    # of the six sources' gains 0, 2, 1; 3, 2, 0: only + or - for all four that are not 0
    assert longer["p"] == pytest.approx(2 / 2**4)
    assert "8 videos of 3 classes and 6 sources, each judged once with each of 2 seeds;" in text
    assert "| 87.5, 75.0 | 75.0 to 87.5 % | +50.0 |" in text


def test_over_seeds_all_videos_count_and_over_folds_their_means(tmp_path):
    """4 of 4 and 0 of 6 are right: a half of the folds, 4 of 10 of the videos."""
    file = changes_file(tmp_path, "plain: {}\nlonger: {epochs: 7}\n")
    options = build(TuneOptions, changes=file, out=tmp_path / "t", folds=2, preset="small")
    for name in ("plain", "longer"):
        for number, of_fold in enumerate(([1] * 4, [0] * 6), start=1):
            write_answers(tmp_path / "t" / name / "seed0", number, of_fold)
    (plain, _), text = tune.compare(options.trials())
    assert plain["mean"] == pytest.approx(1 / 2)
    assert plain["lowest_seed"] == plain["highest_seed"] == pytest.approx(4 / 10)
    assert "10 videos of 3 classes and 8 sources" in text


def test_each_change_may_have_views_of_its_own(tmp_path, monkeypatch):
    file = changes_file(tmp_path, "few: {encoded_views: 4}\nmany: {encoded_views: 8}\n")
    start = {"preset": "lite", "scl_weights": "imagenet"}
    options = build(TuneOptions, changes=file, out=tmp_path / "t", folds=2, **start)
    for name, crops in (("few", 5), ("many", 9)):
        for number in (1, 2):
            folder = tmp_path / "t" / name / "seed0" / f"fold{number}"
            run = write_run(folder, num_videos=4, seed=number)
            views = one_hot_views(np.arange(4) % 3, np.ones(4, bool))[:, :1, :crops]
            change(run, scores=views, groups=np.arange(4))
            metrics = json.loads((run / "metrics.json").read_text())
            metrics["protocol"] |= {"views": "encoded", "num_clips": 1, "num_crops": crops}
            (run / "metrics.json").write_text(json.dumps(metrics))
    _, text = tune.compare(options.trials())
    assert "; 4 views drawn as in training and the centre or 8 views drawn" in text

    def train(runs, **_) -> bool:
        file.unlink()  # in the hours that it takes
        return True

    monkeypatch.setattr(fitting, "fit_runs", train)
    tune.main(options)
    assert (tmp_path / "t" / "tune.md").read_text() == text
    assert (tmp_path / "t" / "tune.yaml").read_text().startswith("few: ")


def test_changes_are_trained_on_folds_of_the_training_videos(data, tmp_path, capsys):  # noqa: F811
    lists = tmp_path / "lists"
    write_split(data, lists, test_prefix="eve")
    file = changes_file(tmp_path, "one: {}\ntwo: {scales: [0.8, 0.9]}\n")
    common = [
        *("--dataset", "folder", "--data-dir", str(data), "--store", str(data / "store")),
        *("--splits-dir", str(lists), "--groups", "/([a-z]+)", "--folds", "2"),
        *("--epochs", "1", "--warmup-epochs", "0", "--batch-size", "4", "--num-clips", "1"),
        *("--precision", "float32", "--paths", "spatial", "--out", str(tmp_path / "out")),
    ]
    cli.run(tune.main, TuneOptions, [str(file), *common])
    printed = capsys.readouterr().out
    assert (
        "2 folds of the training videos of split 1: 4 videos of 2 classes and 2 sources" in printed
    )
    with (tmp_path / "out" / "tune.csv").open() as lines:
        assert [row["change"] for row in csv.DictReader(lines)] == ["one", "two"]
    assert (tmp_path / "out" / "tune.yaml").read_text() == file.read_text()
    for name in ("one", "two"):
        tested = []
        for number in (1, 2):
            run = RunFolder(tmp_path / "out" / name / "seed0" / f"fold{number}")
            trained = json.loads(run.training_videos.read_text())["train"]
            with np.load(run.scores) as arrays:
                tested += arrays["paths"].tolist()
            assert not any("eve" in path for path in [*trained, *tested])
        assert len(set(tested)) == 4


@pytest.mark.parametrize("encoded", ["longer/seed0/fold1", "*/seed0/fold2", "longer/seed0/fold*"])
def test_runs_that_were_judged_by_different_views_are_not_compared(tmp_path, encoded):
    file = changes_file(tmp_path, "plain: {}\nlonger: {epochs: 7}\n")
    options = build(TuneOptions, changes=file, out=tmp_path / "t", folds=2, preset="small")
    for name in ("plain", "longer"):
        for number in (1, 2):
            write_answers(tmp_path / "t" / name / "seed0", number, [1, 1, 0, 0])
    for file in (tmp_path / "t").glob(f"{encoded}/metrics.json"):
        metrics = json.loads(file.read_text())
        metrics["protocol"]["views"] = "encoded"
        file.write_text(json.dumps(metrics))
    with pytest.raises(UserError, match=r"are not of the same views: .* drawn as in training"):
        tune.compare(options.trials())


def test_a_run_is_judged_by_the_views_that_are_asked_for(data, tmp_path, capsys):  # noqa: F811
    """A change that is added may train more than heads: what was scored before is scored anew."""
    first = RunFolder(tmp_path / "first")
    cli.run(fit.main, FitOptions, spatial_arguments(data, first.path, "--fold", "1"))
    head = ("--epochs", "0", "--head-epochs", "1", "--encoded-views", "2", "--scales", "0.9")
    more = ("--fold", "1", "--start-from", str(first), *head)
    options = cli.parse(FitOptions, spatial_arguments(data, tmp_path / "run", *more))
    run, protocols = options.run_folder(), []
    for by_encoded_views in (True, False, False, True):
        capsys.readouterr()
        assert fitting.fit_runs([options], by_encoded_views=by_encoded_views)
        printed = capsys.readouterr().out
        assert ("training spatial of preset" in printed) == (not protocols)
        protocols.append(json.loads(run.metrics.read_text())["protocol"])
        repeated = protocols[-1:] == protocols[-2:-1]
        assert (f"{run} is finished already" in printed) == repeated
    views = [(one["views"], one["num_crops"]) for one in protocols]
    assert views == [("encoded", 3), ("exact", 18), ("exact", 18), ("encoded", 3)]
    assert len({one["weights_sha256"] for one in protocols}) == 1
    assert json.loads(run.metrics.read_text())["judgement"]["pretrained"]


def test_no_run_is_trained_before_the_batches_of_all_divide_over_the_devices(tmp_path, monkeypatch):
    two_devices = SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(distribution, "device_strategy", lambda: two_devices)
    monkeypatch.setattr(fitting, "fit_run", lambda *_, **__: pytest.fail("it is trained"))
    runs = [build(FitOptions, batch_size=size, out=tmp_path / str(size)) for size in (4, 30, 5)]
    message = "--batch-size 5 does not divide over 2 devices: give a multiple of 2$"
    with pytest.raises(UserError, match=message):
        fitting.fit_runs(runs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: {}\nb: {dropout: 0.5}\n", True),
        ("a: {}\nb: {epochs: 1}\n", False),  # the encoders move
        ("a: {}\nb: {encoded_views: 5, scales: [1.0]}\n", True),  # each by its own
        ("a: {}\nb: {encoded_views: 0}\n", False),
        ("a: {encoded_views: 0}\nb: {encoded_views: 0}\n", False),
    ],
)
def test_heads_alone_are_judged_by_encoded_views(tmp_path, text, expected):
    head = {"head_epochs": 2, "epochs": 0, "encoded_views": 4, "scales": (1.0, 0.9)}
    start = {"preset": "lite", "scl_weights": "imagenet", "out": tmp_path}
    options = build(TuneOptions, changes=changes_file(tmp_path, text), **head, **start)
    runs = [run for trial in options.trials().values() for fit in trial for run in fit.each_split()]
    assert tune.trains_encoded_views(runs) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {}\n", "holds 1 changes: name two or more"),
        ("- a\n- b\n", "must hold lines such as"),
        ("a: {\n", "is not a YAML file"),
        ("a: {}\nb: {split: 2}\n", "b: split must be the same for all changes"),
        ("a: {}\nb: {data_dir: x}\n", "b: data_dir must be the same"),
        ("a: {}\nb: {epoch: 2}\n", "b: fit has no option epoch"),
        ("a: {}\nb: {epochs: many}\n", "b: .*epochs.*many"),
        ("a: {}\nb: {dropout: 2}\n", "--dropout must lie in"),
        ("a: {}\nb: {encoded_views: 4}\n", "b: --encoded-views 4 is for epochs of the head"),
        ("a: {}\n../b: {}\n", "the name '../b' must be of letters"),
        ("a: {}\n..: {}\n", r"the name '\.\.' must be of letters"),
        (".: {}\na: {}\n", r"the name '\.' must be of letters"),
        ("a b: {}\na-b: {}\n", "'a b' and 'a-b' would be trained in one folder, a-b: rename"),
        ("1: {}\n'1': {}\n", "1 and '1' would be trained in one folder"),
    ],
)
def test_changes_that_are_none(tmp_path, capsys, text, message):
    file = changes_file(tmp_path, text)
    assert re.search(message, error_of(capsys, tune.main, TuneOptions, str(file)))

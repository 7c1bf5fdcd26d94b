"""The paper's tables from score files, and whole runs over splits and rows, on tiny videos."""

import csv
import gc
import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.runs import fit_arguments
from tests.training.test_cli import error_of
from tests.training.test_scores import change, loop_top1, write_run
from tests.videos import noise, write_noise_folder, write_video
from training import cli, evaluate, experiments, fit, fitting
from training.data import collections
from training.experiments import ExperimentOptions, networks
from training.options import FitOptions, write_config
from training.parts import build, replaced
from training.tables import training_text

# rows of Table 2 as the paper prints them: UCF-101, HMDB-51; and what of ours stands beside
TABLE_2 = {
    "only SCL path": (71.3, 42.0, "spatial", "single"),
    "only TCL path": (72.6, 45.8, "temporal-3-5", "single"),
    "only TCL path (SCI fusion)": (76.0, 49.3, "temporal-3-5", "sci"),
    "FSTCN (single randomly selected clip)": (84.5, 54.1, "spatial-temporal-3-5", "single"),
    "FSTCN (averaging fusion)": (87.9, 58.6, "spatial-temporal-3-5", "average"),
    "FSTCN (SCI fusion)": (88.1, 59.1, "spatial-temporal-3-5", "sci"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_noise_folder(tmp_path_factory.mktemp("data"), 12, num_frames=8, height=32)


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    return fit_arguments(data, out, "--auxiliary-epochs", "0", "--batch-size", "8", *more)


def read_table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def finished_runs(out: Path, *arguments: str, num_videos: int = 30) -> ExperimentOptions:
    """Score files of all runs that the table needs, as if they had been trained."""
    options = cli.parse(ExperimentOptions, [*arguments, "--out", str(out)])
    for number, ((_, split), run) in enumerate(networks(options).items()):
        write_run(run.run.out, split=split, num_videos=num_videos, seed=number)
        write_config(run, run.run_folder().config)
    return options


def test_table_2_of_all_splits_against_loops(tmp_path, capsys):
    experiments.main(finished_runs(tmp_path, "table2", "--split", "all", "--epochs", "7"))
    rows = read_table(tmp_path / "table2.csv")
    assert [row["setting"] for row in rows] == list(TABLE_2)
    text = (tmp_path / "table2.md").read_text()
    assert text in capsys.readouterr().out
    for row in rows:
        ucf101, hmdb51, network, method = TABLE_2[row["setting"]]
        assert float(row["paper UCF-101"]) == pytest.approx(ucf101 / 100)
        assert float(row["paper HMDB-51"]) == pytest.approx(hmdb51 / 100)
        each = [loop_top1(tmp_path / network / f"split{n}", "video", method) for n in (1, 2, 3)]
        mean = sum(each) / 3
        deviation = (sum((value - mean) ** 2 for value in each) / 2) ** 0.5
        assert [float(row[f"ours_split{n}"]) for n in (1, 2, 3)] == pytest.approx(each)
        assert float(row["ours"]) == pytest.approx(mean)
        assert float(row["ours_std"]) == pytest.approx(deviation)
        assert (row["run"], row["fusion"], row["splits"]) == (network, method, "1 2 3")
        ours = f"{100 * mean:.1f} ± {100 * deviation:.1f} %"
        assert f"| {row['setting']} | {ucf101} % | {hmdb51} % | {ours} |" in text


def test_a_table_says_what_its_columns_are_of(tmp_path):
    experiments.main(finished_runs(tmp_path, "table2", "--split", "2", "--epochs", "7"))
    text = (tmp_path / "table2.md").read_text()
    assert "| demo split 2: 30 of 3 classes, 1 listed but missing | 1 of 2 clips, centre" in text
    assert "| 2 clips x 18 crops, SCI fusion | temporal-3-5 |" in text
    assert "- spatial: paths spatial; preset small; recipe modern with epochs 7;" in text
    assert "not comparable unless the data set is the same" in text
    assert all(row["ours_std"] == "" for row in read_table(tmp_path / "table2.csv"))


def test_table_1_is_the_temporal_path_with_three_choices_of_kernels(tmp_path):
    experiments.main(finished_runs(tmp_path, "table1", "--split", "1"))
    rows = read_table(tmp_path / "table1.csv")
    assert [row["run"] for row in rows] == ["temporal-3", "temporal-5", "temporal-3-5"]
    assert [float(row["paper HMDB-51 split 1"]) for row in rows] == [0.46, 0.471, 0.484]
    for row in rows:
        value = loop_top1(tmp_path / row["run"] / "split1", "video", "single")
        assert float(row["ours"]) == pytest.approx(value)


def test_tables_share_their_runs():
    one = networks(build(ExperimentOptions, table="table1", split=2))
    two = networks(build(ExperimentOptions, table="table2", split="all"))
    assert len(one) == 3
    assert len(two) == 3 * 3
    assert one["temporal-3-5", 2] == two["temporal-3-5", 2]
    assert one["temporal-3-5", 2].run.out == Path("runs/experiments-demo-small/temporal-3-5/split2")


def test_table_3_collects_the_runs_of_every_data_set(tmp_path):
    finished_runs(tmp_path / "experiments", "table2", "--split", "all")
    other = write_run(tmp_path / "other", dataset="hmdb51", split=3, seed=9)
    write_config(build(FitOptions, split=3, preset="squeeze"), other / "config.yaml")
    experiments.main(build(ExperimentOptions, table="table3", out=tmp_path))
    rows = read_table(tmp_path / "table3.csv")
    network = "experiments/spatial-temporal-3-5"
    assert [(row["run"], row["dataset"], row["splits"], row["fusion"]) for row in rows] == [
        (network, "demo", "1 2 3", "average"),
        (network, "demo", "1 2 3", "sci"),
        ("other", "hmdb51", "3", "average"),
        ("other", "hmdb51", "3", "sci"),
    ]
    each = [loop_top1(tmp_path / network / f"split{n}", "video", "sci") for n in (1, 2, 3)]
    assert float(rows[1]["ours"]) == pytest.approx(np.mean(each))
    assert float(rows[2]["ours"]) == pytest.approx(loop_top1(other, "video", "average"))
    assert "top-1 accuracies on demo and hmdb51" in (tmp_path / "table3.md").read_text()


def test_table_3_does_not_average_over_different_options(tmp_path, capsys):
    options = finished_runs(tmp_path, "table2", "--split", "all")
    run = networks(options)["spatial-temporal-3-5", 2]
    write_config(replaced(run, seed=3), run.run_folder().config)
    arguments = ("table3", "--out", tmp_path)
    error = error_of(capsys, experiments.main, ExperimentOptions, *arguments)
    assert "were trained with different options: seed: 0, not 3" in error


@pytest.mark.parametrize("option", ["scl_weights", "start_from"])
def test_table_3_takes_splits_that_start_from_what_is_their_own(tmp_path, capsys, option):
    starts = tmp_path / "starts2"  # the number of a split may be elsewhere in the path
    for number in (1, 2, 3):
        write_config(build(FitOptions), make_folder(starts / f"split{number}") / "config.yaml")
    given = (f"--{option.replace('_', '-')}", str(starts / "split{split}"))
    options = finished_runs(tmp_path / "runs", "table2", "--split", "all", *given)
    experiments.main(build(ExperimentOptions, table="table3", out=tmp_path / "runs"))
    rows = read_table(tmp_path / "runs" / "table3.csv")
    assert [row["splits"] for row in rows] == ["1 2 3", "1 2 3"]
    run = networks(options)["spatial-temporal-3-5", 2]
    write_config(replaced(run, **{option: starts / "split3"}), run.run_folder().config)
    arguments = ("table3", "--out", tmp_path / "runs")
    error = error_of(capsys, experiments.main, ExperimentOptions, *arguments)
    assert f"different options: {option}: {starts / 'split1'}, not {starts / 'split3'}" in error


def make_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_rows_of_other_videos_are_not_put_side_by_side(tmp_path, capsys):
    options = finished_runs(tmp_path, "table2", "--split", "1", num_videos=4)
    run = networks(options)["temporal-3-5", 1].run.out
    change(run, paths=np.array(["jump/0.avi", "run/1.avi", "wave/2.avi", "jump/8.avi"]))
    arguments = ("table2", "--out", tmp_path)
    error = error_of(capsys, experiments.main, ExperimentOptions, *arguments)
    assert f"1 only in {tmp_path / 'spatial' / 'split1'}, e.g. jump/3.avi" in error
    assert f"1 only in {run}, e.g. jump/8.avi" in error
    assert not (tmp_path / "table2.md").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("table1", "--temporal-kernels", "5"), "--temporal-kernels is what the rows of table1"),
        (("table2", "--paths", "spatial"), "--paths is what the rows of table2 differ in"),
        (("table3", "--seed", "1"), "table3 trains nothing"),
        (("table4",), "table must be table1, table2 or table3, got table4"),
        (("table3",), "holds no finished run of a network with both paths"),
    ],
)
def test_options_that_a_table_does_not_take(capsys, tmp_path, arguments, expected):
    out = ("--out", tmp_path)
    assert expected in error_of(capsys, experiments.main, ExperimentOptions, *arguments, *out)


def test_splits_of_other_classes_are_noticed_before_training(tmp_path, capsys):
    write_video(tmp_path / "videos" / "a" / "1.avi", noise(3))
    write_video(tmp_path / "videos" / "b" / "1.avi", noise(3))
    for split in (1, 2, 3):
        for name in ("a", "b"):
            side = 0 if (name, split) == ("b", 3) else 1
            list_file = tmp_path / "lists" / f"{name}_test_split{split}.txt"
            list_file.parent.mkdir(exist_ok=True)
            list_file.write_text(f"1.avi {side}\n")
    more = ("--splits-dir", str(tmp_path / "lists"), "--split", "all")
    options = arguments(tmp_path / "videos", tmp_path / "run", *more)
    error = error_of(capsys, fit.main, FitOptions, *options)
    assert error == "error: split 1 and split 3 are of different classes: 1 only in split 1, e.g. b"


def living_graphs() -> int:
    """How many graphs are in memory, each with its network's variables."""
    gc.collect()
    return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())


def test_all_splits_interrupted_and_gone_on_with(data, tmp_path, capsys, monkeypatch):
    options = arguments(data, tmp_path / "all", "--paths", "spatial", "--split", "all")
    train_stages, graphs = fitting.train_stages, living_graphs()

    def interrupted_in_split_2(options, *more):
        if options.split == 2:
            raise KeyboardInterrupt
        return train_stages(options, *more)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "train_stages", interrupted_in_split_2)
        with pytest.raises(SystemExit) as stopped:
            cli.run(fit.main, FitOptions, options)
    assert stopped.value.code == 130
    assert "to go on, give the same command again" in capsys.readouterr().err
    assert not (tmp_path / "all" / "splits.json").exists()
    before = (tmp_path / "all" / "split1" / "model.keras").stat().st_mtime_ns
    error = error_of(capsys, fit.main, FitOptions, *options, "--seed", "4")
    assert "other options (seed: 0, not 4)" in error
    error = error_of(capsys, fit.main, FitOptions, *options, "--split", "1")
    assert "other options (split: all, not 1)" in error

    cli.run(fit.main, FitOptions, options)
    assert f"{tmp_path / 'all' / 'split1'} is finished already" in capsys.readouterr().out
    assert (tmp_path / "all" / "split1" / "model.keras").stat().st_mtime_ns == before
    assert living_graphs() == graphs
    summary = json.loads((tmp_path / "all" / "splits.json").read_text())
    for split in ("1", "2", "3"):
        run = tmp_path / "all" / f"split{split}"
        metrics = json.loads((run / "metrics.json").read_text())
        assert summary["splits"][split]["video"] == metrics["video"]
        assert summary["splits"][split]["clip"]["sci"] == metrics["clip"]
        with np.load(run / "scores.npz") as arrays:
            listed = collections.read_folder(data, split=int(split))
            assert set(arrays["paths"]) < {video.path for video in listed.videos}

    alone = arguments(data, tmp_path / "alone", "--paths", "spatial", "--split", "3")
    cli.run(fit.main, FitOptions, alone)
    alone = json.loads((tmp_path / "alone" / "metrics.json").read_text())
    assert alone["protocol"] == summary["splits"]["3"]["protocol"]  # the weights' hash as well

    (tmp_path / "all" / "splits.json").unlink()
    (tmp_path / "all").rename(tmp_path / "moved")
    cli.run(evaluate.main, evaluate.EvaluateOptions, [str(tmp_path / "moved")])
    assert json.loads((tmp_path / "moved" / "splits.json").read_text()) == summary


def test_table_2_is_trained_once(data, tmp_path, capsys, monkeypatch):
    options = ["table2", *arguments(data, tmp_path)]
    cli.run(experiments.main, ExperimentOptions, options)
    rows = read_table(tmp_path / "table2.csv")
    assert [row["setting"] for row in rows] == list(TABLE_2)
    for row in rows:
        run = tmp_path / row["run"] / "split1"
        assert float(row["ours"]) == pytest.approx(loop_top1(run, "video", row["fusion"]))
        assert (row["dataset"], row["clips"], row["crops"]) == ("folder", "1", "18")
    assert len(list(tmp_path.glob("*/split1/model.keras"))) == 3
    monkeypatch.setattr(fitting, "train_stages", None)
    text = (tmp_path / "table2.md").read_text()
    cli.run(experiments.main, ExperimentOptions, options)
    assert (tmp_path / "table2.md").read_text() == text
    assert capsys.readouterr().out.count("is finished already") == 3


def test_views_are_named_and_not_mixed(tmp_path, capsys):
    arguments = ("table2", "--split", "1", "--out", str(tmp_path))
    options = finished_runs(tmp_path, *arguments[:3])
    files = sorted(tmp_path.glob("*/*/metrics.json"))
    assert len(files) == 3  # one network each
    for done, file in enumerate(files, start=1):
        metrics = json.loads(file.read_text())
        metrics["protocol"]["views"] = "shared"
        file.write_text(json.dumps(metrics))
        if done == 1:
            error = error_of(capsys, experiments.main, ExperimentOptions, *arguments)
            assert "not of the same views: 2 clips x 18 crops (shared views) and 2 clips" in error
    experiments.main(options)
    text = (tmp_path / "table2.md").read_text()
    assert "2 clips x 18 crops (shared views), SCI fusion" in text
    assert "1 of 2 clips, centre crop (shared views)" in text
    assert {row["views"] for row in read_table(tmp_path / "table2.csv")} == {"shared"}


def test_a_table_names_lower_scls_that_are_not_the_presets_and_what_auto_meant(tmp_path):
    options = finished_runs(tmp_path, "table2", "--scl", "resnet50v2", "--warmup-epochs", "1")
    for run in networks(options).values():
        write_config(replaced(run, precision="mixed_bfloat16"), run.run_folder().config)
    experiments.main(options)
    text = (tmp_path / "table2.md").read_text()
    assert "preset small with scl resnet50v2; recipe modern with warmup_epochs 1.0" in text
    assert "seed 0; in mixed_bfloat16" in text


def test_a_recipe_names_what_the_weights_started_from():
    imagenet = build(FitOptions, scl_weights="imagenet", seed=3)
    assert "from imagenet; seed 3" in training_text(imagenet)
    assert "from random weights; seed 0" in training_text(build(FitOptions))

"""What commands print and return for input that is at fault: one line, exit code 2."""

import errno
import os
from pathlib import Path

import pytest

from tests.processes import HANG_S, run_command, start_python
from training import cli, evaluate, fit, predict
from training.claims import claim_run, open_run
from training.cli import parse
from training.errors import UserError
from training.locks import locked
from training.options import CollectionOptions, FitOptions, read_config, write_config
from training.parts import build


def error_of(capsys, main, options_class, *argv: object) -> str:
    """Runs a command that must fail, and gives its one line."""
    with pytest.raises(SystemExit) as stopped:
        cli.run(main, options_class, [str(argument) for argument in argv])
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def fit_error(capsys, tmp_path, *argv: object) -> str:
    return error_of(capsys, fit.main, FitOptions, "--out", tmp_path / "run", *argv)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--split 4", "there is no split 4 of demo: its lists are of splits 1, 2, 3"),
        ("--split 0", "--split must be 1 or more, or all"),
        ("--preset huge", "squeeze"),
        ("--spilt 1", "--spilt"),
        ("--dataset ucf101", "needs --data-dir"),
        ("--dataset hmdb51 --data-dir /none", "/none is not a folder"),
        ("--epochs foo", "--epochs must be a whole number, got foo"),
        ("--learning-rate nan", "--learning-rate must be a number, got nan"),
        ("--scales 1 a", "each value of --scales must be a number, got a"),
        ("--optimizer sdg", "--optimizer must be sgd, adam or adamw, got sdg"),
        ("--precision half", "--precision must be auto, float32, mixed_bfloat16 or mixed_float16"),
        ("--split x", "--split must be a whole number or all, got x"),
        ("--paths time", "each value of --paths must be spatial or temporal, got time"),
        ("--epochs 0", "--epochs"),
        ("--batch-size -1", "--batch-size"),
        ("--val-fraction 1", "--val-fraction"),
        ("--warmup-epochs 99", "--warmup-epochs"),
        ("--learning-rate .nan", "--learning-rate"),
        ("--seed -1", "--seed"),
        (f"--seed {2**31}", "--seed"),
        ("--scl-rate -1", "--scl-rate"),
        ("--weight-decay .inf", "--weight-decay"),
        ("--short-side 107", "--short-side must be 108 or more, as a crop is, got 107"),
        ("--temporal-kernels 0", "--temporal-kernels"),
    ],
)
def test_options_at_fault(capsys, tmp_path, arguments, expected):
    assert expected in fit_error(capsys, tmp_path, *arguments.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch_size: x", "--batch-size must be a whole number, got x"),
        ("optimiser: adam", "did you mean optimizer for optimiser?"),
        ("scales: 3", "must be a list in the file of --config"),
        ("scales: [1, x]", "each value of --scales must be a number, got x"),
        ("- 3", "Unexpected config"),
    ],
)
def test_a_config_file_at_fault(capsys, tmp_path, text, expected):
    (tmp_path / "options.yaml").write_text(text)
    assert expected in fit_error(capsys, tmp_path, "--config", tmp_path / "options.yaml")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        ((errno.EACCES, "Permission denied", "/a/b"),
         "/a/b: Permission denied: name a place that you may use"),
        ((errno.ENOSPC, "No space left", "/a/b"),
         "/a/b: No space left: free some space there, or name another place"),
        ((errno.ENOENT, "No such file or directory", "/a/b"), "/a/b: No such file or directory"),
        ((errno.EIO, "Input/output error"), "Input/output error"),
        (("of two\nlines",), "of two lines"),
    ],
)  # fmt: skip
def test_the_system_says_no(capsys, raised, expected):
    def main(options: CollectionOptions):
        raise OSError(*raised)

    assert error_of(capsys, main, CollectionOptions) == f"error: {expected}"


@pytest.mark.parametrize("dataset", ["hmdb51", "ucf101", "folder"])
def test_wrong_layout(capsys, tmp_path, dataset):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "loose.avi").touch()
    error = fit_error(capsys, tmp_path, "--dataset", dataset, "--data-dir", tmp_path / "data")
    assert "split files" in error or "1 .avi files lie in the folder itself" in error


def test_a_warm_up_is_half_of_a_stage_at_most():
    assert build(FitOptions, epochs=10, warmup_epochs=5).stages.warmup(10) == 5
    assert build(FitOptions, epochs=10, warmup_epochs=5).stages.warmup(4) == 2
    own = build(FitOptions).stages  # a tenth of a stage, two epochs at most
    assert [own.warmup(epochs) for epochs in (5, 20, 100)] == [0.5, 2, 2]
    with pytest.raises(UserError, match="--warmup-epochs must be at most half of --epochs"):
        build(FitOptions, epochs=10, warmup_epochs=6)


def test_another_command_does_not_take_over_a_run_that_has_just_begun(capsys, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with locked(run, "trains"):
        write_config(build(FitOptions, out=run, seed=3), run / "config.yaml")
        assert "other options (seed: 3, not 4)" in fit_error(capsys, tmp_path, "--seed", 4)
    assert read_config(run / "config.yaml").run.seed == 3
    claim_run(build(FitOptions, out=run, seed=4), open_run(build(FitOptions, out=run, seed=4)))
    assert read_config(run / "config.yaml").run.seed == 4


def test_a_run_folder_whose_first_file_was_not_written_to_its_end(tmp_path):
    (tmp_path / "partial-config.yaml").write_text("dataset: de")
    options = build(FitOptions, out=tmp_path, seed=4)
    claim_run(options, open_run(options))
    assert read_config(tmp_path / "config.yaml").run.seed == 4
    assert not (tmp_path / "partial-config.yaml").exists()


def test_run_folder_that_is_something_else(capsys, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    assert "not the folder of a training run" in fit_error(capsys, tmp_path)
    assert (tmp_path / "run" / "thesis.tex").exists()


def test_run_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").touch()
    error = error_of(capsys, fit.main, FitOptions, "--out", tmp_path / "file" / "run")
    assert "cannot be written" in error


@pytest.mark.parametrize(
    "content", ["{ not yaml", "preset: huge", "epochs: many", "strides: 5", "run: {seed: 3}"]
)
def test_a_damaged_config_of_a_run(capsys, tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    error = error_of(capsys, evaluate.main, evaluate.EvaluateOptions, tmp_path)
    assert "config.yaml does not hold the options of a run" in error


def test_a_config_that_is_none_is_not_printed_to_its_end(capsys, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear reader\n" * 1000)
    error = fit_error(capsys, tmp_path, "--config", tmp_path / "letter.txt")
    assert "config" in error
    assert len(error) < 2000


def test_a_cache_folder_that_cannot_be_written(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert str(tmp_path / "file") in fit_error(capsys, tmp_path)


def test_sigterm_ends_with_143(tmp_path):
    script = (
        "from training import cli, fit; import time; "
        "fit.main = lambda options: (print('ready', flush=True), time.sleep(3600)); "
        "fit.main.__module__ = 'training.fit'; cli.run(fit.main, fit.FitOptions, [])"
    )
    process = start_python("-c", script)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(timeout=HANG_S) == 143


def test_predict_with_a_folder_that_is_no_run(capsys, tmp_path):
    error = error_of(capsys, predict.main, predict.PredictOptions, tmp_path, tmp_path / "v.avi")
    assert "holds no trained network" in error


@pytest.mark.parametrize(
    ("made", "advice"),
    [
        ((), "lacks model.keras"),
        (
            ("checkpoints",),
            "lacks model.keras; give the same command of training.fit again: it goes",
        ),
        (("checkpoints", "model.keras"), "; remove {run}/model.keras and give the same command of"),
    ],
)
def test_a_network_that_is_lacking_or_damaged(capsys, tmp_path, made, advice):
    for name in made:
        (tmp_path / name).mkdir() if name == "checkpoints" else (tmp_path / name).touch()
    error = error_of(capsys, predict.main, predict.PredictOptions, tmp_path, tmp_path / "v.avi")
    assert advice.format(run=tmp_path) in error


def test_files_stand_anywhere_and_behind_two_dashes_may_begin_with_one(capsys):
    error = error_of(capsys, predict.main, predict.PredictOptions, "a.avi", "--json", "-b.avi")
    assert error == "error: unrecognized arguments: -b.avi"
    options = cli.parse(predict.PredictOptions, ["a.avi", "--json", "b.avi"])
    assert options.paths == (Path("a.avi"), Path("b.avi"))
    options = cli.parse(predict.PredictOptions, ["--json", "--", "a.avi", "-b.avi"])
    assert options.paths == (Path("a.avi"), Path("-b.avi"))


def test_an_unknown_option_is_no_file(capsys):
    error = error_of(capsys, predict.main, predict.PredictOptions, "a.avi", "--jsn")
    assert error == "error: unrecognized arguments: --jsn: did you mean --json for --jsn?"


def test_names_of_files_may_be_of_any_bytes():
    name = os.fsdecode(b"bad\xff.avi")
    assert cli.parse(predict.PredictOptions, ["a.avi", name]).paths == (Path("a.avi"), Path(name))


def test_config_file_repeats_the_options(tmp_path):
    given = {"dataset": "hmdb51", "data_dir": tmp_path, "split": 3, "out": tmp_path / "run"}
    given |= {"paths": ("temporal",), "temporal_kernels": (5,), "seed": 7}
    options, file = build(FitOptions, **given), tmp_path / "config.yaml"
    write_config(options, file)
    assert read_config(file) == options
    assert cli.parse(FitOptions, ["--config", str(file)]) == options
    changed = cli.parse(FitOptions, ["--config", str(file), "--split", "1"])
    assert (changed.split, changed.run.seed) == (1, 7)


@pytest.mark.parametrize("command", ["fit", "evaluate", "predict", "experiments"])
def test_help_names_every_option_with_its_dashes(command):
    output = run_command(f"training.{command}", "--help")
    assert (output.returncode, output.stderr) == (0, "")
    assert f"python -m training.{command}" in output.stdout
    if command == "fit":
        for name in ("--data-dir", "--splits-dir", "--scl-weights", "--batch-size", "--split"):
            assert name in output.stdout


def test_another_backend_is_refused_in_one_line():
    output = run_command("training.fit", KERAS_BACKEND="numpy")
    expected = "training needs Keras' TensorFlow backend, got KERAS_BACKEND=numpy: unset it"
    assert (output.returncode, output.stderr) == (2, f"error: {expected}\n")


def test_a_small_collection_gets_more_passes():
    stages = build(FitOptions, preset="squeeze").stages
    assert (stages.epochs, stages.min_steps) == (15, 600)
    assert stages.passes(15, steps_per_epoch=42) == 15  # 630 steps
    assert stages.passes(15, steps_per_epoch=7) == 86  # 602 steps; 85 would be 595
    given = build(FitOptions, preset="squeeze", epochs=15).stages
    assert given.passes(15, steps_per_epoch=7) == 15
    assert build(FitOptions, epochs=2, min_steps=9).stages.passes(2, steps_per_epoch=4) == 3


@pytest.mark.parametrize(
    ("given", "least"),
    [
        ({}, 600),
        ({"epochs": 0}, 600),  # as it is
        ({"head_epochs": 40}, 0),
        ({"head_epochs": 40, "epochs": 5}, 0),
        ({"epochs": 5}, 0),
    ],
)
def test_the_given_epochs_of_the_last_stage_are_meant(given, least):
    options = build(FitOptions, preset="lite", scl_weights="imagenet", **given)
    assert options.stages.min_steps == least
    assert "min_steps" not in options.recipe_text()


def test_the_epochs_of_a_stage_before_the_last_leave_its_minimum():
    options = build(FitOptions, preset="squeeze", scl_weights=Path("w.h5"), head_epochs=3)
    assert options.stages.min_steps == 600


@pytest.mark.parametrize(
    ("given", "meant"),
    [("--epoch 3", "--epochs for --epoch"), ("--batchsize=4", "--batch-size for --batchsize")],
)
def test_an_unknown_option_points_at_the_nearest_one(capsys, tmp_path, given, meant):
    error = fit_error(capsys, tmp_path, *given.split())
    assert f"unrecognized arguments: {given}: did you mean {meant}?" in error
    assert "did you mean" not in fit_error(capsys, tmp_path, "--qqqqq")


def test_the_home_folder_is_filled_in(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = ["--dataset", "folder", "--data-dir=~/videos", "--groups", "~/groups.csv"]
    options = parse(FitOptions, arguments)
    assert options.collection.data_dir == tmp_path / "videos"
    assert options.collection.groups == str(tmp_path / "groups.csv")
    assert parse(predict.PredictOptions, ["~/a.mp4", "~no one/b.mp4"]).paths == (
        tmp_path / "a.mp4",
        Path("~no one/b.mp4"),
    )


def test_a_list_of_what_to_exclude_that_is_not_there(capsys, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.avi").touch()
    options = ("--dataset", "folder", "--data-dir", tmp_path, "--exclude", tmp_path / "none.txt")
    error = fit_error(capsys, tmp_path, *options)
    assert error.startswith(f"error: {tmp_path / 'none.txt'} cannot be read: ")


def test_the_files_of_a_collection_that_moved(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    inside = CollectionOptions(dataset="folder", data_dir=old, labels=old / "labels.csv")
    assert evaluate.moved(inside, new) == {"data_dir": new, "labels": new / "labels.csv"}
    groups = CollectionOptions(dataset="folder", data_dir=old, groups=str(old / "groups.csv"))
    assert evaluate.moved(groups, new) == {"data_dir": new, "groups": str(new / "groups.csv")}
    excluding = CollectionOptions(dataset="folder", data_dir=old, exclude=old / "bad" / "list.txt")
    expected = {"data_dir": new, "exclude": new / "bad" / "list.txt"}
    assert evaluate.moved(excluding, new) == expected
    outside = CollectionOptions(dataset="folder", data_dir=old, splits_dir=tmp_path / "lists")
    assert evaluate.moved(outside, new) == {"data_dir": new}
    with pytest.raises(UserError, match="--data-dir is not for a run of demo"):
        evaluate.moved(CollectionOptions(), new)

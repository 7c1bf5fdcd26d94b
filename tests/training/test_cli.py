"""What commands print and return for input that is at fault: one line, exit code 2."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from training import cli, evaluate, fit, predict
from training.claims import claim_run, open_run
from training.cli import UserError
from training.locks import locked
from training.options import FitOptions, read_config, write_config
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


def test_split_4(capsys, tmp_path):
    error = fit_error(capsys, tmp_path, "--split", 4)
    assert all(text in error for text in ('"split"', "1, 2, 3, 'all'", "Got value: 4"))


def test_unknown_preset(capsys, tmp_path):
    error = fit_error(capsys, tmp_path, "--preset", "huge")
    assert "huge" in error
    assert "squeeze" in error


def test_unknown_option(capsys, tmp_path):
    assert "--spilt" in fit_error(capsys, tmp_path, "--spilt", 1)


def test_missing_data_folder(capsys, tmp_path):
    error = fit_error(capsys, tmp_path, "--dataset", "hmdb51", "--data-dir", tmp_path / "none")
    assert f"{tmp_path / 'none'} is not a folder" in error


def test_data_folder_not_named(capsys, tmp_path):
    assert "needs --data-dir" in fit_error(capsys, tmp_path, "--dataset", "ucf101")


@pytest.mark.parametrize("dataset", ["hmdb51", "ucf101", "folder"])
def test_wrong_layout(capsys, tmp_path, dataset):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "loose.avi").touch()
    error = fit_error(capsys, tmp_path, "--dataset", dataset, "--data-dir", tmp_path / "data")
    assert "split files" in error or "expected folders named after the classes" in error


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--epochs", 0),
        ("--batch-size", -1),
        ("--val-fraction", 1),
        ("--warmup-epochs", 99),
        ("--learning-rate", ".nan"),
        ("--seed", -1),
        ("--scl-rate", -1),
        ("--weight-decay", ".inf"),
        ("--short-side", 107),
        ("--seed", 2**31),
        ("--temporal-kernels", 0),
    ],
)
def test_numbers_out_of_range(capsys, tmp_path, argument, value):
    assert argument in fit_error(capsys, tmp_path, argument, value)


def test_a_warm_up_is_half_of_a_stage_at_most():
    assert build(FitOptions, epochs=10, warmup_epochs=5).stages.warmup(10) == 5
    assert build(FitOptions, epochs=10, warmup_epochs=5).stages.warmup(4) == 2
    with pytest.raises(UserError, match="--warmup-epochs must be at most half of --epochs"):
        build(FitOptions, epochs=10, warmup_epochs=6)


def test_run_folder_of_another_configuration(capsys, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    write_config(build(FitOptions, out=tmp_path / "run", seed=3), tmp_path / "run" / "config.yaml")
    error = fit_error(capsys, tmp_path, "--seed", 4)
    assert "other options (seed: 3, not 4)" in error


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


def test_a_run_of_before_an_option_of_the_preset_was_there(tmp_path):
    file = tmp_path / "config.yaml"
    write_config(build(FitOptions), file)
    file.write_text(re.sub(r"^(short_side|epochs): .*\n", "", file.read_text(), flags=re.MULTILINE))
    with pytest.raises(UserError, match=r"older version and lacks epochs, short_side: add what"):
        read_config(file)


@pytest.mark.parametrize("content", ["{ not yaml", "preset: huge", "epochs: many", "nothing: 1"])
def test_a_damaged_config_of_a_run(capsys, tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    error = error_of(capsys, evaluate.main, evaluate.EvaluateOptions, tmp_path)
    assert "config.yaml does not hold the options of a run" in error


@pytest.mark.parametrize(
    ("arguments", "name", "kind"),
    [
        (("--epochs", "foo"), "epochs", "int"),
        (("--learning-rate", "nan"), "learning_rate", "float"),
        (("--scales", "1", "a"), "scales", "float"),
    ],
)
def test_values_of_the_wrong_type(capsys, tmp_path, arguments, name, kind):
    error = fit_error(capsys, tmp_path, *arguments)
    assert all(text in error for text in (f'"{name}"', f"'{kind}'", arguments[-1]))


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
    process = subprocess.Popen(
        [sys.executable, "-c", "from training import cli, fit; import time; "
         "fit.main = lambda options: (print('ready', flush=True), time.sleep(60)); "
         "fit.main.__module__ = 'training.fit'; cli.run(fit.main, fit.FitOptions, [])"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    assert process.wait(timeout=30) == 143


def test_predict_with_a_folder_that_is_no_run(capsys, tmp_path):
    error = error_of(capsys, predict.main, predict.PredictOptions, tmp_path, tmp_path / "v.avi")
    assert "holds no trained network" in error


@pytest.mark.parametrize("stray", ["b.avi", "-b.avi"])
def test_files_stand_together(capsys, stray):
    error = error_of(capsys, predict.main, predict.PredictOptions, "a.avi", "--json", stray)
    assert error == f"error: unrecognized arguments: {stray}"
    options = cli.parse(predict.PredictOptions, ["--json", "--", "a.avi", stray])
    assert options.paths == (Path("a.avi"), Path(stray))


def test_an_unknown_option_is_no_file(capsys):
    error = error_of(capsys, predict.main, predict.PredictOptions, "a.avi", "--jsn")
    assert error == "error: unrecognized arguments: --jsn"


def test_names_of_files_may_be_of_any_bytes():
    name = os.fsdecode(b"bad\xff.avi")
    assert cli.parse(predict.PredictOptions, ["a.avi", name]).paths == (Path("a.avi"), Path(name))


def test_config_file_repeats_the_options(tmp_path):
    options = build(
        FitOptions,
        dataset="hmdb51",
        data_dir=tmp_path,
        split=3,
        paths=("temporal",),
        temporal_kernels=(5,),
        seed=7,
        out=tmp_path / "run",
    )
    file = tmp_path / "config.yaml"
    write_config(options, file)
    assert read_config(file) == options
    assert cli.parse(FitOptions, ["--config", str(file)]) == options
    changed = cli.parse(FitOptions, ["--config", str(file), "--split", "1"])
    assert (changed.split, changed.run.seed) == (1, 7)


@pytest.mark.parametrize("command", ["fit", "evaluate", "predict", "experiments"])
def test_help_names_every_option_with_its_dashes(command):
    output = subprocess.run(
        [sys.executable, "-m", f"training.{command}", "--help"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert output.stderr == ""
    assert f"python -m training.{command}" in output.stdout
    if command == "fit":
        for name in ("--data-dir", "--splits-dir", "--scl-weights", "--batch-size", "--split"):
            assert name in output.stdout


def test_another_backend_is_refused_in_one_line():
    output = subprocess.run(
        [sys.executable, "-m", "training.fit"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"KERAS_BACKEND": "numpy"},
    )
    assert output.returncode == 2
    assert output.stderr.splitlines() == [
        "error: training needs Keras' TensorFlow backend, got KERAS_BACKEND=numpy: unset it"
    ]


def test_a_small_collection_gets_more_passes():
    stages = build(FitOptions, preset="squeeze").stages
    assert (stages.epochs, stages.min_steps) == (15, 600)
    assert stages.passes(15, steps_per_epoch=42) == 15  # 630 steps
    assert stages.passes(15, steps_per_epoch=7) == 86  # 602 steps; 85 would be 595
    given = build(FitOptions, preset="squeeze", epochs=15).stages
    assert given.passes(15, steps_per_epoch=7) == 15
    assert build(FitOptions, epochs=2, min_steps=9).stages.passes(2, steps_per_epoch=4) == 3

"""What a run folder knows of its files, and which run a command takes."""

import os
from pathlib import Path

import pytest

from fstcn_keras.runs import RunFolder, chosen_run, finished_runs, newest_run, run_and_files


def make_run(folder: Path, *, trained_s: int, finished: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.keras").touch()
    os.utime(folder / "model.keras", (trained_s, trained_s))
    if finished:
        (folder / "metrics.json").touch()
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs/old"), trained_s=1000)
    make_run(Path("runs/table1/tcl-3/split2"), trained_s=3000)
    make_run(Path("runs/new"), trained_s=2000)
    make_run(Path("runs/killed"), trained_s=4000, finished=False)
    Path("runs/lost").mkdir()
    Path("runs/lost/metrics.json").touch()  # without a network
    return Path("runs")


def test_the_newest_finished_run_at_any_depth(runs):
    (runs / "old/metrics.json").write_text("{}")  # evaluated again, which makes it no newer
    assert newest_run() == runs / "table1/tcl-3/split2"
    assert newest_run(runs / "new") == runs / "new"


@pytest.mark.parametrize("folder", ["runs/killed", "runs/lost", "none"])
def test_no_finished_run(runs, folder):
    with pytest.raises(FileNotFoundError, match=f"no finished run under {folder}/: name"):
        newest_run(Path(folder))


def test_the_newest_is_named_aside_from_the_output(runs, capsys):
    assert chosen_run(None) == runs / "table1/tcl-3/split2"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "taking runs/table1/tcl-3/split2, the newest finished run\n"
    assert chosen_run(runs / "old") == runs / "old"
    assert capsys.readouterr().err == ""


def test_a_folder_that_comes_first_is_the_run(runs):
    videos = [Path("a.avi"), Path("b.avi")]
    assert run_and_files([runs / "killed", *videos]) == (runs / "killed", videos)
    assert run_and_files(videos) == (runs / "table1/tcl-3/split2", videos)
    assert run_and_files([]) == (runs / "table1/tcl-3/split2", [])


def test_no_other_run_is_taken_for_one_whose_name_is_mistyped(runs, capsys):
    with pytest.raises(FileNotFoundError, match="runs/odl: there is no such run, nor such a file"):
        run_and_files([runs / "odl", Path("a.avi")])
    assert capsys.readouterr().err == ""
    (runs / "file").touch()
    assert run_and_files([runs / "file"]) == (runs / "table1/tcl-3/split2", [runs / "file"])


def test_a_run_begins_with_a_checkpoint_and_ends_with_its_accuracies(tmp_path):
    run = RunFolder(tmp_path / "run")
    assert not run.has_begun()
    run.path.mkdir()
    run.images.touch()  # nothing is trained on them yet
    assert not run.has_begun()
    run.checkpoints.mkdir()
    assert run.has_begun()
    assert not run.is_finished()
    run.metrics.touch()
    assert not run.is_finished()  # its network is gone
    run.model.touch()
    run.classes.touch()
    assert run.is_finished()
    assert run.metrics == tmp_path / "run" / "metrics.json"
    assert (str(run), Path(run)) == (str(tmp_path / "run"), tmp_path / "run")


def test_a_pre_training_is_of_its_options_as_long_as_there_are_its_weights(tmp_path):
    run = RunFolder(tmp_path)
    run.weights.touch()
    assert run.has_begun()


def test_a_run_of_all_splits_begins_with_one_of_them(tmp_path):
    run = RunFolder(tmp_path)
    assert run.parts() == []
    run.split(2).path.mkdir()
    assert not run.has_begun()
    run.split(2).model.touch()
    assert run.has_begun()
    run.fold(10).path.mkdir()
    for name in ("split2 copy", "old-split1", "splits"):
        (tmp_path / name).mkdir()
    (tmp_path / "fold1").touch()
    assert run.parts() == [RunFolder(tmp_path / "fold10"), RunFolder(tmp_path / "split2")]


def test_finished_runs_at_any_depth_by_name(runs):
    found = [run.path.relative_to(runs).as_posix() for run in finished_runs(runs)]
    assert found == ["lost", "new", "old", "table1/tcl-3/split2"]


def test_no_two_files_of_a_run_bear_one_name(tmp_path):
    run = RunFolder(tmp_path)
    files = [getattr(run, name) for name, kind in vars(RunFolder).items() if type(kind) is property]
    assert len(files) == len(set(files)) > 10
    assert {file.parent for file in files} == {tmp_path}

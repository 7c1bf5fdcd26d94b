"""Runs side by side, as a command."""

import numpy as np
import pytest

from analysis import compare
from analysis.compare import CompareOptions
from tests.training.test_cli import error_of
from tests.training.test_scores import change, write_run
from training import cli
from training.options import FitOptions, write_config
from training.parts import build


def run_of(folder, predicted: list[int]):
    """A run of 20 videos of two classes, all of the first, with these predictions."""
    run = write_run(folder, classes=("jump", "run"), num_videos=20)
    scores = np.eye(2, dtype=np.float32)[predicted]
    views = np.broadcast_to(scores[:, None, None], (20, 2, 18, 2))
    change(run, scores=views, labels=np.zeros(20, int))
    write_config(build(FitOptions, seed=7), run / "config.yaml")
    return run


def table_rows(text: str) -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] != "---"]


def test_two_runs_by_hand(tmp_path, capsys):
    """15 and 18 of 20 right, 2 by the first alone and 5 by the second: p = 2 * 29 / 2^7."""
    first = run_of(tmp_path / "first", [0] * 15 + [1] * 5)
    second = run_of(tmp_path / "second", [1] * 2 + [0] * 18)
    cli.run(compare.main, CompareOptions, [str(first), str(second), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert (tmp_path / "compare.md").read_text() in printed
    assert "demo split 1: top-1 accuracy on 20 test videos of 2 classes, SCI fusion" in printed
    _, one, other, _, difference = table_rows(printed)
    assert one[1:4] == ["75.0 %", "53.1 % to 88.8 %", "2 clips x 18 crops"]
    assert other[1] == "90.0 %"
    assert "trained with seed 7" in one[4]
    assert difference[0] == f"{second} - {first}"
    assert difference[1] == "+15.0"
    assert difference[3:] == ["5 and 2", f"{2 * 29 / 128:.3g}", f"{2 * 29 / 128:.3g}"]


def test_videos_are_paired_by_their_paths(tmp_path, capsys):
    first = run_of(tmp_path / "first", [0] * 10 + [1] * 10)
    second = run_of(tmp_path / "second", [0] * 10 + [1] * 10)
    with np.load(second / "scores.npz") as arrays:
        change(second, **{name: array[::-1] for name, array in arrays.items()})
    cli.run(compare.main, CompareOptions, [str(first), str(second)])
    difference = table_rows(capsys.readouterr().out)[-1]
    assert [difference[1], *difference[3:5]] == ["+0.0", "0 and 0", "1"]
    low, high = map(float, difference[2].split(" to "))
    assert -20 < low == -high < 0  # they agree on twenty videos, not on all that there are


def test_runs_whose_videos_have_other_sources(tmp_path, capsys):
    first, second = (run_of(tmp_path / name, [0] * 20) for name in ("first", "second"))
    with np.load(second / "scores.npz") as arrays:
        change(second, groups=np.array(["all"] * 20), paths=arrays["paths"])
        path = arrays["paths"][0]
    error = error_of(capsys, compare.main, CompareOptions, first, second)
    assert f"{second} take 20 videos to be cut from other sources, e.g. {path}: " in error
    assert error.endswith("and 'all': train them with the same --groups")


def test_all_pairs_of_three_runs(tmp_path, capsys):
    runs = [str(run_of(tmp_path / str(n), [0] * n + [1] * (20 - n))) for n in (4, 12, 20)]
    cli.run(compare.main, CompareOptions, [*runs, "--fusion", "average"])
    rows = table_rows(capsys.readouterr().out)
    assert [row[1] for row in rows[-3:]] == ["+40.0", "+80.0", "+40.0"]
    p = [float(row[4]) for row in rows[-3:]]
    adjusted = [float(row[5]) for row in rows[-3:]]
    assert p == pytest.approx([2 / 2**8, 2 / 2**16, 2 / 2**8], rel=0.01)
    assert adjusted == pytest.approx([4 / 2**8, 6 / 2**16, 4 / 2**8], rel=0.01)


def test_of_one_clip_every_clip_counts(tmp_path, capsys):
    """30 of 40 clips are right, then all: one clip of each of 10 sources is won, p = 2 / 2^10."""
    first = run_of(tmp_path / "first", [0] * 20)
    second = run_of(tmp_path / "second", [0] * 20)
    with np.load(first / "scores.npz") as arrays:
        views = arrays["scores"].copy()
    views[:10, 1] = [0, 1]
    change(first, scores=views)
    cli.run(compare.main, CompareOptions, [str(first), str(second), "--fusion", "single"])
    _, one, other, headings, difference = table_rows(capsys.readouterr().out)
    assert [one[1], other[1], difference[1]] == ["75.0 %", "100.0 %", "+25.0"]
    assert headings[3] == "clips right in one alone"
    assert difference[3:5] == ["10 and 0", f"{2 / 2**10:.3g}"]


def test_runs_that_cannot_be_compared(tmp_path, capsys):
    run = run_of(tmp_path / "run", [0] * 20)
    other = write_run(tmp_path / "other", classes=("jump", "run"), num_videos=19)
    error = error_of(capsys, compare.main, CompareOptions, run, other)
    assert "were scored on different videos: 1 only in" in error
    error = error_of(capsys, compare.main, CompareOptions, run)
    assert f"name two runs or more to compare, got {run}" in error
    error = error_of(capsys, compare.main, CompareOptions, run, tmp_path / "x" / ".." / "run")
    assert "each run can be named once" in error

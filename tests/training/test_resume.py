"""Killed at any point, a run goes on to bitwise the same weights, optimiser and history."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.videos import noise, write_video
from training import cli, fit
from training.options import FitOptions

ROOT = Path(__file__).parents[2]

# Runs `fit` and kills itself where argv says: STAGE, STEP, and whether the file was renamed.
KILLED = """
import os, signal, sys
from pathlib import Path
from training import cli, fit
from training.options import FitOptions

stage, step, moment, *arguments = sys.argv[1:]
replace = Path.replace

def replace_and_die(self, target):
    dies = Path(target).name == f"{stage}-{int(step):08d}.npz"
    if dies and moment == "before":
        os.truncate(self, self.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(self, target)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)

Path.replace = replace_and_die
cli.run(fit.main, FitOptions, arguments)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("resume") / "videos"
    for number in range(14):
        frames = noise(12, height=48, width=64, seed=number)
        write_video(root / ("a", "b")[number % 2] / f"{number}.avi", frames)
    return root


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    return [
        *("--dataset", "folder", "--data-dir", str(data), "--store", str(data.parent / "store")),
        *("--auxiliary-epochs", "2", "--epochs", "2", "--batch-size", "4", "--num-clips", "1"),
        *(
            "--precision",
            "float32",
            "--val-fraction",
            "0.2",
            "--scales",
            "1",
            "0.9",
        ),
        *("--checkpoint-minutes", "0", "--out", str(out), *more),
    ]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    cli.run(fit.main, FitOptions, arguments(data, out))
    return out


def killed_at(stage: str, step: int, moment: str, options: list[str]):
    command = [sys.executable, "-c", KILLED, stage, str(step), moment, *options]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert process.returncode == -signal.SIGKILL, process.stderr


def test_sigkill_in_both_stages_and_within_a_checkpoint(data, whole, tmp_path, capsys):
    options = arguments(data, tmp_path / "run")
    steps = len((whole / "history.csv").read_text().splitlines())
    assert steps == 1 + 2 + 2
    killed_at("auxiliary", 3, "after", options)  # in the second epoch
    killed_at("global", 1, "after", options)  # in the first epoch
    killed_at("global", 3, "before", options)  # half a file is left
    assert list((tmp_path / "run" / "checkpoints").glob("partial-global-00000003.npz"))
    cli.run(fit.main, FitOptions, options)
    printed = capsys.readouterr().out
    assert "stage auxiliary is done already" in printed
    assert "stage global: 1 of 2 epochs are done already" in printed
    assert_same_runs(whole, tmp_path / "run")


def assert_same_runs(one: Path, two: Path):
    for name in ("auxiliary-00000004.npz", "global-00000004.npz"):
        with np.load(one / "checkpoints" / name) as a, np.load(two / "checkpoints" / name) as b:
            assert set(a) == set(b)
            assert len(a) > 20
            for key in a:
                np.testing.assert_array_equal(a[key], b[key], err_msg=f"{name}: {key}")
    assert (one / "history.csv").read_text() == (two / "history.csv").read_text()
    with np.load(one / "scores.npz") as a, np.load(two / "scores.npz") as b:
        np.testing.assert_array_equal(a["scores"], b["scores"])


def test_sigterm_saves_and_ends_with_143(data, whole, tmp_path):
    options = arguments(data, tmp_path / "run", "--checkpoint-minutes", "100")
    process = subprocess.Popen(
        [sys.executable, "-m", "training.fit", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = ""
    while "auxiliary: epoch 1/2" not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    process.send_signal(signal.SIGTERM)
    output += process.communicate(timeout=60)[0]
    assert process.returncode == 143, output
    assert "the same command goes on from here" in output
    assert list((tmp_path / "run" / "checkpoints").glob("*-*.npz"))
    cli.run(fit.main, FitOptions, options)
    assert_same_runs(whole, tmp_path / "run")

"""Killed at any point, a run goes on to bitwise the same weights, optimiser and history."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes import start_python
from tests.training.runs import assert_same_runs, fit_arguments
from tests.videos import write_noise_folder
from training import cli, fit
from training.options import FitOptions

LAST = "global-00000004"

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
    return write_noise_folder(tmp_path_factory.mktemp("videos"), 14)


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    options = ("--auxiliary-epochs", "2", "--epochs", "2", "--val-fraction", "0.2")
    options += ("--scales", "1", "0.9", "--checkpoint-minutes", "0")
    return fit_arguments(data, out, *options, *more)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    cli.run(fit.main, FitOptions, arguments(data, out))
    return out


def killed_at(stage: str, step: int, moment: str, options: list[str]):
    process = start_python("-c", KILLED, stage, step, moment, *options)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors


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
    assert_same_runs(whole, tmp_path / "run", LAST)


def test_sigterm_saves_and_ends_with_143(data, whole, tmp_path):
    options = arguments(data, tmp_path / "run", "--checkpoint-minutes", "100")
    process = start_python("-m", "training.fit", *options, stderr=subprocess.STDOUT)
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
    assert_same_runs(whole, tmp_path / "run", LAST)

"""Killed at any point, a run goes on to bitwise the same weights, optimiser and history."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.processes import HANG_S, start_python
from tests.training.runs import assert_same_runs, fit_arguments
from tests.videos import write_noise_folder
from training import cli, fit, loop
from training.history import History
from training.options import FitOptions

LAST = "global-00000004"

# Runs `fit` and kills itself where argv says: STAGE, STEP, and whether the file was renamed.
KILLED = """
import os, signal, sys
from pathlib import Path
from training import cli, fit, loop
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
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == -signal.SIGKILL, errors


def test_sigkill_in_both_stages_and_within_a_checkpoint(data, whole, tmp_path, capsys):
    options = arguments(data, tmp_path / "run")
    steps = len((whole / "history.csv").read_text().splitlines())
    assert steps == 1 + 2 + 2
    killed_at("auxiliary", 1, "after", options)  # in the first epoch
    killed_at("global", 4, "before", options)  # in the second; half a file is left
    assert list((tmp_path / "run" / "checkpoints").glob("partial-global-00000004.npz"))
    cli.run(fit.main, FitOptions, options)
    printed = capsys.readouterr().out
    assert "stage auxiliary is done already" in printed
    assert "stage global: 1.5 of 2 epochs are done already" in printed
    assert_same_runs(whole, tmp_path / "run", LAST)


def test_sigterm_saves_and_ends_with_143(data, whole, tmp_path, capsys, monkeypatch):
    options = arguments(data, tmp_path / "run", "--checkpoint-minutes", "100")
    after_step = History.step

    def stopped_within_the_second_epoch(history, progress, steps_per_epoch):
        after_step(history, progress, steps_per_epoch)
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(History, "step", stopped_within_the_second_epoch)
        with pytest.raises(SystemExit) as stopped:
            cli.run(fit.main, FitOptions, options)
    assert stopped.value.code == 143
    assert "stopped after step 3; the same command goes on from here" in capsys.readouterr().out
    cli.run(fit.main, FitOptions, options)
    assert_same_runs(whole, tmp_path / "run", LAST)


def test_sigterm_after_the_last_step_is_not_forgotten(data, tmp_path, capsys, monkeypatch):
    answered = loop.signals_answered

    @contextlib.contextmanager
    def late_signal():
        with answered():
            yield
            os.kill(os.getpid(), signal.SIGTERM)  # before the loop's own handler goes

    monkeypatch.setattr(loop, "signals_answered", late_signal)
    with pytest.raises(SystemExit) as stopped:
        cli.run(fit.main, FitOptions, arguments(data, tmp_path / "run"))
    assert stopped.value.code == 143
    assert "the same command goes on from here" in capsys.readouterr().out

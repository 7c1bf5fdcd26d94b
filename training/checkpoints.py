"""What makes a run repeatable: checkpoints, and random numbers that depend on the epoch alone."""

import csv
import io
import math
import shutil
from pathlib import Path

import keras
import numpy as np

from training.cli import UserError
from training.files import write_aside


class Checkpoints(keras.callbacks.Callback):
    """Saves weights and optimiser state after every epoch, written aside and renamed.

    The file of the last epoch bears its number, so one rename says both what the weights are and
    how far they are. The best epoch is the one with the highest `monitor`, of equals the later
    one; without a metric to monitor, the last.

    Args:
        run: the run folder; files go to `checkpoints/`, and `history.csv` is read.
        monitor: name of a metric on held-out videos, or `None`.
    """

    def __init__(self, run: Path, *, monitor: str | None):
        super().__init__()
        self.monitor = monitor
        self._history = run / "history.csv"
        self._folder = run / "checkpoints"
        self._best = self._folder / "best.weights.h5"
        self._best_value = float("-inf")

    def restore(self, model: keras.Model) -> int:
        """Loads the last epoch, if there is one, and cuts the history back to it.

        Returns:
            The number of epochs that the weights have seen.

        Raises:
            UserError: if the file cannot be read.
        """
        last = self._last()
        if last is None:
            self._history.unlink(missing_ok=True)
            return 0
        _load(model, last)
        done = int(last.name.split("-")[1].split(".")[0])
        rows = self._cut_history(done)
        if self.monitor is not None:
            self._best_value = max(float(row[self.monitor]) for row in rows)
        return done

    def restore_best(self, model: keras.Model):
        """Loads the best epoch."""
        _load(model, self._last() if self.monitor is None else self._best)

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"the loss became {logs['loss']} in epoch {epoch + 1}: try a lower "
                f"--learning-rate; the checkpoint of the epoch before stays in {self._folder}"
            )
        self._folder.mkdir(exist_ok=True)
        before = self._last()
        aside = self._folder / "partial.weights.h5"
        self.model.save_weights(aside, overwrite=True)
        if self.monitor is not None and logs[self.monitor] >= self._best_value:
            self._best_value = logs[self.monitor]
            best_aside = self._folder / "partial-best.weights.h5"
            shutil.copyfile(aside, best_aside)
            best_aside.replace(self._best)
        aside.replace(self._folder / f"last-{epoch + 1:05d}.weights.h5")
        if before is not None:
            before.unlink()

    def _last(self) -> Path | None:
        return max(self._folder.glob("last-*.weights.h5"), default=None)

    def _cut_history(self, num_epochs: int) -> list[dict[str, str]]:
        """Drops rows of epochs whose weights were never saved."""
        with self._history.open(newline="") as file:
            reader = csv.DictReader(file)
            rows = [row for row in reader if int(row["epoch"]) < num_epochs]
        text = io.StringIO()
        writer = csv.DictWriter(text, reader.fieldnames)
        writer.writeheader()
        writer.writerows(rows)
        write_aside(self._history, text.getvalue())
        return rows


def _load(model: keras.Model, file: Path):
    try:
        model.load_weights(file)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"checkpoint {file} cannot be read ({error}): remove it") from error


class EpochSeeds(keras.callbacks.Callback):
    """Sets the counters of all random layers at the start of every epoch.

    Keras does not save them with the weights. Set from the number of the epoch, a run that was
    stopped and goes on draws the same dropout masks and frames as one that never stopped.
    """

    def on_epoch_begin(self, epoch, logs=None):
        for variable in self.model.variables:
            if variable.name == "seed_generator_state":  # uint32 (2,): seed, counter
                seed = keras.ops.convert_to_numpy(variable)[0]
                variable.assign(np.array([seed, epoch << 16], np.uint32))

"""What makes a run repeatable: checkpoints, and random numbers that depend on the epoch alone."""

import csv
import shutil
from pathlib import Path

import keras
import numpy as np


class Checkpoints(keras.callbacks.Callback):
    """Saves weights and optimiser state after every epoch, written aside and renamed.

    The best epoch is the one with the highest `monitor`, of equals the later one; without a
    metric to monitor, the last.

    Args:
        run: the run folder; files go to `checkpoints/`, and `history.csv` is read.
        monitor: name of a metric on held-out videos, or `None`.
    """

    def __init__(self, run: Path, *, monitor: str | None):
        super().__init__()
        self.monitor = monitor
        self._history = run / "history.csv"
        self._last = run / "checkpoints" / "last.weights.h5"
        self._best = run / "checkpoints" / "best.weights.h5"
        self._best_value = float("-inf")

    def restore(self, model: keras.Model) -> int:
        """Loads the last epoch, if there is one.

        Returns:
            The number of training steps that the weights have seen.
        """
        if not self._last.exists():
            self._history.unlink(missing_ok=True)
            return 0
        model.load_weights(self._last)
        if self.monitor is not None:
            self._best_value = max(self._history_values())
        return int(keras.ops.convert_to_numpy(model.optimizer.iterations))

    def restore_best(self, model: keras.Model):
        """Loads the best epoch."""
        model.load_weights(self._last if self.monitor is None else self._best)

    def on_epoch_end(self, epoch, logs=None):
        self._last.parent.mkdir(exist_ok=True)
        aside = self._last.with_name("partial.weights.h5")
        self.model.save_weights(aside, overwrite=True)
        if self.monitor is not None and logs[self.monitor] >= self._best_value:
            self._best_value = logs[self.monitor]
            best_aside = self._best.with_name("partial-best.weights.h5")
            shutil.copyfile(aside, best_aside)
            best_aside.replace(self._best)
        aside.replace(self._last)

    def _history_values(self) -> list[float]:
        with self._history.open(newline="") as file:
            return [float(row[self.monitor]) for row in csv.DictReader(file)]


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

"""Checkpoints: everything a stage of training needs to go on exactly where it was."""

import dataclasses
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from fstcn_keras.files import atomic_write
from training.errors import UserError

KEPT = 2  # if the newest cannot be read, the one before is used


@dataclass
class Progress:
    """How far a stage is.

    Attributes:
        step: steps done.
        sums: of the present epoch so far: cross entropy, right answers, samples.
        history: one row an epoch that is done, as in `history.csv`.
        best_epoch: number of the best epoch on held-out videos, from 0.
    """

    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    history: list[dict] = field(default_factory=list)
    best_epoch: int | None = None


class Checkpoints:
    """The checkpoints of one stage, in `RUN/checkpoints`.

    A file holds the variables of the network (the counters of its random layers with them) and
    of the optimiser, and the progress. It is written atomically and brought to the disk, so that
    it is whole or not there; every tensor has a checksum.

    Args:
        folder: `RUN/checkpoints`.
        stage: name of the stage.
    """

    def __init__(self, folder: Path, stage: str):
        self._folder = folder
        self._stage = stage

    def exist(self) -> bool:
        """Returns whether the stage has begun."""
        return bool(self._files())

    def save(self, model: keras.Model, optimizer: keras.Optimizer, progress: Progress):
        """Writes a checkpoint and drops all but the last two.

        Raises:
            OSError: if the disk is full; the checkpoints before stay.
            UserError: if a variable is not finite; they stay too.
        """
        state = json.dumps(dataclasses.asdict(progress))
        arrays = {"state": np.array(state), **_arrays("model", model.variables)}
        arrays |= _arrays("optimizer", optimizer.variables)
        _check_finite(arrays, progress.step)
        self._write(f"{self._stage}-{progress.step:08d}.npz", arrays)
        for old in self._files()[:-KEPT]:
            old.unlink()

    def restore(self, model: keras.Model, optimizer: keras.Optimizer) -> Progress:
        """Sets all variables from the newest checkpoint that can be read, if there is one.

        Raises:
            UserError: if a checkpoint is of another network, or none of several can be read.
        """
        variables = _named("model", model.variables) | _named("optimizer", optimizer.variables)
        files = self._files()
        for file in reversed(files):
            try:
                return Progress(**json.loads(_assign(file, variables)))
            except (
                OSError,
                EOFError,
                KeyError,
                TypeError,
                ValueError,
                zipfile.BadZipFile,
            ) as error:
                print(f"checkpoint {file} cannot be read ({error}); trying the one before")
        if files:
            raise UserError(
                f"none of the checkpoints {', '.join(map(str, files))} can be read: remove them "
                "to start this stage anew"
            )
        return Progress()

    def take_up(self, model: keras.Model, optimizer: keras.Optimizer) -> str:
        """Gives an optimiser the state of the last checkpoint, for a stage that begins anew.

        Its steps count as `age` where the optimiser has one, and not for the schedule.

        Args:
            model: that has the weights of the run already.
            optimizer: built for it.

        Returns:
            Why the state does not fit; nothing if it does and is set.
        """
        files = self._files()
        if not files:
            return "there is no checkpoint of this stage there"
        own = getattr(optimizer, "inner_optimizer", optimizer)
        counters = [own.iterations, *([own.age] if hasattr(own, "age") else [])]
        state = _named("optimizer", optimizer.variables)
        trained = {id(variable) for variable in model.trainable_variables}
        weights = {n: v for n, v in _named("model", model.variables).items() if id(v) in trained}
        try:
            with np.load(files[-1], allow_pickle=False) as arrays:
                names = {name for name in arrays if name.startswith("optimizer ")}
                if names != state.keys() or any(arrays[n].shape != state[n].shape for n in names):
                    return "other variables are trained here"
                for name, variable in weights.items():
                    if not np.array_equal(arrays[name], keras.ops.convert_to_numpy(variable)):
                        return "its last epoch is not the one that was kept there"
                for name, variable in state.items():
                    variable.assign(arrays[name])
        except (OSError, EOFError, LookupError, ValueError, zipfile.BadZipFile) as error:
            return f"{files[-1]} cannot be read ({error})"
        steps = sum(int(keras.ops.convert_to_numpy(counter)) for counter in counters)
        for counter in counters:
            counter.assign(0 if counter is own.iterations else steps)
        return ""

    def keep_last(self):
        """Removes all files but the last checkpoint and the best network of this stage.

        Once the last stage has ended, these are what another training may go on from.
        """
        if last := self._files()[-1:]:
            for file in self._folder.glob("*.npz"):
                if file not in (*last, self._best):
                    file.unlink()

    @property
    def _best(self) -> Path:
        return self._folder / f"best-{self._stage}.npz"

    def save_best(self, model: keras.Model, step: int):
        """Writes the network of the best epoch, after so many steps.

        Raises:
            UserError: if a variable is not finite; the best one before stays.
        """
        arrays = _arrays("model", model.variables)
        _check_finite(arrays, step)
        self._write(self._best.name, arrays)

    def restore_best(self, model: keras.Model):
        """Sets the network's variables to those of the best epoch."""
        _assign(self._best, _named("model", model.variables))

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._stage}-*.npz"))

    def _write(self, name: str, arrays: dict[str, np.ndarray]):
        self._folder.mkdir(exist_ok=True)
        with atomic_write(self._folder / name) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())


def _check_finite(arrays: dict[str, np.ndarray], step: int):
    floats = {name: values for name, values in arrays.items() if values.dtype.kind == "f"}
    if bad := [name for name, values in floats.items() if not np.isfinite(values).all()]:
        raise UserError(
            f"{len(bad)} of {len(floats)} variables are not finite after step {step}, e.g. "
            f"{bad[0]}: try a lower --learning-rate or --weight-decay; no checkpoint of this step "
            "is written, those before stay"
        )


def _named(prefix: str, variables: list[keras.Variable]) -> dict[str, keras.Variable]:
    """Names variables by position and name; their paths hold numbers that are counted anew."""
    return {
        f"{prefix} {number:04d} {variable.name}": variable
        for number, variable in enumerate(variables)
    }


def _arrays(prefix: str, variables: list[keras.Variable]) -> dict[str, np.ndarray]:
    named = _named(prefix, variables)
    return {name: tf.convert_to_tensor(variable.value).numpy() for name, variable in named.items()}


def _assign(file: Path, variables: dict[str, keras.Variable]) -> str:
    """Sets the variables, all or none, and returns the state."""
    with np.load(file, allow_pickle=False) as arrays:
        missing = [name for name in variables if name not in arrays]
        if missing:
            raise UserError(f"{file} is of another network: it lacks {missing[0]}")
        values = {name: arrays[name] for name in variables}
        state = str(arrays["state"]) if "state" in arrays else ""
    for name, value in values.items():
        if value.shape != tuple(variables[name].shape):
            raise UserError(
                f"{file} is of another network: {name} is {value.shape}, "
                f"expected {tuple(variables[name].shape)}"
            )
    for name, value in values.items():
        variables[name].assign(value)
    return state

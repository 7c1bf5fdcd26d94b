"""Checkpoints that are whole, damaged, or of another network."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import loop
from training.checkpoints import Checkpoints, Progress
from training.errors import UserError
from training.optimizers import build_optimizer


def network(units: int = 3):
    layers = [keras.Input((2,)), keras.layers.Dense(units, name="fc"), keras.layers.Dropout(0.5)]
    model = keras.Sequential(layers, name="network")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def filled(value: float):
    model, optimizer = network()
    for variable in [*model.variables, *optimizer.variables]:
        variable.assign(np.full(variable.shape, value))
    return model, optimizer


@pytest.fixture
def checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", "global")
    for step in (3, 5, 9):
        progress = Progress(step=step, sums=[0.1 * step, 1.0, 4.0], history=[{"loss": 0.1}])
        checkpoints.save(*filled(step), progress)
    return checkpoints


def files(checkpoints) -> list[str]:
    return sorted(file.name for file in checkpoints._folder.iterdir())


def values(model, optimizer) -> set[float]:
    return {float(x) for v in [*model.variables, *optimizer.variables] for x in np.ravel(v)}


def test_the_newest_of_two_kept_is_restored_with_every_variable(checkpoints):
    assert files(checkpoints) == ["global-00000005.npz", "global-00000009.npz"]
    model, optimizer = network()
    progress = checkpoints.restore(model, optimizer)
    assert progress == Progress(step=9, sums=[0.1 * 9, 1.0, 4.0], history=[{"loss": 0.1}])
    assert values(model, optimizer) == {9.0}
    assert len(optimizer.variables) == 4  # iterations, rate, two momenta
    assert any(v.name == "seed_generator_state" for v in model.variables)


def test_a_variable_that_is_not_finite_is_never_saved(checkpoints):
    model, optimizer = filled(1)
    model.get_layer("fc").bias.assign([1, np.inf, 1])
    message = r"1 of \d+ variables are not finite after step 12, e\.g\. m"
    with pytest.raises(UserError, match=message):
        checkpoints.save(model, optimizer, Progress(step=12))
    with pytest.raises(UserError, match=message):
        checkpoints.save_best(model, 12)
    assert files(checkpoints) == ["global-00000005.npz", "global-00000009.npz"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_checkpoint_is_never_taken_for_whole(checkpoints, capsys, damage):
    file = checkpoints._folder / "global-00000009.npz"
    content = bytearray(file.read_bytes())
    offset = content.index(np.full(6, 9, np.float32).tobytes())  # the kernel
    content[offset + 1] ^= 16
    file.write_bytes({"cut": content[: offset + 4], "empty": b"", "flipped": content}[damage])
    model, optimizer = network()
    assert checkpoints.restore(model, optimizer).step == 5
    assert values(model, optimizer) == {5.0}
    assert "global-00000009.npz cannot be read" in capsys.readouterr().out
    (checkpoints._folder / "global-00000005.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the checkpoints .* can be read: remove them"):
        checkpoints.restore(model, optimizer)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(checkpoints, monkeypatch):
    """Else a loss of power could leave a file that is whole by name alone."""
    done, replace = [], Path.replace
    monkeypatch.setattr(os, "fsync", lambda _: done.append("on the disk"))
    monkeypatch.setattr(Path, "replace", lambda *p: done.append("named") or replace(*p))
    checkpoints.save(*filled(1), Progress(step=12))
    checkpoints.save_best(filled(1)[0], 12)
    assert done == ["on the disk", "named"] * 2


def test_a_checkpoint_of_another_network_is_refused(checkpoints):
    with pytest.raises(UserError, match=r"of another network: .* is \(2, 3\), expected \(2, 4\)"):
        checkpoints.restore(*network(units=4))
    model, optimizer = network()
    with pytest.raises(UserError, match="is of another network: it lacks model"):
        checkpoints.restore(keras.Sequential([model, keras.layers.Dense(2)]), optimizer)


def test_a_full_disk_keeps_the_checkpoints_before(checkpoints, monkeypatch):
    def no_space(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", no_space)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(*network(), Progress(step=12))
    assert files(checkpoints) == ["global-00000005.npz", "global-00000009.npz"]


def test_the_best_epoch_on_held_out_videos_is_kept_of_equals_the_later(tmp_path):
    model, optimizer = network()
    stage = SimpleNamespace(name="s", model=model, optimizer=optimizer, held_out=1)
    checkpoints, progress = Checkpoints(tmp_path / "checkpoints", "s"), Progress()
    for epoch, right in enumerate([1.0, 6.0, 6.0, 5.0]):
        model.trainable_variables[0].assign(np.full((2, 3), epoch))
        progress.sums = [20.0, 4.0, 8.0]
        loop._end_epoch(stage, lambda right=right: [30.0, right, 10.0], progress, checkpoints)
    assert progress.best_epoch == 2
    row = progress.history[3]
    assert (row["loss"], row["top1"], row["val_loss"], row["val_top1"]) == (2.5, 0.5, 3.0, 0.5)
    assert json.dumps(progress.history)
    checkpoints.restore_best(model)
    np.testing.assert_array_equal(model.trainable_variables[0], np.full((2, 3), 2))


def test_a_finished_run_keeps_the_last_checkpoint_of_the_last_stage(tmp_path):
    folder = tmp_path / "checkpoints"
    for stage in ("head", "global"):
        checkpoints = Checkpoints(folder, stage)
        checkpoints.keep_last()  # of a stage that has none, nothing is removed
        for step in (5, 9):
            checkpoints.save(*network(), Progress(step=step))
        checkpoints.save_best(network()[0], 5)
    assert len(list(folder.iterdir())) == 6
    checkpoints.keep_last()
    assert sorted(p.name for p in folder.iterdir()) == ["best-global.npz", "global-00000009.npz"]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_an_optimiser_whose_state_is_taken_up_goes_on_as_if_never_left(tmp_path, name):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="dense")])
    generator = np.random.default_rng(0)
    before = [generator.normal(size=variable.shape) for variable in model.weights]
    gradients = [
        [tf.constant(generator.normal(size=weight.shape), "float32") for weight in before]
        for _ in range(5)
    ]

    def built():
        optimizer = build_optimizer(
            name, learning_rate=0.1, warmup_steps=0, total_steps=10**9, rates={}, weight_decay=0.5
        )
        optimizer.build(model.trainable_variables)
        return optimizer

    model.set_weights(before)
    whole = built()
    for gradient in gradients:
        whole.apply(gradient)
    expected = model.get_weights()

    model.set_weights(before)
    optimizer = built()
    checkpoints = Checkpoints(tmp_path / "checkpoints", "global")
    assert checkpoints.take_up(model, optimizer) == "there is no checkpoint of this stage there"
    for start, end in ((0, 2), (2, 4), (4, 5)):  # its steps before are counted over both
        if start:
            optimizer = built()
            assert checkpoints.take_up(model, optimizer) == ""
            assert int(optimizer.iterations) == 0
        for gradient in gradients[start:end]:
            optimizer.apply(gradient)
        checkpoints.save(model, optimizer, Progress(step=end))
    for one, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)

    model.set_weights(before)
    assert "not the one that was kept" in checkpoints.take_up(model, built())
    (tmp_path / "checkpoints" / "global-00000005.npz").write_bytes(b"PK half a file")
    assert "global-00000005.npz cannot be read" in checkpoints.take_up(model, built())

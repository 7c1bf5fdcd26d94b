"""What a training starts from: weights in a file, or the network of a finished run.

Layers that `--scl-weights` loads are pre-trained: they move at `--scl-rate` and
`--auxiliary-scl-rate`, and their batch normalisation keeps its statistics. They stay so in a
training that starts from a run of theirs. Whatever else comes from a run moves at the full rate:
it has been trained on videos as a part of the whole network, and nothing random lies below it.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from fstcn_keras import FSTCN
from fstcn_keras.files import atomic_write_text
from fstcn_keras.parts import LOGITS
from fstcn_keras.runs import RunFolder
from fstcn_keras.weights import (
    WeightsReport,
    copy_weights,
    load_imagenet_weights,
    load_weights,
    named_layers,
)
from training.checkpoints import Checkpoints
from training.distribution import is_chief
from training.errors import UserError
from training.networks import load_classifier
from training.options import FitOptions
from training.options.start import check_alike, run_values
from training.parts import flat


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a network has before a stage trains it.

    Attributes:
        layers: names of those that came whole; without the classifier.
        pretrained: names of those that `--scl-weights` loaded, here or in an earlier run.
        whole: whether every tensor came from a run, those of the classifier as well.
    """

    layers: tuple[str, ...] = ()
    pretrained: tuple[str, ...] = ()
    whole: bool = False


def load_start(
    model: keras.Model, options: FitOptions, run: RunFolder, *, classes: tuple[str, ...] = ()
) -> Start:
    """Loads `--scl-weights` or the network of `--start-from`, and reports on every tensor.

    Args:
        model: whose weights are set.
        options: of the run.
        run: the run folder, which gets the report.
        classes: names of the run's classes; the classifier is taken for the same ones alone.
    """
    weights, source = options.network.scl_weights, options.network.start_from
    if source is not None:
        report, whole = _from_run(model, RunFolder(source), classes)
        pretrained = _pretrained_layers(RunFolder(source))
        start = Start(
            layers=report.layers,
            pretrained=tuple(name for name in report.layers if name in pretrained),
            whole=whole,
        )
    elif weights is not None:
        report = load_scl_weights(model, options)
        start = Start(layers=report.layers, pretrained=report.layers)
    else:
        return Start()
    report_file = run.weights_report(model.name)
    if is_chief(tf.distribute.get_strategy()):
        atomic_write_text(report_file, f"{source or weights}\n{report.full()}\n")
        if isinstance(model, FSTCN):
            atomic_write_text(run.pretrained_layers, json.dumps(start.pretrained))
    print(f"{source or Path(weights).name}: {report}; all in {report_file}")
    return start


def _from_run(
    model: keras.Model, source: RunFolder, classes: tuple[str, ...]
) -> tuple[WeightsReport, bool]:
    """Takes what a run's network has of the model's layers; says whether that is all of it."""
    before = load_classifier(source)
    report = copy_weights(before.model, model)
    tensors = tuple(f"{LOGITS}/{v.name} {tuple(v.shape)}" for v in model.classifier.weights)
    if report.missing or type(before.model) is not type(model):
        reason = "of other features"
    elif before.classes != classes:
        reason = f"of {len(before.classes)} other classes or in another order"
    else:
        model.classifier.set_weights(before.model.classifier.get_weights())
        return dataclasses.replace(report, loaded=report.loaded + tensors), True
    missing = tuple(f"{tensor}: the classifier there is {reason}" for tensor in tensors)
    return dataclasses.replace(report, missing=report.missing + missing), False


def _pretrained_layers(source: RunFolder) -> list[str]:
    """Returns which layers of a run's network `--scl-weights` loaded, there or before."""
    try:
        return json.loads(source.pretrained_layers.read_text())
    except FileNotFoundError:
        return []


def load_scl_weights(model: keras.Model, options: FitOptions) -> WeightsReport:
    """Loads `--scl-weights` into the network.

    Raises:
        UserError: if the lower SCLs are not all in the file, or it cannot be had.
    """
    weights = options.network.scl_weights
    try:
        if weights == "imagenet":
            report = load_imagenet_weights(model, options.backbone.scl)
        else:
            report = load_weights(model, weights)
    except ValueError as error:
        hint = "; give a file with --scl-weights FILE" if weights == "imagenet" else ""
        raise UserError(f"--scl-weights: {error}{hint}") from error
    lower = named_layers(model.backbone).keys() - {"feature_scale"}
    if lacking := sorted(lower - set(report.layers)):
        raise UserError(
            f"--scl-weights: {weights} holds {len(lower) - len(lacking)} of the {len(lower)} "
            f"layers of {options.backbone.scl}, not {lacking[0]}: is it of another --scl or "
            "--preset?"
        )
    return report


def check_start(options: FitOptions):
    """Makes sure that what the training starts from is there, and is of the same network.

    Raises:
        UserError: if it is not.
    """
    weights, source = options.network.scl_weights, options.network.start_from
    for name, path in (("scl-weights", weights), ("start-from", source)):
        if isinstance(path, Path) and any(part in str(path) for part in ("{split}", "{fold}")):
            raise UserError(
                f"--{name} {path}: {{split}} is for runs of --split, {{fold}} for those of --fold"
            )
    if isinstance(weights, Path) and not weights.is_file():
        raise UserError(f"--scl-weights must be a file, got {weights}")
    if source is None:
        return
    run = RunFolder(source)
    values = run_values(source)
    if parts := run.parts():
        part = "fold" if "fold" in parts[0].path.name else "split"
        raise UserError(
            f"--start-from {source} holds a run for each {part}: name one of them, or with "
            f"--{part} each one's own, {run.path / part}{{{part}}}"
        )
    if not run.is_finished():
        raise UserError(f"--start-from {source} is no finished run: finish it first")
    check_alike(source, values, flat(options))


def take_up_optimizer(
    options: FitOptions, stage: str, model: keras.Model, optimizer: keras.Optimizer
) -> str:
    """Gives the optimiser its state at the end of the run that is started from, if it fits.

    The schedule of the learning rate begins anew; Adam's averages count the steps before.

    Args:
        options: of the run; the network has been taken over whole.
        stage: name of the stage, here and there.
        model: the network.
        optimizer: built, its state being set.

    Returns:
        Why it does not fit; nothing if it does.
    """
    source = RunFolder(options.network.start_from)
    before = run_values(source.path)["optimizer"]
    if before != options.optimization.optimizer:
        return f"it was {before} there"
    return Checkpoints(source.checkpoints, stage).take_up(model, optimizer)

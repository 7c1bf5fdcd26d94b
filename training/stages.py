"""The stages of training (section 2.3 of the paper).

1. `training.pretrain`: the auxiliary classifier on images; its weights come by `--scl-weights`.
2. "auxiliary": the auxiliary classifier on random frames of the training videos.
3. "global": the whole network on clip pairs, its spatial path as stage 2 left it.

`fit` runs stages 2 and 3.
"""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from fstcn_keras import auxiliary_classifier, fstcn
from fstcn_keras.presets import PRESETS
from fstcn_keras.weights import copy_weights, load_weights, named_layers
from training.checkpoints import Checkpoints
from training.cli import UserError
from training.data.datasets import Video
from training.data.draws import CenterDraws, ClipPairs, Frames, TrainingDraws
from training.data.store import FrameStore
from training.distribution import fast_precision
from training.files import write_aside
from training.loop import Stage, train
from training.optimizers import build_optimizer
from training.options import FitOptions

LAST_LAYERS = ("spatial_fc", "spatial_features")  # with the classifier the last three of stage 2


@dataclass(frozen=True, kw_only=True)
class TrainingVideos:
    """What all stages are trained on.

    Attributes:
        store: the decoded frames.
        train: videos to train on.
        held_out: videos to choose the best epoch by; may be none.
        num_classes: number of classes.
    """

    store: FrameStore
    train: list[Video]
    held_out: list[Video]
    num_classes: int


def train_stages(
    options: FitOptions, videos: TrainingVideos, strategy: tf.distribute.Strategy, run: Path
) -> keras.Model:
    """Runs the stages that are configured and not done yet; gives the trained network."""
    auxiliary = None
    if options.auxiliary_epochs and "spatial" in options.paths:
        if Checkpoints(run / "checkpoints", "global").exist():
            print("stage auxiliary is done already")
        else:
            with strategy.scope():
                stage = auxiliary_stage(options, videos, run)
            train(stage, strategy, run, minutes=options.checkpoint_minutes)
            auxiliary = stage.model
    with strategy.scope():
        stage = global_stage(options, videos, run, auxiliary=auxiliary)
    del auxiliary
    train(stage, strategy, run, minutes=options.checkpoint_minutes)
    return stage.model


def auxiliary_stage(options: FitOptions, videos: TrainingVideos, run: Path) -> Stage:
    """Stage 2. Pre-trained layers move at `--scl-rate`, but for the last three layers."""
    keras.utils.set_random_seed(options.seed)
    with dtype_policy(options.precision):
        model = auxiliary_classifier(num_classes=videos.num_classes, preset=options.preset)
    pretrained = set(_load_file(model, options, run)) - set(LAST_LAYERS)
    return _stage(
        "auxiliary",
        model,
        Frames(PRESETS[options.preset]),
        options,
        videos,
        epochs=options.auxiliary_epochs,
        learning_rate=options.auxiliary_rate,
        rates=dict.fromkeys(pretrained, options.scl_rate),
    )


def global_stage(
    options: FitOptions, videos: TrainingVideos, run: Path, *, auxiliary: keras.Model | None
) -> Stage:
    """Stage 3: all of the network; pre-trained layers move at `--scl-rate`.

    Args:
        options: of the run.
        videos: to train on.
        run: the run folder.
        auxiliary: the network of stage 2, or `None` if there was none or this stage has begun.
    """
    keras.utils.set_random_seed(options.seed)
    with dtype_policy(options.precision):
        model = fstcn(
            num_classes=videos.num_classes,
            preset=options.preset,
            paths=options.paths,
            temporal_kernels=options.temporal_kernels,
        )
    pretrained = _load_file(model, options, run)
    if auxiliary is not None:
        print(f"from stage auxiliary: {copy_weights(auxiliary, model)}")
    return _stage(
        "global",
        model,
        ClipPairs(PRESETS[options.preset]),
        options,
        videos,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        rates=dict.fromkeys(pretrained, options.scl_rate),
    )


def _load_file(model: keras.Model, options: FitOptions, run: Path) -> tuple[str, ...]:
    """Loads `--scl-weights`; gives the names of the layers that came whole.

    Raises:
        UserError: if nothing in the file fits.
    """
    if options.scl_weights is None:
        return ()
    try:
        report = load_weights(model, options.scl_weights)
    except ValueError as error:
        raise UserError(f"--scl-weights: {error}") from error
    report_file = run / f"weights-{model.name}.txt"
    write_aside(report_file, f"{options.scl_weights}\n{report.full()}\n")
    print(f"{options.scl_weights.name}: {report}; all in {report_file}")
    return report.layers


def _stage(
    name: str,
    model: keras.Model,
    sample: ClipPairs | Frames,
    options: FitOptions,
    videos: TrainingVideos,
    *,
    epochs: int,
    learning_rate: float,
    rates: Mapping[str, float],
) -> Stage:
    layers = named_layers(model)
    for layer_name, rate in rates.items():
        layers[layer_name].trainable = rate > 0
    steps = math.ceil(len(videos.train) / options.batch_size)
    optimizer = build_optimizer(
        options.optimizer,
        learning_rate=learning_rate,
        warmup_steps=round(options.warmup(epochs) * steps),
        total_steps=epochs * steps,
        rates={
            variable.path: rate
            for layer_name, rate in rates.items()
            for variable in layers[layer_name].trainable_variables
        },
        ema=options.ema,
        loss_scale=model.dtype_policy.name == "mixed_float16",
    )
    optimizer.build(model.trainable_variables)
    draws = TrainingDraws(
        videos.store, videos.train, sample, seed=[options.seed, len(name)], scales=options.scales
    )
    stage = Stage(
        name=name,
        model=model,
        optimizer=optimizer,
        draws=draws,
        held_out=CenterDraws(videos.store, videos.held_out, sample) if videos.held_out else None,
        epochs=epochs,
        steps_per_epoch=steps,
        batch_size=options.batch_size,
        label_smoothing=options.label_smoothing,
        averaged=options.ema > 0,
    )
    print(describe(stage, rates), flush=True)
    return stage


def describe(stage: Stage, rates: Mapping[str, float]) -> str:
    """What the stage trains, in one line: its size, and what is fixed or slow."""
    model = stage.model
    fixed = sum(math.prod(variable.shape) for variable in model.non_trainable_weights)
    text = (
        f"stage {stage.name}: {model.count_params():,} parameters ({model.dtype_policy.name}), "
        f"{stage.epochs} epochs of {stage.steps_per_epoch} steps"
    )
    frozen = [name for name, rate in rates.items() if rate == 0]
    slow = [name for name, rate in rates.items() if 0 < rate < 1]
    if frozen:
        text += f"; {fixed:,} parameters fixed: {', '.join(frozen)}"
    if slow:
        text += f"; at {rates[slow[0]]:g} of the rate: {', '.join(slow)}"
    return text


@contextlib.contextmanager
def dtype_policy(name: str):
    """Within, layers are made with this policy; `"auto"` is the one that is fast here."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(fast_precision() if name == "auto" else name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)

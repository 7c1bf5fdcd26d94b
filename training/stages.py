"""The stages of training (section 2.3 of the paper).

1. "pretraining": the auxiliary classifier on images; its weights come by `--scl-weights`.
2. "auxiliary": the auxiliary classifier on random frames of the training videos.
3. "head": the layers of the whole network that are not pre-trained, on clip pairs; the project's.
4. "global": the whole network on clip pairs, as the stages before left it; the paper's third.

`pretrain` runs the first, `fit` those of the others that are configured.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from fstcn_keras import accelerate, auxiliary_classifier, fstcn
from fstcn_keras.model import FSTCN, scale_features
from fstcn_keras.runs import RunFolder
from fstcn_keras.weights import copy_weights, named_layers
from training.checkpoints import Checkpoints
from training.data.collections import Video
from training.data.encoded_views import EncodedCenters, EncodedSampler, encode_views
from training.data.pipeline import reading_errors_unwrapped, training_batches
from training.data.samplers import CenterSampler, ClipPairs, Frames, TrainingSampler
from training.data.store import FrameStore
from training.distribution import fast_precision
from training.loop import Stage, train
from training.optimizers import build_optimizer
from training.options import FitOptions
from training.start import load_start, take_up_optimizer

START_SAMPLES = 24  # what pre-trained features are scaled by
LAST_LAYERS = ("spatial_fc", "spatial_features")  # with the classifier the last three of stage 2


@dataclass(frozen=True, kw_only=True)
class TrainingVideos:
    """What all stages are trained on.

    Attributes:
        store: the decoded frames.
        train: videos to train on.
        held_out: videos to choose the best epoch by; may be none.
        num_classes: number of classes.
        classes: their names, if videos.
    """

    store: FrameStore
    train: list[Video]
    held_out: list[Video]
    num_classes: int
    classes: tuple[str, ...] = ()


def train_stages(
    options: FitOptions, videos: TrainingVideos, strategy: tf.distribute.Strategy, run: RunFolder
) -> keras.Model:
    """Runs the stages that are configured and not done yet; gives the trained network."""
    names = configured_stages(options)
    begun = [name for name in names if Checkpoints(run.checkpoints, name).exist()]
    done = names.index(begun[-1]) if begun else 0
    if done and names[done] == "head" and options.stages.encoded_views:
        done -= (
            1  # of its encoders, which it does not train, only the stage before has a checkpoint
        )
    for name in names[:done]:
        print(f"stage {name} is done already")
    model = None
    for name in names[done:]:
        with strategy.scope():
            if name == "auxiliary":
                stage = auxiliary_stage(options, videos, run)
            else:
                stage = clip_stage(name, options, videos, run, before=model)
        del model  # not two networks in memory while one is trained
        train(stage, strategy, run, minutes=options.run.checkpoint_minutes)
        model = stage.network
    return model


def configured_stages(options: FitOptions) -> list[str]:
    """Returns the names of the stages that `fit` runs, in their order.

    The temporal path alone takes the backbone of stage 2, and skips the stage where that is fixed.
    """
    fixed = options.network.scl_weights is not None and options.stages.auxiliary_scl_rate == 0
    configured = {
        "auxiliary": options.stages.auxiliary_epochs
        and ("spatial" in options.network.paths or not fixed),
        "head": options.stages.head_epochs,
        "global": options.stages.epochs,
    }
    return [name for name, wanted in configured.items() if wanted]


def auxiliary_stage(
    options: FitOptions, videos: TrainingVideos, run: RunFolder, *, name: str = "auxiliary"
) -> Stage:
    """Builds stage 2, or 1; there pre-trained layers move at a rate of their own.

    The last three layers, which learn the classes, move at the full rate.
    """
    keras.utils.set_random_seed(options.run.seed)
    model = auxiliary_classifier(
        num_classes=videos.num_classes,
        dtype=dtype_policy(options.run.precision),
        **options.network_arguments(),
    )
    start = load_start(model, options, run)
    pretrained = [layer for layer in start.pretrained if layer not in LAST_LAYERS]
    rates = dict.fromkeys(pretrained, options.stages.auxiliary_scl_rate)
    stage = _stage(
        name,
        model,
        Frames(options.config()),
        options,
        videos,
        run,
        epochs=options.stages.auxiliary_epochs,
        learning_rate=options.stages.auxiliary_rate,
        trained=start.layers,
        rates=rates,
    )
    print(describe(stage, rates), flush=True)
    return stage


def clip_stage(
    name: str,
    options: FitOptions,
    videos: TrainingVideos,
    run: RunFolder,
    *,
    before: keras.Model | None,
) -> Stage:
    """Builds a stage of the whole network.

    In stage "head" loaded layers are fixed: new ones, random at first, would spoil them
    (Kumar et al. 2022, fine-tuning can distort pretrained features). With `--encoded-views` both
    encoders are, whose maps of the views come from the cache, and of the rest what
    `--scl-weights` loaded. In stage "global" pre-trained layers move at `--scl-rate`.

    Args:
        name: `"head"` or `"global"`.
        options: of the run.
        videos: to train on.
        run: the run folder.
        before: the network of the stage before, or `None` if there was none or this one has begun.
    """
    model = initial_network(options, num_classes=videos.num_classes)
    start = load_start(model, options, run, classes=videos.classes)
    trained = start.layers
    if before is not None:
        trained = _take_over(before, model)
    stages = options.stages
    if name == "head":
        epochs, learning_rate = stages.head_epochs, stages.head_rate
        fixed = start.layers
        if stages.encoded_views:
            fixed = (*start.pretrained, *_encoder_layers(model))
        rates = dict.fromkeys(fixed, 0.0)
    else:
        epochs, learning_rate = stages.epochs, stages.learning_rate
        rates = dict.fromkeys(start.pretrained, stages.scl_rate)
    stage = _stage(
        name,
        model,
        ClipPairs(options.config()),
        options,
        videos,
        run,
        epochs=epochs,
        learning_rate=learning_rate,
        trained=trained,
        rates=rates,
        encoded=name == "head" and stages.encoded_views > 0,
    )
    begun = Checkpoints(run.checkpoints, name).exist()
    note = ""
    last = configured_stages(options)[-1]
    if options.network.start_from is not None and name == last and not begun:
        note = _optimizer_note(options, stage, whole=start.whole and before is None)
    print(f"{describe(stage, rates)}{note}", flush=True)
    return stage


def _optimizer_note(options: FitOptions, stage: Stage, *, whole: bool) -> str:
    """Takes up the optimiser's state of the run that is started from; says whether it fits."""
    reason = "not the whole network is as it was there"
    if whole:
        reason = take_up_optimizer(options, stage.name, stage.model, stage.optimizer)
    if reason:
        return f"; the optimiser starts anew: {reason}"
    return f"; the optimiser goes on with its state of {options.network.start_from}"


def _take_over(before: keras.Model, model: keras.Model) -> tuple[str, ...]:
    """Gives the network what the one of the stage before learned; the names of those layers."""
    report = copy_weights(before, model)
    print(f"from the {before.name} of the stage before: {report}")
    if type(before) is type(model):  # another network's classifier is of other features
        model.classifier.set_weights(before.classifier.get_weights())
    return report.layers


def initial_network(options: FitOptions, *, num_classes: int) -> keras.Model:
    """Builds FSTCN with the random weights that the run's seed gives it, before any are loaded."""
    keras.utils.set_random_seed(options.run.seed)
    return fstcn(
        num_classes=num_classes,
        paths=options.network.paths,
        temporal_kernels=options.network.temporal_kernels,
        dtype=dtype_policy(options.run.precision),
        **options.network_arguments(),
    )


def _stage(
    name: str,
    model: keras.Model,
    sample: ClipPairs | Frames,
    options: FitOptions,
    videos: TrainingVideos,
    run: RunFolder,
    *,
    epochs: int,
    learning_rate: float,
    trained: Collection[str],
    rates: Mapping[str, float],
    encoded: bool = False,
) -> Stage:
    accelerate(model)
    for layer, rate in _layers(model, rates).items():
        # one backbone sees frames and differences: its statistics would be those of neither
        layer.trainable = rate > 0 and not isinstance(layer, keras.layers.BatchNormalization)
    steps = math.ceil(len(videos.train) / options.optimization.batch_size)
    epochs = options.stages.passes(epochs, steps)
    optimizer = _optimizer(
        options,
        model,
        rates,
        learning_rate=learning_rate,
        warmup_steps=round(options.stages.warmup(epochs) * steps),
        total_steps=epochs * steps,
    )
    seed, scales = [options.run.seed, len(name)], options.optimization.scales
    sampler = TrainingSampler(videos.store, videos.train, sample, seed=seed, scales=scales)
    if encoded or not Checkpoints(run.checkpoints, name).exist():
        _scale_features(model, sampler, trained)
    part, held_out = model, CenterSampler(videos.store, videos.held_out, sample)
    if encoded:
        part = accelerate(model.after_pooling())
        sampler, held_out = _encoded_samplers(model, options, videos, seed=seed)
    optimizer.build(part.trainable_variables)
    return Stage(
        name=name,
        network=model,
        model=part,
        optimizer=optimizer,
        sampler=sampler,
        held_out=held_out if videos.held_out else None,
        epochs=epochs,
        steps_per_epoch=steps,
        batch_size=options.optimization.batch_size,
        label_smoothing=options.optimization.label_smoothing,
        class_weights=balanced_weights([video.label for video in videos.train], videos.num_classes)
        if options.stages.class_weights == "balanced"
        else None,
    )


def _encoded_samplers(
    model: FSTCN, options: FitOptions, videos: TrainingVideos, *, seed: list[int]
) -> tuple[EncodedSampler, EncodedCenters]:
    """Encodes the views of the videos; gives the samplers of those to train on and held out."""
    views = encode_views(
        model,
        videos.store,
        [*videos.train, *videos.held_out],
        num_views=options.stages.encoded_views,
        scales=options.optimization.scales,
    )
    independent = options.stages.path_views == "independent"
    return (
        EncodedSampler(videos.store, videos.train, views, independent=independent, seed=seed),
        EncodedCenters(videos.store, videos.held_out, views),
    )


def _layers(model: keras.Model, rates: Mapping[str, float]) -> dict[keras.Layer, float]:
    """Returns the layers that have rates of their own, and these."""
    layers = named_layers(model)
    return {layers[name]: rate for name, rate in rates.items()}


def _optimizer(
    options: FitOptions,
    model: keras.Model,
    rates: Mapping[str, float],
    *,
    learning_rate: float,
    warmup_steps: int,
    total_steps: int,
) -> keras.Optimizer:
    """Builds the optimiser of a stage, whose layers are fixed or not by now."""
    return build_optimizer(
        options.optimization.optimizer,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        total_steps=total_steps,
        rates={
            variable.path: rate
            for layer, rate in _layers(model, rates).items()
            for variable in layer.trainable_variables
        },
        weight_decay=options.stages.weight_decay,
        loss_scale=model.dtype_policy.name == "mixed_float16",
    )


def balanced_weights(labels: Sequence[int], num_classes: int) -> np.ndarray:
    """Returns `V / (K V_c)` of each class c with V_c of the V videos, K such classes; 0 of others.

    Their mean over the videos is 1, so that rates are as before.

    Example:
        >>> balanced_weights([0, 0, 0, 2], 3).round(2)
        array([0.67, 0.  , 2.  ])

    Args:
        labels: of the training videos.
        num_classes: number of classes.
    """
    present = np.unique(labels)
    weights = np.zeros(num_classes)
    weights[present] = compute_class_weight("balanced", classes=present, y=np.asarray(labels))
    return weights


def _scale_features(model: keras.Model, sampler: TrainingSampler, trained: Collection[str]):
    """Scales the features of layers that were just loaded by training samples."""
    if trained and "feature_scale" in named_layers(model).keys() - set(trained):
        with reading_errors_unwrapped():
            samples, *_ = next(iter(training_batches(sampler, batch_size=START_SAMPLES).take(1)))
        scale_features(model, samples)


def _encoder_layers(model: keras.Model) -> list[str]:
    """Returns the names of the layers with weights below the head."""
    encoders = (model.frame_encoder, model.difference_encoder)
    found = [named_layers(encoder) for encoder in encoders if encoder is not None]
    return [name for layers in found for name in layers]


def describe(stage: Stage, rates: Mapping[str, float]) -> str:
    """Describes what the stage trains, in one line: its size, and what is fixed or slow."""
    model = stage.network
    fixed = sum(math.prod(variable.shape) for variable in model.non_trainable_weights)
    text = (
        f"stage {stage.name}: {model.count_params():,} parameters ({model.dtype_policy.name}), "
        f"{stage.epochs} epochs of {stage.steps_per_epoch} steps, chance "
        f"{1 / model.output_shape[-1]:.1%}"
    )
    if rates:
        names, rate = list(rates), max(rates.values())
        text += f"; {len(names)} layers from {names[0]} to {names[-1]} "
        text += f"move at {rate:g} of the rate" if rate else f"are fixed, {fixed:,} parameters"
    return text


def dtype_policy(precision: str) -> str:
    """Returns the policy of a network's layers; `"auto"` is the one that is fast here."""
    return fast_precision() if precision == "auto" else precision

"""Train FSTCN: python -m training.fit [--dataset NAME --data-dir DIR] --split N

Decodes the videos once, trains, and evaluates on the split's test videos. The same command
again goes on where an interrupted one stopped. All results go to the run folder.
"""

import contextlib
import math
import sys
from pathlib import Path

import keras

from fstcn_keras import ActionClassifier, ViewPlan, fstcn
from fstcn_keras.presets import PRESETS
from fstcn_keras.weights import load_scl_weights
from training import cli, evaluate, figures
from training.checkpoints import Checkpoints, EpochSeeds
from training.cli import UserError
from training.data.datasets import Dataset, Video
from training.data.groups import hold_out
from training.data.pipeline import center_batches, store_errors_unwrapped, training_batches
from training.data.store import FrameStore
from training.distribution import describe, device_strategy, fast_precision
from training.options import (
    FitOptions,
    differences,
    open_data,
    read_config,
    write_config,
)
from training.recipes import build_optimizer


def main(options: FitOptions):
    """Trains and evaluates one run."""
    run = open_run(options)
    if (run / "metrics.json").exists():
        print(f"{run} is finished already:")
        evaluate.print_metrics(run)
        return
    config = PRESETS[options.preset]
    dataset, store = open_data(options, options.store, short_side=config.short_side)
    evaluate.report_rejected(store, run)

    evaluate.check_test_videos(dataset, store)
    train, held_out = split_training(dataset, store, options)
    steps = math.ceil(len(train) / options.batch_size)
    strategy = device_strategy(batch_size=options.batch_size)
    with strategy.scope():
        model = build_model(options, run=run, num_classes=len(dataset.classes), steps=steps)
    print(
        f"training {' + '.join(options.paths)} of preset {options.preset} "
        f"({model.count_params():,} parameters, {model.dtype_policy.name}) "
        f"on {describe(strategy)}: {len(train)} videos to train on, "
        f"{len(held_out)} held out, {options.epochs} epochs; results in {run}"
    )
    train_model(model, store, (train, held_out), options, run=run, steps=steps)

    plan = ViewPlan.of(config, num_clips=options.num_clips)
    ActionClassifier(model, classes=list(dataset.classes), plan=plan).save(run)
    del model  # evaluation loads the saved network: not both at once in memory
    evaluate.evaluate(run, dataset, store)
    evaluate.print_metrics(run)


def open_run(options: FitOptions) -> Path:
    """Makes the run folder, or checks that it is a run of the same options.

    Raises:
        UserError: if it cannot be written or holds another run.
    """
    run = options.run_folder()
    config_file = run / "config.yaml"
    try:
        run.mkdir(parents=True, exist_ok=True)
        if not config_file.exists() and any(run.iterdir()):
            raise UserError(f"{run} is not empty and not the folder of a training run")
        if any((run / name).exists() for name in ("checkpoints", "model.keras", "metrics.json")):
            if changed := differences(read_config(config_file), options):
                raise UserError(
                    f"{run} holds a run with other options ({'; '.join(changed)}): "
                    "name another folder with --out, or remove it"
                )
        else:
            write_config(options, config_file)
    except OSError as error:
        raise UserError(f"the run folder {run} cannot be written: {error.strerror}") from error
    return run


def split_training(
    dataset: Dataset, store: FrameStore, options: FitOptions
) -> tuple[list[Video], list[Video]]:
    """The usable training videos: those to train on, and those held out.

    Raises:
        UserError: if nothing is left to train on.
    """
    usable = [v for v in dataset.side("train") if store.videos[v.path].num_frames]
    items = [(video.path, dataset.classes[video.label], video.group) for video in usable]
    held = hold_out(items, fraction=options.val_fraction, salt=f"validation {options.seed}")
    train = [video for video in usable if video.path not in held]
    if len({video.label for video in train}) < 2:
        raise UserError(
            f"{dataset.root}: {len(train)} usable training videos of fewer than two classes; "
            "there is nothing to tell apart"
        )
    return train, [video for video in usable if video.path in held]


def build_model(options: FitOptions, *, run: Path, num_classes: int, steps: int) -> keras.Model:
    """The network with its optimiser, for `steps` steps an epoch."""
    precision = fast_precision() if options.precision == "auto" else options.precision
    keras.utils.set_random_seed(options.seed)
    with _dtype_policy(precision):
        model = fstcn(
            num_classes=num_classes,
            preset=options.preset,
            paths=options.paths,
            temporal_kernels=options.temporal_kernels,
        )
    scl = model.get_layer("time_distributed_scl")
    if options.scl_weights is not None:
        load_weights(model, options.scl_weights, report_file=run / "scl_weights.txt")
        scl.trainable = options.scl_rate > 0
    optimizer = build_optimizer(
        options.optimizer,
        learning_rate=options.learning_rate,
        warmup_steps=round(options.warmup_epochs * steps),
        total_steps=options.epochs * steps,
        slow_variables=scl.variables if options.scl_weights else (),
        slow_rate=options.scl_rate,
    )
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        weighted_metrics=[  # unlike the loss, exact where entries of weight 0 fill up a batch
            keras.metrics.SparseCategoricalAccuracy(name="top1"),
            keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"),
        ],
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def load_weights(model: keras.Model, file: Path, *, report_file: Path):
    """Loads the lower SCLs' weights; every tensor is in the report.

    Raises:
        UserError: if nothing in the file fits.
    """
    try:
        report = load_scl_weights(model.get_layer("time_distributed_scl").layer, file)
    except ValueError as error:
        raise UserError(f"--scl-weights: {error}") from error
    report_file.write_text(f"{file}\n{report.full()}\n")
    print(f"{file.name}: {report}; all in {report_file}")


@contextlib.contextmanager
def _dtype_policy(name: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def train_model(
    model: keras.Model,
    store: FrameStore,
    videos: tuple[list[Video], list[Video]],
    options: FitOptions,
    *,
    run: Path,
    steps: int,
):
    """Trains from the last checkpoint on, and leaves the model as the best epoch had it.

    Args:
        model: compiled, see `build_model`.
        store: the decoded frames.
        videos: those to train on, and those held out.
        options: of the run.
        run: the run folder, which gets checkpoints, history, logs and curves.
        steps: steps of an epoch.
    """
    train, held_out = videos
    config, batch_size = PRESETS[options.preset], options.batch_size
    checkpoints = Checkpoints(run, monitor="val_top1" if held_out else None)
    epoch = checkpoints.restore(model)
    if epoch:
        print(f"{epoch} of {options.epochs} epochs are done already")
    validation = center_batches(store, held_out, config, batch_size=batch_size)
    with store_errors_unwrapped():
        model.fit(
            training_batches(
                store,
                train,
                config,
                batch_size=batch_size,
                seed=options.seed,
                start_step=epoch * steps,
            ),
            validation_data=validation if held_out else None,
            initial_epoch=epoch,
            epochs=options.epochs,
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=[
                EpochSeeds(),
                keras.callbacks.CSVLogger(run / "history.csv", append=True),
                checkpoints,
                keras.callbacks.TensorBoard(run / "logs", write_graph=False),
            ],
            verbose=1 if sys.stdout.isatty() else 2,
        )
    checkpoints.restore_best(model)
    figures.draw_curves(run / "history.csv", run / "curves.png")


if __name__ == "__main__":
    cli.run(main, FitOptions)

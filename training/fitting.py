"""Runs of `training.fit`: data, stages, evaluation, one split or fold after another."""

import gc
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from fstcn_keras import ActionClassifier, ViewPlan
from fstcn_keras.runs import RunFolder
from training import evaluation, figures
from training.claims import check_options, claim_run, open_run
from training.data.collections import load_dataset
from training.data.splits import open_data, split_training
from training.distribution import (
    alone,
    describe,
    device_strategy,
    is_chief,
    sum_over_workers,
    with_precision,
)
from training.errors import UserError
from training.leakage import check_weights_leakage, record_training_videos
from training.options import FitOptions
from training.scores import check_classes
from training.stages import TrainingVideos, train_stages


def fit_runs(runs: Sequence[FitOptions]) -> bool:
    """Trains and evaluates those of the runs that are not finished, one after another.

    Args:
        runs: of one split or fold each, on the same devices.

    Returns:
        Whether this process is the one that writes files.

    Raises:
        UserError: if the splits are not of the same classes, and as `fit_run` does.
    """
    tf.config.experimental.enable_op_determinism()
    strategy = device_strategy(batch_size=runs[0].optimization.batch_size)
    check_splits(runs)
    for options in runs:
        fit_run(options, strategy)
        gc.collect()  # networks are cyclic: not two at once in memory
    sum_over_workers(strategy, 0)  # all end together: one that is lost before comes back
    return is_chief(strategy)


def fit_run(options: FitOptions, strategy: tf.distribute.Strategy):
    """Trains and evaluates the run of one split or fold, unless it is finished.

    Another process that does so in the same folder is waited for.
    """
    run = open_run(options)
    with alone(run, strategy):
        if not run.is_finished():
            _fit_run(with_precision(options), run, strategy)
            return
        check_options(options, run)
    print(f"{run} is finished already:")
    evaluation.print_metrics(run)


def _fit_run(options: FitOptions, run: RunFolder, strategy: tf.distribute.Strategy):
    claim_run(options, run)
    config, weights = options.config(), options.network.scl_weights
    if isinstance(weights, Path) and not weights.is_file():
        raise UserError(f"--scl-weights must be a file, got {weights}")
    dataset, store = open_data(
        options.collection, options.split, options.store, short_side=config.short_side
    )
    if isinstance(weights, Path):
        check_weights_leakage(weights, dataset.side("test"))
    if is_chief(strategy):
        evaluation.report_rejected(store, run)
    evaluation.check_test_videos(dataset, store, run)
    train, held_out = split_training(
        dataset, store, val_fraction=options.run.val_fraction, seed=options.run.seed
    )
    if is_chief(strategy):
        record_training_videos(run, train=train, held_out=held_out)
    print(
        f"training {' + '.join(options.network.paths)} of preset {options.preset_text()} by recipe "
        f"{options.optimization.recipe} on {describe(strategy)}: {len(train)} videos to train on, "
        f"{len(held_out)} held out; results in {run}"
    )
    if options.optimization.recipe == "paper" and weights is None:
        print(
            "stage 1 of the paper, pre-training on ImageNet, is lacking: give its result with "
            "--scl-weights FILE, from training.pretrain or, for preset paper, VGG_CNN_M_2048"
        )
    videos = TrainingVideos(
        store=store, train=train, held_out=held_out, num_classes=len(dataset.classes)
    )
    model = train_stages(options, videos, strategy, run)
    if not is_chief(strategy):
        return
    caption = (
        f"{dataset.name} {dataset.part}: {len(train)} videos to train on, {len(held_out)} "
        f"held out; preset {options.preset_text()}, paths {' + '.join(options.network.paths)}, "
        f"seed {options.run.seed}"
    )
    figures.save_figure(figures.draw_curves(run.history, caption=caption), run.curves)
    plan = ViewPlan.from_config(config, num_clips=options.num_clips)
    ActionClassifier(model, classes=list(dataset.classes), plan=plan).save(run.path)
    del model  # evaluation loads the saved network: not both at once in memory
    evaluation.evaluate(run, dataset, store)
    evaluation.print_metrics(run)


def check_splits(runs: Sequence[FitOptions]):
    """Makes sure, before anything is trained, that all splits of the runs have the same classes.

    Raises:
        UserError: saying which splits differ, and in what.
    """
    by_split = {options.split: options for options in runs}
    if len(by_split) == 1 or all(options.run_folder().is_finished() for options in runs):
        return
    classes = {
        split: load_dataset(options.collection, split).classes
        for split, options in by_split.items()
    }
    first = min(classes)
    for split in classes:
        check_classes((f"split {first}", f"split {split}"), classes[first], classes[split])

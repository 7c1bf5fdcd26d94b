"""Runs of `training.fit`: data, stages, evaluation, one split or fold after another."""

import contextlib
import functools
import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from fstcn_keras import ActionClassifier
from fstcn_keras.runs import RunFolder
from training import cluster_jobs, evaluation, figures, on_cluster, rejection
from training.baseline import write_baseline
from training.checkpoints import Checkpoints
from training.claims import check_options, claim_run, open_run
from training.cluster import Cluster
from training.data.collections import Dataset, Video, load_dataset
from training.data.splits import open_data
from training.data.store import FrameStore
from training.distribution import (
    alone,
    describe,
    is_chief,
    sum_over_workers,
    training_devices,
    with_precision,
)
from training.errors import UserError
from training.leakage import (
    LearnedVideos,
    changes_since,
    check_learned,
    file_hashes,
    learned_videos,
    record_training_videos,
)
from training.options import FitOptions
from training.scores import check_classes
from training.stages import TrainingVideos, configured_stages, train_stages
from training.start import check_start


def fit_runs(runs: Sequence[FitOptions], *, by_encoded_views: bool = False) -> bool:
    """Trains and evaluates those of the runs that are not finished, one after another.

    One that is trained, but judged by other views than these, is evaluated anew.

    On a cluster they are trained side by side, as far as there is room, or with `--workers` one
    after another by several workers at a time.

    Args:
        runs: of one split or fold each, on the same devices.
        by_encoded_views: whether test videos are scored by each run's own `--encoded-views`, in
            seconds, instead of the whole protocol.

    Returns:
        Whether this process is the one that writes files.

    Raises:
        UserError: if the splits are not of the same classes, a batch does not divide over the
            devices, one of the runs cannot start from what it is to start from, and as `fit_run`
            does.
    """
    if on_cluster.is_connected():
        _fit_on_cluster(runs, by_encoded_views)
        return True
    tf.config.experimental.enable_op_determinism()
    with training_devices(run.optimization.batch_size for run in runs) as strategy:
        check_splits(runs)
        check_starts(runs)
        for options in runs:
            fit_run(options, strategy, by_encoded_views=by_encoded_views)
            gc.collect()  # networks are cyclic: not two at once in memory
        sum_over_workers(strategy, 0)  # all end together: one that is lost before comes back
    return is_chief(strategy)


def _fit_on_cluster(runs: Sequence[FitOptions], by_encoded_views: bool):
    if Cluster.from_environment():
        raise UserError("TF_CONFIG names the workers of one training: unset it for --cluster")
    num_workers = on_cluster.num_workers()
    if num_workers > 1:
        cluster_jobs.check_room(num_workers)
    check_splits(runs)
    check_starts(runs)
    left, opened = [], set()
    for options in runs:
        run = open_run(options)
        if _is_done(run, by_encoded_views):
            _tell_finished(options, run)
            continue
        left.append(options)
        claim_run(options, run)  # what is logged there is of this run
        data = options.collection, options.split, options.store
        short_side = options.config().short_side
        if (*data, short_side) not in opened:  # the rows of a table share it
            open_data(*data, short_side=short_side)
            opened.add((*data, short_side))
    if not left:
        return
    fit_one = functools.partial(_fit_one, by_encoded_views=by_encoded_views)
    logs = [options.run_folder().log for options in left]
    for log in logs:
        log.touch()
    if num_workers == 1:
        cluster_jobs.run_apart(fit_one, left, logs=logs)
        return
    for options, log in zip(left, logs, strict=True):
        cluster_jobs.run_together(fit_one, options, num_workers=num_workers, log=log)


def _fit_one(options: FitOptions, *, by_encoded_views: bool):
    """Trains and evaluates a run in a process of a cluster."""
    fit_runs([options], by_encoded_views=by_encoded_views)


def fit_run(
    options: FitOptions, strategy: tf.distribute.Strategy, *, by_encoded_views: bool = False
):
    """Trains and evaluates the run of one split or fold, unless it is finished.

    One that is trained, but judged by other views than these, is evaluated anew. Another process
    that works in the same folder is waited for.
    """
    run = open_run(options)
    with alone(run, strategy):
        if not _is_done(run, by_encoded_views):
            _fit_run(with_precision(options), run, strategy, by_encoded_views)
            return
    _tell_finished(options, run)


def _is_done(run: RunFolder, by_encoded_views: bool) -> bool:
    """Returns whether the run is trained, and judged by the views that are asked for."""
    if not run.is_finished():
        return False
    try:
        protocol = json.loads(run.metrics.read_text())["protocol"]
    except (OSError, ValueError, LookupError, TypeError):
        return True  # damaged: who reads them says so
    return (protocol.get("views") == "encoded") == by_encoded_views


def _tell_finished(options: FitOptions, run: RunFolder):
    """Prints what a finished run has come to.

    Raises:
        UserError: if it has other options.
    """
    check_options(options, run)
    if changes := _changes_since(options, run):
        print(
            f"{run} is finished, but its videos have changed since: {changes}. Its accuracies are "
            "of those that it had; train anew with another --out for those of today:"
        )
    else:
        print(f"{run} is finished already:")
    evaluation.print_metrics(run)


def _changes_since(options: FitOptions, run: RunFolder) -> str:
    """Says how the videos differ from the finished run's; nothing if they are no longer there."""
    if options.collection.dataset == "demo":
        return ""
    with contextlib.suppress(UserError, OSError):
        return changes_since(run, load_dataset(options.collection, options.split))
    return ""


@dataclass(frozen=True, kw_only=True)
class _RunData:
    """The videos of a run, as it has shared them out.

    Attributes:
        dataset: of its split or fold.
        store: the decoded frames.
        train: videos to train on.
        held_out: the other training videos.
        chooses: whether these choose the best epoch, see `rejection.split_sides`.
    """

    dataset: Dataset
    store: FrameStore
    train: list[Video]
    held_out: list[Video]
    chooses: bool

    def text(self) -> str:
        """Returns how many videos there are, in words."""
        return f"{len(self.train)} videos to train on, {len(self.held_out)} held out"


def _fit_run(
    options: FitOptions,
    run: RunFolder,
    strategy: tf.distribute.Strategy,
    by_encoded_views: bool,
):
    claim_run(options, run)
    trained = run.is_finished()
    if trained:
        sum_over_workers(strategy, 0)  # all have seen it, before its results are replaced
    else:
        check_start(options)
    data = _open_run_data(options, run, writes=is_chief(strategy))
    if trained:
        print(f"{run} is trained already: it is judged by other views than before")
    else:
        _train(options, run, data, strategy)
    if not is_chief(strategy):
        return
    if by_encoded_views:
        evaluation.evaluate_encoded(
            run,
            data.dataset,
            data.store,
            num_views=options.stages.encoded_views,
            scales=options.optimization.scales,
        )
    else:
        _evaluate(options, run, data)
    Checkpoints(run.checkpoints, configured_stages(options)[-1]).keep_last()
    evaluation.print_metrics(run)


def _train(options: FitOptions, run: RunFolder, data: _RunData, strategy: tf.distribute.Strategy):
    """Trains the run's network and saves it, from where evaluation loads it: not two in memory."""
    print(
        f"training {' + '.join(options.network.paths)} of preset {options.preset_text()} by recipe "
        f"{options.optimization.recipe} on {describe(strategy)}: {data.text()}"
        f"{'' if data.chooses else ' for --reject-at'}; results in {run}"
    )
    network = options.network
    if options.optimization.recipe == "paper" and not (network.scl_weights or network.start_from):
        print(
            "stage 1 of the paper, pre-training on ImageNet, is lacking: give its result with "
            "--scl-weights FILE, from training.pretrain or, for preset paper, VGG_CNN_M_2048"
        )
    videos = TrainingVideos(
        store=data.store,
        train=data.train,
        held_out=data.held_out if data.chooses else [],
        num_classes=len(data.dataset.classes),
        classes=data.dataset.classes,
    )
    model = train_stages(options, videos, strategy, run)
    if is_chief(strategy):
        _save_network(options, run, data, model)


def _open_run_data(options: FitOptions, run: RunFolder, *, writes: bool) -> _RunData:
    """Decodes what is lacking, and shares the videos out.

    Args:
        options: of the run.
        run: its folder.
        writes: whether this process writes down what there is.
    """
    learned = learned_videos(options)
    dataset, store = open_data(
        options.collection, options.split, options.store, short_side=options.config().short_side
    )
    check_learned(options, learned, dataset, store)
    if writes:
        evaluation.report_rejected(store, run)
    evaluation.check_test_videos(dataset, store, run)
    train, held_out, chooses = rejection.split_sides(options, dataset, store, learned)
    if writes:
        record_training_videos(
            run,
            train=train,
            held_out=held_out,
            hashes=file_hashes(store),
            before=learned,
            root=dataset.root,
        )
    return _RunData(dataset=dataset, store=store, train=train, held_out=held_out, chooses=chooses)


def _save_network(options: FitOptions, run: RunFolder, data: _RunData, model: keras.Model):
    """Draws how training went, and saves what it came to."""
    caption = (
        f"{data.dataset.name} {data.dataset.part}: {data.text()}; preset {options.preset_text()}, "
        f"paths {' + '.join(options.network.paths)}, seed {options.run.seed}"
    )
    figures.save_figure(figures.draw_curves(run.history, caption=caption), run.curves)
    classifier = ActionClassifier(model, classes=list(data.dataset.classes), plan=options.plan())
    classifier.save(run.path)


def _evaluate(options: FitOptions, run: RunFolder, data: _RunData):
    """Evaluates the saved network by the whole protocol, beside a linear classifier."""
    test = evaluation.check_test_videos(data.dataset, data.store, run)
    write_baseline(options, run, data.store, train=data.train, test=test)
    if options.reject_at is not None:
        rejection.calibrate(run, data.store, data.held_out, share=options.reject_at)
    evaluation.evaluate(run, data.dataset, data.store)


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


def check_starts(runs: Sequence[FitOptions]):
    """Makes sure, before anything is trained, that each of several runs has what it starts from.

    Raises:
        UserError: if one has not, or it has learned from that run's test videos.
    """
    if len(runs) == 1:
        return
    for options in runs:
        if options.run_folder().is_finished():
            continue
        check_start(options)
        learned = learned_videos(options)
        if learned != LearnedVideos():
            data = open_data(
                options.collection,
                options.split,
                options.store,
                short_side=options.config().short_side,
            )
            check_learned(options, learned, *data)

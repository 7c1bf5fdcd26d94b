"""Train FSTCN: python -m training.fit [--dataset NAME --data-dir DIR] --split N

Decodes the videos once, trains in stages, and evaluates on the split's test videos. The same
command again goes on where an interrupted one stopped. All results go to the run folder.
`--split all` does so for the three splits one after another, each in a folder of its own, and
gives the mean and the deviation of their accuracies.
"""

import contextlib
import gc
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from fstcn_keras import ActionClassifier, ViewPlan
from training import cli, evaluate, figures, splits
from training.cli import UserError
from training.data.collections import Dataset, Video
from training.data.groups import check_held_out, hold_out
from training.data.store import FrameStore
from training.distribution import (
    describe,
    device_strategy,
    is_chief,
    sum_over_workers,
    with_precision,
)
from training.leakage import check_weights_unseen, record_seen
from training.locks import is_locked, locked
from training.options import (
    CONFIG,
    FitOptions,
    differences,
    load_dataset,
    open_data,
    read_config,
    write_config,
)
from training.scores import check_classes
from training.stages import TrainingVideos, train_stages


def main(options: FitOptions):
    """Trains and evaluates one run, or with `--split all` one for each split."""
    folder = open_run(options)  # at once, before devices and data are looked at
    if options.split == "all":
        claim_run(options, folder)
    chief = fit_runs(options.each_split())
    if options.split == "all" and chief:
        splits.summarise(folder)


def fit_runs(runs: Sequence[FitOptions]) -> bool:
    """Trains and evaluates those of the runs that are not finished, one after another.

    Args:
        runs: of one split each, on the same devices.

    Returns:
        Whether this process is the one that writes files.

    Raises:
        UserError: if the splits are not of the same classes, and as `fit_run` does.
    """
    tf.config.experimental.enable_op_determinism()
    strategy = device_strategy(batch_size=runs[0].batch_size)
    check_splits(runs)
    for options in runs:
        fit_run(options, strategy)
        gc.collect()  # networks are cyclic: not two at once in memory
    sum_over_workers(strategy, 0)  # all end together: one that is lost before comes back
    return is_chief(strategy)


def fit_run(options: FitOptions, strategy: tf.distribute.Strategy):
    """Trains and evaluates the run of one split, unless it is finished.

    Another process that does so in the same folder is waited for.
    """
    run = open_run(options)
    with alone(run, strategy):
        if not is_finished(run):
            _fit_run(with_precision(options), run, strategy)
            return
        check_options(options, run)
    print(f"{run} is finished already:")
    evaluate.print_metrics(run)


def _fit_run(options: FitOptions, run: Path, strategy: tf.distribute.Strategy):
    claim_run(options, run)
    config, weights = options.config(), options.scl_weights
    if isinstance(weights, Path) and not weights.is_file():
        raise UserError(f"--scl-weights must be a file, got {weights}")
    dataset, store = open_data(options, options.store, short_side=config.short_side)
    if isinstance(weights, Path):
        check_weights_unseen(weights, dataset.side("test"))
    if is_chief(strategy):
        evaluate.report_rejected(store, run)
    evaluate.check_test_videos(dataset, store, run)
    train, held_out = split_training(dataset, store, options)
    if is_chief(strategy):
        record_seen(run, train=train, held_out=held_out)
    print(
        f"training {' + '.join(options.paths)} of preset {options.preset_text()} by recipe "
        f"{options.recipe} on {describe(strategy)}: {len(train)} videos to train on, "
        f"{len(held_out)} held out; results in {run}"
    )
    videos = TrainingVideos(
        store=store, train=train, held_out=held_out, num_classes=len(dataset.classes)
    )
    model = train_stages(options, videos, strategy, run)
    if not is_chief(strategy):
        return
    caption = (
        f"{dataset.name} split {dataset.split}: {len(train)} videos to train on, {len(held_out)} "
        f"held out; preset {options.preset_text()}, paths {' + '.join(options.paths)}, "
        f"seed {options.seed}"
    )
    curves = figures.draw_curves(run / "history.csv", caption=caption)
    figures.save_figure(curves, run / "curves.png")
    plan = ViewPlan.from_config(config, num_clips=options.num_clips)
    ActionClassifier(model, classes=list(dataset.classes), plan=plan).save(run)
    del model  # evaluation loads the saved network: not both at once in memory
    evaluate.evaluate(run, dataset, store)
    evaluate.print_metrics(run)


def alone(run: Path, strategy: tf.distribute.Strategy) -> contextlib.AbstractContextManager:
    """Holds the run folder for this process and its workers: no other trains in it meanwhile."""
    return locked(run, "trains") if is_chief(strategy) else contextlib.nullcontext()


def is_finished(run: Path) -> bool:
    """Whether the run is trained and evaluated: its accuracies are written last."""
    return (run / "metrics.json").exists()


def open_run(options: FitOptions) -> Path:
    """Makes the run folder, or checks that it is a run of the same options.

    Raises:
        UserError: if it cannot be written, or holds another run or one that has just begun.
    """
    run = options.run_folder()
    try:
        run.mkdir(parents=True, exist_ok=True)
        # in this order, as another worker may be writing the first file
        unfinished = f"partial-{CONFIG}"  # another is writing it, or was killed over it
        others = [p for p in run.iterdir() if p.suffix != ".lock" and p.name != unfinished]
        if others and not (run / CONFIG).exists():
            raise UserError(f"{run} is not empty and not the folder of a training run")
        if has_begun(run) or any(is_locked(folder, "trains") for folder in _folders(run)):
            check_options(options, run)
    except OSError as error:
        raise UserError(f"the run folder {run} cannot be written: {error.strerror}") from error
    return run


def claim_run(options: FitOptions, run: Path):
    """Writes the options into the run folder; once the run has begun, compares them.

    Raises:
        UserError: if it holds another run.
    """
    with locked(run, "prepares"):  # other workers do the same
        if has_begun(run):
            check_options(options, run)
        else:
            write_config(options, run / CONFIG)


def check_options(options: FitOptions, run: Path):
    """Makes sure that the run folder is of these options, where it tells.

    Raises:
        UserError: if it holds another run.
    """
    file = run / CONFIG
    if file.exists() and (changed := differences(read_config(file, type(options)), options)):
        raise UserError(
            f"{run} holds a run with other options ({'; '.join(changed)}): "
            "name another folder with --out, or remove it"
        )


def has_begun(run: Path) -> bool:
    """Whether the run folder, or one of its splits, holds anything that its options have made."""
    begun = ("checkpoints", "images.csv", "model.keras", "metrics.json")
    return any((folder / name).exists() for folder in _folders(run) for name in begun)


def _folders(run: Path) -> list[Path]:
    """The run folder, and those of its splits if it is one of `--split all`."""
    return [run, *run.glob("split[123]")]


def check_splits(runs: Sequence[FitOptions]):
    """Makes sure, before anything is trained, that all splits of the runs have the same classes.

    Raises:
        UserError: saying which splits differ, and in what.
    """
    by_split = {options.split: options for options in runs}
    if len(by_split) == 1 or all(is_finished(options.run_folder()) for options in runs):
        return
    classes = {split: load_dataset(options).classes for split, options in by_split.items()}
    first = min(classes)
    for split in classes:
        check_classes((f"split {first}", f"split {split}"), classes[first], classes[split])


def split_training(
    dataset: Dataset, store: FrameStore, options: FitOptions
) -> tuple[list[Video], list[Video]]:
    """The usable training videos: those to train on, and those held out.

    Raises:
        UserError: if nothing is left to train on, or nothing held out.
    """
    usable = [v for v in dataset.side("train") if store.videos[v.path].num_frames]
    # a group may bear the name of a video: look-alikes of two classes are drawn once
    names = {video.path: dataset.classes[video.label] for video in dataset.videos}
    items = [(v.path, names.get(v.group, names[v.path]), v.group) for v in usable]
    held = hold_out(items, fraction=options.val_fraction, salt=f"validation {options.seed}")
    train = [video for video in usable if video.path not in held]
    check_held_out(options.val_fraction, len(held))
    trained = {video.label for video in train}
    if untrained := [name for n, name in enumerate(dataset.classes) if n not in trained]:
        print(f"{len(untrained)} classes have no video to train on, e.g. {untrained[0]}")
    if len(trained) < 2:
        raise UserError(
            f"{dataset.root}: {len(train)} usable training videos of fewer than two classes; "
            "there is nothing to tell apart"
        )
    return train, [video for video in usable if video.path in held]


if __name__ == "__main__":
    cli.run(main, FitOptions)

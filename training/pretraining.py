"""Stage 1: the auxiliary classifier on a folder of images, and what is written of it."""

import csv
import shlex
from pathlib import Path

import tensorflow as tf

from fstcn_keras.config import PRESETS
from fstcn_keras.files import atomic_write, atomic_write_text
from fstcn_keras.runs import RunFolder
from fstcn_keras.weights import save_weights
from training import figures
from training.data.collections import Video
from training.data.groups import check_held_out, held_out_paths
from training.data.images import ImageFolder, image_source, index_images, source_video
from training.data.preparation import write_rejected
from training.distribution import describe, is_chief, sum_over_workers
from training.errors import UserError
from training.locks import locked
from training.loop import Stage, train
from training.options import FitOptions
from training.stages import TrainingVideos, auxiliary_stage


def pretrain(folder: Path, options: FitOptions, run: RunFolder, strategy: tf.distribute.Strategy):
    """Trains on a folder of images, by options as of stage 2, in the run folder."""
    backbone = options.backbone
    images = open_images(folder, options, run)
    print(
        f"pre-training preset {backbone.preset} by recipe {options.optimization.recipe} on "
        f"{describe(strategy)}: {len(images.train)} images of {images.num_classes} classes to "
        f"train on, {len(images.held_out)} held out; results in {run}"
    )
    with strategy.scope():
        stage = auxiliary_stage(options, images, run, name="pretraining")
    train(stage, strategy, run, minutes=options.run.checkpoint_minutes)
    if is_chief(strategy):
        write_results(stage, images, run, seed=options.run.seed)
        print(
            f"next: python -m training.fit --preset {backbone.preset} --scl {backbone.scl} "
            f"--scl-weights {shlex.quote(str(run.weights))}"
        )
    sum_over_workers(strategy, 0)  # all end together, as in `fit`


def write_results(stage: Stage, images: TrainingVideos, run: RunFolder, *, seed: int):
    """Writes the weights and the curves, and tells the accuracy on the held-out images."""
    caption = (
        f"{len(images.train)} images of {images.num_classes} classes to train on, "
        f"{len(images.held_out)} held out; seed {seed}"
    )
    figures.save_figure(figures.draw_curves(run.history, caption=caption), run.curves)
    videos = {source_video(i.path) for i in (*images.train, *images.held_out)} - {None}
    with atomic_write(run.weights) as partial:
        save_weights(stage.model, partial, videos=sorted(videos))
    if images.held_out:
        with run.history.open(newline="") as file:
            accuracy = max(float(row["val_top1"]) for row in csv.DictReader(file))
        print(
            f"top-1 of the best epoch on {len(images.held_out)} held-out images, centre crop: "
            f"{accuracy:.1%}"
        )


def open_images(folder: Path, options: FitOptions, run: RunFolder) -> TrainingVideos:
    """Opens the images to train on and those held out; the run folder gets `rejected.csv`.

    Raises:
        UserError: if there are no images of at least two classes that can be decoded.
    """
    config = PRESETS[options.backbone.preset]
    if not folder.is_dir():
        raise UserError(f"--images {folder} is not a folder")
    with locked(run.path, "prepares"):
        facts = index_images(folder, run.images, short_side=config.short_side)
        write_rejected(run.rejected, facts.values())
        usable = [path for path, image in facts.items() if image.num_frames]
        classes = sorted({path.split("/")[0] for path in usable})
        atomic_write_text(run.classes, "".join(f"{name}\n" for name in classes))
    if len(usable) < len(facts):
        count = len(facts) - len(usable)
        print(f"{count} images cannot be decoded: see {run.rejected}", flush=True)
    if len(classes) < 2:
        run.images.unlink()  # the next call looks again
        raise UserError(
            f"{folder}: {len(usable)} images of {len(classes)} classes can be decoded; there is "
            f"nothing to tell apart. See {run.rejected}"
        )
    labels = {name: label for label, name in enumerate(classes)}
    images = [
        Video(path, labels[path.split("/")[0]], "train", image_source(path)) for path in usable
    ]
    items = [(image.path, classes[image.label], image.group) for image in images]
    held = held_out_paths(
        items, fraction=options.run.val_fraction, salt=f"validation {options.run.seed}"
    )
    check_held_out(options.run.val_fraction, len(held))
    return TrainingVideos(
        store=ImageFolder(folder, facts, short_side=config.short_side),
        train=[image for image in images if image.path not in held],
        held_out=[image for image in images if image.path in held],
        num_classes=len(classes),
    )

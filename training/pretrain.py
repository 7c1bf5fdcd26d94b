"""Pre-train the lower SCLs on images: python -m training.pretrain --images DIR --out FOLDER

Stage 1 of section 2.3 of the paper: the auxiliary classifier learns the classes of an image
folder laid out like ImageNet's, one sub-folder of JPEGs or PNGs for each class. `fit
--scl-weights FOLDER/weights.h5` starts from the result. The same command again goes on where an
interrupted one stopped. Files that cannot be decoded are left out and listed in rejected.csv.
"""

import csv
import dataclasses
from pathlib import Path
from typing import Literal, get_type_hints

import tensorflow as tf

from fstcn_keras.backbones import BACKBONE_NAMES
from fstcn_keras.config import PRESETS
from fstcn_keras.files import atomic_write, atomic_write_text
from fstcn_keras.weights import save_weights
from training import cli, figures
from training.cli import UserError, option
from training.data.collections import Video
from training.data.groups import check_held_out, hold_out
from training.data.images import ImageFolder, index_images, source_of, video_of
from training.data.preparation import write_rejected
from training.distribution import (
    describe,
    device_strategy,
    is_chief,
    sum_over_workers,
    with_precision,
)
from training.fit import alone, check_options, claim_run, open_run
from training.locks import locked
from training.loop import Stage, train
from training.options import FitOptions
from training.stages import TrainingVideos, auxiliary_stage

WEIGHTS = "weights.h5"
INDEX = "images.csv"  # the images, and which of them are usable
_HINTS = get_type_hints(FitOptions)


def _as_in_fit(name: str):
    field = FitOptions.__dataclass_fields__[name]
    return option(field.default, field.metadata["help"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """Everything that decides a pre-training run."""

    images: Path | None = option(None, "folder of the images, one sub-folder for each class")
    preset: Literal[tuple(PRESETS)] = _as_in_fit("preset")
    scl: Literal[BACKBONE_NAMES] | None = _as_in_fit("scl")
    recipe: _HINTS["recipe"] = _as_in_fit("recipe")
    optimizer: _HINTS["optimizer"] = _as_in_fit("optimizer")
    batch_size: int | None = option(None, "images in a batch, over all devices")
    epochs: int = option(60, "passes over the images")
    learning_rate: float | None = option(
        None, "highest rate, after linear warm-up, before cosine decay"
    )
    label_smoothing: float | None = _as_in_fit("label_smoothing")
    scales: tuple[float, ...] | None = option(
        None, "sides of training crops relative to the images' short side, drawn at random"
    )
    val_fraction: float = option(
        0.0,
        "share of the images held out to report the accuracy on and choose the best epoch by; "
        "frames of one video stay together",
    )
    precision: _HINTS["precision"] = _as_in_fit("precision")
    checkpoint_minutes: float = _as_in_fit("checkpoint_minutes")
    seed: int = _as_in_fit("seed")
    out: Path | None = option(None, "run folder (default: runs/pretrain-IMAGES-PRESET)")

    def __post_init__(self):
        if self.images is None:
            raise UserError("name the folder of the images with --images")
        self.stage_options()

    def stage_options(self) -> FitOptions:
        """The same as options of stage 2, which trains the same network on frames.

        Raises:
            UserError: if a value is out of range.
        """
        shared = {field.name for field in dataclasses.fields(self)} - {"images"}
        return FitOptions(
            **{name: getattr(self, name) for name in shared},
            auxiliary_epochs=self.epochs,
            auxiliary_rate=self.learning_rate,
        )

    def run_folder(self) -> Path:
        """`--out`, or a name made of the images' and the preset's."""
        return self.out or Path("runs") / f"pretrain-{self.images.resolve().name}-{self.preset}"


def main(options: PretrainOptions):
    """Trains on the images and writes the weights."""
    tf.config.experimental.enable_op_determinism()
    strategy = device_strategy(batch_size=options.stage_options().batch_size)
    run = open_run(options)
    with alone(run, strategy):
        if not (run / WEIGHTS).exists():
            pretrain(with_precision(options), run, strategy)
            return
        check_options(options, run)
    print(f"{run / WEIGHTS} is finished already")


def pretrain(options: PretrainOptions, run: Path, strategy: tf.distribute.Strategy):
    """Trains in the run folder."""
    claim_run(options, run)
    stage_options, weights = options.stage_options(), run / WEIGHTS
    images = open_images(options, run)
    print(
        f"pre-training preset {options.preset} by recipe {stage_options.recipe} on "
        f"{describe(strategy)}: {len(images.train)} images of {images.num_classes} classes to "
        f"train on, {len(images.held_out)} held out; results in {run}"
    )
    with strategy.scope():
        stage = auxiliary_stage(stage_options, images, run, name="pretraining")
    train(stage, strategy, run, minutes=options.checkpoint_minutes)
    if is_chief(strategy):
        write_results(stage, images, run, seed=options.seed)
        print(f"fit --preset {options.preset} --scl {stage_options.scl} --scl-weights {weights}")
    sum_over_workers(strategy, 0)  # all end together, as in `fit`


def write_results(stage: Stage, images: TrainingVideos, run: Path, *, seed: int):
    """Writes the weights and the curves, and tells the accuracy on the held-out images."""
    caption = (
        f"{len(images.train)} images of {images.num_classes} classes to train on, "
        f"{len(images.held_out)} held out; seed {seed}"
    )
    curves = figures.draw_curves(run / "history.csv", caption=caption)
    figures.save_figure(curves, run / "curves.png")
    seen = {video_of(image.path) for image in (*images.train, *images.held_out)} - {None}
    with atomic_write(run / WEIGHTS) as partial:
        save_weights(stage.model, partial, videos=sorted(seen))
    if images.held_out:
        with (run / "history.csv").open(newline="") as file:
            accuracy = max(float(row["val_top1"]) for row in csv.DictReader(file))
        print(
            f"top-1 of the best epoch on {len(images.held_out)} held-out images, centre crop: "
            f"{accuracy:.1%}"
        )


def open_images(options: PretrainOptions, run: Path) -> TrainingVideos:
    """The images to train on and those held out; the run folder gets `rejected.csv`.

    Raises:
        UserError: if there are no images of at least two classes that can be decoded.
    """
    folder, config = options.images, PRESETS[options.preset]
    if not folder.is_dir():
        raise UserError(f"--images {folder} is not a folder")
    with locked(run, "prepares"):
        facts = index_images(folder, run / INDEX, short_side=config.short_side)
        write_rejected(run / "rejected.csv", facts.values())
        usable = [path for path, image in facts.items() if image.num_frames]
        classes = sorted({path.split("/")[0] for path in usable})
        atomic_write_text(run / "classes.txt", "".join(f"{name}\n" for name in classes))
    if len(usable) < len(facts):
        count = len(facts) - len(usable)
        print(f"{count} images cannot be decoded: see {run / 'rejected.csv'}", flush=True)
    if len(classes) < 2:
        (run / INDEX).unlink()  # the next call looks again
        raise UserError(
            f"{folder}: {len(usable)} images of {len(classes)} classes can be decoded; there is "
            f"nothing to tell apart. See {run / 'rejected.csv'}"
        )
    labels = {name: label for label, name in enumerate(classes)}
    images = [Video(path, labels[path.split("/")[0]], "train", source_of(path)) for path in usable]
    items = [(image.path, classes[image.label], image.group) for image in images]
    held = hold_out(items, fraction=options.val_fraction, salt=f"validation {options.seed}")
    check_held_out(options.val_fraction, len(held))
    return TrainingVideos(
        store=ImageFolder(folder, facts, short_side=config.short_side),
        train=[image for image in images if image.path not in held],
        held_out=[image for image in images if image.path in held],
        num_classes=len(classes),
    )


if __name__ == "__main__":
    cli.run(main, PretrainOptions)

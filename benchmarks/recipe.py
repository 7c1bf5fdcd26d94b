"""What each ingredient adds to a recipe: python -m benchmarks.recipe --scl-weights FILE [...]

Trains the recipe, and the recipe with one ingredient more at a time, on the training videos of the
split but for a held-out part, whole groups at a time, and judges each network by that part (one
clip x 18 crops, SCI fusion). The test videos take no part. Options as those of `fit`, but that
`--val-fraction` is 0.22 unless told otherwise and chooses no epoch. `--only NAME ...` trains some
of the networks and leaves the other rows of the table as they are.
"""

import csv
import dataclasses
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

import training  # noqa: F401  (quiet TensorFlow)
from benchmarks.report import RESULTS, write_csv
from fstcn_keras import ActionClassifier, ViewPlan
from fstcn_keras.presets import PRESETS
from training import cli
from training.cli import UserError, option
from training.distribution import device_strategy
from training.evaluate import score_video
from training.fit import split_training
from training.options import FitOptions, open_data
from training.scores import all_accuracies
from training.stages import TrainingVideos, train_stages

INGREDIENTS = {
    "nothing": {},
    "stage 2 on frames": {"auxiliary_epochs": 24},
    "stage 2 of both paths": {"auxiliary": "paths", "auxiliary_epochs": 24},
    "pooling start": {"pooling_start": True},
    "mixing": {"mixing": 0.2},
    "scaled crops": {"scales": (1.0, 0.875, 0.75, 0.66)},
    "label smoothing": {"label_smoothing": 0.1},
    "fixed layers": {"fixed_layers": 13},  # of SqueezeNet, up to its last pooling
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeOptions(FitOptions):
    """Which networks, and how they are trained."""

    val_fraction: float = option(0.22, "share of the training videos to judge by, whole groups")
    only: tuple[str, ...] = option(tuple(INGREDIENTS), "what to add to the recipe in turn")

    def __post_init__(self):
        super().__post_init__()
        if unknown := sorted(set(self.only) - set(INGREDIENTS)):
            raise UserError(f"--only takes {', '.join(INGREDIENTS)}; got {unknown[0]}")

    def with_ingredient(self, name: str) -> FitOptions:
        """Options of the network that has the ingredient."""
        names = [field.name for field in dataclasses.fields(FitOptions)]
        return FitOptions(**{name: getattr(self, name) for name in names} | INGREDIENTS[name])


def main(options: RecipeOptions):
    """Prints and writes the table, a row as soon as it is measured."""
    tf.config.experimental.enable_op_determinism()
    rows = {row["added"]: row for row in measured()}
    for name in options.only:
        rows[name] = {"added": name, **measure(options.with_ingredient(name))}
        print(rows[name], flush=True)
        write_csv("recipe", [rows[name] for name in INGREDIENTS if name in rows])


def measured() -> list[dict]:
    """The rows that are written already."""
    file = RESULTS / "recipe.csv"
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return list(csv.DictReader(line for line in stream if not line.startswith("#")))


def measure(options: FitOptions) -> dict:
    """Trains one network and gives its accuracy on the held-out videos, in percent."""
    config = PRESETS[options.preset]
    dataset, store = open_data(options, options.store, short_side=config.short_side)
    train, held_out = split_training(dataset, store, options)
    videos = TrainingVideos(store=store, train=train, held_out=[], num_classes=len(dataset.classes))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as run:
        strategy = device_strategy(batch_size=options.batch_size)
        model = train_stages(options, videos, strategy, Path(run))
    minutes = (time.perf_counter() - start) / 60
    plan = ViewPlan.of(config, num_clips=1)
    classifier = ActionClassifier(model, classes=list(dataset.classes), plan=plan)
    scores = np.stack([score_video(classifier, store, video.path) for video in held_out])
    labels = np.array([video.label for video in held_out])
    share = all_accuracies(scores, labels)["video"]["sci"]["top1"]
    return {
        "trained_on": len(train),
        "held_out": len(held_out),
        "top1_sci_percent": f"{100 * share:.1f}",
        "standard_error": f"{100 * math.sqrt(share * (1 - share) / len(held_out)):.1f}",
        "minutes": f"{minutes:.1f}",
    }


if __name__ == "__main__":
    cli.run(main, RecipeOptions)

"""What a linear classifier makes of pre-trained features: python -m benchmarks.linear [as fit]

The line that training has to beat. The backbone, as --scl-weights has it, with the SCL that follows
if the file holds that too, sees the frames and differences of the M clips of every video, whole.
Features are means over positions and images; of each kind, their square roots are scaled to unit
length. A linear support vector machine and a softmax layer with dropout learn the training videos,
C and the dropout being chosen by cross-validation over whole groups of them, and are judged by the
test videos.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GroupKFold
from sklearn.svm import SVC
from tqdm import tqdm

from benchmarks.report import print_table, write_csv
from fstcn_keras import ViewPlan
from training import cli
from training.baseline import PENALTIES, fit_tuned, pooled_networks, video_features
from training.cli import UserError, option
from training.data.collections import Video
from training.data.splits import decodable, open_data
from training.options import FitOptions
from training.parts import part

KINDS = {"frames": (0,), "differences": (1,), "both": (0, 1)}  # parts of the features
DROPOUTS = (0.5, 0.8)
EPOCHS = 60
FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class LinearOptions:
    """Which features of which videos; how networks are trained does not matter."""

    fit: FitOptions = part(FitOptions)
    name: str = option("linear", "of the table in benchmarks/results")

    def resolved(self) -> "LinearOptions":
        """Returns the same with what the preset decides filled in.

        Raises:
            UserError: if no weights are named.
        """
        if self.fit.network.scl_weights is None:
            raise UserError("--scl-weights: give the file of the pre-trained lower SCLs")
        return LinearOptions(fit=self.fit.resolved(), name=self.name)


def main(options: LinearOptions):
    """Prints and writes the table."""
    networks, known, rows = pooled_networks(options.fit), {}, []
    plan = ViewPlan.from_config(
        options.fit.config(), num_clips=options.fit.num_clips, fps=options.fit.collection.fps
    )
    for fit in options.fit.each_split():
        dataset, store = open_data(fit.collection, fit.split, fit.store, short_side=plan.short_side)
        sides = {side: decodable(dataset.side(side), store) for side in ("train", "test")}
        for video in tqdm([*sides["train"], *sides["test"]], "features", disable=None):
            if video.path not in known:
                known[video.path] = video_features(video, store, plan, networks)
        for kind, learner in itertools.product(KINDS, LEARNERS):
            row = {"data": dataset.name, "part": dataset.part, "features": kind}
            found = judged(sides["train"], sides["test"], known, KINDS[kind], learner=learner)
            rows.append(row | found)
    print_table(rows)
    write_csv(options.name, rows)


class SoftmaxWithDropout(ClassifierMixin, BaseEstimator):
    """One softmax layer with dropout before it, trained by AdamW.

    Args:
        dropout: of the features.
    """

    def __init__(self, dropout: float = 0.5):
        self.dropout = dropout

    def fit(self, features: np.ndarray, labels: Sequence[int]) -> "SoftmaxWithDropout":
        """Learns features `(n, f)` with labels `(n,)`."""
        keras.utils.set_random_seed(0)
        self.classes_ = np.unique(labels)
        self.scale_ = np.sqrt(np.mean(np.square(features)))
        layers = [keras.layers.Dropout(self.dropout), keras.layers.Dense(max(labels) + 1)]
        self.network_ = keras.Sequential([keras.Input(features.shape[1:]), *layers])
        steps = EPOCHS * -(-len(labels) // 32)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps, warmup_target=1e-3, warmup_steps=steps // 4
        )
        self.network_.compile(
            keras.optimizers.AdamW(rate, weight_decay=1e-2),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.network_.fit(features / self.scale_, np.asarray(labels), epochs=EPOCHS, verbose=0)
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Returns the likeliest labels."""
        kernel, biases = self.network_.get_weights()
        return (features / self.scale_ @ kernel + biases).argmax(axis=-1)


LEARNERS = {
    "SVM": (SVC(kernel="linear"), {"C": PENALTIES}),
    "softmax": (SoftmaxWithDropout(), {"dropout": DROPOUTS}),
}


def judged(
    train: Sequence[Video],
    test: Sequence[Video],
    features: dict[str, np.ndarray],
    parts: Sequence[int],
    *,
    learner: str,
) -> dict:
    """Top-1 of what learns some parts of the features of the training videos."""

    def matrix(videos: Sequence[Video]) -> np.ndarray:
        return np.stack([features[video.path][list(parts)].ravel() for video in videos])

    estimator, settings = LEARNERS[learner]
    fitted = clone(estimator)
    labels, groups = [video.label for video in train], [video.group for video in train]
    folds = GroupKFold(min(FOLDS, len({*groups})))
    score = fit_tuned(fitted, matrix(train), labels, groups, settings=settings, folds=folds)
    right = fitted.predict(matrix(test)) == [video.label for video in test]
    chosen = fitted.get_params()
    return {
        "learner": learner,
        "videos": len(test),
        "setting": ", ".join(f"{name} {chosen[name]}" for name in settings),
        "top-1, training folds": f"{score:.3f}",
        "top-1": f"{right.mean():.3f}",
    }


if __name__ == "__main__":
    cli.run(main, LinearOptions)

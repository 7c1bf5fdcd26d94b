"""What a linear classifier makes of pre-trained features: python -m benchmarks.linear [as fit]

The line that training has to beat. The backbone, as --scl-weights has it, with the SCL that follows
if the file holds that too, sees the frames and differences of the M clips of every video, whole.
Features are means over positions and images; of each kind, their square roots are scaled to unit
length. A linear support vector machine learns the training videos, its penalty C being chosen by
cross-validation over whole groups of them, and is judged by the test videos. `benchmarks.heads` has
more such heads, on encoded views.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupKFold
from tqdm import tqdm

from benchmarks.report import print_table, write_csv
from fstcn_keras import ViewPlan
from training import cli
from training.baseline import pooled_networks, svm_answers, video_features
from training.data.collections import Video
from training.data.splits import decodable, open_data
from training.errors import UserError
from training.options import FitOptions
from training.parts import option, part

KINDS = {"frames": (0,), "differences": (1,), "both": (0, 1)}  # parts of the features
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
        for kind, parts in KINDS.items():
            row = {"data": dataset.name, "part": dataset.part, "features": kind}
            rows.append(row | judged(sides["train"], sides["test"], known, parts))
    print_table(rows)
    write_csv(options.name, rows)


def judged(
    train: Sequence[Video],
    test: Sequence[Video],
    features: dict[str, np.ndarray],
    parts: Sequence[int],
) -> dict:
    """Top-1 of what learns some parts of the features of the training videos."""

    def matrix(videos: Sequence[Video]) -> np.ndarray:
        return np.stack([features[video.path][list(parts)].ravel() for video in videos])

    labels, groups = [video.label for video in train], [video.group for video in train]
    folds = GroupKFold(min(FOLDS, len({*groups})))
    answers, penalty = svm_answers(matrix(train), labels, groups, matrix(test), folds=folds)
    right = answers == [video.label for video in test]
    return {"videos": len(test), "C": f"{penalty:g}", "top-1": f"{right.mean():.3f}"}


if __name__ == "__main__":
    cli.run(main, LinearOptions)

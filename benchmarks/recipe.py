"""What changes of the recipe give: python -m benchmarks.recipe [options of fit]

Trains the network by its recipe from each seed, and with each change from the first seed, as
`training.fit` does; finished runs in --out are not trained again. A gain is the difference from
the default's mean, and the default's spread over the seeds says how much it means.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.report import print_table, write_csv
from fstcn_keras.runs import RUNS
from training import cli
from training.cli import UserError, option
from training.fitting import fit_runs
from training.options import FitOptions
from training.parts import part, replaced
from training.scores import RunResult, check_same_videos, read_result

CHANGES = {
    "default": {},
    "from-scratch": {"scl_weights": None},
    "two-stages": {"auxiliary_epochs": 20},
    "head-first": {"head_epochs": 10, "epochs": 10},
    "label-smoothing": {"label_smoothing": 0.1},
    "scales": {"scales": (1.0, 0.875, 0.75)},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.05},
}
FUSIONS = ("sci", "average", "single")


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """Which changes to train, and how the rest is trained."""

    changes: tuple[Literal[tuple(CHANGES)], ...] = option(
        tuple(CHANGES), "what to train besides the recipe as it is"
    )
    seeds: tuple[int, ...] = option(
        (0, 1, 2), "the recipe as it is is trained from each, a change from the first"
    )
    name: str = option("recipe", "of the table in benchmarks/results")
    fit: FitOptions = part(
        FitOptions, out="folder of the runs (default: runs/recipe-DATASET-PRESET)"
    )

    def resolved(self) -> "RecipeOptions":
        """Returns the same with what preset and recipe decide filled in.

        Raises:
            UserError: if options are given that would be several experiments.
        """
        if self.fit.run.seed != FitOptions().run.seed:
            raise UserError(f"--seed is one run's: give --seeds {self.fit.run.seed}")
        if not self.seeds:
            raise UserError("--seeds: one or more, got none")
        if self.fit.split == "all":
            raise UserError("--split all: the gains are of one split, --split 1, 2 or 3")
        return replace(self, fit=self.fit.resolved())

    def folder(self) -> Path:
        """Returns `--out`, or a folder named after what distinguishes the networks most."""
        name = f"recipe-{self.fit.collection.dataset}-{self.fit.backbone.preset}"
        return self.fit.run.out or RUNS / name


def main(options: RecipeOptions):
    """Trains what is not trained yet, prints the accuracies and writes them."""
    runs = planned(options)
    if fit_runs(list(runs.values())):
        rows = compared({key: read_result(run.run_folder()) for key, run in runs.items()})
        print_table(rows)
        write_csv(options.name, rows)


def planned(options: RecipeOptions) -> dict[tuple[str, int], FitOptions]:
    """Returns the options of the runs by change and seed, the default first."""
    wanted = [("default", seed) for seed in options.seeds]
    wanted += [(change, options.seeds[0]) for change in options.changes if change != "default"]
    folder = options.folder()
    return {
        (change, seed): replaced(
            options.fit, seed=seed, out=folder / change / f"seed{seed}", **CHANGES[change]
        )
        for change, seed in wanted
    }


def compared(results: dict[tuple[str, int], RunResult]) -> list[dict]:
    """One row for each run: its top-1 accuracies on the test videos, and the gain in points.

    Raises:
        UserError: if the runs were not scored on the same views of the same videos.
    """
    check_same_videos(list(results.values()))
    top1 = {
        key: {fusion: result.accuracies["video"][fusion]["top1"] for fusion in FUSIONS}
        for key, result in results.items()
    }
    default = np.mean(
        [values["sci"] for (change, _), values in top1.items() if change == "default"]
    )
    rows = []
    for (change, seed), result in results.items():
        values, protocol = top1[change, seed], result.protocol
        changes = ", ".join(f"{name} {value}" for name, value in CHANGES[change].items())
        row = {"change": change, "options": changes, "seed": seed}
        row |= {f"top-1, {fusion}": f"{value:.3f}" for fusion, value in values.items()}
        row["gain of sci, points"] = f"{100 * (values['sci'] - default):+.1f}"
        row |= {"data": protocol["dataset"], "split": result.split, "videos": protocol["videos"]}
        row |= {"clips": protocol["num_clips"], "crops": protocol["num_crops"]}
        rows.append(row)
    return rows


if __name__ == "__main__":
    cli.run(main, RecipeOptions)

"""What a head gains from other classes' videos: python -m benchmarks.start_from [as fit]

The classes of the collection are dealt to two halves, every other one by name to the first. On the
encoded views of the second half's videos a head learns by the recipe, once from new weights, and
once with `--start-from` from a head that has learned the first half; both answer for the same
views of the second half's test videos. Runs go to --out; the same command goes on where an
interrupted one stopped.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.heads import check_heads_alone, run_answers, table
from benchmarks.report import print_table, write_csv
from fstcn_keras.runs import RUNS
from training import cli
from training.data.collections import load_dataset
from training.fitting import fit_runs
from training.options import FitOptions
from training.parts import option, part, replaced


@dataclass(frozen=True, kw_only=True)
class StartFromOptions:
    """Which videos, and how heads are trained."""

    fit: FitOptions = part(FitOptions, out="folder of the runs (default: runs/NAME)")
    seeds: int = option(3, "of each head, from --seed on")
    name: str = option("start-from", "of the table in benchmarks/results")

    def resolved(self) -> "StartFromOptions":
        """Returns the same with what preset and recipe decide filled in.

        Raises:
            UserError: if it is not heads alone that are trained.
        """
        fit = self.fit.resolved()
        check_heads_alone(fit)
        return dataclasses.replace(self, fit=replaced(fit, out=fit.run.out or RUNS / self.name))

    def runs(self, name: str, classes: Sequence[str], seed: int, **changed) -> list[FitOptions]:
        """Returns the runs of one seed, one of each split or fold."""
        folder, names = self._folder(name, seed), ",".join(classes)
        return replaced(self.fit, classes=names, seed=seed, out=folder, **changed).each_split()

    def continued(self, classes: Sequence[str], seed: int) -> list[FitOptions]:
        """Returns the runs of one seed that start from those named `first`."""
        start = self._folder("first", seed)
        if self.fit.is_series:
            start /= "fold{fold}" if self.fit.collection.folds else "split{split}"
        return self.runs("continued", classes, seed, scl_weights=None, start_from=start)

    def _folder(self, name: str, seed: int) -> Path:
        return self.fit.run.out / f"{name}-seed{seed}"


def main(options: StartFromOptions):
    """Prints and writes the table."""
    fit = options.fit
    classes = load_dataset(fit.collection, fit.each_split()[0].split).classes
    first, second = classes[::2], classes[1::2]
    seeds = range(fit.run.seed, fit.run.seed + options.seeds)
    fit_runs([r for n in seeds for r in options.runs("first", first, n)], by_encoded_views=True)
    heads = {
        "from the other classes": [options.continued(second, seed) for seed in seeds],
        "from new weights": [options.runs("new", second, seed) for seed in seeds],
    }
    fit_runs([r for found in heads.values() for runs in found for r in runs], by_encoded_views=True)
    answers = {name: [run_answers(runs, "sci") for runs in found] for name, found in heads.items()}
    rows = table(answers, first_name="from the other classes")
    print_table(rows)
    write_csv(options.name, rows)


if __name__ == "__main__":
    cli.run(main, StartFromOptions)

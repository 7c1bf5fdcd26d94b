"""Evaluate a run on its split's test videos: python -m training.evaluate RUN

Scores M clips x 18 crops of every test video and fuses them (section 2.4 of the paper).
Writes metrics.json, scores.npz and confusion.png into the run folder, in the place of those that
are there. Of a folder of `fit --split all` or `--fold all` it evaluates every run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fstcn_keras.runs import RunFolder, chosen_run
from fstcn_keras.views.plan import SCORING_MODES
from training import cli, split_summary
from training.evaluation import evaluate_again
from training.options import read_config
from training.parts import option, positional, replaced

VIEWS_HELP = "shared cuts a video's crops from feature maps of whole frames: faster, not the same"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What to evaluate."""

    run: Path | None = positional(
        "folder of a training run (default: the newest finished one under runs/)", default=None
    )
    views: Literal[SCORING_MODES] = option("exact", VIEWS_HELP)


def main(options: EvaluateOptions):
    """Repeats the evaluation of a run, or of those of each split or fold."""
    run = RunFolder(chosen_run(options.run))
    fit_options = replaced(read_config(run.config), out=run.path)  # it may have been moved
    for run_options in fit_options.each_split():
        evaluate_again(run_options, options.views)
    if fit_options.is_series:
        split_summary.summarise(fit_options)


if __name__ == "__main__":
    cli.run(main, EvaluateOptions)

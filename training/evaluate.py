"""Evaluate a run on its split's test videos: python -m training.evaluate RUN

Scores M clips x 18 crops of every test video and fuses them (section 2.4 of the paper).
Writes metrics.json, scores.npz and confusion.png into the run folder, in the place of those that
are there. Of a folder of `fit --split all` or `--fold all` it evaluates every run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fstcn_keras.rejection import Rejection
from fstcn_keras.runs import RunFolder, chosen_run
from fstcn_keras.views.plan import SCORING_MODES
from training import cli, split_summary
from training.data.splits import open_data
from training.errors import UserError
from training.evaluation import check_test_videos, evaluate, print_metrics, report_rejected
from training.locks import locked
from training.networks import load_classifier
from training.on_cluster import ClusterOptions
from training.options import CollectionOptions, FitOptions, read_config
from training.parts import check, option, positional, replaced
from training.rejection import chosen_again, set_rejection

VIEWS_HELP = "shared cuts a video's crops from feature maps of whole frames: faster, not the same"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What to evaluate."""

    run: Path | None = positional(
        "folder of a training run (default: the newest finished one under runs/)", default=None
    )
    data_dir: Path | None = option(
        None, "folder of the videos, if it has moved since (default: that of the run)"
    )
    store: Path | None = option(
        None, "folder of the decoded frames (default: that of the run, or in the cache folder)"
    )
    num_clips: int | None = option(
        None, "M, clips of a video that are scored (default: as the run was to be evaluated)"
    )
    views: Literal[SCORING_MODES] = option("exact", VIEWS_HELP)
    reject_at: float | None = option(
        None,
        "of a run of fit --reject-at: another share of videos of the classes that may be refused, "
        "by the scores of its held-out videos",
    )

    def __post_init__(self):
        check(self, ["num_clips"], lambda number: number > 0, "be positive")
        check(self, ["reject_at"], lambda share: 0 < share < 1, "lie between 0 and 1")


def main(options: EvaluateOptions):
    """Repeats the evaluation of a run, or of those of each split or fold."""
    run = RunFolder(chosen_run(options.run))
    fit_options = replaced(read_config(run.config), out=run.path)  # it may have been moved
    if options.data_dir is not None:
        fit_options = replaced(fit_options, **moved(fit_options.collection, options.data_dir))
    if options.store is not None:
        fit_options = replaced(fit_options, store=options.store)
    runs, share = fit_options.each_split(), options.reject_at
    rejections = [
        None if share is None else chosen_again(r.run_folder(), share=share) for r in runs
    ]
    for each, rejection in zip(runs, rejections, strict=True):
        evaluate_again(each, mode=options.views, num_clips=options.num_clips, rejection=rejection)
    if fit_options.is_series:
        split_summary.summarise(fit_options)


def evaluate_again(
    options: FitOptions,
    *,
    mode: str | None = None,
    num_clips: int | None = None,
    rejection: Rejection | None = None,
):
    """Evaluates the trained network of a run of one split or fold.

    Args:
        options: of the run.
        mode: how crops are scored, as for `evaluation.evaluate`.
        num_clips: the same.
        rejection: what the network gets in place of its own, if its test videos can be scored.

    Raises:
        UserError: as `evaluation.evaluate` does.
    """
    run = options.run_folder()
    plan = load_classifier(run).plan
    dataset, store = open_data(
        options.collection, options.split, options.store, short_side=plan.short_side
    )
    with locked(run.path, "trains"):  # a training writes the same files
        report_rejected(store, run)
        if rejection is not None:
            check_test_videos(dataset, store, run)
            set_rejection(run, rejection)
        evaluate(run, dataset, store, mode=mode, num_clips=num_clips)
    print_metrics(run)


def moved(collection: CollectionOptions, data_dir: Path) -> dict[str, Path | str]:
    """Returns the folder and files of a collection that lies in another folder now."""
    if collection.data_dir is None:
        raise UserError(f"--data-dir is not for a run of {collection.dataset}, which needs none")
    moved = {"data_dir": data_dir}
    for name in ("splits_dir", "labels", "groups", "exclude"):
        file = getattr(collection, name)
        if file is not None and Path(file).is_relative_to(collection.data_dir):
            target = data_dir / Path(file).relative_to(collection.data_dir)
            moved[name] = type(file)(target)  # groups may be an expression as well
    return moved


if __name__ == "__main__":
    cli.run(main, EvaluateOptions, cluster_options=ClusterOptions)

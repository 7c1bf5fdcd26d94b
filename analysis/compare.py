"""Which of several runs is better: python -m analysis.compare RUN RUN [...]

Prints a table of their accuracies and, for every pair, whether the difference is more than
chance: an exact test and a bootstrap interval on the same test videos, which take the sources that
the videos were cut from for what chance has drawn. Runs that were scored on other videos are
refused. With --out the tables are written to compare.md as well.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from analysis.runs import network_text, read_options
from analysis.statistics import Difference, Share, holm, paired_difference, share_of
from fstcn_keras.files import atomic_write_text
from fstcn_keras.fusion import LABELS, METHODS
from fstcn_keras.runs import RunFolder
from training import cli
from training.cli import UserError, option, positional
from training.scores import (
    RunScores,
    check_same_videos,
    protocol_part,
    read_scores,
    summarised,
    views_text,
)
from training.tables import markdown_table, percent

SEED = 0  # of the bootstrap


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What to compare."""

    runs: tuple[Path, ...] = positional("folders of two or more finished runs")
    fusion: Literal[METHODS] = option("sci", "how the views of a video are fused")
    out: Path | None = option(None, "folder to write compare.md to")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs on the same videos.

    Attributes:
        shares: accuracy of each run.
        pairs: numbers of two runs, and what sets the second apart from the first.
    """

    shares: list[Share]
    pairs: list[tuple[int, int, Difference]]


def main(options: CompareOptions):
    """Compares the runs and prints two tables."""
    if len(options.runs) < 2:
        raise UserError(f"name two runs or more to compare, got {options.runs[0]}")
    if len({run.resolve() for run in options.runs}) < len(options.runs):
        raise UserError("each run can be named once")
    runs = [read_scores(RunFolder(run)) for run in options.runs]
    check_same_videos([summarised(scores) for scores in runs])
    orders = [np.argsort(scores.paths) for scores in runs]
    comparison = compare(
        [scores.right(options.fusion)[order] for scores, order in zip(runs, orders, strict=True)],
        np.array(runs[0].sources)[orders[0]],
    )
    text = to_markdown(comparison, runs, options)
    print(text)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        atomic_write_text(options.out / "compare.md", text)
        print(f"results in {options.out / 'compare.md'}")


def compare(right: Sequence[np.ndarray], sources: np.ndarray) -> Comparison:
    """Accuracies and all pairs.

    Args:
        right: of each run whether it has each video right, bool `(V,)`.
        sources: of the videos, `(V,)`.
    """
    return Comparison(
        shares=[share_of(of_run, sources) for of_run in right],
        pairs=[
            (one, other, paired_difference(right[one], right[other], sources, seed=SEED))
            for one, other in itertools.combinations(range(len(right)), 2)
        ],
    )


def to_markdown(comparison: Comparison, runs: list[RunScores], options: CompareOptions) -> str:
    """The accuracies and the differences as Markdown, with what they are of."""
    protocol = runs[0].protocol
    lines = [
        f"{protocol['dataset']} {protocol_part(protocol)}: top-1 accuracy on "
        f"{protocol['videos']} test videos of {protocol['num_classes']} classes, "
        f"{LABELS[options.fusion]}; they are cut from {comparison.shares[0].sources} sources, as "
        "their names tell",
        "",
        *accuracy_table(comparison, runs),
        "",
        *difference_table(comparison, [str(scores.run) for scores in runs]),
        "",
        "A difference is the first named run less the second. Intervals of accuracies are "
        "Wilson's, for as many independent videos as the sources are worth; the bootstrap draws "
        f"the sources anew, with seed {SEED}; the test swaps the two runs' answers to whole "
        "sources, which with one video of each is McNemar's exact test. Only the choice of the "
        "sources is taken for chance here: another seed of training gives another network.",
    ]
    return "\n".join(lines) + "\n"


def accuracy_table(comparison: Comparison, runs: list[RunScores]) -> list[str]:
    """Lines of the accuracies with their intervals."""
    rows = [
        [
            str(scores.run),
            percent(share.share),
            f"{percent(share.low)} to {percent(share.high)}",
            views_text(scores.protocol),
            network_text(read_options(scores.run)),
        ]
        for scores, share in zip(runs, comparison.shares, strict=True)
    ]
    return markdown_table(["run", "top-1", "95 % interval", "views", "network"], rows)


def difference_table(comparison: Comparison, names: list[str]) -> list[str]:
    """Lines of the differences of all pairs, the later run less the earlier one."""
    adjusted = holm(np.array([difference.p for *_, difference in comparison.pairs]))
    rows = [
        [
            f"{names[later]} - {names[earlier]}",
            f"{100 * difference.difference:+.1f}",
            f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}",
            f"{difference.only_second} and {difference.only_first}",
            f"{difference.p:.3g}",
            f"{p:.3g}",
        ]
        for (earlier, later, difference), p in zip(comparison.pairs, adjusted, strict=True)
    ]
    headings = ["difference", "points", "95 % interval (bootstrap)", "videos right in one alone"]
    headings += ["p (exact)", f"p among {len(rows)} (Holm)"]
    return markdown_table(headings, rows)


if __name__ == "__main__":
    cli.run(main, CompareOptions)

"""Which of several runs is better: python -m analysis.compare RUN RUN [...]

Prints a table of their accuracies and, for every pair, whether the difference is more than
chance: an exact test and a bootstrap interval on the same test videos, which take the sources that
the videos were cut from for what chance has drawn. Runs that were scored on other videos are
refused. With --out the tables are written to compare.md as well.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from analysis.runs import network_text, read_options
from fstcn_keras.files import atomic_write_text
from fstcn_keras.fusion import LABELS, METHODS
from fstcn_keras.runs import RunFolder
from training import cli
from training.errors import UserError
from training.judgement import interval_text
from training.parts import option, positional
from training.scores import (
    RunScores,
    check_same_videos,
    protocol_part,
    read_scores,
    views_text,
)
from training.statistics import Difference, Share, holm, paired_difference, share_of
from training.tables import markdown_table, percent

SEED = 0  # of the bootstrap


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What to compare."""

    runs: tuple[Path, ...] = positional("folders of two or more finished runs")
    fusion: Literal[METHODS] = option("sci", "how the views of a video are fused")
    out: Path | None = option(None, "folder to write compare.md to")


def main(options: CompareOptions):
    """Compares the runs and prints two tables."""
    if len(options.runs) < 2:
        raise UserError(f"name two runs or more to compare, got {options.runs[0]}")
    if len({run.resolve() for run in options.runs}) < len(options.runs):
        raise UserError("each run can be named once")
    runs = [read_scores(RunFolder(run)) for run in options.runs]
    check_same_videos(runs)
    check_same_sources(runs)
    answers = [scores.answers(options.fusion) for scores in runs]
    text = to_markdown([right for right, _ in answers], answers[0][1], runs, options)
    print(text)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        atomic_write_text(options.out / "compare.md", text)
        print(f"results in {options.out / 'compare.md'}")


def check_same_sources(runs: list[RunScores]):
    """Makes sure that the runs take their videos to be cut from the same sources.

    Raises:
        UserError: saying which two runs differ, and in what.
    """
    first, *others = (dict(zip(scores.paths, scores.sources, strict=True)) for scores in runs)
    for scores, other in zip(runs[1:], others, strict=True):
        if differing := sorted(path for path in first if first[path] != other[path]):
            path = differing[0]
            raise UserError(
                f"{runs[0].run} and {scores.run} take {len(differing)} videos to be cut from other "
                f"sources, e.g. {path}: {first[path]!r} and {other[path]!r}: train them with the "
                "same --groups"
            )


def to_markdown(
    right: list[np.ndarray], sources: np.ndarray, runs: list[RunScores], options: CompareOptions
) -> str:
    """The accuracies and the differences as Markdown, with what they are of.

    Args:
        right: of each run whether each of its answers is right, as `RunScores.answers` tells.
        sources: of the answers' videos.
        runs: their scores.
        options: of the command.
    """
    protocol = runs[0].protocol
    shares = [share_of(of_run, sources) for of_run in right]
    pairs = {
        f"{runs[later].run} - {runs[earlier].run}": paired_difference(
            right[earlier], right[later], sources, seed=SEED
        )
        for earlier, later in itertools.combinations(range(len(runs)), 2)
    }
    lines = [
        f"{protocol['dataset']} {protocol_part(protocol)}: top-1 accuracy on "
        f"{protocol['videos']} test videos of {protocol['num_classes']} classes, "
        f"{LABELS[options.fusion]}; they are cut from {shares[0].sources} sources",
        "",
        *accuracy_table(shares, runs),
        "",
        *difference_table(pairs, of="clips" if options.fusion == "single" else "videos"),
        "",
        "A difference is the first named run minus the second. Intervals of accuracies are "
        "Wilson's, for as many independent videos as the sources are worth; the bootstrap draws "
        f"the sources anew, with seed {SEED}; the test swaps the two runs' answers to whole "
        "sources, which with one video of each is McNemar's exact test. Only the choice of the "
        "sources is taken for chance here: another seed of training gives another network.",
    ]
    return "\n".join(lines) + "\n"


def accuracy_table(shares: list[Share], runs: list[RunScores]) -> list[str]:
    """Lines of the accuracies with their intervals."""
    rows = [
        [
            str(scores.run),
            percent(share.share),
            f"{percent(share.low)} to {percent(share.high)}",
            views_text(scores.protocol),
            network_text(read_options(scores.run)),
        ]
        for scores, share in zip(runs, shares, strict=True)
    ]
    return markdown_table(["run", "top-1", "95 % interval", "views", "network"], rows)


def difference_table(pairs: dict[str, Difference], *, of: str) -> list[str]:
    """Lines of the differences of all pairs, the later run minus the earlier one; `of` videos."""
    adjusted = holm(np.array([difference.p for difference in pairs.values()]))
    rows = [
        [
            name,
            f"{100 * difference.difference:+.1f}",
            interval_text(difference.low, difference.high),
            f"{difference.only_second} and {difference.only_first}",
            f"{difference.p:.3g}",
            f"{p:.3g}",
        ]
        for (name, difference), p in zip(pairs.items(), adjusted, strict=True)
    ]
    headings = ["difference", "points", "95 % interval (bootstrap)", f"{of} right in one alone"]
    headings += ["p (exact)", f"p among {len(rows)} (Holm)"]
    return markdown_table(headings, rows)


if __name__ == "__main__":
    cli.run(main, CompareOptions)

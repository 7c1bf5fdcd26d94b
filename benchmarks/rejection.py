"""How many videos of unknown classes are refused: python -m benchmarks.rejection [as fit]

A network learns the videos of --classes, as with `fit --reject-at`. Of the test videos those of
these classes are known ones, and those of all other classes of the collection unknown ones. For
each share that was asked for, the table says which share of either is refused by the threshold
from held-out training videos. A second one says how well this novelty tells unknown videos from
known ones beside what else a softmax classifier offers: the area under the ROC curve. Of several
splits, each with a network and thresholds of its own, the last rows of the first table count the
test videos of all, which must be others in each. Runs go to --out; the same command goes on where
an interrupted one stopped.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.report import print_table, write_csv
from fstcn_keras import fusion
from fstcn_keras.rejection import Rejection, fewest_videos, novelty
from fstcn_keras.runs import RUNS
from training import cli, evaluation
from training.data.collections import Video
from training.data.splits import open_data
from training.data.store import FrameStore
from training.errors import UserError
from training.fitting import fit_runs
from training.networks import load_classifier
from training.options import FitOptions
from training.parts import option, part, replaced
from training.statistics import share_of

SHARES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
Views = tuple[np.ndarray, np.ndarray]  # probabilities (V, M, C, N) and energy (V, M, C)
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "energy, mean of views": lambda scores, energy: novelty(energy),
    "1 - probability, mean of views": lambda scores, energy: 1 - _best(scores, "average"),
    "1 - score, SCI fusion": lambda scores, energy: 1 - _best(scores, "sci"),
}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What a network has made of the videos of a split.

    Attributes:
        held_out: views that give the thresholds.
        known: those of test videos of the network's classes.
        unknown: those of other test videos.
        labels: of the known ones.
        groups: sources of the known, and of the unknown ones.
    """

    held_out: Views
    known: Views
    unknown: Views
    labels: np.ndarray
    groups: tuple[Sequence[str], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class RejectionOptions:
    """Which videos, which network, and which views are scored."""

    fit: FitOptions = part(
        FitOptions,
        classes="the known classes, separated by commas",
        out="folder of the runs (default: runs/rejection-NAME)",
    )
    views: Literal["exact", "encoded"] = option(
        "exact", "encoded: those of --encoded-views, which are drawn as in training; in seconds"
    )
    name: str = option("rejection", "of the tables in benchmarks/results")

    def resolved(self) -> "RejectionOptions":
        """Returns the same with what preset and recipe decide filled in.

        Raises:
            UserError: if no classes are named, or there are no encoded views.
        """
        fit = self.fit.resolved()
        if fit.collection.classes is None:
            raise UserError("--classes: name the classes that are known; all others are unknown")
        if self.views == "encoded" and not fit.stages.encoded_views:
            raise UserError("--views encoded needs --encoded-views")
        out = fit.run.out or RUNS / f"rejection-{self.name}"
        fit = replaced(fit, out=out, reject_at=fit.reject_at or 0.05)
        return RejectionOptions(fit=fit, views=self.views, name=self.name)


def main(options: RejectionOptions):
    """Prints and writes both tables."""
    encoded, fit = options.views == "encoded", options.fit
    fit_runs(fit.each_split(), by_encoded_views=encoded)
    curve, areas, found = [], [], []
    for run in fit.each_split():
        sides = scored_sides(run, encoded=encoded)
        about = {"data": run.collection.dataset, "part": run.part, "views": options.views}
        curve += [about | row for row in refused_shares(sides)]
        areas += [about | row for row in areas_under_curve(sides.known, sides.unknown)]
        found.append(sides)
    if len(found) > 1:
        curve += [about | {"part": "all"} | row for row in refused_shares(*found)]
    for name, rows in ((options.name, curve), (f"{options.name}-scores", areas)):
        print_table(rows)
        write_csv(name, rows)


def scored_sides(options: FitOptions, *, encoded: bool) -> Sides:
    """Scores held-out, known and unknown videos by the network of a run."""
    run = options.run_folder()
    classifier = load_classifier(run)
    everything = replaced(options, classes=None)
    dataset, store = open_data(
        everything.collection, options.split, options.store, short_side=classifier.plan.short_side
    )
    unknown = [
        video
        for video in dataset.side("test")
        if dataset.classes[video.label] not in classifier.classes
        and store.videos[video.path].num_frames
    ]
    paths = {*json.loads(run.training_videos.read_text())["held out"]}
    held_out = [video for video in dataset.videos if video.path in paths]

    def score(videos: list[Video], name: str, store: FrameStore = store) -> Views:
        if encoded:
            settings = {"num_views": options.stages.encoded_views}
            settings["scales"] = options.optimization.scales
            return evaluation.score_encoded(classifier.model, store, videos, **settings)
        paths = [video.path for video in videos]
        file = run.path / name
        return evaluation.score_videos(classifier, store, paths, file=file, keep=True)

    with np.load(run.scores, allow_pickle=False) as arrays:
        known, labels, groups = (
            (arrays["scores"], arrays["energy"]),
            arrays["labels"],
            arrays["groups"],
        )
    return Sides(
        held_out=score(held_out, run.held_out_scores.name),
        known=known,
        unknown=score(unknown, "unknown-scores.npz"),
        labels=labels,
        groups=(groups, [video.group for video in unknown]),
    )


def refused_shares(*sides: Sides) -> list[dict]:
    """Returns a row for each share for which there are held-out videos enough.

    Args:
        *sides: of one split or more, each with thresholds of its own; their videos are counted
            together.
    """
    rows, fewest = [], min(len(each.held_out[1]) for each in sides)
    count = sum(len(each.held_out[1]) for each in sides)
    right = np.concatenate([fusion.fuse(s.known[0]).argmax(axis=-1) == s.labels for s in sides])
    for share in SHARES:
        if fewest < fewest_videos(share):
            continue
        row = {"held out": count, "asked for": f"{share:.2f}"}
        thresholds = [Rejection.from_held_out(each.held_out[1], share=share) for each in sides]
        refused = {}
        for number, name in enumerate(("known", "unknown")):
            found = [
                threshold.rejects(novelty(getattr(each, name)[1]))
                for threshold, each in zip(thresholds, sides, strict=True)
            ]
            refused[name] = np.concatenate(found)
            of = share_of(refused[name], np.concatenate([each.groups[number] for each in sides]))
            row[name] = of.videos
            row[f"{name} refused"] = f"{of.share:.3f}"
            row[f"{name}, interval"] = f"{of.low:.3f} to {of.high:.3f}"
        kept = right[~refused["known"]]
        rows.append(row | {"top-1 of kept": f"{kept.mean():.3f}" if len(kept) else ""})
    return rows


def areas_under_curve(known: Views, unknown: Views) -> list[dict]:
    """Returns a row for each score: the chance that an unknown video has more of it."""
    is_unknown = np.repeat([0, 1], [len(known[0]), len(unknown[0])])
    return [
        {
            "score": name,
            "known": len(known[0]),
            "unknown": len(unknown[0]),
            "area": f"{roc_auc_score(is_unknown, np.concatenate([of(*known), of(*unknown)])):.3f}",
        }
        for name, of in SCORES.items()
    ]


def _best(scores: np.ndarray, method: str) -> np.ndarray:
    return fusion.fuse(scores, method).max(axis=-1)


if __name__ == "__main__":
    cli.run(main, RejectionOptions)
